"""A recurrent classifier of windows ``(n_windows, n_timesteps, n_channels)``, or of every step of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import check_array, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length
from torch import nn

from .._validation import HasMethods, StrOptions, check_is_fitted, check_sample_weight, fit_context, validate_data
from ..logs.plain_labels import plain_labels
from ..losses.base import Loss, PreparedLoss
from ..losses.choice import LOSSES
from ..networks.recurrent_net import refuse_whole_windows
from ..sampling.resampling import resample
from ..training.batches import ChunkBatches, WindowBatches, reweigh
from ..training.loop import Batches
from ..training.monitor import ScoreMonitor
from ..training.threads import one_thread
from .base import RecurrentEstimator
from .checking import CheckedWindows, Examples, check_windows, mean_one
from .classes import ClassCounts, Classes, ClassWeighing, Plan, learn_classes, set_prior
from .forward import over_batches
from .holding_out import hold_out_classes
from .insight import InsightMixin
from .intercept import refit_intercept, take_enough
from .numpy_state import map_leaves
from .pooling import POOLING_CONSTRAINTS, pooling_arguments
from .recipe import micro_batch_size


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class LSTMClassifier(ClassifierMixin, InsightMixin, RecurrentEstimator):
    """A recurrent network that classifies windows of sensor readings.

    The parameters, by what they set:

    - Input: `n_channels`, `categorical_channels`, `embedding_size`.
    - Network: `cell`, `grid`, `hidden_size`, `num_layers`, `bidirectional`, `dropout`, `recurrent_dropout`, `residual`,
      `layer_norm`, `forget_bias`, `retention_steps`, `gate_penalty`, `pooling`, `num_heads`, `attention_entropy`.
    - Training: `loss`, `max_epochs`, `min_steps`, `max_steps`, `batch_size`, `min_batches`, `optimizer`, `lr`,
      `momentum`, `weight_decay`, `max_grad_norm`, `schedule`, `warmup_fraction`, `tbptt_steps`, `augmentation`,
      `warm_start`.
    - Stopping: `early_stopping`, `scoring`, `validation_fraction`, `n_iter_no_change`, `tol`, `checkpoint`.
    - Imbalance: `class_weight`, `sampler`, `balanced_batches`, `prior_bias`, `correct_prior`.
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
        Share of values dropped in training from the input, between layers and from the output.
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
    max_steps : int, "auto" or None, default="auto"
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
        Share of windows held out by `early_stopping` when `fit` gets no `X_val`: of each class, at random. Windows that
        overlap leak into such a part: give `fit` whole runs as `X_val`, or use `EventClassifier`, which does.
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
    loss : str, Loss, callable or nn.Module, default="cross_entropy"
        What training minimises: "cross_entropy", "focal", "class_balanced", "logit_adjusted", "asymmetric", "ldam",
        "average_precision", an object of `losses` with parameters of its own, or any function of logits and classes.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn. They change the probabilities, seldom the ranking.
    sampler : sampler or None, default=None
        A sampler of imbalanced-learn, such as ``RandomUnderSampler()`` or ``SMOTE()``, or `TemporalOversampler`. It
        works on the windows to train on, after any have been held out; not for step-by-step training.
    balanced_batches : bool, default=False
        Whether each batch holds two windows of the rare classes at least; their weight in all stays the same.
    prior_bias : bool or "auto", default="auto"
        Whether the network's first guess is about the share of each class in training, so that it need not learn first
        that events are rare. On eight logs that helped networks that see the sensors themselves (a fourth on short
        logs), and harmed those that see them whitened: "auto" is True, and False where `EventClassifier` shows a member
        the whitened view.
    correct_prior : bool, default=False
        Whether probabilities are freed from what the sampler, the weights and the loss did to them; see Notes.
    scoring : str, callable or "loss", default="loss"
        What `early_stopping` and ``schedule="plateau"`` watch on the windows held out: the loss, or a scorer of
        scikit-learn such as "average_precision", to which windows count by their weight in `fit`, not by their class.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    class_factors_ : ndarray of shape (n_classes,)
        By which factor training saw each class over its weight in the data: that of sampler, weights and loss together.
    categories_ : list of ndarray
        The codes of each categorical channel.
    module_ : torch.nn.Module
        The trained network.
    history_ : list of dict
        For each epoch its number, ``train_loss``, ``valid_loss`` on a validation set, and a scorer's ``valid_score``.
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
    EventClassifier : Takes a whole log instead of windows.

    Notes
    -----
    Windows may differ in length: fill the tail of the shorter ones with NaN in all channels, or pass `lengths`.

    Weights, samplers and losses for rare classes move probabilities, and seldom rank better. What `correct_prior` does:

    ======================================================  =========================================================
    Trained with                                            ``correct_prior=True``
    ======================================================  =========================================================
    `class_weight`, RandomUnderSampler, RandomOverSampler   exact: the odds are divided by what was added
    "focal"                                                 exact: the closed form of Charoenphakdee et al., 2021
    "class_balanced", "logit_adjusted"                      exact, as for weights
    `balanced_batches`, `prior_bias`                        nothing to correct
    SMOTE, ADASYN, NearMiss, TemporalOversampler, ...       the shares only: calibrate on runs held out
    "asymmetric", "ldam", "average_precision", functions    refused: calibrate on runs held out
    ======================================================  =========================================================

    Exact means: for a network that has learnt what its loss asks for. Training with dropout leaves it beside that, as
    whole units are not the mean over masks: of the events of made windows it expected .8, and .7 under "focal". So
    where `dropout`, `recurrent_dropout` or `augmentation` change what training sees, `fit` and `fit_steps` end with a
    pass over the data as they came, before any sampling, and refit the intercept: the probabilities that
    ``correct_prior=True`` returns then have, in the mean, the shares of the classes, and those under weights follow
    within .06. Where there is a sampler, the pass takes 16,384 windows of a class at most, evenly spread. `history_`
    is of training, before it. `partial_fit`, to which a part of the data does not tell the shares, and losses whose
    correction is refused leave the intercept alone. The ranking of two classes does not change.

    Forget gates: what to begin with, and what was measured (``pipelines/forget_gates.py``, made cases, three seeds):

    ==============  =======================  ==========================================================================
    Case            Begin with               Right answers
    ==============  =======================  ==========================================================================
    long memory     `retention_steps` of     1.00 over 100 steps with a `gate_penalty` up to .1; .50, a guess, with 1,
                    the distance             or with ``forget_bias=1`` or the bias drawn
    short patterns  the defaults             .93 whatever the bias; a penalty gains nothing, 1 loses up to .03
    noisy data      the defaults             .94 whatever the bias or the penalty
    ==============  =======================  ==========================================================================

    So the start of the bias decides where memory is long, and `gate_penalty` has helped in no case: a network that has
    to remember has its gates at their ends. Use it to keep gates that settle early in reach of their gradient, and look
    at ``gates_at_ends``.

    To calibrate more than the mean, put an `EventClassifier` into
    ``CalibratedClassifierCV(model, cv=RunKFold(5))``.

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation, 1997.
    Zaremba, Sutskever and Vinyals, "Recurrent neural network regularization", 2014 (where dropout goes).
    Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
    Gers, Schmidhuber and Cummins, "Learning to forget", 2000, and Jozefowicz, Zaremba and Sutskever, "An empirical
    exploration of recurrent network architectures", 2015 (the forget gate and its bias).
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014 (whole units instead of
    the mean over masks are an approximation).
    Merity, McCann and Socher, "Revisiting activation regularization for language RNNs", 2017 (a square penalty on
    activations, there outputs, in `gate_penalty` the gates about their middle).
    King and Zeng, "Logistic regression in rare events data", 2001, and Steyerberg, "Clinical prediction models", 2nd
    edition, 2019 (correcting the intercept; calibration in the large).
    Bahdanau, Cho and Bengio, 2015; Luong, Pham and Manning, 2015; Vaswani et al., 2017 (attention).
    Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", 2015 (a grid).

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import LSTMClassifier
    >>> X = np.random.default_rng(0).normal(size=(80, 10, 2))
    >>> y = np.where(X[:, -3:, 0].mean(axis=1) > 0.5, "fault", "ok")
    >>> model = LSTMClassifier(hidden_size=8, max_epochs=80, random_state=0).fit(X, y)
    >>> model.predict_proba(X).shape
    (80, 2)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    max_steps: int | str | None = "auto"
    pooling: str = "last"
    num_heads: int = 4
    attention_entropy: float = 0.0
    loss: Any = "cross_entropy"
    class_weight: Any = None
    sampler: Any = None
    balanced_batches: bool = False
    prior_bias: bool | str = "auto"
    correct_prior: bool = False
    scoring: Any = "loss"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **RecurrentEstimator._parameter_constraints,
        **POOLING_CONSTRAINTS,
        "loss": [StrOptions(set(LOSSES)), Loss, nn.Module, callable],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "sampler": [HasMethods("fit_resample"), None],
        "balanced_batches": ["boolean"],
        "prior_bias": ["boolean", StrOptions({"auto"})],
        "correct_prior": ["boolean"],
        "scoring": [str, callable],
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
        y : array-like of shape (n_windows,)
            Classes, two or more, numbers or strings.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window in the loss.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; whatever comes after them is ignored.
        X_val : like X, optional
            Windows to watch the loss on; used by `early_stopping`, and recorded without it.
        y_val : array-like, optional
            Classes of `X_val`.

        Returns
        -------
        LSTMClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, parameters contradict each other, a class of `y_val` is unknown, or
            training diverges.
        """
        train = self._check_fit(X, y, sample_weight, lengths, reset=not self._goes_on())
        rng = check_random_state(self.random_state)
        held_out = self._check_validation(X_val, y_val)
        if held_out is None and self.early_stopping:
            split = hold_out_classes(train.y, train.weight, self.validation_fraction, rng)
            train, held_out = (train.take(items) for items in split)
        counts = Classes(self.classes_).count_windows(train.windows.values, train.y, train.weight)
        sampled = self._sample(train, rng)
        plan = self._plan(sampled.y, sampled.weight, counts)
        with one_thread():
            self._start_classifier(rng, plan.first_guess)
            batches = self._label_batches(sampled.windows, sampled.y, mean_one(plan.weight))
            if held_out is None:
                self._train_watched(plan.loss, batches, None, None)
            else:
                weight = held_out.weight * plan.seen[self._encode(held_out.y)]
                watched = self._label_batches(held_out.windows, held_out.y, mean_one(weight))
                self._train_watched(plan.loss, batches, watched, held_out.weight)
            return self._refit_intercept(self._as_they_came(batches, train), plan)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None, *, lengths: Any = None
    ) -> Self:
        """Pass once over more windows, at a constant learning rate.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels)
            Windows.
        y : array-like of shape (n_windows,)
            Classes.
        classes : array-like of shape (n_classes,), optional
            All classes that will ever come; needed in the first call.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window in the loss.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window.

        Returns
        -------
        LSTMClassifier
            The estimator.
        """
        first = not hasattr(self, "module_")
        if first and classes is None:
            raise ValueError("classes must be passed in the first call of partial_fit: all classes that will come.")
        if self.sampler is not None:
            raise ValueError("A sampler cannot balance what comes in parts. Set sampler=None, or call fit.")
        self._weighing().refuse_parts()
        windows, y, weight = self._check_fit(X, y, sample_weight, lengths, reset=first, classes=classes)
        plan = self._plan(y, weight, Classes(self.classes_).count_windows(windows.values, y, weight))
        with one_thread():
            if first:
                self._start_classifier(check_random_state(self.random_state), plan.first_guess)
            return self._pass_once(self._label_batches(windows, y, plan.weight), plan.loss)

    @fit_context(prefer_skip_nested_validation=True)
    def fit_steps(
        self,
        X: np.ndarray,
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        starts: np.ndarray,
        burn_in: int = 32,
        stride: int = 64,
        X_val: np.ndarray | None = None,
        y_val: np.ndarray | None = None,
        starts_val: np.ndarray | None = None,
        sample_weight_val: np.ndarray | None = None,
    ) -> Self:
        """Train on a log with a label at every row: what `EventClassifier` uses in its stateful mode.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels)
            The log.
        y : ndarray of shape (n_rows,)
            The class of each row.
        sample_weight : ndarray of shape (n_rows,), optional
            Weight of each row in the loss.
        starts : ndarray of shape (n_stretches,)
            First row of each stretch; the state never crosses from one to the next.
        burn_in : int, default=32
            Rows of history before the labelled rows of a chunk.
        stride : int, default=64
            Labelled rows of a chunk.
        X_val, y_val, starts_val, sample_weight_val : ndarray, optional
            Another log, to watch the loss on.

        Returns
        -------
        LSTMClassifier
            The fitted estimator.

        Raises
        ------
        ValueError
            If the network needs whole windows (``bidirectional=True``, or a `pooling` other than "last"), there is a
            sampler, the input is not as described, or training diverges.
        """
        self._refuse_steps(watched=X_val is not None)
        if X_val is not None and (y_val is None or starts_val is None):
            raise ValueError("X_val came without y_val or starts_val. Pass them together.")
        reset = not self._goes_on()
        X, y = validate_data(self, X, y, dtype=self._numpy_dtype(), order="C", reset=reset)
        self._learn_classes(y, reset=reset)
        values = self._learn_row_channels(X, reset=reset)
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        stretch = np.searchsorted(starts, np.arange(len(y)), side="right")
        plan = self._plan(y, weight, Classes(self.classes_).count_rows(y, stretch, weight))
        size = {"burn_in": burn_in, "stride": stride}
        with one_thread():
            self._start_classifier(check_random_state(self.random_state), plan.first_guess)
            batches = self._label_chunks(values, y, plan.weight, starts, **size)
            watched = weight_val = None
            if X_val is not None and y_val is not None and starts_val is not None:
                X_val = check_array(X_val, dtype=self._numpy_dtype(), order="C", copy=True)
                weight_val = check_sample_weight(sample_weight_val, X_val, dtype=np.float64, ensure_non_negative=True)
                seen_val = weight_val * plan.seen[self._encode(y_val)]
                watched = self._label_chunks(self._codes().encode(X_val), y_val, seen_val, starts_val, **size)
            self._train_watched(plan.loss, batches, watched, weight_val)
            return self._refit_intercept(reweigh(batches, weight), plan)

    def predict_proba(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            Probabilities, in the order of `classes_`.
        """
        check_is_fitted(self)
        windows = self._check_windows(X, lengths)
        with one_thread():
            return self._proba(self._outputs(windows))

    def predict(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the most probable class.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows,)
            Classes.
        """
        proba = self.predict_proba(X, lengths=lengths)
        return self.classes_[proba.argmax(axis=1)]

    def predict_proba_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the probabilities at every row of one stretch or of several, and the state to go on from.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels) or (n_lanes, n_rows, n_channels)
            Rows of one stretch, or of several side by side.
        state : object, optional
            What the last call returned for the rows before, of as many lanes; the default is a cold start.

        Returns
        -------
        proba : ndarray of shape (n_rows, n_classes) or (n_lanes, n_rows, n_classes)
            Probabilities.
        state : object
            The network's state after the last row of each lane.

        Raises
        ------
        ValueError
            If `X` has another number of channels than in `fit`, no rows, or values that are not finite numbers.
        """
        check_is_fitted(self)
        with one_thread():
            logits, state = self._step_outputs(X, state)
            proba = self._proba(logits)  # (n_lanes, n_rows, n_classes)
        return (proba[0] if np.ndim(X) == 2 else proba), state

    @staticmethod
    def repeat_state(state: Any, n_times: int) -> Any:
        """Return a state of `predict_proba_steps` for as many times its lanes: all of them, then all again.

        Parameters
        ----------
        state : object
            The state of some lanes, or None.
        n_times : int
            How often they are to stand side by side.

        Returns
        -------
        object
            The state of ``n_times`` as many lanes.
        """
        return map_leaves(state, torch.Tensor, lambda part: part.repeat(1, n_times, 1))  # (directions, lanes, hidden)

    def _check_fit(
        self, X: Any, y: Any, sample_weight: Any, lengths: Any, *, reset: bool, classes: Any = None
    ) -> Examples:
        """Check the input of a fit and learn its shape, classes and codes."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Pass a class per window."
            )
        windows, y = check_windows(self, X, y, reset=reset, dtype=self._numpy_dtype(), lengths=lengths)
        check_classification_targets(y)
        self._learn_classes(y if classes is None else classes, reset=reset)
        weight = check_sample_weight(sample_weight, y[:, None], dtype=np.float64, ensure_non_negative=True)
        return Examples(self._learn_channels(windows, reset=reset), y, weight)

    def _check_validation(self, X_val: Any, y_val: Any) -> Examples | None:
        if X_val is None:
            return None
        if y_val is None:
            raise ValueError("X_val came without y_val. Pass the classes of its windows as y_val.")
        windows, labels = self._check_windows(X_val), column_or_1d(plain_labels(y_val, "y_val"))
        check_consistent_length(windows.values, labels)
        return Examples(windows, labels, np.ones(len(labels)))

    def _refuse_steps(self, *, watched: bool) -> None:
        """Refuse parameters that do not go with training step by step."""
        refuse_whole_windows(bidirectional=self.bidirectional, pooling=self.pooling)
        if self.sampler is not None:
            raise ValueError(
                f"sampler={self.sampler!r} chooses among windows, which step-by-step training has none of. Set "
                "mode='windows' in EventClassifier, or weigh the classes: class_weight, loss."
            )
        if self.early_stopping and not watched:
            raise ValueError("early_stopping watches a log held out. Pass X_val, y_val and starts_val.")

    def _sample(self, train: Examples, rng: np.random.RandomState) -> Examples:
        """Return what the sampler leaves and makes of the windows to train on."""
        if self.sampler is None:
            return train
        new = resample(
            self.sampler,
            train.windows.values,
            train.y,
            train.weight,
            lengths=train.windows.lengths,
            categorical_channels=self._codes().channels,
            random_state=rng,
        )
        return Examples(CheckedWindows(new.values, new.lengths), new.y, np.asarray(new.weight))

    def _learn_classes(self, y: Any, *, reset: bool) -> None:
        self.classes_: np.ndarray = learn_classes(y, None if reset else self.classes_)

    def _plan(self, y: np.ndarray, weight: np.ndarray, counts: ClassCounts) -> Plan:
        """Return how to train on these classes, and learn by which factor training sees each."""
        plan = self._weighing().plan(Classes(self.classes_), y, weight, counts)
        self.class_factors_ = plan.factors
        return plan

    def _weighing(self) -> ClassWeighing:
        return ClassWeighing(self.class_weight, self.loss, self.correct_prior)

    def _encode(self, y: Any) -> np.ndarray:
        return Classes(self.classes_).encode(y)

    def _start_classifier(self, rng: np.random.RandomState, first_guess: np.ndarray) -> None:
        """Make the network; under `prior_bias` its first guess is the share of each class."""
        fresh = not self._goes_on()
        self._start(rng, n_outputs=len(self.classes_), **pooling_arguments(self))
        if fresh and self.prior_bias:
            set_prior(self.module_, first_guess)

    def _label_batches(self, windows: CheckedWindows, y: np.ndarray, weight: np.ndarray) -> WindowBatches:
        how = {"attention_entropy": self.attention_entropy, "balanced": self.balanced_batches}
        return self._window_batches(windows, self._encode(y), weight, **how)

    def _label_chunks(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray, starts: np.ndarray, **size: int
    ) -> ChunkBatches:
        number, balanced = self._encode(y), self.balanced_batches
        return self._chunk_batches(X, starts, number, mean_one(weight), balanced=balanced, **size)

    def _train_watched(self, loss: PreparedLoss, batches: Batches, watched: Any, weight: np.ndarray | None) -> Self:
        """Train the network, watched by a scorer when one is named: it counts items by `weight`, not by their class."""
        if watched is None or weight is None or self.scoring == "loss":
            return self._train(batches, loss, watched)
        judged = reweigh(watched, weight)
        monitor = ScoreMonitor(self.scoring, self.module_, judged, self.classes_, self.precision, self._proba)
        return self._train(batches, loss, watched, monitor)

    def _as_they_came(self, batches: WindowBatches, train: Examples) -> WindowBatches:
        """Return the windows to train on, before any sampling, by the weights they came with."""
        if self.sampler is None:
            return reweigh(batches, train.weight)
        some = take_enough(train)
        return self._label_batches(some.windows, some.y, some.weight)

    def _refit_intercept(self, batches: Batches, plan: Plan) -> Self:
        """Shift the intercept until the probabilities that `correct_prior` returns have the shares of the classes.

        A network that was trained on what it is asked of is left alone. A class that its weight left out of training
        has no share.
        """
        honest = self._weighing()._replace(correct_prior=True)
        changed = self.dropout or self.recurrent_dropout or self.augmentation is not None
        if changed and honest.leads_back(len(self.classes_)):
            scored = over_batches(
                self.module_, batches, piece=micro_batch_size(self), precision=self.precision, n_jobs=self.n_jobs
            )
            scored = scored._replace(weight=scored.weight * (plan.seen > 0)[scored.target])
            refit_intercept(self.module_, scored, lambda logits: honest.proba(logits, plan.factors))
        return self

    def _proba(self, logits: torch.Tensor) -> np.ndarray:
        return self._weighing().proba(logits, self.class_factors_)
