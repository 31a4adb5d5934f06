"""``eventlstm watch``: alarms beside the machine, row by row, from a pipe, a file that grows, or a broker."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ..alarms.model_scores import last_step, make_policy
from ..archive.files import load
from ..serving.streaming_detector import StreamingDetector
from ..watching.alarm_book import as_run, tell_machine, tell_time
from ..watching.faults import Faults
from ..watching.lines import GrowingFile, InputLines, LineSource
from ..watching.mqtt import BrokerAddress, BrokerLines, BrokerRows
from ..watching.recent_rows import Explainer
from ..watching.row_decoder import RowDecoder
from ..watching.row_journal import RowJournal
from ..watching.silence import Silence
from ..watching.watcher import Watcher
from .labels import read_horizon
from .outputs import SCORE_COLUMNS, check_outputs, refuse_names_of_outputs
from .score import index_names, read_log_like
from .score_file import ScoreFile

STDIN = "-"
MOST_LINES = 1024  # taken at once where they pour; where they trickle, each is taken as it comes
LOOK_SECONDS = 0.2  # how often a source without rows is left, to look around
PROGRESS_SECONDS = 10.0
DELIVERY_SECONDS = 5.0  # for the last alarms to reach a broker


def run_watch(options: argparse.Namespace) -> None:
    """Watch a source with a saved model until it ends, or a signal does."""
    began = time.monotonic()
    if options.every < 1:
        raise ValueError(f"--every {options.every} is no number of rows. Pass one of at least 1.")
    with heard_signals() as stop:
        watch = Watch(options, stop)
        try:
            watch.say(f"ready after {time.monotonic() - began:.1f} s.")
            watch.run()
        finally:
            watch.close()


class Stop:
    """Whether a signal has asked for the end."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self, number: int, _: Any) -> None:
        """Take note of a signal; the second interrupt ends the process at once."""
        if self.is_set and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.is_set = True


