"""A synthetic walk over force plates of all types, written as C3D and read again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.synthetic import SyntheticTrial, make_subject, make_trial, write_recording
from gait.synthetic.force_plates import PlatePlan, record_plates
from tests.helpers.paths import REPOSITORY

ANALOG_HZ = 1000.0


@cache
def walk() -> SyntheticTrial:
    body = load_body(REPOSITORY / "data" / "SUPR" / "open_neutral.npz")
    return make_trial(body, make_subject(body, 2, adult=True), seconds=4.0, seed=1)


def walk_over(plans: Sequence[PlatePlan], folder: Path) -> Recording:
    """Return the recording of the walk over plates."""
    body = load_body(REPOSITORY / "data" / "SUPR" / "open_neutral.npz")
    path = folder / "walk.c3d"
    signals = record_plates(walk(), plans, ANALOG_HZ)
    write_recording(walk(), body, plug_in_gait_layout(body), path, plates=signals)
    return read_recording(path)
