"""Options that several commands have."""

from __future__ import annotations

from typing import Any


def add_event(parser: Any) -> None:
    """Add the option that names the class of events."""
    parser.add_argument(
        "--event",
        metavar="VALUE",
        help="class of the label that marks events, all others being quiet (default: that of the model; 1 beside 0, "
        "what stands beside ok, or the class that is clearly rarer)",
    )


def add_raw(parser: Any) -> None:
    """Add the option that leaves names as they are."""
    parser.add_argument(
        "--raw",
        action="store_true",
        help="leave names in CSV files that begin with = + - @ as they are; else they get an apostrophe before them, "
        "or spreadsheets would run them as formulas",
    )


def add_rules(alarms: Any, *, merge_gap: str, min_duration: str | None = "0") -> None:
    """Add the rules that make alarms of scores."""
    alarms.add_argument(
        "--merge-gap",
        metavar="SPAN",
        help=f"rows (3) or time (2h) that an alarm outlasts the last row above (default: {merge_gap})",
    )
    alarms.add_argument(
        "--min-duration",
        metavar="SPAN",
        default=min_duration,
        help=f"how long rows are above until an alarm (default: {min_duration or merge_gap})",
    )
