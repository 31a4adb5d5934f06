"""Losses are their formulas in plain loops, finite everywhere, and what they do to probabilities is undone."""

import copy
import math
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from torch import nn
from torch.nn import functional as F

from eventlstm import losses
from eventlstm.losses import (
    LOSSES,
    AsymmetricLoss,
    AveragePrecisionLoss,
    CallableLoss,
    ClassBalancedLoss,
    CrossEntropyLoss,
    FocalLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    cross_entropy,
    make_loss,
)
from eventlstm.losses.priors import undo_factors
from eventlstm.training.checkpoints import fingerprint

N_ITEMS = {2: np.array([95.0, 5.0]), 3: np.array([80.0, 15.0, 5.0])}
N_EVENTS = {2: np.array([16.0, 2.0]), 3: np.array([16.0, 5.0, 1.0])}
EXACT = {"rtol": 1e-10, "atol": 1e-12}

CASES = [
    CrossEntropyLoss(),
    FocalLoss(),
    FocalLoss(gamma=0.5),
    FocalLoss(gamma=0.0),
    ClassBalancedLoss(beta=0.9),
    LogitAdjustedLoss(tau=1.5),
    AsymmetricLoss(),
    AsymmetricLoss(gamma_pos=1.0, gamma_neg=0.5, margin=0.0),
    AsymmetricLoss(gamma_neg=0.0, margin=0.9),
    LDAMLoss(max_margin=0.5, scale=4.0),
    AveragePrecisionLoss(),
    AveragePrecisionLoss(temperature=0.05),
]

each_case = pytest.mark.parametrize("loss", CASES, ids=repr)
each_number = pytest.mark.parametrize("n_classes", [2, 3])

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def prepared(loss, n_classes):
    return loss.prepare(N_ITEMS[n_classes], N_EVENTS[n_classes])


def items(n_classes, n_items=12, spread=2.0):
    rng = np.random.default_rng(n_classes)
    logits = torch.from_numpy(rng.normal(0.0, spread, (n_items, n_classes)))
    return logits, torch.from_numpy(np.arange(n_items) % n_classes)


def softmax(logits):
    powers = [math.exp(value) for value in logits]
    return [power / sum(powers) for power in powers]


def effective(beta, n_classes):
    n_items, n_events = N_ITEMS[n_classes], N_EVENTS[n_classes]
    weights = [(1 - beta) / (1 - beta**n) for n in n_events]
    mean = sum(n * weight for n, weight in zip(n_items, weights, strict=True)) / sum(n_items)
    return [weight / mean for weight in weights]


def focal_by_hand(logits, target, gamma, alpha):
    p = softmax(logits)[target]
    return -alpha[target] * (1 - p) ** gamma * math.log(p)


def balanced_by_hand(logits, target, beta):
    return -effective(beta, len(logits))[target] * math.log(softmax(logits)[target])


def adjusted_by_hand(logits, target, tau):
    n_items = N_ITEMS[len(logits)]
    moved = [z + tau * math.log(n / sum(n_items)) for z, n in zip(logits, n_items, strict=True)]
    return -math.log(softmax(moved)[target])


def asymmetric_by_hand(logits, target, gamma_pos, gamma_neg, margin):
    p = softmax(logits)
    if target:
        return -((1 - p[target]) ** gamma_pos) * math.log(p[target])
    p_m = max(sum(p[1:]) - margin, 0.0)
    return -(p_m**gamma_neg) * math.log(1 - p_m)


def ldam_by_hand(logits, target, max_margin, scale, beta, weigh):
    n_events = N_EVENTS[len(logits)]
    constant = max_margin * min(n_events) ** 0.25
    outputs = [z / scale for z in logits]
    outputs[target] -= constant / n_events[target] ** 0.25
    weight = effective(beta, len(logits))[target] if weigh else 1.0
    return -weight * math.log(softmax([scale * output for output in outputs])[target])


