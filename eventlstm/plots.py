"""Plots of a log and of what a fitted network does: numbers in, and matplotlib only when one is drawn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .window_choice import suggest_window_size

__all__ = ["AttentionDisplay", "GatesDisplay", "GradientFlowDisplay", "WindowSizeDisplay"]

# The units of a layer lie between these quantiles in the bands of a plot.
BAND = (0.1, 0.9)
CORRELATIONS = {"acf": ("autocorrelation", "C0"), "mutual_information": ("mutual information", "C1")}
GATES = {"forget": "C3", "input": "C0", "output": "C2", "update": "C0", "reset": "C3"}


class AttentionDisplay:
    """Attention over the steps of windows.

    Parameters
    ----------
    weights : array-like of shape (n_windows, n_timesteps)
        Weights that sum to one over the steps.
    event : array-like of bool of shape (n_windows,), optional
        Windows of an event; their weights are averaged apart from those of the others.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.plots import AttentionDisplay
    >>> display = AttentionDisplay(np.full((2, 5), 0.2)).plot()
    >>> display.ax_.get_ylabel()
    'attention'
    """

    def __init__(self, weights: Any, *, event: Any = None) -> None:
        self.weights = np.atleast_2d(np.asarray(weights, dtype=float))
        _refuse_other_shape("weights", self.weights, "(n_windows, n_timesteps)")
        self.event = None if event is None else np.asarray(event, dtype=bool)
        _refuse_other_length("event", self.event, len(self.weights), "windows")

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, *, event: Any = None, ax: Any = None) -> Self:
        """Plot the attention of a fitted network.

        Parameters
        ----------
        estimator : LSTMClassifier
            Fitted with ``pooling="additive"``, "luong" or "multihead".
        X : array of shape (n_windows, n_timesteps, n_channels)
            Windows.
        event : array-like of bool of shape (n_windows,), optional
            Windows of an event.
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        AttentionDisplay
            The plot.
        """
        return cls(estimator.attention_weights(X), event=event).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the mean weight of each step, and the band in which most windows are.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        AttentionDisplay
            The plot.
        """
        self.ax_, self.figure_ = _axes(ax)
        groups = {"": np.ones(len(self.weights), dtype=bool)}
        if self.event is not None:
            groups = {"windows of an event": self.event, "other windows": ~self.event}
        steps = np.arange(1 - self.weights.shape[1], 1)
        for name, members in groups.items():
            if members.any():
                _draw_band(self.ax_, steps, self.weights[members].T, name, None)
        self.ax_.axhline(1 / self.weights.shape[1], color="grey", linewidth=0.8, linestyle=":", label="equal weights")
        self.ax_.set(xlabel="steps before the end of the window", ylabel="attention", ylim=(0, None))
        self.ax_.legend(frameon=False)
        return self


