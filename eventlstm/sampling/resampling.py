"""Resampling inside ``fit``: windows ``(n_windows, n_timesteps, n_channels)`` of an array or a log, labels and weights.

Windows that a sampler chooses go by their number and are not copied; windows that it makes come behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._validation import resample_as_fitted
from ..logs.log_windows import LogWindows
from ..logs.shared import warn
from .adapt import OF_ONE_CLASS, adapt_sampler, chooses_rows, draws_blindly, run_sampler
from .temporal_oversampler import TemporalOversampler


class Resampled(NamedTuple):
    """What to train on after sampling: the chosen windows, then those that were made."""

    values: Any  # (n_new, n_timesteps, n_channels), an array or LogWindows
    y: np.ndarray  # (n_new,)
    weight: np.ndarray | None  # (n_new,), or None where none came
    counts: dict[Any, int]  # windows of each class
    lengths: np.ndarray | None  # (n_new,), or None where none came
    origin: np.ndarray  # (n_new,) number of the window that came, -1 for one that was made
    sampler: Any  # the sampler that has run, fitted


class Choice(NamedTuple):
    """What a sampler has done to windows."""

    chosen: np.ndarray  # (n_chosen,) numbers of windows
    y: np.ndarray  # (n_chosen + n_made,)
    made: Any  # (n_made, n_timesteps, n_channels), an array or LogWindows; or None
    sampler: Any


def resample(
    sampler: Any,
    windows: Any,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    lengths: np.ndarray | None = None,
    categorical_channels: Sequence[int] = (),
    random_state: Any = None,
) -> Resampled:
    """Return windows to train on, chosen or made by a sampler.

    Parameters
    ----------
    sampler : object with fit_resample, or None
        A sampler of imbalanced-learn, `TemporalOversampler`, or one of your own; None changes nothing.
    windows : ndarray of shape (n_windows, n_timesteps, n_channels) or LogWindows
        The windows.
    y : ndarray of shape (n_windows,)
        Their classes.
    weight : ndarray of shape (n_windows,), optional
        Their weights; windows of weight zero are left out. Chosen windows keep theirs, made ones get the mean of
        their class.
    lengths : ndarray of shape (n_windows,), optional
        Steps of each window before its padding.
    categorical_channels : sequence of int, default=()
        Channels that hold codes, which no sampler may mix.
    random_state : int, RandomState or None, default=None
        Seed of samplers that have none; None leaves them without.

    Returns
    -------
    Resampled
        Windows, classes and weights. Windows of a log stay windows of a log; made ones are put behind its rows, each
        a stretch of its own.

    Raises
    ------
    ValueError
        If there is one class only or the sampler leaves out a class, makes values that are no codes, or makes windows
        where lengths differ.

    Notes
    -----
    ========================================================  =======================================================
    Sampler                                                   Windows that are copied
    ========================================================  =======================================================
    RandomUnderSampler, RandomOverSampler                     none: they go by number
    TemporalOversampler                                       none: the new ones are further views of the log
    SMOTE, SMOTENC                                            those of the classes added to
    NearMiss, TomekLinks and others that choose by distance   all while they choose, none after
    any other                                                 all while it runs, the made ones after
    ========================================================  =======================================================

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn.under_sampling import RandomUnderSampler
    >>> from eventlstm.sampling.resampling import resample
    >>> X = np.arange(24.0).reshape(6, 2, 2)
    >>> sampled = resample(RandomUnderSampler(), X, np.array([0, 0, 0, 0, 1, 1]), random_state=0)
    >>> sampled.counts, sampled.values.shape
    ({0: 2, 1: 2}, (4, 2, 2))
    """
    used = np.arange(len(y)) if weight is None or sampler is None else np.flatnonzero(weight > 0)
    if len(used) < len(y):
        windows, y = windows.take(used, axis=0), y[used]
    choice = _choose(sampler, windows, y, categorical_channels, random_state)
    _check_choice(choice, windows, y, lengths, categorical_channels)
    n_made = len(choice.y) - len(choice.chosen)
    chosen = used[choice.chosen]
    return Resampled(
        values=_join(windows, choice.chosen, choice.made),
        y=choice.y,
        weight=None if weight is None else _weigh(weight[used], y, choice),
        counts=dict(zip(*(part.tolist() for part in np.unique(choice.y, return_counts=True)), strict=True)),
        lengths=None if lengths is None else lengths[chosen],
        origin=np.append(chosen, np.full(n_made, -1)),
        sampler=choice.sampler,
    )


def code_columns(channels: Sequence[int], n_steps: int, n_channels: int) -> list[int]:
    """Return the columns of flattened windows that belong to these channels."""
    return sorted(step * n_channels + channel for step in range(n_steps) for channel in channels)


def _choose(sampler: Any, windows: Any, y: np.ndarray, channels: Sequence[int], random_state: Any) -> Choice:
    """Run a sampler on as little of the windows as it needs."""
    if sampler is None:
        return Choice(np.arange(len(y)), y, None, None)
    _, n_steps, n_channels = windows.shape
    columns = code_columns(channels, n_steps, n_channels)
    sampler = adapt_sampler(sampler, y, columns, n_steps * n_channels, random_state)
    if draws_blindly(sampler):
        _, labels = sampler.fit_resample(np.zeros((len(y), 1)), y)
        return Choice(sampler.sample_indices_, labels, None, sampler)
    if isinstance(sampler, TemporalOversampler):
        more, labels = sampler.fit_resample(windows, y)
        return Choice(np.arange(len(y)), labels, more.take(np.arange(len(y), len(labels))), sampler)
    if type(sampler) in OF_ONE_CLASS:
        return _add_to_classes(sampler, windows, y)
    return _choose_from_table(sampler, windows, y)


def _add_to_classes(sampler: Any, windows: Any, y: np.ndarray) -> Choice:
    """Run SMOTE on the classes that it adds to, as it looks at no other; the result is what the whole table gives."""
    _, n_steps, n_channels = windows.shape
    sampler.fit(np.zeros((len(y), 1)), y)  # finds how many to make of which class
    added = np.flatnonzero(np.isin(y, [label for label, n in sampler.sampling_strategy_.items() if n > 0]))
    chosen = np.arange(len(y))
    if not len(added):
        return Choice(chosen, y, None, sampler)
    flat = np.asarray(windows[added]).reshape(len(added), -1)
    sampler.n_features_in_ = flat.shape[1]
    table, labels = resample_as_fitted(sampler, flat, y[added])
    made = table[len(added) :].reshape(-1, n_steps, n_channels)
    return Choice(chosen, np.append(y, labels[len(added) :]), made, sampler)


def _choose_from_table(sampler: Any, windows: Any, y: np.ndarray) -> Choice:
    """Run a sampler on all windows, flattened, and tell the windows it has chosen from those it has made."""
    _, n_steps, n_channels = windows.shape
    flat = np.asarray(windows).reshape(len(y), -1)
    table, labels, sampler = run_sampler(sampler, flat, y)
    if chooses_rows(sampler):
        return Choice(sampler.sample_indices_, labels, None, sampler)
    origin = _find_rows(table, flat)
    is_made = origin < 0
    order = np.argsort(is_made, kind="stable")
    made = table[is_made].reshape(-1, n_steps, n_channels) if is_made.any() else None
    return Choice(origin[~is_made], labels[order], made, sampler)


def _find_rows(table: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return which row each row of a table equals, (n_rows,), -1 for none."""
    if len(table) >= len(among) and np.array_equal(table[: len(among)], among):  # as over-samplers leave it
        return np.append(np.arange(len(among)), np.full(len(table) - len(among), -1))
    numbers = {(row + 0.0).tobytes(): number for number, row in enumerate(among)}  # -0.0 and 0.0 are one
    return np.array([numbers.get((row + 0.0).astype(among.dtype).tobytes(), -1) for row in table], dtype=np.intp)


