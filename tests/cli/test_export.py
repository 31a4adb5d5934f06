"""``eventlstm export``: a saved model as a graph, or one line of why not."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest

import eventlstm as el
from eventlstm.alarms.model_scores import threshold_of
from eventlstm.cli.parser import main

SMALL = ["--max-epochs", "1", "--window-size", "4", "--members", "2", "--no-baselines", "--folds", "2"]


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A log as a file."""
    made = el.datasets.make_sensor_log(n_machines=4, n_days=4, failures_per_machine=1, random_state=0)
    path = tmp_path_factory.mktemp("log") / "log.csv"
    made.X.assign(failure=made.y).reset_index().to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def saved(log):
    """The model of a command line."""
    path = log.with_name("model.eventlstm")
    options = ["--time", "time", "--run", "machine", "--label", "failure", "--threshold", "0.3", *SMALL]
    assert main(["fit", str(log), *options, "-o", str(path)]) == 0
    return path


def test_what_fit_saves_is_exported_with_its_threshold(saved, tmp_path, capsys):
    assert main(["export", str(saved), "-o", str(tmp_path / "model.onnx")]) == 0
    printed = capsys.readouterr().out
    assert f"Wrote {tmp_path / 'model.onnx'}" in printed and "above 0.3000" in printed
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert float(session.get_modelmeta().custom_metadata_map["threshold"]) == threshold_of(el.load(saved))


def test_what_detect_saves_is_exported(log, tmp_path, capsys):
    path = tmp_path / "quiet.eventlstm"
    options = ["--time", "time", "--run", "machine", "--drop", "failure", "--fit-share", "0.5", *SMALL[:6]]
    assert main(["detect", str(log), *options, "--save", str(path)]) == 0
    assert main(["export", str(path), "-o", str(tmp_path / "quiet.onnx")]) == 0
    threshold = el.load(path)[-1].threshold_
    assert f"above {threshold:.4f}" in capsys.readouterr().out


def test_an_output_that_is_the_input_is_refused(saved, capsys):
    before = saved.read_bytes()
    assert main(["export", str(saved), "-o", str(saved)]) == 2
    assert "is also an input" in capsys.readouterr().err
    assert saved.read_bytes() == before


def test_what_cannot_be_exported_is_said_in_one_line_and_nothing_is_written(tmp_path, capsys):
    index = pd.MultiIndex.from_product([["A", "B"], pd.date_range("2024", periods=30, freq="h")])
    X = pd.DataFrame({"heat": np.random.default_rng(0).normal(size=60)}, index)
    network = el.LSTMClassifier(hidden_size=2, max_epochs=1, precision="bfloat16")
    model = el.EventClassifier(network, n_estimators=1, window_size=2).fit(X, np.arange(60) % 7 == 0)
    el.save(model, tmp_path / "model.eventlstm")
    assert main(["export", str(tmp_path / "model.eventlstm"), "-o", str(tmp_path / "model.onnx")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("eventlstm export: LSTMClassifier cannot be exported to ONNX: precision='bfloat16'")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("command", ["fit", "detect"])
def test_a_model_is_not_saved_as_a_graph_that_could_not_be_read_again(command, log, tmp_path, capsys):
    output = "-o" if command == "fit" else "--save"
    given = ["--label", "failure", *SMALL] if command == "fit" else []
    assert main([command, str(log), "--time", "time", *given, output, str(tmp_path / "model.onnx")]) == 2
    assert "Save model.eventlstm, then export it." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
