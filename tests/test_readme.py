"""What the pages for readers promise: links that lead somewhere, files and commands that exist, a short README."""

import re
import shlex
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from eventlstm.cli.parser import make_parser

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pipelines/RESULTS.md")
LONGEST_README = 170  # lines: two screens
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`]*`")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
INLINE_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\s*\[[^\]]+\]:\s*<?(\S+?)>?\s*$", re.MULTILINE)
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)
# Where a file that is named without its folder may lie: the package for contributors, the scripts for readers.
FOLDERS = ("", "eventlstm", "pipelines", "notebooks")

each_page = pytest.mark.parametrize("page", PAGES)


@each_page
def test_every_relative_link_leads_to_a_file_and_every_anchor_to_a_heading(page):
    expect_none(link_faults(ROOT / page))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != "CHANGELOG.md"]
)  # which tells of files as they were
def test_every_file_that_a_page_names_exists(page):
    expect_none(file_faults((ROOT / page).read_text(encoding="utf-8")))


def test_the_readme_is_of_two_screens():
    expect_none(length_faults((ROOT / "README.md").read_text(encoding="utf-8")))


def test_the_command_line_knows_every_command_of_the_readme():
    commands = commands_in((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {command.split()[1] for command in commands} == {
        "demo",
        "fit",
        "score",
        "report",
        "detect",
        "export",
        "watch",
    }
    for command in commands:
        expect_known(command)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a](nowhere.md)", "nowhere.md"),
        ("[a](there.md#no-such-heading)", "#no-such-heading"),
        ("# Here\n\n[a](#there)", "#there"),
        ("[a](folder/there.md)", "folder/there.md"),
        ("[a][1]\n\n[1]: nowhere.md", "nowhere.md"),
        ('![a](nowhere.png "A picture")', "nowhere.png"),
        ("[a](/there.md)", "/there.md"),
        ("```\n# Not a heading\n```\n[a](#not-a-heading)", "#not-a-heading"),
    ],
)
def test_a_dead_link_is_caught(tmp_path, text, fault):
    (tmp_path / "there.md").write_text("# A heading\n", encoding="utf-8")
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    (found,) = link_faults(tmp_path / "page.md")
    assert fault in found


@pytest.mark.parametrize(
    "text",
    [
        "[a](there.md)",
        "[a](there.md#a-heading)",
        "[a](there.md#a-heading-1)",
        "[a](.)",
        "[a](with%20space.md)",
        "## What `fit` does, & why\n\n[a](#what-fit-does--why)",
        "[a](https://example.org/nowhere) <mailto:a@example.org>",
        "`[a](nowhere.md)`",
        "```\n[a](nowhere.md)\n```",
    ],
)
def test_a_live_link_is_let_through(tmp_path, text):
    (tmp_path / "there.md").write_text("# A heading\n\n## A heading\n", encoding="utf-8")
    (tmp_path / "with space.md").write_text("", encoding="utf-8")
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    assert link_faults(tmp_path / "page.md") == []


def test_a_readme_that_grows_is_caught():
    assert len(length_faults("line\n" * (LONGEST_README + 1))) == 1
    assert length_faults("line\n" * LONGEST_README) == []


def test_a_file_that_is_gone_is_caught():
    assert len(file_faults("See `losses/gone.py` and `python pipelines/gone.py --smoke`.")) == 2
    assert file_faults("See `losses/base.py` and `python pipelines/evaluate.py --smoke`.") == []


def test_an_option_that_is_gone_is_caught():
    with pytest.raises(SystemExit, match="2"):
        expect_known("eventlstm fit log.csv --time t -o m --gone")


def test_a_command_over_several_lines_is_read_as_one():
    text = (
        "```bash\npip install x && eventlstm demo\neventlstm fit log.csv \\\n    -o m\n```\n`eventlstm demo --keep x`"
    )
    assert commands_in(text) == ["eventlstm demo", "eventlstm fit log.csv -o m", "eventlstm demo --keep x"]


def expect_none(faults: list[str]) -> None:
    """Fail with every fault in full, which a comparison of lists would cut short."""
    assert not faults, "\n".join(faults)


def expect_known(command: str) -> None:
    """Let the program read a command, which ends with status 2 where it does not know an option."""
    make_parser().parse_args(shlex.split(command)[1:])


def link_faults(page: Path) -> list[str]:
    """The links of a page to files that are not there, or to headings that the target lacks."""
    text = CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    targets = [target for pattern in (INLINE_LINK, REFERENCE) for target in pattern.findall(text)]
    return [f"{page.name} links to {target}: {fault}" for target in targets if (fault := link_fault(page, target))]


def link_fault(page: Path, target: str) -> str | None:
    """What is wrong with one target, None for one that is right or leads out of the repository."""
    if ELSEWHERE.match(target):
        return None
    path, _, anchor = target.partition("#")
    if path.startswith("/"):
        return "the path is absolute; write it from the folder of the page."
    file = page.parent / unquote(path) if path else page
    if not file.exists():
        return "there is no such file."
    if anchor and anchor not in anchors(file.read_text(encoding="utf-8") if file.suffix == ".md" else ""):
        return f"{file.name} has no heading for #{anchor}."
    return None


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page; of equal ones, the second gets -1."""
    slugs = [slug(heading) for heading in HEADING.findall(FENCE.sub("", text))]
    before: Counter[str] = Counter()
    found = set()
    for name in slugs:
        found.add(f"{name}-{before[name]}" if before[name] else name)
        before[name] += 1
    return found


def slug(heading: str) -> str:
    """``What `fit` does, & why`` is ``what-fit-does--why``: letters, digits, hyphens, and hyphens for spaces."""
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def file_faults(text: str) -> list[str]:
    """The Python files and notebooks named in code that are not there."""
    named = {name for code in code_in(text) for name in re.findall(r"[\w./-]+\.(?:py|ipynb)\b", code)}
    return [
        f"{name} is named, but does not exist."
        for name in sorted(named)
        if not any((ROOT / folder / name).exists() for folder in FOLDERS)
    ]


def length_faults(text: str) -> list[str]:
    n_lines = len(text.splitlines())
    if n_lines <= LONGEST_README:
        return []
    return [
        f"README.md has {n_lines} lines, more than {LONGEST_README}; what is measured goes to pipelines/RESULTS.md."
    ]


def commands_in(text: str) -> list[str]:
    """The calls of the program, in blocks of code and in the text."""
    lines = [line for code in code_in(text) for line in re.sub(r"\s*\\\n\s*", " ", code).splitlines()]
    parts = [part.strip() for line in lines for part in line.split("&&")]
    return [part for part in parts if part.startswith("eventlstm ")]


def code_in(text: str) -> list[str]:
    """The blocks of code of a page, and then the code within its text."""
    blocks = [match.group().split("\n", 1)[1].rsplit("\n", 1)[0] for match in FENCE.finditer(text)]
    return blocks + [code.strip("`") for code in CODE.findall(FENCE.sub("", text))]
