"""Recordings of synthetic subjects, with their ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.pose_sequence import PoseSequence
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.synthetic.cohort import parse_subject_name
from gait.synthetic.pathologies import PATHOLOGY_NAMES, UNILATERAL
from gait.synthetic.recording_files import read_ground_truth, write_recording
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial
from gait.synthetic.virtual_markers import MeasurementErrors

TRIAL_S = 4.0
TYPICAL_ERRORS = MeasurementErrors(placement_m=0.010, noise_m=0.001, gap_fraction=0.02)
"""10 mm placement error, technical markers also shifted along their segment, 1 mm noise, 2 % gaps."""
NO_PLACEMENT_ERROR = MeasurementErrors(placement_m=0.0, technical_along_m=0.0, noise_m=0.001, gap_fraction=0.02)

NOT_OF_35 = frozenset(["LUPA", "RUPA", "LFRM", "RFRM"])
"""Markers of the 39 of Plug-in Gait that are not among its 35."""


@dataclass(frozen=True)
class GroundTruthTrial:
    """A recording and its ground truth."""

    recording: Recording
    ground_truth: PoseSequence


def subject_names(healthy: int, sick: int) -> tuple[str, ...]:
    """Return names of healthy and sick subjects; the sick ones cycle through the pathologies."""
    kinds = (PATHOLOGY_NAMES[k % len(PATHOLOGY_NAMES)] for k in range(sick))
    sick_names = (f"{kind}_left_{k + 1}" if kind in UNILATERAL else f"{kind}_{k + 1}" for k, kind in enumerate(kinds))
    return (*(f"healthy_{k + 1}" for k in range(healthy)), *sick_names)


def simulate_trials(
    name: str, body: Body, errors: MeasurementErrors, folder: Path, *, trials: int = 2
) -> tuple[GroundTruthTrial, ...]:
    """Simulate trials of one subject, write them to a folder as C3D, and read them back."""
    spec = parse_subject_name(name)
    subject = make_subject(body, spec.seed)
    layout = plug_in_gait_layout(body)
    known = []
    for number in range(1, trials + 1):
        path = folder / name / f"walk{number}.c3d"
        write_recording(
            make_trial(body, subject, spec.pathology, seconds=TRIAL_S, seed=number), body, layout, path, errors=errors
        )
        known.append(GroundTruthTrial(read_recording(path), read_ground_truth(path)))
    return tuple(known)


def drop_markers(recording: Recording, labels: frozenset[str]) -> Recording:
    """Return the recording without these markers."""
    keep = np.array([label not in labels for label in recording.labels])
    return replace(
        recording,
        labels=tuple(label for label in recording.labels if label not in labels),
        positions_m=recording.positions_m[:, keep],
        visible=recording.visible[:, keep],
    )
