"""A recurrent classifier of windows ``(n_windows, n_timesteps, n_channels)``, or of every step of a log."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from ._validation import StrOptions, check_is_fitted, check_sample_weight, check_windows, fit_context, validate_data
from .batches import AUTO_CHUNKS, AUTO_WINDOWS, ChunkBatches, WindowBatches, count_chunks
from .recurrent import RecurrentEstimator, mean_one_weights, refuse_unusable, weigh_classes
from .training import one_thread
from .windows import LogWindows

# Rows scored in one call: fastest on a CPU at 256 windows; a long run is walked in pieces, its state carried along.
PREDICT_WINDOWS = 256
PREDICT_STEPS = 16384


class LSTMClassifier(ClassifierMixin, RecurrentEstimator):
    """A recurrent network that classifies windows of sensor readings.

    Parameters
    ----------
    n_channels : int, default=1
        Channels (sensors) of a time step when windows come flattened to 2-D, each row the first step's channels,
        then the second's, and so on. 3-D windows say it themselves.
    cell : {"lstm", "gru", "rnn"}, default="lstm"
        The recurrent cell. LSTM is the fastest on a CPU and as good as any in our trials.
    hidden_size : int, default=32
        Units in each layer and direction. 64 did not help on any log tried.
    num_layers : int, default=1
        Stacked layers.
    bidirectional : bool, default=False
        Whether a second pass reads the window backwards. Needs whole windows: not for step-by-step training.
    dropout : float, default=0.2
        Share of values dropped in training from the input, between layers and from the output.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn. They change the probabilities, seldom the ranking.
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
    lr : float, default=0.003
        Largest learning rate of AdamW.
    weight_decay : float, default=0.01
        Weight decay of AdamW.
    max_grad_norm : float or None, default=1.0
        Norm to which gradients are clipped.
    schedule : {"cosine", "constant"}, default="cosine"
        Course of the learning rate: a linear warm-up and half a cosine down to zero, or none. The falling rate does
        better than early stopping where events are few.
    warmup_fraction : float, default=0.2
        Share of training with a rising learning rate, under the cosine schedule.
    early_stopping : bool, default=False
        Whether to stop when the loss on windows held out has not fallen for `n_iter_no_change` epochs, and to keep
        the weights of the best epoch. It costs the events held out; few logs can spare them. Windows that overlap
        leak into a random validation part: give `fit` whole runs as `X_val`, or use `EventClassifier`, which does.
    validation_fraction : float, default=0.1
        Share of windows held out by `early_stopping` when `fit` gets no `X_val`.
    n_iter_no_change : int, default=5
        Epochs without a lower validation loss after which `early_stopping` stops.
    tol : float, default=1e-4
        Fall of the validation loss that counts.
    device : str, default="auto"
        A torch device; "auto" takes cuda, mps or xpu where there is one, else the cpu.
    precision : {"float32", "float64"}, default="float32"
        Type of the network's numbers.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last call.
    verbose : int, default=0
        Whether to show a progress bar over the epochs.
    random_state : int, RandomState or None, default=None
        Seed of the weights, the order of windows and the dropout. With an int, NumPy's and torch's global generators
        are left alone.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    module_ : torch.nn.Module
        The trained network.
    history_ : list of dict
        For each epoch its number, ``train_loss`` and, where there was a validation set, ``valid_loss``.
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

    References
    ----------
    Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation, 1997.
    Zaremba, Sutskever and Vinyals, "Recurrent neural network regularization", 2014 (where dropout goes).

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

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **RecurrentEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        n_channels: int = 1,
        *,
        cell: str = "lstm",
        hidden_size: int = 32,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.2,
        class_weight: Any = None,
        max_epochs: int | str = "auto",
        min_steps: int = 800,
        batch_size: int | str | None = "auto",
        min_batches: int = 50,
        lr: float = 0.003,
        weight_decay: float = 0.01,
        max_grad_norm: float | None = 1.0,
        schedule: str = "cosine",
        warmup_fraction: float = 0.2,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        tol: float = 1e-4,
        device: str = "auto",
        precision: str = "float32",
        warm_start: bool = False,
        verbose: int = 0,
        random_state: Any = None,
    ) -> None:
        self.n_channels = n_channels
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.class_weight = class_weight
        self.max_epochs = max_epochs
        self.min_steps = min_steps
        self.batch_size = batch_size
        self.min_batches = min_batches
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_grad_norm = max_grad_norm
        self.schedule = schedule
        self.warmup_fraction = warmup_fraction
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.precision = precision
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> Self:
        """Train on windows.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows. Those of a `LogWindows` are cut batch by batch and never copied as a whole.
        y : array-like of shape (n_windows,)
            Classes, two or more, numbers or strings.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window in the loss.
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
            If the input is not as described, a class of `y_val` is unknown, or training diverges.
        """
        windows, y, weight = self._check_fit(X, y, sample_weight, reset=not self._goes_on())
        rng = check_random_state(self.random_state)
        validation = None
        if X_val is not None:
            if y_val is None:
                raise ValueError("X_val came without y_val. Pass the classes of its windows as y_val.")
            validation = self._check_windows(X_val), column_or_1d(y_val), np.ones(len(y_val))
            check_consistent_length(*validation)
        elif self.early_stopping:
            train, held_out = self._hold_out(y, weight, rng)
            validation = windows.take(held_out, axis=0), y[held_out], weight[held_out]
            windows, y, weight = windows.take(train, axis=0), y[train], weight[train]
        with one_thread():
            self._start(rng, len(self.classes_))
            watched = validation and self._weighed_batches(*validation)
            return self._run(self._weighed_batches(windows, y, weight), watched)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
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

        Returns
        -------
        LSTMClassifier
            The estimator.
        """
        first = not hasattr(self, "module_")
        if first and classes is None:
            raise ValueError("classes must be passed in the first call of partial_fit: all classes that will come.")
        if self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' cannot be known from a part of the data. Take a dict of weights.")
        windows, y, weight = self._check_fit(X, y, sample_weight, reset=first, classes=classes)
        with one_thread():
            if first:
                self._start(check_random_state(self.random_state), len(self.classes_))
            loss = self._pass_once(self._window_batches(windows, y, weigh_classes(y, weight, self.class_weight)))
        return self._record([{"epoch": 1.0, "train_loss": loss}])

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
        """
        if self.early_stopping and X_val is None:
            raise ValueError("early_stopping watches a log held out. Pass X_val, y_val and starts_val.")
        reset = not self._goes_on()
        X, y = validate_data(self, X, y, dtype=self._numpy_dtype(), order="C", reset=reset)
        self._learn_classes(y, reset)
        self.n_channels_, self.n_timesteps_ = X.shape[1], 1
        weight = check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        with one_thread():
            self._start(check_random_state(self.random_state), len(self.classes_))
            weight = mean_one_weights(y, weight, self.class_weight)
            batches = self._chunk_batches(X, y, weight, starts, burn_in, stride)
            watched = None
            if X_val is not None and y_val is not None and starts_val is not None:
                weight_val = check_sample_weight(sample_weight_val, X_val, dtype=np.float64)
                weight_val = mean_one_weights(y_val, weight_val, self.class_weight)
                watched = self._chunk_batches(X_val, y_val, weight_val, starts_val, burn_in, stride)
            return self._run(batches, watched)

    def predict_proba_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the probabilities at every row of a stretch, and the state to go on from.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels)
            Rows of one stretch.
        state : object, optional
            What the last call returned for the rows before; the default is a cold start.

        Returns
        -------
        proba : ndarray of shape (n_rows, n_classes)
            Probabilities.
        state : object
            The network's state after the last row.
        """
        check_is_fitted(self)
        logits = []
        with one_thread(), torch.inference_mode():
            module = self._on_device()
            for piece in self._tensor(X).split(PREDICT_STEPS):
                out, state = module.forward_steps(piece[None], state)
                logits.append(out[0])  # (time, n_classes)
            return _softmax(logits), state

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the length in `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_classes)
            Probabilities, in the order of `classes_`.
        """
        check_is_fitted(self)
        windows = self._check_windows(X)
        with one_thread(), torch.inference_mode():
            module, gather = self._on_device(), self._gather(windows)
            items = torch.arange(gather.n_items, device=gather.values.device)
            return _softmax([module(gather(some)) for some in items.split(PREDICT_WINDOWS)])

    def predict(self, X: Any) -> np.ndarray:
        """Return the most probable class.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the length in `fit`.

        Returns
        -------
        ndarray of shape (n_windows,)
            Classes.
        """
        proba = self.predict_proba(X)
        return self.classes_[proba.argmax(axis=1)]

    def _check_fit(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool, classes: Any = None
    ) -> tuple[Any, np.ndarray, np.ndarray]:
        """Check the input of a fit and learn its shape and classes."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None. Pass a class per window."
            )
        if isinstance(X, LogWindows):
            windows, y = refuse_unusable(X) if reset else self._check_windows(X), column_or_1d(y)
            self.n_features_in_ = X.shape[1] * X.shape[2]
        else:
            windows, y = check_windows(self, X, y, reset=reset, dtype=self._numpy_dtype())
        check_consistent_length(windows, y)
        check_classification_targets(y)
        self._learn_classes(y if classes is None else classes, reset)
        self.n_timesteps_, self.n_channels_ = windows.shape[1:]
        weight = check_sample_weight(sample_weight, y[:, None], dtype=np.float64, ensure_non_negative=True)
        return windows, y, weight

    def _learn_classes(self, y: np.ndarray, reset: bool) -> None:
        check_classification_targets(y)
        classes = np.unique(y)
        if reset:
            self.classes_ = classes
        elif not np.isin(classes, self.classes_).all():
            raise ValueError(f"y has the classes {classes}, but training began with {self.classes_}. Fit anew.")

    def _encode(self, y: np.ndarray) -> np.ndarray:
        """Return the number of each label's class, refusing classes that `fit` has not seen."""
        y = np.asarray(y)
        if not np.isin(y, self.classes_).all():
            raise ValueError(
                f"Labels {np.unique(y)} came, but the classes are {self.classes_}. Leave the others out, name them in "
                "the first call of partial_fit, or, if they are in validation data only, hold out other windows."
            )
        return np.searchsorted(self.classes_, y)

    def _window_batches(self, windows: Any, y: np.ndarray, weight: np.ndarray) -> WindowBatches:
        return WindowBatches(self._gather(windows), self._encode(y), weight, self._batch_size(len(y), AUTO_WINDOWS))

    def _weighed_batches(self, windows: Any, y: np.ndarray, weight: np.ndarray) -> WindowBatches:
        """Return windows to train on, or to watch the same loss on, with weights of mean one."""
        return self._window_batches(windows, y, mean_one_weights(y, weight, self.class_weight))

    def _chunk_batches(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray, starts: np.ndarray, burn_in: int, stride: int
    ) -> ChunkBatches:
        size = self._batch_size(count_chunks(starts, len(X), stride), AUTO_CHUNKS)
        return ChunkBatches(
            self._tensor(X), starts, self._encode(y), weight, burn_in=burn_in, stride=stride, batch_size=size
        )


def _softmax(logits: list[torch.Tensor]) -> np.ndarray:
    """Return probabilities in float64: in float32 the surest rows would all tie at one."""
    return torch.cat(logits).cpu().double().softmax(dim=-1).numpy()
