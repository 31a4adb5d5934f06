"""How a command ends: by its exit code and at most one line, whatever ends it, in real processes where it matters."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from eventlstm.cli.process import describe_fault, is_interrupt, run_to_end
from eventlstm.training.devices import resolve_device

ROOT = Path(__file__).parents[2]
CLI = [sys.executable, "-m", "eventlstm.cli"]


def raised_by(action):
    """What a call raises, as a command would meet it."""
    try:
        action()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")


def dig():
    return dig()


FAULTS = {
    "torch cannot allocate": (lambda: torch.empty(2**60), "there is not enough memory .*smaller --window-size"),
    "numpy cannot allocate": (lambda: np.empty(2**50), "there is not enough memory .*smaller --window-size"),
    "an empty MemoryError": (lambda: exec("raise MemoryError"), r"there is not enough memory \(MemoryError\)"),
    "a device of shapes alone": (lambda: torch.zeros(2, device="meta").cpu(), "computation failed .*--device cpu"),
    "a device that is not there": (lambda: torch.zeros(2, device="xla"), "computation failed .*--device cpu"),
    "shapes that do not fit": (lambda: torch.zeros(2, 3) @ torch.zeros(2, 3), "computation failed .*--device cpu"),
    "a nesting without end": (dig, "something is nested too deeply"),
    "a number too large": (lambda: np.zeros(1, dtype=int).__setitem__(0, 10**30), "a number is out of range"),
    "a file that is not there": (lambda: os.stat("nowhere/file"), r"^nowhere/file: No such file or directory\.$"),
    "a name that is too long": (lambda: os.stat("x" * 5000), "^xxx.*: File name too long"),
    "a cell of a megabyte": (lambda: float("x" * 10**6), "^could not convert string to float: 'xxx.*x'$"),
    "a text of many lines": (lambda: exec("raise ValueError('a\\n\\n  b\\t c')"), "^a b c$"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_is_one_short_line(kind):
    action, message = FAULTS[kind]
    told = describe_fault(raised_by(action))
    assert re.search(message, told), told
    assert "\n" not in told and len(f"eventlstm detect: {told}") < 300


@pytest.mark.parametrize("device", ["meta", "xla", "hpu", "", "cpu ", "lazy", "fpga", "meta:1"])
def test_a_device_that_cannot_compute_here_is_refused_by_its_name_in_one_line(device):
    with pytest.raises(ValueError, match=f"device='{device}' cannot be used here .*Pass 'auto' or 'cpu'") as caught:
        resolve_device(device)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 280


class Interrupting:
    """What is interrupted while a class is made, of which Python makes a RuntimeError."""

    def __set_name__(self, owner, name):
        raise KeyboardInterrupt


INTERRUPTS = {
    "itself": "raise KeyboardInterrupt",
    "the making of a class": "class Owner:\n    part = Interrupting()",
    "the import of a part": "try: raise KeyboardInterrupt\nexcept BaseException as e: raise ImportError from e",
    "the handling of it": "try: raise KeyboardInterrupt\nexcept BaseException: 1 / 0",
    "two errors later": "try:\n try: raise KeyboardInterrupt\n except BaseException: 1 / 0\nexcept Exception: int('')",
}


@pytest.mark.parametrize("kind", INTERRUPTS)
def test_an_interrupt_is_one_whatever_libraries_make_of_it(kind):
    assert is_interrupt(raised_by(lambda: exec(INTERRUPTS[kind], {"Interrupting": Interrupting})))


@pytest.mark.parametrize("program", ["1 / 0", "int('')", "try: 1 / 0\nexcept Exception: int('')", "raise OSError"])
def test_no_other_error_is_an_interrupt(program):
    assert not is_interrupt(raised_by(lambda: exec(program)))


@pytest.mark.parametrize("module", ["argparse", "numpy", "pandas", "scipy", "torch", "sklearn"])
def test_an_interrupt_while_libraries_are_imported_is_one_line_and_130(module):
    command = [sys.executable, "-X", "importtime", *CLI[1:], "demo"]  # which is not at its end before it is interrupted
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.split("|")[-1].strip().split(".")[0] == module:
                break
        process.send_signal(signal.SIGINT)
        printed, told = process.communicate()
    said = [line for line in told.splitlines() if not line.startswith("import time:")]
    assert process.returncode == 130 and "Wrote" not in printed, told[-2000:]
    assert len(said) == 1 and re.match(r"eventlstm( demo)?: interrupted; no file", said[0]), said


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["--version"]])
def test_a_pipe_that_is_closed_ends_a_command_quietly(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([*CLI, *arguments], cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (run.returncode, run.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [["score"], ["fit", "no.csv"], ["--help"]])
def test_a_closed_pipe_for_everything_is_quiet_too(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run([*CLI, *arguments], cwd=ROOT, stdout=writer, stderr=writer, check=False)
    os.close(writer)
    assert run.returncode == 141


def test_what_cannot_be_printed_is_told():
    with open("/dev/full", "w", encoding="utf-8") as full:
        run = subprocess.run([*CLI, "--help"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr == "eventlstm: what it prints cannot be written: No space left on device.\n"


def test_streams_that_are_closed_from_the_first_are_no_fault():
    run = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *CLI, "--version"], cwd=ROOT, check=False)
    assert run.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_leaves_nothing_half_written(number, tmp_path):
    program = (
        "import sys, time\nfrom eventlstm.cli.process import ended_by_signals\n"
        "from eventlstm.logs.whole_files import open_whole\n"
        "with ended_by_signals(), open_whole(sys.argv[1]) as file: print('writing', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.communicate() == (b"", b"")
    assert process.returncode == 128 + number
    assert list(tmp_path.iterdir()) == []


def test_signals_are_heard_by_others_again_after_a_command():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run_to_end(["score", "no", "no.csv", "-o", "nowhere/out"]) == 2
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.parametrize("unit", ["a", "a:/", "://", "x://@", "://?"])
def test_a_message_of_megabytes_with_beginnings_of_urls_is_told_at_once(unit):
    begin = time.perf_counter()
    assert len(describe_fault(ValueError(unit * 300_000))) < 300
    assert time.perf_counter() - begin < 5
