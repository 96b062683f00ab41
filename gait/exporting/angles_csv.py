"""Joint angles of the legs as a table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from gait.exporting.exporter import Exporter, FittedTrial
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import compute_joint_angles


def write_angles_csv(trial: FittedTrial, path: Path) -> None:
    """Write one row per frame and side, in degrees.

    Hip flexion forward and knee flexion are positive. The ankle angle is that between shank and foot, which
    dorsiflexion decreases. An angle is empty where a joint that it needs is not observed.
    """
    sequence = trial.sequence
    angles = compute_joint_angles(sequence.joints_m, sequence.rate_hz, sequence.joint_status)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time_s", "side", "hip_flexion_deg", "knee_flexion_deg", "ankle_angle_deg"])
        for t in range(sequence.num_frames):
            for side in SIDES:
                values = [angle[side][t] for angle in (angles.hip, angles.knee, angles.ankle)]
                numbers = ["" if np.isnan(value) else f"{value:.4f}" for value in values]
                writer.writerow([sequence.first_frame + t, f"{t / sequence.rate_hz:.5f}", side, *numbers])


EXPORTER = Exporter(
    "angles_csv", "hip, knee and ankle angles as a table, one row per frame and side", "_angles.csv", write_angles_csv
)
