"""The line of packages, held by reading the source; each law is shown to catch a breach."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import eventlstm

PACKAGE = Path(__file__).parents[1] / "eventlstm"
# A package imports only from those before it.
LINE = (
    "_validation",
    "logs",
    "datasets",
    "alarms",
    "metrics",
    "networks",
    "losses",
    "training",
    "sampling",
    "recurrent",
    "detectors",
    "plots",
    "evaluation",
    "export",
    "archive",
    "serving",
    "fleets",
    "watching",
    "cli",
)
PLACE = {name: place for place, name in enumerate(LINE)}
# The root offers every public name; `eventlstm.thresholds` is an address of its own for what lives in `alarms`.
ADDRESSES = {"__init__", "thresholds"}
WITH_TORCH = {"networks", "losses", "training", "recurrent", "export", "archive"}
HEAVY_PACKAGES = {
    *("amqtt", "dask", "distributed", "duckdb", "matplotlib", "onnx", "onnxruntime", "paho", "plotly", "psycopg"),
    *("pyarrow", "skl2onnx", "sqlalchemy"),
}
LONGEST_FILE = 270  # lines without docstrings; the aim is 250, beyond this a file holds more than one idea


def module_name(path: Path) -> str:
    """The dotted name of a file below the package: ``logs.index``, and ``logs.__init__`` for its door."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


SOURCES = {module_name(path): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
each_module = pytest.mark.parametrize("module", SOURCES)
DOORS = {module.split(".")[0]: source for module, source in SOURCES.items() if module.endswith(".__init__")}


@each_module
def test_a_package_imports_only_from_those_before_it(module):
    expect_none(direction_faults(module, SOURCES[module]))


@each_module
def test_no_underscored_name_crosses_a_file(module):
    expect_none(crossing_faults(module, SOURCES[module]))


@each_module
def test_torch_is_imported_only_where_tensors_are_handled(module):
    expect_none(torch_faults(module, SOURCES[module]))


@each_module
def test_heavy_packages_are_imported_only_inside_functions(module):
    expect_none(heavy_faults(SOURCES[module]))


@each_module
def test_private_names_of_scikit_learn_stay_in_the_validation_module(module):
    expect_none(private_name_faults(module, SOURCES[module]))


@each_module
def test_a_module_says_what_it_holds(module):
    assert ast.get_docstring(ast.parse(SOURCES[module])), f"{module} has no docstring at its head."


@each_module
def test_a_file_holds_one_idea(module):
    n_lines = lines_without_docstrings(SOURCES[module])
    assert n_lines <= LONGEST_FILE, f"{module} has {n_lines} lines, more than {LONGEST_FILE}: split it."


def test_no_modules_import_each_other_in_a_circle():
    expect_none(circle_faults(SOURCES))


def test_every_package_is_on_the_line_and_every_name_on_the_line_is_a_package():
    assert {module.split(".")[0] for module in SOURCES} - ADDRESSES == set(LINE)


def test_the_tests_mirror_the_packages():
    folders = {path.parent.name for path in Path(__file__).parent.glob("*/test_*.py")}
    assert folders - {"pipelines"} == set(LINE) - {"_validation"}


@pytest.mark.parametrize("package", DOORS)
def test_a_door_opens_only_to_its_own_rooms(package):
    expect_none(door_faults(package, DOORS[package]))


@pytest.mark.parametrize("package", DOORS)
def test_a_file_with_one_public_class_bears_its_name(package):
    expect_none(naming_faults(package, DOORS[package], SOURCES))


@pytest.mark.parametrize(
    "program",
    [
        "import eventlstm",
        "import eventlstm.cli",
        "from eventlstm.cli import main; main(['--version'])",
        "from eventlstm.cli import main; main(['detect', '--help'])",
    ],
)
def test_what_computes_nothing_waits_for_no_library(program):
    assert modules_after(program) & {"torch", "sklearn", "pandas", "numpy", *HEAVY_PACKAGES} == set()


def test_all_public_names_together_load_no_heavy_package():
    loaded = modules_after("from eventlstm import *")
    assert loaded & (HEAVY_PACKAGES - {"pyarrow"}) == set() and "torch" in loaded  # pandas loads pyarrow itself


def test_the_root_names_for_type_checkers_are_those_it_loads():
    block = next(node for node in ast.parse(SOURCES["__init__"]).body if is_for_type_checkers(node))
    named = {node.module: [alias.name for alias in node.names] for node in block.body}
    modules = named.pop(None)
    assert (tuple(modules), named) == (
        eventlstm.MODULES,
        {key: names.split() for key, names in eventlstm.ROOMS.items()},
    )


def test_a_name_that_the_root_does_not_have_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'eventlstm' has no attribute 'LSTMClasifier'"):
        eventlstm.LSTMClasifier  # noqa: B018


@pytest.mark.parametrize(
    "source",
    [
        "from eventlstm.cli import main",
        "from eventlstm import cli",
        "import eventlstm.cli.parser",
        "from ..cli import main",
        "from .. import cli",
        "def fit():\n    from ..detectors import EventClassifier",  # a later package, and inside a function
        "from eventlstm import LSTMClassifier",  # through the root, which hides the package
        "import eventlstm",
        "from ..brand_new import thing",
        "from ..alarms import AlarmPolicy",  # through a door, which hides the file
    ],
)
def test_an_import_against_the_direction_is_caught(source):
    assert len(direction_faults("recurrent.lstm_classifier", source)) == 1


def test_a_module_beside_the_packages_is_caught():
    (fault,) = direction_faults("brand_new", "")
    assert "LINE" in fault


def test_an_import_along_the_direction_is_let_through():
    source = (
        "from ..logs.log_windows import LogWindows\nfrom .base import output\nfrom eventlstm.losses.base import Loss"
    )
    assert direction_faults("recurrent.lstm_classifier", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from .intervals import _ends",
        "from ..cli.score import _read_log_like",
        "from ..logs import index\nindex._nanoseconds(3)",
        "policy._read_rules(True)",
    ],
)
def test_an_underscored_name_of_another_file_is_caught(source):
    assert len(crossing_faults("metrics.vus", source)) == 1


