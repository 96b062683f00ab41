"""setup.sh: the demo runs valid commands and continues after a failed step; --help and unknown options."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from gait.cli.arguments import parse
from gait.learning.networks import NETWORKS
from gait.learning.training_arguments import parse_training_arguments
from gait.report.__main__ import Arguments
from tests.helpers.paths import REPOSITORY

# Takes the place of .venv/bin/python: it only records scripts and modules that it should run, and passes on the rest.
_FAKE_PYTHON = """#!{python}
import json, os, sys
words = sys.argv[1:]
if words and (words[0].endswith(".py") or words[0] == "-m"):
    with open("commands.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(words) + "\\n")
    print("first line\\nlast line of", words[0])
    sys.exit(1 if words[0] == os.environ.get("FAILS") else 0)
os.execv({python!r}, [{python!r}, *words])
"""


def demo(folder: Path, fails: str = "") -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run the demo in ``folder``; return the process and the recorded Python commands."""
    for name in ("setup.sh", "example_cohort.json", "pyproject.toml", "setup.py", "constraints.txt"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "gait").symlink_to(REPOSITORY / "gait")
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(_FAKE_PYTHON.format(python=sys.executable), encoding="utf-8")
    python.chmod(0o755)
    environment = {**os.environ, "FAILS": fails, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.run(
        ["bash", "setup.sh", "--demo"], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip
    commands = [json.loads(line) for line in (folder / "commands.jsonl").read_text(encoding="utf-8").splitlines()]
    return process, commands


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def test_demo_steps_are_valid_commands_and_use_earlier_results(tmp_path: Path) -> None:
    process, commands = demo(tmp_path)
    assert process.returncode == 0, process.stdout + process.stderr
    assert ["-m", "compileall", "-q", "gait"] in [words[:4] for words in commands], "before any of them starts"
    by_script = {words[0].removesuffix(".py"): words[1:] for words in commands if words[0] != "-m"}
    assert sorted(by_script) == ["shape_optimizer", "train_multi_mlp", "train_transformer"]
    assert next(iter(by_script)) == "shape_optimizer", "both trainings run at the same time, after it"
    poses = parse(script("shape_optimizer").Arguments, "", by_script["shape_optimizer"]).save_folder
    trained = []
    for name, network in (("train_multi_mlp", "mlp"), ("train_transformer", "transformer")):
        training = parse_training_arguments(NETWORKS[network], "", by_script[name])
        assert training.poses == poses
        assert training.k_folds == 3
        assert (training.input, training.windows) == ("rotations", "cycles"), "as the README recommends it"
        assert training.fold is None, "all folds"
        trained.append(str(training.save_folder))
    (report,) = [words[2:] for words in commands if words[:2] == ["-m", "gait.report"]]
    assert Path(report[report.index("--poses") + 1]) == poses
    start = report.index("--trained") + 1
    assert [str(Path(word)) for word in report[start : start + 2]] == trained
    assert any("prove nothing about patients" in word for word in report)
    examples = parse(Arguments, "", report).examples
    assert len(examples) == 3
    assert not set(examples) - set(json.loads((tmp_path / "example_cohort.json").read_text(encoding="utf-8")))
    lines = process.stdout.splitlines()
    assert sum(bool(re.search(r"\d s$", line)) for line in lines) == 3, "the steps, one line each"
    assert re.search(r"The demo took \d+ s: see demo_out/index.html", lines[-1])
    assert "last line of" not in "\n".join(line for line in lines if ".py" in line)


@pytest.mark.parametrize("fails", ["shape_optimizer.py", "train_transformer.py"])
def test_demo_continues_after_a_failed_step(tmp_path: Path, fails: str) -> None:
    process, commands = demo(tmp_path, fails)
    assert process.returncode == 1
    assert sorted(words[0] for words in commands if words[0] != "-m") == [
        "shape_optimizer.py", "train_multi_mlp.py", "train_transformer.py",
    ]  # fmt: skip
    assert ["-m", "gait.report"] in [words[:2] for words in commands]
    failed = [line for line in process.stdout.splitlines() if "failed" in line]
    assert len(failed) == 1
    assert "demo_out/log/" in failed[0]
    assert f"last line of {fails}" in process.stdout


def test_help_lists_the_options_and_an_unknown_option_is_one_line() -> None:
    process = subprocess.run(
        ["bash", "setup.sh", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0
    for word in ("--demo", "--test", "demo_out/index.html"):
        assert word in process.stdout
    process = subprocess.run(
        ["bash", "setup.sh", "--what"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1
