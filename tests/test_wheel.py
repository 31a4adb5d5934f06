"""A wheel that is built from the checkout works elsewhere: in an environment of its own, from another folder."""

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TINY = "demo --model boosting --folds 2"
NOT_OF_THE_CHECKOUT = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, as `pip install .` builds it."""
    out = tmp_path_factory.mktemp("dist")
    ran = run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", str(out), str(ROOT)], ROOT)
    if ran.returncode:
        pytest.skip(f"pip cannot build here: {ran.stderr.strip().splitlines()[-1]}")
    (found,) = out.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_holds_the_files_of_the_package_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(["git", "ls-files", "eventlstm"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("the checkout is no repository")
    assert names == set(tracked.stdout.split())


@pytest.mark.slow
def test_the_wheel_tells_where_it_may_run(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = archive.read(name).decode()
    assert "Requires-Python: >=3.11" in metadata
    assert re.search(r"^License-Expression: BSD-3-Clause$", metadata, re.MULTILINE)


@pytest.mark.slow
def test_a_fresh_environment_runs_the_demo_from_another_folder(wheel, tmp_path):
    python = fresh_environment(tmp_path / "environment")
    constraints = str(ROOT / "constraints.txt")
    ran = run([python, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[report]"], tmp_path)
    if ran.returncode:
        pytest.skip(f"pip cannot install here: {ran.stderr.strip().splitlines()[-1]}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = run([python, "-c", "import eventlstm; print(eventlstm.__file__)"], elsewhere)
    assert str(tmp_path) in place.stdout, place.stdout + place.stderr
    demo = run([str(Path(python).parent / "eventlstm"), *TINY.split()], elsewhere)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Wrote report.html" in demo.stdout
    assert (elsewhere / "report.html").stat().st_size > 100_000


def fresh_environment(folder: Path) -> str:
    """The interpreter of a new virtual environment."""
    venv.create(folder, with_pip=True)
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    """Run without what would lead back to the checkout."""
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OF_THE_CHECKOUT}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment, check=False, timeout=1500
    )
