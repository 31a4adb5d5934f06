"""The report that the site shows: what `eventlstm demo` writes, of smaller networks to spare the build time."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = "demo --model lstm --members 2 --folds 2 --max-epochs 6"


def write(folder: Path) -> None:
    """Run the demo in `folder`, unless it has been run there for the present command."""
    stamp = folder.parent / "live_command.txt"
    if (folder / "report.html").exists() and stamp.exists() and stamp.read_text() == COMMAND:
        return
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "eventlstm.cli", *COMMAND.split()]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=os.environ, check=False)
    if ran.returncode:
        raise RuntimeError(f"`eventlstm {COMMAND}` failed: {ran.stderr.strip()}")
    stamp.write_text(COMMAND)
