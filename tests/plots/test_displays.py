"""Displays hold the numbers that the measures return, draw them where they are told, and refuse what makes no sense."""

from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eventlstm import AlarmPolicy, AnomalyDetector, LSTMClassifier, LSTMForecaster, to_events
from eventlstm.metrics import (
    Interval,
    binomial_interval,
    bootstrap_interval,
    calibration_error,
    event_recall_at_budget,
    event_recall_score,
    false_alarm_rate,
)
from eventlstm.plots import (
    AlarmCurveDisplay,
    AttributionDisplay,
    CalibrationDisplay,
    EventTimelineDisplay,
    PrecisionRecallDisplay,
    TrainingHistoryDisplay,
)

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RUNS, N_ROWS, EVENT_ROWS = ("m1", "m2", "m3"), 400, 12
EARLY = 3


def make_log():
    """Labels and probabilities of three machines with four events each, a gap in the second one's time."""
    rng = np.random.default_rng(0)
    times = [pd.date_range("2024-01-01", periods=N_ROWS, freq="10min") for _ in RUNS]
    times[1] = times[1] + pd.to_timedelta(12 * (np.arange(N_ROWS) >= 150), unit="h")
    index = pd.MultiIndex.from_tuples(
        [(run, time) for run, own in zip(RUNS, times, strict=True) for time in own], names=["machine", "time"]
    )
    y = np.zeros((len(RUNS), N_ROWS), dtype=int)
    for run in range(len(RUNS)):
        for begin in (50, 140, 230, 330):
            y[run, begin : begin + EVENT_ROWS] = 1
    logit = rng.normal(-4, 1, size=y.size) + 4 * y.ravel() * rng.uniform(0.2, 1.5, size=y.size)
    return pd.Series(y.ravel(), index=index), pd.Series(1 / (1 + np.exp(-logit)), index=index)


Y, SCORE = make_log()
THRESHOLD = 0.25


@pytest.fixture(scope="module")
def detector():
    rng = np.random.default_rng(1)
    X = pd.DataFrame(rng.normal(size=(300, 3)), columns=["flow", "heat", "noise"])
    X.iloc[200:210, 1] += 20.0
    network = LSTMForecaster(hidden_size=3, max_epochs=2, early_stopping=True)
    return AnomalyDetector(network, window_size=8, threshold=5.0, random_state=0).fit(X[:180]), X


@pytest.fixture(scope="module")
def network():
    X = np.random.default_rng(2).normal(size=(60, 5, 1))
    settings = {"hidden_size": 2, "max_epochs": 3, "early_stopping": True, "random_state": 0}
    return LSTMClassifier(scoring="average_precision", **settings).fit(X, (X[:, -1, 0] > 0).astype(int))


def test_the_precision_recall_curve_tells_the_area_and_the_interval_of_the_measures():
    display = PrecisionRecallDisplay.from_predictions(Y, SCORE, n_resamples=30, random_state=0)
    wanted = bootstrap_interval(average_precision_score, Y, SCORE, n_resamples=30, random_state=0)
    assert display.average_precision == pytest.approx(wanted)
    area = -np.sum(np.diff(display.recall) * display.precision[:-1])
    assert area == pytest.approx(average_precision_score(Y, SCORE))
    assert display.prevalence == Y.mean()


def test_the_band_holds_the_precision_that_is_reached_at_each_recall():
    display = PrecisionRecallDisplay.from_predictions(Y, SCORE, n_resamples=50, random_state=0)
    recalls, low, high = display.band
    at = np.searchsorted(display.recall[::-1], recalls - 1e-9)
    precision = display.precision[::-1][at]
    assert (low <= precision + 1e-9).all() and (precision <= high + 1e-9).all()
    assert (high - low).max() > 0.05


def test_few_events_are_told_of_and_none_are_refused():
    few = Y.where(Y.index.get_level_values(0) == "m1", 0)
    with pytest.warns(UserWarning, match="4 events"):
        PrecisionRecallDisplay.from_predictions(few, SCORE, n_resamples=5, random_state=0)
    without = PrecisionRecallDisplay.from_predictions(few, SCORE, n_resamples=0)
    assert without.band is None and isinstance(without.average_precision, float)
    with pytest.raises(ValueError, match="y_true holds no event"):
        PrecisionRecallDisplay.from_predictions(0 * Y, SCORE)


