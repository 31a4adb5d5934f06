"""The words and tables of a report: its verdict in a sentence, what it warns of, and its numbers as HTML."""

from __future__ import annotations

import math
from html import escape
from importlib import metadata
from typing import Any

from ..metrics.intervals import FEW_EVENTS
from .scored_log import ScoredLog
from .sensors import DUE, FARTHEST, RAISED

NONE = "–"
FEW_TEXT = "So few events are no ground for a verdict: read the intervals. "
MEASURE_TEXTS = {
    "event_recall": ("Events found", "share of events for which an alarm began in time"),
    "event_precision": (
        "Event precision",
        "events found among these and false alarms, times the share of quiet time without alarm",
    ),
    "event_fbeta": ("Event F0.5", "events found and precision in one number; precision counts more"),
    "false_alarm_rate": ("False alarms per {per}", "of quiet observed time of one machine"),
    "alarm_duty": ("Quiet time under alarm", "share of the time without an event"),
    "median_delay": ("Median delay", "from the start of an event until the alarm, missed events counted as never"),
    "average_precision": ("Average precision", "of rows, over all thresholds"),
}
SHARES = ("event_recall", "event_precision", "alarm_duty")
TERMS = {
    "Event": "An unbroken stretch of rows that the labels mark with 1.",
    "Alarm": "{alarm} It is for an event if it {begins} {window}, and else a false alarm.",
    "False alarms per {per}": "Counted over quiet observed time, gaps left out; the times of several machines add up.",
    "Quiet time under alarm": "An alarm that never ends finds every event that overlaps it: this number tells it.",
    "Delay": "From the first row of an event until the alarm for it begins.",
    "Intervals": "95 %. Of events found and false alarms: exact, from their counts (binomial, Poisson). Of all else, "
    "from {draws} draws of machines and of whole events with their surroundings; rows drawn singly would give "
    "intervals far too short.",
    "{sensors}": "{told}",
    "Most like": "Of the events that had ended before the alarm, those in which the sensors looked most alike in the "
    "mean of its first rows; the distance is in deviations of quiet rows, of sensors freed from what they share.",
    "Found at {budget}": "The threshold is lowered until false alarms exceed this budget. It is chosen on this very "
    "log, for every model alike: read it to compare, not as a promise.",
}
SENSOR_TEXTS = {
    RAISED: "By how much the log-odds of the event fall at the first rows of the alarm, or before the highest score of "
    "a missed event, when the recent rows of a sensor are replaced by what is usual for it; those with more than an "
    "equal share are named.",
    DUE: "By the shares of their errors in the score, over the first third of the event.",
    FARTHEST: "By their distance from the median of the quiet rows of the run, in deviations: the model itself says "
    "nothing of sensors.",
}


def make_texts(numbers: dict[str, Any], log: ScoredLog, title: str) -> dict[str, str]:
    """Return the texts of a page as HTML, by their names in its template."""
    is_datetime, card = log.rows.is_datetime, numbers["card"]
    runs = f" of {card['n_runs']} runs" if card["n_runs"] > 1 else ""
    span = f"{_duration(card['observed_time'], is_datetime)} observed, " if is_datetime else ""
    sensors = f"{card['n_sensors']} sensor{'s' * (card['n_sensors'] != 1)}"
    described = f"{card['n_rows']:,} rows{runs}, {sensors}, {span}from {card['begin']} to {card['end']}."
    zone = getattr(log.y.index.get_level_values(-1), "tz", None)
    return {
        "TITLE": escape(title),
        "VERDICT": escape(numbers["verdict"]),
        "SUBTITLE": escape(f"{described} {policy_sentence(log.policy)}"),
        "WARNINGS": _warning_box(numbers["warnings"]),
        "PER": escape(numbers["per"]),
        "SENSORS": escape(numbers["sensors_from"]),
        "THRESHOLD": _number(numbers["threshold"]),
        "MEASURES": _measures_table(numbers, is_datetime),
        "MODELS": _models_table(numbers),
        "NOTES": "".join(f'<p class="muted">{escape(note)}</p>' for note in numbers["notes"]),
        "CARD": _card_tables(card, is_datetime),
        "TERMS": _terms(numbers, log),
        "TIMES": "" if zone is None else "Times are in UTC.",
        "FOOTER": escape(f"Written by eventlstm {metadata.version('eventlstm')}. This page needs no network."),
    }


def verdict_sentence(numbers: dict[str, Any]) -> str:
    """Return in a sentence what a model is worth on a log."""
    measures, card, is_datetime = numbers["measures"], numbers["card"], numbers["has_dates"]
    rate, low, high = (_rough(value * numbers["rated"]) for value in measures["false_alarm_rate"])
    span = "" if NONE in (low, high) else f" ({low} to {high})"
    false = f"{rate} false alarms per {numbers['per']}{_of_machine(card, is_datetime)}{span}"
    false += f", under alarm {_share(measures['alarm_duty'][0])} of the quiet time"
    if not card["n_events"]:
        return f"The log marks no event; the model raises {false}."
    recall, low, high = measures["event_recall"]
    few = FEW_TEXT if card["n_events"] <= FEW_EVENTS else ""
    said = (
        f"{few}The model finds {numbers['n_found']} of {card['n_events']} events ({_share(recall)}; 95 % interval "
        f"{_share(low)} to {_share(high)}) at {false}"
    )
    delay = measures["median_delay"][0]
    if not math.isnan(delay):
        within = f"within {_duration(delay, is_datetime)} of their start" if delay > 0 else "no later than they begin"
        said += f", half of all {within}"
    return said + _beside(numbers["models"]) + "."


