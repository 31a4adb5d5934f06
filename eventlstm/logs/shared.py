"""Types and constants that several packages share."""

import inspect
import warnings

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

NANOSECONDS_A_DAY = 86_400 * 10**9
# Of NumPy, torch and scikit-learn alike.
LARGEST_SEED = np.iinfo(np.int32).max

# Whose frames are not the user's.
INSIDE = {"eventlstm", "sklearn", "imblearn", "joblib", "contextlib"}


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of something at the line of the user's that led to it, however deep in here it was seen."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
