"""Machines that fall silent are told once, and once that they are back."""

import time

from eventlstm.watching.silence import Silence


def test_a_silent_machine_is_told_once_and_once_that_it_is_back():
    silence = Silence(0.05)
    assert silence.hear(["a", "b", "a"]) == [] and silence.fall_silent() == []
    time.sleep(0.06)
    silence.hear(["b"])
    assert silence.fall_silent() == ["a"] and silence.fall_silent() == [] and silence.silent == ["a"]
    assert silence.hear(["a", "b"]) == ["a"] and silence.hear(["a"]) == [] and silence.silent == []


def test_after_a_restart_machines_are_waited_for_from_now_on():
    silence = Silence(60)
    silence.resume(["a", "b"], ["b"])
    assert silence.fall_silent() == [] and silence.hear(["b", "a"]) == ["b"]
