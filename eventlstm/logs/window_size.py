"""How long a window should be: as long as the sensors of a log repeat or remember themselves.

Two curves over the lag, in rows, tell it of each sensor: its autocorrelation, and the informational correlation, which
is the mutual information of two rows on the scale of a correlation. Both pair rows of one stretch only.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from .autocorrelation import autocorrelation, falling
from .index import read_index
from .sensor_values import refuse_no_sensors
from .shared import FloatArray, IntArray
from .steps import cut_stretches, longest_steps

METHODS = ("acf", "mutual_information", "both")
# Lags looked at unless told otherwise: recurrent layers seldom make use of more steps than that.
LONGEST_WINDOW = 512
# The longest lag leaves this share of the rows a partner: a log of four periods shows what repeats.
LEAST_PAIRED = 0.75
# Standard errors by which a correlation, or a peak over its valleys, must stand out from chance: among the 512 lags of
# white noise, three are exceeded more often than not.
CLEAR = 4.0
# A lower peak is no period that a window has to show: of a sensor, a fifth of what varies from row to row repeats.
LEAST_HEIGHT = 0.2
# A peak this near the highest is the period, later ones are its multiples.
NEAR_HIGHEST = 0.8
# Pairs that the mutual information of one lag is taken from: its error is then far below that of short logs, and
# 512 lags of 8 sensors take about a second.
MOST_PAIRS = 20_000
MOST_BINS, FEWEST_BINS = 16, 4
PAIRS_PER_CELL = 10  # effective pairs in a cell of the joint histogram, which its number of bins follows


class WindowSize(int):
    """A window size in rows that knows where it comes from, and otherwise is an int.

    Parameters
    ----------
    rows : int
        The window size.
    sensors : DataFrame, optional
        What each sensor says; see Attributes.
    curves : dict of str to DataFrame, optional
        The curve of each method; see Attributes.

    Attributes
    ----------
    sensors : DataFrame of shape (n_sensors, 4)
        One row a sensor under its name, constant ones left out. In rows of the log: "memory", the lags until the
        curve, or the later of both, has fallen to 1/e of its value at lag one (NaN where it does not within the
        longest lag); "period", the lag at which the autocorrelation peaks again (NaN without a clear peak); "window",
        the longer of the two, or the longest lag where there is neither. "clear" is False for a sensor without
        correlation from row to row, which has no part in the choice.
    curves : dict of str to DataFrame of shape (n_lags + 1, n_sensors)
        "acf" and "mutual_information", as asked: what `suggest_window_size` read this from, by lag.

    See Also
    --------
    suggest_window_size : Makes one.
    eventlstm.plots.WindowSizeDisplay : Draws one.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import suggest_window_size
    >>> size = suggest_window_size(np.sin(2 * np.pi * np.arange(300) / 24)[:, None])
    >>> size, size + 1, size.sensors["period"].tolist()
    (24, 25, [24.0])
    """

    sensors: pd.DataFrame
    curves: dict[str, pd.DataFrame]

    def __new__(
        cls, rows: int, sensors: pd.DataFrame | None = None, curves: dict[str, pd.DataFrame] | None = None
    ) -> Self:
        """Make the int, and attach what it was read from."""
        self = super().__new__(cls, rows)
        self.sensors = pd.DataFrame() if sensors is None else sensors
        self.curves = {} if curves is None else curves
        return self


def suggest_window_size(
    X: Any, *, method: str = "both", max_window: int | None = None, max_gap: Any = "auto"
) -> WindowSize:
    """Suggest a window size from how long the sensors of a log repeat or remember themselves.

    Parameters
    ----------
    X : DataFrame or array of shape (n_rows, n_sensors)
        A log, as recorded: missing values (NaN) are passed over, and no labels are needed. Its index says run and
        time; an array is one run.
    method : {"acf", "mutual_information", "both"}, default="both"
        What is read: the autocorrelation, which sees linear dependence; the mutual information of a sensor with
        itself some rows earlier, which sees any; or of each sensor the longer of both windows.
    max_window : int, default=None
        The longest lag looked at, in rows, and the longest window suggested. None is 512, or as many as leave three
        quarters of the rows a partner within their stretch, which is fewer in a short log.
    max_gap : "auto", None, number or time span, default="auto"
        The longest step between two rows of one stretch, as in `LogWindows`.

    Returns
    -------
    WindowSize
        An int, to be passed as `window_size`: the median over the sensors. It also holds each sensor's figures
        (`sensors`) and the curves they were read from (`curves`).

    Raises
    ------
    ValueError
        If a parameter is out of range, the log holds text or infinity, no sensor varies, or no stretch is as long as
        four rows.

    See Also
    --------
    eventlstm.plots.WindowSizeDisplay : The curves, and where they were read.

    Notes
    -----
    A window should show one whole period of what repeats, and of what does not, the rows that still bear on the
    present one [1]_. Each sensor is read after its mean over the run has been taken off, so that machines may run at
    different levels. Curves are compared with their value at lag one, which leaves white noise of the instrument
    out: it is present at lag zero only. What is read must exceed four standard errors, by Bartlett's formula [2]_.

    The mutual information I, in nats, of values in bins of equal mass, less the bias of the histogram, is put on the
    scale of a correlation, sqrt(1 - exp(-2 I)), which for normal values is their correlation without its sign [3]_.
    It tells a sensor's memory, but not its period, as a sine tells as much of itself half a period later: where the
    autocorrelation shows a period, the memory is read from it as well.

    Take it as a first guess and search around it, such as half and twice as long: it knows nothing of the events.
    For warnings, a window need not be longer than the time in which failures announce themselves. Mind the size of
    the log as well: it holds only ``len(X) / window_size`` windows that do not overlap. With less than some 100 of
    them, or less than one window of history before most events, take a shorter one.

    References
    ----------
    .. [1] Ermshaus, Schäfer and Leser, "Window size selection in unsupervised time series analytics: a review and
       benchmark", AALTD, 2022.
    .. [2] Bartlett, "On the theoretical specification and sampling properties of autocorrelated time-series", Journal
       of the Royal Statistical Society, 1946.
    .. [3] Linfoot, "An informational measure of correlation", Information and Control, 1957.

    Examples
    --------
    >>> import eventlstm as el
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=5, failures_per_machine=1, random_state=0)
    >>> size = el.suggest_window_size(log.X, max_window=144)
    >>> model = el.EventClassifier(el.LSTMClassifier(), window_size=size)
    >>> size.sensors.columns.tolist()
    ['memory', 'period', 'window', 'clear']
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} is unknown. Choose one of {list(METHODS)}.")
    series = _read_series(X, max_gap)
    acf = autocorrelation(series.values, series.starts, _longest_lag(series, max_window))
    effective = _effective_rows(acf, series)
    linear = _Curve(acf, CLEAR / np.sqrt(_count_rows(series)))
    curves = {} if method == "mutual_information" else {"acf": linear}
    if method != "acf":
        curves["mutual_information"] = _informational_correlation(series, acf, effective)
    sensors = _read_sensors([*curves.values()], linear, CLEAR / np.sqrt(effective), series.names)
    tables = {name: pd.DataFrame(curve.values, columns=series.names) for name, curve in curves.items()}
    return WindowSize(_join(sensors), sensors, {name: table.rename_axis("lag") for name, table in tables.items()})


