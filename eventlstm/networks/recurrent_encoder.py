"""The recurrent encoder: from windows ``(batch, time, channels)`` to a vector at each step.

Where a `generator` is passed, the network is training: dropout draws its masks from it, and gradients are truncated.
Without one nothing is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from .cells import Layer, gate_activations, without_padding
from .conv_lstm import CellwiseLinear, MapNorm, check_grid, summarise
from .forget_gates import watch_here
from .layers import NO_FORGET_GATE, drop, make_layer, recurrent_masks, run_layer, run_truncated, set_forget_bias

State = list[Any]  # per layer: (h, c) of an LSTM, h of the others

LARGEST_EMBEDDING = 8  # of a code of a sensor log: modes and products are few, unlike the words of a language


class RecurrentEncoder(nn.Module):
    """Recurrent layers from windows to a vector at each step.

    The parameters, by what they set:

    - Input: `n_channels`, `categories`, `embedding_size`.
    - Layers: `cell`, `grid`, `keep_places`, `hidden_size`, `num_layers`, `bidirectional`, `residual`, `layer_norm`.
    - Dropout: `dropout`, `recurrent_dropout`.
    - Memory: `forget_bias`, `retention_steps`, `tbptt_steps`.

    Parameters
    ----------
    n_channels : int
        Channels of the input.
    cell : {"lstm", "gru", "rnn", "peephole", "convlstm"}, default="lstm"
        The recurrent cell; "peephole" is an LSTM whose gates see the memory, and trains about half as long again;
        "convlstm" is an LSTM for sensors on a `grid`, each of which sees its neighbours.
    grid : (int, int), optional
        Height and width, for "convlstm". The channels are quantities one after the other, each row by row.
    keep_places : bool, default=False
        Whether the maps of a "convlstm" are put out as they are; otherwise their means and maxima over the grid.
    hidden_size : int, default=32
        Units in each layer and direction; maps of a "convlstm".
    num_layers : int, default=1
        Stacked layers.
    bidirectional : bool, default=False
        Whether a second pass runs from the window's end to its start.
    dropout : float, default=0.0
        Share of values dropped in training from the input and between layers.
    recurrent_dropout : float, default=0.0
        Share of units whose output does not come back into the gates in training, the same at all steps of a window.
        Training then takes about half as long again for an LSTM, and as long as before for the others; scoring is as
        fast as without.
    residual : bool, default=False
        Whether each layer from the second on adds its input to its output.
    layer_norm : bool, default=False
        Whether the output of each layer is normalised at each step. (The input is not: in a log of one channel nothing
        would be left of it.)
    forget_bias : float, optional
        Where the bias of the gate that keeps the memory starts: an LSTM's forget gate, a GRU's update gate. Default:
        drawn like the other weights.
    retention_steps : float, optional
        Steps after which a new network has forgotten half, in place of `forget_bias`. An LSTM's input gate starts from
        the opposite bias, as in Tallec and Ollivier: with the forget gate alone, two of three networks did not learn to
        remember one bit over 100 steps, with both all did.
    categories : sequence of (int, int), default=()
        Channels that hold codes, each with its number of codes; 0 stands for what is not
        known, and so does any number outside. Each code gets a vector of its own, behind the other channels.
    embedding_size : int or "auto", default="auto"
        Length of these vectors; "auto" is half the number of codes, at most 8.
    tbptt_steps : int, optional
        Steps through which gradients flow back in training, counted in pieces from the window's end. Default: all.

    Raises
    ------
    ValueError
        If arguments do not go together.

    See Also
    --------
    RecurrentNet : Classifies windows with it.
    eventlstm.LSTMClassifier : Takes its parameters, and trains it.
    torch.nn.LSTM : Gives the same numbers, without its options.

    Notes
    -----
    A new encoder has no weights yet: `initialize` draws them.

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", 1997; Cho et al., "Learning phrase representations using RNN
    encoder-decoder", 2014 (GRU); Shi et al., "Convolutional LSTM network", 2015; Gers and Schmidhuber, "Recurrent nets
    that time and count", 2000 (peepholes); Schuster and Paliwal, "Bidirectional recurrent neural networks", 1997; Gal
    and Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016; He et al.,
    "Deep residual learning for image recognition", 2016; Ba, Kiros and Hinton, "Layer normalization", 2016; Jozefowicz,
    Zaremba and Sutskever, "An empirical exploration of recurrent network architectures", 2015 (forget bias); Tallec and
    Ollivier, "Can recurrent neural networks warp time?", 2018 (both biases); Guo and Berkhahn, "Entity embeddings of
    categorical variables", 2016; Williams and Peng, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories", 1990.

    Examples
    --------
    >>> import torch
    >>> from eventlstm.networks import RecurrentEncoder
    >>> encoder = RecurrentEncoder(3, hidden_size=4, num_layers=2, residual=True)
    >>> encoder.initialize(torch.Generator().manual_seed(0))
    >>> h, state = encoder(torch.zeros(5, 10, 3))
    >>> h.shape
    torch.Size([5, 10, 4])
    """

    def __init__(
        self,
        n_channels: int,
        *,
        cell: str = "lstm",
        grid: Sequence[int] | None = None,
        keep_places: bool = False,
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float | None = None,
        retention_steps: float | None = None,
        categories: Sequence[tuple[int, int]] = (),
        embedding_size: int | str = "auto",
        tbptt_steps: int | None = None,
    ) -> None:
        super().__init__()
        self.grid = check_grid(cell, grid, n_channels, categories)
        self.architecture: dict[str, Any] = {
            "n_channels": n_channels,
            "cell": cell,
            "grid": self.grid,
            "hidden_size": hidden_size,
            "num_layers": num_layers,
            "bidirectional": bidirectional,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "residual": residual,
            "layer_norm": layer_norm,
            "forget_bias": forget_bias,
            "retention_steps": retention_steps,
            "categories": tuple((channel, n_codes) for channel, n_codes in categories),
            "embedding_size": embedding_size,
            "tbptt_steps": tbptt_steps,
        }
        check_architecture(self.architecture)
        self.bidirectional, self.residual = bidirectional, residual
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.forget_bias, self.tbptt_steps = starting_bias(forget_bias, retention_steps), tbptt_steps
        self.n_cells = math.prod(self.grid or ())  # one without a grid
        self.summarised = self.grid is not None and not keep_places
        n_maps = hidden_size * (1 + bidirectional)
        width = n_maps * self.n_cells
        self.width = 2 * n_maps if self.summarised else width
        self.embed = CodeEmbedding(self.architecture["categories"], embedding_size)
        n_inputs = n_channels + self.embed.n_added
        # One module a layer: torch's own stacking would draw its dropout from the global generator.
        self.layers = nn.ModuleList(
            make_layer(cell, width if k else n_inputs, hidden_size, bidirectional, self.grid) for k in range(num_layers)
        )
        self.norms = nn.ModuleList(make_norm(n_maps, self.grid) if layer_norm else nn.Identity() for _ in self.layers)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw all weights anew.

        Parameters
        ----------
        generator : torch.Generator
            Where the draws come from; it must be on the CPU.
        """
        draw_weights(self, generator)
        if self.forget_bias is not None:
            for layer in self.layers:
                balanced = self.architecture["retention_steps"] is not None
                set_forget_bias(layer, self.forget_bias, balanced=balanced)  # type: ignore[arg-type]

    def forward(
        self,
        x: torch.Tensor,
        state: State | None = None,
        generator: torch.Generator | None = None,
        lengths: torch.Tensor | None = None,
        wanted: str = "all",
    ) -> tuple[torch.Tensor, State]:
        """Return a vector at each step, and the state after the last.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Windows.
        state : list, optional
            What an earlier call returned: the windows go on from there. Default: zeros.
        generator : torch.Generator, optional
            Draws the dropout masks in training.
        lengths : Tensor of shape (batch,), optional
            Steps of each window, int64, at least one, on the CPU; what stands behind them changes nothing.
            Default: all.
        wanted : {"all", "steps", "last"}, default="all"
            What will be used. Without the state, padded windows take less time; where only the last step of each
            window is used, truncated gradients take less memory.

        Returns
        -------
        h : Tensor of shape (batch, time, width)
            Output of the last layer, zero in the padding.
        state : list
            The state of each layer after the last step; not to be used unless `wanted` is "all".
        """
        h, after = self.embed(without_padding(x, lengths)), []  # (batch, time, inputs)
        for k in range(len(self.layers)):
            h, last = self._run(k, h, None if state is None else state[k], generator, lengths, wanted)
            after.append(last)
        if self.summarised:
            h = summarise(h, 1 + self.bidirectional, self.n_cells)  # (batch, time, width)
        return without_padding(h, lengths), after

    def gates(
        self, x: torch.Tensor, layer: int = -1, direction: int = 0, lengths: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return how open each gate of a layer is at each step, from a cold start.

        Parameters
        ----------
        x : Tensor of shape (batch, time, channels)
            Windows.
        layer : int, default=-1
            Which layer; -1 is the last.
        direction : {0, 1}, default=0
            Forward or backward.
        lengths : Tensor of shape (batch,), optional
            Steps of each window; the values behind them mean nothing. Default: all.

        Returns
        -------
        dict of str to Tensor of shape (batch, time, hidden)
            "input", "forget", "cell" and "output" of an LSTM, also map by map; "reset" and "update" of a GRU.
        """
        h = self.embed(without_padding(x, lengths))  # (batch, time, inputs)
        if not -len(self.layers) <= layer < len(self.layers):
            raise ValueError(f"layer={layer!r} came, but there are {len(self.layers)}. Count them from 0, or from -1.")
        chosen = range(len(self.layers))[layer]
        for k in range(chosen):
            h, _ = self._run(k, h, None, None, lengths, "steps")
        return gate_activations(self.layers[chosen], h, direction, lengths)  # type: ignore[arg-type]

    def _run(
        self,
        k: int,
        x: torch.Tensor,
        state: Any,
        generator: torch.Generator | None,
        lengths: torch.Tensor | None,
        wanted: str,
    ) -> tuple[torch.Tensor, Any]:
        """Run layer `k` with what stands around it."""
        layer: Layer = self.layers[k]  # type: ignore[assignment]
        below = drop(x, self.dropout, generator)  # (batch, time, channels)
        masks = recurrent_masks(layer, x, self.recurrent_dropout, generator)
        watch = watch_here()
        gates: list[torch.Tensor] | None = None if watch is None else []
        if generator is None or self.tbptt_steps is None:
            how: dict[str, Any] = {"with_state": wanted == "all"}
            h, state = run_layer(layer, below, state, lengths, masks, gates=gates, **how)  # (batch, time, width)
        else:
            how = {"n_steps": self.tbptt_steps, "last_only": wanted == "last"}
            h, state = run_truncated(layer, below, state, lengths, masks, gates=gates, **how)
        if watch is not None and gates is not None:
            watch.add(layer, gates)
        h = self.norms[k](h)
        return h + x if self.residual and k else h, state


class CodeEmbedding(nn.Module):
    """Vectors of their own for the codes in some channels, behind the other channels as they are."""

    def __init__(self, categories: Sequence[tuple[int, int]], size: int | str) -> None:
        super().__init__()
        self.categories = categories
        sizes = [min(LARGEST_EMBEDDING, -(-n_codes // 2)) if size == "auto" else int(size) for _, n_codes in categories]
        self.tables = nn.ModuleList(
            nn.Embedding(n_codes, n_values, device="meta")
            for (_, n_codes), n_values in zip(categories, sizes, strict=True)
        )
        self.n_added = sum(sizes) - len(sizes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input with vectors in place of codes, (batch, time, channels + n_added)."""
        if not self.categories:
            return x
        coded = {channel for channel, _ in self.categories}
        parts = [x[..., [k for k in range(x.shape[-1]) if k not in coded]]]  # (batch, time, channels - coded)
        for (channel, n_codes), table in zip(self.categories, self.tables, strict=True):
            code = x[..., channel].long()  # (batch, time)
            known = (code >= 0) & (code < n_codes)
            parts.append(table(code.where(known, 0)))  # (batch, time, size)
        return torch.cat(parts, dim=-1)


def make_norm(n_maps: int, grid: Any) -> nn.Module:
    """Return a layer normalisation that takes no memory yet."""
    return nn.LayerNorm(n_maps, device="meta") if grid is None else MapNorm(n_maps)


def make_linear(n_inputs: int, n_outputs: int, n_cells: int) -> nn.Linear:
    """Return a linear layer that takes no memory yet: of all inputs, or of the maps in each of several cells."""
    if n_cells == 1:
        return nn.Linear(n_inputs, n_outputs, device="meta")
    return CellwiseLinear(n_inputs // n_cells, n_outputs // n_cells, n_cells)


def draw_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights of a module on the CPU: embeddings normal, the others uniform within one over a root, as torch.

    The root is that of the width: `hidden_size` of a recurrent layer, the inputs of a linear one or of a kernel.
    """
    module.to_empty(device="cpu")
    with torch.no_grad():
        for part in module.modules():
            for weight in part.parameters(recurse=False):
                if isinstance(part, nn.LayerNorm | MapNorm):
                    weight.fill_(weight is part.weight)
                elif isinstance(part, nn.Embedding):
                    weight.copy_(torch.empty(weight.shape).normal_(generator=generator))
                    weight[0] = 0.0  # what is not known says nothing
                else:
                    fans = (getattr(part, name, 0) for name in ("fan_in", "hidden_size", "in_features"))
                    bound = float(next(filter(None, fans))) ** -0.5
                    weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))


def net_from_weights(cls: Any, architecture: dict[str, Any], weights: dict[str, torch.Tensor]) -> Any:
    """Return a network of a class with given weights, refusing those that do not fit before any memory is taken."""
    n_layers, n_categories = architecture["num_layers"], len(architecture.get("categories", ()))
    if not 1 <= n_layers <= len(weights):
        raise ValueError(f"The architecture has {n_layers} layers, but {len(weights)} weights came.")
    if n_categories > len(weights):
        raise ValueError(f"The architecture has {n_categories} categories, but {len(weights)} weights came.")
    net = cls(**architecture)
    expected = {name: weight.shape for name, weight in net.state_dict().items()}
    found = {name: weight.shape for name, weight in weights.items()}
    if found != expected:
        wrong = sorted(name for name in expected | found if expected.get(name) != found.get(name))
        raise ValueError(f"The weights {wrong} do not fit the architecture {architecture}.")
    net.load_state_dict(weights, assign=True)
    return net


def check_architecture(given: dict[str, Any]) -> None:
    """Refuse arguments of an encoder that do not go together."""
    if given["tbptt_steps"] is not None and given["bidirectional"]:
        raise ValueError(
            f"tbptt_steps={given['tbptt_steps']!r} cuts off the past, and bidirectional=True has two of them. "
            "Set tbptt_steps=None or bidirectional=False."
        )
    if given["forget_bias"] is not None and given["retention_steps"] is not None:
        raise ValueError("forget_bias and retention_steps set the same bias. Give one of them.")
    if given["cell"] == "rnn" and not given["forget_bias"] is given["retention_steps"] is None:
        raise ValueError(NO_FORGET_GATE)
    if given["retention_steps"] is not None and not given["retention_steps"] > 0:
        raise ValueError(
            f"retention_steps={given['retention_steps']!r} came. Give a positive number of steps, or None."
        )
    channels = [channel for channel, _ in given["categories"]]
    if len(set(channels)) < len(channels) or not all(0 <= channel < given["n_channels"] for channel in channels):
        raise ValueError(
            f"categories names the channels {channels} of {given['n_channels']}. Name each once, counted from 0."
        )


def starting_bias(forget_bias: float | None, retention_steps: float | None) -> float | None:
    """Return where the forget gate's bias starts: with ``f ** retention_steps = 1 / 2`` half is kept for that long."""
    if retention_steps is None:
        return forget_bias
    f = 0.5 ** (1.0 / retention_steps)
    return math.log(f / (1.0 - f))
