"""What is in a log: how long sensors remember, and which of them stand out when, drawn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from ..logs.events import list_events
from ..logs.index import read_index
from ..logs.steps import find_stretches
from ..logs.window_size import suggest_window_size
from .drawing import axes_for, date_axis, refuse_other_length, refuse_other_shape

CORRELATIONS = {"acf": ("autocorrelation", "C0"), "mutual_information": ("mutual information", "C1")}
MOST_COLUMNS = 1000  # more than a figure has pixels for


class WindowSizeDisplay:
    """How long the sensors of a log remember or repeat themselves, and the window size read from it.

    Parameters
    ----------
    window_size : int
        Rows in a window.
    curves : dict of str to array-like of shape (n_lags + 1, n_sensors)
        A curve a sensor by lag, for each method: the `curves` of a `WindowSize`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    eventlstm.suggest_window_size : The number by itself.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.plots import WindowSizeDisplay
    >>> display = WindowSizeDisplay.from_log(np.sin(np.arange(200) / 4)[:, None])
    >>> display.window_size, display.ax_.get_xlabel()
    (25, 'lag (rows)')
    """

    def __init__(self, window_size: int, curves: dict[str, Any]) -> None:
        self.window_size = window_size
        self.curves = {method: np.asarray(curve, dtype=float) for method, curve in curves.items()}
        for method, curve in self.curves.items():
            refuse_other_shape(f"curves[{method!r}]", curve, "(n_lags + 1, n_sensors)")

    @classmethod
    def from_log(
        cls, X: Any, *, method: str = "both", max_window: int | None = None, max_gap: Any = "auto", ax: Any = None
    ) -> Self:
        """Suggest a window size for a log, and plot what it was read from.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log.
        method : {"acf", "mutual_information", "both"}, default="both"
            As in `suggest_window_size`.
        max_window : int, default=None
            The longest lag, as in `suggest_window_size`.
        max_gap : "auto", None, number or time span, default="auto"
            The longest step within a stretch, as in `suggest_window_size`.
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        WindowSizeDisplay
            The plot.
        """
        size = suggest_window_size(X, method=method, max_window=max_window, max_gap=max_gap)
        return cls(size, size.curves).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curves of all sensors, in one colour a method, and the window size.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        WindowSizeDisplay
            The plot.
        """
        self.ax_, self.figure_ = axes_for(ax)
        for method, curve in self.curves.items():
            name, color = CORRELATIONS.get(method, (method, None))
            lines = self.ax_.plot(curve, color=color, alpha=0.6, linewidth=0.9)
            lines[0].set_label(name)
        self.ax_.axhline(0, color="grey", linewidth=0.8)
        self.ax_.axvline(self.window_size, color="black", linestyle="--", label=f"window of {self.window_size} rows")
        self.ax_.set(xlabel="lag (rows)", ylabel="correlation of each sensor", xlim=(0, None))
        self.ax_.legend(frameon=False)
        return self