class _Series(NamedTuple):
    """The sensors that vary, about the mean of each run."""

    values: FloatArray  # (n_rows, n_sensors), NaN where missing
    starts: IntArray  # first row of each stretch
    names: pd.Index


class _Curve(NamedTuple):
    """A correlation by lag, and what is clear of chance."""

    values: FloatArray  # (n_lags + 1, n_sensors)
    least: FloatArray  # (n_sensors,) at lag one, of white noise


def _read_series(X: Any, max_gap: Any) -> _Series:
    values = _numbers(X)
    if values.ndim != 2 or np.isinf(values).any():
        raise ValueError(
            f"X has shape {values.shape} and {np.isinf(values).sum()} infinite values. Pass rows by sensors, such as "
            "X.to_frame() of one sensor, with NaN where a value is missing."
        )
    rows = read_index(X)
    by_run = pd.DataFrame(values).groupby(rows.runs)
    spread = (by_run.max() - by_run.min()).max().to_numpy()
    varies = spread > 0  # NaN, of a sensor that is missing throughout, is not
    if not varies.any():
        raise ValueError("No sensor of X varies within a run, so nothing tells how long a window should be. Set it.")
    centred = values - by_run.transform("mean").to_numpy()
    names = getattr(X, "columns", pd.RangeIndex(values.shape[1]))
    return _Series(centred[:, varies], cut_stretches(rows, longest_steps(rows, max_gap)), names[varies])


