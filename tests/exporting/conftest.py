"""A fitted trial of a synthetic walk, as a fit leaves it, whose recording begins ten frames before its poses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.joint_status import JointStatus
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint
from gait.motion.pose_npz import write_npz
from gait.synthetic import NO_ERRORS, make_subject, make_trial, record_markers

FIRST_FRAME, UNUSED_FRAMES = 51, 10


@dataclass(frozen=True)
class SavedTrial:
    folder: Path
    sequence: PoseSequence
    labels: tuple[str, ...]
    observed_m: NDArray[np.float32]  # (T, M, 3) in the frames of the poses
    virtual_m: NDArray[np.float32]


@pytest.fixture(scope="session")
def walk(open_body: Body, tmp_path_factory: pytest.TempPathFactory) -> SavedTrial:
    trial = make_trial(open_body, make_subject(open_body, 4), None, seconds=2.5, seed=2)
    truth = trial.ground_truth
    status = np.full(truth.joints_m.shape[:2], JointStatus.OBSERVED, np.uint8)
    status[30:40, Joint.HEAD] = JointStatus.NOT_OBSERVED
    sequence = replace(truth, first_frame=FIRST_FRAME, joint_status=status)
    layout = plug_in_gait_layout(open_body)
    markers = record_markers(open_body, truth, layout, NO_ERRORS, subject_seed=4, trial_seed=2)
    observed = markers.positions_m.astype(np.float32)
    observed[12:20, 3] = np.nan
    observed[60:70, -1] = np.nan
    virtual = observed + np.float32(0.004)
    folder = tmp_path_factory.mktemp("fitted") / "walk1"
    folder.mkdir()
    write_npz(folder, sequence)
    last = FIRST_FRAME + sequence.num_frames - 1
    excluded = [[FIRST_FRAME - UNUSED_FRAMES, FIRST_FRAME - 1]]
    (folder / "fit_report.json").write_text(
        json.dumps({"segments": [[FIRST_FRAME, last]], "excluded_frames": excluded}), encoding="utf-8"
    )
    pad = lambda values: np.pad(values, ((UNUSED_FRAMES, 0), (0, 0), (0, 0)), constant_values=9)  # noqa: E731
    np.savez(
        folder / "residuals.npz",
        labels=np.array(markers.labels),
        residual_mm=np.zeros((sequence.num_frames + UNUSED_FRAMES, len(markers.labels)), np.float32),
        observed_m=pad(observed),
        virtual_m=pad(virtual),
    )
    return SavedTrial(folder, sequence, tuple(markers.labels), observed, virtual)


@pytest.fixture
def poses_only(tmp_path: Path) -> Callable[[PoseSequence], Path]:
    """Write a trial without markers, as poses of other tools give, and return its folder."""

    def write(sequence: PoseSequence) -> Path:
        folder = tmp_path / "walk1"
        folder.mkdir()
        write_npz(folder, sequence)
        return folder

    return write