BY_HAND = [
    (FocalLoss(gamma=2.0), lambda z, y: focal_by_hand(z, y, 2.0, [1.0] * len(z))),
    (FocalLoss(gamma=0.7, alpha=[0.2, 0.8]), lambda z, y: focal_by_hand(z, y, 0.7, [0.2, 0.8])),
    (FocalLoss(gamma=2.0, alpha=[1.0, 2.0, 5.0]), lambda z, y: focal_by_hand(z, y, 2.0, [1.0, 2.0, 5.0])),
    (ClassBalancedLoss(beta=0.9), partial(balanced_by_hand, beta=0.9)),
    (LogitAdjustedLoss(tau=1.5), partial(adjusted_by_hand, tau=1.5)),
    (AsymmetricLoss(), partial(asymmetric_by_hand, gamma_pos=0.0, gamma_neg=4.0, margin=0.05)),
    (AsymmetricLoss(1.0, 2.0, 0.3), partial(asymmetric_by_hand, gamma_pos=1.0, gamma_neg=2.0, margin=0.3)),
    (AsymmetricLoss(1.0, 0.5, 0.0), partial(asymmetric_by_hand, gamma_pos=1.0, gamma_neg=0.5, margin=0.0)),
    (LDAMLoss(0.5, 3.0, 0.8, 0.9), partial(ldam_by_hand, max_margin=0.5, scale=3.0, beta=0.9, weigh=True)),
]


@each_number
@pytest.mark.parametrize(("loss", "by_hand"), BY_HAND, ids=[repr(loss) for loss, _ in BY_HAND])
def test_a_loss_is_its_formula_in_a_plain_loop(loss, by_hand, n_classes):
    if n_classes != len(getattr(loss, "alpha", None) or range(n_classes)):
        n_classes = len(loss.alpha)
    logits, target = items(n_classes)
    expected = [by_hand(z, y) for z, y in zip(logits.tolist(), target.tolist(), strict=True)]
    np.testing.assert_allclose(prepared(loss, n_classes)(logits, target), expected, **EXACT)


@each_number
@each_case
def test_gradients_are_the_slopes(loss, n_classes):
    logits, target = items(n_classes)
    assert torch.autograd.gradcheck(lambda z: prepared(loss, n_classes)(z, target), logits.requires_grad_())


@each_number
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_case
def test_loss_and_gradient_are_finite_at_logits_of_a_hundred(loss, dtype, n_classes):
    corners = torch.cartesian_prod(*[torch.tensor([-100.0, 0.0, 100.0], dtype=dtype)] * n_classes)
    logits = corners.repeat_interleave(n_classes, dim=0).requires_grad_()
    target = torch.arange(n_classes).repeat(len(corners))
    values = prepared(loss, n_classes)(logits, target)
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    assert values.dtype == gradient.dtype == dtype
    assert torch.isfinite(values).all() and torch.isfinite(gradient).all()
    assert (values >= -1e-6).all()


def test_the_asymmetric_loss_is_smooth_where_its_margin_ends():
    just = math.log(0.9 / 0.1)
    for dtype in (torch.float32, torch.float64):
        near = torch.tensor([just], dtype=dtype)
        event = torch.cat([near, near.nextafter(near + 1), near.nextafter(near - 1)]).requires_grad_()
        loss = prepared(AsymmetricLoss(gamma_neg=0.5, margin=0.9), 2)
        values = loss(torch.stack([torch.zeros_like(event), event], dim=1), torch.zeros(3, dtype=torch.int64))
        (gradient,) = torch.autograd.grad(values.sum(), event)
        torch.testing.assert_close(values, torch.zeros_like(values), atol=1e-6, rtol=0.0)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-3, rtol=0.0)


