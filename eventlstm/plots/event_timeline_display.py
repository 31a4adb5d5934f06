"""Scores, events and alarms along a log, drawn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd

from ..logs.events import list_events, row_labels, to_events
from ..logs.index import read_index
from ..logs.shared import FloatArray
from ..logs.steps import find_stretches
from ..metrics.matching import read_match
from .drawing import axes_for, date_axis, flag_rows, on_rows, own_threshold, refuse_other_shape, scores_of

COLORS = {"event": "tab:orange", "missed event": "tab:red", "alarm": "tab:green", "false alarm": "tab:purple"}
SCORES_OF_LANE = 0.8  # share of a lane's height that scores take; alarms are below them
ALARMS_OF_LANE = 0.06
DAY = np.timedelta64(1, "D")


class EventTimelineDisplay:
    """Scores along a log with its threshold, events and alarms, a lane a run.

    Parameters
    ----------
    score : Series or array-like of shape (n_rows,)
        Scores, high where abnormal. The index says run and time; an array is one run, a step a row.
    threshold : float, default=None
        Above which a row is abnormal.
    events : DataFrame of shape (n_events, n_columns), optional
        Columns "run", "start" and "end" as `to_events` gives them, and "found" (bool) where it is known.
    alarms : DataFrame of shape (n_alarms, n_columns), optional
        The same of the alarms, and "false" (bool) where it is known.
    scale : {"linear", "log"}, default="linear"
        Of the scores. Those of `AnomalyDetector` want "log".
    align : bool, default=False
        Whether time is counted from the start of each run, for runs that do not share their days.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.

    See Also
    --------
    eventlstm.AlarmPolicy : The alarms it draws.
    AttributionDisplay : Which sensors are behind them.

    Notes
    -----
    One run is drawn with its scores on the axis. Of several, each lane goes from the lowest to the highest score of
    all. Gaps in time are left open.

    Examples
    --------
    >>> from eventlstm.plots import EventTimelineDisplay
    >>> y, score = [0, 0, 1, 1, 0, 0, 1, 0], [0.1, 0.3, 0.9, 0.2, 0.1, 0.8, 0.5, 0.2]
    >>> display = EventTimelineDisplay.from_predictions(y, score, threshold=0.6)
    >>> display.events["found"].tolist(), display.alarms["false"].tolist()
    ([True, False], [False, True])
    """

    def __init__(
        self,
        score: Any,
        *,
        threshold: float | None = None,
        events: pd.DataFrame | None = None,
        alarms: pd.DataFrame | None = None,
        scale: str = "linear",
        align: bool = False,
    ) -> None:
        if scale not in ("linear", "log"):
            raise ValueError(f"scale={scale!r} is unknown. Pass 'linear' or 'log'.")
        self.score = pd.Series(np.asarray(score, dtype=float), index=row_labels(score))
        refuse_other_shape("score", self.score.to_numpy(), "(n_rows,)")
        self.threshold = threshold
        self.events = events
        self.alarms = alarms
        self.scale = scale
        self.align = align

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_score: Any,
        *,
        threshold: Any = None,
        policy: Any = None,
        early: Any = 0,
        late: Any = 0,
        match: str = "onset",
        max_gap: Any = None,
        scale: str = "linear",
        align: bool = False,
        ax: Any = None,
    ) -> Self:
        """Plot scores of rows with or without labels.

        Parameters
        ----------
        y_true : Series or array-like of shape (n_rows,) or None
            1 on rows of an event, else 0; None where nobody knows.
        y_score : Series or array-like of shape (n_rows,)
            Scores that rise with the danger.
        threshold : float or array-like of shape (n_rows,), default=None
            Rows with a greater score are above; one a row is used for the alarms, but not drawn. Defaults to that of
            the policy.
        policy : AlarmPolicy, default=None
            Rules that turn scores into alarms. Without one, every run of rows above is an alarm.
        early, late : int, float, str or Timedelta, default=0
            How long before and after an event an alarm for it may come, as in `metrics.event_recall_score`.
        match : {"onset", "overlap"}, default="onset"
            Whether an alarm must begin within this time, or it is enough that it lasts into it.
        max_gap : None, "auto", number or time span, default=None
            The longest step in time within an event or an alarm.
        scale : {"linear", "log"}, default="linear"
            Of the scores.
        align : bool, default=False
            Whether time is counted from the start of each run.
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        EventTimelineDisplay
            The plot.
        """
        flags = flag_rows(y_score if y_true is None else y_true, y_score, threshold, policy)
        index = row_labels(y_score if y_true is None else y_true, y_score)
        events = None if y_true is None else to_events(pd.Series(np.asarray(y_true), index=index), max_gap=max_gap)
        alarms = None if flags is None else to_events(pd.Series(flags, index=index), max_gap=max_gap)
        if alarms is not None and events is not None:
            labels = pd.Series(np.asarray(y_true), index=index)
            matched = read_match(labels, flags, early, late, match, max_gap)
            events, alarms = events.assign(found=matched.found_at >= 0), alarms.assign(false=matched.event_of_alarm < 0)
        own = getattr(policy, "threshold", None) if threshold is None else threshold
        drawn = None if own is None or np.ndim(own) else float(own)
        score = pd.Series(np.asarray(y_score, dtype=float), index=index)
        return cls(score, threshold=drawn, events=events, alarms=alarms, scale=scale, align=align).plot(ax)

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any = None, **options: Any) -> Self:
        """Plot the scores of a fitted model along a log.

        Parameters
        ----------
        estimator : estimator
            A fitted detector or classifier with the classes 0 and 1.
        X : DataFrame or array of shape (n_rows, n_sensors)
            A log.
        y : Series or array-like of shape (n_rows,), optional
            1 on rows of an event, else 0.
        **options : dict
            The keywords of `from_predictions`; the default `threshold` is the estimator's own, if it has one.

        Returns
        -------
        EventTimelineDisplay
            The plot.
        """
        own = {"threshold": own_threshold(estimator, options)}
        labels = None if y is None else on_rows(y, X)
        return cls.from_predictions(labels, scores_of(estimator, X), **own | options)

    def plot(self, ax: Any = None) -> Self:
        """Draw the lanes: scores, the threshold dotted, events shaded, alarms as bars below with a mark at their onset.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        EventTimelineDisplay
            The plot.
        """
        self.ax_, self.figure_ = axes_for(ax)
        lanes = _Lanes(self.score, self.scale, self.align)
        lanes.set_axes(self.ax_)
        if self.events is not None:
            for event in self.events.itertuples():
                lanes.draw_event(self.ax_, event, "event" if getattr(event, "found", True) else "missed event")
        lanes.draw_scores(self.ax_, self.threshold)
        if self.alarms is not None:
            for alarm in self.alarms.itertuples():
                lanes.draw_alarm(self.ax_, alarm, "false alarm" if getattr(alarm, "false", False) else "alarm")
        labelled = dict(zip(*reversed(self.ax_.get_legend_handles_labels()), strict=True))
        shown = [name for name in (*COLORS, "threshold") if name in labelled]
        if shown:
            handles = [labelled[name] for name in shown]
            self.ax_.legend(handles, shown, frameon=False, ncols=5, loc="lower right", bbox_to_anchor=(1.0, 1.0))
        return self


class _Lanes:
    """Where things are drawn: times from left to right, and a lane a run, from the top; one run has the whole axes."""

    def __init__(self, score: pd.Series, scale: str, align: bool) -> None:
        rows = read_index(score)
        first = rows.run_starts
        self.runs = list(list_events(score.index, first, first)["run"])
        self.lane_of_row, self.lane_of_run = rows.runs, {run: lane for lane, run in enumerate(self.runs)}
        self.stretches = find_stretches(score, "auto")
        times = score.index.get_level_values(-1)
        self.is_clock = isinstance(times, pd.DatetimeIndex) and not align
        self.in_days = rows.is_datetime
        self.origins = times[first] if align else None
        self.x = np.concatenate([self.to_x(times[rows.runs == lane], lane) for lane in range(len(first))])
        within = np.diff(self.x)[np.diff(rows.runs) == 0]
        self.step = float(np.median(within)) if len(within) else 1.0  # what a row stands for
        values, self.is_log = score.to_numpy(), scale == "log"
        if self.is_log:  # what is not positive lies on the floor
            values = np.maximum(values, values[values > 0].min(initial=1.0))
        self.values, self.is_single = values, len(first) == 1
        self.low, self.high = self.level(np.nanmin(values)), self.level(np.nanmax(values))

    def to_x(self, times: Any, lane: int) -> FloatArray:
        """Return times of a run as the axis counts them: days for date-times, else the unit of the index."""
        if self.origins is not None:
            times = times - self.origins[lane]
        if self.is_clock:
            from matplotlib.dates import date2num

            return np.atleast_1d(date2num(times))
        return np.asarray(times / DAY if self.in_days else times, dtype=np.float64)

    def level(self, values: Any) -> Any:
        return np.log10(values) if self.is_log and not self.is_single else values

    def to_y(self, values: Any, lane: int) -> Any:
        """Return scores as heights: as they are for one run, else within the lane."""
        if self.is_single:
            return values
        share = (self.level(values) - self.low) / max(self.high - self.low, np.finfo(float).tiny)
        return len(self.runs) - 1 - lane + SCORES_OF_LANE * np.clip(share, 0.0, 1.0)

    def set_axes(self, ax: Any) -> None:
        if self.is_clock:
            date_axis(ax)
        elif self.origins is not None:
            ax.set_xlabel(f"time since the start of the run{' (days)' if self.in_days else ''}")
        if self.is_single:
            ax.set(ylabel="score", yscale="log" if self.is_log else "linear")
        else:
            n_runs = len(self.runs)
            ax.set_yticks(n_runs - 1 - np.arange(n_runs) + SCORES_OF_LANE / 2, [str(run) for run in self.runs])
            ax.tick_params(axis="y", length=0)
            ax.set(ylim=(-0.2, n_runs - 0.1))

    def draw_scores(self, ax: Any, threshold: float | None) -> None:
        """Draw a line a stretch, so that gaps stay open, and the threshold along each run."""
        for begin, stop in zip(self.stretches, np.append(self.stretches[1:], len(self.x)), strict=True):
            lane = int(self.lane_of_row[begin])
            ax.plot(self.x[begin:stop], self.to_y(self.values[begin:stop], lane), color="tab:blue", linewidth=0.7)
        if threshold is None:
            return
        for lane in range(len(self.runs)):
            ends = self.x[self.lane_of_row == lane][[0, -1]]
            seen = max(threshold, np.nanmin(self.values)) if self.is_log else threshold
            level = np.full(2, self.to_y(seen, lane))
            ax.plot(ends, level, color="black", linewidth=0.8, linestyle=":", label="threshold")

    def draw_event(self, ax: Any, event: Any, kind: str) -> None:
        """Shade an event, from its start until the row after its end."""
        begin, width = self._span(event)
        bottom, height, transform = self._strip(ax, event.run, 0.0, 1.0)
        ax.broken_barh(
            [(begin, width)], (bottom, height), color=COLORS[kind], alpha=0.3, lw=0, transform=transform, label=kind
        )

    def draw_alarm(self, ax: Any, alarm: Any, kind: str) -> None:
        """Draw a bar below the scores as long as the alarm, and a mark at its onset."""
        begin, width = self._span(alarm)
        bottom, height, transform = self._strip(ax, alarm.run, -ALARMS_OF_LANE, 0.0)
        color = COLORS[kind]
        ax.broken_barh([(begin, width)], (bottom, height), color=color, lw=0, transform=transform, label=kind)
        ax.plot(begin, bottom + height / 2, "|", color=color, markersize=7, transform=transform, clip_on=False)

    def _span(self, event: Any) -> tuple[float, float]:
        begin, end = self.to_x(pd.Index([event.start, event.end]), self.lane_of_run[event.run])
        return begin, end - begin + self.step

    def _strip(self, ax: Any, run: Any, low: float, high: float) -> tuple[float, float, Any]:
        """Return bottom, height and coordinates of a strip of a lane; below zero are the alarms."""
        if self.is_single:  # alarms lie at the foot of the axes, over what scores there are
            return max(low, 0.0), (high - low) if low >= 0 else -low, ax.get_xaxis_transform()
        base = len(self.runs) - 1 - self.lane_of_run[run]
        return base + 2 * low, SCORES_OF_LANE * high if low >= 0 else -2 * low, ax.transData