def _of_machine(card: dict[str, Any], is_datetime: bool) -> str:
    return " and machine" if card["n_runs"] > 1 and is_datetime else ""


def _beside(models: list[dict[str, Any]]) -> str:
    """Return how the average precision stands to those of the baselines."""
    own, *others = models
    known = [other for other in others if not math.isnan(other["average_precision"][0])]
    if not known:
        return ""
    best = max(known, key=lambda other: other["average_precision"][0])
    ours, theirs = own["average_precision"][0], best["average_precision"][0]
    _, low, high = best["ahead"]
    told = f"its average precision of {ours:.2f}"
    if math.isnan(low):
        return (
            f"; {told} stands beside {theirs:.2f} of {best['name']}, the best of the baselines, too few events to tell"
        )
    if low > 0:
        return f"; {told} is ahead of every baseline, the best being {best['name']} at {theirs:.2f}"
    if high < 0:
        return f"; {told} is behind {best['name']} at {theirs:.2f}"
    return f"; {told} is not surely different from {best['name']} at {theirs:.2f}"


def policy_sentence(policy: Any) -> str:
    """Return in a sentence what an alarm is under a policy."""
    parts = ["An alarm is on while the score is above the threshold"]
    if policy.smoothing is not None:
        parts[0] = (
            f"An alarm is on while the score, smoothed over {_number(policy.smoothing)} rows, is above the threshold"
        )
    if policy.n > 1:
        parts.append(f"on {policy.k} of {policy.n} rows")
    if policy.off is not None:
        parts.append(f"and until it falls to {_number(policy.off)}")
    named = {
        "min_duration": "after at least {}",
        "merge_gap": "and for {} after",
        "cooldown": "not within {} of the last",
    }
    parts += [said.format(_told(span)) for name, said in named.items() if (span := getattr(policy, name))]
    if policy.max_duration is not None:
        parts.append(f"for at most {_told(policy.max_duration)}")
    return f"{', '.join(parts)}."


def _terms(numbers: dict[str, Any], log: ScoredLog) -> str:
    """Return the explanations of a page as HTML."""
    early, late, window = log.spans["early"], log.spans["late"], "during it"
    if early or late:
        edges = [
            f"{_told(span)} {side}" for span, side in ((early, "before it starts"), (late, "after it ends")) if span
        ]
        window = f"from {' to '.join(edges)}" if len(edges) == 2 else f"during it or up to {edges[0]}"
    filled = {
        "alarm": policy_sentence(log.policy),
        "begins": "begins" if log.match == "onset" else "is on",
        "window": window,
        "sensors": numbers["sensors_from"],
        "told": SENSOR_TEXTS[numbers["sensors_from"]],
        "per": numbers["per"],
        "budget": _budget_text(numbers),
        "draws": numbers["n_resamples"],
    }
    rows = (
        f"<dt>{escape(name.format(**filled))}</dt><dd>{escape(said.format(**filled))}</dd>"
        for name, said in TERMS.items()
    )
    return f"<dl>{''.join(rows)}</dl>"


def _budget_text(numbers: dict[str, Any]) -> str:
    """Return the budget of false alarms in words."""
    budget = numbers["budget"] * numbers["rated"]
    return f"{_number(budget)} false alarm{'s' * (budget != 1)} per {numbers['per']}"


def _measures_table(numbers: dict[str, Any], is_datetime: bool) -> str:
    """Return the measures at the model's threshold as an HTML table."""
    rows = []
    for name, (title, meaning) in MEASURE_TEXTS.items():
        values = numbers["measures"][name]
        if name == "false_alarm_rate":
            values = [value * numbers["rated"] for value in values]
        if name == "median_delay":
            shown = [_duration(value, is_datetime) for value in values]
        else:
            shown = [
                _share(value) if name in SHARES else f"{value:.3f}" if not math.isnan(value) else NONE
                for value in values
            ]
            shown = [_number(value) for value in values] if name == "false_alarm_rate" else shown
        cells = f"<td>{shown[0]}</td><td>{_limits(shown)}</td><td>{escape(meaning)}</td>"
        rows.append(f"<tr><td>{escape(title.format(per=numbers['per']))}</td>{cells}</tr>")
    head = "<tr><th>Measure</th><th>Value</th><th>95 % interval</th><th>Meaning</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _models_table(numbers: dict[str, Any]) -> str:
    """Return the model beside its baselines as an HTML table."""
    models = [numbers["models"][0], *sorted(numbers["models"][1:], key=_by_precision)]
    rows = []
    for k, model in enumerate(models):
        ahead = "" if model["ahead"] is None else _with_limits(model["ahead"], "{:+.3f}".format)
        cells = (
            _with_limits(model["average_precision"], "{:.3f}".format),
            ahead,
            NONE if math.isnan(model["vus_pr"]) else f"{model['vus_pr']:.3f}",
            _with_limits(model["found_at_budget"], _share),
        )
        name = f"<td>{escape(str(model['name']))}</td>"
        row = '<tr class="ours">' if k == 0 else "<tr>"
        rows.append(f"{row}{name}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    titles = (
        "Model",
        "Average precision",
        "Model ahead by",
        "VUS-PR",
        f"Found at {_budget_text(numbers)}",
    )
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    return f'<table class="numbers" id="models"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _by_precision(model: dict[str, Any]) -> float:
    return -model["average_precision"][0] if not math.isnan(model["average_precision"][0]) else 0.0


