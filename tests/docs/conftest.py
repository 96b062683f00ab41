"""The folder of a finished run, for the examples of the README and of docs/."""

import contextlib
import json
from pathlib import Path

import pytest

from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings
from gait.report.training.command import train_network
from gait.synthetic.__main__ import main as write_synthetic
from tests.helpers.fit_cohort import fit_cohort
from tests.helpers.motion_cases import stick_figure, write_trial
from tests.helpers.paths import OPEN_BODY


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as it is after a run: ``example_recordings/``, fitted ``optimized_poses/``, ``trained_mlp/``, ``data/``.

    Two trials are synthetic and fitted; two more subjects for the training are stick figures.
    """
    folder = tmp_path_factory.mktemp("run")
    (folder / "data").symlink_to(OPEN_BODY.parents[1])
    cohort = {
        name: {"trials": [f"example_recordings/{name}/walk1.c3d"], "healthy": healthy, "model_file": OPEN_BODY.name}
        for name, healthy in (("healthy_1", True), ("stiff_knee_left", False))
    }
    (folder / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    with contextlib.chdir(folder):
        assert write_synthetic(["--cohort", "cohort.json"]) == 0
        fit = FitSettings(Path("data"), Path("optimized_poses"), figures=False)
        assert {done.state for done in fit_cohort(read_cohort(Path("cohort.json")), fit)} == {"fitted"}
        for label, speed in (("healthy", 1.2), ("sick", 0.8)):
            write_trial(Path("optimized_poses"), f"{label}/stick_figure/walk1", stick_figure(160, speed=speed))
        train = "--base_folder optimized_poses --save_folder trained_mlp --k_folds 2 --epochs 1"
        sizes = "--interval_size 8 --stride 16 --pfe_layers 8 4 --fc_layers 8"  # too short for MiniRocket
        assert train_network("mlp", "python train.py\n\nTrains a network.", f"{train} {sizes}".split()) == 0
    return folder
