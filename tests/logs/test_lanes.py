"""Stretches side by side in lanes: each as if it were alone, in memory that does not grow with the log."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest

from eventlstm import EventClassifier, LSTMClassifier
from eventlstm.detectors.member_scores import Ensemble
from eventlstm.logs.lanes import walk
from eventlstm.logs.rows import Rows
from eventlstm.recurrent.members import mean_log_odds
from eventlstm.training.crew import crew

LENGTHS = [3, 50, 1, 17, 90, 16, 2, 40, 1]  # of the runs of a log
STARTS = np.cumsum([0, *LENGTHS[:-1]])
WINDOW_SIZE = 8
ROUNDING = {"atol": 1e-6, "rtol": 0.0}

each_size = pytest.mark.parametrize(("n_lanes", "block_rows"), [(1, 1), (1, 10_000), (2, 7), (4, 100), (64, 16_384)])
pytestmark = pytest.mark.usefixtures("one_torch_thread")


def make_log(lengths=LENGTHS, seed=0):
    """Return a log of two sensors, the labels of a few high rows, and its runs in the index."""
    values = np.random.default_rng(seed).normal(size=(sum(lengths), 2))
    index = pd.MultiIndex.from_tuples([(run, k) for run, n in enumerate(lengths) for k in range(n)])
    return pd.DataFrame(values, index=index, columns=["flow", "heat"]), (values[:, 0] > 1.0).astype(int)


def fit(lengths=LENGTHS, member=None, **changes):
    member = LSTMClassifier(hidden_size=4, max_epochs=2, lr=0.03) if member is None else member
    plain = {"window_size": WINDOW_SIZE, "n_estimators": 3, "spans": (5, 20), "n_jobs": 1, "random_state": 0}
    return EventClassifier(member, **{**plain, **changes}).fit(*make_log(lengths))


def one_stretch_after_another(model, X):
    """Return the scores by the plain way: warm up on copies of the first row, then go along the stretch."""
    proba = np.empty((len(model.estimators_), len(X), 2))
    for k, member in enumerate(model.estimators_):
        scaler = model.scalers_[k % len(model.scalers_)]
        channels = X.to_numpy() if scaler is None else scaler.transform(X.to_numpy(), starts=STARTS)
        for start, stop in zip(STARTS, [*STARTS[1:], len(X)], strict=True):
            stretch = channels[start:stop]
            _, state = member.predict_proba_steps(np.repeat(stretch[:1], WINDOW_SIZE, axis=0))
            proba[k, start:stop] = member.predict_proba_steps(stretch, state)[0]
    return mean_log_odds(proba)


# The walk


@each_size
@pytest.mark.parametrize("warm_up", [0, 5])
def test_a_walk_sees_the_copies_and_the_rows_of_a_stretch_up_to_each_and_nothing_else(n_lanes, block_rows, warm_up):
    values = np.random.default_rng(0).integers(1, 100, size=(sum(LENGTHS), 2)).astype(float)

    def add_up(lanes, total):
        sums = np.cumsum(lanes, axis=1) + (0.0 if total is None else total)
        return sums, sums[:, -1:]

    sizes = {"warm_up": warm_up, "n_lanes": n_lanes, "block_rows": block_rows}
    sums = walk(add_up, values, STARTS, np.full(values.shape, np.nan), **sizes)
    stretches = np.split(values, STARTS[1:])
    expected = [warm_up * stretch[:1] + np.cumsum(stretch, axis=0) for stretch in stretches]
    np.testing.assert_array_equal(sums, np.concatenate(expected))


@each_size
@pytest.mark.parametrize("warm_up", [0, 5])
def test_blocks_keep_to_their_size_and_are_no_more_than_half_copies(n_lanes, block_rows, warm_up):
    shapes = []

    def look(lanes, state):
        shapes.append(lanes.shape[:2])
        return lanes, True

    values = np.zeros((sum(LENGTHS), 1))
    walk(look, values, STARTS, values.copy(), warm_up=warm_up, n_lanes=n_lanes, block_rows=block_rows)
    assert max(lanes for lanes, _ in shapes) <= n_lanes
    assert all(lanes * steps <= max(block_rows, lanes) for lanes, steps in shapes)
    needed = sum(LENGTHS) + warm_up * len(LENGTHS)
    assert needed <= sum(lanes * steps for lanes, steps in shapes) <= 2 * needed


# A network


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_lanes_are_scored_like_stretches_one_by_one_whole_or_row_by_row(cell, precision):
    network = fit_network(cell=cell, precision=precision, num_layers=2)
    lanes = np.random.default_rng(1).normal(size=(5, 12, 2))
    whole, state = network.predict_proba_steps(lanes)
    assert whole.shape == (5, 12, 2)
    for lane, proba in zip(lanes, whole, strict=True):
        np.testing.assert_allclose(network.predict_proba_steps(lane)[0], proba, **ROUNDING)
    along = None
    for k in range(12):
        proba, along = network.predict_proba_steps(lanes[:, k : k + 1], along)
        np.testing.assert_allclose(proba[:, 0], whole[:, k], **ROUNDING)
    further = [network.predict_proba_steps(lanes, after)[0] for after in (state, along)]
    np.testing.assert_allclose(*further, **ROUNDING)


def test_long_lanes_are_walked_in_pieces_without_a_seam():
    network = fit_network()
    lanes = np.random.default_rng(1).normal(size=(2, 9000, 2))  # 18,000 rows are more than a piece
    together, _ = network.predict_proba_steps(lanes)
    for lane, proba in zip(lanes, together, strict=True):
        np.testing.assert_allclose(network.predict_proba_steps(lane)[0], proba, **ROUNDING)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros(4),
        np.zeros((3, 3)),
        np.zeros((2, 3, 1)),
        np.zeros((0, 2)),
        np.zeros((2, 0, 2)),
        np.array([[0.0, np.nan]]),
        np.array([[[0.0, np.inf]]]),
        np.array([[0.0, 1e39]]),  # infinite in float32
        np.array([["a", "b"]]),
    ],
    ids=lambda X: f"{X.shape} {X.ravel()[-1:]}",
)
def test_rows_that_do_not_fit_the_network_are_refused_in_one_way(X):
    with pytest.raises(ValueError, match=r"Rows of shape .* Pass finite numbers of shape \(n_rows, 2\), or .*n_lanes"):
        fit_network().predict_proba_steps(X)


def fit_network(**changes):
    X, y = make_log()
    network = LSTMClassifier(hidden_size=3, max_epochs=1, random_state=0).set_params(**changes)
    return network.fit_steps(X.to_numpy(), y, starts=STARTS, burn_in=4, stride=8)


# The ensemble


@pytest.mark.parametrize("inputs", ["both", None])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_scores_are_those_of_one_stretch_after_another(inputs, precision):
    model = fit(inputs=inputs, member=LSTMClassifier(hidden_size=4, max_epochs=2, precision=precision))
    X, _ = make_log(seed=1)
    rounding = 1e-6 if precision == "float32" else 1e-12
    np.testing.assert_allclose(model.predict_proba(X), one_stretch_after_another(model, X), rtol=0, atol=rounding)


def test_scores_are_those_of_a_stream_that_brings_row_after_row():
    model = fit()
    X, _ = make_log(seed=1)
    whole, ensemble = model.predict_proba(X), ensemble_of(model)
    with crew(1, 3) as call:
        for start, length in zip(STARTS, LENGTHS, strict=True):
            run = X.to_numpy()[start : start + length]
            _, state = ensemble.step(np.repeat(run[None, :1], WINDOW_SIZE, axis=1), None, call)
            for k in range(length):
                proba, state = ensemble.step(run[None, k : k + 1], state, call)
                np.testing.assert_allclose(proba[0, 0], whole[start + k], **ROUNDING)


@each_size
def test_the_size_of_blocks_and_the_number_of_lanes_change_no_score(n_lanes, block_rows):
    model = fit()
    X, _ = make_log(seed=1)
    sizes = {"warm_up": WINDOW_SIZE, "n_lanes": n_lanes, "block_rows": block_rows}
    ensemble, out = ensemble_of(model), np.empty((len(X), 2))
    with crew(1, 3) as call:
        walk(lambda lanes, state: ensemble.step(lanes, state, call), X.to_numpy(), STARTS, out, **sizes)
    np.testing.assert_allclose(out, model.predict_proba(X), **ROUNDING)


def test_the_other_runs_of_a_log_change_no_score_of_a_run():
    model = fit()
    X, _ = make_log(seed=1)
    together = model.predict_proba(X)
    for run, start in enumerate(STARTS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of runs that are shorter than the window
            alone = model.predict_proba(X.loc[[run]])
        np.testing.assert_allclose(alone, together[start : start + len(alone)], **ROUNDING)


def test_threads_change_no_number_in_a_log_of_many_blocks():
    lengths = [*LENGTHS, 17_000, 9_000]
    X, _ = make_log(lengths, seed=1)
    one, two = (fit(n_jobs=n_jobs).predict_proba(X) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_members_that_know_some_of_the_classes_are_heard_on_these():
    X, y = make_log()
    values, scaler = X.to_numpy(), None
    kinds = np.where(y == 1, "jam", np.where(values[:, 1] > 1.0, "leak", "ok"))
    members = []
    for known in (["jam", "leak", "ok"], ["leak", "ok"], ["ok"]):
        rows = np.isin(kinds, known)
        network = LSTMClassifier(hidden_size=3, max_epochs=1, random_state=0)
        members.append(network.fit_steps(values[rows], kinds[rows], starts=np.array([0]), burn_in=4, stride=8))
    classes = np.array(["jam", "leak", "ok"])
    log = Rows(values, STARTS, np.arange(len(STARTS)), None, None)
    for k, member in enumerate(members):
        alone = Ensemble([member], [scaler], classes, np.float64, 1).score_stretches(log, WINDOW_SIZE)
        np.testing.assert_allclose(alone.sum(axis=1), 1.0)
        assert ((alone > 0).all(axis=0) == np.isin(classes, classes[k:])).all()
    together = Ensemble(members, [scaler], classes, np.float64, 1).score_stretches(log, WINDOW_SIZE)
    np.testing.assert_allclose(together.sum(axis=1), 1.0)


@pytest.mark.parametrize("run_length", [20, None], ids=["many runs", "one long run"])
def test_memory_does_not_grow_with_the_log_beyond_it_and_its_scores(run_length):
    model = fit(member=LSTMClassifier(hidden_size=1, max_epochs=1), n_estimators=2)
    few, many = (memory_of_scoring(model, n_rows, run_length or n_rows) for n_rows in (20_000, 200_000))
    channels = 180_000 * 2 * 4 * np.dtype(np.float32).itemsize  # of the relative view alone, were they made at once
    assert many - few < 4e6 < channels


def memory_of_scoring(model, n_rows, run_length):
    """Return the most bytes taken while a log is scored, but for those of its values and of the scores."""
    index = pd.MultiIndex.from_product([range(n_rows // run_length), range(run_length)])
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(n_rows, 2)), index=index, columns=["flow", "heat"])
    tracemalloc.start()
    proba = model.predict_proba(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak - X.to_numpy().nbytes - proba.nbytes


def ensemble_of(model):
    return Ensemble(model.estimators_, model.scalers_, model.classes_, np.float32, 1)
