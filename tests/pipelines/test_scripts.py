"""The scripts of pipelines/, run on made logs as a newcomer without data would."""

import numpy as np
import pandas as pd
import pytest

from .loading import DATA, load_script


@pytest.fixture(scope="module")
def rare_failures():
    return load_script("rare_failures")


def test_rare_failures_runs_without_data(rare_failures, capsys):
    assert rare_failures.main(["--smoke"]) == 0
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("average precision", "MCC", "F1"))


def test_grid_search_runs_without_data(capsys):
    assert load_script("grid_search").main(["--smoke", "--n-jobs", "1"]) == 0
    assert "Average precision on runs left out of the search" in capsys.readouterr().out


def test_data_that_is_not_there_is_told_in_one_line(rare_failures, capsys):
    assert rare_failures.main(["--data", "nowhere.parquet"]) == 2
    assert "nowhere.parquet is not there. Pass --data PATH" in capsys.readouterr().err


def test_an_engine_is_warned_by_an_alarm_in_its_last_cycles_and_none_before(rare_failures):
    index = pd.MultiIndex.from_product([["late", "early", "never", "good"], range(40)])
    alarm = pd.Series(False, index=index)
    alarm["late", 39] = True  # at failure: too late
    alarm["early", 39 - 16] = True  # before the last 15 cycles: false
    alarm["early", 39 - 3] = True
    alarm["good", 39 - 15] = True
    alarm["good", 39 - 1] = True
    assert rare_failures.runs_warned(alarm).to_dict() == {"late": False, "early": False, "never": False, "good": True}


def test_the_raw_file_of_nasa_and_the_table_say_the_same(rare_failures, tmp_path):
    rng = np.random.default_rng(0)
    rows = [(engine, cycle, *rng.normal(size=24).round(4)) for engine in (1, 2) for cycle in range(1, 25)]
    raw = tmp_path / "train_FD001.txt"
    raw.write_text("\n".join(" ".join(map(str, row)) for row in rows))
    X, y = rare_failures.read_engines(raw)
    assert y.groupby("run_id").sum().to_dict() == {"engine_001": 10, "engine_002": 10}
    table = tmp_path / "table.csv"
    X.assign(fail_in_10=y).reset_index().to_csv(table, index=False)
    X_again, y_again = rare_failures.read_engines(table)
    pd.testing.assert_frame_equal(X, X_again)
    pd.testing.assert_series_equal(y, y_again)


ENGINES = DATA / "cmapss_fd001.parquet"


@pytest.mark.slow
@pytest.mark.skipif(not ENGINES.exists(), reason="the engines' data are not part of the repository")
def test_the_defaults_reach_their_average_precision_on_the_engines(rare_failures):
    import eventlstm as el

    parts = rare_failures.split_engines(*rare_failures.read_engines(ENGINES))
    results = rare_failures.score_engines(el.EventClassifier(random_state=0), *parts)
    assert results["average precision"] > 0.965
    assert results["warned of 15"] >= 14
