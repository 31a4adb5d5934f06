"""Alarms are chosen on all rows held out and measured at thresholds of other folds."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from eventlstm import AlarmPolicy, choose_threshold
from eventlstm.evaluation.alarm_choice import choose_alarms, summarise
from eventlstm.metrics.alarm_summary import report_alarms

INDEX = pd.MultiIndex.from_product([range(4), pd.date_range("2024-01-01", periods=200, freq="h")])
Y = pd.Series(np.tile(np.r_[np.zeros(90), np.ones(10), np.zeros(90), np.ones(10)], 4).astype(int), INDEX)
FOLDS = np.repeat([0, 1, 2, -1], 200)
SCORE = np.where(FOLDS < 0, np.nan, np.random.default_rng(0).normal(size=800) + 3 * Y)
POLICY = AlarmPolicy(merge_gap=2)


def test_each_fold_is_measured_at_the_threshold_of_the_others():
    choose = partial(choose_threshold, objective="f1", policy=POLICY)
    threshold, report = choose_alarms(Y, SCORE, FOLDS, POLICY, choose)
    tested, score = FOLDS >= 0, pd.Series(SCORE, INDEX)
    assert threshold == choose(Y[tested], score[tested])
    flags = pd.Series(0, INDEX)
    for fold in range(3):
        level = choose(Y[tested & (fold != FOLDS)], score[tested & (fold != FOLDS)])
        flags[fold == FOLDS] = AlarmPolicy(level, merge_gap=2).flag(score[fold == FOLDS])
    wanted = report_alarms(Y[tested], flags[tested])
    assert (report.n_found, report.n_alarms) == (wanted.n_found, wanted.n_alarms) and report.n_events == 6
    assert summarise(report) == {
        "n_events": 6,
        "n_found": wanted.n_found,
        "false_alarm_rate": wanted.false_alarm_rate.estimate,
        "per": "day",
    }


def test_a_fold_whose_others_keep_no_limit_gets_no_alarm():
    def choose(y, score, sample_weight):
        if len(y) < 600:
            raise ValueError("No threshold keeps the limits.")
        return choose_threshold(y, score, sample_weight=sample_weight)

    _, report = choose_alarms(Y, SCORE, FOLDS, POLICY, choose)
    assert report.n_alarms == report.n_found == 0


def test_limits_that_cannot_be_kept_at_all_are_an_error():
    choose = partial(choose_threshold, policy=POLICY, min_precision=1.0)
    with pytest.raises(ValueError, match="No threshold keeps min_precision=1"):
        choose_alarms(Y, SCORE - 4 * Y, FOLDS, POLICY, choose)
