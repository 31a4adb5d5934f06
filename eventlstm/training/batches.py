"""Logs and windows on a device, handed to the training loop batch by batch.

A log is one contiguous tensor ``(n_rows, n_channels)``; batches are gathered from it by row number, so that windows
exist only while they are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ..logs.log_windows import LogWindows
from ..networks import pooling

# Batches without a given size hold at most so many windows or chunks, and fewer where an epoch would have too few.
AUTO_WINDOWS = 64
AUTO_CHUNKS = 8
# Windows or chunks of rare classes in each of the batches that are to be balanced.
MIN_RARE = 2


class Batch(NamedTuple):
    """Some items of a training set."""

    x: torch.Tensor  # (batch, time, channels)
    target: torch.Tensor  # (batch, ...) of windows, (batch, labelled, ...) of chunks
    weight: torch.Tensor  # (batch,) of windows, (batch, labelled) of chunks
    lengths: torch.Tensor | None = None  # (batch,) on the cpu: steps before the padding
    mix: Mix | None = None  # under mixup: the share of the items' own targets, targets and weights of their partners

    def split(self, rows: int) -> list[Batch]:
        """Cut into pieces of at most so many items, in their order."""
        if len(self.x) <= rows:
            return [self]
        starts = range(0, len(self.x), rows)
        return [self._cut(slice(start, start + rows)) for start in starts]

    def _cut(self, items: slice) -> Batch:
        lengths = None if self.lengths is None else self.lengths[items]
        mix = None if self.mix is None else (self.mix[0], self.mix[1][items], self.mix[2][items])
        return Batch(self.x[items], self.target[items], self.weight[items], lengths, mix)


Mix = tuple[float | torch.Tensor, torch.Tensor, torch.Tensor]
Output = tuple[torch.Tensor, torch.Tensor | None]  # logits, and what the network adds to the loss of its training


def auto_batch_size(n_items: int, largest: int, min_batches: int) -> int:
    """Return the batch size that gives an epoch at least `min_batches` steps, between one and `largest` items."""
    return max(1, min(largest, n_items // min_batches))


def count_chunks(starts: np.ndarray, n_rows: int, stride: int) -> int:
    """Return how many chunks of `stride` labelled rows cover all stretches."""
    lengths = np.diff(np.append(starts, n_rows))
    return int((-(-lengths // stride)).sum())


class Shuffled(NamedTuple):
    """The items of an epoch in the order in which they are dealt to batches."""

    order: torch.Tensor  # (n_dealt,) numbers of items
    share: torch.Tensor  # (n_dealt,) of an item's weight: items that are dealt more than once keep theirs in all
    sizes: list[int]  # of the batches

    def split(self, like: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield the numbers of each batch's items, there and on the device of `like`, and their shares of it."""
        there, share = self.order.to(like.device), self.share.to(like)  # once an epoch
        yield from zip(*(part.split(self.sizes) for part in (self.order, there, share)), strict=True)


