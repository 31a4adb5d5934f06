"""The scores of a log in pieces are those of the whole log, wherever it is cut."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eventlstm as el
from eventlstm.alarms.model_scores import score_rows
from eventlstm.cli.parser import main
from eventlstm.fleets.alarms_in_pieces import AlarmsInPieces
from eventlstm.fleets.log_columns import LogColumns
from eventlstm.fleets.log_pieces import NotInPiecesError, read_pieces
from eventlstm.fleets.score_in_pieces import ScoreInPieces
from tests.serving.models import MAKERS, accepts_missing, fitted, make_log

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


POLICIES = {
    "simple": el.AlarmPolicy(threshold=0.3, merge_gap=3),
    "times": el.AlarmPolicy(threshold=0.3, merge_gap="4s", min_duration="2s", max_gap="10s"),
    "states": el.AlarmPolicy(threshold=0.4, off=0.2, smoothing=3, k=2, n=3, cooldown=4, max_duration=9, merge_gap=1),
}


@pytest.mark.parametrize("name", POLICIES)
@given(
    steps=st.lists(st.lists(st.sampled_from([1, 1, 1, 2, 90]), min_size=1, max_size=40), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 160), max_size=6),
    seed=st.integers(0, 2**20),
)
def test_alarms_in_pieces_are_those_of_the_whole_log(name, steps, cuts, seed):
    index, policy = make_log(steps, seed).index, POLICIES[name]
    score = pd.Series(np.random.default_rng(seed).random(len(index)) ** 2, index=index)
    in_pieces, bounds = AlarmsInPieces(policy), sorted({0, *(min(cut, len(index)) for cut in cuts), len(index)})
    flags = np.concatenate([in_pieces.flag(score.iloc[a:b]) for a, b in pairwise(bounds)])
    assert flags.tolist() == policy.flag(score).tolist()
    told, expected = in_pieces.to_events(), policy.to_events(score)
    assert told.to_dict("records") == expected.to_dict("records")


@pytest.fixture(scope="module")
def long_log():
    """Three machines, one of them with a gap, with values missing."""
    log = make_log([[1] * 900, [1] * 400 + [500] + [1] * 300, [1] * 700], seed=3)
    return log.where(np.random.default_rng(0).random(log.shape) > 0.02)


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_a_long_file_is_scored_in_pieces_as_it_is_whole(long_log, tmp_path, suffix):
    path, model = tmp_path / f"log.{suffix}", fitted("filled and scaled")
    table = long_log.reset_index()
    table.to_parquet(path, row_group_size=333) if suffix == "parquet" else table.to_csv(path, index=False)
    policy = el.AlarmPolicy(threshold=0.12, merge_gap=2)
    whole = el.score_logs(model, path, tmp_path / "whole", policy=policy)
    parts = el.score_logs(model, path, tmp_path / "parts", policy=policy, chunk_rows=250)
    pieces = list(read_pieces(path, LogColumns.of(model), 250))
    assert len(pieces) == -(-len(long_log) // 250) and pd.concat(pieces).index.equals(long_log.index)
    counts = ["rows", "runs", "alarms", "error"]
    assert parts[counts].to_dict() == whole[counts].to_dict() and whole["alarms"].item() > 1
    read = pd.read_parquet if suffix == "parquet" else pd.read_csv
    kind = "parquet" if suffix == "parquet" else "csv"
    for what in ("scores", "alarms"):
        one, other = (read(tmp_path / folder / f"log.{what}.{kind}") for folder in ("whole", "parts"))
        pd.testing.assert_frame_equal(one, other, rtol=1e-6, atol=1e-6)


def test_a_file_that_is_not_in_order_or_damaged_is_read_whole(long_log, tmp_path):
    model = fitted("filled and scaled")
    mixed = long_log.sample(frac=1, random_state=0).reset_index()
    mixed.to_parquet(tmp_path / "mixed.parquet")
    cut = long_log.reset_index().to_csv(index=False).splitlines()
    (tmp_path / "cut.csv").write_text("\n".join([*cut[:900], "m0,2024", *cut[900:]]))
    with pytest.raises(NotInPiecesError):
        list(read_pieces(tmp_path / "mixed.parquet", LogColumns.of(model), 250))
    outcomes = el.score_logs(model, tmp_path, tmp_path / "out", chunk_rows=250).set_index("name")
    assert outcomes.loc["mixed.parquet", "rows"] == len(long_log)
    assert "Data row 900 has 2 cells" in outcomes.loc["cut.csv", "error"]
    scores = pd.read_parquet(tmp_path / "out" / "mixed.scores.parquet")
    np.testing.assert_allclose(scores["score"], score_rows(model, long_log), rtol=1e-6)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_machines_that_take_turns_are_scored_in_pieces_as_in_order(long_log, tmp_path, suffix):
    model, path = fitted("filled and scaled"), tmp_path / f"log.{suffix}"
    turns = long_log.reset_index().sort_values(["time", "machine"])
    turns.to_parquet(path, index=False) if suffix == "parquet" else turns.to_csv(path, index=False)
    assert len(list(read_pieces(path, LogColumns.of(model), 250))) > 2
    el.score_logs(model, path, tmp_path / "whole", kind="csv")
    el.score_logs(model, path, tmp_path / "parts", kind="csv", chunk_rows=250)
    for what in ("scores", "alarms"):
        one, other = (pd.read_csv(tmp_path / folder / f"log.{what}.csv") for folder in ("whole", "parts"))
        pd.testing.assert_frame_equal(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_log(tmp_path, suffix):
    model, peaks = fitted("forest of windows"), []
    for n_rows in (4_000, 16_000):
        path = tmp_path / f"{n_rows}.{suffix}"
        log = make_log([[1] * (n_rows - 1)]).reset_index()
        log.to_parquet(path, row_group_size=1_000) if suffix == "parquet" else log.to_csv(path, index=False)
        del log
        tracemalloc.start()
        outcomes = el.score_logs(model, path, tmp_path / "out", chunk_rows=1_000)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert outcomes["rows"].item() == n_rows
    assert peaks[1] < 1.2 * peaks[0]


def test_no_row_group_that_was_read_is_kept(tmp_path):
    make_log([[1] * 80_000]).reset_index().to_parquet(tmp_path / "log.parquet", row_group_size=4_000)
    columns = LogColumns.of(fitted("forest of windows"))
    held = [pyarrow.total_allocated_bytes() for _ in read_pieces(tmp_path / "log.parquet", columns, 4_000)]
    assert max(held[10:]) < 1.5 * max(held[:5])


def test_the_command_scores_a_long_log_in_pieces(long_log, tmp_path, monkeypatch, capsys):
    el.save(fitted("filled and scaled"), tmp_path / "model")
    long_log.reset_index().to_csv(tmp_path / "log.csv", index=False)
    command = ["score", *(str(tmp_path / name) for name in ("model", "log.csv")), "-o"]
    assert main([*command, str(tmp_path / "whole.csv")]) == 0
    monkeypatch.setattr("eventlstm.cli.score_long.CHUNK_ROWS", 250)
    assert main([*command, str(tmp_path / "parts.csv")]) == 0
    assert (
        f"Wrote {len(long_log)} scores to {tmp_path / 'parts.csv'}, in pieces of 250 rows." in capsys.readouterr().out
    )
    whole, parts = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("whole", "parts"))
    pd.testing.assert_frame_equal(whole, parts, rtol=1e-6, atol=1e-6)
