"""Blocks drawn for the intervals of a report, measured without going through their rows."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from eventlstm.alarms.alarm_policy import AlarmPolicy
from eventlstm.evaluation.drawn_blocks import Ranking, Segments
from eventlstm.evaluation.measures import average_precision_of
from eventlstm.evaluation.scored_log import ScoredLog
from eventlstm.metrics.intervals import cut_blocks, draw_blocks, spread_out
from eventlstm.metrics.matching import read_match


def made_log(match="onset", **spans):
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["a", "b", "c"], pd.date_range("2026-01-01", periods=400, freq="min")])
    y = pd.Series(0, index=index)
    for start in rng.integers(20, 1180, 15):
        y.iloc[start : start + rng.integers(1, 12)] = 1
    score = (rng.random(len(y)) + 0.5 * y.to_numpy()).round(2)
    X = pd.DataFrame({"x": score}, index=index)
    return ScoredLog.of(X, y, score, AlarmPolicy(merge_gap=2), match=match, **spans)


def drawn_rows(log, seed):
    """Return a draw as numbers of blocks, their runs, and as rows with an index of their own."""
    blocks = cut_blocks(log.y)
    block, run = draw_blocks(blocks, np.random.RandomState(seed))
    lengths = blocks.stop[block] - blocks.first[block]
    rows = spread_out(blocks.first[block], lengths)
    index = pd.MultiIndex.from_arrays([np.repeat(run, lengths), log.y.index.get_level_values(-1)[rows]])
    return blocks, block, run, rows, index


@pytest.mark.filterwarnings("ignore:y_true holds")
@pytest.mark.parametrize("match", ["onset", "overlap"])
@pytest.mark.parametrize("spans", [{}, {"early": 7, "late": 3}, {"early": "5min"}])
def test_a_draw_finds_the_events_and_false_alarms_of_its_rows(match, spans):
    log = made_log(match, **spans)
    flags = log.at(0.9).flags
    for seed in range(30):
        blocks, block, run, rows, index = drawn_rows(log, seed)
        found = Segments.of(log, flags, blocks).match(block, run, match)
        y, alarms = (pd.Series(values[rows].astype(int), index=index) for values in (log.y.to_numpy(), flags))
        wanted = read_match(y, alarms, spans.get("early", 0), spans.get("late", 0), match, None)
        assert (found.n_found, found.n_false_alarms) == (wanted.n_found, wanted.n_false_alarms)
        np.testing.assert_array_equal(found.delays, wanted.delays)
        np.testing.assert_allclose(found.duty, wanted.duty, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:y_true holds")
def test_a_draw_has_the_average_precision_of_its_rows():
    log = made_log()
    for seed in range(10):
        blocks, block, _, rows, _ = drawn_rows(log, seed)
        of_row = np.repeat(np.arange(len(blocks.first)), blocks.stop - blocks.first)
        ranking = Ranking.of(log.scores, log, of_row)
        found = average_precision_of(*ranking.count_rows(np.bincount(block, minlength=len(blocks.first))))
        assert found == pytest.approx(average_precision_score(log.y.to_numpy()[rows], log.scores[rows]), rel=1e-12)
