"""The search for settings: its measure by hand, trials kept and gone on from, and scikit-learn's search beside it."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .loading import load_script

SCRIPT = Path(__file__).parents[2] / "pipelines" / "search.py"


@pytest.fixture(scope="module")
def search():
    return load_script("search")


@pytest.fixture
def events():
    """Four events of ten rows among a thousand, with scores that tell them all."""
    y = pd.Series(0, pd.date_range("2024-01-01", periods=1000, freq="min"))
    for begin in (100, 300, 500, 700):
        y.iloc[begin : begin + 10] = 1
    return y, y.astype(float)


def test_events_count_by_how_few_false_alarms_come_with_them(search, events):
    y, score = events
    assert search.found_at_budgets(y, score) == 1.0
    assert search.found_at_budgets(y, np.c_[1 - score, score]) == 1.0
    score.iloc[800] = 2.0  # one false alarm before all events: more than one for ten or for three of them
    assert search.found_at_budgets(y, score) == pytest.approx(3 / 4)
    score.iloc[[20, 60, 850, 900]] = 2.0  # five of them for four events
    assert search.found_at_budgets(y, score) == pytest.approx(1 / 4)
    score.iloc[100:110] = -1.0
    assert search.found_at_budgets(y, score) == pytest.approx(3 / 16)


def test_the_defaults_are_the_first_trial_and_trials_are_gone_on_from(search, tmp_path, capsys):
    pytest.importorskip("optuna")
    command = ["--smoke", "--storage", str(tmp_path / "study.db")]
    assert search.main(command) == 0
    told = capsys.readouterr().out
    assert "The defaults find" in told and "best of the search" in told
    assert search.main([*command, "--trials", "3"]) == 0
    found = search.open_study(tmp_path / "study.db", 0, (1,))
    assert len(found.trials) == 3 and found.trials[0].params == search.DEFAULTS
    assert len({str(trial.params) for trial in found.trials}) == 3


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was(search, tmp_path):
    pytest.importorskip("optuna")
    storage = tmp_path / "study.db"
    command = [sys.executable, SCRIPT, "--smoke", "--storage", storage, "--trials", "4"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        for _ in range(600):
            time.sleep(0.1)
            if storage.exists() and count_done(search, storage):
                break
        running.kill()
    before = count_done(search, storage)
    assert 1 <= before < 4
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert count_done(search, storage) == 4


def count_done(search, storage):
    return sum(trial.state.is_finished() for trial in search.open_study(storage, 0, (1,)).trials)


def test_halving_of_scikit_learn_does_without_optuna(search, capsys):
    assert search.main(["--smoke", "--halving"]) == 0
    assert "The best finds" in capsys.readouterr().out


def test_what_is_missing_is_told_in_one_line(search, capsys):
    assert search.main(["--protocol", "cmapss"]) == 2
    assert capsys.readouterr().err == "search: --protocol cmapss wants --data FILE; rare_failures.py says which.\n"
