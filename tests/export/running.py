"""Runs exported models as their users do: with ONNX Runtime and NumPy, a row of each machine at a time."""

import numpy as np
import onnxruntime

from eventlstm.alarms.model_scores import last_step
from eventlstm.export import export_onnx
from eventlstm.logs.checking import cut_as_learnt
from eventlstm.logs.index import read_index

TYPES = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(int64)": np.int64}


def open_model(model, folder):
    """Export a model and open it."""
    path = folder / "model.onnx"
    export_onnx(model, path)
    return open_file(path)


def open_file(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def told(session):
    return session.get_modelmeta().custom_metadata_map


class Walk:
    """The machines of a log side by side, each with a state that goes from call to call."""

    def __init__(self, session, n_machines):
        self.session = session
        kept = [value for value in session.get_inputs() if value.name not in ("row", "begins")]
        self.state = {value.name: np.zeros((n_machines, *value.shape[1:]), TYPES[value.type]) for value in kept}

    def step(self, rows, begins):
        names = [value.name for value in self.session.get_outputs()]
        values = self.session.run(None, {"row": rows, "begins": begins, **self.state})
        outputs = dict(zip(names, values, strict=True))
        self.state = {name: outputs[f"new_{name}"] for name in self.state}
        return outputs


def run_log(session, model, X, batch=None):
    """Return the outputs at every row of a log by their names, its machines side by side, `batch` of them at a time."""
    index = read_index(X)
    rows = [np.flatnonzero(index.runs == run) for run in range(index.n_runs)]
    begins = np.isin(np.arange(len(X)), first_rows(model, X))
    values, found = np.asarray(X, dtype=np.float64), [{}] * len(X)
    for k in range(0, len(rows), batch or len(rows)):
        some = rows[k : k + (batch or len(rows))]
        walk = Walk(session, len(some))
        for t in range(max(map(len, some))):
            at = np.array([own[min(t, len(own) - 1)] for own in some])  # those at their end repeat their last row
            outputs = walk.step(values[at], begins[at])
            for lane, own in enumerate(some):
                if t < len(own):
                    found[own[t]] = {name: value[lane] for name, value in outputs.items()}
    return {name: np.array([row[name] for row in found]) for name in found[0]}


def first_rows(model, X):
    """Return the first rows of the stretches of a log, as a model cuts it."""
    inner = last_step(model)
    return cut_as_learnt(inner, read_index(X)) if hasattr(inner, "max_gap_") else first_rows(inner.estimators_[0], X)
