"""One trial with 35 markers, extended to any length, to measure speed and memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from recorded_trials import ADULT_TRIAL, captures_available, extend_recording
from synthetic_subjects import NOT_OF_35, TYPICAL_ERRORS, drop_markers, simulate_trials

from gait.body.body import Body
from gait.capture import Recording, read_recording


def make_long_recording(captures: Path, body: Body, frames: int) -> Recording:
    """Extend the adult's trial, or a synthetic one if it is not available, to a number of frames."""
    return extend_recording(read_adult_trial(captures, body), frames)


def read_adult_trial(captures: Path, body: Body) -> Recording:
    """Read the adult's trial, or simulate one with the same 35 markers if it is not available."""
    if captures_available(captures, "a synthetic trial is used instead"):
        return read_recording(captures / ADULT_TRIAL)
    with tempfile.TemporaryDirectory() as folder:
        (known,) = simulate_trials("healthy_1", body, TYPICAL_ERRORS, Path(folder), trials=1)
    return drop_markers(known.recording, NOT_OF_35)