def _card_tables(card: dict[str, Any], is_datetime: bool) -> str:
    """Return the data card as HTML."""
    facts = {
        "Rows": f"{card['n_rows']:,}",
        "Runs": f"{card['n_runs']:,}",
        "Sensors": f"{card['n_sensors']}",
        "From": card["begin"],
        "To": card["end"],
        "Median step": _duration(card["median_step"], is_datetime),
        "Observed time, all runs": _duration(card["observed_time"], is_datetime),
        "Events": f"{card['n_events']:,}",
        "Rows in events": f"{card['event_rows']:,} ({_share(card['event_rate'])})",
        "Gaps (over ten slow steps of the run)": _gaps(card, is_datetime),
        "Missing values": f"{card['missing_values']:,}",
    }
    if card["carried_share"] is not None:
        facts["Values carried forward, without a reading since the row before"] = _carried(card)
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(said)}</dd></div>" for name, said in facts.items())
    titles = ("Sensor", "Missing", "Lowest", "Median", "Highest", "Longest unchanged, rows", "Runs mostly unchanged")
    head = "".join(f"<th>{title}</th>" for title in titles)
    rows = "".join(_sensor_row(sensor, card["n_rows"]) for sensor in card["sensors"])
    table = f'<table class="numbers"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'<dl class="card">{listed}</dl><div class="scroll">{table}</div>'


def _gaps(card: dict[str, Any], is_datetime: bool) -> str:
    if not card["n_gaps"]:
        return "none"
    total, longest = (_duration(card[name], is_datetime) for name in ("gap_time", "longest_gap"))
    return f"{card['n_gaps']:,}, {total} in all, the longest {longest}"


def _carried(card: dict[str, Any]) -> str:
    known = [sensor for sensor in card["sensors"] if sensor["carried_share"] is not None]
    if not known:
        return _share(card["carried_share"])
    most = max(known, key=lambda sensor: sensor["carried_share"])
    return f"{_share(card['carried_share'])}, most of {most['name']}: {_share(most['carried_share'])}"


def _sensor_row(sensor: dict[str, Any], n_rows: int) -> str:
    cells = (
        _share(sensor["n_missing"] / n_rows) if sensor["n_missing"] else "none",
        *(_number(sensor[name]) for name in ("min", "median", "max")),
        f"{sensor['longest_unchanged']:,}",
        f"{sensor['n_stuck_runs']:,}" if sensor["n_stuck_runs"] else "none",
    )
    return f"<tr><td>{escape(sensor['name'])}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _warning_box(warnings: list[str]) -> str:
    """Return warnings as HTML, nothing where there are none."""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in warnings)
    return f'<div class="warnings" role="note"><ul>{items}</ul></div>' if warnings else ""


def _share(value: float) -> str:
    """Return a share in percent."""
    if math.isnan(value):
        return NONE
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 9.95 or percent == 0 else f"{percent:.1f} %"


def _duration(value: float, is_datetime: bool) -> str:
    """Return a length of time, which is in seconds for date-times, in the unit that suits it."""
    if math.isnan(value) or math.isinf(value):
        return NONE
    if not is_datetime:
        return _number(value)
    units = (("d", 86_400), ("h", 3_600), ("min", 60))
    for name, unit in units:
        if abs(value) >= 2 * unit:
            return f"{_number(value / unit)} {name}"
    return f"{_number(value)} s"


def _told(span: Any) -> str:
    return f"{span} row{'s' * (span != 1)}" if isinstance(span, int) else str(span)


def _number(value: float) -> str:
    if math.isnan(value):
        return NONE
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _rough(value: float) -> str:
    """Return a number for a sentence: more than two digits are not known of rates of rare events."""
    return _number(float(f"{value:.2g}")) if math.isfinite(value) else NONE


def _limits(shown: list[str]) -> str:
    return "" if NONE in shown[1:] else f"{shown[1]} to {shown[2]}"


def _with_limits(values: list[float], form: Any) -> str:
    if math.isnan(values[0]):
        return NONE
    limits = "" if math.isnan(values[1]) else f" <small>{form(values[1])} to {form(values[2])}</small>"
    return f"{form(values[0])}{limits}"
