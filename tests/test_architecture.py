"""The directions of imports, held by reading the source; each law is shown to catch a breach."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "eventlstm"
ROWS = (
    {"lanes", "log_index", "pumps"},
    {"_validation", "windows", "inputs", "priors", "datasets", "events", "alarm_machine", "tails"},
    {"cells", "pooling", "augmentation", "optimizers", "threads", "devices", "checkpoints", "loss_base"}
    | {
        "alarms",
        "forecast_targets",
        "measure_inputs",
        "intervals",
        "threshold_base",
        "threshold_choice",
        "window_choice",
    },
    {"layers", "class_losses", "error_losses", "focusing_losses", "samplers", "flattening", "temporal_oversampling"}
    | {"affiliation", "anomaly_scorer", "matching", "range_measures", "row_measures", "vus"}
    | {"dynamic_threshold", "labelled_threshold", "quiet_thresholds", "streaming_threshold"},
    {"encoder", "losses", "thresholds", "alarm_measures", "alarm_delays"},
    {"networks", "sequence_networks", "batches", "checked_log", "resampling", "alarm_curves"},
    {"training", "filling", "insight", "forecast_networks", "window_sampler", "bags", "metrics"},
    {"recurrent", "monitoring"},
    {"labelled", "forecasting", "reconstruction"},
    {"stepwise", "step_forecaster"},
    {"classifier", "autoencoder", "forecaster", "members"},
    {"bagging", "scoring", "attribution", "error_scoring", "row_models"},
    {"ensemble", "row_detector", "outlier_classifier"},
    {"detector", "anomaly", "model_selection", "drawing"},
    {"blend", "archive_trees"},
    {"archive_tree", "log_columns", "alarm_displays", "evaluation_displays", "log_displays", "network_displays"}
    | {"timeline_displays"},
    {"streaming", "persistence", "plots", "log_files", "comparison", "unlabelled_comparison"}
    | {"report_alarms", "report_card", "report_scores"},
    {"alarm_report", "cli_files"},
    {"report_baselines", "report_measures", "report_page"},
    {"report_text"},
    {"report"},
    {"cli_detect", "cli_fit", "cli_score"},
    {"report_command"},
    {"cli"},
)
ROW_OF = {module: row for row, modules in enumerate(ROWS) for module in modules}
ENTRY_POINTS = {"__init__", "__main__"}
WITHOUT_TORCH = {
    "affiliation",
    "alarm_curves",
    "alarm_delays",
    "alarm_measures",
    "alarms",
    "anomaly_scorer",
    "attribution",
    "bagging",
    "bags",
    "checked_log",
    "dynamic_threshold",
    "error_scoring",
    "filling",
    "flattening",
    "forecast_targets",
    "intervals",
    "labelled_threshold",
    "matching",
    "measure_inputs",
    "metrics",
    "outlier_classifier",
    "quiet_thresholds",
    "range_measures",
    "resampling",
    "row_detector",
    "row_measures",
    "row_models",
    "samplers",
    "scoring",
    "streaming_threshold",
    "temporal_oversampling",
    "threshold_base",
    "threshold_choice",
    "thresholds",
    "vus",
    "window_choice",
    "window_sampler",
}
TORCH_MODULES = set().union(*ROWS[2:13]) - WITHOUT_TORCH | {"streaming", "persistence"}
HEAVY_PACKAGES = {"dask", "matplotlib", "onnx", "onnxruntime", "plotly", "pyarrow"}
LONGEST_FILE = 450  # lines; the aim is 300, beyond this a file holds more than one idea

SOURCES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(PACKAGE.glob("*.py"))}
each_module = pytest.mark.parametrize("module", SOURCES)


@each_module
def test_a_module_imports_only_from_rows_above_its_own(module):
    expect_none(direction_faults(module, SOURCES[module]))


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
    assert ast.get_docstring(ast.parse(SOURCES[module])), f"{module}.py has no docstring at its head."


@each_module
def test_a_file_holds_one_idea(module):
    n_lines = len(SOURCES[module].splitlines())
    assert n_lines <= LONGEST_FILE, f"{module}.py has {n_lines} lines, more than {LONGEST_FILE}: split it."


def test_the_package_is_flat():
    nested = [str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE]
    assert nested == [], "The rows know single files only; move these up or teach ROWS about folders."


def test_importing_the_package_loads_no_heavy_package_that_it_can_do_without():
    program = "import sys, eventlstm; print(sorted({'dask', 'matplotlib', 'onnx', 'plotly'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr


@pytest.mark.parametrize(
    "source",
    [
        "from eventlstm.cli import main",
        "from eventlstm import cli",
        "import eventlstm.cli",
        "from .cli import main",
        "from . import cli",
        "def fit():\n    from eventlstm.classifier import LSTMClassifier",  # its own row
        "from eventlstm import LSTMClassifier",  # through the root, which hides the row
        "import eventlstm",
        "from eventlstm.brand_new import thing",
    ],
)
def test_an_import_against_the_direction_is_caught(source):
    assert len(direction_faults("classifier", source)) == 1


def test_a_module_without_a_row_is_caught():
    (fault,) = direction_faults("brand_new", "")
    assert "add it to ROWS" in fault


def test_an_import_along_the_direction_is_let_through():
    source = "from eventlstm import windows, __version__\nfrom .training import fit_loop\nimport eventlstm.losses"
    assert direction_faults("classifier", source) == []


@pytest.mark.parametrize("source", ["import torch", "from torch.nn import LSTM", "def f():\n    import torch as t"])
def test_torch_in_the_wrong_module_is_caught(source):
    assert len(torch_faults("metrics", source)) == 1
    assert torch_faults("networks", source) == []


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
    assert len(private_name_faults("metrics", source)) == 1
    assert private_name_faults("_validation", source) == []


def expect_none(faults: list[str]) -> None:
    """Fail with every fault in full, which a comparison of lists would cut short."""
    assert not faults, "\n".join(faults)


def direction_faults(module: str, source: str) -> list[str]:
    """The imports of ``source`` that do not come from a row above that of ``module``."""
    if module in ENTRY_POINTS:
        return []
    if module not in ROW_OF:
        return [f"{module}.py has no row; add it to ROWS in tests/test_architecture.py."]
    return [
        f"{module}.py (row {ROW_OF[module]}) imports {target!r} (row {ROW_OF.get(target, 'unknown')}); "
        "a module imports from rows above its own, and not through the package's root."
        for target in own_imports(source)
        if ROW_OF.get(target, len(ROWS)) >= ROW_OF[module]
    ]


def torch_faults(module: str, source: str) -> list[str]:
    """The imports of torch, unless ``module`` handles tensors."""
    if module in TORCH_MODULES | ENTRY_POINTS:
        return []
    return [
        f"{module}.py imports {name}; the modules that may are TORCH_MODULES in tests/test_architecture.py."
        for name in imported_names(ast.parse(source))
        if top(name) == "torch"
    ]


def heavy_faults(source: str) -> list[str]:
    """The heavy packages that reading ``source`` would load."""
    return [
        f"{name} is imported when the module is read; import it inside the function that needs it."
        for node in nodes_run_on_import(ast.parse(source))
        for name in names_in(node)
        if top(name) in HEAVY_PACKAGES
    ]


def private_name_faults(module: str, source: str) -> list[str]:
    """The underscored names of scikit-learn, unless ``module`` is the one that may know them."""
    if module == "_validation":
        return []
    return [
        f"{module}.py imports {name}, which scikit-learn may change; let _validation.py do so and hand it on."
        for name in imported_names(ast.parse(source))
        if top(name) == "sklearn" and any(is_private(part) for part in name.split("."))
    ]


def own_imports(source: str) -> list[str]:
    """The modules of this package that ``source`` imports; a name taken from the root stands for itself."""
    paths = [name.split(".") for name in imported_names(ast.parse(source)) if top(name) == PACKAGE.name]
    modules = [path[1] if len(path) > 1 else path[0] for path in paths]
    return list(dict.fromkeys(module for module in modules if module != "__version__"))


def imported_names(tree: ast.AST) -> list[str]:
    """Every imported name with its full dotted path, wherever the import stands."""
    return [name for node in ast.walk(tree) for name in names_in(node)]


def names_in(node: ast.AST) -> list[str]:
    """The dotted paths that one import statement names; relative ones are made absolute."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = ".".join(part for part in (PACKAGE.name if node.level else None, node.module) if part)
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
