"""A recurrent autoencoder of windows ``(n_windows, n_timesteps, n_channels)``: what it cannot write is abnormal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, OutlierMixin, TransformerMixin
from sklearn.utils import check_random_state

from .._validation import Interval, StrOptions, check_is_fitted, check_sample_weight, fit_context
from ..alarms.tails import find_offset
from ..losses.errors import ERROR_LOSSES
from ..networks.reconstruction_net import ReconstructionNet
from ..training.batches import WindowBatches
from ..training.threads import one_thread
from .base import RecurrentEstimator
from .checking import CheckedWindows, Examples, check_windows, mean_one
from .holding_out import hold_out_unlabelled
from .reconstruction_error import (
    LastStepBatches,
    ReconstructionBatches,
    last_error,
    last_residuals,
    mean_error,
    mean_loss,
    n_steps,
    residuals,
)

# Share of the windows that contamination="auto" takes for abnormal.
AUTO_CONTAMINATION = 0.01


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class LSTMAutoencoder(OutlierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, RecurrentEstimator):
    """A recurrent network that writes windows of sensor readings anew, and finds abnormal what it cannot write.

    A window is read into a short vector, from which its steps are written again, the last one first. Trained on windows
    that are normal, or nearly all so, the network learns what they have in common; labels are not needed.

    The parameters, by what they set:

    - Input: `n_channels`, `categorical_channels`, `embedding_size`.
    - Network: `cell`, `grid`, `hidden_size`, `num_layers`, `bidirectional`, `dropout`, `recurrent_dropout`, `residual`,
      `layer_norm`, `forget_bias`, `retention_steps`, `gate_penalty`, `latent_size`.
    - Training: `loss`, `teacher_forcing`, `max_epochs`, `min_steps`, `max_steps`, `batch_size`, `min_batches`,
      `optimizer`, `lr`, `momentum`, `weight_decay`, `max_grad_norm`, `schedule`, `warmup_fraction`, `tbptt_steps`,
      `augmentation`, `warm_start`.
    - Stopping: `early_stopping`, `validation_fraction`, `n_iter_no_change`, `tol`, `checkpoint`.
    - Score: `error`, `contamination`.
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
    dropout : float, default=0.2
        Share of values dropped in training from what the encoder reads, and between its layers. The decoder has to
        write the whole all the same.
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
    min_steps : int, default=800
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
    lr : float, default=0.01
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
        Share of windows held out by `early_stopping` when `fit` gets no `X_val`: the last ones of a `LogWindows`, and a
        random part of others.
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
    latent_size : int, default=16
        Numbers that stand for a window. 32 ranked planted anomalies as well as 16, and 8 worse; of windows of few
        values, too many would write anomalies as well as all else.
    teacher_forcing : float or None, default=1.0
        Share of the steps in training at which the decoder is told the true values of the step it wrote last (all of
        them, as in Malhotra et al.); at the others, and always in scoring, it is told its own. Between 0 and 1 training
        goes step by step in Python, four times slower. None tells it neither: it writes from the latent vector alone.
        That is the better choice for ``error="mean"`` and `reconstruct`, since who is always told the truth drifts when
        left alone: on made logs a fifth of the variance in place of a half was missed. But being told turns the latent
        vector to the last steps, and with ``error="last"`` planted anomalies ranked better: .63 in place of .42.
    loss : {"squared", "huber", "absolute"}, default="squared"
        What training minimises at each value. The last two let windows that are abnormal in training count less.
        Windows are judged by squared errors whatever the loss.
    error : {"last", "mean"}, default="last"
        By what a window is judged: the squared error of its last step, so that the end of a window is what is found to
        be abnormal, or the mean over all its steps. Both are averaged over the channels.
    contamination : float or "auto", default="auto"
        Share of abnormal windows, which sets `offset_`: that share of the windows in `fit`, by their weight, is told to
        be abnormal. "auto" is the lowest hundredth of the scores of windows that were held out (`X_val`, or those of
        `early_stopping`); where there are none, of the windows in `fit`. Those were learnt from, so that more than a
        hundredth of new ones will be found abnormal.

    Attributes
    ----------
    offset_ : float
        Where normal scores begin: ``decision_function(X) = score_samples(X) - offset_``.
    categories_ : list of ndarray
        The codes of each categorical channel.
    module_ : torch.nn.Module
        The trained network.
    history_ : list of dict
        For each epoch its number, ``train_loss`` over all steps, the decoder told as in training, and ``valid_loss`` on
        windows held out, over the steps of `error`, the decoder told nothing true.
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
    LSTMClassifier : Where events are labelled.

    Notes
    -----
    Errors are in the units of the windows, squared: scale the sensors of a log before windows are cut from it, so that
    each counts. Compare with PCA on the flattened windows, which is quicker and not always worse: average precision of
    planted anomalies was .63 by the last step's error here and .50 there; of slow failures of made pumps .35 here, and
    there .32, or .43 by the mean over the window.

    Windows may differ in length: fill the tail of the shorter ones with NaN in all channels, or pass
    `lengths`.

    Codes are read and never written: no error is theirs. Errors are summed in float64.

    As in scikit-learn, scores are high for what is normal. A scorer for labels of which 1 is abnormal, such as
    ``scoring="average_precision"``, would rank upside down; `anomaly_score` is high for what is abnormal.

    References
    ----------
    Malhotra et al., "LSTM-based encoder-decoder for multi-sensor anomaly detection", 2016.
    Srivastava, Mansimov and Salakhutdinov, "Unsupervised learning of video representations using LSTMs", 2015.
    Vincent, Larochelle, Bengio and Manzagol, "Extracting and composing robust features with denoising autoencoders",
    2008 (values dropped from the input).
    Bengio, Vinyals, Jaitly and Shazeer, "Scheduled sampling for sequence prediction with recurrent neural networks",
    2015 (`teacher_forcing` between 0 and 1).
    Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", 2015 (a grid).

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import LSTMAutoencoder
    >>> start = np.random.default_rng(0).uniform(0, 6, size=(80, 1))
    >>> X = np.sin(start + np.arange(12))[:, :, None]
    >>> model = LSTMAutoencoder(hidden_size=8, latent_size=3, max_epochs=30, batch_size=16, random_state=0).fit(X)
    >>> odd = np.cos(2 * np.arange(12))[None, :, None]
    >>> bool(model.anomaly_score(odd)[0] > model.anomaly_score(X).max())
    True
    >>> model.predict(odd)
    array([-1])
    >>> model.transform(X).shape
    (80, 3)
    """

    lr: float = 0.01
    latent_size: int = 16
    teacher_forcing: float | None = 1.0
    loss: str = "squared"
    error: str = "last"
    contamination: float | str = "auto"

    network_class: ClassVar[Any] = ReconstructionNet

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **RecurrentEstimator._parameter_constraints,
        "latent_size": [Interval(Integral, 1, None, closed="left")],
        "teacher_forcing": [Interval(Real, 0, 1, closed="both"), None],
        "loss": [StrOptions({"squared", "huber", "absolute"})],
        "error": [StrOptions({"last", "mean"})],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
    }

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, lengths: Any = None, X_val: Any = None) -> Self:
        """Train on windows, all or nearly all of them normal.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows. Those of a `LogWindows` are cut batch by batch and never copied as a whole. A tail of steps whose
            channels are all NaN is no part of a window.
        y : object, optional
            Ignored.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window in the loss and in `contamination`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; whatever comes after them is ignored.
        X_val : like X, optional
            Windows to watch the loss on, and from which ``contamination="auto"`` takes `offset_`.

        Returns
        -------
        LSTMAutoencoder
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, parameters contradict each other, or training diverges.
        """
        examples = self._check_fit(X, sample_weight, lengths)
        rng = check_random_state(self.random_state)
        train, held_out = examples, None if X_val is None else unweighted(self._check_windows(X_val))
        if held_out is None and self.early_stopping:
            split = hold_out_unlabelled(examples.windows, examples.weight, self.validation_fraction, rng)
            train, held_out = (examples.take(items) for items in split)
        with one_thread():
            self._start(rng, latent_size=self.latent_size, teacher_forcing=self.teacher_forcing)
            watched = None if held_out is None else self._watched_batches(held_out)
            self._train(self._training_batches(train), partial(mean_loss, error=ERROR_LOSSES[self.loss]), watched)
            self._learn_offset(examples, held_out)
        return self

    def score_samples(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return how normal each window is: less its error.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows,)
            Scores, zero at most; the lower, the more abnormal.
        """
        return -self.anomaly_score(X, lengths=lengths)

    def anomaly_score(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return how abnormal each window is: its `error`.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows,)
            Squared errors; the higher, the more abnormal.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            return self._errors(windows)

    def decision_function(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return how far each window is on the normal side.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows,)
            ``score_samples(X) - offset_``: negative for what is abnormal.
        """
        return self.score_samples(X, lengths=lengths) - self.offset_

    def predict(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return which windows are normal.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows,)
            1 for normal, -1 for abnormal windows.
        """
        return np.where(self.decision_function(X, lengths=lengths) >= 0, 1, -1)

    def transform(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the latent vectors.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, latent_size)
            What the windows are written from.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            return self._outputs(windows, encode).cpu().double().numpy()

    def reconstruct(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the windows as the network writes them.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps, n_channels)
            Written windows, NaN after a window's end and in channels of codes.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            return self._spread(self._outputs(windows), windows)

    def reconstruction_errors(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return by how much each value is missed.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps, n_channels)
            The window less its reconstruction, with its sign; NaN after a window's end and in channels of codes.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            return self._spread(self._outputs(windows, residuals), windows)

    def last_step_errors(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return by how much each value of the windows' last steps is missed.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_channels)
            What `reconstruction_errors` has at the last steps, in a small part of its memory and time; NaN in channels
            of codes. For windows that end at every row of a log, the errors of its rows, sensor by sensor.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            values = self._outputs(windows, last_residuals)
        return self._among_all(values, (len(values), self.n_channels_))

    def _check_fit(self, X: Any, sample_weight: Any, lengths: Any) -> Examples:
        """Check the input of a fit and learn its shape and codes."""
        reset = not self._goes_on()
        windows, _ = check_windows(self, X, reset=reset, dtype=self._numpy_dtype(), lengths=lengths)
        one_column = np.empty((len(windows.values), 1))
        weight = check_sample_weight(sample_weight, one_column, dtype=np.float64, ensure_non_negative=True)
        return Examples(self._learn_channels(windows, reset=reset), None, weight)

    def _training_batches(self, examples: Examples) -> WindowBatches:
        windows, _, weight = examples
        return self._window_batches(windows, n_steps(windows), mean_one(weight), kind=ReconstructionBatches)

    def _watched_batches(self, examples: Examples) -> WindowBatches:
        """Return windows to watch the loss on: of that by which windows are judged."""
        if self.error != "last":
            return self._training_batches(examples)
        windows, _, weight = examples
        ones = np.ones(len(weight), dtype=np.int64)
        return self._window_batches(windows, ones, mean_one(weight), kind=LastStepBatches)

    def _errors(self, windows: CheckedWindows) -> np.ndarray:
        """Return the error by which each window is judged, float64 of shape (n_windows,)."""
        judge = last_error if self.error == "last" else mean_error
        return self._outputs(windows, judge).cpu().double().numpy()

    def _learn_offset(self, fitted: Examples, held_out: Examples | None) -> None:
        """Set the border of what is normal: for "auto" by windows held out where there are some."""
        share = AUTO_CONTAMINATION if self.contamination == "auto" else float(self.contamination)
        judged = held_out if self.contamination == "auto" and held_out is not None else fitted
        self.offset_ = find_offset(-self._errors(judged.windows), judged.weight, share)

    def _spread(self, values: torch.Tensor, windows: CheckedWindows) -> np.ndarray:
        """Return values of measured channels, (n_windows, time, n_measured), among all; NaN where there are none."""
        spread = self._among_all(values, windows.values.shape)
        if windows.lengths is not None:
            spread[np.arange(spread.shape[1]) >= windows.lengths[:, None]] = np.nan
        return spread

    def _among_all(self, values: torch.Tensor, shape: tuple[int, ...]) -> np.ndarray:
        """Return values (..., n_measured) in an array (..., n_channels) of NaN."""
        spread = np.full(shape, np.nan)
        spread[..., self.module_.measured] = values.cpu().double().numpy()
        return spread

    @property
    def _n_features_out(self) -> int:
        """The latent numbers, for scikit-learn's names of them."""
        return int(self.module_.architecture["latent_size"])


def encode(module: Any, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the latent vectors, (batch, latent_size)."""
    return module.encode(x, None, lengths)


def unweighted(windows: CheckedWindows) -> Examples:
    """Return windows that all count the same."""
    return Examples(windows, None, np.ones(len(windows.values)))
