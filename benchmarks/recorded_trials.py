"""Recordings of real subjects, and the joint centres that their laboratories computed.

The recordings (``../shared/captures``) are not part of the project. Without them a benchmark prints a message and skips
the measurements that need them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from benchmark import REPOSITORY
from numpy.typing import NDArray

from gait.capture.formats.c3d import read_c3d
from gait.capture.recording import Recording

CAPTURES = REPOSITORY.parent / "shared" / "captures"
ADULT_TRIAL = "formats/pig35_adult_walk.c3d"
"""An adult with the 35 Plug-in Gait markers; used to measure speed."""

SIDES = ("left", "right")
CENTRES = ("hip", "knee", "ankle")
CENTRE_NAMES = (("FEP", "FEO", "TIO"), ("HJC", "KJC", "AJC"))
"""Names of hip, knee and ankle centres among the model outputs, in order of preference. Vicon writes the first set;
the second is from other software and can be wrong: in HC036A ``RAJC`` is 56 mm from ``RTIO``, on the wrong side."""


@dataclass(frozen=True)
class RecordedSubject:
    """All recordings of one subject, including static trials."""

    name: str
    paths: tuple[Path, ...]


def captures_available(captures: Path, consequence: str) -> bool:
    """Return whether the recordings are available; if not, print a message with the consequence to stderr."""
    if (captures / ADULT_TRIAL).is_file():
        return True
    print(f"{captures}: no real recordings found; {consequence}.", file=sys.stderr)
    return False


def recorded_subjects(captures: Path) -> tuple[RecordedSubject, ...]:
    """List the subjects of ``healthy`` and ``cerebral_palsy``, one folder per subject, and the adult of ``formats``."""
    folders = sorted(path for group in ("healthy", "cerebral_palsy") for path in (captures / group).glob("*/"))
    subjects = [
        RecordedSubject(folder.name, tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() == ".c3d")))
        for folder in folders
    ]
    return (*subjects, RecordedSubject("pig35_adult", (captures / ADULT_TRIAL,)))


def plug_in_gait_subjects(captures: Path) -> tuple[RecordedSubject, ...]:
    """List the subjects whose recordings hold Plug-in Gait's angles: those above, and four of ``formats``."""
    return (
        *recorded_subjects(captures),
        *(
            RecordedSubject(name, tuple(captures / "formats" / f"{stem}.c3d" for stem in stems))
            for name, stems in (
                ("lowerbody_clinic", ("lowerbody_clinic_walk", "lowerbody_clinic_static")),
                ("lowerbody_overground", ("lowerbody_overground",)),
                ("pig39", ("pig39_stairs", "pig39_static")),
                ("treadmill", ("treadmill_events",)),
            )
        ),
    )


def is_walking_trial(path: Path) -> bool:
    """Return whether a recording is a walking trial; static trials are fitted but not evaluated."""
    return "static" not in path.stem


def extend_recording(recording: Recording, frames: int) -> Recording:
    """Extend a recording to a number of frames by playing it forward and backward, so that it has no jumps."""
    T = recording.num_frames
    forward_and_back = np.concatenate([np.arange(T), np.arange(T - 2, 0, -1)]) if T > 2 else np.arange(T)
    rows = np.resize(forward_and_back, frames)
    return replace(
        recording,
        positions_m=recording.positions_m[rows],
        visible=recording.visible[rows],
        events=(),
        model_outputs={},
    )


def laboratory_centres(recording: Recording, side: str) -> NDArray[np.float64] | None:
    """Return the laboratory's own hip, knee and ankle centres (3, T, 3), metres; None if one of them is missing."""
    for names in CENTRE_NAMES:
        outputs = [recording.model_outputs.get(side[0].upper() + name) for name in names]
        found = [centre for centre in outputs if centre is not None]
        if len(found) == len(names):
            return np.stack(found)
    return None


def laboratory_angles(path: Path, output: str, side: str) -> NDArray[np.float64] | None:
    """Return a joint's angles (T, 3) in degrees of Plug-in Gait, e.g. "HipAngles"; None if the C3D file has none.

    The components are in the file's order, NaN where missing.
    """
    points = _points_of(path)
    for prefix in ("", "Vicon"):
        found = points.get(f"{side[0].upper()}{prefix}{output}")
        if found is not None:
            return found
    return None


@lru_cache(maxsize=4)
def _points_of(path: Path) -> dict[str, NDArray[np.float64]]:
    if path.suffix.lower() != ".c3d":
        return {}
    raw = read_c3d(path)
    return {label.split(":")[-1].strip(): raw.positions[:, column] for column, label in enumerate(raw.labels)}
