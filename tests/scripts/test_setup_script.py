"""setup.sh --demo: its steps are commands that the scripts understand, and one that fails leaves the rest to run."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.paths import REPOSITORY

# Stands where setup.sh looks for its Python: writes down what it is asked to run, and is Python for small questions.
_WATCHER = """#!{python}
import json, os, sys
words = sys.argv[1:]
if words and (words[0].endswith(".py") or words[0] == "-m"):
    with open("asked.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(words) + "\\n")
    print("first line\\nlast line of", words[0])
    sys.exit(1 if words[0] == os.environ.get("FAILS") else 0)
os.execv({python!r}, [{python!r}, *words])
"""


def demo(folder: Path, fails: str = "") -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run it in a folder of its own; what it said, and what it asked Python to run."""
    for name in ("setup.sh", "example_cohort.json", "pyproject.toml", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "gait").symlink_to(REPOSITORY / "gait")
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(_WATCHER.format(python=sys.executable), encoding="utf-8")
    python.chmod(0o755)
    environment = {**os.environ, "FAILS": fails, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        ["bash", "setup.sh", "--demo"], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    asked = [json.loads(line) for line in (folder / "asked.jsonl").read_text(encoding="utf-8").splitlines()]
    return done, asked


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its data class looks itself up
    spec.loader.exec_module(module)
    return module


def test_the_steps_of_the_demo_are_understood_and_each_takes_up_what_the_one_before_left(tmp_path: Path) -> None:
    done, asked = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    by_script = {words[0].removesuffix(".py"): words[1:] for words in asked if words[0] != "-m"}
    assert list(by_script) == ["shape_optimizer", "train_multi_mlp", "train_transformer"]
    poses = script("shape_optimizer").parse_arguments(by_script["shape_optimizer"]).settings.save_folder
    trained = []
    for name in ("train_multi_mlp", "train_transformer"):
        training = script(name).parse_arguments(by_script[name])
        assert training.source.base_folder == poses
        assert training.k_folds == 3
        assert training.cross is None, "all folds"
        trained.append(str(training.save_folder))
    (told,) = [words[2:] for words in asked if words[:2] == ["-m", "gait.report"]]
    assert Path(told[told.index("--poses") + 1]) == poses
    start = told.index("--trained") + 1
    assert [str(Path(word)) for word in told[start : start + 2]] == trained
    assert any("prove nothing about patients" in word for word in told)
    lines = done.stdout.splitlines()
    assert sum(line.endswith(" s") for line in lines) == 4, "three steps and the whole, a line each"
    assert "last line of" not in "\n".join(line for line in lines if ".py" in line)


@pytest.mark.parametrize("fails", ["shape_optimizer.py", "train_transformer.py"])
def test_a_step_that_fails_says_so_and_the_others_go_on(tmp_path: Path, fails: str) -> None:
    done, asked = demo(tmp_path, fails)
    assert done.returncode == 1
    assert [words[0] for words in asked if words[0] != "-m"] == [
        "shape_optimizer.py", "train_multi_mlp.py", "train_transformer.py",
    ]  # fmt: skip
    assert ["-m", "gait.report"] in [words[:2] for words in asked]
    failed = [line for line in done.stdout.splitlines() if "failed" in line]
    assert len(failed) == 1
    assert "demo_out/log/" in failed[0]
    assert f"last line of {fails}" in done.stdout


def test_help_names_what_there_is_and_an_unknown_word_is_one_line() -> None:
    done = subprocess.run(["bash", "setup.sh", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    for word in ("--demo", "--test", "demo_out/index.html"):
        assert word in done.stdout
    done = subprocess.run(["bash", "setup.sh", "--what"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
