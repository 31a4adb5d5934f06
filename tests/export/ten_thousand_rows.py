"""How far scores of ONNX Runtime are from ours over 10,000 rows of each kind.

    python -m tests.export.ten_thousand_rows

A line for each: the largest difference (of detectors relative to scores above one), the share of rows beyond 1e-5, the
time of a call for ten machines, and the size of the file.
"""

import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from eventlstm.alarms.model_scores import score_rows

from .running import open_model, run_log
from .small import make_log
from .test_logs import ALIKE, AROUND, DETECTORS, STEPPING, WINDOWS

KINDS = {"networks": STEPPING, "windows": WINDOWS, "around": AROUND, "detectors": DETECTORS}


def main():
    learnt, (new, _) = make_log(6, 400), make_log(10, 1000, random_state=5, prefix="new")
    for group, models in KINDS.items():
        for kind, model in models.items():
            if kind in sys.argv[1:] or not sys.argv[1:]:
                found = measure(model.fit(*learnt), new, relative=group == "detectors")
                print(f"{group:10}{kind:22}{found}", flush=True)


def measure(model, new, *, relative):
    with tempfile.TemporaryDirectory() as folder:
        session = open_model(model, Path(folder))
        size = (Path(folder) / "model.onnx").stat().st_size
    ours, start = score_rows(model, new), time.perf_counter()
    theirs = run_log(session, model, new)["score"]
    per_call = (time.perf_counter() - start) / 1000
    off = np.abs(theirs - ours) / (np.maximum(np.abs(ours), 1.0) if relative else 1.0)
    return f"{off.max():9.1e} {np.mean(off > ALIKE):8.5f} {1e6 * per_call:6.0f} us {size // 1024:5} kB"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
