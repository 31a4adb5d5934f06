"""Labels are the same labels in every container, and a missing one is never a label."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from eventlstm import (
    AnomalyDetector,
    EventClassifier,
    EventTimeSplit,
    LSTMClassifier,
    RunKFold,
    RunTimeSplit,
    choose_threshold,
    metrics,
    thresholds,
    to_events,
)
from eventlstm.logs.plain_labels import plain_labels

FLAGS = np.array([0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0])
X = np.arange(12.0)[:, None]
SCORE = np.linspace(0.0, 1.0, 12)
READERS = {
    "to_events": to_events,
    "choose_threshold": lambda y: choose_threshold(y, SCORE),
    "detection_report": lambda y: metrics.detection_report(y, SCORE, 0.5),
    "event_recall_score": lambda y: metrics.event_recall_score(y, FLAGS),
    "event_recall_score of predictions": lambda y: metrics.event_recall_score(FLAGS, y),
    "false_alarm_rate": lambda y: metrics.false_alarm_rate(y, FLAGS),
    "vus_pr_score": lambda y: metrics.vus_pr_score(y, SCORE),
    "class_report": lambda y: metrics.class_report(y, FLAGS),
    "QuantileThreshold": lambda y: thresholds.QuantileThreshold(0.5).fit(SCORE, y).threshold_,
    "EventTimeSplit": lambda y: [test.tolist() for _, test in EventTimeSplit(2).split(X, y)],
    "RunTimeSplit": lambda y: [test.tolist() for _, test in RunTimeSplit(1).split(X, y)],
}
each_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)
CONTAINERS = {
    "objects": FLAGS.astype(object),
    "truth as objects": (FLAGS == 1).astype(object),
    "mixed objects": np.array([*FLAGS[:-1].tolist(), False], dtype=object),
    "Int64": pd.array(FLAGS, dtype="Int64"),
    "boolean": pd.array(FLAGS == 1, dtype="boolean"),
    "Arrow's truth": pd.array(FLAGS == 1, dtype="bool[pyarrow]"),
    "a column of Arrow": pa.chunked_array([FLAGS]),
    "polars": pl.Series(FLAGS),
    "truth of polars": pl.Series(FLAGS == 1),
    "a list": FLAGS.tolist(),
    "unmasked": np.ma.masked_array(FLAGS, mask=False),
    "categories": pd.Categorical(FLAGS),
}


@each_reader
@pytest.mark.parametrize("labels", CONTAINERS.values(), ids=CONTAINERS)
def test_the_container_of_labels_changes_nothing(read, labels):
    assert_equal(read(labels), read(FLAGS))


def missing(kind):
    """Labels of which that of row 4 is missing."""
    y = pd.Series(FLAGS)
    if kind == "masked":
        return np.ma.masked_array(FLAGS, mask=np.arange(12) == 4)
    if kind == "polars":
        return pl.Series([None if row == 4 else flag for row, flag in enumerate(FLAGS.tolist())])
    return (y.astype(kind) if "bool" not in kind else (y == 1).astype(kind)).mask(y.index == 4)


@each_reader
@pytest.mark.parametrize("kind", ["float64", "Int64", "boolean", "bool[pyarrow]", "object", "masked", "polars"])
def test_a_missing_label_is_refused_with_its_row(read, kind):
    with pytest.raises(
        ValueError, match=r"contains NaN: 1 rows have no label, the first is row 4, where .* wanted"
    ) as caught:
        read(missing(kind))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("kind", ["float64", "boolean", "object", "masked", "polars"])
@pytest.mark.parametrize(
    "fit",
    [
        lambda y: EventClassifier(LSTMClassifier(hidden_size=2, max_epochs=1, min_steps=1), n_estimators=1).fit(X, y),
        lambda y: AnomalyDetector().fit(X, y),
        lambda y: next(RunKFold(2).split(pd.DataFrame(X, pd.MultiIndex.from_product([[1, 2], range(6)])), y)),
    ],
    ids=["EventClassifier", "AnomalyDetector", "RunKFold"],
)
def test_a_missing_label_is_neither_of_an_event_nor_quiet(fit, kind):
    with pytest.raises(ValueError, match="y contains NaN: 1 rows have no label, the first is row 4"):
        fit(missing(kind))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (FLAGS.astype(object), [0, 1]),
        (pl.Series(np.where(FLAGS == 1, "bad", "ok")), ["bad", "ok"]),
        (pd.Series(np.where(FLAGS == 1, "bad", "ok"), dtype=object), ["bad", "ok"]),
        (pd.array(FLAGS == 1, dtype="bool[pyarrow]"), [False, True]),
        (pd.Categorical(np.where(FLAGS == 1, "bad", "ok")), ["bad", "ok"]),
        (FLAGS.astype(float), [0.0, 1.0]),
    ],
)
def test_an_estimator_keeps_the_classes_of_any_container(labels, classes):
    model = EventClassifier(LSTMClassifier(hidden_size=2, max_epochs=1, min_steps=1), n_estimators=1, window_size=2)
    assert model.fit(X, labels).classes_.tolist() == classes


@pytest.mark.parametrize("labels", [["a", 1], [[1, 2]], [1.5, 2], [b"x"], []])
def test_other_labels_come_as_they_are(labels):
    assert plain_labels(labels, "y").tolist() == np.asarray(labels).tolist()


def assert_equal(one, other):
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_index_type=False)
    else:
        assert one == other
