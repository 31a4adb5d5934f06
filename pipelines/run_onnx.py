"""Score a log row by row with an exported model, as beside the machines: with ONNX Runtime and NumPy alone.

    eventlstm export model.eventlstm -o model.onnx
    python pipelines/run_onnx.py model.onnx log.csv --time time --run machine

Each machine has a state of its own, which goes out of one call and into the next.
"""

import argparse
import csv
import json

import numpy as np
import onnxruntime

TYPES = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(int64)": np.int64}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("model", "log", "--time", "--run"):
        parser.add_argument(name, default={"--time": "time"}.get(name))
    options = parser.parse_args(arguments)
    with open(options.log, newline="", encoding="utf-8") as file:
        for row, score, alarm in score_rows(onnxruntime.InferenceSession(options.model), csv.DictReader(file), options):
            print(row.get(options.run, ""), row[options.time], score, "ALARM" if alarm else "", sep=",")


def score_rows(session, rows, options):
    """Yield each row with its score, and whether that is above the threshold."""
    told = session.get_modelmeta().custom_metadata_map
    sensors, *limits = (json.loads(told[key]) for key in ("sensors", "threshold", "max_gap"))
    threshold, max_gap = (np.inf if limit is None else limit for limit in limits)  # None: there is none
    as_time = (lambda text: np.datetime64(text, "ns").astype(np.int64)) if told["time_unit"] == "ns" else float
    kept = [value for value in session.get_inputs() if value.name not in ("row", "begins")]
    fresh = {value.name: np.zeros((1, *value.shape[1:]), TYPES[value.type]) for value in kept}
    names, states, last = [value.name for value in session.get_outputs()], {}, {}
    for row in rows:
        machine, now = row.get(options.run), as_time(row[options.time])
        begins = machine not in last or now - last[machine] > max_gap
        values = np.array([[float(row[sensor] or "nan") for sensor in sensors]])
        inputs = {"row": values, "begins": np.array([begins]), **states.get(machine, fresh)}
        outputs = dict(zip(names, session.run(None, inputs), strict=True))
        states[machine], last[machine] = {name: outputs[f"new_{name}"] for name in fresh}, now
        yield row, outputs["score"][0], outputs["score"][0] > threshold


if __name__ == "__main__":
    main()
