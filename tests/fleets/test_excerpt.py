"""An excerpt holds the events of a log whole, and quiet rows that stand for all others."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el
from eventlstm.cli.parser import main
from eventlstm.fleets import excerpt as excerpts
from eventlstm.fleets.excerpt import CELL_ROWS, WARM_UP_ROWS, Survey, choose_rows

NAMES = {"time": "time", "run": "machine", "label": "failure"}


def make_log(n_rows=(30_000, 20_000), events=((5_000, 5_030), (41_000, 41_200))):
    """A log of two machines, each value the number of its row, with events at some of the rows."""
    index = pd.MultiIndex.from_tuples(
        [(f"m{k}", time) for k, n in enumerate(n_rows) for time in pd.date_range("2024-01-01", periods=n, freq="min")],
        names=["machine", "time"],
    )
    X = pd.DataFrame({"a": np.arange(len(index), dtype=float), "b": 1.0}, index=index)
    y = pd.Series(0, index=index, name="failure")
    for begin, end in events:
        y.iloc[begin:end] = 1
    return X, y


def write(X, y, path):
    table = X.assign(failure=y).reset_index()
    table.to_parquet(path, row_group_size=7_000) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(excerpts, "PIECE_ROWS", 4_000)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_events_and_the_rows_around_them_come_whole(tmp_path, suffix):
    X, y = make_log()
    found = el.read_excerpt(write(X, y, tmp_path / f"log.{suffix}"), **NAMES, max_rows=10_000)
    assert found.n_rows == len(X) and 8_000 < len(found.X) <= 10_000
    rows = found.X["a"].astype(int).to_numpy()
    pd.testing.assert_frame_equal(found.X, X.iloc[rows], check_freq=False)
    pd.testing.assert_series_equal(found.y, y.iloc[rows], check_freq=False)
    assert found.sample_weight.index.equals(found.X.index)
    for begin, end in ((5_000, 5_030), (41_000, 41_200)):
        assert np.isin(np.arange(begin - CELL_ROWS, end + CELL_ROWS), rows).all()
        assert (found.sample_weight[(rows >= begin) & (rows < end)] == 1).all()


def test_the_weights_make_a_log_of_its_length_and_share_of_events(tmp_path):
    X, y = make_log()
    found = el.read_excerpt(write(X, y, tmp_path / "log.csv"), **NAMES, max_rows=10_000)
    assert found.sample_weight.sum() == pytest.approx(len(X), rel=0.05)
    assert np.average(found.y, weights=found.sample_weight) == pytest.approx(y.mean(), rel=0.05)


def test_a_log_that_is_short_enough_is_read_as_a_whole(tmp_path):
    X, y = make_log()
    path = write(X, y, tmp_path / "log.csv")
    log, found = el.read_log(path, **NAMES), el.read_excerpt(path, **NAMES, max_rows=len(X))
    pd.testing.assert_frame_equal(found.X, log.X)
    pd.testing.assert_series_equal(found.y, log.y)
    assert (found.sample_weight == 1).all()


@pytest.mark.parametrize("change", ["order", "names"])
def test_what_cannot_be_read_in_pieces_gives_the_same_rows(tmp_path, change):
    X, y = make_log()
    ordered = el.read_excerpt(write(X, y, tmp_path / "log.csv"), **NAMES, max_rows=10_000)
    if change == "order":
        X, y = X.iloc[::-1], y.iloc[::-1]
    else:
        y = y.map({0: "fine", 1: "broken"})
    other = el.read_excerpt(write(X, y, tmp_path / "other.csv"), **NAMES, max_rows=10_000)
    pd.testing.assert_frame_equal(other.X, ordered.X)
    assert ((other.y == other.y.iloc[0]) == (ordered.y == 0)).all()


@pytest.mark.parametrize("max_rows", [10_000, 50_000])
@pytest.mark.parametrize("told_by", ["label", "events"])
def test_machines_that_take_turns_and_events_of_a_file_give_the_same_rows(tmp_path, told_by, max_rows):
    X, y = make_log()
    ordered = el.read_excerpt(write(X, y, tmp_path / "log.csv"), **NAMES, max_rows=max_rows)
    names, path = dict(NAMES), tmp_path / "turns.parquet"
    table = X.assign(failure=y).reset_index().sort_values(["time", "machine"])
    if told_by == "events":
        names.pop("label")
        names["events"], table = tmp_path / "events.csv", table.drop(columns="failure")
        el.to_events(y).rename(columns={"run": "machine"}).to_csv(names["events"], index=False)
    table.to_parquet(path, index=False)
    found = el.read_excerpt(path, **names, max_rows=max_rows)
    pd.testing.assert_frame_equal(found.X, ordered.X)
    pd.testing.assert_series_equal(found.y, ordered.y, check_names=told_by == "label")
    pd.testing.assert_series_equal(found.sample_weight, ordered.sample_weight)
    assert found.n_rows == len(X)


def test_either_a_label_or_a_file_of_events_is_wanted(tmp_path):
    with pytest.raises(ValueError, match=r"where one of them is wanted"):
        el.read_excerpt(tmp_path / "log.csv", time="time")


@pytest.mark.parametrize("before", [3_000, "3000min"])
def test_what_comes_before_an_event_comes_with_it(tmp_path, before):
    X, y = make_log(events=((9_000, 9_010), (31_000, 31_010)))
    path = write(X, y, tmp_path / "log.parquet")
    rows = el.read_excerpt(path, **NAMES, max_rows=20_000, before=before).X["a"]
    assert np.isin(np.arange(6_000, 9_000), rows).all()
    assert np.isin(np.arange(30_000, 31_000), rows).all()  # the run begins there


def test_rows_after_a_gap_lead_up_to_others_but_teach_nothing(tmp_path):
    X, y = make_log()
    found = el.read_excerpt(write(X, y, tmp_path / "log.csv"), **NAMES, max_rows=10_000)
    rows = found.X["a"].to_numpy()
    begins = np.flatnonzero((np.diff(rows, prepend=-1) != 1) & (rows != 30_000))
    assert len(begins) > 1
    for begin in begins:
        young = found.sample_weight.iloc[begin : begin + WARM_UP_ROWS]
        assert (young == 0).all() and found.sample_weight.iloc[begin + WARM_UP_ROWS] > 0


@given(
    lengths=st.lists(st.integers(1, 9_000), min_size=1, max_size=6),
    begins=st.lists(st.integers(0, 50_000), max_size=60),
    max_rows=st.integers(4_096, 30_000),
    seed=st.integers(0, 100),
)
def test_no_more_rows_are_kept_than_asked_and_all_weights_are_just(lengths, begins, max_rows, seed):
    n_rows = sum(lengths)
    event = np.zeros(n_rows, dtype=bool)
    for begin in begins:
        event[begin : begin + 20] = True
    survey = Survey(np.cumsum(lengths) - np.array(lengths), event, None)
    kept, weight = choose_rows(survey, max_rows=max_rows, before=0, rng=np.random.RandomState(seed))
    assert kept.sum() == len(weight) <= max(max_rows, 1) and (weight >= 0).all()
    assert (weight[event[kept]] > 0).all()
    if n_rows <= max_rows:
        assert kept.all() and (weight == 1).all()
    elif not begins:
        assert weight.sum() == pytest.approx(n_rows) or not weight.any()


def test_a_model_fitted_by_weight_has_the_probabilities_of_the_whole_log(tmp_path):
    log = el.datasets.make_sensor_log(n_machines=4, n_days=120, failures_per_machine=2, random_state=0)
    X, path = log.X.groupby("machine").ffill().bfill(), tmp_path / "log.parquet"
    X.assign(failure=log.y).reset_index().to_parquet(path)
    found = el.read_excerpt(path, **NAMES, max_rows=30_000)
    assert len(found.X) < 0.5 * len(X)
    line = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model = el.EventClassifier(line, mode="windows", window_size=1, inputs=None, n_estimators=1)
    weighted = model.fit(found.X, found.y, sample_weight=found.sample_weight).predict_proba(X)[:, 1]
    assert weighted.mean() == pytest.approx(log.y.mean(), rel=0.5)  # .8 to 1.5 times by which blocks are drawn
    assert model.fit(found.X, found.y).predict_proba(X)[:, 1].mean() > 2 * log.y.mean()


def test_too_few_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"max_rows=4000 is too few for a block of quiet rows\. Take 4,096 or more"):
        el.read_excerpt(write(*make_log(), tmp_path / "log.csv"), **NAMES, max_rows=4_000)


def test_the_command_fits_on_an_excerpt_and_says_so(tmp_path, capsys):
    log = el.datasets.make_sensor_log(n_machines=4, n_days=60, failures_per_machine=1, random_state=0)
    path, model = tmp_path / "log.parquet", tmp_path / "model.eventlstm"
    log.X.assign(failure=log.y).reset_index().to_parquet(path)
    command = ["fit", str(path), "--time", "time", "--run", "machine", "--label", "failure", "-o", str(model)]
    command += ["--model", "lstm", "--members", "1", "--max-epochs", "1", "--folds", "2", "--window-size", "4"]
    assert main([*command, "--max-rows", "20000"]) == 0
    told = capsys.readouterr().out
    assert f"Of {len(log.X):,} rows, " in told and "are learnt from (--max-rows)" in told
    share = float(re.search(r"Events: 4, ([0-9.]+)% of the rows", told)[1]) / 100
    assert share == pytest.approx(log.y.mean(), rel=0.1) and "which so few events leave between" in told
    loaded = el.load(model)
    assert loaded.predict_proba(log.X).shape == (len(log.X), 2)
    assert main([*command, "--max-rows", "40000"]) == 0
    assert "are learnt from" not in capsys.readouterr().out