@pytest.mark.parametrize("gamma_neg", [0.0, 0.5, 4.0])
def test_the_asymmetric_loss_and_its_slope_are_finite_within_rounding_of_its_margin(gamma_neg):
    event = math.log(99.0) + torch.arange(-200, 200) * 5e-7
    logits = torch.stack([torch.zeros(400), event], dim=1).requires_grad_()
    values = prepared(AsymmetricLoss(gamma_neg=gamma_neg, margin=0.99), 2)(logits, torch.zeros(400, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(values.sum(), logits)
    assert torch.isfinite(values).all() and torch.isfinite(gradient).all()


def test_the_quiet_class_of_the_asymmetric_loss_is_the_most_frequent():
    logits, target = items(3)
    turned = AsymmetricLoss().prepare(N_ITEMS[3][::-1], N_EVENTS[3][::-1])(logits.flip(-1), 2 - target)
    torch.testing.assert_close(turned, prepared(AsymmetricLoss(), 3)(logits, target), **EXACT)


@pytest.mark.parametrize("loss", [*CASES[:-2], CallableLoss(nn.CrossEntropyLoss(weight=torch.ones(3)))], ids=repr)
def test_what_a_prepared_loss_holds_goes_where_the_logits_are(loss):
    # Tensors on "meta" have a device and no values, so that any on another device is refused as on an accelerator.
    logits, target = (tensor.to("meta") for tensor in items(3))
    assert prepared(loss, 3)(logits, target).device.type == "meta"


@each_case
def test_items_may_stand_in_any_shape(loss):
    logits, target = items(3)
    flat = prepared(loss, 3)(logits, target)
    shaped = prepared(loss, 3)(logits.reshape(2, 6, 3), target.reshape(2, 6))
    torch.testing.assert_close(shaped.reshape(-1), flat, **EXACT)


SAME_AS_CROSS_ENTROPY = [
    FocalLoss(gamma=0.0),
    FocalLoss(gamma=0.0, alpha=[1.0, 1.0, 1.0]),
    ClassBalancedLoss(beta=0.0),
    LogitAdjustedLoss(tau=0.0),
    AsymmetricLoss(gamma_pos=0.0, gamma_neg=0.0, margin=0.0),
    LDAMLoss(max_margin=0.0, beta=0.0),
    CallableLoss(nn.CrossEntropyLoss()),
    CallableLoss(cross_entropy),
]


@pytest.mark.parametrize("loss", SAME_AS_CROSS_ENTROPY)
def test_a_loss_whose_effect_is_switched_off_is_cross_entropy(loss):
    logits, target = items(3)
    torch.testing.assert_close(prepared(loss, 3)(logits, target), cross_entropy(logits, target), **EXACT)


def test_half_an_alpha_halves_the_binary_loss():
    logits, target = items(2)
    half = prepared(FocalLoss(gamma=0.0, alpha=0.5), 2)(logits, target)
    torch.testing.assert_close(half, 0.5 * cross_entropy(logits, target), **EXACT)


def test_a_number_as_alpha_weighs_the_last_of_two_classes():
    logits, target = items(2)
    quarter = prepared(FocalLoss(alpha=0.25), 2)(logits, target)
    torch.testing.assert_close(quarter, prepared(FocalLoss(alpha=[0.75, 0.25]), 2)(logits, target), **EXACT)


@each_number
@pytest.mark.parametrize("loss", [ClassBalancedLoss(beta=0.9), LogitAdjustedLoss(), LDAMLoss()], ids=repr)
def test_factors_of_counted_classes_have_mean_one_over_the_items(loss, n_classes):
    factors = loss.class_factors(N_ITEMS[n_classes], N_EVENTS[n_classes])
    assert np.average(factors, weights=N_ITEMS[n_classes]) == pytest.approx(1.0, rel=1e-12)
    assert (np.diff(factors) > 0).all()  # classes are in the order of their frequency


def test_effective_numbers_go_from_all_alike_to_the_inverse_of_the_events():
    alike = ClassBalancedLoss(beta=0.0).class_factors(N_ITEMS[3], N_EVENTS[3])
    inverse = ClassBalancedLoss(beta=1 - 1e-9).class_factors(N_ITEMS[3], N_EVENTS[3]) * N_EVENTS[3]
    np.testing.assert_array_equal(alike, 1.0)
    np.testing.assert_allclose(inverse, inverse[0], rtol=1e-6)


def test_classes_are_weighed_by_events_and_not_by_items():
    one = ClassBalancedLoss().class_factors([900, 100], [20, 2])
    other = ClassBalancedLoss().class_factors([500, 500], [20, 2])
    np.testing.assert_allclose(one / one[0], other / other[0])


def test_deferred_weights_join_at_their_share_of_training():
    logits, target = items(3)
    loss = prepared(LDAMLoss(scale=3.0, deferred=0.5, beta=0.9), 3)
    bare = prepared(LDAMLoss(scale=3.0, beta=0.0), 3)(logits, target)
    weights = torch.tensor(effective(0.9, 3), dtype=torch.float64)[target]
    for progress, expected in [(0.0, bare), (0.49, bare), (0.5, weights * bare), (1.0, weights * bare)]:
        torch.testing.assert_close(loss.at(progress)(logits, target), expected, **EXACT)
        torch.testing.assert_close(loss.at(0.9).at(progress)(logits, target), expected, **EXACT)


# Two points of equal mass, for which the true probabilities are known.
ETA = {
    2: torch.tensor([[0.999, 0.001], [0.8, 0.2]], dtype=torch.float64),
    3: torch.tensor([[0.97, 0.02, 0.01], [0.3, 0.6, 0.1]], dtype=torch.float64),
}
EXACTLY_UNDONE = [
    CrossEntropyLoss(),
    FocalLoss(),
    FocalLoss(gamma=0.5),
    FocalLoss(gamma=5.0),
    FocalLoss(gamma=2.0, alpha="some"),
    ClassBalancedLoss(beta=0.9),
    ClassBalancedLoss(beta=0.9999),
    LogitAdjustedLoss(),
    LogitAdjustedLoss(tau=0.4),
]
SOME_ALPHA = {2: 0.25, 3: [0.2, 0.5, 1.5]}


def least(loss, eta, n_items, class_weight):
    """Return the probabilities at the minimum of the expected loss over points whose classes have shares `eta`."""
    logits = torch.zeros_like(eta, requires_grad=True)
    n_points, n_classes = eta.shape
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe"
    )
    function = loss.prepare(n_items, N_EVENTS[n_classes])

    def expected():
        optimizer.zero_grad()
        of_each = logits[:, None, :].expand(n_points, n_classes, n_classes)  # (points, classes, logits)
        values = function(of_each, torch.arange(n_classes).expand(n_points, n_classes))
        total = (eta * class_weight * values).sum()
        total.backward()
        return total

    optimizer.step(expected)
    return logits.detach().softmax(dim=1).numpy()


@each_number
@pytest.mark.parametrize("weigh", [False, True], ids=["plain", "weighed"])
@pytest.mark.parametrize("loss", EXACTLY_UNDONE, ids=repr)
def test_restored_probabilities_at_the_minimum_are_the_true_ones(loss, weigh, n_classes):
    if getattr(loss, "alpha", None):
        loss = clone(loss).set_params(alpha=SOME_ALPHA[n_classes])
    class_weight = torch.tensor([1.0, 9.0, 4.0][:n_classes] if weigh else [1.0] * n_classes, dtype=torch.float64)
    n_items = 1000.0 * (ETA[n_classes].mean(dim=0) * class_weight).numpy()
    found = least(loss, ETA[n_classes], n_items, class_weight)
    factors = loss.class_factors(n_items, N_EVENTS[n_classes]) * class_weight.numpy()
    # To a thousandth of the probability itself, which is a thousandth where events are rarest.
    np.testing.assert_allclose(undo_factors(loss.restore(found), factors), ETA[n_classes], rtol=1e-3)
    if not isinstance(loss, CrossEntropyLoss) or weigh:
        assert abs(found - ETA[n_classes].numpy()).max() > 0.01


def test_the_logit_adjusted_loss_serves_what_equally_frequent_classes_would_give():
    eta = ETA[3].numpy()
    n_items = 1000.0 * eta.mean(axis=0)
    found = least(LogitAdjustedLoss(), ETA[3], n_items, torch.ones(3, dtype=torch.float64))
    balanced = eta / eta.mean(axis=0)
    np.testing.assert_allclose(found, balanced / balanced.sum(axis=1, keepdims=True), rtol=1e-3)


@pytest.mark.parametrize("loss", [AsymmetricLoss(), LDAMLoss(), AveragePrecisionLoss(), CallableLoss(cross_entropy)])
def test_a_loss_without_a_way_back_names_the_remedy(loss):
    with pytest.raises(ValueError, match="CalibratedClassifierCV"):
        loss.restore([[0.5, 0.5]])


def smooth_average_precision(scores, is_event, weights, temperature):
    """Return the average precision with ranks by sigmoids, in loops."""

    def rank(i, others):
        return weights[i] + sum(weights[j] / (1 + math.exp((scores[i] - scores[j]) / temperature)) for j in others)

    events = [i for i, event in enumerate(is_event) if event]
    total = 0.0
    for i in events:
        among_events = rank(i, [j for j in events if j != i])
        total += weights[i] * among_events / rank(i, [j for j in range(len(scores)) if j != i])
    return total / sum(weights[i] for i in events)


@pytest.mark.parametrize("weigh", [False, True])
@each_number
def test_smooth_average_precision_is_that_of_a_plain_loop(n_classes, weigh):
    logits, target = items(n_classes)
    weights = torch.rand(len(target), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = weights if weigh else torch.ones_like(weights)
    values = prepared(AveragePrecisionLoss(temperature=0.5), n_classes)(logits, target, weight=weights)
    by_hand = []
    for k in [1] if n_classes == 2 else range(n_classes):
        p = [softmax(z)[k] for z in logits.tolist()]
        scores = [math.log(share / (1 - share)) for share in p]
        by_hand.append(smooth_average_precision(scores, (target == k).tolist(), weights.tolist(), 0.5))
    assert (values * weights).mean().item() == pytest.approx(1 - np.mean(by_hand), rel=1e-10)


def test_sharp_ranks_give_the_average_precision():
    logits, target = items(2, n_items=40)
    value = prepared(AveragePrecisionLoss(temperature=1e-6), 2)(logits, target).mean().item()
    assert value == pytest.approx(1 - average_precision_score(target, logits[:, 1] - logits[:, 0]), rel=1e-9)


def test_items_without_weight_have_no_rank():
    logits, target = items(3)
    weight = (torch.arange(12) < 9).double()
    loss = prepared(AveragePrecisionLoss(), 3)
    mean = (loss(logits, target, weight=weight) * weight).mean()
    torch.testing.assert_close(mean, loss(logits[:9], target[:9]).mean(), **EXACT)


def test_a_batch_without_events_has_loss_zero_and_belongs_to_the_graph():
    logits = torch.zeros(4, 2, requires_grad=True)
    values = prepared(AveragePrecisionLoss(), 2)(logits, torch.zeros(4, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(values.mean(), logits)
    assert not values.any() and not gradient.any()


def test_descending_the_smooth_loss_ranks_events_first():
    _, target = items(2, n_items=20)
    logits = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    optimizer, loss = torch.optim.Adam([logits], lr=0.1), prepared(AveragePrecisionLoss(), 2)
    for _ in range(100):
        optimizer.zero_grad()
        loss(logits, target).mean().backward()
        optimizer.step()
    assert average_precision_score(target, (logits[:, 1] - logits[:, 0]).detach()) == pytest.approx(1.0)


def test_average_precision_and_unknown_functions_take_whole_batches_and_others_do_not():
    whole = {name for name, loss in LOSSES.items() if prepared(loss(), 2).whole_batch}
    assert whole == {"average_precision"}
    assert prepared(CallableLoss(cross_entropy), 2).whole_batch
    assert not prepared(CallableLoss(nn.CrossEntropyLoss()), 2).whole_batch


def test_a_name_stands_for_the_defaults_and_a_loss_for_itself():
    for name, kind in LOSSES.items():
        assert type(make_loss(name)) is kind
    loss = FocalLoss(gamma=1.0)
    assert make_loss(loss) is loss
    assert set(LOSSES.values()) < {getattr(losses, name) for name in losses.__all__ if name.endswith("Loss")}


class SummedLoss(nn.Module):
    """A module of a user's, with a number for all items and a constant of its own."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, logits, target):
        return self.factor * F.cross_entropy(logits, target)


@pytest.mark.parametrize("given", [SummedLoss(), lambda z, y: 2.0 * F.cross_entropy(z, y)], ids=["module", "function"])
def test_a_number_for_all_items_is_their_mean(given):
    logits, target = items(3)
    values = prepared(make_loss(given), 3)(logits.reshape(4, 3, 3), target.reshape(4, 3))
    assert values.shape == (4, 3)
    torch.testing.assert_close(values.mean(), 2.0 * F.cross_entropy(logits, target), **EXACT)


def test_a_module_of_torch_gives_each_item_its_loss_and_stays_as_it_was():
    logits, target = items(3)
    module = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0]))
    values = prepared(make_loss(module), 3)(logits, target)
    torch.testing.assert_close(values, (2.0**target) * cross_entropy(logits, target), **EXACT)
    assert module.reduction == "mean"
    assert module.weight.dtype == torch.float32


REFUSED = [
    (nn.BCEWithLogitsLoss(), "BCEWithLogitsLoss does not serve"),
    (F.binary_cross_entropy_with_logits, "It raised ValueError"),
    (lambda logits, target: logits, r"It returned shape \(12, 3\)"),
    (lambda logits, target: 1.0, "It returned float"),
    (lambda logits: logits.sum(), "It raised TypeError"),
]


@pytest.mark.parametrize(("function", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_a_function_that_does_not_fit_is_refused_with_what_is_wanted(function, message):
    logits, target = items(3)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        prepared(make_loss(function), 3)(logits, target)


def test_a_binary_cross_entropy_of_one_logit_serves_as_the_message_says():
    logits, target = items(2)

    def binary(logits, target):
        one = logits[:, 1] - logits[:, 0]
        return F.binary_cross_entropy_with_logits(one, target.to(logits.dtype), reduction="none")

    torch.testing.assert_close(prepared(make_loss(binary), 2)(logits, target), cross_entropy(logits, target), **EXACT)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("foca", ValueError, "There is no loss 'foca'. Choose one of 'cross_entropy'"),
        (FocalLoss, TypeError, r"an object of it is needed: FocalLoss\(\)"),
        (3, TypeError, "loss=3 is no loss"),
    ],
)
def test_what_is_no_loss_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        make_loss(given)


@pytest.mark.parametrize(
    "loss",
    [
        FocalLoss(gamma=-1.0),
        FocalLoss(alpha=1.0),
        FocalLoss(alpha="balanced"),
        ClassBalancedLoss(beta=1.0),
        LogitAdjustedLoss(tau=-1.0),
        AsymmetricLoss(margin=1.0),
        LDAMLoss(scale=0.0),
        LDAMLoss(deferred=1.0),
        AveragePrecisionLoss(temperature=0.0),
        CallableLoss("focal"),
    ],
    ids=repr,
)
def test_a_parameter_out_of_its_range_is_refused(loss):
    with pytest.raises(ValueError, match=f"parameter of {type(loss).__name__} must be"):
        prepared(loss, 2)
    with pytest.raises(ValueError, match=f"parameter of {type(loss).__name__} must be"):
        loss.class_factors(N_ITEMS[2], N_EVENTS[2])


@pytest.mark.parametrize("alpha", [[0.5], [1.0, 2.0, 3.0], [1.0, 0.0], [1.0, np.nan]])
def test_an_alpha_that_does_not_fit_the_classes_is_refused(alpha):
    with pytest.raises(ValueError, match=r"does not weigh 2 classes\. Pass a list of one positive weight"):
        prepared(FocalLoss(alpha=alpha), 2)


@pytest.mark.parametrize("loss", [ClassBalancedLoss(), LogitAdjustedLoss(), LDAMLoss()], ids=repr)
def test_an_empty_class_is_named_by_a_loss_that_counts(loss):
    with pytest.raises(ValueError, match="Class 1 has no example"):
        loss.prepare([10.0, 0.0, 2.0], [3.0, 0.0, 1.0])


def test_a_loss_that_does_not_count_passes_an_empty_class():
    logits, target = items(3)
    for loss in (CrossEntropyLoss(), FocalLoss(), AsymmetricLoss(), AveragePrecisionLoss()):
        assert torch.isfinite(loss.prepare([10.0, 0.0, 2.0], [3.0, 0.0, 1.0])(logits, target)).all()


@pytest.mark.parametrize("counts", [[1.0], [[1.0, 2.0]], [1.0, -1.0], [1.0, np.nan]])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match="a count from zero on is needed for each class"):
        CrossEntropyLoss().prepare([1.0, 1.0], counts)


@each_case
def test_a_prepared_loss_can_be_pickled_and_copied(loss):
    logits, target = items(2)
    function = prepared(loss, 2)
    for twin in (pickle.loads(pickle.dumps(function)), copy.deepcopy(function)):
        torch.testing.assert_close(twin(logits, target), function(logits, target), rtol=0.0, atol=0.0)
        assert type(twin) is type(function) and twin.whole_batch == function.whole_batch


def test_a_fingerprint_tells_every_parameter_and_count():
    prints = [fingerprint(prepared(loss, n_classes)) for loss in CASES for n_classes in (2, 3)]
    by_counts = [prepared(loss, 2) for loss in CASES if not isinstance(loss, CrossEntropyLoss)]
    assert len({fingerprint(function) for function in by_counts}) == len(by_counts)
    assert prints == [fingerprint(prepared(clone(loss), n_classes)) for loss in CASES for n_classes in (2, 3)]


@each_case
def test_a_loss_can_be_cloned_and_searched(loss):
    twin = clone(loss)
    assert repr(twin) == repr(loss)
    for name, value in loss.get_params().items():
        assert twin.set_params(**{name: value}).get_params()[name] == value
