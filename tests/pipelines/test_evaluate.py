"""pipelines/evaluate.py measures on rows held out, by the thresholds of other folds, and writes its figures."""

import numpy as np
import pandas as pd
import pytest

from .loading import load_script


@pytest.fixture(scope="module")
def evaluate():
    return load_script("evaluate")


@pytest.mark.slow
def test_a_run_without_data_prints_every_model_and_writes_the_figures(evaluate, capsys, tmp_path):
    assert evaluate.main(["--smoke", "--resamples", "10", "--plots", str(tmp_path / "figures")]) == 0
    printed = capsys.readouterr().out
    names = (evaluate.OURS, evaluate.BOOSTING, "logistic regression", "random scores", evaluate.ALWAYS)
    lines = {name: next(line for line in printed.splitlines() if line.startswith(f"| {name}")) for name in names}
    assert "100.00%" in lines[evaluate.ALWAYS]
    assert len({line.count("|") for line in lines.values()}) == 1
    written = sorted(path.stem for path in (tmp_path / "figures").glob("*.png"))
    assert written == ["alarm_curve", "calibration", "precision_recall", "timeline"]


def test_data_that_is_not_there_is_told_in_one_line(evaluate, capsys):
    assert evaluate.main(["--data", "nowhere.parquet"]) == 2
    assert "nowhere.parquet" in capsys.readouterr().err


def small_task(evaluate, budget):
    index = pd.MultiIndex.from_product(
        [["a", "b"], pd.date_range("2024-01-01", periods=288, freq="h")], names=["machine", "time"]
    )
    y = pd.Series(0, index=index)
    y.iloc[[50, 51, 52, 400, 401, 402]] = 1
    return evaluate.Task(None, y, None, budget, "0h", "h")


def test_alarms_of_a_fold_do_not_depend_on_its_own_labels(evaluate):
    task = small_task(evaluate, budget=1.0)
    score = pd.Series(np.random.default_rng(0).random(len(task.y)) + task.y, index=task.y.index)
    fold_of_row = np.repeat([0, 1], 288)
    alarms = evaluate.alarms_of_folds(task, score, fold_of_row)
    other = task.y.copy()
    other.iloc[100:200] = 1
    again = evaluate.alarms_of_folds(task._replace(y=other), score, fold_of_row)
    pd.testing.assert_series_equal(alarms["a":"a"], again["a":"a"])
    assert alarms.sum() > 0


def test_a_score_that_keeps_no_budget_gives_no_alarms(evaluate, capsys):
    task = small_task(evaluate, budget=0.0)
    score = pd.Series(1.0 - task.y, index=task.y.index)
    alarms = evaluate.alarms_of_folds(task, score, np.repeat([0, 1], 288))
    assert alarms.sum() == 0
    assert "no alarms in fold 0: No threshold keeps" in capsys.readouterr().err


def test_a_cycle_of_an_engine_stands_for_a_day(evaluate):
    index = pd.MultiIndex.from_tuples([("engine_001", 1), ("engine_001", 3)], names=["run_id", "cycle"])
    days = evaluate.in_days(pd.Series([0, 1], index=index)).index.get_level_values("day")
    assert days[1] - days[0] == pd.Timedelta("2D")
