"""A labelled sensor log: the table of its sensors and the column of its labels."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd


class Log(NamedTuple):
    """A sensor log and the events in it.

    A named tuple: `X, y = log` takes it apart.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_sensors)
        A row per time step, a column per sensor. The last index level is time, those before name the run.
    y : Series of shape (n_rows,) or None
        1 in the rows of an event and 0 elsewhere, with the index of `X`; None where no events are marked.

    See Also
    --------
    make_sensor_log : Makes one.
    eventlstm.read_log : Reads one from files or a database.

    Examples
    --------
    >>> import pandas as pd
    >>> from eventlstm.datasets import Log
    >>> hours = pd.date_range("2024-01-01", periods=3, freq="h", name="time")
    >>> log = Log(
    ...     X=pd.DataFrame({"pressure_bar": [6.0, 6.1, 4.2]}, index=hours),
    ...     y=pd.Series([0, 0, 1], index=hours),
    ... )
    >>> log.X.shape, int(log.y.sum())
    ((3, 1), 1)
    """

    X: pd.DataFrame
    y: pd.Series | None
