"""What a network does and how it learnt: attention, gates, gradients and losses, drawn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from .drawing import axes_for, draw_band, refuse_other_length, refuse_other_shape

GATES = {"forget": "C3", "input": "C0", "output": "C2", "update": "C0", "reset": "C3"}
CURVES = {
    "train_loss": ("training", "-", "C0"),
    "valid_loss": ("validation", "--", "C1"),
    "valid_score": ("score", ":", "C2"),
}


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

    See Also
    --------
    GatesDisplay : What the gates do along one window.
    GradientFlowDisplay : How far back the loss reaches.

    References
    ----------
    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", ICLR, 2015.

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
        refuse_other_shape("weights", self.weights, "(n_windows, n_timesteps)")
        self.event = None if event is None else np.asarray(event, dtype=bool)
        refuse_other_length("event", self.event, len(self.weights), "windows")

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
        self.ax_, self.figure_ = axes_for(ax)
        groups = {"": np.ones(len(self.weights), dtype=bool)}
        if self.event is not None:
            groups = {"windows of an event": self.event, "other windows": ~self.event}
        steps = np.arange(1 - self.weights.shape[1], 1)
        for name, members in groups.items():
            if members.any():
                draw_band(self.ax_, steps, self.weights[members].T, name, None)
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

    See Also
    --------
    AttentionDisplay : Which steps are read.
    GradientFlowDisplay : How far back the loss reaches.

    References
    ----------
    Karpathy, Johnson and Fei-Fei, "Visualizing and understanding recurrent networks", ICLR workshop, 2016.

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
            refuse_other_shape(f"gates[{name!r}]", gate, "(n_timesteps, hidden_size)")
        n_steps = len(next(iter(self.gates.values()), ()))
        for name, values in {**self.gates, "event": event, "times": times}.items():
            refuse_other_length(name, values, n_steps, "steps")
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
        self.ax_, self.figure_ = axes_for(ax)
        shown = {name: gate for name, gate in self.gates.items() if name in GATES}
        if not shown:
            raise ValueError(f"None of {sorted(self.gates)} is a gate. Pass gates out of {sorted(GATES)}.")
        for name, gate in shown.items():
            times = np.arange(len(gate)) if self.times is None else self.times
            draw_band(self.ax_, times, gate, name, GATES[name])
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

    See Also
    --------
    GatesDisplay : What the gates do along one window.
    WindowSizeDisplay : How far back the sensors remember.

    References
    ----------
    Bengio, Simard and Frasconi, "Learning long-term dependencies with gradient descent is difficult", 1994.

    Examples
    --------
    >>> from eventlstm.plots import GradientFlowDisplay
    >>> display = GradientFlowDisplay([0.001, 0.01, 0.1], name="rnn").plot()
    >>> display.ax_.get_yscale()
    'log'
    """

    def __init__(self, norms: Any, *, name: str = "") -> None:
        self.norms = np.asarray(norms, dtype=float)
        refuse_other_shape("norms", self.norms, "(n_timesteps,)")
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
        self.ax_, self.figure_ = axes_for(ax)
        steps = np.arange(1 - len(self.norms), 1)
        self.ax_.plot(steps, np.where(self.norms > 0, self.norms, np.nan), label=self.name or None)
        self.ax_.set(yscale="log", xlabel="steps before the end of the window", ylabel="norm of the gradient")
        if self.name:
            self.ax_.legend(frameon=False)
        return self


class TrainingHistoryDisplay:
    """Losses of a network by epoch, and the score it is watched by.

    Parameters
    ----------
    histories : list of list of dict
        The `history_` of each network: for each epoch "epoch", "train_loss", and where there are rows to validate on
        "valid_loss" and "valid_score".
    name : str, default=None
        What the legend calls the model.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the losses are.
    score_ax_ : matplotlib Axes or None
        Where the scores are, with an axis of their own on the right.
    figure_ : matplotlib Figure
        Its figure.
    lines_ : list of matplotlib Line2D
        What the legend names.

    See Also
    --------
    GradientFlowDisplay : How far back in a window training reaches.

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import LSTMClassifier
    >>> from eventlstm.plots import TrainingHistoryDisplay
    >>> X = np.random.default_rng(0).normal(size=(40, 6, 1))
    >>> model = LSTMClassifier(hidden_size=2, max_epochs=3, random_state=0).fit(X, X[:, -1, 0] > 0)
    >>> display = TrainingHistoryDisplay.from_estimator(model)
    >>> [record["epoch"] for record in display.histories[0]]
    [1.0, 2.0, 3.0]
    """

    def __init__(self, histories: Any, *, name: str | None = None) -> None:
        self.histories = [list(history) for history in histories]
        if not any(self.histories):
            raise ValueError("histories holds no epoch. Pass a list with the history_ of each fitted network.")
        self.name = name

    @classmethod
    def from_estimator(cls, estimator: Any, *, name: str | None = None, ax: Any = None) -> Self:
        """Plot how a model was trained.

        Parameters
        ----------
        estimator : estimator
            A fitted network, or a detector, ensemble or pipeline with some inside; members of other kinds are left
            out.
        name : str, default=None
            What the legend calls the model.
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        TrainingHistoryDisplay
            The plot.
        """
        histories = _histories(estimator)
        if not histories:
            raise ValueError(f"{type(estimator).__name__} holds no fitted network with a history_. Fit one first.")
        return cls(histories, name=name).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw a line a network: losses in training and on validation rows, and scores on an axis of their own.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot, beside what is there; default: a new figure.

        Returns
        -------
        TrainingHistoryDisplay
            The plot.
        """
        self.ax_, self.figure_ = axes_for(ax)
        self.score_ax_ = None
        self.lines_: list[Any] = [line for line in self.ax_.get_lines() if not line.get_label().startswith("_")]
        if any("valid_score" in record for history in self.histories for record in history):
            self.score_ax_ = self.ax_.twinx()
            self.score_ax_.set_ylabel("score on validation rows")
        for key, (label, style, color) in CURVES.items():
            axes: Any = self.score_ax_ if key == "valid_score" else self.ax_
            known = [[record for record in history if key in record] for history in self.histories]
            lines = [
                axes.plot([r["epoch"] for r in own], [r[key] for r in own], style, color=color, linewidth=1.0)[0]
                for own in known
                if own
            ]
            if lines:
                lines[0].set_label(f"{self.name}: {label}" if self.name else label)
                self.lines_.append(lines[0])
        self.ax_.set(xlabel="epoch", ylabel="loss")
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        self.ax_.legend(handles=self.lines_, frameon=False, loc="center right")
        return self


def _histories(estimator: Any) -> list[Any]:
    """Return the histories of a network, or of all that an ensemble or a pipeline holds."""
    if hasattr(estimator, "history_"):
        return [estimator.history_]
    inside = list(getattr(estimator, "estimators_", ())) or [step for _, step in getattr(estimator, "steps", ())]
    inside += [estimator.estimator_] if not inside and hasattr(estimator, "estimator_") else []
    return [history for member in inside for history in _histories(member)]
