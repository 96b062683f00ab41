"""A copy of the package and scripts, to which a test adds the example file of a documentation page."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers.paths import REPOSITORY

SCRIPTS = ("shape_optimizer.py", "train_transformer.py", "train_multi_mlp.py", "attention_viewer.py")
_EXAMPLE = re.compile(r"^```\w+\n# (gait/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def copy_checkout(folder: Path) -> Path:
    """Copy the package and the scripts to ``folder`` and link ``data``; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(REPOSITORY / "gait", folder / "gait", ignore=shutil.ignore_patterns("__pycache__"))
    for script in SCRIPTS:
        shutil.copy(REPOSITORY / script, folder / script)
    (folder / "data").symlink_to(REPOSITORY / "data")
    return folder


def add_example(page: str, checkout: Path) -> Path:
    """Write the one example of a page of docs/ whose first line is ``# gait/...`` as a new file of the checkout."""
    ((name, text),) = _EXAMPLE.findall((REPOSITORY / "docs" / page).read_text(encoding="utf-8"))
    path = checkout / name
    assert not path.exists()
    path.write_text(text, encoding="utf-8")
    return path


def run_in(
    checkout: Path, *words: object, package: Path | None = None, timeout_s: float = 300
) -> "subprocess.CompletedProcess[str]":
    """Run Python in a checkout, with its package or that in another folder; fail with the output if it fails."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(package or checkout)}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=checkout, env=env, timeout=timeout_s
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done
