"""The numbers of a report and the page that holds them; what the page does with them is tested in a browser."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import eventlstm as el
from eventlstm import metrics
from eventlstm.alarms.alarm_policy import AlarmPolicy
from eventlstm.cli.parser import main
from eventlstm.evaluation.page import read_page, to_json
from eventlstm.evaluation.page_data import Cuts
from eventlstm.evaluation.scored_log import ScoredLog
from eventlstm.logs.steps import find_stretches

LOG = el.datasets.make_sensor_log(n_machines=3, n_days=5, failures_per_machine=2, random_state=1)
X, Y = LOG.X, LOG.y
NOISE = np.random.default_rng(0).normal(size=len(Y))
SCORE = np.round(np.exp(pd.Series(NOISE).ewm(span=5).mean().to_numpy() + 1.5 * Y.to_numpy()), 3)
THRESHOLD = 4.0
QUICK = {"n_resamples": 20, "baselines": False}
RULES = {"policy": AlarmPolicy()}
SPANS = {"early": 3, "late": "1h"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "report.html"


def flags_at(threshold, **rules):
    return AlarmPolicy(float(threshold), **rules).flag(pd.Series(SCORE, index=Y.index))


def test_measures_are_those_of_the_metrics(path):
    measures = el.report(None, X, Y, path, y_score=SCORE, threshold=THRESHOLD, **RULES, **SPANS, **QUICK)["measures"]
    flags = flags_at(THRESHOLD)
    wanted = {
        "event_recall": metrics.event_recall_score(Y, flags, **SPANS),
        "event_precision": metrics.event_precision_score(Y, flags, **SPANS),
        "event_fbeta": metrics.event_fbeta_score(Y, flags, beta=0.5, **SPANS),
        "false_alarm_rate": metrics.false_alarm_rate(Y, flags, **SPANS),
        "alarm_duty": metrics.alarm_duty(Y, flags, **SPANS),
        "median_delay": metrics.delay_quantile(Y, flags, **SPANS),
        "average_precision": average_precision_score(Y, SCORE),
    }
    assert {name: values[0] for name, values in measures.items()} == pytest.approx(wanted, rel=1e-12)
    assert all(low <= value <= high for value, low, high in measures.values())


def test_intervals_are_those_of_the_metrics(path):
    numbers = el.report(None, X, Y, path, y_score=SCORE, threshold=THRESHOLD, n_resamples=30, random_state=5)
    with pytest.warns(UserWarning, match="6 events"):
        alone = metrics.bootstrap_interval(average_precision_score, Y, SCORE, n_resamples=30, random_state=5)
    assert numbers["measures"]["average_precision"] == pytest.approx(list(alone))
    found, n_events = numbers["n_found"], len(numbers["events"])
    assert numbers["measures"]["event_recall"] == list(metrics.binomial_interval(found, n_events))
    (_, random, *_) = numbers["models"]
    assert random["ahead"][0] == pytest.approx(alone.estimate - random["average_precision"][0])
    assert 0 < random["ahead"][1] <= random["ahead"][0] <= random["ahead"][2]


def test_the_curve_is_that_of_the_metrics_and_gives_what_is_found_at_a_budget(path):
    numbers = el.report(None, X, Y, path, y_score=SCORE, threshold=THRESHOLD, budget=0.2, **RULES, **QUICK)
    curve = read_page(path.read_text())[0]["curve"]
    known = metrics.alarm_curve(Y, SCORE, thresholds=curve["threshold"], policy=AlarmPolicy())
    for name in ("false_alarm_rate", "event_recall", "alarm_duty", "median_delay"):
        np.testing.assert_allclose(np.array(curve[name], dtype=float), known[name], rtol=1e-12, err_msg=name)
    within = (known["false_alarm_rate"] <= 0.2).cumprod() == 1
    assert numbers["models"][0]["found_at_budget"][0] == known.loc[within, "event_recall"].max()


def test_the_page_flags_the_rows_that_the_scores_do_at_every_stop_of_the_slider(path):
    el.report(None, X, Y, path, y_score=SCORE, threshold=THRESHOLD, **QUICK)
    told, arrays = read_page(path.read_text())
    thresholds = arrays["cuts"][told["positions"]]
    assert thresholds[told["position"]] == THRESHOLD and (np.diff(thresholds) > 0).all()
    above = arrays["levels"][:, None] > np.array(told["positions"])
    np.testing.assert_array_equal(above, SCORE[:, None] > thresholds)
    np.testing.assert_array_equal(told["rows"]["flagged"], above.sum(axis=0))
    np.testing.assert_array_equal(told["rows"]["hits"], above[Y == 1].sum(axis=0))


def test_the_page_holds_times_and_events_of_the_log(path):
    el.report(None, X, Y, path, y_score=SCORE, threshold=THRESHOLD, **QUICK)
    told, arrays = read_page(path.read_text())
    log = told["log"]
    moments = log["origin"] + np.cumsum(arrays["times"]) * log["step"]
    np.testing.assert_array_equal(pd.to_datetime(moments, unit="ms"), X.index.get_level_values("time"))
    events = el.to_events(Y, SCORE)
    assert [event["peak_score"] for event in told["events"]] == events["peak_score"].tolist()
    assert [event["run"] for event in told["events"]] == events["run"].tolist()
    assert [run["label"] for run in log["runs"]] == ["pump-01", "pump-02", "pump-03"]


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"merge_gap": 0},
        {"merge_gap": "1h", "max_gap": "30min"},
        {"off": 1.5, "merge_gap": 2},
        {"k": 2, "n": 3},
        {"smoothing": 5},
    ],
)
def test_flags_at_once_are_those_of_the_policy(rules):
    log = ScoredLog.of(X, Y, SCORE, AlarmPolicy(**rules))
    for threshold in np.quantile(SCORE, [0.5, 0.9, 0.99]):
        own = dict(rules)
        if "off" in own:
            own["off"] = min(own["off"], threshold)
        np.testing.assert_array_equal(log.at(threshold).flags, flags_at(threshold, **own) == 1)


@pytest.mark.parametrize(("off", "n_points"), [(None, 100), (1e9, 100), (0.1, 12)])
def test_a_curve_has_no_more_points_than_there_is_time_for(off, n_points, monkeypatch):
    monkeypatch.setattr("eventlstm.evaluation.scored_log.MOST_SLOW_ROWS", 0)
    log = ScoredLog.of(X, Y, SCORE, AlarmPolicy(off=off))
    assert len(log.curve_thresholds(np.linspace(0.0, 9.0, 100))) == n_points


def test_decimal_times_are_merged_as_the_policy_merges_them():
    rng = np.random.default_rng(0)
    index = pd.Index(np.cumsum(rng.choice([0.1, 0.2, 0.3], size=500)))
    y, score = pd.Series(0, index=index), rng.normal(size=500)
    policy = AlarmPolicy(merge_gap=0.3)
    log = ScoredLog.of(pd.DataFrame(index=index), y, score, policy)
    for threshold in (0.0, 1.0, 2.0):
        wanted = policy.set_params(threshold=threshold).flag(pd.Series(score, index=index))
        np.testing.assert_array_equal(log.at(threshold).flags, wanted == 1)


def test_alarms_at_a_threshold_are_found_once():
    log = ScoredLog.of(X, Y, SCORE, AlarmPolicy())
    assert log.at(THRESHOLD) is log.at(np.float64(THRESHOLD))
    other = log.with_scores(-SCORE)
    assert (other.at(THRESHOLD).flags != log.at(THRESHOLD).flags).any() and list(log.found) == [THRESHOLD]


def test_a_threshold_beyond_all_scores_is_a_stop_too():
    cuts = Cuts.of(SCORE, 1e6, None)
    assert cuts.thresholds[-1] == 1e6 and cuts.levels.max() < len(cuts.values)


def test_a_page_asks_no_host_and_is_not_broken_by_what_is_written_in_it(path):
    named = X.rename(columns={"pressure_bar": "</script><b>@@DATA@@"})
    el.report(None, named, Y, path, y_score=SCORE, threshold=THRESHOLD, title="<i>Pumps & co</i>", **QUICK)
    page = path.read_text()
    without_code = re.sub(r'<script type="text/plain" id="plotly">[^<]*', "", page)
    assert not re.search(r"https?://|src=|<link|@import", without_code)
    assert "default-src 'none'" in page and "&lt;i&gt;Pumps &amp; co&lt;/i&gt;" in page and "<b>" not in page
    assert "</script><b>@@DATA@@" in [sensor["name"] for sensor in read_page(page)[0]["card"]["sensors"]]


def test_undefined_numbers_are_null_in_a_page():
    assert to_json({"a": [np.nan, np.inf, np.float64(0.5)], "b": "<&>"}) == (
        '{"a":[null,null,0.5],"b":"\\u003c\\u0026\\u003e"}'
    )


def test_same_seed_same_page(path, tmp_path):
    other = tmp_path / "again.html"
    for to in (path, other):
        el.report(None, X, Y, to, y_score=SCORE, threshold=THRESHOLD, n_resamples=10)
    assert path.read_bytes() == other.read_bytes()


def test_classifiers_are_compared_with_baselines_fitted_on_the_training_rows(path):
    train = X.index.get_level_values("machine") != "pump-03"
    classifier = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[train], Y[train])
    model = FixedThresholdClassifier(FrozenEstimator(classifier), threshold=0.3, pos_label=1).fit(X[train], Y[train])
    numbers = el.report(model, X[~train], Y[~train], path, train=(X[train], Y[train]), n_resamples=10)
    assert numbers["threshold"] == np.nextafter(0.3, 0)
    names = {row["name"] for row in numbers["models"]}
    assert names == {
        "the model",
        "random scores",
        "every row flagged",
        "isolation forest",
        "logistic regression",
        "gradient boosting",
    }
    wanted = average_precision_score(Y[~train], classifier.predict_proba(X[~train])[:, 1])
    assert numbers["measures"]["average_precision"][0] == pytest.approx(wanted)
    (everything,) = [row for row in numbers["models"] if row["name"] == "every row flagged"]
    assert everything["average_precision"][0] == pytest.approx(Y[~train].mean())
    assert not any("trained on" in warning for warning in numbers["warnings"])


def test_a_detector_brings_its_threshold_its_gap_and_the_sensors_behind_its_scores(path, one_torch_thread):
    small = el.LSTMForecaster(hidden_size=4, max_epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few rows are held out for the threshold
        detector = el.AnomalyDetector(small, n_estimators=1, random_state=0).fit(X[Y == 0])
    numbers = el.report(detector, X, Y, path, **QUICK)
    assert numbers["threshold"] == detector.threshold_
    assert numbers["sensors_from"] == "Sensors the score is due to"
    shares = detector.attribution(X, el.to_events(Y))
    assert [event["sensors"][0] for event in numbers["events"]] == shares.idxmax(axis=1).tolist()
    flags = AlarmPolicy(detector.threshold_, max_gap=pd.Timedelta(int(detector.max_gap_), "ns")).flag(
        pd.Series(detector.anomaly_score(X), index=X.index)
    )
    assert numbers["measures"]["alarm_duty"][0] == pytest.approx(metrics.alarm_duty(Y, flags))


def test_outlier_detectors_are_turned_the_right_way_also_in_a_pipeline(path):
    forest = IsolationForest(random_state=0, contamination=0.05).fit(X)
    alone = el.report(forest, X, Y, path, **QUICK)
    assert alone["threshold"] == -forest.offset_
    assert alone["measures"]["average_precision"][0] == pytest.approx(
        average_precision_score(Y, -forest.score_samples(X))
    )
    piped = make_pipeline(StandardScaler(), IsolationForest(random_state=0, contamination=0.05)).fit(X)
    assert el.report(piped, X, Y, path, **QUICK)["threshold"] == -piped[-1].offset_


def test_the_page_warns_of_what_flatters(path):
    classifier = LogisticRegression(max_iter=2000).fit(X, Y)
    with_training = el.report(classifier, X, Y, path, train=(X, Y), **QUICK)["warnings"]
    assert any("100%) are also among those trained on" in warning for warning in with_training)
    assert any("says no threshold" in warning for warning in with_training)
    assert any("Only 6 events" in warning for warning in with_training)
    half = X.index.get_level_values("time") < "2024-01-03"
    follows = el.report(classifier, X[~half], Y[~half], path, train=(X[half], Y[half]), **QUICK)["warnings"]
    assert any("windows overlap" in warning for warning in follows)


def test_what_a_model_warns_of_while_it_scores_stands_on_the_page(path):
    class Warner(LogisticRegression):
        def predict_proba(self, X):
            warnings.warn("most rows are torn", stacklevel=2)
            return super().predict_proba(X)

    model = Warner(max_iter=2000).fit(X, Y)
    assert "While scoring: most rows are torn" in el.report(model, X, Y, path, **QUICK)["warnings"]


def test_rows_without_a_score_are_left_out(path):
    score = SCORE.copy()
    first = X.index.get_loc("pump-01")
    score[first] = np.nan
    numbers = el.report(None, X, Y, path, y_score=score, threshold=THRESHOLD, baselines={"other": score}, n_resamples=5)
    rest = ~np.isnan(score)
    assert numbers["card"]["n_rows"] == rest.sum() and numbers["card"]["n_runs"] == 2
    assert any("have no score" in warning for warning in numbers["warnings"])
    assert numbers["models"][-1]["average_precision"][0] == numbers["measures"]["average_precision"][0]


def test_a_log_without_labels_or_events_has_no_recall(path):
    numbers = el.report(None, X, None, path, y_score=SCORE, threshold=THRESHOLD, **QUICK)
    assert np.isnan(numbers["measures"]["event_recall"]).all() and not numbers["events"]
    assert "marks no event" in numbers["verdict"] and "without labels" in numbers["warnings"][0]
    quiet = el.report(None, X, Y * 0, path, y_score=SCORE, threshold=THRESHOLD, **QUICK)
    assert "mark no event" in quiet["warnings"][0]


def test_an_array_is_one_run_and_false_alarms_are_told_by_the_row(path):
    y = np.zeros(400, dtype=int)
    y[100:120] = y[300:320] = 1
    score = np.random.default_rng(0).normal(size=400) + 3 * y
    numbers = el.report(None, np.c_[score, score], y, path, y_score=score, threshold=2.5, **QUICK)
    flags = AlarmPolicy(2.5).flag(score)
    assert numbers["per"] == "1,000 rows"
    assert numbers["measures"]["false_alarm_rate"][0] == metrics.false_alarm_rate(y, flags)
    assert "false alarms per 1,000 rows" in path.read_text()


@pytest.mark.parametrize(
    ("step", "per"), [("s", "hour"), ("10s", "hour"), ("3min", "hour"), ("4min", "day"), ("1D", "day")]
)
def test_rates_are_told_in_one_unit_that_fits_the_length_of_the_log(path, step, per):
    index = pd.date_range("2024-01-01", periods=400, freq=step)
    y = pd.Series(0, index=index)
    y.iloc[100:120] = y.iloc[300:320] = 1
    score = np.random.default_rng(0).normal(size=400) + 3 * y
    numbers = el.report(
        None, score.to_frame("a"), y, path, y_score=score, policy=AlarmPolicy(2.0), threshold=2.0, **QUICK
    )
    rate = metrics.false_alarm_rate(y, AlarmPolicy(2.0).flag(score), per=per)
    assert numbers["measures"]["false_alarm_rate"][0] * numbers["rated"] == pytest.approx(rate)
    said = re.search(
        r"at ([\d,.]+) false alarms per (\w+) .*, under alarm ([\d.]+) % of the quiet time", numbers["verdict"]
    )
    assert float(said.group(1).replace(",", "")) == pytest.approx(rate, rel=0.05) and said.group(2) == per
    assert float(said.group(3)) == pytest.approx(100 * numbers["measures"]["alarm_duty"][0], rel=0.05)
    others = {"hour", "day"} - {per}
    assert not any(f"alarms per {other}" in path.read_text() for other in others)
    assert read_page(path.read_text())[0]["rated"] == numbers["rated"]


def test_an_alarm_that_does_not_end_stands_on_the_page(path):
    stuck = pd.Series(np.where(X.groupby(level=0).cumcount() >= 30, 9.0, 0.0), index=X.index)
    told = el.report(None, X, Y, path, y_score=stuck, threshold=THRESHOLD, **QUICK)
    assert any(warning.startswith("The alarm does not end on 3 of 3 runs") for warning in told["warnings"])
    assert any("of the quiet time is under alarm" in warning for warning in told["warnings"])
    assert "The alarm does not end on 3 of 3 runs" in path.read_text()


def test_the_card_counts_what_is_missing_and_what_stands_still(path):
    broken = X.copy()
    broken.iloc[10:30, 0] = np.nan
    broken.loc["pump-02", "flow_m3_h"] = 3.0
    numbers = el.report(None, broken, Y, path, y_score=SCORE, threshold=THRESHOLD, **QUICK)
    card = {sensor["name"]: sensor for sensor in numbers["card"]["sensors"]}
    assert card["vibration_mm_s"]["n_missing"] == 20 == numbers["card"]["missing_values"]
    assert card["flow_m3_h"]["n_stuck_runs"] == 1
    assert card["flow_m3_h"]["longest_unchanged"] == (X.index.get_level_values("machine") == "pump-02").sum()
    assert any("stuck or switched off: flow_m3_h" in warning for warning in numbers["warnings"])
    assert numbers["card"]["n_gaps"] == len(find_stretches(X)) - 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_score": SCORE[1:]}, "one score per row"),
        ({"y_score": SCORE * np.inf}, "infinite"),
        ({"y_score": SCORE * np.nan}, "No row has a score"),
        ({"match": "touch"}, "match='touch' is unknown"),
        ({"y": Y.iloc[::-1]}, "another index than X"),
        ({"y": Y + 1}, "0 and 1 are wanted"),
    ],
)
def test_wrong_input_is_told(path, changes, message):
    arguments = {"y": Y, "y_score": SCORE, "threshold": THRESHOLD, **QUICK, **changes}
    with pytest.raises(ValueError, match=message):
        el.report(None, X, arguments.pop("y"), path, **arguments)
    assert not path.exists()


def test_a_model_that_cannot_score_and_a_folder_that_is_not_there_are_told_before_any_work(path, tmp_path):
    with pytest.raises(TypeError, match="StandardScaler has neither anomaly_score"):
        el.report(StandardScaler().fit(X), X, Y, path)
    with pytest.raises(ValueError, match="in a folder that exists"):
        el.report(None, X, Y, tmp_path / "nowhere" / "report.html", y_score=SCORE)
    letters = LogisticRegression(max_iter=2000).fit(X, np.where(Y == 1, "bad", "good"))
    with pytest.raises(ValueError, match="0 and 1 are wanted"):
        el.report(letters, X, Y, path)


def test_the_command_writes_the_page_of_a_saved_model(tmp_path, capsys, one_torch_thread):
    small = el.LSTMClassifier(hidden_size=4, max_epochs=1)
    model = el.EventClassifier(small, n_estimators=1, window_size=8, inputs="level", random_state=0).fit(X, Y)
    el.save(model, tmp_path / "model")
    X.assign(failure=Y).reset_index().to_csv(tmp_path / "log.csv", index=False)
    command = [
        "report",
        "model",
        "log.csv",
        "--label",
        "failure",
        "--train",
        "log.csv",
        "-o",
        "page.html",
        "--early",
        "2h",
    ]
    words = [str(tmp_path / word) if (tmp_path / word).exists() or word == "page.html" else word for word in command]
    assert main([*words, "--no-baselines"]) == 0
    printed = capsys.readouterr().out
    event, said, *_ = printed.splitlines()
    assert event == "Event: 1 (144 rows); quiet: 0 (1744 rows)."
    assert said.startswith("100 % of these rows were learnt from: expect worse on new ones. So few events are no")
    assert "open it in a browser" in printed
    told, _ = read_page((tmp_path / "page.html").read_text())
    assert told["verdict"] in printed and "<title>model on log.csv</title>" in (tmp_path / "page.html").read_text()
    assert main(["report", words[1], words[2], "--threshold", "0.5", "-o", words[1]]) == 2
    assert "is also an input" in capsys.readouterr().err


KEPT = AlarmPolicy(0.3, merge_gap="20min", min_duration=2)


@pytest.mark.parametrize(
    ("kind", "merge_gap"),
    [
        ("no model", 6),
        ("foreign", 6),
        ("classifier", 2),
        ("behind a threshold", 2),
        ("detector", 15),
        ("kept", "20min"),
    ],
)
def test_the_rules_of_alarms_are_those_kept_or_suit_the_events_learnt_or_measured(path, kind, merge_gap):
    learnt = pd.Series((np.arange(len(X)) % 100 < 9).astype(int), X.index)  # shorter events than those of Y
    small = el.EventClassifier(LogisticRegression(), mode="windows", window_size=2, n_estimators=1, inputs="level")
    held = FixedThresholdClassifier(small, threshold=0.3, pos_label=1)
    model = {
        "no model": lambda: None,
        "foreign": lambda: LogisticRegression(max_iter=2000).fit(X, learnt),
        "classifier": lambda: small.fit(X, learnt),
        "behind a threshold": lambda: held.fit(X, learnt),
        "detector": lambda: el.AnomalyDetector(PCA(1), n_estimators=1, threshold=3.0, random_state=0).fit(X),
        "kept": lambda: held.fit(X, learnt),
    }[kind]()
    if kind == "kept":
        model.alarm_policy_ = KEPT
    score = SCORE if kind == "no model" else None
    el.report(model, X, Y, path, y_score=score, **QUICK)
    told = f"for {merge_gap} rows after" if isinstance(merge_gap, int) else f"for {merge_gap} after"
    assert told in path.read_text() and KEPT.threshold == 0.3
    assert ("after at least 2 rows" in path.read_text()) == (kind == "kept")


def test_events_missed_under_an_alarm_that_was_on_are_told(path):
    score = np.where(pd.Series(Y.to_numpy()).rolling(5, min_periods=1).max().shift(-4, fill_value=0) == 1, 9.0, 0.0)
    numbers = el.report(None, X, Y, path, y_score=score, threshold=1.0, **QUICK)
    said = "6 of the events missed began under an alarm that had started before, which counts as false."
    assert any(warning.startswith(said) for warning in numbers["warnings"]) and numbers["n_found"] == 0
    early = el.report(None, X, Y, path, y_score=score, threshold=1.0, early=4, **QUICK)
    assert not any("had started before" in warning for warning in early["warnings"]) and early["n_found"] == 6
