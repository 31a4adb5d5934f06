"""The whitened view: sensors judged against each other, whatever else is in the log."""

import numpy as np
import pytest

from eventlstm.logs.input_scaler import InputScaler
from eventlstm.logs.whitening import BLOCK_ROWS, learn_whitening, turn

STARTS = np.array([0, 170, 171])


def make_sensors(n_rows=400, n_sensors=4, seed=0):
    """Sensors that all follow two causes and have noise of their own, in units far apart."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(n_rows, 2)).cumsum(axis=0)
    X = causes @ rng.normal(size=(2, n_sensors)) + rng.normal(size=(n_rows, n_sensors))
    return X * 10.0 ** np.arange(n_sensors) + 7.0


def whitened_by(X):
    center, matrix = learn_whitening(X, np.ones(len(X)))
    return turn(X - center, matrix)


def view_of(X, starts=STARTS, **parameters):
    return InputScaler("whitened", **parameters).fit(X, starts=starts).transform(X, starts=starts)


def test_whitened_sensors_have_deviation_one_and_no_correlation():
    X = make_sensors()
    whitened = whitened_by(X)
    np.testing.assert_allclose(whitened.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(np.cov(whitened.T, ddof=0), np.eye(4), atol=1e-8)


def test_directions_are_learnt_by_weight():
    X = make_sensors()
    weight = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    repeated = np.repeat(X, weight.astype(int), axis=0)
    for found, wanted in zip(
        learn_whitening(X, weight), learn_whitening(repeated, np.ones(len(repeated))), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-12)


def test_rows_without_weight_are_not_looked_at():
    X = make_sensors()
    weight = (np.arange(len(X)) < 300).astype(float)
    other = np.where(weight[:, None] > 0, X, 1e6)
    for found, wanted in zip(learn_whitening(other, weight), learn_whitening(X, weight), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize("place", [0, 2, 4])
@pytest.mark.parametrize("beside", ["a constant", "a copy", "a copy in another unit", "a rounded constant"])
def test_a_sensor_that_tells_nothing_of_its_own_changes_nothing(place, beside):
    X = make_sensors()
    more = {
        "a constant": np.full(len(X), 3.7),
        "a copy": X[:, -1],
        "a copy in another unit": 32.0 + 1.8 * X[:, -1],
        "a rounded constant": 0.1 + 1e-16 * np.arange(len(X)),
    }[beside]
    if "copy" in beside and place < 4:
        X, more = X[:, ::-1], X[:, 0]  # the first of two copies is the one that stays
        np.testing.assert_allclose(view_of(np.insert(X, 4, more, axis=1)), view_of(X), atol=1e-7)
    else:
        np.testing.assert_allclose(view_of(np.insert(X, place, more, axis=1)), view_of(X), atol=1e-7)


def test_other_units_change_nothing():
    X = make_sensors()
    np.testing.assert_allclose(view_of(X * [1e-3, 5.0, 1.8, 1e4] + [0.0, -3.0, 32.0, 1e2]), view_of(X), atol=1e-6)


def test_codes_are_neither_whitened_nor_lost():
    X, codes = make_sensors(), np.arange(400) % 3
    channels = view_of(np.insert(X, 1, codes, axis=1), categorical=(1,))
    np.testing.assert_array_equal(channels[:, -1], codes)
    np.testing.assert_allclose(channels[:, :-1], view_of(X), atol=1e-12)


def test_more_sensors_than_rows_leave_as_many_directions_as_there_are():
    X = np.random.default_rng(0).normal(size=(12, 30))
    whitened = whitened_by(X)
    assert np.isfinite(whitened).all() and np.linalg.matrix_rank(whitened, tol=1e-6) == 11
    assert np.isfinite(view_of(X, starts=[0])).all()


def test_one_sensor_is_its_own_relative_view():
    X = make_sensors(n_sensors=1)
    relative = InputScaler("relative").fit(X, starts=STARTS).transform(X, starts=STARTS)
    np.testing.assert_allclose(view_of(X), relative, atol=1e-9)


def test_sensors_that_all_stand_still_have_no_channels():
    assert view_of(np.full((50, 3), 2.0), starts=[0]).shape == (50, 0)


def test_a_direction_in_which_sensors_agree_but_for_rounding_is_left_out():
    rng = np.random.default_rng(0)
    first = rng.normal(size=500)
    X = np.column_stack([first, rng.normal(size=500), first + 1e-3 * rng.normal(size=500)])
    whitened = whitened_by(X)
    assert np.linalg.matrix_rank(whitened, tol=1e-6) == 2  # the difference of two of them is noise


def test_a_disagreement_of_sensors_that_always_agreed_comes_to_the_front():
    X = make_sensors()
    _, matrix = learn_whitening(X, np.ones(len(X)))
    usual = X[10:11]
    other = usual + np.linalg.eigh(np.cov(X.T))[1][:, 0] * X.std(axis=0)
    along = usual + np.cov(X.T)[0] / np.cov(X.T)[0, 0] ** 0.5  # as all move together
    change = [np.linalg.norm(turn(row - usual, matrix)) for row in (other, along)]
    assert change[0] > 2 * change[1]


def test_the_number_of_rows_at_a_time_changes_no_bit():
    X = make_sensors()
    center, matrix = learn_whitening(X, np.ones(len(X)))
    whole = turn(X - center, matrix)
    np.testing.assert_array_equal(np.concatenate([turn(row[None] - center, matrix) for row in X]), whole)


def test_a_log_longer_than_a_block_is_learnt_whole(monkeypatch):
    X = make_sensors()
    whole = learn_whitening(X, np.ones(len(X)))
    assert len(X) < BLOCK_ROWS
    monkeypatch.setattr("eventlstm.logs.whitening.BLOCK_ROWS", 7)
    for found, wanted in zip(learn_whitening(X, np.ones(len(X))), whole, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9)
