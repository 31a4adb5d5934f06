"""Lines of alarms, folded by their ids, are the events of the policy."""

import json

import numpy as np
import pandas as pd

import eventlstm as el
from eventlstm.serving.streaming_detector import Update
from eventlstm.watching.alarm_book import AlarmBook

NAN = float("nan")


def row(time, score, alarm, alarm_id=None, run=None, status=()):
    return Update(run, time, score, 0.5, alarm, alarm_id, None, status, {})


def scored(score, policy):
    """Rows as a detector tells them, by the policy alone."""
    on, state, number, rows = False, policy.start_stream(), 0, []
    for time, value in score.items():
        before = on
        on, state = policy.step(time, value, state)
        number += on and not before
        said = {(False, False): "off", (False, True): "opened", (True, True): "on", (True, False): "closed"}
        rows.append(Update("p", time, value, policy.threshold, said[before, on], str(number), None, (), {}))
    return rows


def fold(lines):
    """The last line of each id."""
    return list({line["id"]: line for line in lines}.values())


def test_the_last_line_of_each_alarm_tells_what_to_events_does():
    times = pd.date_range("2024-01-01", periods=400, freq="min")
    score = pd.Series(np.random.default_rng(0).random(400), index=times)
    score.iloc[[7, 50, 399]] = NAN, NAN, 0.99
    policy = el.AlarmPolicy(threshold=0.9, merge_gap=3)
    book = AlarmBook(lambda *_: {}, told_every=0)
    lines = [line for row in scored(score, policy) for line in book.follow(row)] + book.tell_all()
    events = policy.to_events(score)
    assert len(events) > 10 and {line["kind"] for line in lines} == {"opened", "updated", "closed"}
    found = pd.DataFrame(fold(lines))
    for told, column in (("since", "start"), ("until", "end"), ("peak", "peak")):
        assert list(pd.to_datetime(found[told])) == list(events[column])
    assert list(found["peak_score"]) == list(events["peak_score"])


def test_updates_tell_a_higher_peak_and_nothing_else_and_not_too_often():
    for told_every, n_updates in ((0, 2), (3600, 0)):
        book = AlarmBook(lambda *_: {}, told_every)
        scores = [0.6, 0.7, 0.65, 0.8, NAN, 0.75]
        kinds = [row(k, score, "on" if k else "opened", "p-1") for k, score in enumerate(scores)]
        lines = [line for each in kinds for line in book.follow(each)]
        assert [line["kind"] for line in lines] == ["opened"] + ["updated"] * n_updates
        (closed,) = book.follow(row(6, 0.1, "closed", "p-1"))
        assert (closed["since"], closed["until"], closed["peak"], closed["peak_score"]) == (0, 5, 3, 0.8)


def test_an_alarm_that_a_gap_ends_is_closed_before_the_next_opens_on_the_same_row():
    book = AlarmBook(lambda *_: {})
    book.follow(row(0, 0.9, "opened", "p-1"))
    lines = book.follow(row(99, 0.9, "opened", "p-2", status=("gap",)))
    assert [(line["kind"], line["id"], line["until"]) for line in lines] == [
        ("closed", "p-1", 0),
        ("opened", "p-2", 99),
    ]
    assert lines[1]["status"] == ["gap"]


def test_machines_have_alarms_of_their_own_and_a_state_goes_on_with_them():
    asked = []
    book = AlarmBook(lambda *alarm: asked.append(alarm) or {"sensors": ["a"]} if len(asked) < 2 else {})
    first = pd.Timestamp("2024-01-01T00:00Z")
    book.follow(row(first, 0.9, "opened", "x-1", ("site", "x")))
    book.follow(row(5, 0.9, "opened", "y-1", ("site", "y")))
    again = AlarmBook(lambda *_: {})
    again.resume(json.loads(json.dumps(book.state())))
    assert again.n_on == 2 and asked[0] == (("site", "x"), first, first)
    (line,) = again.follow(row(first + pd.Timedelta(1, "h"), 0.1, "closed", "x-1", ("site", "x")))
    assert line["machine"] == "site / x" and line["since"] == str(first) and line["sensors"] == ["a"]
    assert json.loads(json.dumps(line)) == line and again.n_on == 1
