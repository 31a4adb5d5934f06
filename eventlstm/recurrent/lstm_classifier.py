"""A recurrent classifier of windows ``(n_windows, n_timesteps, n_channels)``."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils import check_random_state

from .._validation import check_is_fitted, fit_context
from ..training.batches import AUTO_WINDOWS, WindowBatches
from ..training.threads import one_thread
from .base import mean_one
from .checking import CheckedWindows
from .stepwise import StepClassifier


class LSTMClassifier(StepClassifier):
    """A recurrent network that classifies windows of sensor readings.

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
    cell : {"lstm", "gru", "rnn", "peephole"}, default="lstm"
        The recurrent cell. LSTM is the fastest on a CPU and as good as any in our trials; "peephole" lets its gates
        see the memory, step by step in Python and several times slower.
    hidden_size : int, default=32
        Units in each layer and direction. 64 did not help on any log tried.
    num_layers : int, default=1
        Stacked layers.
    bidirectional : bool, default=False
        Whether a second pass reads the window backwards. Needs whole windows: not for step-by-step training.
    dropout : float, default=0.2
        Share of values dropped in training from the input, between layers and from the output.
    recurrent_dropout : float, default=0.0
        Share of the state's units dropped in training, the same ones at all steps of a window. Its training goes step
        by step in Python, several times slower; scoring does not.
    residual : bool, default=False
        Whether each layer after the first adds to what came in, which helps deep stacks.
    layer_norm : bool, default=False
        Whether the output of each layer is normalised over its units.
    forget_bias : float or None, default=None
        Bias of the forget gate at the start of training; None leaves it to the random draw. 1.0 remembers longer.
    retention_steps : float or None, default=None
        Steps over which half of the memory is to remain at the start of training: sets the forget gate's bias. Take
        the distance, in steps, between a cause and the label it tells of.
    pooling : {"last", "mean", "max", "additive", "luong", "multihead"}, default="last"
        What of a window's steps is judged: the last step, the mean or the largest of all, or a mean weighted by
        attention: additive, general against the last state, or several heads of self-attention. All but "last" need
        whole windows.
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
    prior_bias : bool, default=True
        Whether the network's first guess is about the share of each class in training, so that it need not learn first
        that events are rare: average precision .03 better on ASD, .02 on made logs, and no other on C-MAPSS.
    correct_prior : bool, default=False
        Whether probabilities are freed from what the sampler, the weights and the loss did to them; see Notes.
    max_epochs : int or "auto", default="auto"
        Passes over the data: an int is exactly that many, unless `early_stopping` ends them; "auto" is 15, or as
        many as it takes to make `min_steps` steps on a small set.
    min_steps : int, default=800
        Steps of the optimizer that ``max_epochs="auto"`` makes at least. Fewer left small logs undertrained.
    batch_size : int, "auto" or None, default="auto"
        Windows in a step; None is the whole set. "auto" is 64 windows (8 chunks in step-by-step training), or fewer
        where an epoch would have less than `min_batches` steps.
    min_batches : int, default=50
        Steps in an epoch that ``batch_size="auto"`` aims at on small sets.
    micro_batch_size : int or "auto", default="auto"
        Windows computed at a time within a step on a CPU; their gradients are added up. "auto" is 64, and 32 from 64
        hidden units on: large batches in one piece are up to twice as slow. With 32, a step of 64 windows of a small
        network can be shared by two threads.
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
        Random changes of the windows in training; see `Augmentation`.
    early_stopping : bool, default=False
        Whether to stop when the loss on windows held out has not fallen for `n_iter_no_change` epochs, and to keep the
        best epoch's weights. It costs the events held out; few logs can spare them. Windows that overlap leak into a
        random validation part: give `fit` whole runs as `X_val`, or use `EventClassifier`, which does.
    scoring : str, callable or "loss", default="loss"
        What `early_stopping` and ``schedule="plateau"`` watch on the windows held out: the loss, or a scorer of
        scikit-learn such as "average_precision", to which windows count by their weight in `fit`, not by their class.
    validation_fraction : float, default=0.1
        Share of windows held out by `early_stopping` when `fit` gets no `X_val`.
    n_iter_no_change : int, default=5
        Epochs without a lower validation loss, or a higher score, after which `early_stopping` stops.
    tol : float, default=1e-4
        Change of the validation loss or score that counts.
    checkpoint : str, path or None, default=None
        File that keeps the state of training after every epoch. When it is there, the same call of `fit` goes on from
        it and ends with the model that an uninterrupted one makes; it is removed at the end. Needs an int as
        `random_state`. The members of an `EventClassifier` add their number to its name.
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

    Exact means: for a network that has learnt what its loss asks for. To calibrate, put an `EventClassifier` into
    ``CalibratedClassifierCV(model, cv=RunKFold(5))``.

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation, 1997.
    Zaremba, Sutskever and Vinyals, "Recurrent neural network regularization", 2014 (where dropout goes).
    Gal and Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
    Gers, Schmidhuber and Cummins, "Learning to forget", 2000, and Jozefowicz, Zaremba and Sutskever, "An empirical
    exploration of recurrent network architectures", 2015 (the forget gate and its bias).
    Bahdanau, Cho and Bengio, 2015; Luong, Pham and Manning, 2015; Vaswani et al., 2017 (attention).

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

    def __init__(
        self,
        n_channels: int = 1,
        *,
        categorical_channels: Any = None,
        embedding_size: int | str = "auto",
        cell: str = "lstm",
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.2,
        recurrent_dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
        forget_bias: float | None = None,
        retention_steps: float | None = None,
        pooling: str = "last",
        num_heads: int = 4,
        attention_entropy: float = 0.0,
        loss: Any = "cross_entropy",
        class_weight: Any = None,
        sampler: Any = None,
        balanced_batches: bool = False,
        prior_bias: bool = True,
        correct_prior: bool = False,
        max_epochs: int | str = "auto",
        min_steps: int = 800,
        batch_size: int | str | None = "auto",
        min_batches: int = 50,
        micro_batch_size: int | str = "auto",
        optimizer: str = "adamw",
        lr: float = 0.003,
        momentum: float = 0.9,
        weight_decay: float = 0.01,
        max_grad_norm: float | None = 1.0,
        schedule: str = "cosine",
        warmup_fraction: float = 0.2,
        tbptt_steps: int | None = None,
        augmentation: Any = None,
        early_stopping: bool = False,
        scoring: Any = "loss",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        checkpoint: Any = None,
        device: str = "auto",
        precision: str = "float32",
        n_jobs: int | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.n_channels = n_channels
        self.categorical_channels = categorical_channels
        self.embedding_size = embedding_size
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.residual = residual
        self.layer_norm = layer_norm
        self.forget_bias = forget_bias
        self.retention_steps = retention_steps
        self.pooling = pooling
        self.num_heads = num_heads
        self.attention_entropy = attention_entropy
        self.loss = loss
        self.class_weight = class_weight
        self.sampler = sampler
        self.balanced_batches = balanced_batches
        self.prior_bias = prior_bias
        self.correct_prior = correct_prior
        self.max_epochs = max_epochs
        self.min_steps = min_steps
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.micro_batch_size = micro_batch_size
        self.optimizer = optimizer
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.schedule = schedule
        self.warmup_fraction = warmup_fraction
        self.tbptt_steps = tbptt_steps
        self.augmentation = augmentation
        self.early_stopping = early_stopping
        self.scoring = scoring
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.checkpoint = checkpoint
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

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
        windows, y, weight = self._check_fit(X, y, sample_weight, lengths, reset=not self._goes_on())
        rng = check_random_state(self.random_state)
        held_out = self._check_validation(X_val, y_val)
        if held_out is None and self.early_stopping:
            train, rest = self._hold_out(y, weight, rng)
            held_out = windows.take(rest), y[rest], weight[rest]
            windows, y, weight = windows.take(train), y[train], weight[train]
        n_events, counts = self._count_events(windows.values, y, weight), self._count(y, weight)
        windows, y, weight = self._sample(windows, y, weight, rng)
        plan = self._plan(y, weight, n_events, counts)
        with one_thread():
            self._start_classifier(rng, plan.first_guess)
            batches, watched = self._window_batches(windows, y, plan.weight), None
            if held_out is not None:
                others, labels, weight = held_out
                watched = self._window_batches(others, labels, weight * plan.seen[self._encode(labels)])
            return self._train_watched(plan.loss, batches, watched, held_out and held_out[2])

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
        self._refuse_parts()
        windows, y, weight = self._check_fit(X, y, sample_weight, lengths, reset=first, classes=classes)
        n_events, counts = self._count_events(windows.values, y, weight), self._count(y, weight)
        plan = self._plan(y, weight, n_events, counts)
        with one_thread():
            if first:
                self._start_classifier(check_random_state(self.random_state), plan.first_guess)
            return self._pass_once(self._window_batches(windows, y, plan.weight, scaled=False), plan.loss)

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

    def _window_batches(
        self, windows: CheckedWindows, y: np.ndarray, weight: np.ndarray, *, scaled: bool = True
    ) -> WindowBatches:
        """Return windows to train on, or to watch the loss on, with weights that are `scaled` to a mean of one."""
        return WindowBatches(
            self._gather(windows),
            self._encode(y),
            mean_one(weight) if scaled else weight,
            self._batch_size(len(y), AUTO_WINDOWS),
            lengths=windows.lengths,
            attention_entropy=self.attention_entropy,
            balanced=self.balanced_batches,
        )
