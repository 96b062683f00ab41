"""Joint centres as a tidy table."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from gait.body.joint_status import JointStatus
from gait.body.skeleton import BODY_JOINTS
from gait.exporting.exporter import Exporter, FittedTrial


def write_joints_csv(trial: FittedTrial, path: Path) -> None:
    """Write one row per frame and joint: position in metres, y up, its uncertainty (68 % radius) and its status.

    The position of a joint that is not observed is empty, as are uncertainty and status where they are unknown.
    """
    sequence = trial.sequence
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time_s", "joint", "x_m", "y_m", "z_m", "sigma_m", "status"])
        for t, positions in enumerate(trial.observed_joints_m):
            for joint, position in zip(BODY_JOINTS, positions, strict=True):
                sigma = "" if sequence.joint_sigma_m is None else f"{sequence.joint_sigma_m[t, joint]:.5f}"
                status = (
                    "" if sequence.joint_status is None else JointStatus(sequence.joint_status[t, joint]).name.lower()
                )
                numbers = ["" if np.isnan(value) else f"{value:.6f}" for value in position]
                time_s = f"{t / sequence.rate_hz:.5f}"
                writer.writerow([sequence.first_frame + t, time_s, joint.name, *numbers, sigma, status])


EXPORTER = Exporter(
    "joints_csv", "joint centres as a table, one row per frame and joint", "_joints.csv", write_joints_csv
)
