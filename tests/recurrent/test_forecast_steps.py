"""The forecaster of logs step by step: every row learns from the rows that follow it, in its stretch alone."""

import pickle

import numpy as np
import pytest
import torch

from eventlstm import Augmentation, LSTMForecaster, load, save
from eventlstm.networks.forecast_net import ForecastNet, UnrolledHead
from eventlstm.training.batches import NextRowsBatches
from eventlstm.training.checkpoints import Checkpoint

pytestmark = pytest.mark.usefixtures("one_torch_thread")

STARTS = np.array([0, 50, 51, 90])
SIZE = {"burn_in": 4, "stride": 8}


def tiny(**changes):
    return LSTMForecaster(**{"hidden_size": 4, "max_epochs": 2, "batch_size": 4, "random_state": 0, **changes})


def toy(n_rows=120, n_channels=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n_rows, n_channels))


def fitted(**changes):
    return tiny(**changes).fit_steps(toy(), starts=STARTS, **SIZE)


def numbered(weight, horizon, batch_size=3):
    """Return batches of a log whose values and targets are the numbers of its rows."""
    rows = np.arange(len(weight), dtype=np.float64)[:, None]
    size = {"horizon": horizon, "batch_size": batch_size, **SIZE}
    return NextRowsBatches(torch.tensor(rows), STARTS, rows, weight, **size)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_each_row_is_learnt_once_an_epoch_from_each_row_before_it_within_its_stretch(horizon, seed):
    weight = np.random.default_rng(7).uniform(size=120)
    weight[::5] = 0.0
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    seen, n_numbers = {}, 0
    for batch in numbered(weight, horizon).epoch(generator):
        at = batch.x[:, SIZE["burn_in"] :, 0]  # (batch, stride)
        assert batch.target.shape == (*at.shape, horizon, 1)
        n_numbers += batch.weight.numel()
        for place in zip(*torch.nonzero(batch.weight, as_tuple=True), strict=True):
            pair = int(at[place[:2]]), int(batch.target[place])
            assert pair[1] == pair[0] + int(place[2]) + 1
            assert pair not in seen
            seen[pair] = float(batch.weight[place])
    stretch = np.searchsorted(STARTS, np.arange(120), side="right")
    pairs = [(row, row + h) for row in range(120) for h in range(1, horizon + 1)]
    expected = {(row, to): weight[to] for row, to in pairs if to < 120 and stretch[to] == stretch[row] and weight[to]}
    assert seen.keys() == expected.keys()
    ratio = np.array([seen[pair] / expected[pair] for pair in expected])
    np.testing.assert_allclose(ratio, ratio[0])
    assert sum(seen.values()) / n_numbers == pytest.approx(1.0)


def test_a_row_without_weight_is_never_learnt():
    X, weight = toy(), np.ones(120)
    weight[30:40] = 0.0
    spoilt = np.where(weight[:, None] > 0, X, 1e6)
    of_all, of_spoilt = (
        tiny(horizon=2).fit_steps(X, weight, starts=STARTS, Y=Y, **SIZE).predict_steps(X)[0] for Y in (X, spoilt)
    )
    np.testing.assert_array_equal(of_all, of_spoilt)


def test_the_log_itself_is_forecast_unless_targets_are_given():
    X = toy()
    expected = fitted().predict_steps(X)[0]
    of_itself = tiny().fit_steps(X, starts=STARTS, Y=X, **SIZE)
    np.testing.assert_array_equal(of_itself.predict_steps(X)[0], expected)
    of_other = tiny(horizon=3).fit_steps(X, starts=STARTS, Y=X[:, :1] ** 2, **SIZE)
    assert of_other.predict_steps(X)[0].shape == (120, 3, 1)


@pytest.mark.parametrize("decoder", ["direct", "recurrent"])
def test_every_row_forecasts_the_rows_after_it_in_their_order(decoder):
    row = np.arange(300)
    X = np.stack([row % 3 - 1.0, row % 4 - 1.5], axis=1)
    model = tiny(horizon=3, decoder=decoder, hidden_size=12, max_epochs=25, lr=0.03)
    model.fit_steps(X, starts=np.array([0, 150]), burn_in=8, stride=16)
    forecast, _ = model.predict_steps(X[:100])
    for h in (1, 2, 3):
        np.testing.assert_allclose(forecast[20 : 100 - h, h - 1], X[20 + h : 100], atol=0.5)


