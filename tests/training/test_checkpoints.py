"""A training that was killed and fitted again ends on the weights of one that was not."""

import itertools
import os
import pickle
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from eventlstm.losses import cross_entropy
from eventlstm.networks import RecurrentNet
from eventlstm.training.batches import WindowBatches, WindowGather
from eventlstm.training.checkpoints import HEAD, Checkpoint, fingerprint
from eventlstm.training.loop import Recipe, Trainer
from eventlstm.training.optimizers import OPTIMIZERS

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class KilledError(Exception):
    """What ends a training in the middle."""


def killing(n_calls, end):
    """Return a loss that ends the training in place of its n-th call."""
    left = itertools.count(n_calls - 1, -1)  # which threads may ask at once

    def loss(logits, target):
        if next(left) == 0:
            end()
        return cross_entropy(logits, target)

    loss.__qualname__ = cross_entropy.__qualname__  # it is the same loss
    return loss


def kill():
    raise KilledError


def trainer(path, loss=cross_entropy, *, seed=0, shift=0.0, net_seed=0, **changes):
    recipe = {
        "lr": 0.05,
        "weight_decay": 0.01,
        "max_grad_norm": 0.5,
        "schedule": "cosine",
        "warmup_fraction": 0.2,
        "max_epochs": 6,
        "min_steps": 0,
        "early_stopping": False,
        "n_iter_no_change": 2,
        "tol": 1e-4,
        "verbose": 0,
        "micro_batch_size": 5,
    }
    net = RecurrentNet(2, 2, hidden_size=3, dropout=0.2)
    net.initialize(torch.Generator().manual_seed(net_seed))
    x = np.random.default_rng(0).normal(size=(24, 4, 2)) + shift
    target = (x[:, -1, 0] > 0).astype(np.int64)
    gather = WindowGather(x, torch.device("cpu"), torch.float32)
    train, valid = (WindowBatches(gather, y, np.ones(24), 8) for y in (target, 1 - target))
    plan = Recipe(**{**recipe, **changes})
    generator = torch.Generator().manual_seed(seed)
    return Trainer(net, train, loss, plan, generator, validation=valid, checkpoint=path)


def outcome(of):
    history = of.fit_loop()
    return history, torch.cat([weight.detach().flatten() for weight in of.module.parameters()])


def assert_same(one, other):
    assert one[0] == other[0]
    assert torch.equal(one[1], other[1])


SETTINGS = {
    **{name: {"optimizer": name} for name in OPTIMIZERS},
    "early stopping": {"early_stopping": True, "schedule": "constant", "n_iter_no_change": 4, "max_epochs": 20},
    "plateau": {"schedule": "plateau", "n_iter_no_change": 5, "tol": 0.05, "early_stopping": True},
    "bfloat16": {"precision": "bfloat16", "n_jobs": 2},
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("step", [2, 20, 40])
def test_a_killed_training_goes_on_as_if_nothing_had_been(settings, step, tmp_path):
    path, changes = tmp_path / "fit", SETTINGS[settings]
    whole = outcome(trainer(None, **changes))
    with pytest.raises(KilledError, match=r"^$"):
        trainer(path, killing(step, kill), **changes).fit_loop()
    assert path.exists() == (step > 12), "twelve pieces of training and of validation make an epoch"
    assert_same(outcome(trainer(path, **changes)), whole)
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_leaves_a_file_to_go_on_from(tmp_path):
    program = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); from tests.training import test_checkpoints as t\n"
        "t.trainer(sys.argv[2], t.killing(45, lambda: os.kill(os.getpid(), signal.SIGKILL))).fit_loop()"
    )
    path = tmp_path / "fit"
    run = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parents[2]), str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert path.exists()
    assert_same(outcome(trainer(path)), outcome(trainer(None)))


def test_a_checkpoint_changes_no_bit(tmp_path):
    assert_same(outcome(trainer(tmp_path / "fit")), outcome(trainer(None)))


