"""Augmentation changes what it says, by as much as it says, and nothing else."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.base import BaseEstimator, clone

from eventlstm.losses import cross_entropy
from eventlstm.training.augmentation import Augmentation, draw_share, draw_source

N_ITEMS, N_STEPS, N_CHANNELS = 6, 20, 3
EACH = {"jitter": 0.1, "scaling": 0.1, "time_warp": 0.5, "mixup": 0.4}
each_kind = pytest.mark.parametrize("kind", EACH)

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Batch(NamedTuple):
    x: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor
    lengths: torch.Tensor | None = None
    mix: Any = None


class Model(BaseEstimator):
    def __init__(self, augmentation=None):
        self.augmentation = augmentation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def window_batch(dtype=torch.float64, lengths=None, n_items=N_ITEMS, n_steps=N_STEPS):
    """Return random windows; the target of each is its number, and its weight another number of its own."""
    x = torch.randn(n_items, n_steps, N_CHANNELS, dtype=dtype, generator=seeded(7))
    number = torch.arange(n_items)
    return Batch(x, number, (1.0 + number / 8).to(dtype), None if lengths is None else torch.tensor(lengths))


def step_batch(labelled=N_STEPS, n_items=32):
    """Return chunks that rise from step to step; the label of a step is its number, its weight too, from one on."""
    number = torch.arange(N_STEPS).expand(n_items, N_STEPS)
    x = number[..., None].expand(-1, -1, N_CHANNELS).double()
    return Batch(x, number[:, -labelled:], 1.0 + number[:, -labelled:].double())


def assert_same(first, second):
    """Two batches hold the same numbers, of the same types."""
    for one, other in zip(first[:3], second[:3], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert (first.mix is None) == (second.mix is None)
    for one, other in zip(first.mix or (), second.mix or (), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_everything_at_zero_is_the_batch_itself_without_a_draw():
    batch, generator = window_batch(), seeded()
    assert Augmentation()(batch, generator) is batch
    assert torch.equal(generator.get_state(), seeded().get_state())


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [window_batch, step_batch])
def test_shapes_and_types_are_kept_and_values_change(kind, dtype, make):
    batch = make()
    batch = batch._replace(x=batch.x.to(dtype), weight=batch.weight.to(dtype))
    before = batch.x.clone()
    changed = Augmentation(**{kind: EACH[kind]})(batch, seeded())
    assert type(changed) is Batch
    for one, other in zip(changed[:3], batch[:3], strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
    assert torch.equal(batch.x, before)
    assert kind == "mixup" or not torch.equal(changed.x, batch.x)
    assert (changed.mix is not None) == (kind == "mixup")


def test_the_same_seed_gives_the_same_batch_and_another_seed_another():
    batch, augment = window_batch(), Augmentation(**EACH)
    first = augment(batch, seeded(1))
    assert_same(first, augment(batch, seeded(1)))
    assert not torch.equal(first.x, augment(batch, seeded(2)).x)


def test_the_global_generators_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    Augmentation(**EACH)(window_batch(lengths=[20, 20, 9, 9, 5, 1]), seeded())
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002


def test_noise_has_the_deviation_asked_for_and_is_new_for_every_value():
    batch = window_batch(n_items=200, n_steps=50)
    noise = Augmentation(jitter=0.3)(batch, seeded()).x - batch.x
    assert noise.std().item() == pytest.approx(0.3, rel=0.02)
    assert abs(noise.mean().item()) < 0.01
    assert noise.unique().numel() == noise.numel()


def test_the_factor_has_the_deviation_asked_for_and_holds_for_a_window_and_channel():
    batch = window_batch(n_items=4000, n_steps=3)
    factor = Augmentation(scaling=0.3)(batch, seeded()).x / batch.x
    torch.testing.assert_close(factor, factor[:, :1].expand_as(factor))
    assert factor[:, 0].std().item() == pytest.approx(0.3, rel=0.03)
    assert factor[:, 0].mean().item() == pytest.approx(1.0, abs=0.01)
    correlation = torch.corrcoef(factor[:, 0].T) - torch.eye(N_CHANNELS)
    assert correlation.abs().max() < 0.06


@pytest.mark.parametrize("strength", [0.2, 2.0, 1000.0])
def test_a_warp_never_runs_backwards_and_keeps_the_first_and_the_last_step(strength):
    source = draw_source(step_batch(), strength, seeded())
    assert (source.diff(dim=1) >= 0).all()
    assert torch.equal(source[:, 0], torch.zeros(len(source), dtype=source.dtype))
    assert torch.equal(source[:, -1], torch.full((len(source),), N_STEPS - 1.0, dtype=source.dtype))


def test_a_stronger_warp_moves_steps_further_and_each_window_otherwise():
    step = torch.arange(N_STEPS)
    moved = [(draw_source(step_batch(), strength, seeded()) - step).abs().mean() for strength in (0.1, 0.3, 1.0)]
    assert moved == sorted(moved)
    source = draw_source(step_batch(), 0.3, seeded())
    assert len(source.unique(dim=0)) == len(source)


def test_the_speed_of_a_warp_has_the_deviation_asked_for_and_changes_smoothly():
    n_steps = 500
    batch = window_batch(n_items=2000, n_steps=n_steps)
    log_speed = draw_source(batch, 0.3, seeded()).diff(dim=1).log()
    # At a fifth of the window lies the second of six knots; the mean speed of a window, close to one, is divided out.
    difference = log_speed[:, round((n_steps - 1) / 5)] - log_speed[:, round((n_steps - 1) * 3 / 5)]
    assert difference.std().item() == pytest.approx(0.3 * math.sqrt(2), rel=0.05)
    assert log_speed.diff(dim=1).abs().max() < 0.03


def test_a_constant_window_stays_constant_under_a_warp():
    batch = window_batch()
    batch = batch._replace(x=batch.x[:, :1].expand_as(batch.x))
    assert torch.equal(Augmentation(time_warp=1.0)(batch, seeded()).x, batch.x)


def test_a_warp_reads_values_on_the_straight_line_between_steps():
    batch = window_batch()
    changed = Augmentation(time_warp=1.0)(batch, seeded())
    source = draw_source(batch, 1.0, seeded()).numpy()
    for i in range(N_ITEMS):
        for channel in range(N_CHANNELS):
            wanted = np.interp(source[i], np.arange(N_STEPS), batch.x[i, :, channel].numpy())
            np.testing.assert_allclose(changed.x[i, :, channel].numpy(), wanted, atol=1e-12)


def test_windows_of_one_or_two_steps_stay_under_a_warp():
    for n_steps in (1, 2):
        batch = window_batch(n_steps=n_steps)
        assert torch.equal(Augmentation(time_warp=1.0)(batch, seeded()).x, batch.x)


def test_a_step_moves_together_with_its_label_and_weight():
    batch = step_batch()
    changed = Augmentation(time_warp=1.0)(batch, seeded())
    assert torch.equal(changed.target, changed.x[..., 0].round().long())
    assert torch.equal(changed.weight, 1.0 + changed.target.double())
    assert not torch.equal(changed.target, batch.target)


def test_a_jump_stays_where_its_label_changes():
    batch = step_batch()
    event = (batch.target >= 8) & (batch.target < 14)
    batch = batch._replace(x=event[..., None].expand_as(batch.x).double(), target=event.long())
    changed = Augmentation(time_warp=1.0)(batch, seeded())
    assert torch.equal(changed.target == 1, changed.x[..., 0] > 0.5)
    starts = changed.target.argmax(dim=1)
    assert starts.min() < 8 < starts.max()


def test_labels_of_the_last_steps_follow_and_one_from_before_them_has_no_weight():
    batch = step_batch(labelled=12)
    changed = Augmentation(time_warp=1.0)(batch, seeded())
    number = changed.x[:, -12:, 0].round().long()
    known = number >= N_STEPS - 12
    assert torch.equal(changed.target[known], number[known])
    assert torch.equal(changed.weight, (1.0 + number) * known)
    assert 0 < known.double().mean() < 1


def test_the_window_label_stays_under_a_warp():
    batch = window_batch()
    changed = Augmentation(time_warp=1.0)(batch, seeded())
    assert changed.target is batch.target
    assert changed.weight is batch.weight


@each_kind
def test_padding_stays_as_it_is_and_does_not_matter(kind):
    batch = window_batch(lengths=[20, 20, 9, 9, 5, 1])
    padding = torch.arange(N_STEPS) >= batch.lengths[:, None]
    other = batch._replace(x=batch.x.masked_fill(padding[..., None], 1e6))
    augment = Augmentation(**{kind: EACH[kind]})
    changed, changed_other = augment(batch, seeded(1)), augment(other, seeded(1))
    assert torch.equal(changed.x[padding], batch.x[padding])
    assert torch.equal(changed.x[~padding], changed_other.x[~padding])
    assert not torch.equal(changed.x[~padding], batch.x[~padding])


def test_a_padded_window_warps_within_its_own_length():
    batch = window_batch(lengths=[20, 20, 9, 9, 5, 1])
    source = draw_source(batch, 1.0, seeded())
    for row, length in zip(source, batch.lengths.tolist(), strict=True):
        assert row[0] == 0
        assert (row[:length].diff() >= 0).all()
        assert torch.equal(row[length - 1 :], torch.arange(length - 1.0, N_STEPS, dtype=row.dtype))


def test_a_padded_window_warps_like_one_of_its_length_without_padding():
    padded, short = window_batch(lengths=[9] * N_ITEMS), window_batch()
    short = short._replace(x=short.x[:, :9])
    warp = Augmentation(time_warp=1.0)
    torch.testing.assert_close(warp(padded, seeded()).x[:, :9], warp(short, seeded()).x)


def test_mixup_mixes_a_window_with_the_one_whose_label_and_weight_it_names():
    batch = window_batch()
    mixed = Augmentation(mixup=1.0)(batch, seeded())
    share, target, weight = mixed.mix
    assert share.shape == ()
    assert 0 < share < 1
    assert sorted(target.tolist()) == batch.target.tolist()
    assert not torch.equal(target, batch.target)
    assert torch.equal(weight, batch.weight[target])
    torch.testing.assert_close(mixed.x, share * batch.x + (1 - share) * batch.x[target])
    assert torch.equal(mixed.target, batch.target)
    assert torch.equal(mixed.weight, batch.weight)


def test_the_loss_of_a_mixture_is_that_of_soft_labels():
    batch = window_batch()
    mixed = Augmentation(mixup=1.0)(batch, seeded())
    share, target, weight = mixed.mix
    logits = torch.randn(N_ITEMS, N_ITEMS, dtype=torch.float64, generator=seeded(3))
    own, partner = cross_entropy(logits, mixed.target) * mixed.weight, cross_entropy(logits, target) * weight
    value = share * own.mean() + (1 - share) * partner.mean()
    one_hot = torch.eye(N_ITEMS, dtype=torch.float64) * batch.weight[:, None]
    soft = share * one_hot + (1 - share) * one_hot[target]
    torch.testing.assert_close(value, -(soft * logits.log_softmax(dim=1)).sum(dim=1).mean())


def test_mixup_of_chunks_mixes_the_labels_of_every_step():
    batch = step_batch(labelled=12)
    offset = 100 * torch.arange(len(batch.x))
    batch = batch._replace(target=batch.target + offset[:, None])
    _, target, weight = Augmentation(mixup=1.0)(batch, seeded()).mix
    assert torch.equal(target - target[:, :1], batch.target - batch.target[:, :1])
    assert sorted(target[:, 0].tolist()) == batch.target[:, 0].tolist()
    assert torch.equal(weight, batch.weight)


@pytest.mark.parametrize("alpha", [0.1, 0.3, 0.5, 1.0, 4.0])
def test_the_share_has_the_beta_distribution(alpha):
    generator, like = seeded(), torch.zeros(1, dtype=torch.float64)
    shares = np.array([draw_share(alpha, like, generator).item() for _ in range(4000)])
    wanted = stats.beta(alpha, alpha)
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(wanted.var(), rel=0.06)
    at = np.array([0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999])
    np.testing.assert_allclose((shares[:, None] <= at).mean(axis=0), wanted.cdf(at), atol=0.03)


@pytest.mark.parametrize("alpha", [1e-6, 1e6])
def test_the_share_is_a_share_at_extremes(alpha):
    generator, like = seeded(), torch.zeros(1)
    shares = torch.stack([draw_share(alpha, like, generator) for _ in range(500)])
    assert ((shares >= 0) & (shares <= 1)).all()
    assert shares.mean().item() == pytest.approx(0.5, abs=0.1)


def test_windows_of_other_lengths_are_never_mixed():
    lengths = torch.tensor([20, 9, 20, 9, 5, 20])
    batch = window_batch(lengths=lengths.tolist())
    partners = torch.stack([Augmentation(mixup=1.0)(batch, seeded(seed)).mix[1] for seed in range(60)])
    assert torch.equal(lengths[partners], lengths.expand_as(partners))
    assert torch.equal(partners.sort(dim=1).values, torch.arange(N_ITEMS).expand_as(partners))
    assert set(partners[:, 0].tolist()) == {0, 2, 5}
    assert set(partners[:, 1].tolist()) == {1, 3}


def test_equal_lengths_mix_as_no_lengths_do():
    batch = window_batch()
    augment = Augmentation(mixup=1.0)
    assert_same(augment(batch, seeded()), augment(batch._replace(lengths=torch.full((N_ITEMS,), N_STEPS)), seeded()))


@each_kind
def test_codes_stay_codes_and_measurements_change_as_without_them(kind):
    numeric = [True, False, True]
    batch = step_batch()
    batch.x[..., 1] = (batch.target // 3 % 4).double()
    augment = Augmentation(**{kind: EACH[kind]})
    changed, free = augment(batch, seeded(), numeric=numeric), augment(batch, seeded())
    assert torch.equal(changed.x[..., numeric], free.x[..., numeric])
    assert set(changed.x[..., 1].unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert torch.equal(changed.x[..., 1], (changed.target // 3 % 4).double())


def test_a_mask_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"numeric is of type torch\.bool and shape \(2,\).*3 channels"):
        Augmentation(jitter=0.1)(window_batch(), seeded(), numeric=[True, False])
    with pytest.raises(ValueError, match="Pass one bool for each channel"):
        Augmentation(jitter=0.1)(window_batch(), seeded(), numeric=[0, 1, 2])


@each_kind
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan, "much", None])
def test_a_parameter_that_is_no_number_from_zero_on_is_refused(kind, value):
    augment = Augmentation(**{kind: value})
    with pytest.raises(ValueError, match=rf"'{kind}' parameter of Augmentation must be .*\[0\.0, inf\)"):
        augment.check()
    with pytest.raises(ValueError, match=f"'{kind}' parameter of Augmentation"):
        augment(window_batch(), seeded())


def test_a_search_reaches_the_parameters_through_the_estimator():
    model = clone(Model(Augmentation(mixup=0.2))).set_params(augmentation__jitter=0.05)
    assert model.augmentation.get_params() == {"jitter": 0.05, "scaling": 0.0, "time_warp": 0.0, "mixup": 0.2}