def _numbers(X: Any) -> FloatArray:
    refuse_no_sensors(X)
    return np.asarray(X, dtype=np.float64)


def _longest_lag(series: _Series, max_window: int | None) -> int:
    """Return the longest lag looked at, which leaves enough of the rows a partner."""
    if max_window is not None and max_window < 2:
        raise ValueError(f"max_window={max_window} leaves nothing to choose from. Pass at least 2 rows.")
    lengths = np.diff(series.starts, append=len(series.values))
    longest = int(lengths.max()) - 1 if max_window is not None else int((1 - LEAST_PAIRED) * len(series.values))
    lags = np.arange(1, longest + 1)
    paired = _paired(lengths, lags)
    if max_window is None:
        lags = lags[paired >= LEAST_PAIRED * len(series.values)]
    longest = min(len(lags), LONGEST_WINDOW if max_window is None else max_window)
    if longest < 2:
        raise ValueError(
            f"The longest stretch of X has {lengths.max()} rows, most have fewer: too few to see what repeats. Pass a "
            "longer log, a larger max_gap, or set the window size yourself."
        )
    return longest


def _paired(lengths: IntArray, lags: IntArray) -> IntArray:
    """Return the number of rows that have a partner `lags` later in their stretch."""
    longest_last = np.sort(lengths)
    longer = np.searchsorted(longest_last, lags, side="right")  # stretches up to here are too short
    total = np.append(np.cumsum(longest_last[::-1])[::-1], 0)
    return total[longer] - lags * (len(lengths) - longer)


def _effective_rows(acf: FloatArray, series: _Series) -> FloatArray:
    """Return how many independent rows would give correlations as exact as those of these rows.

    Bartlett's sum is taken over the first fall of the curve to zero: what repeats would add to it for ever.
    """
    return np.maximum(_count_rows(series) / (1.0 + 2.0 * (falling(acf[1:]) ** 2).sum(axis=0)), 1.0)


def _count_rows(series: _Series) -> IntArray:
    return np.isfinite(series.values).sum(axis=0)


def _informational_correlation(series: _Series, acf: FloatArray, effective: FloatArray) -> _Curve:
    """Return the mutual information of rows some lags apart, on the scale of a correlation."""
    lengths = np.diff(series.starts, append=len(series.values))
    left = np.repeat(series.starts + lengths, lengths) - np.arange(len(series.values)) - 1  # rows to come in a stretch
    every = 1 + len(left) // MOST_PAIRS
    rows = np.arange(0, len(left), every)
    pairs = [(first := rows[left[rows] >= lag], first + lag) for lag in range(1, len(acf))]
    columns = [
        _inform(values, pairs, falling(own[every::every]), known)
        for values, own, known in zip(series.values.T, acf.T, effective, strict=True)
    ]
    curve, least = (np.stack(column, axis=-1) for column in zip(*columns, strict=True))
    return _Curve(curve, least)


def _inform(
    values: FloatArray, pairs: list[tuple[IntArray, IntArray]], acf: FloatArray, effective: float
) -> tuple[FloatArray, FloatArray]:
    """Return the informational correlation of one sensor at all lags, and what is clear of chance, as in `_Curve`."""
    codes, n_bins = _bin(values, int(np.clip(np.sqrt(effective / PAIRS_PER_CELL), FEWEST_BINS, MOST_BINS)))
    codes = codes.astype(np.int16)  # a log of a million rows then stays in the cache
    information = np.array([_mutual_information(codes[one], codes[other], n_bins) for one, other in pairs])
    n_pairs = np.array([max(len(one), 1) for one, _ in pairs]) * np.isfinite(values).mean()
    curve = _as_correlation(information - _bias(acf, n_bins) / n_pairs)
    # twice the information of independent rows, times the pairs, is chi-squared with (n_bins - 1)² degrees of freedom
    return np.append(1.0, curve), _as_correlation(CLEAR * (n_bins - 1) / np.sqrt(2) / n_pairs[:1])[0]


