"""The manual builds without warnings and without a network, holds every public name, and has no dead internal link."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import eventlstm

ROOT = Path(__file__).parents[1]
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
# A proxy that is not there: whatever would be fetched fails at once, as it does on a machine without a network.
NO_NETWORK = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag in ("a", "img", "iframe", "link", "script"):
            self.links += [values[name] for name in ("href", "src") if values.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built from a copy of the checkout in which nothing has been built before."""
    folder = tmp_path_factory.mktemp("checkout")
    left_out = shutil.ignore_patterns("_build", "gallery", "reference", "project", "notebooks", "__pycache__")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=left_out)
    for name in ("eventlstm", "pipelines", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "CHANGELOG.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "auto", "-b", "html", "docs", "site"]
    ran = subprocess.run(
        command, cwd=folder, env=os.environ | NO_NETWORK, capture_output=True, text=True, check=False, timeout=1200
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-6000:]
    return folder / "site"


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site):
    index = (site / "reference" / "index.html").read_text(encoding="utf-8")
    for address in public_addresses():
        page = site / "reference" / "generated" / f"{address}.html"
        assert page.exists(), f"{address} has no page in the reference"
        assert f"generated/{address}.html" in index, f"{address} is not in the table of the reference"
        assert f'id="{address}"' in page.read_text(encoding="utf-8"), f"the page of {address} does not describe it"


@pytest.mark.slow
def test_every_internal_link_of_the_site_is_alive(site):
    faults = dead_links(site)
    assert not faults, "\n".join(faults)


@pytest.mark.slow
def test_every_page_of_the_guide_has_a_picture(site):
    pages = [path for path in (site / "guide").glob("*.html") if path.stem != "index"]
    assert len(pages) >= 15
    assert [path.name for path in pages if "<img" not in path.read_text(encoding="utf-8")] == []


@pytest.mark.slow
def test_the_report_of_the_demo_is_part_of_the_site_and_needs_no_network(site):
    assert 'src="../report.html"' in (site / "guide" / "alarms.html").read_text(encoding="utf-8")
    report = (site / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', report) == []


@pytest.mark.parametrize("link", ["gone.html", "here.html#gone", "#gone", "folder/gone.png"])
def test_a_dead_link_is_caught(tmp_path, link):
    (tmp_path / "here.html").write_text(f'<p id="there"></p><a href="{link}">a</a>', encoding="utf-8")
    (fault,) = dead_links(tmp_path)
    assert link in fault


@pytest.mark.parametrize(
    "link", ["here.html", "here.html#there", "#there", "#", "https://example.org/gone", "mailto:a@b"]
)
def test_a_live_link_is_let_through(tmp_path, link):
    (tmp_path / "here.html").write_text(f'<p id="there"></p><a href="{link}">a</a>', encoding="utf-8")
    assert dead_links(tmp_path) == []


def public_addresses() -> Iterator[str]:
    """The full name of every class, function and constant that the root and its public modules name."""
    modules = [name for name in eventlstm.__all__ if name in eventlstm.MODULES]
    yield from (f"eventlstm.{name}" for name in eventlstm.__all__ if name not in modules)
    for module in modules:
        yield from (f"eventlstm.{module}.{name}" for name in importlib.import_module(f"eventlstm.{module}").__all__)


def dead_links(site: Path) -> list[str]:
    """The links of all pages to files or anchors of the site that are not there."""
    found = [path for path in site.rglob("*.html") if "_static" not in path.parts and path.name != "report.html"]
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in found}
    return [
        f"{path.relative_to(site)} links to {link}"
        for path, page in pages.items()
        for link in dict.fromkeys(page.links)
        if not ELSEWHERE.match(link) and not is_alive(path, link, pages)
    ]


def is_alive(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    address, _, anchor = unquote(link).partition("#")
    target = (path.parent / address.partition("?")[0]).resolve() if address else path
    if not target.exists():
        return False
    return not anchor or target not in pages or anchor in pages[target].anchors