def test_an_underscored_name_of_the_file_itself_is_let_through():
    source = "class Walk:\n    def step(self, other):\n        return self._n + other._n\n    _n = 1"
    assert crossing_faults("metrics.vus", source) == []


def test_a_circle_is_caught():
    sources = {
        "logs.lanes": "from .index import f",
        "logs.index": "def g():\n    from .events import h",
        "logs.events": "from .lanes import g",
    }
    assert len(circle_faults(sources)) == 1
    assert circle_faults(sources | {"logs.events": ""}) == []


@pytest.mark.parametrize(
    "source", ["from ..logs.events import to_events", "from sklearn.base import clone", "import numpy"]
)
def test_a_door_to_elsewhere_is_caught(source):
    assert len(door_faults("metrics", source)) == 1
    assert door_faults("metrics", "from .vus import vus_pr_score\n__all__ = ['vus_pr_score']") == []


def test_a_class_in_a_file_of_another_name_is_caught():
    door = "from .stepper import LSTMWalker\n__all__ = ['LSTMWalker']"
    sources = {"recurrent.stepper": "class LSTMWalker:\n    pass"}
    (fault,) = naming_faults("recurrent", door, sources)
    assert "lstm_walker.py" in fault


@pytest.mark.parametrize("source", ["import torch", "from torch.nn import LSTM", "def f():\n    import torch as t"])
def test_torch_in_the_wrong_package_is_caught(source):
    assert len(torch_faults("metrics.vus", source)) == 1
    assert torch_faults("networks.cells", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import matplotlib.pyplot as plt",
        "try:\n    from plotly import io\nexcept ImportError:\n    io = None",
    ],
)
def test_a_heavy_package_at_the_head_is_caught(source):
    assert len(heavy_faults(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "def plot():\n    import matplotlib",
        "if TYPE_CHECKING:\n    import matplotlib\nelse:\n    import numpy",
    ],
)
def test_a_heavy_package_that_waits_is_let_through(source):
    assert heavy_faults(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from sklearn.utils._param_validation import Interval",
        "from sklearn.utils import _safe_indexing",
        "import sklearn.utils._mask",
    ],
)
def test_a_private_name_of_scikit_learn_is_caught(source):
    assert len(private_name_faults("metrics.vus", source)) == 1
    assert private_name_faults("_validation", source) == []


