"""A report in headless Chromium: it loads, and its numbers are those of Python. Skipped without a Chromium."""

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eventlstm as el
from eventlstm import metrics
from eventlstm.alarms.alarm_policy import AlarmPolicy
from eventlstm.evaluation.page import read_page, to_json
from eventlstm.evaluation.page_data import Cuts, log_for_page
from eventlstm.evaluation.scored_log import ScoredLog

from .chromium import Chromium, find_chromium

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="no Chromium on the path, nor named by CHROMIUM")

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artefacts"  # which git ignores
POLICIES = {
    "the default": AlarmPolicy(),
    "nothing but a threshold": AlarmPolicy(merge_gap=0),
    "rows of all kinds": AlarmPolicy(off=0.6, k=2, n=4, min_duration=2, merge_gap=3, cooldown=6, max_duration=12),
    "times of all kinds": AlarmPolicy(
        min_duration="15min", merge_gap="45min", cooldown="2h", max_duration="5h", max_gap="30min"
    ),
    "smoothed": AlarmPolicy(smoothing=4),
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = Chromium(tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.fixture(scope="module")
def log():
    """Return a log of three machines with gaps, and a score that knows something of its events."""
    made = el.datasets.make_sensor_log(n_machines=3, n_days=5, failures_per_machine=2, random_state=1)
    rng = np.random.default_rng(0)
    noise = pd.Series(rng.normal(size=len(made.y))).ewm(span=5).mean().to_numpy()
    return made.X, made.y, np.round(np.exp(noise + 1.5 * made.y.to_numpy()), 3)


@pytest.fixture(scope="module")
def written(log, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    X, y, score = log
    return path, el.report(None, X, y, path, y_score=score, threshold=4.0, policy=AlarmPolicy(), n_resamples=50)


@pytest.fixture
def page(browser, written):
    """Return the browser with the page open and ready."""
    browser.open(written[0])
    browser.wait_for("document.documentElement?.dataset.ready === 'yes'")
    return browser


def test_the_page_loads_without_a_word_on_the_console_or_to_any_host(page, written):
    assert page.complaints() == []
    assert page.requests() == [written[0].as_uri()]


def test_what_the_page_says_first_is_what_python_measured(page, written, log):
    numbers = written[1]
    shown = page.run("JSON.stringify(state.now)")
    assert_same(json.loads(shown), expected(numbers["threshold"], log))
    assert page.run("$('verdict').textContent") == numbers["verdict"]
    n_events = len(numbers["events"])
    assert page.run("$('tile-recall').firstChild.textContent") == f"{numbers['n_found']} of {n_events}"


def test_keys_on_the_slider_change_all_numbers_to_those_of_python(page, written, log):
    told, arrays = read_page(written[0].read_text())
    page.run("$('slider').focus()")
    for key in ("ArrowLeft", "ArrowLeft", "PageUp", "Home", "ArrowRight", "End"):
        before = page.run("state.position")
        page.press(key)
        page.wait_for(f"state.position !== {before}")
        threshold = arrays["cuts"][told["positions"][page.run("state.position")]]
        assert_same(json.loads(page.run("JSON.stringify(state.now)")), expected(threshold, log))
    assert page.run("$('tile-alarms').firstChild.textContent") == "0"
    page.run("$('reset').click()")
    assert page.run("state.position") == told["position"]
    assert page.complaints() == []


def test_each_event_is_marked_as_found_or_missed_and_leads_to_its_place(page, log):
    _, y, score = log
    for position in (0.3, 0.6, 0.9):
        page.run(f"setPosition(Math.round({position} * page.positions.length))")
        flags = AlarmPolicy(page.run("state.cuts[state.cut]")).flag(pd.Series(score, index=y.index))
        found = metrics.detection_delays(y, flags).notna()
        marked = page.run("[...$('events').tBodies[0].rows].map((row) => row.cells[4].className)")
        assert marked == ["yes" if one else "no" for one in found]
    last = len(found) - 1
    page.run(f"$('events').tBodies[0].rows[{last}].querySelector('button').click()")
    assert page.run("$('run').value") == "2"
    inside = (
        f"log.clock(log.events.first[{last}]) >= state.view.from && log.clock(log.events.last[{last}]) <= state.view.to"
    )
    assert page.run(inside)
    assert page.run("document.activeElement.id") == "timeline"


def test_earlier_events_like_each_are_told_as_found_or_missed(page, written):
    events = written[1]["events"]
    for threshold in (page.run("page.position"), 0):
        page.run(f"setPosition({threshold})")
        shown = page.run("[...$('events').tBodies[0].rows].map((row) => row.cells[8].innerText)")
        found = page.run("state.now.foundAt.map((row) => row >= 0)")
        for text, event in zip(shown, events, strict=True):
            lines = [line for line in text.split("\n") if line]
            assert len(lines) == len(event["similar"])
            for line, past in zip(lines, event["similar"], strict=True):
                state = "found" if found[past["event"]] else "missed"
                assert line.startswith(f"{past['event'] + 1}: {past['run']}, {past['start'][:16]}, {state} (")
    assert any(event["similar"] for event in events) and not page.run("$('similar').hidden")


def test_keys_move_and_zoom_the_timeline(page):
    page.run("show(0); look_at(state.view); $('timeline').focus()")
    width = "state.view.to - state.view.from"
    whole = page.run(width)
    page.press("+", "+")
    page.wait_for(f"{width} < {whole}")
    begin = page.run("state.view.from")
    page.press("ArrowRight")
    page.wait_for(f"state.view.from > {begin}")
    page.press("0", "0")
    page.wait_for(f"{width} === {whole}")
    page.press("n", "n")
    page.wait_for(f"{width} < {whole}")
    assert page.complaints() == []


def test_what_is_drawn_does_not_grow_with_the_log_and_keeps_its_peaks(page):
    drawn = page.run("""(() => {
        const n = 1_000_000, values = new Uint16Array(n).map((_, row) => 100 + row % 7);
        values[123_456] = 9_000; values[654_321] = 1;
        const rows = thin({gapAfter: () => n}, values, 0, n, 1000);
        return [rows.length, rows.map((row) => values[row]).reduce((a, b) => Math.max(a, b)), rows.includes(654_321)];
    })()""")
    assert drawn == [2000, 9000, True]


def test_a_picture_of_the_page_is_kept(page):
    ARTEFACTS.mkdir(exist_ok=True)
    page.run("scrollTo(0, 0); show(0); look_at(state.view)")
    size = page.send("Page.getLayoutMetrics")["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
    picture = page.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
    (ARTEFACTS / "report.png").write_bytes(base64.b64decode(picture))
    (ARTEFACTS / "report.pdf").write_bytes(base64.b64decode(page.send("Page.printToPDF")["data"]))
    assert (ARTEFACTS / "report.png").stat().st_size > 50_000
    assert page.complaints() == []


@pytest.mark.parametrize("match", ["onset", "overlap"])
@pytest.mark.parametrize("rules", POLICIES)
def test_the_rules_of_a_policy_give_the_alarms_of_the_policy(page, log, rules, match):
    compare_alarms(page, ScoredLog.of(*log, POLICIES[rules], 3, "1h", match))


def test_times_in_decimals_are_compared_as_python_compares_them(page):
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.choice([0.1, 0.2, 0.3], size=600))
    y = pd.Series((rng.uniform(size=600) < 0.5).astype(int), index=pd.Index(times)).rolling(9, 1).median().round()
    policy = AlarmPolicy(min_duration=0.2, merge_gap=0.3, cooldown=0.7, max_duration=2.1)
    X = pd.DataFrame(index=y.index)
    compare_alarms(page, ScoredLog.of(X, y.astype(int), rng.normal(size=600), policy, 0.2, 0.3))


def compare_alarms(page, log):
    """Compare flags, matches and measures at some thresholds."""
    cuts = Cuts.of(log.judged, float(np.median(log.judged)), log.policy.off)
    told, arrays = log_for_page(log, cuts)
    names = {"levels": "Uint16Array", "times": "Float64Array", "quiet": "Float64Array"}
    columns = ", ".join(f"{name}: new {of}({json.dumps(arrays[name].tolist())})" for name, of in names.items())
    page.run(f"globalThis.tried = makeLog({to_json(told)}, {{{columns}}}); 0")
    for position in np.unique(np.linspace(0, len(cuts.positions) - 1, 9).astype(int)):
        shown = json.loads(page.run(f"JSON.stringify(Alarms.measure(tried, {cuts.positions[position]}))"))
        matched = log.at(cuts.thresholds[position])
        np.testing.assert_array_equal(list(shown["flags"].values()), matched.flags)
        for name, own in (
            ("onsets", matched.onsets),
            ("eventOf", matched.event_of_alarm),
            ("foundAt", matched.found_at),
        ):
            np.testing.assert_array_equal(shown[name], own)
        assert_same(shown, {"event_precision": matched.precision(corrected=True), "alarm_duty": matched.duty})


def expected(threshold, log):
    """Return what the metrics say at a threshold."""
    _, y, score = log
    flags = AlarmPolicy(float(threshold)).flag(pd.Series(score, index=y.index))
    return {
        "event_recall": metrics.event_recall_score(y, flags),
        "event_precision": metrics.event_precision_score(y, flags),
        "false_alarm_rate": metrics.false_alarm_rate(y, flags),
        "alarm_duty": metrics.alarm_duty(y, flags),
        "redundant_alarms": metrics.redundant_alarms(y, flags),
        "median_delay": metrics.delay_quantile(y, flags),
        "n_alarms": len(el.to_events(flags)),
    }


def assert_same(shown, wanted):
    """Compare numbers; JSON has null for what is undefined."""
    for name, value in wanted.items():
        own = np.nan if shown[name] is None else shown[name]
        np.testing.assert_allclose(own, value, rtol=1e-12, err_msg=name)