def test_the_alarm_curve_is_the_recall_at_every_budget():
    display = AlarmCurveDisplay.from_predictions(Y, SCORE, early=EARLY)
    assert (np.diff(display.budgets_) >= 0).all() and (np.diff(display.recalls_) >= 0).all()
    for budget in (0.0, 0.5, 2.0, 10.0):
        within = display.budgets_ <= budget
        assert display.recalls_[within].max() == event_recall_at_budget(Y, SCORE, budget=budget, early=EARLY)


@pytest.mark.parametrize("policy", [None, AlarmPolicy(smoothing=3, merge_gap=2)])
def test_the_operating_point_is_what_the_measures_say_of_its_alarms(policy):
    display = AlarmCurveDisplay.from_predictions(Y, SCORE, threshold=THRESHOLD, policy=policy, early=EARLY)
    rule = policy.set_params(threshold=THRESHOLD) if policy else AlarmPolicy(THRESHOLD, merge_gap=0)
    alarms = rule.flag(SCORE)
    rate, recall = display.operating_point
    assert rate.estimate == pytest.approx(false_alarm_rate(Y, alarms, early=EARLY))
    assert recall.estimate == event_recall_score(Y, alarms, early=EARLY)
    assert recall == binomial_interval(round(12 * recall.estimate), 12)
    assert rate.low <= rate.estimate < rate.high


def test_a_threshold_of_its_own_for_every_row_marks_the_same_point():
    one = AlarmCurveDisplay.from_predictions(Y, SCORE, threshold=THRESHOLD)
    many = AlarmCurveDisplay.from_predictions(Y, SCORE, threshold=np.full(len(Y), THRESHOLD))
    assert one.operating_point == many.operating_point
    with pytest.raises(ValueError, match="A policy takes one threshold"):
        AlarmCurveDisplay.from_predictions(Y, SCORE, threshold=[THRESHOLD] * len(Y), policy=AlarmPolicy())


def test_the_timeline_lists_events_and_alarms_and_which_of_them_are_of_each_other():
    display = EventTimelineDisplay.from_predictions(Y, SCORE, threshold=THRESHOLD)
    alarms = (SCORE > THRESHOLD).astype(int)
    pd.testing.assert_frame_equal(display.events[["run", "start", "end"]], to_events(Y))
    pd.testing.assert_frame_equal(display.alarms[["run", "start", "end"]], to_events(alarms))
    assert display.events["found"].mean() == event_recall_score(Y, alarms)
    days = (Y == 0).sum() / 144
    assert display.alarms["false"].sum() == pytest.approx(days * false_alarm_rate(Y, alarms), rel=0.01)


def test_the_timeline_breaks_the_line_at_runs_and_gaps():
    display = EventTimelineDisplay.from_predictions(Y, SCORE)
    lengths = [len(line.get_xdata()) for line in display.ax_.get_lines()]
    assert lengths == [N_ROWS, 150, N_ROWS - 150, N_ROWS]
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(RUNS)


@pytest.mark.parametrize(("scale", "threshold"), [("linear", -1.0), ("log", 0.0)])
def test_lanes_of_several_runs_do_not_cross_whatever_the_threshold(scale, threshold):
    display = EventTimelineDisplay(SCORE, scale=scale, threshold=threshold).plot()
    heights = [line.get_ydata() for line in display.ax_.get_lines()]
    assert [heights.pop()[0] for _ in RUNS] == [0, 1, 2]  # the threshold, at the foot of each lane
    for lane, drawn in zip((2, 1, 1, 0), heights, strict=True):
        assert lane <= drawn.min() and drawn.max() < lane + 0.9


def test_one_run_is_drawn_with_its_scores_as_they_are():
    one = SCORE.loc["m1"]
    display = EventTimelineDisplay.from_predictions(None, one, threshold=THRESHOLD, scale="log")
    np.testing.assert_array_equal(display.ax_.get_lines()[0].get_ydata(), one)
    assert display.ax_.get_yscale() == "log"
    assert display.events is None and len(display.alarms) > 0


def test_runs_laid_side_by_side_begin_at_zero():
    display = EventTimelineDisplay.from_predictions(Y, SCORE, align=True)
    first = [line.get_xdata()[0] for line in display.ax_.get_lines()]
    assert first[0] == first[1] == first[3] == 0
    assert display.ax_.get_lines()[0].get_xdata()[-1] == pytest.approx((N_ROWS - 1) / 144)


