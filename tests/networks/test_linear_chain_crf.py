"""The conditional random field against the enumeration of all paths, in float64."""

from itertools import pairwise, product

import pytest
import torch

from eventlstm.networks import LinearChainCRF

CLASSES, STEPS, CHAINS = 3, 5, 4
CLOSE = {"rtol": 0, "atol": 1e-10}
PATHS = torch.tensor(list(product(range(CLASSES), repeat=STEPS)))  # (n_paths, time)
ALLOWED = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])


def field(allowed=None):
    generator = torch.Generator().manual_seed(0)
    crf = LinearChainCRF(CLASSES)
    crf.initialize(2 * torch.randn(CLASSES, CLASSES, generator=generator), allowed)
    with torch.no_grad():
        crf.start.copy_(torch.randn(CLASSES, generator=generator))
    return crf.double()


def emissions():
    return 2 * torch.randn(CHAINS, STEPS, CLASSES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def score(crf, emission, path, allowed=None):
    """The score of a path, as a plain sum; minus infinity where a transition cannot be."""
    total = crf.start[path[0]] + sum(emission[t, k] for t, k in enumerate(path))
    total = total + sum(crf.transitions[a, b] for a, b in pairwise(path))
    possible = allowed is None or all(allowed[a, b] for a, b in pairwise(path))
    return total.detach() if possible else torch.tensor(-torch.inf, dtype=torch.float64)


def enumerated(crf, emission, n_steps=STEPS, allowed=None):
    """All paths of so many steps, and the logarithm of the probability of each."""
    paths = torch.unique(PATHS[:, :n_steps], dim=0)
    scores = torch.stack([score(crf, emission, path, allowed) for path in paths])
    return paths, scores - scores.logsumexp(0)


def marginals(paths, log_proba):
    """The probability of each class at each step, (time, classes)."""
    return torch.stack([((paths == k) * log_proba.exp()[:, None]).sum(0) for k in range(CLASSES)], dim=1)


@pytest.mark.parametrize("allowed", [None, ALLOWED], ids=["all", "some"])
@torch.no_grad()
def test_the_likelihood_of_every_path_is_that_of_enumeration(allowed):
    crf, e = field(allowed), emissions()
    for chain in e:
        paths, wanted = enumerated(crf, chain, allowed=allowed)
        found = crf.log_likelihood(chain.expand(len(paths), -1, -1), paths)
        torch.testing.assert_close(found.exp(), wanted.exp(), **CLOSE)
        possible = wanted > -torch.inf
        torch.testing.assert_close(found[possible], wanted[possible], **CLOSE)


@pytest.mark.parametrize("allowed", [None, ALLOWED], ids=["all", "some"])
@torch.no_grad()
def test_marginals_are_those_of_enumeration(allowed):
    crf, e = field(allowed), emissions()
    wanted = torch.stack([marginals(*enumerated(crf, chain, allowed=allowed)) for chain in e])
    torch.testing.assert_close(crf.smooth(e).exp(), wanted, **CLOSE)


@torch.no_grad()
def test_filtered_probabilities_are_the_last_marginals_of_each_prefix():
    crf, e = field(), emissions()
    found = crf.filter(e).exp()
    for n_steps in range(1, STEPS + 1):
        wanted = torch.stack([marginals(*enumerated(crf, chain, n_steps))[-1] for chain in e])
        torch.testing.assert_close(found[:, n_steps - 1], wanted, **CLOSE)


@torch.no_grad()
def test_a_chain_goes_on_from_the_message_of_the_step_before():
    crf, e = field(), emissions()
    whole = crf.filter(e)
    torch.testing.assert_close(crf.filter(e[:, 2:], whole[:, 1]), whole[:, 2:], **CLOSE)


@pytest.mark.parametrize("allowed", [None, ALLOWED], ids=["all", "some"])
@torch.no_grad()
def test_viterbi_finds_the_best_enumerated_path(allowed):
    crf, e = field(allowed), emissions()
    for chain, found in zip(e, crf.decode(e), strict=True):
        paths, log_proba = enumerated(crf, chain, allowed=allowed)
        assert found.tolist() == paths[log_proba.argmax()].tolist()


@torch.no_grad()
def test_a_path_that_goes_on_from_a_message_is_the_best_over_all_pasts():
    crf, e = field(), emissions()
    found = crf.decode(e[:, 2:], before=crf.filter(e[:, :2])[:, 1])
    for chain, path in zip(e, found, strict=True):
        paths, log_proba = enumerated(crf, chain)
        ends = torch.unique(paths[:, 2:], dim=0)
        summed = torch.stack([log_proba[(paths[:, 2:] == end).all(dim=1)].logsumexp(0) for end in ends])
        assert path.tolist() == ends[summed.argmax()].tolist()


@torch.no_grad()
def test_chains_of_other_lengths_are_judged_as_they_are_alone():
    crf, e = field(), emissions()
    lengths, labels = torch.tensor([5, 3, 1, 4]), torch.arange(CHAINS * STEPS).reshape(CHAINS, STEPS) % CLASSES
    smooth, path = crf.smooth(e, lengths), crf.decode(e, lengths)
    likelihood = crf.log_likelihood(e, labels, lengths)
    for k, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(smooth[k : k + 1, :n], crf.smooth(e[k : k + 1, :n]), **CLOSE)
        assert path[k, :n].tolist() == crf.decode(e[k : k + 1, :n])[0].tolist()
        assert set(path[k, n:].tolist()) <= {path[k, n - 1].item()}
        alone = crf.log_likelihood(e[k : k + 1, :n], labels[k : k + 1, :n])
        torch.testing.assert_close(likelihood[k : k + 1], alone, **CLOSE)


@torch.no_grad()
def test_steps_without_a_label_are_summed_over():
    crf, e = field(), emissions()
    labels = torch.arange(CHAINS * STEPS).reshape(CHAINS, STEPS) % CLASSES
    known = torch.tensor([[0, 0, 1, 0, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 0, 0, 1, 0]], dtype=torch.bool)
    logits = crf.conditional_logits(e, labels, known).log_softmax(-1).gather(-1, labels[..., None])[..., 0]
    for chain, label, seen, found in zip(e, labels, known, (logits * known).sum(1), strict=True):
        paths, log_proba = enumerated(crf, chain)
        agree = (paths[:, seen] == label[seen]).all(dim=1)
        torch.testing.assert_close(found, log_proba[agree].logsumexp(0), **CLOSE)


def test_the_gradient_of_the_likelihood_is_the_label_less_the_marginal():
    crf, e = field(), emissions().requires_grad_()
    labels = torch.arange(CHAINS * STEPS).reshape(CHAINS, STEPS) % CLASSES
    (gradient,) = torch.autograd.grad(crf.log_likelihood(e, labels).sum(), e)
    wanted = torch.nn.functional.one_hot(labels, CLASSES) - crf.smooth(e).exp()
    torch.testing.assert_close(gradient, wanted.detach(), **CLOSE)


@torch.no_grad()
def test_long_chains_neither_overflow_nor_underflow():
    crf, e = field(), emissions().repeat(1, 400, 1) * 20
    assert crf.smooth(e).exp().sum(-1).sub(1).abs().max() < 1e-10
    assert torch.isfinite(crf.log_likelihood(e, crf.decode(e))).all()


@torch.no_grad()
def test_joined_spans_say_what_a_walk_does():
    crf, lengths = field(ALLOWED), torch.tensor([5, 3, 1, 4])
    for n_steps in range(1, STEPS + 1):
        e, ends = emissions()[:, :n_steps], lengths.clamp(max=n_steps)
        message = crf.filter(emissions())[:, -1]
        for before in (None, message):
            found, wanted = (crf.filter(e, before, in_training=way) for way in (True, False))
            torch.testing.assert_close(found, wanted, **CLOSE)
        found, wanted = (crf.look_back(e, ends, in_training=way).log_softmax(-1) for way in (True, False))
        torch.testing.assert_close(found, wanted, **CLOSE)