@contextmanager
def heard_signals() -> Iterator[Stop]:
    """Turn SIGINT and SIGTERM into a wish to stop."""
    stop = Stop()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Watch:
    """A watch as the options want it."""

    def __init__(self, options: argparse.Namespace, stop: Stop) -> None:
        self.options, self.stop = options, stop
        source = None if _is_no_file(options.source) else Path(options.source)
        check_outputs({"scores": options.scores}, [options.state], options.model, options.past, source)
        self.faults = Faults(self.tell)
        self.model = load(options.model, device=options.device)
        self.names = index_names(self.model, options)
        refuse_names_of_outputs(self.names, SCORE_COLUMNS)
        state = self._make_watcher()
        self.silence = Silence(_read_span(options.quiet_after, "--quiet-after"))
        self.silence.resume(self.watcher.last_times, [as_run(run) for run in state.get("silent", [])])
        self.scores = None
        if options.scores is not None:
            self.scores = ScoreFile(options.scores, self.names, state.get("scores_length"), raw=options.raw)
        self.publisher = self._open_publisher()
        self.source = self._open_source(state.get("position"))
        self.n_unsaved = 0
        self.journal = self._open_journal()
        self._save()  # so that a kill before the next leaves nothing to be scored twice
        self._told_at, self._n_told = time.monotonic(), self.watcher.n_rows

    def run(self) -> None:
        """Pass on what comes until the source ends, nobody reads any more, or a signal came."""
        while not self.stop.is_set and not self._is_unread():
            lines = self.source.read(min(MOST_LINES, self.options.every), LOOK_SECONDS)
            if lines:
                self._take(lines)
            elif self.source.ended:
                break
            self._look_around()
        if not self._is_unread():
            self._finish()

    def close(self) -> None:
        """Let go of files and brokers."""
        for part in (self.source, self.scores, self.journal, self.publisher):
            if part is not None:
                part.close()

    def tell(self, text: str) -> None:
        """Say something to whoever looks after the watch."""
        print(f"eventlstm watch: {text}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Say something to whoever asked for it."""
        if self.options.verbose:
            self.tell(text)

    def _make_watcher(self) -> dict[str, Any]:
        """Make what scores rows, and return what a state knows of all else."""
        options, model = self.options, self.model
        *runs, time_name = self.names
        policy = _choose_policy(model, options)
        known = options.state is not None and options.state.exists()
        if known:
            detector = StreamingDetector.load(options.state, model, policy, late="drop")
        else:
            detector = StreamingDetector(model, policy, late="drop")
        has_dates = getattr(last_step(model), "has_dates_", None)
        decoder = RowDecoder(list(model.feature_names_in_), time_name, runs, self.faults, has_dates)
        past = None if options.past is None else _read_past(model, options)
        explainer = Explainer(model, past, names_sensors=not options.no_sensors)
        self.watcher = Watcher(
            detector, decoder, self.faults, self.names, explainer, refuses_late=options.late == "raise"
        )
        if not known:
            return {}
        if "watcher" not in detector.metadata:
            raise ValueError(f"{options.state} was not written by a watch. Name another file.")
        self.watcher.resume(detector.metadata["watcher"])
        return detector.metadata

    def _open_source(self, position: dict[str, Any] | None) -> LineSource:
        source = self.options.source
        if source == STDIN:
            return InputLines()
        if "://" in source:
            self.watcher.decoder.is_json = True
            client = self.options.client_id or _client_id(self.options)
            return BrokerRows(BrokerAddress.read(source), client, self.tell, self.say)
        file = GrowingFile(Path(source), position)
        if file.is_lost:
            self.tell(f"{source} does not hold what was read before; it is read from its start.")
        return file

    def _open_publisher(self) -> BrokerLines | None:
        address = self.options.alarms
        return None if address is None else BrokerLines(BrokerAddress.read(address), self.tell)

    def _open_journal(self) -> RowJournal | None:
        """Return what keeps the lines that the source would not send again, those of before passed on."""
        if self.options.state is None or isinstance(self.source, GrowingFile):
            return None
        journal = RowJournal(self.options.state.with_name(f"{self.options.state.name}.rows"))
        lines = journal.replay(self.watcher.n_lines)
        for begin in range(0, len(lines), MOST_LINES):
            self._pass_on(lines[begin : begin + MOST_LINES])
        return journal

    def _take(self, lines: list[bytes]) -> None:
        if self.journal is not None:
            self.journal.add(lines)
            self.source.accept()
        self._pass_on(lines)
        if self.journal is None:
            self.source.accept()
        self.n_unsaved += len(lines)
        if self.n_unsaved >= self.options.every:
            self._save()

    def _pass_on(self, lines: list[bytes]) -> None:
        scored, told = self.watcher.pass_lines(lines)
        if self.scores is not None:
            self.scores.write(scored)
        for run in self.silence.hear(row.run for row in scored):
            told.append({"kind": "back", "machine": tell_machine(run)})
        self._print(told)

    def _print(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            text = json.dumps(line, ensure_ascii=False, allow_nan=False)
            print(text)
            if self.publisher is not None:
                self.publisher.send(text, lambda: self.stop.is_set)
        if lines:
            sys.stdout.flush()

    def _look_around(self) -> None:
        """Do what the clock asks for."""
        last = self.watcher.last_times
        quiet = self.silence.fall_silent()
        self._print([{"kind": "silent", "machine": tell_machine(run), "since": tell_time(last[run])} for run in quiet])
        self.faults.tell()
        now = time.monotonic()
        if self.options.verbose and now - self._told_at >= PROGRESS_SECONDS:
            self._tell_progress(now)

    def _tell_progress(self, now: float) -> None:
        n_rows = self.watcher.n_rows
        rate = (n_rows - self._n_told) / (now - self._told_at)
        n_machines, n_on = len(self.watcher.last_times), self.watcher.alarms.n_on
        self.tell(f"{n_rows} rows, {rate:.0f} a second; machines: {n_machines}; alarms on: {n_on}.")
        self._told_at, self._n_told = now, n_rows

    def _finish(self) -> None:
        """Say how far the alarms have come, and keep the state."""
        self._print(self.watcher.alarms.tell_all())
        self.faults.tell(at_once=True)
        if self.publisher is not None and not self.publisher.wait(DELIVERY_SECONDS):
            self.tell(f"{self.publisher.n_pending} alarm lines have not reached {self.publisher.address.shown}.")
        self._save()
        if self.options.verbose:
            self._tell_progress(time.monotonic())

    def _save(self) -> None:
        """Write the state after all that it stands for: scores on the disk, alarms printed and delivered."""
        if self.options.state is None or (self.publisher is not None and self.publisher.n_pending):
            return
        sys.stdout.flush()
        self.watcher.detector.metadata = {
            "watcher": self.watcher.state(),
            "position": self.source.position,
            "scores_length": None if self.scores is None else self.scores.sync(),
            "silent": self.silence.silent,
        }
        self.watcher.detector.save(self.options.state)
        if self.journal is not None:
            self.journal.start(self.watcher.n_lines)
        self.n_unsaved = 0

    def _is_unread(self) -> bool:
        """Return whether whoever read the alarms has gone."""
        return getattr(sys.stdout, "fault", None) is not None


def _is_no_file(source: str) -> bool:
    return source == STDIN or "://" in source


def _choose_policy(model: Any, options: argparse.Namespace) -> Any:
    """Return the rules for alarms of a model, and what the options change of them."""
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise ValueError(f"--threshold {options.threshold:g} is no score to alarm at. Pass a finite number.")
    policy = make_policy(model)
    if options.threshold is not None:
        policy.set_params(threshold=options.threshold)
    for name in ("merge_gap", "min_duration"):
        if getattr(options, name) is not None:
            policy.set_params(**{name: read_horizon(getattr(options, name))})
    return policy


def _read_past(model: Any, options: argparse.Namespace) -> Any:
    log = read_log_like(model, argparse.Namespace(**{**vars(options), "log": options.past}), told=False)
    if log.y is None:
        raise ValueError("past events are told by labels: pass --label COLUMN or --events FILE beside --past.")
    return log


def _read_span(text: str | None, name: str) -> float:
    """Return seconds."""
    if text is None:
        return math.inf
    try:
        seconds: float = pd.Timedelta(text).total_seconds()
    except ValueError:
        seconds = -1.0
    if text.isdigit() or not seconds > 0:
        raise ValueError(f"{name} {text!r} is no length of time. Write it like 10m or 2h.")
    return seconds


def _client_id(options: argparse.Namespace) -> str:
    """Return a name that this watch has at the broker at each start, and no other watch."""
    told = (platform.node(), BrokerAddress.read(options.source).shown, options.model.resolve(), options.state)
    return f"eventlstm-{hashlib.sha256(repr(told).encode()).hexdigest()[:12]}"
