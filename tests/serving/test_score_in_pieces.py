"""The scores of a log in pieces are those of the whole log, wherever it is cut."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventlstm.alarms.model_scores import score_rows
from eventlstm.serving.score_in_pieces import ScoreInPieces

from .models import MAKERS, accepts_missing, fitted, make_log

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*rows have fewer than window_size", "ignore:.*fit saw one every", "ignore:norm="
)
# The same numbers go through the same code.
BITWISE = ("forest of windows", "boosting of features", "outliers", "regressor")


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=8, deadline=None)
@given(
    steps=st.lists(st.lists(st.sampled_from([1, 1, 1, 1, 2, 90]), min_size=1, max_size=40), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    seed=st.integers(0, 2**20),
)
def test_the_scores_of_pieces_are_those_of_the_whole_log(name, steps, cuts, seed):
    log, rng, model = make_log(steps, seed), np.random.default_rng(seed), fitted(name)
    if accepts_missing(name):
        log = log.where(rng.random(log.shape) > 0.1)
    pieces, expected = ScoreInPieces(model), score_rows(model, log)
    bounds = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    told = np.concatenate([pieces.score(log.iloc[a:b]) for a, b in pairwise(bounds)])
    if name in BITWISE:
        assert told.tolist() == expected.tolist()
    np.testing.assert_allclose(told, expected, rtol=1e-6, atol=1e-6)


def test_a_long_run_cut_where_blocks_end_has_the_same_bits():
    log, model = make_log([[1] * 40_000]), fitted("default members")
    pieces, expected, first = ScoreInPieces(model), score_rows(model, log), 16_384 - model.window_size_
    told = [pieces.score(part) for part in (log[:first], log[first : first + 16_384], log[first + 16_384 :])]
    assert np.concatenate(told).tolist() == expected.tolist()


def test_numbers_as_times_and_a_log_of_one_machine_go_in_pieces():
    log = make_log([[1] * 50]).droplevel(0).reset_index(drop=True)
    model = MAKERS["forest of windows"]().fit(log, np.arange(51) % 10 > 7)
    pieces = ScoreInPieces(model)
    assert np.concatenate([pieces.score(log[:20]), pieces.score(log[20:])]).tolist() == score_rows(model, log).tolist()


@pytest.mark.parametrize("rows", [[3, 4], [9, 10]])
def test_a_piece_that_is_not_after_the_one_before_is_refused(rows):
    log = pd.concat([make_log([[1] * 8]), make_log([[1] * 8]).rename(index={"m0": "m1"}, level=0)])
    pieces = ScoreInPieces(fitted("forest of windows"))
    pieces.score(log.iloc[:11])
    with pytest.raises(ValueError, match="which is not after the one before"):
        pieces.score(log.iloc[rows])
