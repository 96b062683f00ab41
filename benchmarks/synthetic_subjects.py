"""Walkers whose true movement is known, recorded as a laboratory would and read back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.pose_sequence import PoseSequence
from gait.capture import Recording, read_recording
from gait.synthetic.cohort import walker
from gait.synthetic.pathologies import DISORDER_NAMES, ONE_SIDED
from gait.synthetic.recording_files import read_truth, write_walk
from gait.synthetic.subject import make_person
from gait.synthetic.virtual_markers import MarkerErrors
from gait.synthetic.walk import make_walk

WALK_S = 4.0
PLACED_BY_HAND = MarkerErrors(placement_m=0.010, noise_m=0.001, gap_share=0.02)
"""10 mm placement error (technical markers are anywhere along their segment besides), 1 mm noise, 2 % gaps."""
PLACED_EXACTLY = MarkerErrors(placement_m=0.0, technical_along_m=0.0, noise_m=0.001, gap_share=0.02)

NOT_OF_35 = frozenset(["LUPA", "RUPA", "LFRM", "RFRM"])
"""What Plug-in Gait's set of 35 lacks of the 39."""


@dataclass(frozen=True)
class KnownWalk:
    """A recording with the truth about it."""

    recording: Recording
    truth: PoseSequence


def walker_names(healthy: int, ill: int) -> tuple[str, ...]:
    """So many healthy and ill walkers; the ill have the disorders in turn."""
    kinds = (DISORDER_NAMES[k % len(DISORDER_NAMES)] for k in range(ill))
    ill_names = (f"{kind}_left_{k + 1}" if kind in ONE_SIDED else f"{kind}_{k + 1}" for k, kind in enumerate(kinds))
    return (*(f"healthy_{k + 1}" for k in range(healthy)), *ill_names)


def known_walks(name: str, body: Body, errors: MarkerErrors, folder: Path, *, walks: int = 2) -> tuple[KnownWalk, ...]:
    """Walks of one walker, written into a folder as C3D and read from there."""
    who = walker(name)
    person = make_person(body, who.seed)
    layout = plug_in_gait_layout(body)
    known = []
    for number in range(1, walks + 1):
        path = folder / name / f"walk{number}.c3d"
        write_walk(
            make_walk(body, person, who.disorder, seconds=WALK_S, seed=number), body, layout, path, errors=errors
        )
        known.append(KnownWalk(read_recording(path), read_truth(path)))
    return tuple(known)


def without_markers(recording: Recording, labels: frozenset[str]) -> Recording:
    """The recording as if these had not been put on."""
    keep = np.array([label not in labels for label in recording.labels])
    return replace(
        recording,
        labels=tuple(label for label in recording.labels if label not in labels),
        positions_m=recording.positions_m[:, keep],
        visible=recording.visible[:, keep],
    )
