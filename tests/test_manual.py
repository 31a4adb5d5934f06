"""The manual: its code runs and prints what it shows, it builds without a warning, and names all that is public."""

import doctest
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import eventlstm

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.rst"), *(DOCS / "guide").glob("*.rst")])
TOLD = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_what_a_page_shows_is_what_its_code_prints(page, tmp_path, monkeypatch):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(page.read_text("utf-8"), {}, page.stem, str(page), 0)
    told: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=TOLD).run(test, out=told.append)
    pyplot.close("all")
    assert not failed, "".join(told)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_pages_of_the_guide_say_nothing_of_a_machine(page):
    assert not re.search(r"/home/|/root/|/work/|localhost:\d{5}", page.read_text("utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The manual, built with the command that its readers are given."""
    pytest.importorskip("sphinx")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-b", "html", str(DOCS), str(out)]
    built = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert built.returncode == 0, built.stderr[-3000:]
    return out


@pytest.mark.slow
def test_every_public_name_has_a_page_and_every_link_inside_leads_somewhere(site):
    names = {f"eventlstm.{name}" for name in eventlstm.__all__ if name not in eventlstm.MODULES}
    for module in eventlstm.MODULES:
        names |= {f"eventlstm.{module}.{name}" for name in getattr(eventlstm, module).__all__}
    pages = {path.stem for path in (site / "reference" / "generated").glob("*.html")}
    assert pages == names
    known = {path.resolve(): read_links(path) for path in pages_of(site)}
    dead = [
        f"{page.relative_to(site.resolve())}: {link}"
        for page, (links, _) in known.items()
        for link in links
        if not leads_somewhere(page, link, known)
    ]
    assert not dead, "\n".join(dead)


def pages_of(site):
    """Pages of ours: neither the templates of the theme, nor the report, which stands for itself."""
    return [path for path in site.rglob("*.html") if "_static" not in path.parts and path.name != "report.html"]


def leads_somewhere(page, link, known):
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists():
        return False
    return not parts.fragment or target not in known or unquote(parts.fragment) in known[target][1]


def read_links(path):
    """The links of a page, and the anchors that others may lead to."""
    reader = _Links()
    reader.feed(path.read_text("utf-8"))
    return reader.links, reader.anchors


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.anchors = [], set()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        link = found.get("href") or found.get("src")
        if link and tag in ("a", "img", "link", "script") and link != "#":
            self.links.append(link)
