"""A scored log thinned out as it comes, so that a report holds no more rows than a page can show.

All rows above a score are kept, with those after them that an alarm could last over, the borders of events, runs and
gaps, and an even sample of the others. At thresholds from that score on, alarms and what they find are those of the
whole log; each row that is kept says how many rows, and how much time, it stands for.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..alarms.machine import ROWS, TIME, Rules
from ..evaluation.scored_log import Thinned
from ..logs.events import find_events
from ..logs.index import RowIndex
from ..logs.shared import BoolArray, FloatArray, IntArray
from ..logs.steps import longest_steps, usual_steps
from ..metrics.measured_rows import StatedTimes
from .carried import Piece

# Rows that are kept of a log: more than a screen has pixels, and a page with them takes 100 MB to make.
MOST_ROWS = 200_000
# Shares of them that are above the lowest score, to begin with, in the sample of all and in that of rows of events; and
# that are left at most when room is made.
ABOVE, SAMPLED, LEFT = 0.25, 0.2, 0.75
# Of so many rows one is asked how far the next are away: .1 bytes a row.
STEP_EVERY = 128
# A run may take the gap of another from half of its own on, see `longest_steps`.
PERHAPS_A_GAP = 0.5


class ThinLog(NamedTuple):
    """What is left of a log."""

    X: pd.DataFrame  # (n_rows, n_sensors)
    y: pd.Series  # (n_rows,)
    scores: np.ndarray  # (n_rows,)
    rows: IntArray  # (n_rows,) their numbers in the log
    thinned: Thinned


class Thinner:
    """Takes the scored pieces of a log, and keeps at most about `most_rows` of them.

    Parameters
    ----------
    rules : Rules
        What makes alarms of scores.
    limit : float
        The threshold of the model, or of where its alarms end: all rows above it are kept, however many.
    most_rows : int, default=200_000
        How many rows are kept.
    """

    def __init__(self, rules: Rules, limit: float, most_rows: int = MOST_ROWS) -> None:
        self.rules, self.limit, self.most_rows = rules, limit, most_rows
        self.lowest = -math.inf
        self.every, self.every_event = 1, 1  # of so many rows, and rows of events, one is in the sample
        self.n_rows = self.n_event_rows = 0
        self.runs: list[Any] = []  # what names each
        self.parts: list[pd.DataFrame] = []
        self.last_above: tuple[int, Any, int] | None = None  # row, time and run
        self.steps: list[tuple[int, np.ndarray]] = []  # of runs

    def add(self, frame: pd.DataFrame, piece: Piece, scores: np.ndarray, events: BoolArray) -> None:
        """Take the next piece."""
        own, shift = piece.rows.runs, len(self.runs) - piece.goes_on
        starts = piece.rows.run_starts
        self.runs += [_run_of(frame.index, row) for row in starts[int(piece.goes_on) :]]
        self._sample_steps(piece, shift)
        times, gaps = piece.rows.times, _steps_before(piece.rows)
        told = pd.DataFrame(
            {
                "row": self.n_rows + np.arange(len(own)),
                "run": own + shift,
                "moment": frame.index.get_level_values(-1),
                "time": times,
                "score": scores,
                "event": events,
                "n_rows": 1,
                "observed": _steps_after(piece.rows),
                "gap": np.where(gaps > PERHAPS_A_GAP * longest_steps(piece.rows, "auto")[own], gaps, 0.0),
                "pinned": _pinned(piece.rows, events, scores),
            }
        )
        if piece.goes_on:
            self._join(told)
        told["pinned"] |= (told["gap"] > 0) | (told["gap"].shift(-1, fill_value=0) > 0)
        kept = self._is_kept(told, self.last_above)
        values = pd.DataFrame(frame.to_numpy(dtype=np.float32)[kept])
        self.parts.append(pd.concat([_absorb(told, kept), values], axis=1))
        above = np.flatnonzero(scores > self.lowest)
        if len(above):
            last = above[-1]
            self.last_above = int(told["row"].iloc[last]), times[last], int(told["run"].iloc[last])
        self.n_rows += len(own)
        self.n_event_rows += int(events.sum())
        if sum(map(len, self.parts)) > self.most_rows:
            self._thin()

    def finish(self, frame: pd.DataFrame, is_datetime: bool) -> ThinLog:
        """Return what is left; `frame` is any piece."""
        told = pd.concat(self.parts, ignore_index=True)
        self.parts = [told]
        run, steps = told["run"].to_numpy(), _as_index(self.steps, is_datetime)
        longest, usual = longest_steps(steps, "auto"), usual_steps(steps)
        gaps = np.flatnonzero(told["gap"].to_numpy() > longest[run])
        observed = told["observed"].to_numpy(copy=True)
        observed[gaps - 1] = np.nan
        observed = np.where(np.isnan(observed), usual[run], observed)
        gaps = np.union1d(gaps, np.flatnonzero(np.diff(run, prepend=-1)))
        stated = StatedTimes(observed, float(np.median(usual)))
        rows, is_sample = told["row"].to_numpy(), self._is_sample(told)
        thinned = Thinned(_spread_rows(told, is_sample, self.lowest), is_sample, self.lowest, stated, gaps)
        index = self._index(told, frame.index)
        X = told[list(range(frame.shape[1]))].set_axis(frame.columns, axis=1).set_axis(index)
        y = pd.Series(told["event"].to_numpy().astype(int), index=index)
        return ThinLog(X, y, told["score"].to_numpy(), rows, thinned)

    def _thin(self) -> None:
        told, n_above = pd.concat(self.parts, ignore_index=True), int(ABOVE * self.most_rows)
        while len(told) > LEFT * self.most_rows and n_above:
            scores = told["score"].to_numpy()
            highest = np.partition(scores, max(len(scores) - n_above - 1, 0))[max(len(scores) - n_above - 1, 0)]
            self.lowest = max(self.lowest, min(float(highest), self.limit))
            while self.n_rows / self.every > SAMPLED * self.most_rows:
                self.every *= 2
            while self.n_event_rows / self.every_event > SAMPLED * self.most_rows:
                self.every_event *= 2
            kept = self._is_kept(told, None)
            told, n_above = _absorb(told, kept), n_above // 2
        self.parts = [told]

    def _is_kept(self, told: pd.DataFrame, last_above: Any) -> BoolArray:
        near = _is_near(told, self.rules, self.lowest, last_above)
        return near | told["pinned"].to_numpy() | self._is_sample(told)

    def _is_sample(self, told: pd.DataFrame) -> BoolArray:
        row, events = told["row"].to_numpy(), told["event"].to_numpy()
        sample: BoolArray = np.where(events, row % self.every_event, row % self.every) == 0
        return sample

    def _join(self, told: pd.DataFrame) -> None:
        """Tell the last row before a piece, and the first of it, of each other."""
        before, place = self.parts[-1], self.parts[-1].columns.get_loc("observed")
        step = float(told["time"].iloc[0] - before["time"].iloc[-1])
        before.iloc[-1, place] = step
        seen = [part for run, part in self.steps if run == told["run"].iloc[0] and len(part)]
        if seen and step > PERHAPS_A_GAP * 2 * np.median(seen[-1]):
            told.loc[0, "gap"] = step

    def _sample_steps(self, piece: Piece, shift: int) -> None:
        starts, times = piece.rows.run_starts, piece.rows.times
        for run, (begin, stop) in enumerate(zip(starts, np.append(starts[1:], len(times)), strict=True)):
            at = np.arange(begin, max(stop - 2, begin + 1), STEP_EVERY)
            three = times[np.minimum(at[:, None] + np.arange(3), stop - 1)]
            steps = np.diff(three, axis=1).ravel()
            self.steps.append((run + shift, steps[steps > 0]))

    def _index(self, told: pd.DataFrame, like: pd.Index) -> pd.Index:
        times = pd.Index(told["moment"])
        if like.nlevels == 1:
            return times.rename(like.name)
        run = told["run"].to_numpy()
        levels = [
            pd.Index([key[level] for key in self.runs], dtype=like.get_level_values(level).dtype).take(run)
            for level in range(like.nlevels - 1)
        ]
        return pd.MultiIndex.from_arrays([*levels, times], names=like.names)


def _is_near(told: pd.DataFrame, rules: Rules, lowest: float, last_above: Any) -> BoolArray:
    """Return at which rows an alarm could be on, and the first after each of them."""
    row, time, run = (told[name].to_numpy() for name in ("row", "time", "run"))
    before = (row[:1], time[:1], run[:1] - 1) if last_above is None else tuple(np.array([own]) for own in last_above)
    rows, times, runs = (np.concatenate([one, own]) for one, own in zip(before, (row, time, run), strict=True))
    at = np.append(0, np.where(told["score"].to_numpy() > lowest, np.arange(1, len(rows)), 0))
    last = np.maximum.accumulate(at)[1:]
    in_rows, in_time = _reach(rules)
    near = (runs[last] == run) & ((row - rows[last] <= in_rows) | (time - times[last] <= in_time))
    near[1:] |= near[:-1].copy()
    result: BoolArray = near
    return result


def _reach(rules: Rules) -> tuple[float, float]:
    """Return after how many rows, and how long, what a row above has done is over."""
    spans = [rules.merge_gap, rules.min_duration, rules.cooldown]
    in_rows = max([rules.window.bit_length(), *(span.length for span in spans if span.unit == ROWS)])
    return in_rows, max([-1.0, *(span.length for span in spans if span.unit == TIME)])


def _absorb(told: pd.DataFrame, kept: BoolArray) -> pd.DataFrame:
    """Return the rows that are kept, each standing for those after it that are not; the first is kept."""
    at = np.flatnonzero(kept)
    left = told[kept].reset_index(drop=True)
    for name in ("n_rows", "observed"):
        left[name] = np.add.reduceat(told[name].to_numpy(), at)
    return left


def _spread_rows(told: pd.DataFrame, is_sample: BoolArray, lowest: float) -> FloatArray:
    """Return how many rows each is counted as: one above the lowest score, else as the sample speaks for its label."""
    above, events = told["score"].to_numpy() > lowest, told["event"].to_numpy()
    n_rows = above.astype(np.float64)
    for own in (~above & events, ~above & ~events):
        drawn = own & is_sample if (own & is_sample).any() else own
        n_rows[drawn] = told["n_rows"].to_numpy()[own].sum() / max(drawn.sum(), 1)
    return n_rows


def _pinned(rows: RowIndex, events: BoolArray, scores: np.ndarray) -> BoolArray:
    """Return which rows are never left out: where runs and events begin and end, and the highest of each event."""
    pinned = np.zeros(len(scores), dtype=np.bool_)
    starts = rows.run_starts
    borders = np.concatenate([starts, np.flatnonzero(events[1:] != events[:-1]) + 1, [len(scores)]])
    pinned[borders[borders < len(scores)]] = True
    pinned[borders[borders > 0] - 1] = True
    first, last = find_events(events, starts)
    for begin, end in zip(first, last, strict=True):
        pinned[begin + int(np.argmax(scores[begin : end + 1]))] = True
    return pinned


def _steps_before(rows: RowIndex) -> np.ndarray:
    steps = np.append(0, np.diff(rows.times)).astype(np.float64)
    steps[rows.run_starts] = 0.0
    return steps


def _steps_after(rows: RowIndex) -> np.ndarray:
    """Return the time until the next row, NaN for the last of a run."""
    steps = np.append(np.diff(rows.times).astype(np.float64), np.nan)
    steps[rows.run_starts[1:] - 1] = np.nan
    return steps


def _as_index(steps: list[tuple[int, np.ndarray]], is_datetime: bool) -> RowIndex:
    """Return rows whose steps are those of a sample, (run, steps) each."""
    runs, values, before = [], [], -1
    for run, own in steps:
        values.append(own if run == before else np.append(0, own))
        runs.append(np.full(len(values[-1]), run, dtype=np.int32))
        before = run
    return RowIndex(np.concatenate(runs), np.cumsum(np.concatenate(values)), is_datetime)


def _run_of(index: pd.Index, row: int) -> Any:
    return index[row][:-1] if index.nlevels > 1 else ()