def test_docstrings_are_not_counted_as_lines():
    source = '"""Head\nof two lines."""\n\n\ndef f():\n    """Say\n    so."""\n    return 1\n'
    assert lines_without_docstrings(source) == 2


def modules_after(program: str) -> set[str]:
    """The names of the top modules that a program has loaded by its end."""
    ask = "import atexit, sys; atexit.register(lambda: print('loaded', *{m.split('.')[0] for m in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", f"{ask}\n{program}"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].split()[1:])


def expect_none(faults: list[str]) -> None:
    """Fail with every fault in full, which a comparison of lists would cut short."""
    assert not faults, "\n".join(faults)


def direction_faults(module: str, source: str) -> list[str]:
    """The imports of ``source`` that come from a package after its own, or through a door."""
    package = module.split(".")[0]
    if module in ADDRESSES:
        return []
    if package not in PLACE:
        return [f"{module} is in no package of LINE in tests/test_architecture.py."]
    return [
        f"{module} imports {target!r}; a file imports from files of its own package and of those before it on the line."
        for target in own_imports(module, source)
        if not is_allowed(package, target)
    ]


def is_allowed(package: str, target: str) -> bool:
    """Whether a file of ``package`` may import the module ``target``, which must be a file and no door."""
    of = target.split(".")[0]
    if of == "_validation":
        return True
    return "." in target and of in PLACE and PLACE[of] <= PLACE[package]


def crossing_faults(module: str, source: str) -> list[str]:
    """The underscored names that ``source`` takes from another file of this package, or from an object of one."""
    if module == "_validation":  # which is there to ask for those of scikit-learn
        return []
    tree = ast.parse(source)
    of_imports = [
        f"{module} imports {name}, which is underscored in its file: give it a name or leave it there."
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and is_own(node)
        for name in (alias.name for alias in node.names)
        if is_private(name) and name != "_validation"
    ]
    known = set(names_defined(tree))
    of_objects = [
        f"{module} asks for {ast.unparse(node)}, which is underscored where it is defined."
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in known | CONTRACT
        if ast.unparse(node.value) not in INHERITED
    ]
    return of_imports + of_objects


# A base may leave a hook to its children, so that what is asked of oneself may be defined elsewhere.
INHERITED = {"self", "cls", "super()"}
# Underscored by the contract of NamedTuple, not by us.
CONTRACT = {"_asdict", "_fields", "_replace"}


