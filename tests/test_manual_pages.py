"""The code of the manual runs, page by page, and prints what the pages say.

Networks that are trained on another processor end a little elsewhere. So numbers of an output may differ by
`TOLERANCE`, while its words, its shape and the order of all numbers that say more must be the same.
"""

import argparse
import ast
import doctest
import re
import shlex
from pathlib import Path

import pytest

from eventlstm.cli.parser import make_parser

DOCS = Path(__file__).parents[1] / "docs"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TOLERANCE = 0.2  # of what is printed, and of one for numbers below it
NUMBER = re.compile(r"(?<![\w.-])-?\d+\.?\d*(?![\w.]*\w)")
TIME = re.compile(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?|\d+ days \d\d:\d\d:\d\d")
# What is written by the build; the pages themselves are all other files.
GENERATED = ("_build", "gallery", "notebooks", "project", "reference")
PAGES = sorted(path for path in DOCS.rglob("*.rst") if path.relative_to(DOCS).parts[0] not in GENERATED)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())


class Checker(doctest.OutputChecker):
    """Passes over small differences of numbers, and over dates."""

    def check_output(self, want, got, optionflags):
        return super().check_output(want, got, optionflags) or about_equal(want, got)


@pytest.mark.slow
@each_page
@pytest.mark.filterwarnings("error")
def test_the_code_of_a_page_prints_what_the_page_says(page, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(page.read_text(encoding="utf-8"), {}, page.name, str(page), 0)
    said: list[str] = []
    doctest.DocTestRunner(Checker(), optionflags=OPTIONS, verbose=False).run(examples, out=said.append)
    assert not said, "".join(said)


@each_page
def test_a_page_names_no_place_on_a_machine(page):
    assert not re.search(r"/home/|/root/|/work/|/tmp/|localhost:\d{5}", page.read_text(encoding="utf-8"))


@each_page
def test_the_command_line_knows_every_command_of_a_page(page):
    for command in commands_in(page.read_text(encoding="utf-8")):
        make_parser().parse_args(shlex.split(command)[1:])


@each_page
def test_every_option_that_a_page_names_exists(page):
    assert unknown_options(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("``--gone``", ["--gone"]),
        ("``eventlstm fit --keep``", ["--keep"]),
        ("``eventlstm fit log.csv --max-rows 9`` and ``--horizon 6h``", []),
        ("``python pipelines/search.py --gone``", []),
    ],
)
def test_an_option_that_is_not_there_is_caught(text, unknown):
    assert unknown_options(text) == unknown


def test_the_picture_of_the_design_shows_every_package():
    shown = set(
        re.findall(r'"([a-z]+)"[,\]]', (DOCS / "design_line.py").read_text(encoding="utf-8").split("figure")[0])
    )
    assert shown == {path.parent.name for path in (DOCS.parent / "eventlstm").glob("*/__init__.py")}


@each_page
def test_code_that_is_only_shown_is_python(page):
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        ast.parse(block)


@pytest.mark.parametrize(
    ("want", "got"),
    [
        ("found 0.74", "found 0.12"),
        ("found 0.74", "lost 0.74"),
        ("[1, 2]", "[1, 2, 3]"),
        ("True", "False"),
        ("15 of 24", "2 of 24"),
    ],
)
def test_another_output_is_caught(want, got):
    assert not Checker().check_output(want, got, OPTIONS)


@pytest.mark.parametrize(
    ("want", "got"),
    [("found 0.74", "found 0.71"), ("15 of 24", "14 of 24"), ("at 2024-01-02 09:30", "at 2024-01-02 10:00")],
)
def test_the_output_of_another_processor_is_let_through(want, got):
    assert Checker().check_output(want, got, OPTIONS)


def about_equal(want: str, got: str) -> bool:
    """Whether two outputs are of the same words, and their numbers about the same."""
    want, got = (TIME.sub("TIME", text) for text in (want, got))
    if NUMBER.sub("#", want).split() != NUMBER.sub("#", got).split():
        return False
    pairs = zip(map(float, NUMBER.findall(want)), map(float, NUMBER.findall(got)), strict=True)
    return all(abs(a - b) <= TOLERANCE * max(1.0, abs(a)) for a, b in pairs)


def commands_in(text: str) -> list[str]:
    """The calls of the program in blocks of shell and in the text."""
    shell = [re.sub(r"\s*\\\n\s*", " ", block) for block in blocks(text, "bash")]
    lines = [part.strip() for block in shell for line in block.splitlines() for part in re.split(r"&&|\|", line)]
    inline = [re.sub(r"\s+", " ", code) for code in re.findall(r"``(eventlstm [^`]+ [^`]+)``", text)]
    called = [line for line in [*lines, *inline] if re.match(r"eventlstm (?!COMMAND)\w+ \S", line)]
    return [line for line in called if " -o " in line or " - " in line or "watch" in line or "demo" in line]


def unknown_options(text: str) -> list[str]:
    """The options in a text that the command before them, or if there is none no command at all, does not have."""
    shell = [re.sub(r"\s*\\\n\s*", " ", block) for block in blocks(text, "bash")]
    lines = [line for block in shell for line in block.splitlines()]
    lines += [re.sub(r"\s+", " ", code) for code in re.findall(r"``((?:eventlstm \w|--\w)[^`]+)``", text)]
    parts = [part.strip() for line in lines for part in re.split(r"&&|\|", line)]
    known = {name: set(parser._option_string_actions) for name, parser in commands().items()}
    found = []
    for command, options in ((part.split()[:2], re.findall(r"(?<![\w-])--[a-z-]+", part)) for part in parts):
        if not command or not command[0].startswith(("eventlstm", "--")):
            continue
        of_command = known[command[1]] if command[0] == "eventlstm" else set().union(*known.values())
        found += [option for option in options if option not in of_command]
    return found


def commands() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    return next(action.choices for action in make_parser()._actions if isinstance(action.choices, dict))


def blocks(text: str, language: str) -> list[str]:
    """The blocks of code of a language, without their indentation."""
    found = re.findall(rf"^( *)\.\. code-block:: {language}\n\n((?:\1   .*\n|\s*\n)+)", text, re.MULTILINE)
    return ["\n".join(line[len(indent) + 3 :] for line in body.splitlines()) for indent, body in found]
