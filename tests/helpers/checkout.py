"""A copy of the package and scripts, to which a test adds the example file of a documentation page."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
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


_RUN_EACH = """
import contextlib, io, json, runpy, sys

printed = []
for words in json.loads(sys.argv[1]):
    module = words[0] == "-m"
    sys.argv = words[module:]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            if module:
                runpy.run_module(words[1], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            if end.code:
                print(out.getvalue(), file=sys.stderr)
                raise
    printed.append(out.getvalue())
print(json.dumps(printed))
"""


def run_each_in(checkout: Path, *commands: Sequence[object], timeout_s: float = 300) -> list[str]:
    """Run commands of Python in a checkout with its package; return what each printed, or fail with all the output.

    One new process runs them one after the other, since its imports take longer than most of them.

    Args:
        checkout: The working directory and the folder of the package ``gait``.
        commands: The words of each: a script, or -m and a module, and their arguments.
        timeout_s: Seconds that all of them may take.
    """
    words = json.dumps([[str(word) for word in command] for command in commands])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", _RUN_EACH, words],
        capture_output=True, text=True, check=False, cwd=checkout, env=env, timeout=timeout_s,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return list(json.loads(done.stdout))