class GatesDisplay:
    """Gates of a recurrent layer along one window or run.

    Parameters
    ----------
    gates : dict of str to array-like of shape (n_timesteps, hidden_size)
        Activations from 0 (shut) to 1 (open); others, such as "cell", are left out.
    event : array-like of bool of shape (n_timesteps,), optional
        Steps of an event, which are shaded.
    times : array-like of shape (n_timesteps,), optional
        What to put on the axis; default: the number of the step.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm.plots import GatesDisplay
    >>> display = GatesDisplay({"forget": np.full((5, 3), 0.9)}, event=[0, 0, 0, 1, 1]).plot()
    >>> display.ax_.get_ylabel()
    'gate (0 shut, 1 open)'
    """

    def __init__(self, gates: dict[str, Any], *, event: Any = None, times: Any = None) -> None:
        self.gates = {name: np.asarray(gate, dtype=float) for name, gate in gates.items()}
        for name, gate in self.gates.items():
            _refuse_other_shape(f"gates[{name!r}]", gate, "(n_timesteps, hidden_size)")
        n_steps = len(next(iter(self.gates.values()), ()))
        for name, values in {**self.gates, "event": event, "times": times}.items():
            _refuse_other_length(name, values, n_steps, "steps")
        self.event = event
        self.times = times

    @classmethod
    def from_estimator(
        cls, estimator: Any, x: Any, *, layer: int = -1, event: Any = None, times: Any = None, ax: Any = None
    ) -> Self:
        """Plot the gates of a fitted network along a window.

        Parameters
        ----------
        estimator : LSTMClassifier
            A fitted network of LSTM, peephole or GRU cells.
        x : array of shape (n_timesteps, n_channels)
            One window or run, of any length.
        layer : int, default=-1
            The layer, counted from the input.
        event : array-like of bool of shape (n_timesteps,), optional
            Steps of an event, which are shaded.
        times : array-like of shape (n_timesteps,), optional
            What to put on the axis.
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        GatesDisplay
            The plot.
        """
        if np.ndim(x) != 2:
            raise ValueError(f"x is of shape {np.shape(x)}. Pass one window, (n_timesteps, n_channels), such as X[0].")
        gates = estimator.gate_activations(np.asarray(x)[None], layer=layer)
        return cls({name: gate[0] for name, gate in gates.items()}, event=event, times=times).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the mean of each gate over the units, and the band in which most units are.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        GatesDisplay
            The plot.
        """
        self.ax_, self.figure_ = _axes(ax)
        shown = {name: gate for name, gate in self.gates.items() if name in GATES}
        if not shown:
            raise ValueError(f"None of {sorted(self.gates)} is a gate. Pass gates out of {sorted(GATES)}.")
        for name, gate in shown.items():
            times = np.arange(len(gate)) if self.times is None else self.times
            _draw_band(self.ax_, times, gate, name, GATES[name])
        if self.event is not None:
            inside = np.asarray(self.event, dtype=bool)
            span = self.ax_.get_xaxis_transform()
            self.ax_.fill_between(times, 0, 1, where=inside, transform=span, color="orange", alpha=0.2, label="event")
        self.ax_.set(xlabel="step" if self.times is None else "", ylabel="gate (0 shut, 1 open)", ylim=(0, 1))
        self.ax_.legend(frameon=False, ncols=4, loc="lower left")
        return self


class GradientFlowDisplay:
    """How far back in a window the gradient of the loss reaches.

    Parameters
    ----------
    norms : array-like of shape (n_timesteps,)
        Norm of the gradient by step.
    name : str, default=""
        What the legend calls it.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the plot is.
    figure_ : matplotlib Figure
        Its figure.

    Examples
    --------
    >>> from eventlstm.plots import GradientFlowDisplay
    >>> display = GradientFlowDisplay([0.001, 0.01, 0.1], name="rnn").plot()
    >>> display.ax_.get_yscale()
    'log'
    """

    def __init__(self, norms: Any, *, name: str = "") -> None:
        self.norms = np.asarray(norms, dtype=float)
        _refuse_other_shape("norms", self.norms, "(n_timesteps,)")
        self.name = name

    @classmethod
    def from_estimator(cls, estimator: Any, X: Any, y: Any, *, name: str = "", ax: Any = None) -> Self:
        """Plot the gradient flow of a fitted network.

        Parameters
        ----------
        estimator : LSTMClassifier
            A fitted network.
        X : array of shape (n_windows, n_timesteps, n_channels)
            Windows.
        y : array-like of shape (n_windows,)
            Their classes.
        name : str, default=""
            What the legend calls it.
        ax : matplotlib Axes, optional
            Where to plot; default: a new figure.

        Returns
        -------
        GradientFlowDisplay
            The plot.
        """
        return cls(estimator.gradient_flow(X, y), name=name).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the norms over the steps, on a logarithmic scale; norms of zero are left out.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        GradientFlowDisplay
            The plot.
        """
        self.ax_, self.figure_ = _axes(ax)
        steps = np.arange(1 - len(self.norms), 1)
        self.ax_.plot(steps, np.where(self.norms > 0, self.norms, np.nan), label=self.name or None)
        self.ax_.set(yscale="log", xlabel="steps before the end of the window", ylabel="norm of the gradient")
        if self.name:
            self.ax_.legend(frameon=False)
        return self


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
            _refuse_other_shape(f"curves[{method!r}]", curve, "(n_lags + 1, n_sensors)")

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
        self.ax_, self.figure_ = _axes(ax)
        for method, curve in self.curves.items():
            name, color = CORRELATIONS.get(method, (method, None))
            lines = self.ax_.plot(curve, color=color, alpha=0.6, linewidth=0.9)
            lines[0].set_label(name)
        self.ax_.axhline(0, color="grey", linewidth=0.8)
        self.ax_.axvline(self.window_size, color="black", linestyle="--", label=f"window of {self.window_size} rows")
        self.ax_.set(xlabel="lag (rows)", ylabel="correlation of each sensor", xlim=(0, None))
        self.ax_.legend(frameon=False)
        return self


def _refuse_other_shape(name: str, values: np.ndarray, wanted: str) -> None:
    """Refuse an array without values, or of other axes than the wanted shape names."""
    if not values.size or values.ndim != len(wanted.strip("(),").split(",")):
        raise ValueError(f"{name} is of shape {values.shape}, but is drawn by {wanted}. Pass an array of such a shape.")


def _refuse_other_length(name: str, values: Any, wanted: int, of_what: str) -> None:
    """Refuse what is not as long as the numbers that it is drawn with."""
    found = None if values is None else np.shape(values)[:1]
    if found not in (None, (wanted,)):
        raise ValueError(f"{name} has the length {found} for {wanted} {of_what}. Pass one value for each.")


def _axes(ax: Any) -> tuple[Any, Any]:
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(layout="constrained")
    return ax, ax.figure


def _draw_band(ax: Any, steps: Any, values: np.ndarray, name: str, color: str | None) -> None:
    """Draw the mean of `values` (n_steps, n_items) and the band in which most items are."""
    (line,) = ax.plot(steps, values.mean(axis=1), label=name or None, color=color)
    if values.shape[1] > 1:
        low, high = np.quantile(values, BAND, axis=1)
        ax.fill_between(steps, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