@pytest.mark.parametrize("changes", [{}, {"cell": "gru", "num_layers": 2}, {"decoder": "recurrent"}], ids=str)
def test_row_by_row_is_the_same_as_the_whole_and_a_prefix_as_a_part_of_it(changes):
    model, X = fitted(horizon=2, **changes), toy(40, seed=1)
    whole, _ = model.predict_steps(X)
    assert whole.shape == (40, 2, 2)
    np.testing.assert_allclose(model.predict_steps(X[:25])[0], whole[:25], atol=1e-6)
    rows, state = [], None
    for row in X:
        forecast, state = model.predict_steps(row[None], state)
        rows.append(forecast)
    np.testing.assert_allclose(np.concatenate(rows), whole, atol=1e-6)


def test_lanes_side_by_side_are_the_same_as_each_alone():
    model, lanes = fitted(), toy(60, seed=1).reshape(3, 20, 2)
    side_by_side, _ = model.predict_steps(lanes)
    assert side_by_side.shape == (3, 20, 1, 2)
    np.testing.assert_allclose(side_by_side, [model.predict_steps(lane)[0] for lane in lanes], atol=1e-6)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn", "peephole"])
def test_the_first_steps_ahead_do_not_depend_on_how_many_follow(cell):
    one, three = (UnrolledHead(5, 2, horizon, cell) for horizon in (1, 3))
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(weight.shape, generator=generator) for name, weight in one.state_dict().items()}
    for head in (one, three):
        head.load_state_dict(weights, assign=True)
    z = torch.randn(4, 7, 5, generator=generator)
    assert three(z).shape == (4, 7, 6)
    torch.testing.assert_close(three(z)[..., :2], one(z))


@pytest.mark.parametrize("wrong", [{"horizon": 3}, {"horizon": 0}, {"decoder": "linear"}], ids=str)
def test_a_network_with_other_steps_than_values_is_refused(wrong):
    with pytest.raises(ValueError, match="cannot say 4 values of"):
        ForecastNet(2, 4, **wrong)


def test_early_stopping_ends_on_the_weights_of_the_best_epoch():
    X, X_val = toy(), toy(seed=3)
    recipe = {"schedule": "constant", "lr": 0.05, "hidden_size": 16}
    model = tiny(early_stopping=True, max_epochs=40, **recipe)
    model.fit_steps(X, starts=STARTS, X_val=X_val, starts_val=STARTS, **SIZE)
    best = int(np.argmin([record["valid_loss"] for record in model.history_])) + 1
    assert best + model.n_iter_no_change == model.n_iter_ < 40
    expected = tiny(max_epochs=best, **recipe).fit_steps(X, starts=STARTS, **SIZE)
    np.testing.assert_array_equal(model.predict_steps(X_val)[0], expected.predict_steps(X_val)[0])


def test_a_validation_row_without_weight_is_not_judged():
    X, weight = toy(), np.ones(120)
    weight[30:40] = 0.0
    losses = [
        tiny()
        .fit_steps(X, starts=STARTS, X_val=X, starts_val=STARTS, sample_weight_val=weight, Y=X, Y_val=Y, **SIZE)
        .history_[-1]["valid_loss"]
        for Y in (X, np.where(weight[:, None] > 0, X, 1e6))
    ]
    assert losses[0] == losses[1]


def test_the_recorded_loss_is_the_mean_squared_error_of_the_forecasts():
    X, (burn_in, stride) = toy(), SIZE.values()
    model = tiny(horizon=2, precision="float64").fit_steps(X, starts=STARTS, X_val=X, starts_val=STARTS, **SIZE)
    squares = []
    for first, stop in zip(STARTS, [*STARTS[1:], 120], strict=True):
        for begin in range(first, stop, stride):
            rows = np.clip(np.arange(begin - burn_in, begin + stride), first, stop - 1)
            forecast = model.predict_steps(X[rows])[0][burn_in:]
            ahead = [(at, h) for at in range(stride) for h in range(2) if begin + at + h + 1 < stop]
            squares += [(forecast[at, h] - X[begin + at + h + 1]) ** 2 for at, h in ahead]
    assert model.history_[-1]["valid_loss"] == pytest.approx(np.mean(squares))


