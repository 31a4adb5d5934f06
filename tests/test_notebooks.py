"""Every notebook runs from top to bottom, and is stored without traces of the machine it ran on."""

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
CELL_SECONDS = 600  # the longest cell trains an ensemble; on two busy cores that is minutes, a hang is longer
ABSOLUTE_PATH = re.compile(r"""(?:^|[\s"'(=\[])((?:file://)?/(?:[\w.+-]+/)+[\w.+-]+|[A-Za-z]:\\\w+)""", re.MULTILINE)

each_notebook = pytest.mark.parametrize("path", sorted(NOTEBOOKS.rglob("[!.]*.ipynb")), ids=lambda path: path.stem)


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs(path):
    ran = execute(nbformat.read(path, as_version=4), folder=path.parent)
    assert [output for output in outputs(ran) if output.output_type == "error"] == []


@each_notebook
def test_stored_outputs_name_no_place_on_a_machine(path):
    assert places(nbformat.read(path, as_version=4)) == []


@each_notebook
def test_a_notebook_is_stored_in_valid_form(path):
    nbformat.validate(nbformat.read(path, as_version=4))


@pytest.mark.slow
def test_a_failing_notebook_is_caught(tmp_path):
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute(notebook_of("1 / 0"), folder=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "/home/me/log.csv:3: FutureWarning",
        "saved to '/tmp/report.html'",
        "file:///srv/data/x.csv",
        r"C:\Users\me",
    ],
)
def test_a_place_on_a_machine_is_caught(text):
    assert len(places(notebook_of("print()", printed=text))) == 1


@pytest.mark.parametrize("text", ["https://example.org/a/b.html", "12 m/s", "</td></tr>", "notebooks/data/log.csv"])
def test_what_is_no_place_on_a_machine_is_let_through(text):
    assert places(notebook_of("print()", printed=text)) == []


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run every cell with this interpreter's own kernel, in ``folder``; a failing cell is an error."""
    resources = {"metadata": {"path": str(folder)}}
    return NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=resources).execute()


def places(notebook: nbformat.NotebookNode) -> list[str]:
    """The absolute paths in the text of stored outputs; pictures are data, not text."""
    texts = (text for output in outputs(notebook) for text in texts_of(output))
    return [match for text in texts for match in ABSOLUTE_PATH.findall(text)]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def texts_of(output: nbformat.NotebookNode) -> Iterator[str]:
    """The readable parts of one output."""
    yield output.get("text", "")
    yield from output.get("traceback", [])
    yield from (str(body) for mime, body in output.get("data", {}).items() if mime.startswith("text/"))


def notebook_of(source: str, printed: str = "") -> nbformat.NotebookNode:
    """A notebook of one code cell that has printed something."""
    stream = nbformat.v4.new_output("stream", text=printed)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source, outputs=[stream])])
