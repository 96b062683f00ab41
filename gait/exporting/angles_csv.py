"""Joint angles as a table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from gait.exporting.exporter import Exporter, FittedTrial
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import compute_joint_angles


def write_angles_csv(trial: FittedTrial, path: Path) -> None:
    """Write one row per frame and side, in degrees.

    The columns are the angles of Plug-in Gait, with its signs (``gait.kinematics.joint_angles.ANGLES``). An angle is
    empty where a joint that it needs is not observed.
    """
    sequence = trial.sequence
    angles = compute_joint_angles(sequence)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time_s", "side", *(f"{angle.name}_deg" for angle in angles.definitions)])
        for t in range(sequence.num_frames):
            for side in SIDES:
                values = [angles[angle.name, side][t] for angle in angles.definitions]
                numbers = ["" if np.isnan(value) else f"{value:.4f}" for value in values]
                writer.writerow([sequence.first_frame + t, f"{t / sequence.rate_hz:.5f}", side, *numbers])


EXPORTER = Exporter(
    "angles_csv", "joint angles in three planes as a table, one row per frame and side", "_angles.csv", write_angles_csv
)
