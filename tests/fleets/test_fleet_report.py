"""The overview of many logs: a line for each, links that lead to pages, failures told, columns sorted in a browser."""

import re
from html import unescape
from urllib.parse import unquote

import numpy as np
import pytest

import eventlstm as el
from eventlstm.cli.parser import main
from eventlstm.evaluation.fleet_page import LogSummary, make_fleet_page
from tests.serving.models import fitted, make_log

from ..evaluation.chromium import Chromium, find_chromium

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*rows have fewer than window_size", "ignore:.*interval", "ignore:.*few"
)
HOSTILE = "a <b>&'\" #1?%20.csv"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the overview of four logs, one broken, one with a dead sensor, one of a name hard on HTML."""
    files, out = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("out") / "report"
    for number, name in enumerate(["calm.csv", "dead.csv", HOSTILE]):
        log = make_log([[60] * 200], seed=number).assign(failure=0)
        log.iloc[100:110, log.columns.get_loc("failure")] = 1
        if name == "dead.csv":
            log["flow"] = 7.0
        log.reset_index().to_csv(files / name, index=False)
    (files / "broken.csv").write_text("machine,time\n")
    el.save(fitted("threshold around"), files / "model")
    command = ["report", files / "model", files / "*.csv", "--label", "failure", "-o", out]
    assert main([str(part) for part in command]) == 0
    return out


def rows_of(page):
    """The lines of the overview, as the values that they are sorted by."""
    body = page.split("<tbody>")[1].split("</tbody>")[0]
    return [[unescape(value) for value in re.findall(r'data-value="([^"]*)"', row)] for row in body.split("</tr>")[:-1]]


def test_each_log_has_a_line_and_a_page_that_the_line_leads_to(folder):
    page = (folder / "index.html").read_text()
    assert [row[0] for row in rows_of(page)] == sorted(["broken.csv", "calm.csv", "dead.csv", HOSTILE])
    links = [unquote(unescape(link)) for link in re.findall(r'<a href="([^"]*)"', page)]
    assert len(links) == 3 and all((folder / link).read_text().startswith("<!DOCTYPE html>") for link in links)
    assert len(list((folder / "pages").iterdir())) == 3


def test_the_numbers_are_those_of_the_logs(folder):
    rows = {row[0]: row[1:] for row in rows_of((folder / "index.html").read_text())}
    n_rows, events, found, rate, duty, doubts = rows["dead.csv"]
    assert (n_rows, events, doubts) == ("201", "1", "1") and 0 <= int(found) <= 1
    assert float(rate) >= 0 and 0 <= float(duty) <= 1 and rows["calm.csv"][-1] == "0"
    page = (folder / "index.html").read_text()
    assert "flow never changes." in page and "There is no column" in page and "1 could not be read" in page


def test_the_page_asks_no_host_and_holds_no_name_as_html(folder):
    page = (folder / "index.html").read_text()
    assert not re.search(r"(src|href)=\"?(https?:)?//", page) and "a <b>" not in page and "@@" not in page


def test_all_failures_are_an_error_and_a_file_is_no_folder(folder, tmp_path, capsys):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x\n1\n")
    el.save(fitted("threshold around"), tmp_path / "model")
    assert main(["report", str(tmp_path / "model"), str(tmp_path / "*.csv"), "-o", str(tmp_path / "out")]) == 2
    assert "all of 2 logs failed. The first, a.csv: " in capsys.readouterr().err
    logs = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    assert main(["report", str(tmp_path / "model"), *logs, "-o", str(tmp_path / "page.html")]) == 2
    assert "2 logs came for one file" in capsys.readouterr().err


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on the path, nor named by CHROMIUM")
def test_a_click_on_a_heading_sorts_and_another_turns_it_round_with_the_unknown_last(tmp_path):
    logs = [
        LogSummary(name, "", false_alarms=rate, error="no" * (name == "x"))
        for name, rate in (("m10", 2.5), ("m9", 10.0), ("x", np.nan), ("m1", np.nan))
    ]
    (tmp_path / "index.html").write_text(make_fleet_page(logs, "Fleet", "day"))
    browser = Chromium(tmp_path / "profile")
    try:
        browser.open(tmp_path / "index.html")
        browser.wait_for("document.readyState === 'complete'")
        names = "[...document.querySelectorAll('#fleet tbody tr')].map(row => row.cells[0].innerText).join(' ')"
        click = "document.querySelectorAll('#fleet th button')[{}].click()"
        for column, order in ((4, "m10 m9 x m1"), (4, "m9 m10 x m1"), (0, "m1 m9 m10 x"), (0, "x m10 m9 m1")):
            browser.run(click.format(column))
            assert browser.run(names) == order
        assert browser.complaints() == [] and browser.requests() == [(tmp_path / "index.html").as_uri()]
    finally:
        browser.close()
