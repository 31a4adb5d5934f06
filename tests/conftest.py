"""The head of every test report: on what it ran."""

import os
from importlib.metadata import version

NUMBER_MAKERS = ("torch", "scikit-learn", "imbalanced-learn", "pandas", "numpy", "scipy")


def pytest_report_header() -> list[str]:
    """Name the versions that results depend on."""
    versions = ", ".join(f"{name} {version(name)}" for name in NUMBER_MAKERS)
    return [f"{versions}; {os.cpu_count()} cores"]
