"""The pages of the reference: one for each public name, found by what the package itself says is public."""

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from copied_pages import save

import eventlstm
from eventlstm.cli.parser import make_parser

COMMANDS = ("demo", "fit", "score", "detect", "report", "watch", "export")
# What the parts of the root are called here. A part that is missing is called by the first line of its package.
TITLES = {
    "detectors": "Estimators of logs",
    "recurrent": "Estimators of windows",
    "alarms": "Alarms",
    "logs": "Logs, windows, labels and folds",
    "sampling": "Sampling",
    "training": "Training",
    "evaluation": "Evaluation and the report",
    "archive": "Model files",
    "serving": "Models at work",
    "fleets": "Many logs, and long ones",
}
MODULE_TITLES = {
    "thresholds": "Thresholds",
    "metrics": "Measures",
    "losses": "Losses",
    "plots": "Plots",
    "networks": "Networks",
    "datasets": "Made logs",
}


def write(docs: Path) -> None:
    """Write the index of the reference, a page a name, and the options of the commands."""
    guide = mentions(docs / "guide")
    pages = {}
    sections = []
    for title, address, names in groups():
        sections.append(section(title, address, names))
        pages |= {f"{address}.{name}": page(address, name, guide) for name in names}
    save(docs / "reference" / "index.rst", INDEX_HEAD + "\n".join(sections))
    save(docs / "reference" / "command_line.rst", command_line())
    folder = docs / "reference" / "generated"
    for name, text in pages.items():
        save(folder / f"{name}.rst", text)
    for path in folder.glob("*.rst"):
        if path.stem not in pages:
            path.unlink()


def groups() -> Iterator[tuple[str, str, list[str]]]:
    """Title, address and names of each part of the reference: the root by packages, then its public modules."""
    rooms = {room: names.split() for room, names in eventlstm.ROOMS.items()}
    for room in [*TITLES, *(room for room in rooms if room not in TITLES)]:
        yield TITLES.get(room) or headline(f"eventlstm.{room}"), "eventlstm", rooms[room]
    for module in [*MODULE_TITLES, *(module for module in eventlstm.MODULES if module not in MODULE_TITLES)]:
        names = importlib.import_module(f"eventlstm.{module}").__all__
        yield MODULE_TITLES.get(module) or headline(f"eventlstm.{module}"), f"eventlstm.{module}", list(names)


def headline(module: str) -> str:
    return (importlib.import_module(module).__doc__ or module).split("\n")[0].rstrip(".")


def section(title: str, address: str, names: list[str]) -> str:
    """A heading, and a table of names with their first lines."""
    entries = "".join(f"   {name} <generated/{address}.{name}>\n" for name in names)
    table = "".join(f"   {name}\n" for name in names)
    where = "" if address == "eventlstm" else f"``{address}``\n\n"
    return (
        f"{title}\n{'-' * len(title)}\n\n{where}.. currentmodule:: {address}\n\n"
        f".. autosummary::\n\n{table}\n.. toctree::\n   :hidden:\n   :caption: {title}\n\n{entries}\n"
    )


def page(address: str, name: str, guide: dict[str, list[str]]) -> str:
    """The page of one name: what it is, its methods, and where the guide and the examples use it."""
    found = getattr(importlib.import_module(address), name)
    full = f"{address}.{name}"
    head = f"{name}\n{'=' * len(name)}\n\n.. currentmodule:: {address}\n\n{in_guide(full, guide)}"
    if inspect.isclass(found):
        methods = list(own_methods(found))
        body = f".. autoclass:: {name}\n\n" + "".join(
            f"   .. {role(found, method)}:: {method}\n\n" for method in methods
        )
    elif callable(found):
        body = f".. autofunction:: {name}\n\n"
    else:
        body = f".. autodata:: {name}\n   :no-value:\n\n"
    return head + body + f".. minigallery:: {full}\n   :add-heading: Examples of the gallery\n"


def role(of_class: type, name: str) -> str:
    return "autoproperty" if isinstance(getattr(of_class, name), property) else "automethod"


def own_methods(of_class: type) -> Iterator[str]:
    """Public methods and properties that come from this package, not from scikit-learn, torch or Python."""
    for name in dir(of_class):
        owner = next((base for base in of_class.__mro__ if name in vars(base)), None)
        if name.startswith("_") or owner is None or not owner.__module__.startswith("eventlstm"):
            continue
        member = getattr(of_class, name)
        documented = inspect.isroutine(member) or isinstance(member, property)
        if documented and not (name.startswith("set_") and name.endswith("_request")):
            yield name


def mentions(folder: Path) -> dict[str, list[str]]:
    """Full name to the pages of the guide that link to it, in the order of the guide."""
    order = re.findall(r"^   (\w+)$", (folder / "index.rst").read_text("utf-8"), re.MULTILINE)
    found: dict[str, list[str]] = {}
    for stem in order:
        text = (folder / f"{stem}.rst").read_text("utf-8")
        for name in dict.fromkeys(re.findall(r":(?:class|func|obj|meth|data):`~?(eventlstm[\w.]+)`", text)):
            found.setdefault(name, []).append(stem)
    return found


def in_guide(full: str, guide: dict[str, list[str]]) -> str:
    """A line of links to the pages of the guide that speak of a name or of its methods."""
    stems = [stem for name, pages in guide.items() if name == full or name.startswith(f"{full}.") for stem in pages]
    links = ", ".join(f":doc:`/guide/{stem}`" for stem in dict.fromkeys(stems))
    return f".. rst-class:: in-guide\n\nIn the guide: {links}\n\n" if links else ""


def command_line() -> str:
    """What `eventlstm COMMAND --help` prints, for every command."""
    parts = [COMMAND_LINE_HEAD]
    actions = next(action for action in make_parser()._actions if hasattr(action, "choices") and action.choices)
    for command in [*COMMANDS, *(name for name in actions.choices if name not in COMMANDS)]:
        help_text = actions.choices[command].format_help()
        title = f"eventlstm {command}"
        lines = "".join(f"   {line}\n" if line else "\n" for line in help_text.splitlines())
        parts.append(f"{title}\n{'-' * len(title)}\n\n.. code-block:: text\n\n{lines}\n")
    return "\n".join(parts)


INDEX_HEAD = """Reference
=========

Every public name, with its parameters, units, errors and an example that runs. ``import eventlstm as el`` gives those
of the first parts as ``el.NAME``, those of the others as ``el.metrics.NAME`` and so on. Methods that come from
scikit-learn (``get_params``, ``set_params``, ``score`` and the like) are not repeated.

.. toctree::
   :hidden:

   command_line

"""
COMMAND_LINE_HEAD = """The command line
================

What ``eventlstm COMMAND --help`` prints. :doc:`/start` shows the commands at work.
"""