def names_defined(tree: ast.AST) -> Iterator[str]:
    """The names that a file gives: of functions, classes, variables, and attributes that it sets."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def circle_faults(sources: dict[str, str]) -> list[str]:
    """The first circle of modules that import each other, wherever the imports stand."""
    graph = {module: set(own_imports(module, source)) & set(sources) for module, source in sources.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def door_faults(package: str, source: str) -> list[str]:
    """The imports of a door that do not come from a file of its own package."""
    return [
        f"{package}/__init__.py holds {ast.unparse(node)!r}: a door opens to its own rooms only."
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.level != 1)
    ]


def naming_faults(package: str, door: str, sources: dict[str, str]) -> list[str]:
    """The files from which the door takes one name, that of a class, and that are called otherwise."""
    taken = {
        f"{package}.{node.module}": [alias.name for alias in node.names]
        for node in ast.walk(ast.parse(door))
        if isinstance(node, ast.ImportFrom)
    }
    return [
        f"{module} holds {names[0]}: call it {snake_case(names[0])}.py."
        for module, names in taken.items()
        if len(names) == 1 and holds_class(sources[module], names[0]) and module.split(".")[1] != snake_case(names[0])
    ]


def holds_class(source: str, name: str) -> bool:
    return any(isinstance(node, ast.ClassDef) and node.name == name for node in ast.parse(source).body)


def snake_case(name: str) -> str:
    """``LSTMClassifier`` is ``lstm_classifier``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def torch_faults(module: str, source: str) -> list[str]:
    """The imports of torch, unless the package of ``module`` handles tensors."""
    if module.split(".")[0] in WITH_TORCH:
        return []
    return [
        f"{module} imports {name}; the packages that may are WITH_TORCH in tests/test_architecture.py."
        for name in imported_names(module, source)
        if top(name) == "torch"
    ]


def heavy_faults(source: str) -> list[str]:
    """The heavy packages that reading ``source`` would load."""
    return [
        f"{name} is imported when the module is read; import it inside the function that needs it."
        for node in nodes_run_on_import(ast.parse(source))
        for name in names_in("", node)
        if top(name) in HEAVY_PACKAGES
    ]


def private_name_faults(module: str, source: str) -> list[str]:
    """The underscored names of scikit-learn, unless ``module`` is the one that may know them."""
    if module == "_validation":
        return []
    return [
        f"{module} imports {name}, which scikit-learn may change; let _validation.py do so and hand it on."
        for name in imported_names(module, source)
        if top(name) == "sklearn" and any(is_private(part) for part in name.split("."))
    ]


def lines_without_docstrings(source: str) -> int:
    """The lines of a file that are neither blank nor of a docstring."""
    tree, lines = ast.parse(source), source.splitlines()
    told = {
        number
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node, clean=False) is not None
        for number in range(node.body[0].lineno, node.body[0].end_lineno + 1)
    }
    return sum(bool(line.strip()) for number, line in enumerate(lines, start=1) if number not in told)


def own_imports(module: str, source: str) -> list[str]:
    """The modules of this package that ``source`` imports, as ``logs.index``."""
    paths = [name.split(".")[1:] for name in imported_names(module, source) if top(name) == PACKAGE.name]
    return list(dict.fromkeys(module_of(path) for path in paths if path != ["__version__"]))


def module_of(path: list[str]) -> str:
    """The module in a dotted path that may end in the name of a thing inside it."""
    length = len(path)
    while length > 1 and not PACKAGE.joinpath(*path[:length]).with_suffix(".py").exists():
        length -= 1
    return ".".join(path[:length]) or PACKAGE.name


def is_own(node: ast.ImportFrom) -> bool:
    return node.level > 0 or (node.module or "").split(".")[0] == PACKAGE.name


def imported_names(module: str, source: str) -> list[str]:
    """Every imported name with its full dotted path, wherever the import stands."""
    return [name for node in ast.walk(ast.parse(source)) for name in names_in(module, node)]


def names_in(module: str, node: ast.AST) -> list[str]:
    """The dotted paths that one import statement names; relative ones are made absolute."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    above = [PACKAGE.name, *module.split(".")][: -node.level] if node.level else []
    base = ".".join([*above, *([node.module] if node.module else [])])
    return [f"{base}.{alias.name}" for alias in node.names]


def nodes_run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below ``node`` that run when a module is read, so no function bodies."""
    yield node
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return
    for child in node.orelse if is_for_type_checkers(node) else ast.iter_child_nodes(node):
        yield from nodes_run_on_import(child)


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def is_private(part: str) -> bool:
    return part.startswith("_") and not part.startswith("__")


def top(name: str) -> str:
    return name.split(".")[0]
