"""A parameter that several estimators share is told in one text, whichever of them is read about."""

import inspect
import re

import numpydoc.docscrape
import pytest

import eventlstm

# Of the three networks: why one of them tells a parameter in words of its own.
OF_NETWORKS = {
    "bidirectional": "a tagger reads stretches of a log backwards too, after the fact",
    "dropout": "0.2 helps to classify and harms forecasts, and an autoencoder drops from its encoder alone",
    "loss": "what is missed is a class, a number or the window itself",
    "validation_fraction": "which windows are held out depends on what they are learnt for",
}
# Of estimators of different kinds: what the name stands for where they differ.
OF_KINDS = {
    "categorical_channels": "sensors of a log by name; positions of channels; those that a sampler must not mix",
    "clip": "a detector takes its errors of the values as they are",
    "contamination": "a share of rows instead of a threshold, or of windows",
    "correct_prior": "an ensemble undoes what it did to its bags, a network what it did itself",
    "estimator": "each ensemble has its own default and its own demands",
    "horizon": "how early events are to be told, or how many rows are forecast",
    "inputs": "a detector has no members that see different things",
    "max_gap": "over what a window goes on, or a filled value",
    "n_channels": "of windows to learn, to flatten or to sample",
    "n_estimators": "what members differ in, and what is averaged of them",
    "n_jobs": "threads for members, for parts, or for a step",
    "random_state": "what is drawn",
    "sampler": "it balances all windows, or each bag; or the estimator is nothing else",
    "sampling_strategy": "the sampler is the estimator, or a part of it",
    "stride": "a detector has no modes",
    "verbose": "members, parts or epochs are shown",
    "warm_start": "members or weights are kept",
    "window_size": "a detector has no modes",
}
NETWORKS = ("LSTMAutoencoder", "LSTMClassifier", "LSTMForecaster", "LSTMTagger")


def public_estimators() -> dict[str, type]:
    """The classes in the root's ``__all__`` that have parameters and are fitted, by name."""
    found = {name: getattr(eventlstm, name) for name in eventlstm.__all__}
    return {
        name: cls
        for name, cls in found.items()
        if inspect.isclass(cls) and hasattr(cls, "get_params") and hasattr(cls, "fit")
    }


def parameter_texts(cls: type) -> dict[str, str]:
    """Type and description of each parameter in one line, its default left out."""
    return {
        name: " ".join([re.sub(r",\s*default=.*", "", entry.type), *" ".join(entry.desc).split()])
        for entry in numpydoc.docscrape.ClassDoc(cls)["Parameters"]
        for name in entry.name.split(", ")
    }


def differing(classes: list[type]) -> dict[str, list[str]]:
    """The texts of each parameter that several classes share and tell differently."""
    told: dict[str, dict[str, str]] = {}
    for cls in classes:
        for name, text in parameter_texts(cls).items():
            told.setdefault(name, {}).setdefault(text, cls.__name__)
    return {name: [f"{told_by}: {text}" for text, told_by in of.items()] for name, of in told.items() if len(of) > 1}


def expect_one_text(classes: list[type], excepted: set[str]) -> None:
    """Fail with the texts of each parameter in full that is told in several and not excepted."""
    found = {name: texts for name, texts in differing(classes).items() if name not in excepted}
    assert not found, "\n".join(f"{name}\n  " + "\n  ".join(texts) for name, texts in found.items())


ESTIMATORS = public_estimators()


def test_the_networks_tell_what_they_share_in_one_text():
    expect_one_text([ESTIMATORS[name] for name in NETWORKS], set(OF_NETWORKS))


def test_all_estimators_tell_what_they_share_in_one_text():
    expect_one_text(list(ESTIMATORS.values()), {*OF_NETWORKS, *OF_KINDS})


def test_what_is_excepted_does_differ():
    assert differing([ESTIMATORS[name] for name in NETWORKS]).keys() == OF_NETWORKS.keys()
    assert differing(list(ESTIMATORS.values())).keys() == OF_NETWORKS.keys() | OF_KINDS.keys()


class Wide:
    """Is wide.

    Parameters
    ----------
    width : int, default=1
        How wide it is,
        in metres.
    color : str
        Its color.
    """


class High:
    """Is high.

    Parameters
    ----------
    width : int, default=2
        How wide it is, in metres.
    color, shade : str
        Its color at noon.
    """


def test_two_texts_of_one_parameter_are_caught():
    assert differing([Wide, High]) == {"color": ["Wide: str Its color.", "High: str Its color at noon."]}
    with pytest.raises(AssertionError, match=r"color\n +Wide: str Its color\.\n +High: str Its color at noon\."):
        expect_one_text([Wide, High], set())
    expect_one_text([Wide, High], {"color"})


def test_a_text_may_be_broken_into_other_lines_and_tell_another_default():
    assert parameter_texts(Wide)["width"] == parameter_texts(High)["width"] == "int How wide it is, in metres."
