"""The wheel: its content, and its commands away from the checkout."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gait.motion.pose_files import read_poses
from gait.synthetic.__main__ import main as write_synthetic
from tests.helpers.checkout import SCRIPTS, copy_checkout
from tests.helpers.paths import OPEN_BODY, REPOSITORY


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a copy of the checkout, as pip does; return the folder that it is unpacked in."""
    base = tmp_path_factory.mktemp("wheel")
    checkout = copy_checkout(base / "checkout")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, checkout / name)
    for stale in checkout.rglob("_native_solver.*"):
        stale.unlink()
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(base), str(checkout)]
    one_target = os.environ | {"CFLAGS": "-DONE_TARGET"}  # takes a third of the time to compile
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *build], check=True, env=one_target)
    (wheel,) = base.glob("gait_suite-*.whl")
    zipfile.ZipFile(wheel).extractall(base / "installed")
    return base / "installed"


COMMANDS = """
import json, sys
from gait.cli import commands

for name, words in json.loads(sys.argv[1]).items():
    sys.argv[1:] = words
    try:
        getattr(commands, name)()
    except SystemExit as end:
        assert not end.code, (name, end.code)
"""


def test_wheel_has_the_package_its_data_the_scripts_and_the_commands(installed: Path) -> None:
    kept = ("*.py", "*.toml", "*.jinja", "*.css", "py.typed")
    package = {file.relative_to(REPOSITORY) for kind in kept for file in (REPOSITORY / "gait").rglob(kind)}
    missing = [str(file) for file in package if not (installed / file).is_file()]
    assert not missing
    assert all((installed / script).is_file() for script in SCRIPTS)
    assert (installed / "gait/data/SUPR/open_neutral.npz").stat().st_size > 1e6
    norms = {file.name for file in (REPOSITORY / "data/norms").iterdir()}
    assert norms == {file.name for file in (installed / "gait/data/norms").iterdir()}
    (commands,) = installed.glob("*.dist-info/entry_points.txt")
    names = [line.split(" = ")[0] for line in commands.read_text(encoding="utf-8").splitlines() if " = " in line]
    assert names == ["gait-fit", "gait-train-mlp", "gait-train-transformer", "gait-view"]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_wheel_has_the_compiled_solver(installed: Path) -> None:
    (file,) = (installed / "gait/fitting/solver").glob("_native_solver.*")
    assert ctypes.CDLL(str(file)).solve_frames


@pytest.mark.slow
def test_commands_show_their_help_and_fit_with_the_body_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    cohort = {"healthy_1": {"trials": ["walk1.c3d"], "healthy": True, "model_file": "open_neutral.npz"}}
    (tmp_path / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    with contextlib.chdir(tmp_path):
        assert write_synthetic(["--cohort", "cohort.json", "--model_folder", str(OPEN_BODY.parents[1])]) == 0
    words = ["--cohort", "cohort.json", "--save_folder", "poses"]
    env = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps({"train_mlp": ["--help"], "fit": words})],
        cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--pfe_layers" in done.stdout
    assert "1 fitted" in done.stdout
    assert read_poses(tmp_path / "poses/healthy/healthy_1/walk1").model_file == "open_neutral.npz"
