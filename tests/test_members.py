"""Members of an ensemble: made, run side by side, and pooled."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from sklearn import config_context, get_config
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from eventlstm import EventClassifier, LSTMClassifier
from eventlstm.members import SUREST, crew, make_members, pool, side_by_side


def test_members_are_clones_with_seeds_of_their_own():
    template = make_pipeline(StandardScaler(), RandomForestClassifier(n_estimators=3))
    members = make_members(template, 3, np.random.RandomState(0), verbose=0)
    seeds = {member[-1].random_state for member in members}
    assert len(seeds) == 3
    assert template[-1].random_state is None
    again = make_members(template, 3, np.random.RandomState(0), verbose=0)
    assert [m[-1].random_state for m in again] == [m[-1].random_state for m in members]


@pytest.mark.parametrize("n_jobs", [1, 2, 5, -1, None])
def test_results_come_in_the_order_of_the_members(n_jobs):
    def wait(member, item):
        time.sleep(0.01 * (3 - member))
        return member, item

    results = side_by_side(wait, n_jobs, [0, 1, 2, 3], iter("abab"))
    assert results == [(0, "a"), (1, "b"), (2, "a"), (3, "b")]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_crew_keeps_its_threads_and_the_caller_s_settings_from_call_to_call(n_jobs):
    def whereabouts(member):
        time.sleep(0.01)
        return threading.get_ident(), get_config()["assume_finite"]

    with config_context(assume_finite=True), crew(n_jobs, 3) as call:
        seen = [place for _ in range(5) for place in call(whereabouts, [0, 1, 2])]
    assert len({thread for thread, _ in seen}) == n_jobs
    assert all(finite for _, finite in seen)


def test_an_error_of_a_member_is_raised():
    def fail(member):
        raise ValueError(f"member {member}")

    with pytest.raises(ValueError, match="member 0"):
        side_by_side(fail, 2, [0, 1])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interrupt_ends_all_members_at_once_and_the_next_fit_is_whole(n_jobs):
    X, y = np.random.default_rng(0).normal(size=(2000, 3)), np.arange(2000) % 50 == 0
    LSTMClassifier(max_epochs=1).fit(X[:, None], y)  # torch's first fit imports much, which must not be interrupted
    endless = EventClassifier(LSTMClassifier(hidden_size=4, max_epochs=100_000), n_jobs=n_jobs, random_state=0)
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        endless.fit(X, y)
    assert not hasattr(endless, "estimators_")
    short = endless.set_params(estimator__max_epochs=2).fit(X, y)
    assert [member.n_iter_ for member in short.estimators_] == [2, 2, 2, 2]


def test_the_pool_is_the_mean_of_log_odds():
    proba = np.random.default_rng(0).dirichlet([1, 1], size=(3, 20))
    log_odds = np.log(proba[..., 1] / proba[..., 0]).mean(axis=0)
    np.testing.assert_allclose(pool(proba)[:, 1], 1 / (1 + np.exp(-log_odds)))
    np.testing.assert_array_equal(pool(proba[:1]), proba[0])


def test_no_member_silences_the_others_with_an_exact_zero():
    proba = np.array([[[1.0, 0.0]], [[0.1, 0.9]], [[0.1, 0.9]]])
    (quiet, event), *_ = pool(proba)
    expected = (SUREST * 0.9**2 / 0.1**2) ** (1 / 3)
    np.testing.assert_allclose(event / quiet, expected)


def test_pooled_probabilities_of_several_classes_sum_to_one():
    proba = np.random.default_rng(0).dirichlet([0.1, 0.1, 0.1], size=(4, 50))
    np.testing.assert_allclose(pool(proba).sum(axis=1), 1.0)
    lanes = proba.reshape(4, 10, 5, 3)
    np.testing.assert_array_equal(pool(lanes).reshape(50, 3), pool(proba))
