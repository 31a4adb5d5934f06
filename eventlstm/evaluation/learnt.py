"""What must be said first of rows that a model was fitted on, and what it was worth on rows that it was not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..alarms.model_scores import before_last, last_step
from ..logs.fingerprint import find_overlap
from ..logs.units import Units

# A smaller share of known rows is that of a few that came twice.
MENTIONED_SHARE = 0.005
SHOWN_FIGURES = ("average_precision", "mcc")


def tell_learnt(model: Any, X: Any, units: Units | None = None) -> list[str]:
    """Return which part of a log a model was fitted on, and what it reached held out, in sentences; none where none.

    Parameters
    ----------
    model : fitted estimator or None
        With a `fingerprint_` of the log of its fit, also at the end of a pipeline; others say nothing.
    X : DataFrame or array of shape (n_rows, n_sensors)
        The log that it is to be measured on.
    units : Units, optional
        In which rates are told; default: as they were measured.
    """
    fingerprint = getattr(last_step(model), "fingerprint_", None)
    if fingerprint is None:
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what there is to say was said when these rows were scored
            seen = before_last(model, X)
        values = np.asarray(seen, dtype=np.float64)
    except (ValueError, TypeError):  # scores of these rows came from elsewhere, and the model cannot read them
        return []
    share, is_known = find_overlap(fingerprint, seen, values)
    if share < MENTIONED_SHARE:
        return []
    said = f"{100 * share:.0f} % of these rows were learnt from: expect worse on new ones."
    if not is_known:
        said = (
            f"{100 * share:.0f} % of these rows lie within runs and times that were learnt from, and are too few to be "
            "compared with them: if they were, expect worse on new ones."
        )
    return [said, *tell_held_out(getattr(model, "held_out_", None), units)]


def tell_held_out(figures: Mapping[str, Any] | None, units: Units | None = None) -> list[str]:
    """Return in a sentence what `eventlstm fit` measured on rows held out; none where it measured nothing."""
    if not figures:
        return []
    told = [
        f"{name.replace('_', ' ')} {figures[name]:.2f}"
        for name in SHOWN_FIGURES
        if not math.isnan(figures.get(name, math.nan))
    ]
    if "n_events" in figures:
        told.append(f"{figures['n_found']} of {figures['n_events']} events found")
        same_clock = units is not None and units.has_dates == (figures["per"] == "day")
        factor, per = (units.factor, units.a_unit) if units is not None and same_clock else (1, f"a {figures['per']}")
        told.append(f"{figures['false_alarm_rate'] * factor:.2g} false alarms {per}")
    return [f"Held out when it was fitted: {', '.join(told)}."]