def _join(windows: Any, chosen: np.ndarray, made: Any) -> Any:
    """Return the chosen windows and the made ones behind them."""
    everything = np.array_equal(chosen, np.arange(len(windows)))
    kept = windows if everything else windows.take(chosen, axis=0)
    if made is None:
        return kept
    if not len(kept):
        return made
    if isinstance(windows, LogWindows):
        return _extend_log(kept, made)
    return np.concatenate([kept, made.astype(kept.dtype, copy=False)])


def _extend_log(windows: LogWindows, made: Any) -> LogWindows:
    """Return windows of a log with more behind them: of the same log, or an array that becomes part of it."""
    if isinstance(made, LogWindows):
        ends, more = made.ends, windows.take(np.arange(len(windows)))
    else:
        n_rows, (n_made, n_steps, n_channels) = len(windows.values), made.shape
        firsts = n_rows + n_steps * np.arange(n_made)
        values = np.concatenate([windows.values, made.reshape(-1, n_channels)])
        starts = np.append(windows.starts, firsts)
        more = LogWindows.from_stretches(values, starts, n_steps, stride=n_steps)
        ends = firsts + n_steps - 1
    more.ends = np.append(windows.ends, ends)
    return more


def _weigh(weight: np.ndarray, y: np.ndarray, choice: Choice) -> np.ndarray:
    """Return the weights of chosen windows, and for made ones the mean of their class."""
    classes, number = np.unique(y, return_inverse=True)
    means = np.bincount(number, weights=weight) / np.bincount(number)
    of_made = choice.y[len(choice.chosen) :]
    return np.append(weight[choice.chosen], means[np.searchsorted(classes, of_made)])


