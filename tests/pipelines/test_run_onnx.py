"""The example that runs an exported model without this package."""

import os
import subprocess
import venv

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline

import eventlstm as el

from .loading import PIPELINES, load_script

THRESHOLD = 0.18


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model, what it says of a log, and the folder where both are as files."""
    folder = tmp_path_factory.mktemp("exported")
    log = el.datasets.make_sensor_log(n_machines=2, n_days=4, random_state=0)
    network = el.LSTMClassifier(hidden_size=4, max_epochs=2)
    small = el.EventClassifier(network, n_estimators=2, window_size=4, random_state=0)
    piped = make_pipeline(el.ForwardFill(), small).set_output(transform="pandas")
    model = FixedThresholdClassifier(piped, threshold=THRESHOLD).fit(log.X, log.y)
    el.save(model, folder / "model.onnx")
    some = log.X.groupby(level="machine").head(60).drop(log.X.index[20:40])  # a gap of hours
    some = some.mask(np.random.default_rng(0).random(some.shape) < 0.1)
    some.reset_index().sort_values("time", kind="stable").to_csv(folder / "log.csv", index=False)
    return folder, pd.Series(model.predict_proba(some)[:, 1], some.index)


def read_printed(text):
    table = pd.DataFrame([line.split(",") for line in text.split()], columns=["machine", "time", "score", "alarm"])
    table["time"], table["score"] = pd.to_datetime(table["time"]), table["score"].astype(float)
    return table.set_index(["machine", "time"]).sort_index()


def expect_ours(text, ours):
    printed = read_printed(text.replace(" ", "T"))
    np.testing.assert_allclose(printed["score"], ours.sort_index(), atol=1e-5)
    assert list(printed["alarm"] == "ALARM") == list(printed["score"] >= THRESHOLD)
    assert 0 < (printed["alarm"] == "ALARM").sum() < len(printed)


def test_the_example_says_what_the_model_says(exported, capsys):
    folder, ours = exported
    load_script("run_onnx").main([str(folder / "model.onnx"), str(folder / "log.csv"), "--run", "machine"])
    expect_ours(capsys.readouterr().out, ours)


@pytest.mark.slow
def test_the_example_runs_where_this_package_is_not_installed(exported, tmp_path):
    folder, ours = exported
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    constraints = PIPELINES.parent / "constraints.txt"
    install = ["-m", "pip", "install", "-q", "-c", constraints, "onnxruntime", "numpy"]
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([python, *install], env=bare, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"ONNX Runtime cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    missing = subprocess.run(
        [python, "-c", "import eventlstm"], env=bare, cwd=tmp_path, capture_output=True, check=False
    )
    assert missing.returncode
    files = [PIPELINES / "run_onnx.py", folder / "model.onnx", folder / "log.csv"]
    run = [python, *files, "--run", "machine"]
    expect_ours(subprocess.run(run, env=bare, cwd=tmp_path, capture_output=True, text=True, check=True).stdout, ours)
