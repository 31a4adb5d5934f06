"""Types and constants that several packages share."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]

NANOSECONDS_A_DAY = 86_400 * 10**9
# Of NumPy, torch and scikit-learn alike.
LARGEST_SEED = np.iinfo(np.int32).max