def shuffle_balanced(
    n_items: int, batch_size: int, generator: torch.Generator | None, rare: torch.Tensor | None
) -> Shuffled:
    """Return items in a random order, or in theirs without a generator; rare ones are spread over all batches.

    Each batch then gets `MIN_RARE` of the rare items at least, and where there are fewer they are dealt again, at so
    much less weight that nothing else changes: neither an item's weight in an epoch nor the mean over all.
    """
    n_batches = -(-n_items // batch_size)
    if generator is None or rare is None or n_batches == 1 or not rare.any() or rare.all():
        order = torch.arange(n_items) if generator is None else torch.randperm(n_items, generator=generator)
        return Shuffled(order, torch.ones(n_items), [len(part) for part in order.split(batch_size)])
    some, others = (torch.nonzero(mask)[:, 0] for mask in (rare.cpu(), ~rare.cpu()))
    n_rounds = -(-MIN_RARE * n_batches // len(some))
    dealt = torch.cat([some[torch.randperm(len(some), generator=generator)] for _ in range(n_rounds)])
    others = others[torch.randperm(len(others), generator=generator)]
    batches = [
        torch.cat(pair) for pair in zip(dealt.tensor_split(n_batches), others.tensor_split(n_batches), strict=True)
    ]
    order = torch.cat(batches)
    # Batches divide by the number of their items, which dealing again has raised.
    share = torch.where(rare.cpu()[order], 1.0 / n_rounds, 1.0) * (len(order) / n_items)
    return Shuffled(order, share, [len(batch) for batch in batches])


def find_rare(target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return which items that have a weight are of another class than the most frequent of them."""
    used, counts = weight > 0, target.bincount()
    counts = counts - target[~used].bincount(minlength=len(counts))
    return used & (target != counts.argmax())


class WindowGather:
    """Windows by number, from an array ``(n_windows, time, channels)`` or cut from a log as they are needed."""

    def __init__(self, windows: np.ndarray | LogWindows, device: torch.device, dtype: torch.dtype) -> None:
        self.n_items, self.n_steps, self.n_channels = windows.shape
        self.ends: torch.Tensor | None = None
        self.first: torch.Tensor | None = None
        if not isinstance(windows, LogWindows):
            self.values = torch.as_tensor(windows).to(device, dtype)
            return
        writable = np.require(windows.values, requirements=("C", "W"))  # torch warns on memory that is not
        self.values = torch.as_tensor(writable).to(device, dtype)
        ends, starts = windows.ends, windows.starts
        self.ends = torch.as_tensor(ends, device=device)
        first = starts[np.searchsorted(starts, ends, side="right") - 1]
        if (ends - first < self.n_steps - 1).any():
            self.first = torch.as_tensor(first, device=device)

    def __call__(self, items: torch.Tensor) -> torch.Tensor:
        """Return the windows of these numbers, (n, time, channels)."""
        if self.ends is None:
            return self.values.index_select(0, items)
        ends = self.ends.index_select(0, items)
        if self.first is None:
            shape = (len(self.values) - self.n_steps + 1, self.n_steps * self.n_channels)
            view = self.values.as_strided(shape, (self.n_channels, 1))  # (n_full, time * channels)
            flat = view.index_select(0, ends - self.n_steps + 1)
            return flat.view(-1, self.n_steps, self.n_channels)  # (n, time, channels)
        steps = torch.arange(1 - self.n_steps, 1, device=ends.device)
        rows = torch.maximum(ends[:, None] + steps, self.first.index_select(0, items)[:, None])
        return self.values[rows]  # (n, time, channels)

    def contents(self) -> list[Any]:
        """Return all that decides what the windows hold."""
        return [self.values, self.ends, self.first, self.n_steps]


class WindowBatches:
    """Windows with a label each, in a new order every epoch; in the given order when one batch holds them all.

    Where windows are padded at their end, `lengths` (n_windows,) holds the steps before it. With `attention_entropy`,
    training is charged that much for attention that is far from even: one less its entropy, as a share of the largest.
    """

    def __init__(
        self,
        gather: WindowGather,
        target: np.ndarray,
        weight: np.ndarray,
        batch_size: int,
        *,
        lengths: np.ndarray | None = None,
        attention_entropy: float = 0.0,
        balanced: bool = False,
    ) -> None:
        device, dtype = gather.values.device, gather.values.dtype
        self.gather = gather
        self.target = torch.as_tensor(target, device=device)
        self.weight = torch.as_tensor(weight).to(device, dtype)
        self.batch_size = batch_size
        self.lengths = None if lengths is None else torch.as_tensor(lengths, dtype=torch.int64)
        self.attention_entropy = attention_entropy
        self.rare = find_rare(self.target, self.weight) if balanced else None
        self.n_batches = -(-gather.n_items // batch_size)

    def epoch(self, generator: torch.Generator | None) -> Iterator[Batch]:
        """Yield every window once, shuffled by `generator` when one is given."""
        shuffle = generator if self.n_batches > 1 else None
        shuffled = shuffle_balanced(self.gather.n_items, self.batch_size, shuffle, self.rare)
        for on_cpu, items, share in shuffled.split(self.weight):  # lengths stay on the cpu, where torch packs windows
            lengths = None if self.lengths is None else self.lengths[on_cpu]
            yield Batch(self.gather(items), self.target[items], spread(self.weight[items], share), lengths)

    def forward(self, module: nn.Module, batch: Batch, generator: torch.Generator | None) -> Output:
        """Return logits, (batch, n_outputs), and the price of uneven attention where one is asked."""
        padding = {} if batch.lengths is None else {"lengths": batch.lengths}
        if generator is None or self.attention_entropy == 0.0:
            return module(batch.x, generator, **padding), None
        logits, attention = module.attend(batch.x, generator, **padding)  # type: ignore[operator]
        evenness = pooling.attention_entropy(attention, batch.lengths)  # (batch,)
        return logits, self.attention_entropy * (1.0 - evenness).mean()

    def contents(self) -> list[Any]:
        """Return all that decides what is trained on."""
        data = [*self.gather.contents(), self.target, self.weight, self.lengths]
        return [*data, self.batch_size, self.attention_entropy, self.rare]


def reweigh(batches: Any, weight: np.ndarray) -> Any:
    """Return the same windows or chunks with other weights of windows or rows."""
    other = copy(batches)
    other.weight = torch.from_numpy(np.array(weight)).to(batches.weight)  # torch warns on memory that is not writable
    return other


def spread(weight: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return the weights (batch, ...) of items times their shares (batch,)."""
    return weight * share.view(-1, *[1] * (weight.ndim - 1))


class ChunkBatches:
    """Chunks of a log with a label at every step after a burn-in, cut anew every epoch.

    A chunk is `burn_in` rows of history and `stride` labelled rows. Each row is labelled once an epoch; where chunks
    begin is drawn anew for each stretch and epoch. Rows before a stretch's first are copies of it, as in scoring;
    rows after its last have no weight.
    """

    def __init__(
        self,
        values: torch.Tensor,
        starts: np.ndarray,
        target: np.ndarray | torch.Tensor,
        weight: np.ndarray,
        *,
        burn_in: int,
        stride: int,
        batch_size: int,
        balanced: bool = False,
    ) -> None:
        self.values = values
        self.starts = starts
        self.stops = np.append(starts[1:], len(values))
        self.target = torch.as_tensor(target, device=values.device)
        self.weight = torch.as_tensor(weight).to(values.device, values.dtype)
        self.burn_in = burn_in
        self.stride = stride
        self.batch_size = batch_size
        self.rare = find_rare(self.target, self.weight) if balanced else None
        self.n_batches = -(-count_chunks(starts, len(values), stride) // batch_size)

    def epoch(self, generator: torch.Generator | None) -> Iterator[Batch]:
        """Yield every row once, in chunks cut and shuffled by `generator` when one is given."""
        begin, first, last = self._cut(generator)
        self.n_batches = -(-len(begin) // self.batch_size)
        rare = None if self.rare is None else self._holds_rare(begin, first, last)
        shuffled = shuffle_balanced(len(begin), self.batch_size, generator, rare)
        steps = torch.arange(-self.burn_in, self.stride, device=self.values.device)
        share_inside = len(self.values) / (len(begin) * self.stride)  # the mean weight of an epoch's items is to be one
        for _, items, share in shuffled.split(self.weight):
            low, high = first[items, None], last[items, None]
            rows = begin[items, None] + steps  # (batch, burn_in + stride)
            kept = rows.clamp(low, high)
            labelled = kept[:, self.burn_in :]  # (batch, stride)
            inside = rows[:, self.burn_in :] == labelled
            target, weight = self._learned(labelled, inside, high)
            yield Batch(self.values[kept], target, spread(weight / share_inside, share), self._lengths(inside))

    def forward(self, module: nn.Module, batch: Batch, generator: torch.Generator | None) -> Output:
        """Return logits of the labelled steps, (batch, stride, n_outputs), and no price."""
        logits, _ = module.forward_steps(batch.x, generator=generator, skip=self.burn_in)  # type: ignore[operator]
        return logits, None

    def contents(self) -> list[Any]:
        """Return all that decides what is trained on."""
        data = [self.values, self.starts, self.target, self.weight]
        return [*data, self.burn_in, self.stride, self.batch_size, self.rare]

    def _learned(
        self, labelled: torch.Tensor, inside: torch.Tensor, last: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return targets and weights of rows (batch, stride), of which those that are not `inside` are copies."""
        return self.target[labelled], self.weight[labelled] * inside

    def _lengths(self, inside: torch.Tensor) -> torch.Tensor | None:
        """Return where chunks end, (batch,) on the cpu; None: causal networks may read what is behind."""
        return None

    def _holds_rare(self, begin: torch.Tensor, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Return whether chunks have labelled rows of a rare class, (n_chunks,)."""
        so_far = torch.cat([self.rare.new_zeros(1, dtype=torch.int64), self.rare.cumsum(0)])  # type: ignore[union-attr]
        end = torch.minimum(begin + self.stride - 1, last)
        return so_far[end + 1] > so_far[torch.maximum(begin, first)]

    def _cut(self, generator: torch.Generator | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return for each chunk its first labelled row, and the first and the last row of its stretch."""
        n_stretches = len(self.starts)
        early = np.zeros(n_stretches, dtype=np.int64)
        if generator is not None:
            early = torch.randint(self.stride, (n_stretches,), generator=generator).numpy()
        n_chunks = -(-(self.stops - self.starts + early) // self.stride)
        stretch = np.repeat(np.arange(n_stretches), n_chunks)
        position = np.arange(len(stretch)) - np.repeat(np.cumsum(n_chunks) - n_chunks, n_chunks)
        begin = (self.starts - early)[stretch] + position * self.stride
        device = self.values.device
        first, last = self.starts[stretch], self.stops[stretch] - 1
        return tuple(torch.as_tensor(rows, device=device) for rows in (begin, first, last))  # type: ignore[return-value]


class NextRowsBatches(ChunkBatches):
    """Chunks of a log whose targets are, at every step, the next `horizon` rows: (batch, stride, horizon, n_targets).

    Targets are ``(n_rows, n_targets)``. The weight of a target is that of its own row, or none behind the last row of
    a stretch; weights are scaled to a mean of one over all rows and steps ahead.
    """

    def __init__(
        self,
        values: torch.Tensor,
        starts: np.ndarray,
        target: np.ndarray | torch.Tensor,
        weight: np.ndarray,
        *,
        horizon: int,
        **size: Any,
    ) -> None:
        place = np.arange(len(values)) - starts[np.searchsorted(starts, np.arange(len(values)), side="right") - 1]
        total = (weight * np.minimum(place, horizon)).sum()  # a row is a target of so many rows before it
        if total <= 0:
            raise ValueError(
                f"No row with a weight has one before it within {len(starts)} stretches of {len(values)} rows in all, "
                "so there is nothing to forecast. Pass longer stretches, or positive weights."
            )
        super().__init__(values, starts, target, weight * (len(values) * horizon / total), **size)
        self.ahead = torch.arange(1, horizon + 1, device=values.device)

    def _learned(
        self, labelled: torch.Tensor, inside: torch.Tensor, last: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return targets (batch, stride, horizon, n_targets) and their weights (batch, stride, horizon)."""
        rows = labelled[..., None] + self.ahead  # (batch, stride, horizon)
        there = rows.minimum(last[..., None])
        return self.target[there], self.weight[there] * (rows == there) * inside[..., None]

    def contents(self) -> list[Any]:
        """Return all that decides what is trained on."""
        return [*super().contents(), self.ahead]
