"""The head of every test report, and what tests of several files ask for."""

import os
import re
import sys
from importlib.metadata import version

import pytest
import torch
from threadpoolctl import threadpool_limits

NUMBER_MAKERS = ("torch", "scikit-learn", "imbalanced-learn", "pandas", "numpy", "scipy")


def pytest_report_header() -> list[str]:
    """Name the versions that results depend on."""
    versions = ", ".join(f"{name} {version(name)}" for name in NUMBER_MAKERS)
    return [f"{versions}; {os.cpu_count()} cores"]


def pytest_make_parametrize_id(val) -> str | None:
    """Name estimators and functions by what they are, not by where they lie: processes must agree on the names."""
    return re.sub(r" at 0x\w+", "", str(val)) if callable(val) or hasattr(val, "get_params") else None


@pytest.fixture(autouse=True)
def closed_figures():
    """Close what a test has drawn: matplotlib warns of the twenty-first figure that stays open."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture
def one_torch_thread():
    """Spare small networks the waiting of threads for each other, which is long on busy machines."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one_openmp_thread():
    """Spare small trees and sums the waiting of threads for each other, which is long on busy machines."""
    with threadpool_limits(1):
        yield
