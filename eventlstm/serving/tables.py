"""Some rows on their way to a model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..logs.shared import BoolArray, IntArray


class Table(NamedTuple):
    """Some rows, one of each of some machines."""

    values: np.ndarray  # (n, n_columns), numbers or objects
    names: list[Any] | None  # of the columns
    last: BoolArray | None = None  # (n, n_columns) which values were missing and are the last ones known
    median: BoolArray | None = None  # (n, n_columns) which are medians

    def as_input(self, step: Any) -> Any:
        """Return the rows as a step was fitted on them."""
        named = self.names is not None and hasattr(step, "feature_names_in_")
        return pd.DataFrame(self.values, columns=self.names).infer_objects() if named else self.values

    def take(self, places: IntArray) -> Table:
        """Return some of the rows."""
        return Table(self.values[places], self.names)

    def checked(self) -> np.ndarray:
        """Return the rows as numbers, refusing those that are none, and naming the first column that has one."""
        for column in range(self.values.shape[1] if self.values.dtype == object else 0):
            self._refuse_text(column)
        values = self.values.astype(np.float64, copy=False)
        if not np.isfinite(values).all():
            row, column = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f"A row has {values[row, column]} in {self._name(column)}, where a number is wanted. Leave the row "
                "out, or put ForwardFill() in a pipeline before the model."
            )
        return values

    def _refuse_text(self, column: int) -> None:
        for value in self.values[:, column]:
            if isinstance(value, str | bytes):
                raise ValueError(f"A row has {value!r} in {self._name(column)}, where a number is wanted, as in fit.")

    def _name(self, column: Any) -> str:
        return repr(f"x{column}" if self.names is None else self.names[column])
