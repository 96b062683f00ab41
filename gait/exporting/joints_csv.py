"""Joint centres as a tidy table."""

from __future__ import annotations

import csv
from pathlib import Path

from gait.body.skeleton import BODY_JOINTS
from gait.exporting.exporter import Exporter, FittedTrial


def write_joints_csv(trial: FittedTrial, path: Path) -> None:
    """Write one row per frame and joint: position in metres, y up, and its uncertainty (68 % radius) if known."""
    sequence = trial.sequence
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "time_s", "joint", "x_m", "y_m", "z_m", "sigma_m"])
        for t, positions in enumerate(sequence.joints_m):
            for joint, position in zip(BODY_JOINTS, positions, strict=True):
                sigma = "" if sequence.joint_sigma_m is None else f"{sequence.joint_sigma_m[t, joint]:.5f}"
                numbers = [f"{value:.6f}" for value in position]
                writer.writerow([sequence.first_frame + t, f"{t / sequence.rate_hz:.5f}", joint.name, *numbers, sigma])


EXPORTER = Exporter(
    "joints_csv", "joint centres as a table, one row per frame and joint", "_joints.csv", write_joints_csv
)
