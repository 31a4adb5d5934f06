"""The battery of problems: its measures by hand, its recipes read safely, and scores kept to go on from."""

import re

import numpy as np
import pandas as pd
import pytest

import eventlstm as el

from .loading import DATA, load_script


@pytest.fixture(scope="module")
def battery():
    return load_script("battery")


def test_it_runs_without_data_and_goes_on_from_what_it_kept(battery, tmp_path, capsys, monkeypatch):
    arguments = ["--smoke", "--only", "conditions", "--seeds", "0", "--keep", str(tmp_path)]
    assert battery.main(arguments) == 0
    printed = capsys.readouterr().out
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 4 and re.search(r"^\| EventClassifier, small \| 0\.\d{3} ± 0\.000 ", printed, re.MULTILINE)
    monkeypatch.setattr(el.EventClassifier, "fit", None)  # nothing is fitted again
    assert battery.main(arguments) == 0
    assert capsys.readouterr().out == printed and sorted(tmp_path.iterdir()) == kept


def test_the_bar_is_the_better_baseline_of_each_problem_and_the_mean_is_geometric(battery):
    rows = {
        (name, problem, 0): {"prevalence": 0.1, "AP": precision, "MCC": 0.5, "found": 1.0}
        for problem, precisions in {"one": (0.2, 0.1, 0.4), "two": (0.1, 0.4, 0.2)}.items()
        for name, precision in zip((*battery.BAR, "ours"), precisions, strict=True)
    }
    results = pd.DataFrame(rows).T
    results.index.names = ["recipe", "problem", "seed"]
    last = battery.as_markdown(results, ["ours"], ["one", "two"]).splitlines()[-1]
    assert last == "| ours | 0.400 ± 0.000 | 0.200 ± 0.000 | 1.00 ± 0.00 | 1 | 0.50 | 100% |"


def test_an_event_is_found_by_one_row_above_what_a_hundredth_of_the_quiet_rows_reach(battery):
    y = np.zeros(1000, dtype=int)
    y[100:103] = y[500:503] = 1
    index = pd.RangeIndex(1000)
    score = np.linspace(0.0, 0.5, 1000)
    score[y == 1] = 0.0
    score[501] = 0.6
    X, y = pd.DataFrame({"a": score}, index=index), pd.Series(y, index=index)
    assert battery.found_events(X, y, score).tolist() == [False, True]


def test_where_nothing_is_left_to_choose_on_the_other_folds_choose(battery):
    part = pd.DataFrame({"a": np.zeros(4)}), pd.Series([0, 0, 1, 1])
    folds = [battery.Split(part, None, part)] * 3
    scores = [(np.array([0.0, 0.1, 0.4, 0.5]) + k, np.empty(0)) for k in range(3)]
    assert 1.1 < battery.threshold_for(folds, scores, 0) <= 2.4
    assert battery.threshold_for(folds, scores, 2) < 1.4


def test_a_recipe_is_read_as_python_writes_it(battery):
    text = "EventBlend(weights=[1, 0, 2, 1])"
    assert battery.read_recipe(text)(seed=3).get_params()["weights"] == [1, 0, 2, 1]
    nested = battery.read_recipe("EventClassifier(LSTMClassifier(hidden_size=64), inputs='level')")(seed=3)
    assert nested.estimator.hidden_size == 64 and (nested.inputs, nested.random_state) == ("level", 3)


@pytest.mark.parametrize(
    "text",
    ["EventClassifier", "print('x')", "EventBlend(weights=open('x'))", "EventClassifier(1, 2)", "(", "Nothing()"],
)
def test_what_is_no_recipe_is_told_in_one_line(battery, text, capsys):
    assert battery.main(["--smoke", "--only", "season", "--seeds", "0", "--recipe", text]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and ("is no estimator" in told)


def test_an_unknown_problem_is_named(battery, capsys):
    assert battery.main(["--smoke", "--only", "FD001"]) == 2
    assert "--only names 'FD001', which is none of season" in capsys.readouterr().err


@pytest.mark.skipif(not (DATA / "ur3.parquet").exists(), reason="the battery's data are not part of the repository")
def test_the_problems_are_split_by_their_protocols(battery):
    problems = battery.real_problems(DATA)
    assert {name: len(folds) for name, folds in problems.items()} == dict.fromkeys(problems, 1) | {"ASD": 4}
    robot = problems["UR3 stop"][0].train[0]
    assert not {"protective_stop", "grip_lost", "part"} & set(robot)
    sizes = [len(problems["FD002"][0].train[0]), len(problems["FD002"][0].test[0])]
    assert sizes == [11748, 2884]
