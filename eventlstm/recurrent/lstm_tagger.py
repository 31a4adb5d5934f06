"""A recurrent network that labels every step of windows ``(n_windows, n_timesteps, n_channels)``, or of a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import check_array, check_random_state
from torch import nn

from .._validation import StrOptions, check_is_fitted, check_sample_weight, fit_context, validate_data
from ..logs.lanes import as_lanes
from ..losses.base import Loss
from ..losses.choice import LOSSES
from ..networks.tagging_net import TaggingNet
from ..training.loop import Batches
from ..training.step_batches import StepChunks, StepWindows
from ..training.threads import one_thread
from .base import RecurrentEstimator
from .checking import CheckedWindows, Examples, check_windows, mean_one
from .classes import Classes, ClassWeighing, Plan, learn_classes, set_prior
from .decoding import Decoder, make_decoder
from .holding_out import hold_out_unlabelled
from .numpy_state import map_leaves
from .step_labels import StepLabels, chain_scores, check_step_labels, inside_of, of_rows, of_windows, refuse_early_ends

# What `predict_proba_steps` returns in place of a state after a stretch that was judged as a whole.
WHOLE = "the stretch was judged as a whole"


@dataclass(eq=False, repr=False, match_args=False, kw_only=True)
class LSTMTagger(ClassifierMixin, RecurrentEstimator):
    """A recurrent network that labels every step: states of a machine, phases of a batch, events with their borders.

    The parameters, by what they set:

    - Input: `n_channels`, `categorical_channels`, `embedding_size`.
    - Network: `cell`, `grid`, `hidden_size`, `num_layers`, `bidirectional`, `dropout`, `recurrent_dropout`, `residual`,
      `layer_norm`, `forget_bias`, `retention_steps`, `gate_penalty`.
    - Labels: `crf`, `decoding`, `forbid_unseen`.
    - Training: `loss`, `max_epochs`, `min_steps`, `max_steps`, `batch_size`, `min_batches`, `optimizer`, `lr`,
      `momentum`, `weight_decay`, `max_grad_norm`, `schedule`, `warmup_fraction`, `tbptt_steps`, `augmentation`,
      `warm_start`.
    - Stopping: `early_stopping`, `validation_fraction`, `n_iter_no_change`, `tol`, `checkpoint`.
    - Imbalance: `class_weight`, `prior_bias`.
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
        Whether a second pass reads the window, or a stretch of a log, backwards: labels are then given after the fact.
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
        Share of windows held out by `early_stopping` when `fit` gets no `X_val`: at random, or the end of a
        `LogWindows`. Windows that overlap leak into such a part: give `fit` whole runs as `X_val`, or use
        `EventClassifier`, which does.
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
    crf : bool, default=False
        Whether a linear-chain conditional random field stands over the steps: labels are then learnt and chosen
        together, with a score for each transition from one class to the next. It suits states that last, in an order
        of their own; training takes two to four times as long.
    decoding : {"smoothed", "filtered"}, default="smoothed"
        What a step's label is judged by. "smoothed" takes all steps of the window, or of the stretch of a log: what is
        to be labelled after the fact. "filtered" takes the steps up to it alone, as live use needs, from a network that
        is not `bidirectional`. Without `crf` a network that reads forward does so either way. It decides what is
        trained; set anew after `fit` it is heeded, but a field serves best what it was trained for.
    forbid_unseen : bool, default=False
        Whether a transition that never occurs in training has no probability at all; needs `crf`.
    loss : str, Loss, callable or nn.Module, default="cross_entropy"
        What training minimises: "cross_entropy", "focal", "class_balanced", "logit_adjusted", "asymmetric", "ldam",
        "average_precision", an object of `losses` with parameters of its own, or any function of logits and classes.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn. They change the probabilities, seldom the ranking.
    prior_bias : bool or "auto", default="auto"
        Whether the network's first guess is about the share of each class in training, so that it need not learn first
        that events are rare. On eight logs that helped networks that see the sensors themselves (a fourth on short
        logs), and harmed those that see them whitened: "auto" is True, and False where `EventClassifier` shows a member
        the whitened view.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.
    label_shape_ : tuple of int
        Shape of the labels of a window in `fit`: ``(n_timesteps_,)``, of the last steps ``(n_labelled,)``, or ``()`` of
        the last one.
    categories_ : list of ndarray
        The codes of each categorical channel.
    module_ : torch.nn.Module
        The trained network.
    history_ : list of dict
        For each epoch its number, ``train_loss`` and ``valid_loss`` on a validation set.
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
    LSTMClassifier : One label a window.
    EventClassifier : Takes a whole log instead of windows.

    Notes
    -----
    Windows may differ in length: fill the tail of the shorter ones with NaN in all channels, or pass `lengths`. Steps
    behind the end of a window are answered as its last step is.

    With fewer labels than steps, they are those of the last steps of each window, and the steps before are history: a
    field sums over all that their labels could be.

    Under `crf` and smoothed, training minimises the exact negative log-likelihood of the labels, written as a
    cross-entropy at each step: that of its label, given the labels before it and all of the window. So any `loss` and
    `class_weight` can take its place there; what they weigh is then this, not the marginal probability, and only the
    plain likelihood leads to honest probabilities. `predict` finds the most probable path (Viterbi), `predict_proba`
    the probability of each class at each step (forward-backward); the two may differ. Filtered, training takes the loss
    of the probability at each step from the steps up to it (the forward algorithm), which `predict_proba` returns: a
    field trained by the likelihood leaves to later steps what it then lacks (on a made log of five phases .889 of the
    rows were right, against .911). Transitions begin as often as they were seen in training.

    In ``EventClassifier(LSTMTagger(...))``, mode "stateful", each row of a run is judged after the fact when smoothed
    and looks ahead then: the run is scored as a whole, in memory that grows with it. Scoring row by row or in pieces
    refuses it. Members are averaged row by row there; paths are not searched.

    References
    ----------
    Lafferty, McCallum and Pereira, "Conditional random fields: probabilistic models for segmenting and labeling
    sequence data", 2001.
    Huang, Xu and Yu, "Bidirectional LSTM-CRF models for sequence tagging", 2015.
    Rabiner, "A tutorial on hidden Markov models and selected applications in speech recognition", 1989 (forward,
    backward and Viterbi; what filtering and smoothing are).
    Shi et al., "Convolutional LSTM network: a machine learning approach for precipitation nowcasting", 2015 (a grid).

    Examples
    --------
    >>> import numpy as np
    >>> from eventlstm import LSTMTagger
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=(60, 4)).repeat(5, axis=1)
    >>> X = 2 * y[..., None] + rng.normal(size=(60, 20, 1))
    >>> small = LSTMTagger(hidden_size=8, crf=True, dropout=0, lr=0.01, batch_size=8, max_epochs=30, random_state=0)
    >>> model = small.fit(X, y)
    >>> model.predict(X).shape, model.predict_proba(X).shape
    ((60, 20), (60, 20, 2))
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    max_steps: int | str | None = "auto"
    crf: bool = False
    decoding: str = "smoothed"
    forbid_unseen: bool = False
    loss: Any = "cross_entropy"
    class_weight: Any = None
    prior_bias: bool | str = "auto"

    network_class: ClassVar[Any] = TaggingNet

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **RecurrentEstimator._parameter_constraints,
        "crf": ["boolean"],
        "decoding": [StrOptions({"smoothed", "filtered"})],
        "forbid_unseen": ["boolean"],
        "loss": [StrOptions(set(LOSSES)), Loss, nn.Module, callable],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "prior_bias": ["boolean", StrOptions({"auto"})],
    }

    @property
    def looks_ahead(self) -> bool:
        """Whether the fitted model judges a step by later ones too."""
        architecture = self.module_.architecture
        return bool(architecture["bidirectional"] or (architecture["crf"] and self.decoding == "smoothed"))

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
        y : array-like of shape (n_windows, n_timesteps), (n_windows, n_labelled) or (n_windows,)
            Classes of the steps, or of the last steps or step, two or more, numbers or strings. Behind the end of a
            window they are ignored.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window in the loss.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; whatever comes after them is ignored.
        X_val : like X, optional
            Windows to watch the loss on; used by `early_stopping`, and recorded without it.
        y_val : like y, optional
            Classes of `X_val`.

        Returns
        -------
        LSTMTagger
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, parameters contradict each other, a class of `y_val` is unknown, or
            training diverges.
        """
        self._refuse_contradictions()
        train = self._check_fit(X, y, sample_weight, lengths, reset=not self._goes_on())
        rng = check_random_state(self.random_state)
        held_out = self._check_validation(X_val, y_val)
        if held_out is None and self.early_stopping:
            split = hold_out_unlabelled(train.windows, train.weight, self.validation_fraction, rng)
            train, held_out = (train.take(items) for items in split)
        steps = of_windows(train.y, train.windows, train.weight)
        plan = self._plan(steps)
        with one_thread():
            self._start_tagger(rng, plan, steps)
            watched = None if held_out is None else self._watched_windows(held_out, plan)
            return self._train(self._step_windows(train, plan.weight), plan.loss, watched)

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
            Weight of each row in the loss. To a field, the label of a row without weight is not known.
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
        LSTMTagger
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, parameters contradict each other, or training diverges.
        """
        self._refuse_contradictions()
        if self.early_stopping and X_val is None:
            raise ValueError("early_stopping watches a log held out. Pass X_val, y_val and starts_val.")
        if X_val is not None and (y_val is None or starts_val is None):
            raise ValueError("X_val came without y_val or starts_val. Pass them together.")
        reset = not self._goes_on()
        X, y = validate_data(self, X, y, dtype=self._numpy_dtype(), order="C", reset=reset)
        self.label_shape_: tuple[int, ...] = ()
        self.classes_: np.ndarray = learn_classes(y, None if reset else self.classes_)
        values = self._learn_row_channels(X, reset=reset)
        steps = of_rows(y, starts, check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True))
        plan, size = self._plan(steps), {"burn_in": burn_in, "stride": stride}
        with one_thread():
            self._start_tagger(check_random_state(self.random_state), plan, steps)
            watched = None
            if X_val is not None and y_val is not None and starts_val is not None:
                X_val = check_array(X_val, dtype=self._numpy_dtype(), order="C", copy=True)
                weight = check_sample_weight(sample_weight_val, X_val, dtype=np.float64, ensure_non_negative=True)
                seen, weight = self._codes().encode(X_val), weight * plan.seen[self._encode(y_val)]
                watched = self._step_chunks(seen, y_val, weight, starts_val, **size)
            return self._train(self._step_chunks(values, y, plan.weight, starts, **size), plan.loss, watched)

    def predict_proba(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the probability of each class at each step.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps, n_classes), (n_windows, n_labelled, n_classes) or (n_windows, \
n_classes)
            Probabilities in the order of `classes_`, of the steps that had labels in `fit`.
        """
        return np.exp(
            self._decode(X, lengths, lambda decoder, z, n, n_labelled: decoder.log_proba(z, n)[:, -n_labelled:])
        )

    def predict(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """Return the class of each step: the most probable path of a field that is smoothed, else step by step.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps), (n_windows, n_labelled) or (n_windows,)
            Classes, of the shape of `y` in `fit`.
        """
        numbers = self._decode(X, lengths, Decoder.labels)
        return self.classes_[numbers]

    def score(self, X: Any, y: Any, sample_weight: Any = None, *, lengths: Any = None) -> float:
        """Return the share of steps whose class is found.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.
        y : array-like of the shape in `fit`
            Classes of the steps.
        sample_weight : array-like of shape (n_windows,), optional
            Weight of each window's steps.
        lengths : array-like of int of shape (n_windows,), optional
            Steps of each window; default: up to its tail of NaN.

        Returns
        -------
        float
            From 0 to 1; steps behind the end of a window do not count.
        """
        found = self.predict(X, lengths=lengths)
        windows = self._check_windows(X, lengths)
        labels, _ = check_step_labels(y, windows, self)
        weight = check_sample_weight(sample_weight, labels, dtype=np.float64)[:, None] * inside_of(
            windows, labels.shape[1]
        )
        return float(np.average(found.reshape(labels.shape) == labels, weights=weight))

    def predict_proba_steps(self, X: np.ndarray, state: Any = None) -> tuple[np.ndarray, Any]:
        """Return the probabilities at every row of one stretch or of several, and the state to go on from.

        Parameters
        ----------
        X : ndarray of shape (n_rows, n_channels) or (n_lanes, n_rows, n_channels)
            Rows of one stretch, or of several side by side. A model that looks ahead takes them for whole stretches.
        state : object, optional
            What the last call returned for the rows before, of as many lanes; the default is a cold start.

        Returns
        -------
        proba : ndarray of shape (n_rows, n_classes) or (n_lanes, n_rows, n_classes)
            Probabilities.
        state : object
            The network's state after the last row of each lane and, of a field, what is known of the class there.

        Raises
        ------
        ValueError
            If `X` has another number of channels than in `fit`, no rows, or values that are not finite numbers; or if a
            model that looks ahead is to go on.
        """
        check_is_fitted(self)
        with one_thread():
            if self.looks_ahead:
                refuse_to_go_on(state)
                log_proba, state = self._whole_stretches(X), WHOLE
            else:
                before, message = state or (None, None)
                scores, before = self._step_outputs(X, before)
                log_proba, message = make_decoder(self.module_, self.decoding).go_on(scores, message)
                state = (before, message)
        proba = np.exp(log_proba.numpy())  # (n_lanes, n_rows, n_classes)
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

    def _check_fit(self, X: Any, y: Any, sample_weight: Any, lengths: Any, *, reset: bool) -> Examples:
        """Check the input of a fit and learn its shape, classes and codes."""
        windows, _ = check_windows(self, X, reset=reset, dtype=self._numpy_dtype(), lengths=lengths)
        labels, shape = check_step_labels(y, windows, self)
        if not reset and shape != self.label_shape_:
            raise ValueError(f"Labels of shape {shape} a window came, but training began with {self.label_shape_}.")
        self.label_shape_ = shape
        self.classes_ = learn_classes(labels.ravel(), None if reset else self.classes_)
        weight = check_sample_weight(sample_weight, labels, dtype=np.float64, ensure_non_negative=True)
        return Examples(self._learn_channels(windows, reset=reset), labels, weight)

    def _check_validation(self, X_val: Any, y_val: Any) -> Examples | None:
        if X_val is None:
            return None
        if y_val is None:
            raise ValueError("X_val came without y_val. Pass the classes of its windows as y_val.")
        windows = self._check_windows(X_val)
        labels, shape = check_step_labels(y_val, windows, self)
        if shape != self.label_shape_:
            raise ValueError(f"y_val has labels of shape {shape} a window, y of {self.label_shape_}. Pass them alike.")
        return Examples(windows, labels, np.ones(len(labels)))

    def _refuse_contradictions(self) -> None:
        if self.bidirectional and self.decoding == "filtered":
            raise ValueError(
                "bidirectional=True reads ahead, and decoding='filtered' must not. Set bidirectional=False, or "
                "decoding='smoothed' to label after the fact."
            )
        if self.forbid_unseen and not self.crf:
            raise ValueError("forbid_unseen=True is about transitions, which only a field knows. Set crf=True.")
        if self.crf and self.augmentation is not None and self.augmentation.mixup:
            raise ValueError("mixup gives a step two labels, of which crf=True can go on from one. Set mixup=0.")

    def _plan(self, steps: StepLabels) -> Plan:
        """Return how to train on labels step by step."""
        classes = Classes(self.classes_)
        counts = classes.count_rows(steps.y, steps.sequence, steps.weight)
        return ClassWeighing(self.class_weight, self.loss, False).plan(classes, steps.y, steps.weight, counts)

    def _encode(self, y: Any) -> np.ndarray:
        return Classes(self.classes_).encode(y)

    def _start_tagger(self, rng: np.random.RandomState, plan: Plan, steps: StepLabels) -> None:
        """Make the network; its first guess are shares and transitions of the classes as they are in training."""
        fresh, n_classes = not self._goes_on(), len(self.classes_)
        self._start(rng, n_outputs=n_classes, crf=self.crf)
        if fresh and self.prior_bias:
            set_prior(self.module_, plan.first_guess)
        if fresh and self.crf:
            counts = steps.count_transitions(self.classes_)
            if self.forbid_unseen and not counts.any():
                raise ValueError("forbid_unseen=True, but no two steps with labels follow each other. Label all steps.")
            begin = chain_scores(counts, plan.first_guess if self.prior_bias else np.ones(n_classes))
            allowed = torch.from_numpy(counts > 0) if self.forbid_unseen else None
            self.module_.crf.initialize(torch.from_numpy(begin), allowed)

    def _step_windows(self, examples: Examples, weight: np.ndarray) -> Batches:
        weight = mean_one(weight).reshape(examples.y.shape)
        return self._window_batches(
            examples.windows, self._encode(examples.y), weight, kind=StepWindows, smoothed=self.decoding == "smoothed"
        )

    def _watched_windows(self, held_out: Examples, plan: Plan) -> Batches:
        steps = of_windows(held_out.y, held_out.windows, held_out.weight)
        return self._step_windows(held_out, steps.weight * plan.seen[self._encode(steps.y)])

    def _step_chunks(
        self, X: np.ndarray, y: np.ndarray, weight: np.ndarray, starts: np.ndarray, **size: int
    ) -> Batches:
        return self._chunk_batches(
            X, starts, self._encode(y), mean_one(weight), kind=StepChunks, smoothed=self.decoding == "smoothed", **size
        )

    def _decode(self, X: Any, lengths: Any, decode: Callable[..., torch.Tensor]) -> np.ndarray:
        """Return what a decoder says of the labelled steps of windows, in the shape of the labels in `fit`."""
        check_is_fitted(self)
        windows, n_labelled = self._check_windows(X, lengths), int(np.prod(self.label_shape_))
        refuse_early_ends(windows, n_labelled)
        decoder = make_decoder(self.module_, self.decoding)

        def judge(module: Any, x: torch.Tensor, n_steps: torch.Tensor | None) -> torch.Tensor:
            return decode(decoder, module(x, lengths=n_steps), n_steps, n_labelled)

        with one_thread():
            said = self._outputs(windows, judge).numpy()  # (n_windows, n_labelled, ...)
        return said.reshape(len(said), *self.label_shape_, *said.shape[2:])

    def _whole_stretches(self, X: np.ndarray) -> torch.Tensor:
        """Return the logarithms of probabilities (n_lanes, n_rows, n_classes) of stretches judged as a whole."""
        lanes = self._codes().encode(as_lanes(X, self.n_channels_, self._numpy_dtype()))
        return make_decoder(self.module_, self.decoding).log_proba(self._outputs(CheckedWindows(lanes)))


def refuse_to_go_on(state: Any) -> None:
    """Refuse the state of a stretch that was judged as a whole."""
    if state is not None:
        raise ValueError(
            "LSTMTagger judges a row by later ones too, and cannot go on from the rows before. Pass whole stretches, "
            "or set decoding='filtered' and bidirectional=False for live use."
        )
