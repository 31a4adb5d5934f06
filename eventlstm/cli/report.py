"""``eventlstm report``: a page for the browser of what a saved model is worth on a labelled log, or on many."""

from __future__ import annotations

import argparse
import math

from ..archive.files import load
from ..logs.urls import name_source
from .many import is_fleet
from .outputs import check_outputs
from .report_long import report_long_log
from .report_many import DEFAULT, run_report_many
from .report_page import read_one, read_train, write_page


def run_report(options: argparse.Namespace) -> None:
    """Write the report of a saved model on a file, or on many."""
    if options.threshold is not None and not math.isfinite(options.threshold):
        raise ValueError(f"--threshold {options.threshold:g} is no score to alarm at. Pass a finite number.")
    if is_fleet(options):
        run_report_many(options)
        return
    (options.log,), options.output = options.log, options.output or DEFAULT
    check_outputs({}, [options.output], options.log, options.events, options.model, options.train)
    model = load(options.model, device=options.device)
    name = name_source(options.log)
    numbers = report_long_log(model, options, options.output, name)
    if numbers is None:
        log = read_one(model, options, options.log, options.query)
        numbers = write_page(model, log, read_train(model, options), options, options.output, name)
    print(numbers["verdict"])
    for warning in numbers["warnings"]:
        print(f"Note: {warning}")
    print(f"Wrote {options.output}: open it in a browser.")
