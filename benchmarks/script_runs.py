"""Run the scripts of the suite from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmark import REPOSITORY

from gait.errors import GaitError

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
ENVIRONMENT["PYTHONPATH"] = str(REPOSITORY)
"""Environment of the scripts: this checkout on PYTHONPATH, no preset number of threads."""


def fit_command(cohort: Path, model: Path, save_folder: Path, *words: str) -> list[str]:
    """Return the command line that fits a cohort; the model must be in a folder ``SUPR``."""
    folders = ["--model_folder", str(model.resolve().parents[1]), "--save_folder", str(save_folder)]
    return [sys.executable, str(REPOSITORY / "shape_optimizer.py"), "--cohort", str(cohort), *folders, *words]


def run_script(command: list[str]) -> float:
    """Run a command; return the seconds from the start of the process to its end.

    Raises:
        GaitError: the command failed; the message ends with its last line.
    """
    began = time.monotonic()
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        raise GaitError(f"{Path(command[1]).name} ended with code {done.returncode}: {last}")
    return time.monotonic() - began