def test_the_bins_of_the_calibration_are_those_of_its_error():
    display = CalibrationDisplay.from_predictions(Y, SCORE, n_resamples=0)
    error = np.average(np.abs(display.share - display.proba), weights=display.n_rows)
    # the measure adds up within bins before it takes the absolute value, as the bins here do
    assert error == pytest.approx(calibration_error(Y, SCORE))
    assert (display.n_rows == len(Y) // 10).all()


def test_bins_of_as_much_probability_look_closer_at_the_rows_that_matter():
    display = CalibrationDisplay.from_predictions(Y, SCORE, n_bins=5, mass="probability", n_resamples=0)
    mass = display.n_rows * display.proba
    assert mass.sum() == pytest.approx(SCORE.sum())
    assert mass.max() < 1.2 * mass.min()
    assert display.n_rows[-1] < display.n_rows[0] / 20


def test_the_bars_of_the_calibration_hold_its_points():
    display = CalibrationDisplay.from_predictions(Y, SCORE, n_bins=4, n_resamples=50, random_state=0)
    low, high = display.band
    assert (low <= display.share).all() and (display.share <= high).all()
    assert high[-1] > low[-1]


def test_a_bin_without_an_event_is_drawn_below_the_axis_of_the_others():
    display = CalibrationDisplay([0.001, 0.1], [0.0, 0.2], [500, 500]).plot()
    (cross,) = [points for points in display.ax_.collections if len(points.get_offsets())][-1:]
    assert cross.get_offsets()[0][0] == pytest.approx(0.001)


@pytest.mark.parametrize("display", [PrecisionRecallDisplay, AlarmCurveDisplay, CalibrationDisplay])
def test_an_estimator_is_drawn_as_its_scores_are(display):
    X = pd.DataFrame({"a": SCORE.to_numpy(), "b": np.random.default_rng(0).normal(size=len(SCORE))}, index=Y.index)
    model = LogisticRegression().fit(X, Y)
    score = pd.Series(model.predict_proba(X)[:, 1], index=Y.index)
    options = {} if display is AlarmCurveDisplay else {"n_resamples": 5, "random_state": 0}
    of_model = display.from_estimator(model, X, Y.to_numpy(), **options)
    of_scores = display.from_predictions(Y, score, **options)
    assert of_model.name == "LogisticRegression"
    for name, value in vars(of_scores).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(of_model, name), value)


def test_a_detector_brings_its_threshold_along(detector):
    model, X = detector
    y = np.zeros(len(X), dtype=int)
    y[200:210] = 1
    display = EventTimelineDisplay.from_estimator(model, X, y, scale="log")
    np.testing.assert_array_equal(display.score, model.anomaly_score(X))
    assert display.threshold == 5.0
    assert display.events["found"].all()
    alone = EventTimelineDisplay.from_estimator(model, X, policy=AlarmPolicy(7.0))
    assert alone.threshold == 7.0
    assert model.anomaly_score(X)[200:210].max() > 7.0


def test_histories_are_found_wherever_the_networks_are(detector, network):
    model, _ = detector
    members = [member.history_ for member in model.estimators_]
    assert TrainingHistoryDisplay.from_estimator(model).histories == members
    assert TrainingHistoryDisplay.from_estimator(make_pipeline(StandardScaler(), network)).histories == [
        network.history_
    ]
    with pytest.raises(ValueError, match="LogisticRegression holds no fitted network"):
        TrainingHistoryDisplay.from_estimator(LogisticRegression())


def test_losses_and_scores_are_drawn_by_epoch(network):
    display = TrainingHistoryDisplay.from_estimator(network)
    drawn = {line.get_label(): list(line.get_ydata()) for line in display.lines_}
    for key, label in (("train_loss", "training"), ("valid_loss", "validation"), ("valid_score", "score")):
        assert drawn[label] == [record[key] for record in network.history_]


def test_the_heat_map_shows_the_shares_of_the_detector(detector):
    model, X = detector
    display = AttributionDisplay.from_estimator(model, X)
    (mesh,) = display.ax_.collections[:1]
    np.testing.assert_allclose(mesh.get_array(), model.attribution(X).to_numpy().T)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["flow", "heat", "noise"]
    assert display.colorbar_.vmin == 0


def test_the_heat_map_of_events_has_a_column_for_each(detector):
    model, X = detector
    events = pd.DataFrame({"run": 0, "start": [20, 200], "end": [25, 209]})
    display = AttributionDisplay.from_estimator(model, X, events=events)
    (mesh,) = display.ax_.collections[:1]
    assert mesh.get_array().shape == (3, 2)
    assert mesh.get_array()[:, 1].argmax() == 1
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == ["20", "200"]


