"""The example of a finished run: a patient, and the network that was not trained on it.

It is the clearest decision of the patients that the run report explains, or else the most representative patient.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from gait.errors import GaitError
from gait.explaining.cohort_paths import cohort_files
from gait.motion.subject_trials import find_trial_folders
from gait.motion.trial_paths import SICK
from gait.registry import module_names

DEMO_FOLDER = Path("demo_out")
"""Where ``setup.sh --demo`` writes, relative to the folder that it runs in."""


@dataclass(frozen=True)
class Example:
    """A trial, and the network that classifies it."""

    trial: Path
    network: Path


def walk_page_file(run: Path, name: str) -> Path:
    """Return the walk page in the folder of a run report; ``name`` is that of a patient, or of a network."""
    return run / f"walk_{name}.html"


def find_example(run: Path = DEMO_FOLDER) -> Example | None:
    """Return the example of a run whose folders are named as those of the demo; None if there is none."""
    for kind in module_names("gait.learning.networks"):
        table = cohort_files(run, kind)[2]
        try:
            with table.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            patients = [row for row in rows if row["label"] == SICK]
            explained = [row for row in patients if walk_page_file(run, row["subject"].rpartition("/")[2]).is_file()]
            explained.sort(key=lambda row: float(row["probability_sick"]), reverse=True)
            representative = (row for row in patients if "representative" in row["role"].split())
            for row in chain(explained, representative):
                network = run / f"trained_{kind}" / f"fold{int(row['fold'])}" / f"{kind}.ckpt"
                trials = find_trial_folders(run / "optimized_poses" / row["subject"])
                if trials and network.is_file():
                    return Example(trials[0], network)
        except (OSError, ValueError, KeyError, AttributeError, GaitError):
            continue  # an unfinished or damaged run has no example
    return None
