"""From scores at every step to probabilities and labels of the steps, by a conditional random field or without.

Scores are ``(batch, time, classes)``. Messages are passed on the CPU in float64: they are few, and their sums long.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch


class Decoder(NamedTuple):
    """What a tagger makes of the scores of its network."""

    crf: Any  # a LinearChainCRF in float64 on the cpu, or None: steps are judged by themselves
    smoothed: bool  # whether later steps count

    def log_proba(self, scores: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logarithm of the probability of each class at each step, (batch, time, classes)."""
        scores = scores.cpu().double()
        if self.crf is None:
            return hold_last(scores.log_softmax(dim=-1), lengths)
        return hold_last(self.crf.smooth(scores, lengths) if self.smoothed else self.crf.filter(scores), lengths)

    def labels(self, scores: torch.Tensor, lengths: torch.Tensor | None, n_labelled: int) -> torch.Tensor:
        """Return the number of the class at each of the last steps: the best path, or the most probable of each."""
        n_history = scores.shape[1] - n_labelled
        if self.crf is None or not self.smoothed:
            return self.log_proba(scores, lengths)[:, n_history:].argmax(dim=-1)
        scores = scores.cpu().double()
        before = self.crf.filter(scores[:, :n_history])[:, -1] if n_history else None
        path: torch.Tensor = self.crf.decode(scores[:, n_history:], lengths, before)
        return path

    def go_on(self, scores: torch.Tensor, message: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return what `log_proba` says of the steps after those before, and the message (1, batch, classes) after."""
        if self.crf is None:
            return self.log_proba(scores), None
        filtered = self.crf.filter(scores.cpu().double(), None if message is None else message[0])
        return filtered, filtered[None, :, -1]


def make_decoder(module: Any, decoding: str) -> Decoder:
    """Return the decoder of a network."""
    crf = None if module.crf is None else copy.deepcopy(module.crf).cpu().double().requires_grad_(False)
    return Decoder(crf, decoding == "smoothed")


def hold_last(values: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return values (batch, time, classes) in which those behind the end of a window are those of its last step."""
    if lengths is None:
        return values
    steps = torch.arange(values.shape[1]).minimum(lengths[:, None] - 1)  # (batch, time)
    return values.gather(1, steps[..., None].expand(-1, -1, values.shape[2]))
