"""Windows ``(n_windows, n_timesteps, n_channels)`` as rows ``(n_windows, n_timesteps * n_channels)``, and back.

A row holds the first step's channels, then the second's, and so on.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin

from .._validation import check_is_fitted, validate_data
from .log_windows import LogWindows


class FlattenWindows(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Lay each window out as one row, for steps that know rows only.

    Parameters
    ----------
    n_channels : int, default=1
        Channels (sensors) of a time step, for windows that come flattened already. 3-D windows say it themselves.

    Attributes
    ----------
    n_timesteps_ : int
        Steps of a window.
    n_channels_ : int
        Channels of a step.
    n_features_in_ : int
        ``n_timesteps_ * n_channels_``.

    See Also
    --------
    WindowSampler : Takes 3-D windows to a sampler and back.

    Notes
    -----
    What comes after must take or leave whole windows. An ensemble with ``max_features`` below one takes columns
    of a window apart, and a scaler centres each step by itself.

    Examples
    --------
    >>> import numpy as np
    >>> from imblearn.over_sampling import SMOTE
    >>> from imblearn.pipeline import make_pipeline
    >>> from eventlstm import FlattenWindows, LSTMClassifier
    >>> X = np.arange(12.0).reshape(2, 3, 2)
    >>> flatten = FlattenWindows().fit(X)
    >>> flatten.transform(X)[0]
    array([0., 1., 2., 3., 4., 5.])
    >>> bool((flatten.inverse_transform(flatten.transform(X)) == X).all())
    True
    >>> pipeline = make_pipeline(FlattenWindows(), SMOTE(), LSTMClassifier(n_channels=2))
    """

    def __init__(self, n_channels: int = 1) -> None:
        self.n_channels = n_channels

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn the shape of the windows.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows; NaN is let through.
        y : None
            Ignored.

        Returns
        -------
        FlattenWindows
            The fitted transformer.

        Raises
        ------
        ValueError
            If `X` does not hold finite numbers, or `n_channels` does not divide its columns.
        """
        shape = three_d_shape(X)
        flat = self._check(X, reset=True)
        self.n_channels_ = self.n_channels if shape is None else shape[2]
        self.n_timesteps_ = divide_width(flat.shape[1], self.n_channels_)
        self._came_flat = shape is None
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Lay out windows as rows.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps, n_channels) or (n_windows, n_timesteps * n_channels), or LogWindows
            Windows, of the shape in `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps * n_channels)
            Rows; a view of an array where its memory allows.
        """
        check_is_fitted(self)
        return self._check(X, reset=False)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Put rows back into the shape of windows.

        Parameters
        ----------
        X : array of shape (n_windows, n_timesteps * n_channels)
            Rows.

        Returns
        -------
        ndarray of shape (n_windows, n_timesteps, n_channels)
            Windows.
        """
        check_is_fitted(self)
        return np.asarray(X).reshape(-1, self.n_timesteps_, self.n_channels_)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns.

        Parameters
        ----------
        input_features : array-like of str of shape (n_channels,) or (n_features_in_,), optional
            Names of the channels, or of all columns where windows came flattened.

        Returns
        -------
        ndarray of shape (n_features_in_,)
            Names such as "pressure_t3": the channel, and the step counted from 0. Columns that came flattened keep
            theirs.
        """
        check_is_fitted(self)
        if self._came_flat:
            return super().get_feature_names_out(input_features)
        names = [f"x{channel}" for channel in range(self.n_channels_)] if input_features is None else input_features
        if len(names) != self.n_channels_:
            raise ValueError(
                f"input_features should have length equal to the number of channels, {self.n_channels_}, but "
                f"{len(names)} came. Pass the name of each channel."
            )
        return np.array([f"{name}_t{step}" for step in range(self.n_timesteps_) for name in names], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.requires_fit = True
        return tags

    def _check(self, X: Any, *, reset: bool) -> np.ndarray:
        flat = flatten(X)
        return validate_data(self, flat, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan", reset=reset)


def three_d_shape(X: Any) -> tuple[int, int, int] | None:
    """Return the shape of 3-D windows, None of anything else."""
    return X.shape if isinstance(X, LogWindows) or getattr(X, "ndim", 2) == 3 else None


def flatten(X: Any) -> Any:
    """Return 3-D windows as rows, and anything else as it is."""
    shape = three_d_shape(X)
    return X if shape is None else np.asarray(X).reshape(shape[0], -1)


def divide_width(width: int, n_channels: int) -> int:
    """Return the steps of a window of so many columns."""
    if n_channels < 1 or width % n_channels:
        raise ValueError(
            f"X has {width} columns, which n_channels={n_channels} does not divide. Set n_channels to the number of "
            "sensors, or pass windows of shape (n_windows, n_timesteps, n_channels)."
        )
    return width // n_channels
