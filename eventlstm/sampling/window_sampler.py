"""imbalanced-learn's samplers, which know rows only, as steps of a pipeline of windows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from imblearn.base import BaseSampler
from imblearn.utils import check_target_type
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._validation import validate_data
from ..logs.flatten_windows import divide_width, flatten, three_d_shape
from ..logs.log_windows import LogWindows
from .adapt import adapt_sampler, chooses_rows, run_sampler
from .resampling import code_columns, resample


class WindowSampler(BaseSampler):
    """Let any sampler of imbalanced-learn work on windows, as a step of its Pipeline.

    Parameters
    ----------
    sampler : object with fit_resample, or None, default=None
        A sampler such as SMOTE; None leaves the windows as they are.
    categorical_channels : list of int or None, default=None
        Positions of channels that hold codes. SMOTE gives way to SMOTENC, so that no values between codes arise.
    n_channels : int, default=1
        Channels of a time step when windows come flattened to 2-D, which `categorical_channels` counts in.

    Attributes
    ----------
    sampler_ : object
        The sampler that has run.
    sampling_strategy_ : dict
        What it has found to sample, as in imbalanced-learn.
    sample_indices_ : ndarray of shape (n_windows_new,)
        Numbers of the chosen windows, from samplers that only choose.
    n_features_in_ : int
        ``n_timesteps * n_channels``.

    See Also
    --------
    LSTMClassifier : Its parameter `sampler` does the same after the validation windows have been set aside.
    TemporalOversampler : A sampler that makes windows from the rows before an event.

    Notes
    -----
    Where there is too little to sample from, as in folds with few events, the sampler is adapted with a warning rather
    than failing: `k_neighbors` is lowered to the neighbours there are, a single window is repeated, and where ADASYN
    or a like method finds no place to make windows at, SMOTE makes them.

    Sampling changes what probabilities mean, and seldom the ranking. Between overlapping windows of one event SMOTE
    makes little more than shifted copies; scale the channels before it, as it measures distances.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn.over_sampling import SMOTE
    >>> from eventlstm import WindowSampler
    >>> X = np.random.default_rng(0).normal(size=(100, 16, 3))
    >>> y = np.r_[np.ones(8), np.zeros(92)]
    >>> more, labels = WindowSampler(SMOTE(k_neighbors=3, random_state=0)).fit_resample(X, y)
    >>> more.shape, float(labels.mean())
    ((184, 16, 3), 0.5)
    """

    _sampling_type = "bypass"

    def __init__(self, sampler: Any = None, categorical_channels: Any = None, *, n_channels: int = 1) -> None:
        self.sampler = sampler
        self.categorical_channels = categorical_channels
        self.n_channels = n_channels

    def fit(self, X: Any, y: Any) -> Self:
        """Resample and keep what the sampler has learnt.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows.
        y : array-like of shape (n_windows,)
            Classes.

        Returns
        -------
        WindowSampler
            The fitted sampler.
        """
        self.fit_resample(X, y)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Resample windows.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows.
        y : array-like of shape (n_windows,)
            Classes.

        Returns
        -------
        X : of the kind that came
            Windows that were chosen or made.
        y : array-like of shape (n_windows_new,)
            Their classes.

        Raises
        ------
        ValueError
            If there is one class only, or the sampler cannot take the windows.
        """
        check_classification_targets(y)
        if isinstance(X, LogWindows):
            return self._resample_log(X, column_or_1d(y))
        shape = three_d_shape(X)
        if shape is None:
            return self._resample_table(X, y, self.n_channels)
        X_new, y_new = self._resample_table(flatten(X), y, shape[2])
        return X_new.reshape(-1, *shape[1:]), y_new

    def _fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        return self._resample_table(X, y, self.n_channels)

    def _resample_table(self, X: Any, y: Any, n_channels: int) -> tuple[Any, Any]:
        """Resample rows, of whatever kind the sampler takes."""
        if self.sampler is None:
            validate_data(self, X, dtype=None, ensure_all_finite=False, accept_sparse=True)
            self.sampler_ = None
            return X, y
        columns, width = flat_columns(X, self.categorical_channels, n_channels)
        sampler = adapt_sampler(self.sampler, check_target_type(y), columns, width)
        X_new, y_new, self.sampler_ = run_sampler(sampler, X, y)
        self._copy_fitted()
        return X_new, y_new

    def _resample_log(self, X: LogWindows, y: np.ndarray) -> tuple[Any, np.ndarray]:
        """Resample windows of a log, which need not be cut where they are only chosen."""
        sampled = resample(self.sampler, X, y, categorical_channels=self.categorical_channels or ())
        self.sampler_ = sampled.sampler
        self._copy_fitted()
        self.n_features_in_ = X.shape[1] * X.shape[2]  # one that draws blindly has seen a single column
        return sampled.values, sampled.y

    def _copy_fitted(self) -> None:
        """Show what the inner sampler has learnt as one's own."""
        names = ["n_features_in_", "feature_names_in_", "sampling_strategy_"]
        if chooses_rows(self.sampler_):
            names.append("sample_indices_")
        for name in names:
            if hasattr(self.sampler_, name):
                setattr(self, name, getattr(self.sampler_, name))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        if hasattr(self.sampler, "__sklearn_tags__"):
            inner = self.sampler.__sklearn_tags__()
            tags.sampler_tags = inner.sampler_tags
            for name in ("sparse", "dataframe", "string", "allow_nan"):
                setattr(tags.input_tags, name, getattr(inner.input_tags, name, False))
        return tags


def flat_columns(X: Any, channels: Any, n_channels: int) -> tuple[list[int], int]:
    """Return which columns of flattened windows hold codes, and how many columns there are."""
    if channels is None or not len(channels):
        return [], 0
    width = X.shape[1] if hasattr(X, "shape") else len(X[0])
    return code_columns(channels, divide_width(width, n_channels), n_channels), width
