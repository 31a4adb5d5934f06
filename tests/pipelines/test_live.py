"""The example that plays a log into a watch finds the alarms of the batch, through a pipe and through a broker."""

import time

import pandas as pd
import pytest

from tests.watching.brokers import KINDS, NO_BROKER

from .loading import load_script


@pytest.fixture(scope="module")
def live():
    return load_script("live")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [[], pytest.param(["--broker"], marks=pytest.mark.skipif(not KINDS, reason=NO_BROKER))],
    ids=["pipe", "broker"],
)
def test_the_alarms_of_a_played_log_are_those_of_the_batch(live, capsys, words):
    assert live.main(words) == 0
    printed = capsys.readouterr().out
    assert "They are equal" in printed and printed.count("  opened ") == printed.count("  closed ") > 2


def test_rows_come_at_the_speed_that_was_asked_for(live):
    times = pd.Series(pd.date_range("2024-01-01", periods=5, freq="10min"))
    for speed, seconds in ((2400 / 0.2, 0.2), (None, 0.0)):
        began = time.monotonic()
        assert list(live.pace(times, "abcde", speed)) == list("abcde")
        assert seconds <= time.monotonic() - began < seconds + 1


def test_a_log_without_a_model_is_told_in_one_line(live, capsys):
    assert live.main(["--data", "log.csv"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
