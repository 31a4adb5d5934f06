"""Alarms are counted as the rules that raised them: one that was cut at a gap is two."""

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm.evaluation.scored_log import ScoredLog
from eventlstm.metrics.alarm_summary import report_alarms

MINUTES = np.append(np.arange(30), np.arange(300, 330))
CLOCKS = {
    "dates": (pd.Timestamp("2024-01-01") + pd.to_timedelta(MINUTES, unit="min"), "1h"),
    "elapsed": (pd.to_timedelta(MINUTES, unit="min"), "1h"),
    "whole numbers": (pd.Index(MINUTES), 60),
    "decimals": (pd.Index(MINUTES / 10), 6.0),
    "learnt": (pd.Index(MINUTES), "auto"),
}


def log_of(times):
    flags = pd.Series(0, index=times)
    flags.iloc[25:35] = 1
    labels = pd.Series(0, index=times)
    labels.iloc[50:55] = 1
    return labels, flags


@pytest.mark.parametrize("name", CLOCKS)
def test_an_alarm_that_was_cut_at_a_gap_counts_as_two(name):
    times, max_gap = CLOCKS[name]
    labels, flags = log_of(times)
    assert report_alarms(labels, flags).n_alarms == 1
    assert report_alarms(labels, flags, max_gap=max_gap).n_alarms == 2


@pytest.mark.parametrize("name", CLOCKS)
def test_an_event_found_by_an_alarm_that_begins_anew_after_a_gap_has_a_delay(name):
    times, max_gap = CLOCKS[name]
    labels, flags = log_of(times)
    labels.iloc[:] = 0
    labels.iloc[28:40] = 1  # rows 25 to 35 are under alarm, and the gap is before row 30
    assert report_alarms(labels, flags).n_found == 0
    report = report_alarms(labels, flags, max_gap=max_gap)
    assert report.n_found == report.delays.notna().sum() == 1


def test_a_report_counts_the_alarms_that_its_policy_raised():
    labels, flags = log_of(CLOCKS["dates"][0])
    policy = el.AlarmPolicy(threshold=0.5, merge_gap=0, max_gap="1h")
    log = ScoredLog.of(flags.to_frame("score"), labels, flags.to_numpy(float), policy)
    assert len(log.at(0.5).onsets) == len(policy.to_events(flags.astype(float))) == 2
    assert len(log.events.first) == 1
