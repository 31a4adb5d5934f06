"""The scripts of pipelines/ as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PIPELINES = Path(__file__).parents[2] / "pipelines"
DATA = PIPELINES.parents[1] / "shared" / "data"  # users do not have it: tests that need it are skipped without


def load_script(name: str) -> ModuleType:
    """Return a script as a module that finds its neighbours, as Python sees to when it runs one."""
    sys.path.insert(0, str(PIPELINES))
    try:
        spec = importlib.util.spec_from_file_location(name, PIPELINES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(PIPELINES))
    return module
