"""The options of ``eventlstm watch``."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_event, add_raw, add_rules

# Options of a log that is a query or a long table.
LAYOUT = ("query", "layout", "sensor", "value", "step", "max_age", "ages")
WATCH = """\
Score the rows of a pipe, a growing file or an MQTT topic as they come, and print a JSON line for each alarm that opens,
rises to a new peak or closes. With --state it goes on where it ended, whatever ended it; a line of an alarm may then
come twice, under the same id.
"""


def add_watch(watch: argparse.ArgumentParser) -> None:
    """Add the options of `eventlstm watch`."""
    watch.add_argument("model", metavar="MODEL", type=Path, help="file that `eventlstm fit` or `detect` has saved")
    watch.add_argument(
        "source",
        metavar="SOURCE",
        help="- for standard input, a file that grows (CSV with a header, or JSON lines, both), or "
        "mqtt://[user[:password]@]host[:port]/topic (a JSON object a row; a password may stand in the environment, as "
        "EVENTLSTM_MQTT_PASSWORD)",
    )
    watch.add_argument("--time", help="column of the time (default: the one in fit)")
    watch.add_argument("--run", action="append", help="column naming the machine (repeatable; default: the one in fit)")
    watch.add_argument(
        "--late", choices=("drop", "raise"), default="drop", help="rows older than the last (default: drop)"
    )
    watch.add_argument("--quiet-after", metavar="SPAN", help="tell of machines without a row for so long, 10m say")
    watch.add_argument("--threshold", type=float, help="score to alarm at (default: that of the model)")
    add_rules(watch, merge_gap="that of the model", min_duration=None)
    results = watch.add_argument_group("where results go, beside standard output")
    results.add_argument(
        "--scores", metavar="SCORES", type=Path, help="CSV file to append a score and an alarm a row to"
    )
    add_raw(results)
    results.add_argument("--alarms", metavar="ADDRESS", help="mqtt://... to publish the lines of alarms to, too")
    results.add_argument("--state", metavar="FILE", type=Path, help="what to go on from after a restart")
    results.add_argument(
        "--every", metavar="ROWS", type=int, default=1000, help="write the state so often (default: 1000)"
    )
    results.add_argument("--client-id", help="name of this watch at the broker (default: from model, topic and state)")
    why = watch.add_argument_group("what is said of an alarm")
    why.add_argument(
        "--no-sensors", action="store_true", help="name none to blame, which takes a tenth of a second each"
    )
    why.add_argument("--past", metavar="LOG", type=Path, help="a labelled log: name its events that looked alike")
    why.add_argument("--label", help="column of its labels, 1 on rows of an event")
    why.add_argument("--events", metavar="FILE", type=Path, help="instead of --label: intervals, start and end columns")
    add_event(why)
    watch.add_argument("--device", help="torch device to score on (default: the one in fit)")
    watch.add_argument("-v", "--verbose", action="store_true", help="tell of progress on standard error")
    watch.set_defaults(run_command="watch.run_watch")
    watch.set_defaults(**dict.fromkeys(LAYOUT))  # the past log is read as that of the fit was
