"""A cohort of synthetic subjects on disk, and the command that fits it as a user runs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from synthetic_subjects import TYPICAL_ERRORS, subject_names

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.synthetic import make_subject, make_trial, parse_subject_name, write_recording

REPOSITORY = Path(__file__).resolve().parents[1]


def write_cohort(folder: Path, body: Body, *, subjects: int, trials: int, seconds: float) -> Path:
    """Write the recordings of a cohort, half of its subjects sick; return the cohort file.

    Args:
        folder: where to write.
        body: body model.
        subjects: number of subjects.
        trials: trials per subject.
        seconds: length of a trial.
    """
    layout = plug_in_gait_layout(body)
    content = {}
    for name in subject_names(subjects - subjects // 2, subjects // 2):
        spec = parse_subject_name(name)
        subject = make_subject(body, spec.seed)
        paths = [folder / "recordings" / name / f"walk{number}.c3d" for number in range(1, trials + 1)]
        for number, path in enumerate(paths, 1):
            trial = make_trial(body, subject, spec.pathology, seconds=seconds, seed=number)
            write_recording(trial, body, layout, path, errors=TYPICAL_ERRORS)
        content[name] = {"trials": [str(path) for path in paths], "healthy": spec.pathology is None}
    file = folder / "cohort.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def fit_command(cohort: Path, model: Path, save_folder: Path, *words: str) -> list[str]:
    """Return the command line that fits a cohort; the model must be in a folder ``SUPR``."""
    script = str(REPOSITORY / "shape_optimizer.py")
    folders = ["--model_folder", str(model.resolve().parents[1]), "--save_folder", str(save_folder)]
    return [sys.executable, script, "--cohort", str(cohort), *folders, *words]


def fit_environment() -> dict[str, str]:
    """Return the environment of the command: this checkout on PYTHONPATH, no preset number of threads."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return {**environment, "PYTHONPATH": str(REPOSITORY)}
