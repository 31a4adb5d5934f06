"""A recurrent forecaster of windows ``(n_windows, n_timesteps, n_channels)``, or at every step of a log."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags, check_array, check_random_state

from .._validation import Interval, StrOptions, check_is_fitted, check_sample_weight, fit_context, validate_data
from ..losses.base import PreparedLoss
from ..losses.errors import ERROR_LOSSES, make_error_loss
from ..networks.forecast_net import ForecastNet
from ..networks.recurrent_net import refuse_whole_windows
from ..training.batches import ChunkBatches, NextRowsBatches, WindowBatches
from ..training.threads import one_thread
from .base import RecurrentEstimator
from .checking import Examples, check_windows, mean_one
from .codes import check_channels
from .holding_out import hold_out_forecasts
from .pooling import POOLING_CONSTRAINTS, pooling_arguments
from .targets import (
    TargetUnits,
    check_quantiles,
    check_row_targets,
    check_window_targets,
    learn_units,
    raw_units,
    refuse_other_targets,
    take_median,
)


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class LSTMForecaster(RegressorMixin, RecurrentEstimator):
    """A recurrent network that forecasts numbers from windows of sensor readings, or the next rows of a log.

    The parameters, by what they set:

    - Input: `n_channels`, `categorical_channels`, `embedding_size`.
    - Network: `cell`, `grid`, `hidden_size`, `num_layers`, `bidirectional`, `dropout`, `recurrent_dropout`, `residual`,
      `layer_norm`, `forget_bias`, `retention_steps`, `gate_penalty`, `pooling`, `num_heads`, `attention_entropy`.
    - Forecast: `horizon`, `decoder`, `quantiles`.
    - Training: `loss`, `max_epochs`, `min_steps`, `max_steps`, `batch_size`, `min_batches`, `optimizer`, `lr`,
      `momentum`, `weight_decay`, `max_grad_norm`, `schedule`, `warmup_fraction`, `tbptt_steps`, `augmentation`,
      `warm_start`.
    - Stopping: `early_stopping`, `validation_fraction`, `n_iter_no_change`, `tol`, `checkpoint`.
    - Machine: `device`, `precision`, `micro_batch_size`, `n_jobs`, `verbose`, `random_state`.

    Parameters
    ----------
    n_channels : int, default=1
        Channels (sensors) of a time step when windows come flattened to 2-D, each row the first step's channels,
        then the second's, and so on. 3-D windows say it themselves.
    categorical_channels : list of int or None, default=None
        Positions of channels that hold codes (of an event, a product, an operating mode) instead of measurements. Each
        goes through an embedding that is learnt; codes that `fit` has not seen share one of zeros.
    embedding_size : int or "auto", default="auto"
        Numbers that stand for a code; "auto" is half the codes of the channel, at most 8.
    cell : {"lstm", "gru", "rnn", "peephole", "convlstm"}, default="lstm"
        The recurrent cell. LSTM is the fastest on a CPU and as good as any in our trials, but for forecasts of a made
        series, where GRU was a tenth better; "peephole" lets its gates see the memory, and trains about half as long
        again; "convlstm" is an LSTM for sensors on a `grid`.
    grid : (int, int) or None, default=None
        Height and width of the grid on which the sensors of ``cell="convlstm"`` lie: its gates are convolutions, so
        that each sensor sees its neighbours, by weights which all share. Channels come row by row; of several
        quantities first those of one, then those of the next.
    hidden_size : int, default=32
        Units in each layer and direction; an autoencoder's decoder has as many. 64 helped a classifier on no log tried.
        Maps of a grid: 8 were enough for a warm spot that moves over 36 cells.
    num_layers : int, default=1
        Stacked layers; an autoencoder's decoder has as many.
    bidirectional : bool, default=False
        Whether a second pass reads the window backwards. Needs whole windows: not for step-by-step training.
    dropout : float, default=0.0
        Share of values dropped in training from the input, between layers and from the output. 0.2 raised the squared
        error one step ahead by a sixth on made logs and on a made series.
    recurrent_dropout : float, default=0.0
        Share of the state's units dropped in training, the same ones at all steps of a window. An LSTM then trains
        about half as long again; scoring takes as long as without.
    residual : bool, default=False
        Whether each layer after the first adds to what came in, which helps deep stacks.
    layer_norm : bool, default=False
        Whether the output of each layer is normalised over its units.
    forget_bias : float or None, default=None
        Bias of the forget gate at the start of training; None leaves it to the random draw. 1.0 remembers longer.
    retention_steps : float or None, default=None
        Steps over which half of the memory is to remain at the start of training: sets the forget gate's bias. Take the
        distance, in steps, between a cause and its effect.
    gate_penalty : float, default=0.0
        Penalty on forget gates f (a GRU's update gates) near 0 or 1: the mean of ``(2 f - 1) ** 2`` over steps, units
        and layers, times this. Steps count as they do in the loss: neither padding nor a burn-in does. Training goes
        without torch's fused kernel then: an LSTM takes 1.7 to 2 times as long. `history_` tells ``gate_penalty``, the
        mean, and ``gates_at_ends``, the share of gates beyond .05 or .95. The notes of `LSTMClassifier` tell what it is
        worth.
    max_epochs : int or "auto", default="auto"
        Passes over the data: an int is exactly that many, unless `early_stopping` ends them; "auto" is 15, or as
        many as it takes to make `min_steps` steps on a small set.
    min_steps : int, default=1600
        Steps of the optimizer that ``max_epochs="auto"`` makes at least. Fewer left small logs undertrained.
    max_steps : int, "auto" or None, default=None
        Steps of the optimizer that ``max_epochs="auto"`` makes at most, but for a first pass over the data; "auto" is
        6,000, and in step-by-step training, where a step has 512 labels, 1,160 or three passes if they are more; None
        is no limit. On a large log the loss stops falling long before 15 passes.
    batch_size : int, "auto" or None, default="auto"
        Windows in a step; None is the whole set. "auto" is 64 windows (8 chunks in step-by-step training), or fewer
        where an epoch would have less than `min_batches` steps.
    min_batches : int, default=50
        Steps in an epoch that ``batch_size="auto"`` aims at on small sets.
    micro_batch_size : int or "auto", default="auto"
        Windows computed at a time within a step on a CPU; their gradients are added up. "auto" is 64, and 32 for a
        plain LSTM from 64 hidden units on: large batches in one piece are up to twice as slow. With 32, a step of 64
        windows of a small network can be shared by two threads.
    optimizer : {"adamw", "adam", "sgd", "rmsprop"}, default="adamw"
        The optimizer.
    lr : float, default=0.003
        Largest learning rate. "sgd" wants a larger one, 0.1 or so.
    momentum : float, default=0.9
        Momentum of "sgd".
    weight_decay : float, default=0.01
        Weight decay.
    max_grad_norm : float or None, default=1.0
        Norm to which gradients are clipped.
    schedule : {"cosine", "linear", "step", "one_cycle", "plateau", "constant"}, default="cosine"
        Course of the learning rate after the warm-up: half a cosine or a line down to zero; a tenth at 1/2 and 3/4 of
        training; one cycle; a tenth whenever the loss (or score) held out, or else the training loss, stands still; or
        none. A falling rate does better than early stopping where events are few.
    warmup_fraction : float, default=0.2
        Share of training with a rising learning rate; "constant" has none.
    tbptt_steps : int or None, default=None
        Steps over which gradients reach back in training, for long windows (truncated back-propagation through time);
        None is all of them.
    augmentation : Augmentation or None, default=None
        Random changes of the windows in training; see `Augmentation`. A forecaster takes no `time_warp`, which would
        not move the targets along; an autoencoder is to write the changed window.
    early_stopping : bool, default=False
        Whether to stop when the loss (or score) on windows held out has not become better for `n_iter_no_change`
        epochs, and to keep the best epoch's weights. It costs the windows held out: few logs have events to spare.
    validation_fraction : float, default=0.1
        Share of windows held out by `early_stopping` when `fit` gets no `X_val`: the last of each stretch of a
        `LogWindows`, and a random part of others, into which windows that overlap would leak.
    n_iter_no_change : int, default=5
        Epochs without a lower validation loss, or a higher score, after which `early_stopping` stops.
    tol : float, default=1e-4
        Change of the validation loss or score that counts.
    checkpoint : str, path or None, default=None
        File that keeps the state of training after every epoch. When it is there, the same call of `fit` goes on from
        it and ends with the model that an uninterrupted one makes; it is removed at the end. Needs an int as
        `random_state`. The members of an ensemble add their number to its name.
    device : str, default="auto"
        A torch device; "auto" takes cuda, mps or xpu where there is one, else the cpu.
    precision : {"float32", "float64", "bfloat16", "auto"}, default="float32"
        Type of the numbers. "bfloat16" keeps weights in float32 and multiplies in bfloat16, in .6 to .8 of the time on
        processors that have it; probabilities move by up to .01. "auto" is that where it is fast, else float32.
    n_jobs : int or None, default=None
        Threads that share a step or a prediction on a CPU; None and negative numbers are one a core. The results do
        not depend on it.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last call.
    verbose : int, default=0
        Whether to show a progress bar over the epochs.
    random_state : int, RandomState or None, default=None
        Seed of the weights, the order of windows and the dropout; the global generators are left alone with an int.
    pooling : {"last", "mean", "max", "additive", "luong", "multihead"}, default="last"
        What of a window's steps the output is made from: the last step, the mean or the largest of all, or a mean
        weighted by attention: additive, general against the last state, or several heads of self-attention. All but
        "last" need whole windows.
    num_heads : int, default=4
        Heads of ``pooling="multihead"``; they divide the width.
    attention_entropy : float, default=0.0
        Penalty on an attention `pooling` that settles on few steps; 0.01 to 0.1 keeps it from collapsing early.
    horizon : int, default=1
        Rows ahead that `fit_steps` learns to forecast. For `fit`, the shape of `y` says it.
    decoder : {"direct", "recurrent"}, default="direct"
        How the steps ahead are said: all at once by a linear layer, or by a recurrent layer that goes from step to step
        and is fed with what it said of the step before, in training too. The second took up to twice as long; on a
        chaotic series it had a third of the first's squared error two steps ahead, on a calmer one no less. "convlstm"
        has the first only.
    loss : {"squared", "huber", "absolute", "quantile"}, default="squared"
        What training minimises, in units of the targets' deviation: squares for the mean; Huber's mixture or absolute
        errors where targets have outliers; or the pinball loss of several `quantiles`.
    quantiles : tuple of float, default=(0.1, 0.5, 0.9)
        What ``loss="quantile"`` learns, rising.

    Attributes
    ----------
    horizon_ : int
        Steps ahead.
    n_targets_ : int
        Numbers forecast of each step.
    target_center_, target_scale_ : ndarray of shape (horizon_ * n_targets_,)
        What the targets of `fit` were scaled by inside, step by step: their mean and deviation; 0 and 1 after
        `fit_steps`.
    quantiles_ : tuple of float
        The quantiles that the network knows; none after other losses than "quantile".
    target_shape_ : tuple of int
        Shape of the targets of a window in `fit`.
    categories_ : list of ndarray
        The codes of each categorical channel.
    module_ : torch.nn.Module
        The trained network.
    history_ : list of dict
        For each epoch its number, ``train_loss``, and ``valid_loss`` on a validation set.
    loss_curve_ : list of float
        The training loss of each epoch.
    n_iter_ : int
        Epochs trained.
    n_features_in_ : int
        ``n_timesteps_ * n_channels_``.
    n_timesteps_ : int
        Steps of a window in `fit`.
    n_channels_ : int
        Channels of a step in `fit`.

    See Also
    --------
    forecast_windows : Windows and targets of a log.

    Notes
    -----
    Windows may differ in length: fill the tail of the shorter ones with NaN in all channels, or pass `lengths`.

    With half of the `min_steps` the squared error was 6 to 14 % larger on made logs and on a made series; twice as many
    fitted the noise of a third.

    With ``optimizer="adam"`` set ``weight_decay=0``: there, unlike in "adamw", it pulls the weights towards zero so
    hard that forecasts of a noisy wave had five times the squared error.

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation, 1997.
    Sutskever, Vinyals and Le, "Sequence to sequence learning with neural networks", 2014 (the recurrent decoder).
    Malhotra et al., "Long short term memory networks for anomaly detection in time series", 2015.
    Koenker and Bassett, "Regression quantiles", 1978.
    Wen et al., "A multi-horizon quantile recurrent forecaster", 2017.
    Bahdanau, Cho and Bengio, 2015; Luong, Pham and Manning, 2015; Vaswani et al., 2017 (attention).
    Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", 2015 (a grid).

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import LSTMForecaster, forecast_windows
    >>> log = np.sin(np.arange(400.0) / 5)[:, None]
    >>> X, y = forecast_windows(log, window_size=20, horizon=3)
    >>> model = LSTMForecaster(hidden_size=8, max_epochs=6, lr=0.03, random_state=0).fit(X, y)
    >>> model.predict(X).shape
    (397, 3, 1)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    dropout: float = 0.0
    min_steps: int = 1600
    pooling: str = "last"
    num_heads: int = 4
    attention_entropy: float = 0.0
    horizon: int = 1
    decoder: str = "direct"
    loss: str = "squared"
    quantiles: Any = (0.1, 0.5, 0.9)

    network_class: ClassVar[Any] = ForecastNet

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **RecurrentEstimator._parameter_constraints,
        **POOLING_CONSTRAINTS,
        "horizon": [Interval(Integral, 1, None, closed="left")],
        "decoder": [StrOptions({"direct", "recurrent"})],
        "loss": [StrOptions(set(ERROR_LOSSES))],
        "quantiles": ["array-like"],
    }

    @fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, lengths: Any = None, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Train on windows.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows. Those of a `LogWindows` are cut batch by batch and never copied as a whole. A tail of steps whose
            channels are all NaN is no part of a window.
        y : array-like of shape (n_windows,), (n_windows, n_targets) or (n_windows, horizon, n_targets)
            Numbers to forecast, as `forecast_windows` makes them of a log. Each target is scaled inside.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window in the loss.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; whatever comes after them is ignored.
        X_val : like X, optional
            Windows to watch the loss on; used by `early_stopping`, and recorded without it.
        y_val : like y, optional
            Targets of `X_val`.

        Returns
        -------
        LSTMForecaster
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, parameters contradict each other, or training diverges.
        """
        reset = not self._goes_on()
        train = self._check_fit(X, y, sample_weight, lengths, reset=reset)
        held_out = self._check_validation(X_val, y_val)
        rng = check_random_state(self.random_state)
        if held_out is None and self.early_stopping:
            split = hold_out_forecasts(train.windows, train.weight, self.validation_fraction, self.horizon_, rng)
            train, held_out = (train.take(items) for items in split)
        if reset:
            self.target_center_, self.target_scale_ = learn_units(train.y, train.weight, self._forecast_shape())
        with one_thread():
            loss = self._start_forecaster(rng)
            batches = self._target_batches(train)
            return self._train(batches, loss, None if held_out is None else self._target_batches(held_out))

    @fit_context(prefer_skip_nested_validation=True)
    def fit_steps(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        starts: np.ndarray,
        burn_in: int = 32,
        stride: int = 64,
        X_val: np.ndarray | None = None,
        starts_val: np.ndarray | None = None,
        sample_weight_val: np.ndarray | None = None,
        Y: np.ndarray | None = None,
        Y_val: np.ndarray | None = None,
    ) -> Self:
        """Train to forecast, at every row of a log, the next `horizon` rows.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels)
            The log.
        sample_weight : ndarray of shape (n_rows,), optional
            Weight of each row as a target: a row of weight zero is read, but never learnt to be forecast.
        starts : ndarray of shape (n_stretches,)
            First row of each stretch; neither state nor forecast crosses from one to the next. Steps ahead that are
            behind the last row of a stretch count for nothing.
        burn_in : int, default=32
            Rows of history before the rows of a chunk that are learnt from.
        stride : int, default=64
            Rows of a chunk that are learnt from.
        X_val, starts_val, sample_weight_val : ndarray, optional
            Another log, to watch the loss on.
        Y : ndarray of shape (n_rows, n_targets), optional
            What is to be forecast, row by row beside `X`, in the units in which it is to be learnt: nothing is scaled.
            Default: `X` itself.
        Y_val : ndarray, optional
            Likewise beside `X_val`; needed with `Y`.

        Returns
        -------
        LSTMForecaster
            The fitted estimator.

        Raises
        ------
        ValueError
            If the network needs whole windows (``bidirectional=True``, or a `pooling` other than "last"), the input is
            not as described, no row has one before it, or training diverges.
        """
        refuse_whole_windows(bidirectional=self.bidirectional, pooling=self.pooling)
        if self.early_stopping and X_val is None:
            raise ValueError("early_stopping watches a log held out. Pass X_val and starts_val.")
        if X_val is not None and (starts_val is None or (Y is None) != (Y_val is None)):
            raise ValueError("X_val came without starts_val, or Y without Y_val. Pass them together.")
        reset = not self._goes_on()
        X = validate_data(self, X, dtype=self._numpy_dtype(), order="C", reset=reset)
        targets = self._check_row_targets(X, Y)
        self._learn_forecast_shape((self.horizon, targets.shape[1]), reset=reset)
        values = self._learn_row_channels(X, reset=reset)
        self.target_center_, self.target_scale_ = raw_units(self._forecast_shape())
        size = {"burn_in": burn_in, "stride": stride}
        with one_thread():
            loss = self._start_forecaster(check_random_state(self.random_state))
            batches = self._next_rows(values, targets, sample_weight, starts, **size)
            if X_val is None or starts_val is None:
                return self._train(batches, loss, None)
            X_val = check_array(X_val, dtype=self._numpy_dtype(), order="C")
            targets, values = self._check_row_targets(X_val, Y_val), self._codes().encode(X_val)
            return self._train(batches, loss, self._next_rows(values, targets, sample_weight_val, starts_val, **size))

    def predict(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the forecast of each window.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows,), (n_windows, n_targets) or (n_windows, horizon, n_targets)
            Numbers of the shape of `y` in `fit`; after ``loss="quantile"``, the median or the quantile nearest to it.
        """
        values = take_median(self._forecast(X, lengths), self.quantiles_)  # (n_windows, horizon * n_targets)
        return values.reshape(len(values), *self.target_shape_)

    def predict_quantiles(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the quantiles of each target.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (..., n_quantiles)
            With the axes of `predict` before the last, along which `quantiles` rise; they never cross.

        Raises
        ------
        ValueError
            If the loss is another than "quantile".
        """
        check_is_fitted(self)
        if not self.quantiles_:
            raise ValueError(
                "The network was fitted with another loss and knows no quantiles. Fit with loss='quantile'."
            )
        values = self._forecast(X, lengths)  # (n_windows, horizon * n_targets, n_quantiles)
        return values.reshape(len(values), *self.target_shape_, -1)

    def predict_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return what is forecast at every row of one stretch or of several, and the state to go on from.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels) or (n_lanes, n_rows, n_channels)
            Rows of one stretch, or of several side by side.
        state : object, optional
            What the last call returned for the rows before, of as many lanes; the default is a cold start.

        Returns
        -------
        forecast : ndarray of shape (n_rows, horizon, n_targets) or (n_lanes, n_rows, horizon, n_targets)
            Made at each row, of the rows after it. After ``loss="quantile"``, the median.
        state : object
            The network's state after the last row of each lane.

        Raises
        ------
        ValueError
            If `X` has another number of channels than in `fit`, no rows, or values that are not finite numbers.
        """
        check_is_fitted(self)
        with one_thread():
            outputs, state = self._step_outputs(X, state)
        forecast = take_median(self._units().restored(outputs), self.quantiles_)  # (n_lanes, n_rows, values)
        forecast = forecast.reshape(*forecast.shape[:2], self.horizon_, -1)  # (n_lanes, n_rows, horizon, n_targets)
        return (forecast[0] if np.ndim(X) == 2 else forecast), state

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the share of the variance that is explained, as a mean over all targets and steps ahead.

        Parameters
        ----------
        X : like X in `fit`
            Windows.
        y : like y in `fit`
            Numbers to forecast.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window.

        Returns
        -------
        float
            The coefficient of determination: 1 is perfect, 0 as good as the mean.
        """
        forecast = self.predict(X)
        y = np.asarray(y).reshape(len(forecast), -1)
        return float(r2_score(y, forecast.reshape(y.shape), sample_weight=sample_weight))

    def _check_fit(self, X: Any, y: Any, sample_weight: Any, lengths: Any, *, reset: bool) -> Examples:
        """Check the input of a fit and learn its shape and codes."""
        if y is None:
            raise ValueError("LSTMForecaster requires y to be passed, but the target y is None. Pass numbers to hit.")
        windows, _ = check_windows(self, X, reset=reset, dtype=self._numpy_dtype(), lengths=lengths)
        y, shape = check_window_targets(y, windows, self)
        horizon, n_targets = (1, 1, *shape)[-2:]  # the axes of steps ahead and of targets may be missing
        self._learn_forecast_shape((horizon, n_targets), reset=reset)
        if reset:
            self.target_shape_ = shape
        windows = self._learn_channels(windows, reset=reset)
        return Examples(windows, y, check_sample_weight(sample_weight, y, dtype=np.float64, ensure_non_negative=True))

    def _check_validation(self, X_val: Any, y_val: Any) -> Examples | None:
        if X_val is None:
            return None
        if y_val is None:
            raise ValueError("X_val came without y_val. Pass the targets of its windows as y_val.")
        windows = self._check_windows(X_val)
        y, shape = check_window_targets(y_val, windows, self)
        if shape != self.target_shape_:
            raise ValueError(
                f"y_val has {shape} numbers for each window, but y has {self.target_shape_}. Pass it in that shape."
            )
        return Examples(windows, y, np.ones(len(y)))

    def _check_row_targets(self, X: np.ndarray, Y: np.ndarray | None) -> np.ndarray:
        """Return what is to be forecast beside `X`, (n_rows, n_targets)."""
        return check_row_targets(X, Y, codes=check_channels(self.categorical_channels, X.shape[1]))

    def _learn_forecast_shape(self, shape: tuple[int, int], *, reset: bool) -> None:
        """Learn how many steps ahead there are and how many numbers in each, or refuse others than before."""
        if reset:
            self.horizon_, self.n_targets_ = shape
        refuse_other_targets(shape, self._forecast_shape())

    def _forecast_shape(self) -> tuple[int, int]:
        """Return how many steps ahead there are, and how many numbers in each."""
        return self.horizon_, self.n_targets_

    def _units(self) -> TargetUnits:
        return TargetUnits(self.target_center_, self.target_scale_)

    def _start_forecaster(self, rng: np.random.RandomState) -> PreparedLoss:
        """Make the network, and return the loss to train it with."""
        if self.augmentation is not None and self.augmentation.time_warp:
            raise ValueError(
                f"time_warp={self.augmentation.time_warp!r} moves the steps of X, but not the values to be forecast. "
                "Set time_warp=0 in the augmentation."
            )
        quantiles = check_quantiles(self.quantiles) if self.loss == "quantile" else ()
        if self._goes_on() and len(quantiles) != len(self.quantiles_):
            raise ValueError(
                f"{len(quantiles)} quantiles came, but training began with {len(self.quantiles_)}. Keep loss and "
                "quantiles, or set warm_start=False."
            )
        self.quantiles_: tuple[float, ...] = quantiles
        n_outputs = self.horizon_ * self.n_targets_ * max(1, len(quantiles))
        own = {"horizon": self.horizon_, "decoder": self.decoder, **pooling_arguments(self)}
        self._start(rng, n_outputs=n_outputs, **own)
        return make_error_loss(self.loss, quantiles)

    def _target_batches(self, examples: Examples) -> WindowBatches:
        """Return windows to train on, or to watch the loss on, with weights that are scaled to a mean of one."""
        target = self._units().scaled(examples.y).astype(self._numpy_dtype())
        how = {"attention_entropy": self.attention_entropy}
        return self._window_batches(examples.windows, target, mean_one(examples.weight), **how)

    def _next_rows(
        self, X: np.ndarray, Y: np.ndarray, sample_weight: np.ndarray | None, starts: np.ndarray, **size: int
    ) -> ChunkBatches:
        """Return chunks of a log with the next rows as targets."""
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        target, horizon = self._tensor(Y), self.horizon_
        return self._chunk_batches(X, starts, target, weight, kind=NextRowsBatches, horizon=horizon, **size)

    def _forecast(self, X: Any, lengths: Any) -> np.ndarray:
        """Return (n_windows, horizon * n_targets, n_quantiles) in units of the targets."""
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            return self._units().restored(self._outputs(windows))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
