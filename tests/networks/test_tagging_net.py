"""The network of labels at every step: its encoder's steps through a head, with a field or without."""

import pytest
import torch

from eventlstm.losses import cross_entropy
from eventlstm.networks import TaggingNet

X = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.randint(2, (4, 7), generator=torch.Generator().manual_seed(1))
KNOWN = torch.ones(4, 7, dtype=torch.bool)
EXACT = {"atol": 1e-12, "rtol": 0.0}

each_field = pytest.mark.parametrize("crf", [False, True])
each_direction = pytest.mark.parametrize("bidirectional", [False, True])


def made(**how):
    net = TaggingNet(3, 2, hidden_size=5, **how)
    net.initialize(torch.Generator().manual_seed(2))
    return net.double()


@each_field
@each_direction
def test_padding_changes_nothing(crf, bidirectional):
    net, lengths = made(crf=crf, bidirectional=bidirectional), torch.tensor([7, 3, 1, 5])
    for k, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(net(X, lengths=lengths)[k, :n], net(X[k : k + 1, :n])[0], **EXACT)
        together = net.forward_labelled(X, LABELS, KNOWN, lengths=lengths)[k, :n].log_softmax(-1)
        alone = net.forward_labelled(X[k : k + 1, :n], LABELS[k : k + 1, :n], KNOWN[k : k + 1, :n])[0].log_softmax(-1)
        torch.testing.assert_close(together, alone, **EXACT)


def test_the_cross_entropy_of_its_logits_is_the_likelihood_of_the_field():
    net = made(crf=True)
    logits = net.forward_labelled(X, LABELS, KNOWN)
    wanted = -net.crf.log_likelihood(net(X), LABELS)
    torch.testing.assert_close(cross_entropy(logits, LABELS).sum(1), wanted, **EXACT)


def test_filtered_logits_are_the_filter_and_do_not_hang_on_labels():
    net = made(crf=True)
    found = net.forward_labelled(X, LABELS[:, 3:], KNOWN[:, 3:], smoothed=False)
    torch.testing.assert_close(found, net.crf.filter(net(X))[:, 3:], **EXACT)
    torch.testing.assert_close(found, net.forward_labelled(X, 1 - LABELS[:, 3:], KNOWN[:, 3:], smoothed=False))


@each_field
def test_steps_in_pieces_are_those_in_one(crf):
    net = made(crf=crf)
    first, state = net.forward_steps(X[:, :3])
    second, _ = net.forward_steps(X[:, 3:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), net(X), **EXACT)


def test_a_network_that_reads_ahead_cannot_go_step_by_step():
    with pytest.raises(ValueError, match="bidirectional=True reads ahead"):
        made(bidirectional=True).forward_steps(X)


@each_field
@each_direction
def test_weights_make_the_same_network_again(crf, bidirectional):
    net = made(crf=crf, bidirectional=bidirectional)
    twin = TaggingNet.from_weights(net.architecture, net.state_dict())
    torch.testing.assert_close(twin(X), net(X), **EXACT)
    with pytest.raises(ValueError, match="do not fit the architecture"):
        TaggingNet.from_weights(net.architecture | {"crf": not crf}, net.state_dict())


def test_narrow_numbers_are_summed_in_the_type_of_the_weights():
    net = made(crf=True).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(X.float()).dtype == torch.bfloat16
        assert net.forward_labelled(X.float(), LABELS, KNOWN).dtype == torch.float32
