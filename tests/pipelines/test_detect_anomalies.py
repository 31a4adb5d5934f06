"""pipelines/detect_anomalies.py and what it measures with: baselines scored alike, and alarms beside chance."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventlstm as el
from eventlstm.evaluation.baselines import unlabelled_baselines
from eventlstm.evaluation.held_out import cross_fitted_scores
from eventlstm.metrics import alarm_duty, detection_delays, event_recall_score, false_alarm_rate
from eventlstm.metrics.alarm_summary import draw_alarms, report_alarms, report_random_alarms
from eventlstm.metrics.intervals import paired_difference
from eventlstm.metrics.matching import read_match

from .loading import DATA, load_script


@pytest.fixture(scope="module")
def script():
    return load_script("detect_anomalies")


def by_hour(values, runs=None):
    hours = pd.date_range("2026-01-01", periods=len(values), freq="h")
    return pd.Series(values, index=hours if runs is None else pd.MultiIndex.from_arrays([runs, hours]))


def make_rows(n_rows=300, n_sensors=3):
    return np.random.default_rng(0).normal(size=(n_rows, n_sensors)).cumsum(axis=0)


def read_rows(printed, first):
    """Return the cells of the table whose head begins with a word, by the first cell of each row."""
    table = printed[printed.index(f"| {first} |") :].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in table.splitlines()]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 29), st.integers(0, 5))
@settings(deadline=None, max_examples=50)
def test_alarms_at_random_times_are_as_many_and_as_long_in_each_run(flags, cut, seed):
    flags = np.array(flags)
    y = by_hour(np.zeros(len(flags), dtype=int), runs=np.arange(len(flags)) > cut)
    matched = read_match(y, flags, 0, 0, "onset", None)
    drawn = draw_alarms(matched, np.random.RandomState(seed))
    for run in (False, True):
        own = y.index.get_level_values(0) == run
        assert lengths(drawn[own]) == lengths(flags[own])


def lengths(flags):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]])))
    return sorted(edges[1::2] - edges[::2])


def test_chance_finds_an_event_as_often_as_an_alarm_falls_into_it():
    y, alarms = np.zeros(100, dtype=int), np.zeros(100, dtype=int)
    y[40:60] = 1
    alarms[3] = 1
    chance = report_random_alarms(by_hour(y), by_hour(alarms), n_draws=2000, random_state=0)
    assert chance["recall"] == pytest.approx(0.2, abs=0.03)
    assert chance["false_alarm_rate"] == pytest.approx(0.8 / (80 / 24), abs=0.01)
    assert np.isnan(chance["median_delay"])
    assert chance["as_many"] == 1.0  # as the alarm itself finds nothing


def test_a_report_agrees_with_the_measures_one_by_one():
    rng = np.random.default_rng(0)
    y, alarms = (by_hour((rng.random(200) < share).astype(int)) for share in (0.1, 0.2))
    report = report_alarms(y, alarms)
    assert report.recall.estimate == event_recall_score(y, alarms) == report.n_found / report.n_events
    assert report.false_alarm_rate.estimate == pytest.approx(false_alarm_rate(y, alarms))
    assert report.duty == alarm_duty(y, alarms)
    pd.testing.assert_series_equal(report.delays, detection_delays(y, alarms))
    assert report.delays.isna().sum() == report.n_events - report.n_found > 0


def test_alarms_without_an_event_to_find_are_refused():
    with pytest.raises(ValueError, match="0 events and a quiet time of 10 came"):
        report_alarms(np.zeros(10, dtype=int), np.ones(10, dtype=int))


def test_a_difference_that_is_the_same_on_all_runs_is_certain():
    difference, n_ahead = paired_difference([0.5, 0.7, 0.9], [0.4, 0.6, 0.8], random_state=0)
    assert tuple(difference) == pytest.approx((0.1, 0.1, 0.1))
    assert n_ahead == 3
    assert paired_difference([0.5, 0.7], [0.5, 0.7])[1] == 0


def test_errors_of_baselines_are_scaled_and_smoothed_as_those_of_the_detector():
    ours = el.AnomalyDetector().get_params()
    scoring = ("norm", "cap", "shrinkage", "smoothing", "clip", "validation_fraction")
    for name, model in unlabelled_baselines(autoencoder=True).items():
        if not name.endswith("raw"):
            assert all(model.get_params()[key] == ours[key] for key in scoring), name


def test_the_one_step_difference_scores_how_much_sensors_move_at_once():
    X = make_rows() / 100  # within the limits that models see
    model = unlabelled_baselines(0)["one-step difference"].set_params(smoothing=1, shrinkage=0, threshold=1.0, clip=99)
    moved = np.diff(X, axis=0, prepend=X[:1])
    expected = (moved**2 / (moved**2).mean(axis=0)).mean(axis=1)
    np.testing.assert_allclose(model.fit(X).anomaly_score(X), expected, rtol=1e-4)


def test_mean_absolute_z_is_that_of_the_rows_it_was_fitted_on():
    X = make_rows()
    model = unlabelled_baselines(0)["mean absolute z, raw"].set_params(threshold=1.0).fit(X)
    fitted = X[: int(np.ceil(0.8 * len(X)))]
    expected = np.abs((X - fitted.mean(axis=0)) / fitted.std(axis=0)).mean(axis=1)
    np.testing.assert_allclose(model.anomaly_score(X), expected, rtol=1e-4)


def test_every_baseline_ranks_a_jump_of_all_sensors_first():
    X = np.random.default_rng(0).normal(size=(400, 3))
    test = X.copy()
    test[350:] += [8.0, -8.0, 8.0]
    for name, model in unlabelled_baselines(0).items():
        score = model.set_params(threshold=1.0).fit(X).anomaly_score(test)
        assert score.argmax() >= 350, name


def test_a_fold_is_scored_by_a_detector_that_has_not_seen_it():
    values = np.concatenate([make_rows(60), make_rows(40)])
    X = by_hour(values[:, 0], runs=np.repeat(["a", "b"], [60, 40])).to_frame("s")
    model = unlabelled_baselines(0)["mean absolute z, raw"]
    score = cross_fitted_scores(model, X, n_folds=2)
    first = np.concatenate([np.arange(30), np.arange(60, 80)])  # the first half of each run
    fitted = model.set_params(threshold=1.0).fit(X.drop(X.index[first]))
    np.testing.assert_array_equal(score.iloc[first], fitted.anomaly_score(X.iloc[first]))
    assert score.notna().all() and score.index.equals(X.index)


def test_one_command_says_what_models_and_their_alarms_are_worth_without_data(script, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(script, "MADE", {"n_machines": 1, "n_days": 6, "failures_per_machine": 2})
    monkeypatch.setattr(script, "N_FLEETS", 2)
    assert script.main(["--seeds", "0", "-o", str(tmp_path / "tables.md")]) == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "tables.md").read_text(encoding="utf-8")
    names = [script.OURS, *unlabelled_baselines()]
    scores, alarms, came = (read_rows(printed, word) for word in ("scores", "alarms", "came over asked"))
    assert list(scores) == list(alarms) == list(came) == names
    assert all(row["found"].split()[1:2] == ["of"] for row in alarms.values())


def test_the_failures_of_a_machine_are_found_by_its_temperature(script, tmp_path, capsys):
    path = tmp_path / "temperature.csv"
    write_temperature(path)
    assert script.main(["--protocol", "temperature", "--data", str(path), "--seeds", "0", "--folds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "Rows to fit on: 450." in printed  # of the 3,000 times, though 3,001 rows
    assert read_rows(printed, "alarms")[script.OURS]["found"].startswith("2 of 2")
    assert script.BY_FOLDS in read_rows(printed, "alarms")


def test_logs_of_one_sensor_are_measured_where_they_have_events(script, monkeypatch, tmp_path, capsys):
    one = "ridge regression, 8 rows"
    monkeypatch.setattr(script, "unlabelled_baselines", lambda *_, **__: {one: unlabelled_baselines()[one]})
    path = tmp_path / "logs.csv"
    write_temperature(path)
    log = pd.read_csv(path).iloc[1200:2600]
    logs = [log, log.assign(value=log["value"] + 1), log.assign(label=0)]
    pd.concat(logs, keys=["a", "b", "quiet"], names=["run_id"]).reset_index(level=0).to_csv(path, index=False)
    assert script.main(["--protocol", "nab", "--data", str(path), "--seeds", "0", "--smoothing", "15"]) == 0
    printed = capsys.readouterr().out
    assert "Logs with a model of their own: 3. Rows to fit on: 630." in printed
    assert read_rows(printed, "scores")[one][f"{script.OURS} ahead by, VUS-PR"].endswith("of 2")
    assert read_rows(printed, "alarms")[script.OURS]["found"].startswith("4 of 4")


def write_temperature(path):
    """Write a noisy daily cycle with two drops, and an hour that comes twice."""
    times = pd.date_range("2026-01-01", periods=3000, freq="h")
    value = 80 + np.sin(np.arange(3000) * np.pi / 12) + np.random.default_rng(0).normal(0, 0.3, 3000)
    label = np.zeros(3000, dtype=int)
    for begin in (1500, 2500):
        value[begin + 5 : begin + 20] -= 15
        label[begin : begin + 24] = 1
    log = pd.DataFrame({"timestamp": times, "value": value, "label": label})
    pd.concat([log, log.iloc[[1000]]]).to_csv(path, index=False)


def test_a_server_is_fitted_on_its_own_quiet_part(script, tmp_path):
    columns = ["run_id", "split", "t", *[f"s{k:02d}" for k in range(19)], "label"]
    rows = [
        [name, split, t, *[t + 100 * (split == "test")] * 19, int(split == "test" and t == 2)]
        for name in ("omi-1", "omi-2")
        for split in ("train", "test")
        for t in range(4)
    ]
    path = tmp_path / "servers.csv"
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    parts = script.read_servers(path)
    assert [part.name for part in parts] == ["omi-1", "omi-2"]
    assert parts[0].quiet.to_numpy().max() == 3 and parts[0].X.to_numpy().min() == 100
    assert parts[0].y.tolist() == [0, 0, 1, 0]
    assert parts[0].X.index[1] - parts[0].X.index[0] == pd.Timedelta("5min")


def test_data_that_are_not_there_or_something_else_are_told_in_one_line(script, tmp_path, capsys):
    assert script.main(["--protocol", "asd", "--data", "nowhere.parquet"]) == 2
    assert "nowhere.parquet is not there. Pass --data PATH" in capsys.readouterr().err
    path = tmp_path / "other.csv"
    path.write_text("timestamp,speed\n2026-01-01,1.0\n")
    assert script.main(["--protocol", "temperature", "--data", str(path)]) == 2
    assert capsys.readouterr().err.endswith(
        "has no column value, label. The head of this script says what is wanted.\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "asd.parquet").exists(), reason="the servers' data are not part of the repository")
def test_the_defaults_reach_their_precision_on_the_servers(script):
    parts = script.read_servers(DATA / "asd.parquet")
    scored = [script.score_part(el.AnomalyDetector(threshold=1.0, random_state=0), part) for part in parts]
    assert np.mean([one.average_precision for one in scored]) > 0.55
    assert np.mean([one.vus_pr for one in scored]) > 0.78


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "nab.parquet").exists(), reason="NAB's data are not part of the repository")
@pytest.mark.filterwarnings("ignore::eventlstm.logs.sampling_checks.TornLogWarning")
def test_the_defaults_reach_their_precision_on_nab(script):
    scored = [
        script.score_part(el.AnomalyDetector(threshold=1.0, random_state=0), part)
        for part in script.read_nab(DATA / "nab.parquet")
        if part.y.any()
    ]
    assert len(scored) == 23
    assert np.mean([one.average_precision for one in scored]) > 0.31
    assert np.mean([one.vus_pr for one in scored]) > 0.34
