"""The mean stride of the controls in a folder of fitted trials, for comparison with another trial."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.errors import GaitError
from gait.kinematics.gait_events import GaitEvents
from gait.kinematics.joint_angles import compute_joint_angles
from gait.kinematics.normative_stride import SampledStride, mean_stride, sample_strides
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import POSES_FILE
from gait.motion.trial_paths import HEALTHY
from gait.text import pluralize
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial

_MAX_TRIALS = 200


def load_normative_stride(folder: Path, bodies: BodyModelLocator) -> LoadedTrial:
    """Average the strides and body shapes of the controls in a folder, or its folder ``healthy``, as one stride.

    Raises:
        GaitError: no control trial contains a complete stride on one body model.
    """
    folder = Path(folder)
    healthy = folder if folder.name == HEALTHY else folder / HEALTHY
    files = sorted(healthy.rglob(POSES_FILE))[:_MAX_TRIALS]
    if not files:
        raise GaitError(f"{healthy}: no fitted trial in it; choose a folder that holds {HEALTHY}.")
    body: Body | None = None
    strides: dict[str, list[SampledStride]] = defaultdict(list)  # by subject
    shapes: dict[str, NDArray[np.float32]] = {}
    for file in files:
        sequence = read_poses(file.parent)
        if sequence.constrained:
            continue
        if body is None:
            body = bodies.load_for(sequence)
            first = sequence
        if sequence.model_file != first.model_file or len(sequence.betas) != len(first.betas):
            continue
        found = sample_strides(sequence)
        if found:
            subject = file.relative_to(healthy).parts[0]
            shapes[subject] = sequence.betas
            strides[subject] += found
    if body is None or not strides:
        raise GaitError(
            f"{healthy}: no trial there has a complete stride on one body model with its free kinematic tree."
        )
    mean = mean_stride(list(strides.values()), np.mean(list(shapes.values()), axis=0, dtype=np.float64), body)
    none = np.zeros(0)
    ends = np.array([0.0, mean.num_frames - 1.0])
    return LoadedTrial(
        folder=healthy,
        name=f"mean of {pluralize(len(strides), 'control')}",
        sequence=mean,
        body=body,
        events=GaitEvents({"left": ends, "right": none}, {"left": none, "right": none}),
        angles=compute_joint_angles(mean),
        markers=None,
    )