def test_a_long_log_is_drawn_by_the_means_of_its_rows():
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], size=2500)
    (mesh,) = AttributionDisplay(shares).plot().ax_.collections[:1]
    drawn = mesh.get_array().T
    assert len(drawn) == 834
    np.testing.assert_allclose(drawn[10], shares[30:33].mean(axis=0))
    np.testing.assert_allclose(drawn[-1], shares[2499:].mean(axis=0))


def test_the_heat_map_of_several_runs_names_them():
    shares = pd.DataFrame(np.full((len(Y), 2), 0.5), index=Y.index, columns=["a", "b"])
    display = AttributionDisplay(shares).plot()
    assert [label.get_text() for label in display.ax_.get_xticklabels()] == list(RUNS)
    one = AttributionDisplay(shares.loc["m2"]).plot()
    assert len([mesh for mesh in one.ax_.collections if mesh.get_array() is not None]) == 2  # the gap stays open


DISPLAYS = {
    "precision-recall": lambda: PrecisionRecallDisplay([0.1, 0.5, 1.0], [1.0, 0.5, 0.0], 0.3),
    "alarm curve": lambda: AlarmCurveDisplay([0, 1, 3], [0.1, 0.2, 0.1], operating_point=(POINT, POINT)),
    "alarm curve without false alarms": lambda: AlarmCurveDisplay([0, 0], [0.1, 0.2]),
    "timeline": lambda: EventTimelineDisplay([0.1, 0.2], events=pd.DataFrame({"run": [0], "start": [1], "end": [1]})),
    "timeline of a row": lambda: EventTimelineDisplay([0.1], threshold=1.0, scale="log"),
    "calibration": lambda: CalibrationDisplay([0.0, 0.2], [0.0, 0.1], [3, 3], band=([0.0, 0.0], [0.0, 0.3])),
    "history": lambda: TrainingHistoryDisplay([[{"epoch": 1.0, "train_loss": 0.5}]]),
    "attribution": lambda: AttributionDisplay([[0.5, 0.5]]),
}
POINT = Interval(0.5, 0.0, 0.7)


@pytest.mark.parametrize("what", DISPLAYS)
def test_a_plot_returns_its_display_goes_where_it_is_told_and_can_be_saved(what):
    display = DISPLAYS[what]()
    assert display.plot() is display
    own = display.figure_
    own.savefig(BytesIO())
    _, ax = plt.subplots()
    assert display.plot(ax).ax_ is ax
    assert display.figure_ is ax.figure is not own


NONSENSE = {
    "recall of other points": (lambda: PrecisionRecallDisplay([1.0], [0.5, 1.0], 0.3), r"recall has the length \(2,\)"),
    "no threshold": (lambda: AlarmCurveDisplay([], []), r"false_alarm_rate is of shape \(0,\)"),
    "no events": (lambda: AlarmCurveDisplay.from_predictions(0 * Y, SCORE), "Pass rows with events and with quiet"),
    "unknown scale": (lambda: EventTimelineDisplay([0.1], scale="cubic"), "scale='cubic' is unknown"),
    "no scores": (lambda: EventTimelineDisplay([]), r"score is of shape \(0,\)"),
    "unknown mass": (lambda: CalibrationDisplay.from_predictions(Y, SCORE, mass="width"), "mass='width' came"),
    "no bins": (lambda: CalibrationDisplay.from_predictions(Y, SCORE, n_bins=0), "n_bins=0"),
    "shares of other bins": (lambda: CalibrationDisplay([0.1], [0.1, 0.2], [1]), r"share has the length \(2,\)"),
    "no epochs": (lambda: TrainingHistoryDisplay([[]]), "histories holds no epoch"),
    "shares of a row": (lambda: AttributionDisplay(np.ones((2, 3)), events=pd.DataFrame({"run": [0]})), "events has"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_not_drawn(what):
    draw, message = NONSENSE[what]
    with pytest.raises(ValueError, match=message):
        draw()


def test_what_has_no_scores_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match="StandardScaler has neither anomaly_score"):
        AlarmCurveDisplay.from_estimator(StandardScaler(), np.ones((3, 1)), [0, 1, 0])
    with pytest.raises(ValueError, match=r"knows the classes \[0, 1, 2\], where 0 and 1"):
        model = LogisticRegression().fit([[0.0], [1.0], [2.0]], [0, 1, 2])
        PrecisionRecallDisplay.from_estimator(model, [[0.0], [1.0], [2.0]], [0, 1, 0])
