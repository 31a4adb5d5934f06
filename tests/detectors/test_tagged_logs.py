"""Logs labelled by `LSTMTagger`: after the fact from whole runs, or causally, as rows come."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm import EventClassifier, LSTMTagger, StreamingDetector
from eventlstm.fleets.score_in_pieces import ScoreInPieces

from .test_event_classifier import ROUNDING, X_TEST, Y_TEST, X, y

AHEAD = {"field": {"crf": True}, "both ways": {"bidirectional": True}, "both": {"crf": True, "bidirectional": True}}
CAUSAL = {"softmax": {}, "softmax, filtered": {"decoding": "filtered"}, "field": {"crf": True, "decoding": "filtered"}}
LATER = r"LSTMTagger with bidirectional=True or decoding='smoothed' judges a row by later ones, which .* cannot"


def tiny(mode="stateful", how=(), **changes):
    plain = {"window_size": 8, "n_estimators": 2, "spans": (5, 20), "n_jobs": 1, "random_state": 0}
    member = LSTMTagger(hidden_size=4, max_epochs=6, lr=0.03, **dict(how))
    return EventClassifier(member, mode=mode, **{**plain, **changes})


@cache
def fitted(how, mode="stateful"):
    return tiny(mode, how).fit(X, y)


def by_name(forms):
    return pytest.mark.parametrize("how", [tuple(form.items()) for form in forms.values()], ids=forms)


@by_name(AHEAD | CAUSAL)
def test_events_are_found_on_machines_not_seen_before(how):
    score = fitted(how).predict_proba(X_TEST)[:, 1]
    assert np.mean((score > 0.5) == Y_TEST) > 0.93


@by_name(CAUSAL)
def test_causal_scores_of_a_prefix_are_a_prefix_of_the_scores(how):
    whole = fitted(how).predict_proba(X_TEST)
    for n_rows in (20, 150, 250):
        np.testing.assert_allclose(fitted(how).predict_proba(X_TEST.iloc[:n_rows]), whole[:n_rows], **ROUNDING)


@by_name(AHEAD)
def test_scores_after_the_fact_are_of_the_whole_run_and_of_no_other(how):
    model = fitted(how)
    whole = pd.DataFrame(model.predict_proba(X_TEST), index=X_TEST.index)
    for machine in ("m1", "m4"):
        alone = model.predict_proba(X_TEST.loc[[machine]])
        np.testing.assert_allclose(alone, whole.loc[[machine]], **ROUNDING)
    first = X_TEST.loc[["m1"]]
    assert np.abs(model.predict_proba(first.iloc[:60]) - whole.loc[["m1"]].to_numpy()[:60]).max() > 1e-3


@by_name(AHEAD | CAUSAL)
def test_a_window_that_ends_at_a_row_looks_no_further(how):
    model = fitted(how, "windows")
    whole = model.predict_proba(X_TEST)
    np.testing.assert_allclose(model.predict_proba(X_TEST.iloc[:150]), whole[:150], **ROUNDING)
    StreamingDetector(model)


def test_the_same_networks_label_after_the_fact_and_as_rows_come():
    model = tiny(how={"crf": True, "decoding": "filtered"}).fit(X, y)
    filtered = model.predict_proba(X_TEST)
    for member in model.estimators_:
        member.set_params(decoding="smoothed")
    smoothed = model.predict_proba(X_TEST)
    ends = np.append(np.flatnonzero(np.diff(X_TEST.index.codes[0])), len(X_TEST) - 1)  # the last row of each run
    np.testing.assert_allclose(smoothed[ends], filtered[ends], **ROUNDING)
    assert np.abs(smoothed - filtered).max() > 0.05


@by_name(AHEAD)
def test_whoever_takes_rows_as_they_come_refuses_to_look_ahead(how, tmp_path):
    model = fitted(how)
    with pytest.raises(ValueError, match=LATER):
        StreamingDetector(model)
    with pytest.raises(Exception, match=LATER):
        ScoreInPieces(model)
    with pytest.raises(ValueError, match=LATER):
        model.attribution(X_TEST)
    with pytest.raises(ValueError, match="LSTMTagger cannot be exported to ONNX"):
        el.save(model, tmp_path / "model.onnx")


def test_a_causal_tagger_says_which_sensors_raise_its_score():
    events = el.to_events(Y_TEST)
    shares = fitted(tuple(CAUSAL["field"].items())).attribution(X_TEST, events)
    assert (shares["flow"] > shares["heat"]).mean() > 0.8  # the flow climbs


@by_name(AHEAD | CAUSAL)
def test_a_saved_model_says_the_same_bits(how, tmp_path):
    path = tmp_path / "model.eventlstm"
    el.save(fitted(how), path)
    np.testing.assert_array_equal(el.load(path).predict_proba(X_TEST), fitted(how).predict_proba(X_TEST))


def test_states_may_be_many_and_rows_without_weight_are_let_be():
    weight = np.ones(len(y))
    weight[50:60] = 0
    state = (y.to_numpy() + 2 * (np.arange(len(y)) % 120 > 100)).astype(str)
    model = tiny(how={"crf": True, "forbid_unseen": True}).fit(X, pd.Series(state, index=y.index), weight)
    assert model.classes_.tolist() == sorted(set(state))
    assert model.predict_proba(X_TEST).shape == (len(X_TEST), len(set(state)))


def test_early_stopping_watches_whole_runs():
    model = tiny(how={"crf": True, "early_stopping": True, "validation_fraction": 0.3}).fit(X, y)
    assert all("valid_loss" in member.history_[0] for member in model.estimators_)
