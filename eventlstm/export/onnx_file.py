"""Fitted models in files that any ONNX runtime runs."""

from __future__ import annotations

import os
from typing import Any

from ..logs.whole_files import open_whole
from .models import to_model

NO_ONNX = "Models are exported by onnx and skl2onnx. Install them: pip install 'eventlstm[onnx]'."


def export_onnx(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted model as an ONNX graph, which runs without this package.

    Parameters
    ----------
    model : estimator
        A model of logs: `EventClassifier`, `EventBlend` or `AnomalyDetector`, by itself or at the end of a pipeline of
        `ForwardFill`, `CausalFeatures` and transformers of single rows, inside of scikit-learn's searches and
        thresholds. Or an estimator of windows: `LSTMClassifier`, `BalancedBaggingLSTMClassifier`, `LSTMForecaster` or
        `LSTMAutoencoder`.
    path : str or path
        The file to write, whole or not at all; replaced if it exists. The same model gives the same bytes.

    Raises
    ------
    ValueError
        If something inside cannot be exported; it is named, and why.
    NotFittedError
        If the model is not fitted.
    ImportError
        If onnx or skl2onnx is missing: ``pip install 'eventlstm[onnx]'``.
    OSError
        If the file cannot be written.

    See Also
    --------
    eventlstm.save : Writes a graph where the path ends in ``.onnx``, else an archive that `eventlstm.load` reads.

    Notes
    -----
    **A step of a log.** Inputs are `row` (batch, n_sensors), float64, the sensors in the order of the metadata
    `sensors`; `begins` (batch,), bool; and the state. The batch is of machines, as many as there are, and they do not
    change each other's scores. Outputs are `score` (batch,), float64: of a detector its `anomaly_score`, of a
    classifier the probability of any class but the quiet one (0 of 0 and 1, else the most frequent in `fit`, of windows
    the first); of classifiers `probabilities` (batch, n_classes); and the new state, which goes into the next call:
    `new_state_row` into `state_row`, and so on.

    `begins` is true at the first row of a machine and after a gap: a step longer than the metadata `max_gap`, in
    nanoseconds where `time_unit` is "ns". The state given there does not count (zeros will do), and the graph sees to
    what comes before a first row as `predict_proba` of a whole log does: `window_size` copies of it.

    Only `ForwardFill` and `SimpleImputer` take NaN. Nothing is checked: what is no finite number makes scores that are
    none. A detector scores all machines as those that `fit` did not see, by the scale of errors common to all.

    **Windows.** The input is `windows` (batch, n_timesteps, n_channels), float64, all of full length. Outputs are
    `probabilities` and `score` of a classifier, `forecast` and `quantiles` of a forecaster, and `score` of an
    autoencoder.

    **The metadata** are texts, in JSON but for names: `form` ("step" or "window"), `model`, `eventlstm` (the version),
    `classes`, `threshold` (a row is flagged where its score is above it), and of a step `sensors`, `policy` (parameters
    of `AlarmPolicy`), `window_size`, `max_gap` (of several rates, that of the slowest machine), `time_unit` and `state`
    (inputs, outputs, shapes and types).

    **Precision.** Sensors, views and trees are in double precision, networks in that of the fit. Over 10,000 rows of
    each kind (``python -m tests.export.ten_thousand_rows``) scores differed from ours by 1.2e-6 at most, mostly by 3e-8
    (trees: 1e-15), those of detectors relative to scores above one. Trees take the same branches as ours on all of
    these rows: whitening adds up sensors in the same order, forests see features rounded to single precision as in
    scikit-learn, and histogram boosting that looks at `CausalFeatures` has its thresholds moved to before ``arcsinh``,
    which runtimes round in other ways. Where scalers or other steps come between these features and boosted trees, a
    threshold between two values a rounding apart may still send a row to another leaf. Graphs are of ONNX's version 21
    (ai.onnx.ml 5), which ONNX Runtime runs from 1.21 on.

    References
    ----------
    ONNX operators, https://onnx.ai/onnx/operators: `LSTM`, `GRU`, `RNN`; `TreeEnsemble` of ai.onnx.ml 5.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import onnxruntime
    >>> import eventlstm as el
    >>> from eventlstm.export import export_onnx
    >>> log = el.datasets.make_sensor_log(n_machines=2, n_days=5, random_state=0)
    >>> network = el.LSTMClassifier(hidden_size=4, max_epochs=2)
    >>> model = el.EventClassifier(network, window_size=8, n_estimators=1, random_state=0).fit(log.X, log.y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(model, Path(folder) / "model.onnx")
    ...     session = onnxruntime.InferenceSession(Path(folder) / "model.onnx")
    >>> names = [value.name for value in session.get_outputs()]
    >>> state = {"state_row": np.zeros((1, 8)), "state_0_h0": np.zeros((1, 4), "float32")}
    >>> state |= {f"state_mean_{span}": np.zeros((1, 8)) for span in (10, 60, 300)}
    >>> state |= {"state_0_c0": np.zeros((1, 4), "float32")}
    >>> row = log.X.to_numpy()[:1]
    >>> outputs = dict(zip(names, session.run(None, {"row": row, "begins": np.array([True]), **state})))
    >>> bool(abs(outputs["score"][0] - model.predict_proba(log.X)[0, 1]) < 1e-6)
    True
    """
    try:
        import onnx  # noqa: F401
        import skl2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(NO_ONNX) from error
    content = to_model(model).SerializeToString()
    with open_whole(path) as file:
        file.write(content)
