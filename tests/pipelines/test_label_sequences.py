"""The comparison of labels at every step: how borders and events are counted, and that it runs without data."""

import numpy as np
import pandas as pd
import pytest

from .loading import load_script


@pytest.fixture(scope="module")
def script():
    return load_script("label_sequences")


def test_it_runs_without_data(script, capsys):
    assert script.main(["--smoke", "--seeds", "0"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("false borders", "mean around", "filtered, causal", "both ways, field"))


def test_it_reads_a_table_with_parts(script, capsys, tmp_path):
    parts = [*script.make_phases(1, 2)]
    tables = [
        X.assign(label=(y == "hold").astype(int), other=1, part=part).reset_index()
        for (X, y), part in zip(parts, ("train", "val", "test"), strict=True)
    ]
    path = tmp_path / "log.parquet"
    pd.concat(tables).to_parquet(path)
    arguments = ["--data", str(path), "--time", "time", "--leave-out", "other", "--smoke", "--seeds", "0"]
    assert script.main(arguments) == 0
    assert "| EventClassifier, causal | 0." in capsys.readouterr().out


def test_data_that_is_not_there_is_told_in_one_line(script, capsys):
    assert script.main(["--data", "nowhere.parquet"]) == 2
    assert "nowhere.parquet" in capsys.readouterr().err


def labels(*runs):
    index = pd.MultiIndex.from_tuples([(k, t) for k, run in enumerate(runs) for t in range(len(run))])
    return pd.Series(list("".join(runs)), index=index)


def test_a_border_is_found_by_one_change_to_its_label_that_is_near(script):
    truth = labels("aaaabbbbaaaa", "aaaaaabb")
    found = labels("aaabbbbbbaba", "bbbbbbbb")  # one early, one late, two too many; the second run's is missed
    assert script.match_borders(truth, found, near=1) == ([1, 1], 3, 2)
    assert script.match_borders(truth, found, near=0) == ([], 3, 4)


def test_an_event_is_found_by_a_row_and_a_false_alarm_has_none(script):
    truth, found = labels("aaaabbbbaaaa", "aaaaaabb"), labels("baabbbbbbaba", "bbbbaaaa")
    assert script.match_events(truth != "a", found != "a", truth, found) == (2, 1, 3)


def test_a_mean_around_stays_within_a_run(script):
    X = pd.DataFrame(index=labels("aaa", "bb").index)
    event = np.array([0.1, 0.5, 0.9, 0.5, 0.5])
    mean = script.mean_around(X, np.column_stack([1 - event, event]), width=3)[:, 1]
    np.testing.assert_allclose(mean, [0.25, 0.5, 0.75, 0.5, 0.5])
    np.testing.assert_allclose(script.mean_around(X, np.column_stack([1 - event, event]), width=1)[:, 1], event)
