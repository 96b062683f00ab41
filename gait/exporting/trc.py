"""The recording's markers as a TRC file, which OpenSim's inverse kinematics reads."""

from __future__ import annotations

from pathlib import Path

from gait.exporting.exporter import Exporter, FittedTrial, NotExportableError
from gait.exporting.joints_trc import write_trc


def write_markers_trc(trial: FittedTrial, path: Path) -> None:
    """Write the measured markers in millimetres, y up; where a marker is not visible, its cells are empty.

    Raises:
        NotExportableError: the trial has no markers.
    """
    markers, sequence = trial.markers_in_sequence(), trial.sequence
    if markers is None:
        raise NotExportableError("these poses of another tool have no markers; joints_trc has their joint centres.")
    write_trc(path, markers.labels, markers.observed_m * 1e3, sequence.rate_hz, first_frame=sequence.first_frame)


EXPORTER = Exporter("trc", "the recording's markers as TRC, in millimetres, y up", ".trc", write_markers_trc)
