"""pipelines/compare_imbalance.py, run on a made log, and the figures in its table."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

import eventlstm as el

from .loading import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("compare_imbalance")


def read_rows(markdown):
    """Return the cells of a Markdown table by the first one of each row."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if line]
    return {row[0]: row[1:] for row in rows[2:]}


def test_one_command_compares_all_methods_in_all_modes_without_data(script, tmp_path, capsys):
    command = ["--protocol", "made", "--seeds", "0", "--members", "2", "--keep", str(tmp_path)]
    assert script.main(command) == 0
    rows = read_rows(capsys.readouterr().out)
    missing = [] if hasattr(el, "BalancedBaggingLSTMClassifier") else ["bagging"]
    wanted = {key: len(method.modes) for key, method in script.METHODS.items() if key not in missing}
    assert len(rows) == sum(wanted.values())
    assert rows["plain LSTM"][2] == "–"
    assert all(script.METHODS[key].label.split(",")[0] in " ".join(rows) for key in wanted)


def test_slices_add_up_to_the_table_of_one_run(script, tmp_path, capsys):
    made = ["--protocol", "made", "--modes", "stateful"]
    everything = [*made, "--methods", "forest", "plain", "--seeds", "0", "1"]
    keep = ["--keep", str(tmp_path / "kept")]
    for seed, methods in (("1", ["plain"]), ("0", ["forest", "plain"]), ("1", ["forest"])):
        script.main([*made, "--seeds", seed, "--methods", *methods, *keep])
    capsys.readouterr()
    assert script.main([*everything, *keep, "--table"]) == 0
    sliced = read_rows(capsys.readouterr().out)
    assert script.main([*everything, "-o", str(tmp_path / "whole.md")]) == 0
    whole = read_rows((tmp_path / "whole.md").read_text(encoding="utf-8"))
    assert {name: row[:-1] for name, row in sliced.items()} == {name: row[:-1] for name, row in whole.items()}


def test_what_is_kept_is_not_fitted_again(script, tmp_path, capsys):
    command = ["--protocol", "made", "--seeds", "0", "--methods", "logistic", "--keep", str(tmp_path)]
    script.main(command)
    assert "measured: logistic" in capsys.readouterr().err
    script.main(command)
    assert "measured" not in capsys.readouterr().err


def test_a_draw_counts_a_run_as_often_as_it_is_drawn(script):
    rng = np.random.default_rng(0)
    y, score, runs = rng.integers(0, 2, 30), rng.random(30).round(1), np.repeat([0, 1, 2], 10)
    everything = np.arange(30)
    repeated = np.concatenate([everything[runs == 0], everything[runs == 0], everything[runs == 2]])
    found = script.average_precisions(y, score, np.array([[1, 1, 1], [2, 0, 1], [0, 0, 0]])[:, runs])
    expected = [average_precision_score(y[rows], score[rows]) for rows in (everything, repeated)]
    assert found[:2] == pytest.approx(expected)
    assert np.isnan(found[2])


def test_differences_are_paired_by_seed_and_draw(script):
    draws = np.random.default_rng(0).random((2, 201))
    own = {seed: draws[seed] + 0.1 for seed in (0, 1)}
    other = {seed: draws[seed] for seed in (0, 1)}
    assert script.difference(own, other) == "+0.100 [+0.100, +0.100]"
    assert script.difference({1: own[1]}, other) == "+0.100 [+0.100, +0.100]"
    assert script.difference(own, None) == "–"


def test_scores_of_other_data_are_refused(script, tmp_path):
    task = script.read_made_log()
    result = {"score": task.y, "corrected": task.y, "seconds": 1.0, "labels": script.digest(task.y)}
    script.save(tmp_path / "a.npz", result)
    assert script.load(tmp_path / "a.npz", task)["seconds"] == 1.0
    with pytest.raises(ValueError, match="holds scores of other data"):
        script.load(tmp_path / "a.npz", task._replace(y=1 - task.y))


def test_a_table_of_nothing_is_told_in_one_line(script, tmp_path, capsys):
    assert script.main(["--protocol", "made", "--table", "--keep", str(tmp_path)]) == 2
    assert "There is nothing to show." in capsys.readouterr().err
