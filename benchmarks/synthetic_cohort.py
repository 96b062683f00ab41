"""A cohort of synthetic walkers on disk, and the command that fits it, run as a person runs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from synthetic_subjects import PLACED_BY_HAND, walker_names

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.synthetic import make_person, make_walk, walker, write_walk

REPOSITORY = Path(__file__).resolve().parents[1]


def write_cohort(folder: Path, body: Body, *, persons: int, walks: int, seconds: float) -> Path:
    """Write so many persons' walks of so many seconds, half of the persons ill; returns the cohort file."""
    layout = plug_in_gait_layout(body)
    content = {}
    for name in walker_names(persons - persons // 2, persons // 2):
        who = walker(name)
        person = make_person(body, who.seed)
        paths = [folder / "recordings" / name / f"walk{number}.c3d" for number in range(1, walks + 1)]
        for number, path in enumerate(paths, 1):
            walk = make_walk(body, person, who.disorder, seconds=seconds, seed=number)
            write_walk(walk, body, layout, path, errors=PLACED_BY_HAND)
        content[name] = {"gaits": [str(path) for path in paths], "healthy": who.disorder is None}
    file = folder / "cohort.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def fit_command(cohort: Path, model: Path, save_folder: Path, *words: str) -> list[str]:
    """The command line that fits a cohort; the model's folder is ``<anything>/SUPR``."""
    script = str(REPOSITORY / "shape_optimizer.py")
    folders = ["--model_folder", str(model.resolve().parents[1]), "--save_folder", str(save_folder)]
    return [sys.executable, script, "--cohort", str(cohort), *folders, *words]


def fit_environment() -> dict[str, str]:
    """The environment that the command runs in: this checkout's gait, and no say in the number of threads."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return {**environment, "PYTHONPATH": str(REPOSITORY)}
