"""Steps count for the price of gates by their weights, as they do in the loss."""

import pytest
import torch

from eventlstm.networks.forget_gates import GateWatch
from eventlstm.training.batches import Batch
from eventlstm.training.gate_price import gate_report, step_weights

X = torch.zeros(2, 4, 1)
TARGET = torch.zeros(2)


def windows(**changes):
    return Batch(X, TARGET, torch.tensor([0.5, 1.5]))._replace(**changes)


def test_the_weight_of_a_window_goes_to_its_steps_in_equal_parts():
    found = step_weights(windows(lengths=torch.tensor([4, 2])), 4)
    torch.testing.assert_close(found, torch.tensor([[0.125] * 4, [0.75, 0.75, 0.0, 0.0]]))
    torch.testing.assert_close(step_weights(windows(), 4).sum(dim=1), torch.tensor([0.5, 1.5]))


def test_mixed_windows_have_the_weights_of_both():
    mix = (torch.tensor(0.75), TARGET, torch.tensor([1.5, 0.5]))
    torch.testing.assert_close(step_weights(windows(mix=mix), 4).sum(dim=1), torch.tensor([0.75, 1.25]))


def test_a_burn_in_and_rows_without_weight_do_not_count():
    weight = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    expected = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 1.0, 0.0]])
    torch.testing.assert_close(step_weights(windows(weight=weight), 4), expected)
    ahead = weight[..., None] * torch.tensor([2.0, 0.0])  # steps ahead of each row have weights of their own
    torch.testing.assert_close(step_weights(windows(weight=ahead), 4), expected)


@pytest.mark.parametrize("weight", [torch.tensor([0.5, 1.5]), torch.tensor([[1.0, 1.0], [2.0, 0.0]])], ids=str)
def test_pieces_make_the_report_of_their_batch(weight):
    gates = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(0))
    batch = windows(weight=weight)

    def report(items, piece):
        watch = GateWatch()
        watch.add("layer", [gates[items, :2], gates[items, 2:]])
        return gate_report(watch, piece)

    of_pieces = [report(slice(k, k + 1), piece) for k, piece in enumerate(batch.split(1))]
    torch.testing.assert_close(sum(of_pieces) / 2, report(slice(None), batch))
