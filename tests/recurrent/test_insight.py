"""Looks inside a network: attention, gates and gradients are those of its equations, and plots show their numbers."""

import matplotlib
import numpy as np
import pytest

from eventlstm import LogWindows, LSTMClassifier
from eventlstm.plots import AttentionDisplay, GatesDisplay, GradientFlowDisplay

matplotlib.use("Agg")
from matplotlib import pyplot as plt

ATTENTION = ["additive", "luong", "multihead"]
N_STEPS, AT = 8, 3


def told_at_one_step(n_windows, seed=0):
    """Return windows whose class is the sign of the first channel at the one step that the second marks."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_windows, N_STEPS, 2))
    X[:, :, 1] = np.arange(N_STEPS) == AT
    return X, (X[:, AT, 0] > 0).astype(int)


X, Y = told_at_one_step(192)
LENGTHS = np.where(np.arange(len(X)) % 2, N_STEPS, 5)


def net(**changes):
    settings = {"hidden_size": 4, "max_epochs": 1, "num_heads": 2, "n_jobs": 1, "random_state": 0}
    return LSTMClassifier(**{**settings, **changes})


@pytest.fixture(scope="module", params=ATTENTION)
def attentive(request):
    return net(pooling=request.param, max_epochs=25, batch_size=16, lr=0.03, dropout=0.0, hidden_size=8).fit(X, Y)


@pytest.fixture(scope="module")
def plain():
    return net(num_layers=2).fit(X, Y)


def padded(X, lengths):
    return np.where((np.arange(X.shape[1]) < lengths[:, None])[..., None], X, np.nan)


def test_attention_sums_to_one_over_the_steps_of_each_window(attentive):
    attention = attentive.attention_weights(X)
    assert attention.shape == X.shape[:2]
    assert (attention >= 0).all()
    np.testing.assert_allclose(attention.sum(axis=1), 1.0, atol=1e-6)


def test_attention_is_nothing_on_the_padding_and_that_of_the_shorter_window_before_it(attentive):
    attention = attentive.attention_weights(X, lengths=LENGTHS)
    assert np.array_equal(attention, attentive.attention_weights(padded(X, LENGTHS)))
    assert (attention[LENGTHS == 5, 5:] == 0).all()
    np.testing.assert_allclose(attention.sum(axis=1), 1.0, atol=1e-6)


def test_attention_points_at_the_one_step_that_tells(attentive):
    fresh, y = told_at_one_step(200, seed=1)
    assert attentive.score(fresh, y) > 0.95
    # A step's output carries what came before it, so that the steps from there on may speak for it.
    mean = attentive.attention_weights(fresh).mean(axis=0)
    assert mean[AT:].sum() > 0.8


def test_additive_attention_of_a_network_that_cannot_carry_on_is_at_the_one_step():
    model = net(pooling="additive", cell="lstm", max_epochs=25, batch_size=16, lr=0.03, dropout=0.0, forget_bias=-6.0)
    attention = model.fit(X, Y).attention_weights(X)
    assert attention.mean(axis=0).argmax() == AT


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_a_pooling_that_weighs_nothing_is_refused_with_the_remedy(pooling):
    model = net(pooling=pooling).fit(X, Y)
    with pytest.raises(ValueError, match=f"pooling='{pooling}' weighs no steps. Fit with pooling='additive'"):
        model.attention_weights(X)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def gates_by_hand(layer, x):
    """Return the gates of an LSTM, and what it puts out, a step and a window at a time."""
    W, R, b, b_h = (getattr(layer, f"{name}_l0").detach().double().numpy() for name in NAMES)
    h = c = np.zeros((len(x), len(R) // 4))
    gates, outputs = [], []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ W.T + h @ R.T + b + b_h, 4, axis=1)
        gates.append((sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)))
        c = gates[-1][1] * c + gates[-1][0] * gates[-1][2]
        h = gates[-1][3] * np.tanh(c)
        outputs.append(h)
    return np.array(gates).transpose(1, 2, 0, 3), np.stack(outputs, axis=1)


NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def test_the_gates_of_an_lstm_are_those_of_its_equations(plain):
    layers = plain.module_.encoder.layers
    first, h = gates_by_hand(layers[0], X)
    second, _ = gates_by_hand(layers[1], h)
    for layer, expected in ((0, first), (1, second), (-1, second)):
        found = plain.gate_activations(X, layer=layer)
        for name, gate in zip(("input", "forget", "cell", "output"), expected, strict=True):
            np.testing.assert_allclose(found[name], gate, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "peephole", "gru"])
@pytest.mark.parametrize("direction", [0, 1])
def test_gates_lie_between_shut_and_open(cell, direction):
    gates = net(cell=cell, bidirectional=True).fit(X, Y).gate_activations(X, direction=direction)
    for name, gate in gates.items():
        assert gate.shape == (*X.shape[:2], 4)
        assert (np.abs(gate) <= 1).all()
        assert name == "cell" or (gate >= 0).all()


@pytest.mark.parametrize("n_steps", [1, 5, 30])
def test_gates_and_gradients_of_windows_of_any_length(plain, n_steps):
    longer = np.random.default_rng(0).normal(size=(6, n_steps, 2))
    assert plain.gate_activations(longer)["forget"].shape == (6, n_steps, 4)
    assert plain.gradient_flow(longer, Y[:6]).shape == (n_steps,)


def test_the_gates_before_a_window_s_end_are_those_of_the_shorter_window(plain):
    short = plain.gate_activations(X[:, :5])
    for cut in (plain.gate_activations(padded(X, np.full(len(X), 5))), plain.gate_activations(X, lengths=[5] * len(X))):
        for name, gate in cut.items():
            np.testing.assert_allclose(gate[:, :5], short[name], atol=1e-6)


@pytest.mark.parametrize("form", [lambda X: X.reshape(len(X), -1), lambda X: X.astype(np.float32)])
def test_the_form_of_windows_changes_nothing(plain, form):
    np.testing.assert_allclose(plain.gradient_flow(form(X), Y), plain.gradient_flow(X, Y), rtol=1e-4)
    assert plain.gate_activations(form(X))["input"].shape == (*X.shape[:2], 4)


def test_windows_of_a_log_of_any_length_can_be_looked_into(plain):
    log = np.random.default_rng(0).normal(size=(40, 2))
    windows = LogWindows(log, 20)
    assert np.array_equal(plain.gate_activations(windows)["forget"], plain.gate_activations(windows[:])["forget"])


def test_the_gradient_flows_from_all_steps_of_a_window_and_from_none_of_its_padding(plain):
    assert (plain.gradient_flow(X, Y) > 0).all()
    flow = plain.gradient_flow(X, Y, lengths=[5] * len(X))
    assert (flow[:5] > 0).all()
    assert (flow[5:] == 0).all()
    np.testing.assert_allclose(flow[:5], plain.gradient_flow(X[:, :5], Y), rtol=1e-4)


def test_the_gradient_is_the_slope_of_the_loss():
    model, step = net(precision="float64", dropout=0.5, tbptt_steps=2).fit(X, Y), 1e-6

    def loss(moved):
        return -np.log(model.predict_proba(moved)[0, Y[0]])

    slopes = np.zeros((N_STEPS, 2))
    for t, channel in np.ndindex(slopes.shape):
        there, back = X[:1].copy(), X[:1].copy()
        there[0, t, channel] += step
        back[0, t, channel] -= step
        slopes[t, channel] = (loss(there) - loss(back)) / (2 * step)
    np.testing.assert_allclose(model.gradient_flow(X[:1], Y[:1]), np.linalg.norm(slopes, axis=1), rtol=1e-4)


def test_looking_inside_changes_no_prediction(attentive):
    before = attentive.predict_proba(X)
    for look in (attentive.attention_weights, attentive.gate_activations, lambda X: attentive.gradient_flow(X, Y)):
        look(X)
        assert np.array_equal(attentive.predict_proba(X), before)


def test_classes_are_named_as_in_fit():
    words = np.array(["ok", "fault"])[Y]
    one, other = net().fit(X, words), net().fit(X, 1 - Y)
    np.testing.assert_allclose(one.gradient_flow(X, words), other.gradient_flow(X, 1 - Y))


NAN_INSIDE = np.where(np.arange(N_STEPS)[:, None] == 2, np.nan, X)
REFUSED = {
    "a layer": (lambda m: m.gate_activations(X, layer=2), "layer=2 came, but there are 2"),
    "a direction": (lambda m: m.gate_activations(X, direction=1), "direction=1 came; a layer has 0"),
    "channels": (lambda m: m.gate_activations(X[:, :, :1]), "X has 1 channels"),
    "missing": (lambda m: m.gradient_flow(NAN_INSIDE, Y), "NaN before the end of a window"),
    "infinite": (lambda m: m.gradient_flow(np.where(X > 2, np.inf, X), Y), "infinity"),
    "too few classes": (lambda m: m.gradient_flow(X, Y[:-1]), "inconsistent numbers of samples"),
    "an unknown class": (lambda m: m.gradient_flow(X, Y + 1), "the classes are"),
    "lengths": (lambda m: m.gate_activations(X, lengths=[9] * len(X)), "lengths does not say from 1 to 8 steps"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_looked_into_is_refused(plain, what):
    look, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        look(plain)


def test_a_cell_without_gates_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"no gates\. Use cell='lstm'"):
        net(cell="rnn").fit(X, Y).gate_activations(X)


def test_attention_is_drawn_as_the_mean_over_windows(attentive):
    _, ax = plt.subplots()
    display = AttentionDisplay.from_estimator(attentive, X, event=Y, ax=ax)
    weights = attentive.attention_weights(X)
    assert display.ax_ is ax and display.figure_ is ax.figure
    event, other = display.ax_.get_lines()[:2]
    np.testing.assert_allclose(event.get_ydata(), weights[Y == 1].mean(axis=0))
    np.testing.assert_allclose(other.get_ydata(), weights[Y == 0].mean(axis=0))
    assert list(event.get_xdata()) == list(range(1 - N_STEPS, 1))


def test_gates_are_drawn_as_the_mean_over_units(plain):
    display = GatesDisplay.from_estimator(plain, X[0], layer=0, event=np.arange(N_STEPS) > 5)
    gates = plain.gate_activations(X[:1], layer=0)
    drawn = {line.get_label(): line.get_ydata() for line in display.ax_.get_lines()}
    assert set(drawn) == {"input", "forget", "output"}
    for name, line in drawn.items():
        np.testing.assert_allclose(line, gates[name][0].mean(axis=1), atol=1e-6)


def test_gradients_are_drawn_as_they_are(plain):
    display = GradientFlowDisplay.from_estimator(plain, X, Y, name="lstm")
    (line,) = display.ax_.get_lines()
    assert line.get_label() == "lstm"
    np.testing.assert_allclose(line.get_ydata(), plain.gradient_flow(X, Y))


@pytest.mark.parametrize(
    "display",
    [
        AttentionDisplay([[0.5, 0.5]]),
        GatesDisplay({"update": [[0.5], [0.6]]}, times=[3, 4]),
        GradientFlowDisplay([0.0, 1.0]),
    ],
    ids=lambda display: type(display).__name__,
)
def test_a_plot_returns_its_display_and_goes_where_it_is_told(display):
    assert display.plot() is display
    own = display.figure_
    _, ax = plt.subplots()
    assert display.plot(ax).ax_ is ax
    assert display.figure_ is not own


NONSENSE = {
    "attention of one window": (lambda: AttentionDisplay(np.ones((2, 3, 4))), r"weights .* \(2, 3, 4\)"),
    "no attention": (lambda: AttentionDisplay(np.ones((0, 3))), r"weights .* \(0, 3\)"),
    "other events": (
        lambda: AttentionDisplay(np.ones((2, 3)), event=[True]),
        r"event has the length \(1,\) for 2 windows",
    ),
    "gates of one unit": (lambda: GatesDisplay({"input": np.ones(5)}), r"gates\['input'\] .* \(5,\)"),
    "gates of other lengths": (
        lambda: GatesDisplay({"input": [[1]], "forget": [[1], [1]]}),
        r"forget has the length \(2,\) for 1 steps",
    ),
    "events of other steps": (
        lambda: GatesDisplay({"input": [[1]]}, event=[1, 0]),
        r"event has the length \(2,\) for 1 steps",
    ),
    "times of other steps": (
        lambda: GatesDisplay({"input": [[1]]}, times=[1, 0]),
        r"times has the length \(2,\) for 1 steps",
    ),
    "no gate": (lambda: GatesDisplay({"cell": [[1.0]]}).plot(), r"None of \['cell'\] is a gate"),
    "gradients of windows": (lambda: GradientFlowDisplay(np.ones((2, 3))), r"norms .* \(2, 3\)"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_not_drawn(what):
    draw, message = NONSENSE[what]
    with pytest.raises(ValueError, match=message):
        draw()


def test_gates_are_drawn_of_one_window(plain):
    with pytest.raises(ValueError, match=r"x .* \(192, 8, 2\)"):
        GatesDisplay.from_estimator(plain, X)
