"""Formatting, lint and types, so that one command checks everything."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = ("ruff format --check .", "ruff check .", "mypy")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_code_passes(command):
    run = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"python -m {command}\n{run.stdout}{run.stderr}"


def test_pre_commit_runs_the_same_commands():
    lines = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8").splitlines()
    entries = [line.strip().removeprefix("entry: ") for line in lines if line.strip().startswith("entry: ")]
    assert entries == [f"python -m {command}" for command in COMMANDS]
