"""The wheel: its content, and its commands away from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gait.motion.pose_files import read_poses
from tests.helpers.checkout import SCRIPTS, copy_checkout
from tests.helpers.paths import REPOSITORY


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of a copy of the checkout, as pip does; return the folder that it is unpacked in."""
    base = tmp_path_factory.mktemp("wheel")
    checkout = copy_checkout(base / "checkout")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, checkout / name)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(base), str(checkout)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *build], check=True)
    (wheel,) = base.glob("gait_suite-*.whl")
    zipfile.ZipFile(wheel).extractall(base / "installed")
    return base / "installed"


def run(installed: Path, folder: Path, *words: object) -> str:
    env = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def test_gait_train_mlp_shows_the_help_of_its_script(installed: Path, tmp_path: Path) -> None:
    program = "import sys; sys.argv[1:] = ['--help']; from gait.cli.commands import train_mlp; train_mlp()"
    assert "--pfe_layers" in run(installed, tmp_path, "-c", program)


@pytest.mark.slow
def test_gait_fit_with_the_body_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    cohort = {"healthy_1": {"trials": ["walk1.c3d"], "healthy": True, "model_file": "open_neutral.npz"}}
    (tmp_path / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    run(installed, tmp_path, "-m", "gait.synthetic", "--cohort", "cohort.json")
    words = ["--cohort", "cohort.json", "--save_folder", "poses"]
    run(installed, tmp_path, "-c", f"import sys; sys.argv[1:] = {words}; from gait.cli.commands import fit; fit()")
    assert read_poses(tmp_path / "poses/healthy/healthy_1/walk1").model_file == "open_neutral.npz"