def _check_choice(
    choice: Choice, windows: Any, y: np.ndarray, lengths: np.ndarray | None, channels: Sequence[int]
) -> None:
    """Refuse what a sampler must not do, and warn of what is of little use."""
    name = type(choice.sampler).__name__
    lost = np.setdiff1d(y, choice.y)
    if len(lost):
        raise ValueError(
            f"{name} left no window of class {lost.tolist()}. Take a sampler that removes less, such as "
            "RandomUnderSampler."
        )
    if choice.made is None or isinstance(choice.made, LogWindows):
        return
    if lengths is not None:
        raise ValueError(
            f"{name} makes windows between others, which have no common end when lengths differ. Take "
            "RandomOverSampler or RandomUnderSampler, or windows of one length."
        )
    for channel in channels:
        _refuse_new_codes(name, windows, choice.made, channel)
    if isinstance(windows, LogWindows) and _overlap(windows, np.isin(y, choice.y[len(choice.chosen) :])):
        warn(
            f"{name} makes windows between windows that overlap on the log: most come out as shifted copies, from "
            "which there is little to learn. Take class_weight, TemporalOversampler, or a stride of window_size."
        )


def _refuse_new_codes(name: str, windows: Any, made: np.ndarray, channel: int) -> None:
    """Refuse values of a channel of codes that are not among the codes."""
    is_log = isinstance(windows, LogWindows)
    codes = windows.values[:, channel] if is_log else windows[:, :, channel]
    new = np.setdiff1d(made[:, :, channel], codes)
    if len(new):
        raise ValueError(
            f"{name} made values that are no codes in categorical channel {channel}, such as {new[0]}. Take SMOTE, "
            "which gives way to SMOTENC, or a sampler that only chooses windows."
        )


def _overlap(windows: LogWindows, of_class: np.ndarray) -> bool:
    """Return whether some windows of these share rows of the log."""
    ends = np.sort(windows.ends[of_class])
    stretch = np.searchsorted(windows.starts, ends, side="right")
    return bool(((np.diff(ends) < windows.window_size) & (np.diff(stretch) == 0)).any())
