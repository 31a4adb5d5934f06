"""What the index says is read as it is meant, or refused: levels in their order, clocks that run on, times to count."""

import numpy as np
import pandas as pd
import pytest

from eventlstm import EventClassifier, ForwardFill, LSTMClassifier
from eventlstm.logs.index import find_turns, read_index

DAYS = pd.date_range("2024-01-01", periods=30, freq="h")


def frame(index):
    return pd.DataFrame({"a": np.arange(len(index)) % 7.0}, index=index)


LEVELS = {
    "date-times and numbers": ([DAYS, [1, 2]], ["time", "machine"]),
    "date-times and numbers without names": ([DAYS, [1, 2]], [None, None]),
    "zoned": ([DAYS.tz_localize("UTC"), [1, 2]], ["stamp", "machine"]),
    "time spans": ([DAYS - DAYS[0], [0.5, 1.5]], ["elapsed", "machine"]),
    "numbers": ([range(30), [1, 2]], ["time", "machine"]),
    "a time between runs": ([["x", "y"], range(30), [1, 2]], ["site", "Timestamp", "machine"]),
    "text": ([range(30), ["A", "B"]], ["time", "machine"]),
    "categories": ([DAYS, pd.Categorical(["A", "B"])], ["time", "machine"]),
}


@pytest.mark.parametrize(("levels", "names"), LEVELS.values(), ids=LEVELS)
def test_a_time_that_is_not_the_last_level_is_refused(levels, names):
    with pytest.raises(
        ValueError, match=r"Put it last: X\.reorder_levels|last level of the index must hold times"
    ) as e:
        read_index(frame(pd.MultiIndex.from_product(levels, names=names)))
    assert len(str(e.value)) < 300


def test_the_order_offered_is_one_that_is_read():
    X = frame(pd.MultiIndex.from_product([["x", "y"], range(30), [1, 2]], names=["site", "time", "machine"]))
    with pytest.raises(ValueError, match=r"X\.reorder_levels\(\[0, 2, 1\]\)\.sort_index\(\)"):
        read_index(X)
    assert read_index(X.reorder_levels([0, 2, 1]).sort_index()).runs[-1] == 3


@pytest.mark.parametrize(
    ("levels", "names"),
    [
        ([[1, 2], DAYS], ["machine", "time"]),
        ([[1, 2], range(30)], ["machine", "time"]),
        ([[1, 2], range(30)], ["batch", "cycle"]),
        ([[1, 2], range(30)], [None, None]),
        ([DAYS[:2], DAYS], ["start", "time"]),
        ([range(2), range(30)], ["date", "time"]),
        ([["2024-01-01", "2024-01-02"], range(30)], ["day", "second"]),
    ],
)
def test_runs_may_be_numbers_or_dates_before_the_time(levels, names):
    assert read_index(frame(pd.MultiIndex.from_product(levels, names=names))).runs[-1] == 1


@pytest.mark.parametrize(
    "times",
    [
        pd.date_range("9999-01-01", periods=3, unit="s"),
        pd.date_range("1500-01-01", periods=3, unit="s"),
        pd.date_range("9999-01-01", periods=3, unit="s", tz="UTC"),
        pd.DatetimeIndex(["2024-01-01", "2024-01-02", "2300-01-01"]).as_unit("us"),
        pd.to_timedelta([0, 1, 10**12], unit="s").as_unit("s"),
    ],
)
def test_a_time_too_far_away_to_count_is_named_with_its_row(times):
    with pytest.raises(ValueError, match=r"^Row \d of the index holds .* go from 1678 to 2261"):
        read_index(frame(times))


def clock(kind):
    """Runs and times (n_rows,) of clocks that run on but for a few steps back, and the rows of these steps."""
    on = np.arange(100)
    return {
        "set back": (on * 0, np.concatenate([on, on + 60]), [100]),
        "anew": (on * 0, np.tile(on, 3) + np.repeat([0.0, 0.3, 0.6], 100), [100, 200]),
        "lost its battery": (on * 0, np.concatenate([on + 10**6, on]), [100]),
        "one row late": (on * 0, np.insert(on, 40, 3.5), [40]),
        "one run of two": (np.repeat([7, 3], 100), np.concatenate([on, on % 50]), [150]),
        "runs side by side": (np.tile([0, 1], 100), np.repeat([*range(60), *range(50, 90)], 2), [120, 121]),
        "newest first": (on * 0, np.concatenate([on, on + 60])[::-1], [100]),
        "every tenth": (on * 0, np.tile(np.arange(10), 10) + np.repeat(on[:10] / 100, 10), list(range(10, 100, 10))),
    }[kind]


CLOCKS = ["set back", "anew", "lost its battery", "one row late", "one run of two", "runs side by side", "newest first"]


@pytest.mark.parametrize("kind", [*CLOCKS, "every tenth"])
def test_a_few_steps_against_the_order_are_found(kind):
    runs, times, rows = clock(kind)
    assert find_turns(np.resize(runs, len(times)), times)[1].tolist() == rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_rows", [2, 3, 4, 20, 1000])
def test_rows_in_order_in_the_reverse_or_in_none_have_no_turns(n_rows, seed):
    runs, rows = np.arange(n_rows) * 3 // n_rows, np.arange(n_rows)
    shuffled = np.random.RandomState(seed).permutation(n_rows)
    for times in [rows, rows[::-1], *([shuffled] if n_rows > 4 else [])]:
        assert not len(find_turns(np.zeros(n_rows), times)[1])
    assert not len(find_turns(runs[shuffled], rows[shuffled])[1]) or n_rows <= 4


def test_sorting_is_not_the_first_advice_for_a_clock_that_was_set_back():
    X = frame(DAYS.append(DAYS[10:] + pd.Timedelta("3s")))
    with pytest.raises(ValueError, match=r"row 30 .*The clock runs back at 1 rows: .*zone\. Only if") as caught:
        ForwardFill().fit(X)
    assert len(str(caught.value)) < 300


NUMBERS = pd.Index(np.arange(30), name="time")
DATES = DAYS.rename("time")


@pytest.mark.parametrize(
    ("learnt", "came"),
    [
        (DATES, NUMBERS),
        (NUMBERS, DATES),
        (DATES, NUMBERS / 4),
        (NUMBERS, (DAYS - DAYS[0]).rename("time")),
        (pd.MultiIndex.from_product([["A"], DATES]), pd.MultiIndex.from_product([["A"], NUMBERS])),
        (pd.MultiIndex.from_product([["A"], NUMBERS]), pd.MultiIndex.from_product([["A"], DATES])),
    ],
)
def test_another_clock_than_in_fit_is_named_as_such(learnt, came):
    network = LSTMClassifier(hidden_size=2, max_epochs=1, min_steps=1)
    model = EventClassifier(network, n_estimators=1, window_size=2).fit(frame(learnt), np.arange(30) % 10 == 5)
    with pytest.raises(ValueError, match=r"The index says time by (numbers|date-times), but fit saw"):
        model.predict(frame(came))
    with pytest.raises(ValueError, match=r"The index says time by (numbers|date-times), but fit saw"):
        ForwardFill().fit(frame(learnt)).transform(frame(came).mask(lambda X: X == 3))
