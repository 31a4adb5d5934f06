"""A log scored piece by piece, in memory that does not grow with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from ..alarms.model_scores import last_step, of_event
from ..logs.shared import FloatArray
from .carried import Pieces
from .piece_models import PieceModel


class ScoreInPieces:
    """Score a log that comes in pieces, each going on where the one before has ended.

    The scores are those of the whole log: to the bit for trees, and within 1e-6 for networks and all else that
    multiplies matrices, whose sums are rounded otherwise where rows come together in other numbers. Of a log of one
    run they are the same bits where pieces end with the blocks that the whole log goes through in.

    Parameters
    ----------
    model : estimator
        A fitted `EventClassifier`, `EventBlend` or `AnomalyDetector`, or a pipeline that ends in one.

    Raises
    ------
    TypeError
        If the model, or a step before it, is not one that can be asked piece by piece.

    Examples
    --------
    >>> import numpy as np
    >>> import eventlstm as el
    >>> from eventlstm.fleets.score_in_pieces import ScoreInPieces
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=4, failures_per_machine=1, random_state=0)
    >>> model = el.EventClassifier(el.LSTMClassifier(hidden_size=4, max_epochs=1), n_estimators=1, random_state=0)
    >>> pieces = ScoreInPieces(model.fit(log.X, log.y))
    >>> scores = np.concatenate([pieces.score(log.X.iloc[k : k + 100]) for k in range(0, len(log.X), 100)])
    >>> bool(np.allclose(scores, model.predict_proba(log.X)[:, 1], atol=1e-6))
    True
    """

    def __init__(self, model: Any) -> None:
        check_is_fitted(last_step(model))
        self.model, self._pieces = PieceModel(model), Pieces()
        self._source, self._is_detector = model, hasattr(last_step(model), "anomaly_score")

    def score(self, frame: pd.DataFrame) -> FloatArray:
        """Return the scores of the next piece.

        Parameters
        ----------
        frame : DataFrame of shape (n_rows, n_sensors)
            Rows that go on where the last piece has ended: later ones of its last run, then other runs.

        Returns
        -------
        ndarray of shape (n_rows,)
            Scores, high where abnormal.

        Raises
        ------
        ValueError
            If rows are not in the order of run and time, or the log is another than in `fit`.
        """
        if not len(frame):
            return np.empty(0)
        said = self.model.say(frame, self._pieces.read(frame))
        return said[:, 0] if self._is_detector else of_event(self._source, said)