def test_an_interrupted_fit_can_go_on(tmp_path):
    path = tmp_path / "fit"

    def interrupt():
        raise KeyboardInterrupt

    with pytest.warns(UserWarning, match=f"Interrupted after 1 epochs.*would go on from {path}"):
        trainer(path, killing(15, interrupt)).fit_loop()
    assert_same(outcome(trainer(path, n_jobs=2)), outcome(trainer(None)))


OTHERS = {
    "data": {"shift": 1e-3},
    "seed": {"seed": 1},
    "weights": {"net_seed": 1},
    "learning rate": {"lr": 0.04},
    "optimizer": {"optimizer": "sgd"},
    "pieces": {"micro_batch_size": 4},
}


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """Return the bytes of a checkpoint that a killed training left."""
    path = tmp_path_factory.mktemp("left") / "fit"
    with pytest.raises(KilledError, match=r"^$"):
        trainer(path, killing(40, kill)).fit_loop()
    return path.read_bytes()


@pytest.mark.parametrize("what", OTHERS)
def test_the_file_of_another_fit_is_refused_with_its_remedy(what, left, tmp_path):
    path = tmp_path / "fit"
    path.write_bytes(left)
    with pytest.raises(ValueError, match=f"{path} is the checkpoint of another fit.*delete the file"):
        trainer(path, **OTHERS[what]).fit_loop()
    assert path.read_bytes() == left


@pytest.mark.parametrize("where", [len(HEAD), len(HEAD) + 40, -1])
def test_a_file_with_a_changed_byte_is_refused(where, left, tmp_path):
    path, content = tmp_path / "fit", bytearray(left)
    content[where] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is damaged. Delete the file"):
        trainer(path).fit_loop()


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_half_a_file_is_refused(share, left, tmp_path):
    path = tmp_path / "fit"
    path.write_bytes(left[: int(share * len(left))])
    with pytest.raises(ValueError, match="is damaged"):
        trainer(path).fit_loop()


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", pickle.dumps({"fingerprint": ""})])
def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(content, tmp_path):
    path = tmp_path / "fit"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path} is no checkpoint"):
        trainer(path).fit_loop()
    assert path.read_bytes() == content


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_loading_runs_no_code(tmp_path):
    checkpoint, harm = Checkpoint(tmp_path / "fit", "same"), tmp_path / "harm"
    checkpoint.save({"weights": Harmful(str(harm))})
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        checkpoint.load()
    assert not harm.exists()


@pytest.mark.parametrize("name", ["", "missing/fit"])
def test_a_path_that_cannot_be_a_file_is_refused_before_training(name, tmp_path):
    with pytest.raises(ValueError, match=r"cannot be a file\. Make its folder"):
        trainer(tmp_path / name, killing(1, kill)).fit_loop()


def test_a_save_that_fails_leaves_the_last_one(tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit", "same")
    checkpoint.save({"epoch": 1})
    with pytest.raises(AttributeError, match="local"):
        checkpoint.save({"epoch": lambda: 2})
    assert checkpoint.load() == {"epoch": 1}


DIFFERENT = (
    torch.zeros(2),
    torch.zeros(1, 2),
    torch.zeros(2, dtype=torch.float64),
    torch.tensor([0.0, 1.0]),
    None,
    "None",
    0,
    0.0,
    ["a", "b"],
    ["ab"],
    [["a"], "b"],
    {"a": 1},
    {"a": 2},
    cross_entropy,
    partial(cross_entropy, target=1),
    partial(cross_entropy, target=np.array([1])),
    StandardScaler(),
    StandardScaler(with_mean=False),
)


def test_fingerprints_differ_where_anything_does():
    assert len({fingerprint(part) for part in DIFFERENT}) == len(DIFFERENT)
    assert fingerprint("a", "b") != fingerprint("ab")
    assert fingerprint(*DIFFERENT) == fingerprint(*DIFFERENT)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
