"""Which class of a label is the event: told, asked for, or refused, and the same in every type and every command."""

import argparse
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm.cli.labels import Classes, describe_classes, find_classes, label_rows, plain_value, read_classes
from eventlstm.cli.parser import main
from eventlstm.logs.log import Log

N_ROWS = 100


def options(**given):
    return argparse.Namespace(**{"event": None, "events": None, "label": "fault", "horizon": "0", **given})


def labels(n_by_class):
    return pd.Series([value for value, n_rows in n_by_class.items() for _ in range(n_rows)])


def find(n_by_class, known=None, needs_event=True, **given):
    return find_classes(read_classes(labels(n_by_class)), options(**given), known, needs_event=needs_event)


SPELLINGS = {
    "int8": lambda y: y.astype("int8"),
    "uint64": lambda y: y.astype("uint64"),
    "float": lambda y: y.astype(float),
    "bool": lambda y: y.astype(bool),
    "nullable boolean": lambda y: y.astype("boolean"),
    "nullable integer": lambda y: y.astype("Int64"),
    "Arrow": lambda y: y.astype("int64[pyarrow]"),
    "digits": lambda y: y.astype(str),
    "decimals": lambda y: y.astype(float).astype(str),
    "padded digits": lambda y: y.map({0: " 0", 1: "1 "}),
    "signed digits": lambda y: y.map({0: "-0", 1: "+1"}),
    "words of truth": lambda y: y.map({0: "False", 1: "TRUE"}),
    "objects": lambda y: y.map({0: np.int8(0), 1: True}).astype(object),
    "objects of several types": lambda y: pd.Series([1.0, "1", True, np.float32(1), *[0] * (len(y) - 4)], dtype=object),
    "decimal objects": lambda y: y.map({0: Decimal(0), 1: Decimal("1.00")}).astype(object),
    "categories": lambda y: y.astype(str).astype("category"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_values_are_the_same_classes_in_every_type(spelling):
    y = labels({1: 4, 0: 96})
    log, classes = label_rows(Log(pd.DataFrame(index=y.index), SPELLINGS[spelling](y)), options(), needs_event=True)
    assert classes == Classes(1, (0,))
    assert log.y.tolist() == y.tolist()


@pytest.mark.parametrize("value", ["7_0", "0x1", "1e999", "nan", "inf", "1.2.3", "1,0", "9" * 5000, "١"])
def test_text_that_is_no_plain_number_stays_text(value):
    assert plain_value(value) == value


@pytest.mark.parametrize(
    ("n_by_class", "event"),
    [
        ({0: 25, 1: 75}, 1),
        ({"0": 25, "1": 75}, 1),
        ({False: 1, True: 99}, 1),
        ({-1: 25, 1: 75}, 1),
        ({-1: 97, 1: 3}, 1),
        ({0: 10, 2: 90}, 2),
        ({0: 10, -1: 90}, -1),
        ({"normal": 25, "fault": 75}, "fault"),
        ({"OK": 5, "NOK": 95}, "NOK"),
        ({"healthy": 50, "worn": 50}, "worn"),
        ({"no": 1, "yes": 99}, "yes"),
        ({"good": 95, "bad ": 5}, "bad"),
        ({"run": 95, "trip": 5}, "trip"),
        ({1: 95, 2: 5}, 2),
    ],
)
def test_numbers_and_words_tell_the_event_and_else_clear_rarity(n_by_class, event):
    classes = find(n_by_class)
    assert classes.event == event and len(classes.quiet) == 1
    guessed = (event in ("trip", 2) and 0 not in n_by_class) or n_by_class == {-1: 25, 1: 75}
    assert ("--event" in classes.doubt) == guessed


@pytest.mark.parametrize(
    "n_by_class",
    [
        {"run": 75, "trip": 25},
        {1: 50, 2: 50},
        {-1: 5, 1: 95},  # scikit-learn's outliers, or a machine that ran to its failure
        {"ok": 5, "normal": 95, "fault": 3},
        {"ok": 80, "good": 20},
        {"fault": 100},
        {"A" * 10**6: 60, "B" * 10**6: 40},
        dict.fromkeys(range(1000), 2),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_option_that_tells_it(n_by_class):
    with pytest.raises(ValueError, match="--event VALUE") as refused:
        find(n_by_class)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("asked", ["trip", " trip "])
def test_the_event_asked_for_leaves_several_quiet_classes(asked):
    classes = find({"run": 60, "trip": 20, "idle": 20}, event=asked)
    assert classes == Classes("trip", ("run", "idle"))
    assert find({-1: 5, 1: 95}, event="-1.0") == Classes(-1, (1,))


@pytest.mark.parametrize("asked", ["tripp", "Trip", "1", "", "nan"])
def test_an_event_asked_for_that_no_row_has_is_refused(asked):
    for needs_event in (True, False):
        with pytest.raises(ValueError, match=r"is on no row; the label has 'run' \(60 rows\)"):
            find({"run": 60, "trip": 20, "idle": 20}, needs_event=needs_event, event=asked)


def test_a_log_may_hold_no_event_where_none_is_needed():
    assert find({"ok": 9}, needs_event=False) == Classes(None, ("ok",))
    assert find({0: 9}, needs_event=False) == Classes(1, (0,))
    assert find({"run": 9}, needs_event=False, event="trip") == Classes("trip", ("run",))
    with pytest.raises(ValueError, match="may mean quiet or an event"):
        find({"run": 9}, needs_event=False)


KNOWN = Classes("bad", ("ok", "idle"))


@pytest.mark.parametrize(
    "n_by_class", [{0: 9, 1: 1}, {"ok": 9, "Bad": 1}, {"ok": 9, "bad": 1, "off": 1}, {-1: 1, 1: 9}, {True: 1, False: 9}]
)
def test_classes_that_a_model_does_not_know_are_refused_with_both_named(n_by_class):
    with pytest.raises(ValueError, match=r"the label has .* the model knows 'bad' as the event and 'ok', 'idle'") as no:
        find(n_by_class, KNOWN)
    assert len(str(no.value)) < 300


@pytest.mark.parametrize("n_by_class", [{"ok": 9}, {"bad": 9}, {"bad": 9, "idle": 1}, {"ok ": 1, " bad": 1}])
def test_the_classes_that_a_model_knows_stay_what_they_are_however_many_rows_they_have(n_by_class):
    assert find(n_by_class, KNOWN, needs_event=False) == KNOWN


def test_the_event_of_another_spelling_can_be_named():
    assert find({0: 9, 1: 1}, KNOWN, event="1") == Classes(1, (0,))


def test_the_classes_are_told_with_their_rows():
    y = labels({"run": 60, "trip": 1, "idle": 20})
    said = describe_classes(y, find({"run": 60, "trip": 1, "idle": 20}, event="trip"), options())
    assert said == "Event: 'trip' (1 row); quiet: 'run' (60 rows), 'idle' (20 rows)."


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A log in several spellings of its labels, a classifier and a detector fitted on it."""
    folder = tmp_path_factory.mktemp("files")
    rng, y = np.random.default_rng(0), np.arange(N_ROWS) % 25 > 21
    log = pd.DataFrame({"hour": np.arange(N_ROWS), "heat": rng.normal(size=N_ROWS) + 3 * y, "fault": y.astype(int)})
    spelt = {"log": {0: 0, 1: 1}, "words": {0: "ok", 1: "bad"}, "signs": {0: 1, 1: -1}, "decimals": {0: 0.0, 1: 1.0}}
    for name, spelling in spelt.items():
        log.assign(fault=log["fault"].map(spelling)).to_csv(folder / f"{name}.csv", index=False)
    assert run("fit", folder / "log.csv", "-o", folder / "clf", *FIT) == 0
    assert run("fit", folder / "words.csv", "-o", folder / "words", *FIT) == 0
    return folder


FIT = ["--time", "hour", "--label", "fault", "--model", "lstm", "--threshold", "0.1", "--members", "1"]
FIT += ["--max-epochs", "1", "--window-size", "4"]


def run(*command):
    return main([str(word) for word in command])


def test_fit_says_first_which_class_is_the_event(files, tmp_path, capsys):
    assert run("fit", files / "words.csv", "-o", tmp_path / "model", *FIT) == 0
    assert capsys.readouterr().out.startswith("Event: 'bad' (12 rows); quiet: 'ok' (88 rows).\n")
    assert run("fit", files / "words.csv", "-o", tmp_path / "model", *FIT, "--event", "ok") == 0
    assert capsys.readouterr().out.startswith("Event: 'ok' (88 rows); quiet: 'bad' (12 rows).\n")
    assert el.load(tmp_path / "model").event_label_ == "ok"


@pytest.mark.parametrize(("model", "log"), [("clf", "words"), ("clf", "signs"), ("words", "log"), ("words", "signs")])
@pytest.mark.parametrize("command", ["score", "report"])
def test_labels_of_another_spelling_are_refused_before_anything_is_written(
    files, command, model, log, tmp_path, capsys
):
    written = tmp_path / "out.csv"
    assert run(command, files / model, files / f"{log}.csv", "--label", "fault", "-o", written) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "but the model knows" in line and not written.exists()


@pytest.mark.parametrize(("model", "log"), [("clf", "log"), ("clf", "decimals"), ("words", "words")])
def test_labels_of_the_same_values_are_measured(files, model, log, tmp_path, capsys):
    assert run("score", files / model, files / f"{log}.csv", "--label", "fault", "-o", tmp_path / "s.csv") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Event: ") and float(printed.split("prevalence)")[1].split()[0]) == 0.12


def test_the_event_of_a_log_of_another_spelling_may_be_named(files, tmp_path, capsys):
    command = ["score", files / "clf", files / "signs.csv", "--label", "fault", "-o", tmp_path / "s.csv"]
    assert run(*command, "--event", "-1") == 0
    assert "Event: -1 (12 rows); quiet: 1 (88 rows)." in capsys.readouterr().out
    assert run(*command[:3], *command[5:], "--event", "-1") == 2
    assert "Pass --label COLUMN too" in capsys.readouterr().err


@pytest.mark.filterwarnings("default")
def test_a_detector_without_labels_knows_no_class_and_one_with_labels_does(files, tmp_path, capsys):
    detect = ["detect", files / "words.csv", "--time", "hour", *FIT[6:], "--no-baselines", "--save", tmp_path / "model"]
    detect = [word for word in detect if word not in ("--threshold", "0.1")]
    assert run(*detect, "--drop", "fault") == 0
    for name, said in (("words", "Event: 'bad' (12"), ("log", "Event: 1 (12"), ("signs", "Taken as 1 beside -1")):
        run("score", tmp_path / "model", files / f"{name}.csv", "--label", "fault", "-o", tmp_path / "s.csv")
        assert said in "".join(capsys.readouterr())
    assert run(*detect, "--label", "fault") == 0
    assert run("score", tmp_path / "model", files / "log.csv", "--label", "fault", "-o", tmp_path / "s.csv") == 2
    assert "the model knows 'bad' as the event and 'ok' as quiet" in capsys.readouterr().err


def test_the_column_of_the_time_is_that_of_the_fit(files, tmp_path, capsys):
    assert run("score", files / "clf", files / "log.csv", "-o", tmp_path / "s.csv") == 0
    assert (tmp_path / "s.csv").read_text().startswith("hour,")
    model = el.load(files / "clf")
    del model.index_columns_
    el.save(model, tmp_path / "nameless")
    assert run("score", tmp_path / "nameless", files / "log.csv", "-o", tmp_path / "s.csv") == 2
    assert "does not know the column of the time. Name it: --time COLUMN." in capsys.readouterr().err
    assert run("score", tmp_path / "nameless", files / "log.csv", "--time", "hour", "-o", tmp_path / "s.csv") == 0


@pytest.mark.parametrize(
    ("events", "folds", "said"),
    [
        ([50], 3, "only one event"),
        ([50], 2, "only one event"),
        ([2], 5, "only one event"),
        ([97], 3, "only one event"),
        ([4, 9], 3, "2 events in the same part of a run"),
        ([20, 60], 1, "--folds 1 leaves nothing to measure on"),
        ([20, 60], 0, "--folds 0 leaves nothing to measure on"),
    ],
)
def test_a_log_that_cannot_be_measured_on_gets_a_remedy_that_works(events, folds, said, tmp_path, capsys):
    log = pd.DataFrame({"hour": np.arange(N_ROWS), "heat": np.random.default_rng(0).normal(size=N_ROWS), "fault": 0})
    log.loc[events, "fault"] = 1
    log.to_csv(tmp_path / "log.csv", index=False)
    command = [word for word in FIT if word not in ("--threshold", "0.1")]
    assert run("fit", tmp_path / "log.csv", "-o", tmp_path / "model", *command, "--folds", folds) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line and "--threshold 0.5" in line and len(line) < 300
    assert run("fit", tmp_path / "log.csv", "-o", tmp_path / "model", *command, "--threshold", "0.5") == 0
