"""Rows that were learnt from are known again, whatever was done to the log since."""

import io

import numpy as np
import pandas as pd
import pytest

from eventlstm.logs.fingerprint import MOST_RUNS, N_HASHES, find_overlap, hash_rows, take_fingerprint
from eventlstm.logs.index import read_index


def make_log(n_rows=4000, seed=0, begin="2024-01-01", runs=("A", "B")):
    times = pd.date_range(begin, periods=n_rows // len(runs), freq="min")
    index = pd.MultiIndex.from_product([runs, times], names=["machine", "time"])
    values = np.random.default_rng(seed).normal(size=(len(index), 3)).round(3)
    return pd.DataFrame(values, index, columns=["flow", "heat", "load"])


LOG = make_log()
KNOWN = take_fingerprint(LOG, LOG.to_numpy())


def share(X, fingerprint=KNOWN):
    return find_overlap(fingerprint, X, np.asarray(X, dtype=np.float64)).share


def through_csv(X):
    table = io.StringIO(X.to_csv())
    return pd.read_csv(table, parse_dates=["time"], index_col=["machine", "time"])


def other_sign_of_zero(X):
    return X.where(X != 0, -0.0)


AS_GOOD_AS_LEARNT = {
    "the log itself": lambda X: X,
    "other precision": lambda X: X.astype(np.float32),
    "other order of the sensors": lambda X: X[["load", "flow", "heat"]],
    "other names of the sensors": lambda X: X.set_axis(["a", "b", "c"], axis=1),
    "other names of the machines": lambda X: X.rename(index={"A": "pump-1", "B": "pump-2"}, level=0),
    "written and read": through_csv,
    "in a time zone": lambda X: X.tz_localize("UTC", level=1).tz_convert("Asia/Tokyo", level=1),
    "other unit of the times": lambda X: X.set_index(X.index.set_levels(X.index.levels[1].as_unit("s"), level=1)),
    "every second row": lambda X: X.iloc[::2],
    "a tenth of the rows at random": lambda X: X.sample(frac=0.1, random_state=0).sort_index(),
    "one machine": lambda X: X.loc[["B"]],
    "a day of one machine": lambda X: X.loc[["A"]].iloc[:1440],
    "without the name of the machine": lambda X: X.loc["A"],
    "machines in another order": lambda X: X.loc[["B", "A"]],
    "minus zero": other_sign_of_zero,
}


@pytest.mark.parametrize("change", AS_GOOD_AS_LEARNT)
def test_rows_are_known_again_however_they_come(change):
    assert share(AS_GOOD_AS_LEARNT[change](LOG)) == 1.0


NOT_LEARNT = {
    "other values at the same times": lambda: make_log(seed=1),
    "the same values later": lambda: make_log(begin="2025-01-01"),
    "later rows of the same machines": lambda: make_log(seed=2, begin="2024-01-03"),
    "values in another unit": lambda: LOG * 1.8 + 32,
    "one sensor less": lambda: LOG[["flow", "heat"]],
}


@pytest.mark.parametrize("kind", NOT_LEARNT)
def test_other_rows_are_not_taken_for_learnt(kind):
    assert share(NOT_LEARNT[kind]()) == 0.0


@pytest.mark.parametrize("part", [0.05, 0.25, 0.38, 0.62, 0.9])
@pytest.mark.parametrize("n_rows", [400, 20_000])
def test_the_share_of_known_rows_is_told(part, n_rows):
    log = make_log(n_rows)
    new = make_log(n_rows, seed=3)
    n_known = int(part * n_rows)
    mixed = pd.concat([log.iloc[:n_known], new.iloc[n_known:]])
    assert share(mixed, take_fingerprint(log, log.to_numpy())) == pytest.approx(part, abs=0.07)


def test_a_fingerprint_is_small_and_the_same_each_time():
    big = make_log(60_000, runs=[f"m{k:03}" for k in range(100)])
    kept = take_fingerprint(big, big.to_numpy())
    assert len(kept["hashes"]) == N_HASHES and len(kept["run"]) == MOST_RUNS
    assert sum(np.asarray(part).nbytes for part in kept.values()) < 8000
    again = take_fingerprint(big, big.to_numpy())
    assert all(np.array_equal(kept[name], again[name]) for name in kept)
    assert share(big, kept) == 1.0


def test_an_excerpt_too_short_for_the_sample_is_known_by_its_times():
    big = make_log(200_000)
    kept = take_fingerprint(big, big.to_numpy())
    hashes = hash_rows(big, big.to_numpy(), read_index(big))
    first = int(np.argmax(np.convolve(hashes <= kept["hashes"][-1], np.ones(50), "valid") == 0))
    excerpt = big.iloc[first : first + 50]
    assert find_overlap(kept, excerpt, excerpt.to_numpy()) == (1.0, False)
    elsewhere = excerpt.rename(index={"A": "C", "B": "C"}, level=0)
    assert share(elsewhere, kept) == 0.0


@pytest.mark.parametrize("kind", ["array", "range", "numbers"])
def test_rows_without_a_time_are_known_by_their_values_and_those_before_them(kind):
    values = np.random.default_rng(0).normal(size=(3000, 2))
    as_kind = {
        "array": np.asarray,
        "range": pd.DataFrame,
        "numbers": lambda rows: pd.DataFrame(rows, index=np.arange(len(rows)) * 0.1),
    }[kind]
    kept = take_fingerprint(as_kind(values), values)
    assert share(as_kind(values), kept) == 1.0
    assert share(as_kind(values[1000:2000]), kept) > 0.98
    assert share(as_kind(np.random.default_rng(1).normal(size=(3000, 2))), kept) == 0.0


def test_switches_that_come_in_the_same_states_again_are_not_taken_for_learnt():
    rng = np.random.default_rng(0)
    learnt, new = rng.integers(0, 40, size=(2, 2000, 3)).astype(float)
    assert share(new, take_fingerprint(learnt, learnt)) < 0.01


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_values_that_a_log_should_not_hold_are_hashed_without_a_warning(bad):
    log = LOG.copy()
    log.iloc[5, 0] = bad
    assert share(log, take_fingerprint(log, log.to_numpy())) == 1.0
