"""Joint centres as a TRC file, which OpenSim and Mokka read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import BODY_JOINTS
from gait.exporting.exporter import Exporter, FittedTrial


def write_joints_trc(trial: FittedTrial, path: Path) -> None:
    """Write the joint centres in millimetres, y up; those that are not observed are empty."""
    sequence = trial.sequence
    labels = [joint.name for joint in BODY_JOINTS]
    write_trc(path, labels, trial.observed_joints_m * 1e3, sequence.rate_hz, first_frame=sequence.first_frame)


def write_trc(
    path: Path,
    labels: Sequence[str],
    points: NDArray[np.floating],
    rate_hz: float,
    *,
    unit: str = "mm",
    first_frame: int = 1,
) -> None:
    """Write a TRC file of points (T, M, 3), in the unit that it states; NaN becomes an empty cell."""
    T, M, _ = points.shape
    rate = f"{rate_hz:.6g}"
    names = ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units"]
    names += ["OrigDataRate", "OrigDataStartFrame", "OrigNumFrames"]  # OpenSim refuses a file that lacks one
    lines = [f"PathFileType\t4\t(X/Y/Z)\t{path.name}", "\t".join(names)]
    lines.append("\t".join([rate, rate, str(T), str(M), unit, rate, str(first_frame), str(T)]))
    lines.append("Frame#\tTime\t" + "\t\t\t".join(labels))
    lines.append("\t\t" + "\t".join(f"{axis}{m + 1}" for m in range(M) for axis in "XYZ"))
    for t, frame in enumerate(points.reshape(T, -1)):
        numbers = ["" if np.isnan(x) else f"{x:.7g}" for x in frame]
        after_last = [] if numbers[-1] else [""]  # OpenSim's reader ignores an empty cell at the end of a line
        lines.append("\t".join([str(first_frame + t), f"{t / rate_hz:.5f}", *numbers, *after_last]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


EXPORTER = Exporter("joints_trc", "joint centres as TRC, in millimetres", "_joints.trc", write_joints_trc)
