"""What a model keeps of the rows it was fitted on, so that they are known again in a later log.

A hash of each row is taken, of its time and its values; the smallest of them are a random sample that depends on the
rows alone. The same rows of a later log have hashes as small, so that the share of them in the sample is the share of
rows that were learnt from, wherever they lie and whatever is missing between them (Broder, "On the resemblance and
containment of documents", 1997). Hashes are of float32 values and forget the order of columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from .checking import says_time
from .index import RowIndex, read_index
from .steps import BLOCK_ROWS

Hashes = npt.NDArray[np.uint64]

# Hashes kept, eight bytes each: the share is known to .02, and an excerpt of a hundredth of the log brings five.
N_HASHES = 512
# Runs whose name, times and rows are kept, for excerpts too short to hold a row of the sample.
MOST_RUNS = 64
# Rows of the sample from which on the times are not asked, and what is too unlikely to believe them with fewer.
ENOUGH_ROWS, UNLIKELY = 8, 0.05
# Rows without a time are hashed with so many before them, for a row of a few whole numbers comes again by chance.
LINKED_ROWS = 3
# The multipliers and shifts of splitmix64 (Steele, Lea and Flood, 2014).
GOLDEN, FIRST, SECOND = (np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
SHIFTS = tuple(np.uint64(value) for value in (30, 27, 31))
NAN_BITS = np.uint32(0x7FC00000)  # one of the many patterns that are no number, for all of them


class Overlap(NamedTuple):
    """How much of a log was learnt from."""

    share: float  # of its rows
    is_known: bool  # whether rows were compared; else their times lie in those of a run of the same name


def take_fingerprint(X: Any, values: np.ndarray) -> dict[str, Any]:
    """Return what to keep of a log.

    Parameters
    ----------
    X : DataFrame or array of shape (n_rows, n_sensors)
        The log, whose index says run and time.
    values : array of shape (n_rows, n_sensors)
        Its values.

    Returns
    -------
    dict
        "hashes", the smallest of the rows, rising, "is_sample", whether there are others, and of each of the first
        runs "run", its name, "first" and "last", its times as numbers, and "n_rows".
    """
    index = read_index(X)
    hashes = np.unique(hash_rows(X, values, index))
    first = index.run_starts
    last = np.append(first[1:], len(index.runs)) - 1
    shown = slice(MOST_RUNS)
    return {
        "hashes": hashes[:N_HASHES],
        "is_sample": len(hashes) > N_HASHES,
        "run": _run_names(X, first[shown]),
        "first": index.times[first[shown]],
        "last": index.times[last[shown]],
        "n_rows": (last - first + 1)[shown],
    }


def find_overlap(fingerprint: dict[str, Any], X: Any, values: np.ndarray) -> Overlap:
    """Return how much of a log is known again by a fingerprint; the arguments are those of `take_fingerprint`."""
    known: Hashes = fingerprint["hashes"]
    index = read_index(X)
    asked = np.unique(hash_rows(X, values, index))
    if fingerprint["is_sample"]:
        asked = asked[asked <= known[-1]]
    found = np.isin(asked, known)
    if len(asked) < ENOUGH_ROWS and not found.any():
        within = _share_of_times(fingerprint, X, index)
        if (1.0 - within) ** len(asked) > UNLIKELY:  # that none of so many rows is known, were this the share
            return Overlap(within, False)
    return Overlap(float(found.mean()), True)


def hash_rows(X: Any, values: np.ndarray, index: RowIndex) -> Hashes:
    """Return a hash of each row, (n_rows,); `index` is that of `X`, read."""
    hashes, is_timed = np.empty(len(values), dtype=np.uint64), says_time(X)
    for begin in range(0, len(values), BLOCK_ROWS):  # bits of all rows would be a second log in memory
        block = slice(begin, begin + BLOCK_ROWS)
        mixed = _mix(_bits(values[block])).sum(axis=1, dtype=np.uint64)
        hashes[block] = _mix(mixed + _mix(_time_bits(index, block))) if is_timed else mixed
    if is_timed:
        return hashes
    linked = hashes.copy()
    for back in range(1, LINKED_ROWS):
        linked[back:] += _mix(hashes[:-back] + np.uint64(back))
    return _mix(linked)


def _time_bits(index: RowIndex, block: slice) -> Hashes:
    times = index.times[block]
    return times.view(np.uint64) if index.is_datetime else _bits(times)


def _bits(numbers: np.ndarray) -> Hashes:
    """Return numbers as those of their bits in float32, in which a log reads alike from all kinds of files."""
    with np.errstate(over="ignore"):
        short = numbers.astype(np.float32) + np.float32(0.0)  # zero has one sign
    return np.where(np.isnan(short), NAN_BITS, short.view(np.uint32)).astype(np.uint64)


def _mix(numbers: Hashes) -> Hashes:
    """Return numbers whose bits each depend on all bits of those given."""
    mixed = numbers + GOLDEN
    mixed = (mixed ^ (mixed >> SHIFTS[0])) * FIRST
    mixed = (mixed ^ (mixed >> SHIFTS[1])) * SECOND
    result: Hashes = mixed ^ (mixed >> SHIFTS[2])
    return result


def _run_names(X: Any, rows: np.ndarray) -> list[str]:
    """Return the name of the run of each of some rows, as a file would hold it."""
    index = getattr(X, "index", None)
    if not isinstance(index, pd.MultiIndex):
        return [""] * len(rows)
    return [str(run) for run in index[rows].droplevel(-1)]


def _share_of_times(fingerprint: dict[str, Any], X: Any, index: RowIndex) -> float:
    """Return the share of rows that lie between the first and the last time of a run of the same name."""
    if not (says_time(X) and index.is_datetime and len(index.times)):
        return 0.0
    spans = dict(zip(fingerprint["run"], zip(fingerprint["first"], fingerprint["last"], strict=True), strict=True))
    starts = index.run_starts
    within = 0
    for name, times in zip(_run_names(X, starts), np.split(index.times, starts[1:]), strict=True):
        first, last = spans.get(name, (1, 0))
        within += int(((times >= first) & (times <= last)).sum())
    return within / len(index.times)
