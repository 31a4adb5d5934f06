"""Pages that stand elsewhere in the repository and are shown as they are: notebooks, results, changes."""

import re
import shutil
from pathlib import Path

PAGES = {"pipelines/RESULTS.md": "results.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
NOTEBOOKS_HEAD = """Notebooks
=========

Longer reading, shown with the output that is stored in them. The files are in the folder ``notebooks`` of the
repository; the tests run every one of them from top to bottom.

.. toctree::
   :maxdepth: 1

"""


def write(root: Path, docs: Path) -> None:
    """Copy the pages to `docs`/project and the notebooks to `docs`/notebooks, those alone that have changed."""
    for source, target in PAGES.items():
        save(docs / "project" / target, with_links_of_the_site((root / source).read_text("utf-8")))
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    for path in notebooks:
        copy(path, docs / "notebooks" / path.name)
    save(docs / "notebooks" / "index.rst", NOTEBOOKS_HEAD + "".join(f"   {path.stem}\n" for path in notebooks))


def with_links_of_the_site(text: str) -> str:
    """Links as they lead from one page of the site to another, and headings that other pages can link to."""
    text = re.sub(r"\]\(\.\./README\.md\)", "](../index.rst)", text)
    return re.sub(r"^##+ (.+)$", lambda found: f"(results-{slug(found[1])})=\n{found[0]}", text, flags=re.MULTILINE)


def slug(heading: str) -> str:
    """The name by which other pages link to a heading: `How fast it is` is results-how-fast-it-is."""
    return re.sub(r"\W+", "-", heading.lower()).strip("-")


def copy(source: Path, target: Path) -> None:
    if not target.exists() or target.read_bytes() != source.read_bytes():
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)


def save(target: Path, text: str) -> None:
    """Write a file that is new or has changed: Sphinx reads again what is younger than its cache."""
    if not target.exists() or target.read_text("utf-8") != text:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