def _bias(acf: FloatArray, n_bins: int) -> float:
    """Return what chance adds to the mutual information of two columns with an autocorrelation, times the pairs.

    Of normal values, the powers m and n of two columns (Hermite's polynomials, which n_bins - 1 contrasts between bins
    stand for) correlate by chance with a variance of 1 + 2 sum acf^(m + n), by Bartlett's formula for each.
    """
    orders = np.add.outer(np.arange(1, n_bins), np.arange(1, n_bins)).ravel()
    return float((1.0 + 2.0 * (acf[:, None] ** orders).sum(axis=0)).sum()) / 2.0


def _bin(values: FloatArray, n_bins: int) -> tuple[IntArray, int]:
    """Return the bin of each value, -1 where it is missing, and how many bins there are: fewer where values repeat."""
    known = np.isfinite(values)
    edges = np.unique(np.quantile(values[known], np.arange(1, n_bins) / n_bins, method="higher"))
    edges = edges[edges > values[known].min()]
    return np.where(known, np.searchsorted(edges, values, side="right"), -1), len(edges) + 1


def _mutual_information(one: IntArray, other: IntArray, n_bins: int) -> float:
    """Return the mutual information of two columns of bins, in nats."""
    with_missing = np.bincount((one + 1) * (n_bins + 1) + (other + 1), minlength=(n_bins + 1) ** 2)
    cells = with_missing.reshape(n_bins + 1, n_bins + 1)[1:, 1:]
    if not cells.any():
        return 0.0
    joint = cells / cells.sum()
    apart = joint.sum(axis=1)[:, None] * joint.sum(axis=0)
    held = joint > 0
    return float((joint[held] * np.log(joint[held] / apart[held])).sum())


def _as_correlation(information: FloatArray) -> FloatArray:
    return np.sqrt(1.0 - np.exp(-2.0 * np.maximum(information, 0.0)))


def _read_sensors(curves: list[_Curve], linear: _Curve, least: FloatArray, names: pd.Index) -> pd.DataFrame:
    """Return memory, period and window of each sensor; `least` is the lowest clear peak of `linear`, the acf."""
    least = np.maximum(least, LEAST_HEIGHT)
    period = np.array([_period(*sensor) for sensor in zip(linear.values.T, least, strict=True)])
    memory = np.stack([_memory(curve) for curve in curves]).max(axis=0)  # NaN where one has not fallen
    memory = np.where(np.isnan(period), memory, _memory(linear))
    window = np.fmax(period, memory)
    window = np.where(np.isnan(window), len(linear.values) - 1, window)
    clear = np.any([curve.values[1] > curve.least for curve in curves] + [period > 0], axis=0)
    return pd.DataFrame({"memory": memory, "period": period, "window": window, "clear": clear}, index=names)


def _memory(curve: _Curve) -> FloatArray:
    """Return the lags after the first until each curve has fallen to 1/e, NaN where it does not."""
    fallen = curve.values[1:] <= curve.values[1] / np.e
    memory = np.where(fallen.any(axis=0), fallen.argmax(axis=0), np.nan)
    return np.where(curve.values[1] > curve.least, memory, 1.0)


def _period(acf: FloatArray, least: float) -> float:
    """Return the lag of the first clear peak that is about as high as the highest, or NaN."""
    peaks, _ = find_peaks(acf[1:], height=least, prominence=least)
    if not len(peaks):
        return np.nan
    high = acf[1:][peaks] >= NEAR_HIGHEST * acf[1:][peaks].max()
    return float(peaks[high][0] + 1)


def _join(sensors: pd.DataFrame) -> int:
    """Return the median window of the sensors that tell one."""
    telling = sensors["window"][sensors["clear"]]
    return int(np.ceil(np.median(telling if len(telling) else sensors["window"])))
