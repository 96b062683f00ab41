"""One walk of 35 markers made as long as wanted: what speed and memory are measured on."""

from __future__ import annotations

import tempfile
from pathlib import Path

from recorded_trials import ADULT_WALK, repeated, there_or_told
from synthetic_subjects import NOT_OF_35, PLACED_BY_HAND, known_walks, without_markers

from gait.body.body import Body
from gait.capture import Recording, read_recording


def long_walk(captures: Path, body: Body, frames: int) -> Recording:
    """The adult's real walk, or a synthetic one where it is missing, there and back again for so many frames."""
    return repeated(one_walk(captures, body), frames)


def one_walk(captures: Path, body: Body) -> Recording:
    """The adult's real walk as it is, or a synthetic one of the same 35 markers where it is missing."""
    if there_or_told(captures, "a synthetic walker takes their place"):
        return read_recording(captures / ADULT_WALK)
    with tempfile.TemporaryDirectory() as folder:
        (known,) = known_walks("healthy_1", body, PLACED_BY_HAND, Path(folder), walks=1)
    return without_markers(known.recording, NOT_OF_35)