@pytest.mark.parametrize("loss", ["squared", "quantile"])
def test_a_pickle_and_an_archive_go_on_from_the_same_state(tmp_path, loss):
    model, X = fitted(loss=loss), toy(20, seed=1)
    _, state = model.predict_steps(X[:10])
    expected, _ = model.predict_steps(X[10:], state)
    save(model, tmp_path / "model")
    for other in (pickle.loads(pickle.dumps(model)), load(tmp_path / "model")):
        np.testing.assert_array_equal(other.predict_steps(X[10:], state)[0], expected)


def test_the_number_of_threads_changes_no_bit():
    one, two = (fitted(n_jobs=n, micro_batch_size=2, dropout=0.2).predict_steps(toy())[0] for n in (1, 2))
    np.testing.assert_array_equal(one, two)


class KilledError(Exception):
    """What ends a training in the middle."""


def test_a_training_that_was_killed_and_begun_again_ends_as_one_that_was_not(tmp_path, monkeypatch):
    expected = fitted(max_epochs=4).predict_steps(toy())[0]
    path, keep = tmp_path / "state", Checkpoint.save

    def keep_two(checkpoint, state):
        keep(checkpoint, state)
        if len(state["history"]) == 2:
            raise KilledError("after two epochs")

    with monkeypatch.context() as patch, pytest.raises(KilledError, match="two epochs"):
        patch.setattr(Checkpoint, "save", keep_two)
        fitted(max_epochs=4, checkpoint=path)
    with pytest.raises(ValueError, match="another fit"):
        fitted(max_epochs=4, checkpoint=path, horizon=2)
    assert path.exists()
    np.testing.assert_array_equal(fitted(max_epochs=4, checkpoint=path).predict_steps(toy())[0], expected)
    assert not path.exists()


def test_a_warm_start_goes_on():
    model = tiny(warm_start=True)
    for _ in range(2):
        model.fit_steps(toy(), starts=STARTS, **SIZE)
    assert model.n_iter_ == 4
    with pytest.raises(ValueError, match="2 steps ahead of 2 targets came, but training began with 1 of 2"):
        model.set_params(horizon=2).fit_steps(toy(), starts=STARTS, **SIZE)


def test_codes_are_read_but_not_forecast():
    X = toy()
    coded = np.column_stack([X, np.arange(120) % 3])
    model = tiny(categorical_channels=[2])
    with pytest.raises(
        ValueError, match=r"Codes of categorical_channels are not forecast. Pass the other channels as Y"
    ):
        model.fit_steps(coded, starts=STARTS, **SIZE)
    model.fit_steps(coded, starts=STARTS, Y=X, X_val=coded, Y_val=X, starts_val=STARTS, **SIZE)
    assert model.predict_steps(coded)[0].shape == (120, 1, 2)


def test_noise_and_mixtures_of_chunks_serve():
    forecast, _ = fitted(horizon=2, augmentation=Augmentation(jitter=0.1, mixup=0.2)).predict_steps(toy())
    assert np.isfinite(forecast).all()


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"bidirectional": True}, {}, "bidirectional=True reads ahead"),
        ({"pooling": "mean"}, {}, "needs the whole window"),
        ({"early_stopping": True}, {}, "Pass X_val and starts_val"),
        ({}, {"X_val": toy()}, "X_val came without starts_val"),
        ({}, {"X_val": toy(), "starts_val": STARTS, "Y": toy()}, "Y without Y_val"),
        ({}, {"Y": toy(5)}, "inconsistent numbers of samples"),
        ({}, {"Y": np.full((120, 1), np.nan)}, "Y contains NaN"),
        ({}, {"sample_weight": np.arange(120) == 50}, "there is nothing to forecast"),  # first of its stretch
        ({}, {"starts": np.arange(120)}, "there is nothing to forecast"),
        ({"augmentation": Augmentation(time_warp=0.1)}, {}, "Set time_warp=0"),
    ],
    ids=str,
)
def test_what_cannot_be_learnt_step_by_step_is_refused_with_the_remedy(changes, arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes).fit_steps(toy(), **{"starts": STARTS, **SIZE, **arguments})


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"Pass finite numbers of shape \(n_rows, 2\)"):
        fitted().predict_steps(toy(n_channels=3))