class AttributionDisplay:
    """Heat map of which sensors a score is due to, along a log or event by event.

    Parameters
    ----------
    shares : DataFrame or array-like of shape (n_columns, n_sensors)
        Shares that sum to one over the sensors, for each row of a log or each event: what `attribution` of
        `AnomalyDetector`, `EventClassifier` and `EventBlend` returns.
    events : DataFrame of shape (n_columns, n_event_columns), optional
        The events that the shares are of, which then name the columns of the map by "run" and "start".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.
    colorbar_ : matplotlib Colorbar
        What the colours stand for.

    See Also
    --------
    eventlstm.AnomalyDetector.attribution : The shares in a score without labels.
    eventlstm.EventClassifier.attribution : The shares in what raises a probability.

    Notes
    -----
    On quiet rows the shares are those of noise, and change from row to row. Where there are more rows than columns to
    draw, each shows the mean of some. A fault spreads: look at where an event begins.

    Examples
    --------
    >>> import pandas as pd
    >>> from eventlstm.plots import AttributionDisplay
    >>> shares = pd.DataFrame({"pressure": [0.9, 0.2], "flow": [0.1, 0.8]})
    >>> display = AttributionDisplay(shares, events=pd.DataFrame({"run": [0, 0], "start": [12, 80]})).plot()
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['pressure', 'flow']
    """

    def __init__(self, shares: Any, *, events: pd.DataFrame | None = None) -> None:
        self.shares = shares if isinstance(shares, pd.DataFrame) else pd.DataFrame(np.asarray(shares, dtype=float))
        refuse_other_shape("shares", self.shares.to_numpy(), "(n_columns, n_sensors)")
        refuse_other_length("events", events, len(self.shares), "columns")
        self.events = events

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, events: Any = None, ax: Any = None) -> Self:
        """Plot the attribution of a fitted detector or classifier of logs.

        Parameters
        ----------
        estimator : AnomalyDetector, EventClassifier or EventBlend
            A fitted estimator; a detector is one that forecasts or reconstructs.
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log.
        events : DataFrame, optional
            Events of this log, as `to_events` or `AlarmPolicy.to_events` tell them, to draw a column for each; default:
            the whole log.
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        AttributionDisplay
            The plot.
        """
        return cls(estimator.attribution(X, events), events=events).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw a line a sensor, from the first at the top, and a column a row, a block of rows, or an event.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        AttributionDisplay
            The plot.
        """
        self.ax_, self.figure_ = axes_for(ax)
        highest = float(np.nanmax(self.shares.to_numpy(), initial=0.0))
        for edges, values in self._by_event() if self.events is not None else self._by_time():
            lines = np.arange(self.shares.shape[1] + 1) - 0.5
            mesh = self.ax_.pcolormesh(edges, lines, values.T, vmin=0.0, vmax=highest, cmap="viridis", rasterized=True)
        self.ax_.set_yticks(range(self.shares.shape[1]), [str(name) for name in self.shares.columns])
        self.ax_.invert_yaxis()
        self.colorbar_ = self.figure_.colorbar(mesh, ax=self.ax_, label="share of the score")
        return self

    def _by_event(self) -> list[tuple[Any, np.ndarray]]:
        """Return the edges and the values of one map, a column an event, and name the columns."""
        assert self.events is not None
        runs = self.events["run"] if self.events["run"].nunique() > 1 else [""] * len(self.events)
        starts = [_short(start) for start in self.events["start"]]
        names = [f"{run} {start}".strip() for run, start in zip(runs, starts, strict=True)]
        self.ax_.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        return [(np.arange(len(names) + 1) - 0.5, self.shares.to_numpy())]

    def _by_time(self) -> list[tuple[Any, np.ndarray]]:
        """Return the edges and the values of a map a stretch; of several runs, rows stand side by side."""
        rows = read_index(self.shares)
        times = pd.RangeIndex(len(self.shares))
        if rows.n_runs == 1:
            times = self.shares.index.get_level_values(-1)
            if isinstance(times, pd.DatetimeIndex):
                date_axis(self.ax_)
        else:
            first = rows.run_starts
            names = [str(name) for name in list_events(self.shares.index, first, first)["run"]]
            self.ax_.set_xticks(first, names, rotation=45, ha="right", rotation_mode="anchor")
            for row in first[1:]:
                self.ax_.axvline(row, color="white", linewidth=1.0)
        starts = find_stretches(self.shares, "auto")
        stops = np.append(starts[1:], len(self.shares))
        block = -(-len(self.shares) // MOST_COLUMNS)
        return [_mean_of_blocks(times, self.shares.to_numpy(), a, b, block) for a, b in zip(starts, stops, strict=True)]


def _short(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if isinstance(time, pd.Timestamp) else str(time)


def _mean_of_blocks(times: Any, shares: np.ndarray, begin: int, stop: int, block: int) -> tuple[Any, np.ndarray]:
    """Return the edges of blocks of rows of a stretch, and the mean shares of each."""
    first = np.arange(begin, stop, block)
    counts = np.diff(first, append=stop)
    means = np.add.reduceat(shares[begin:stop], first - begin, axis=0) / counts[:, None]
    step = times[begin + 1] - times[begin] if stop - begin > 1 else times[begin] - times[begin]
    return times[first].append(pd.Index([times[stop - 1] + step])), means
