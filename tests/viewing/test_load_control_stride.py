"""The mean stride of the controls: only strides enter it, not other parts of a trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait.kinematics.gait_events import detect_gait_events
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.viewing.load_control_stride import load_normative_stride
from tests.helpers.viewing_cases import BODIES, write_fitted_trial

STANDING = 500  # frames


def test_normative_stride_excludes_a_standstill(tmp_path: Path) -> None:
    folder = write_fitted_trial(tmp_path / "walking/healthy/P1/walk1", seconds=5.0, markers=0)
    walking = read_poses(folder)
    contacts = detect_gait_events(walking.joints_m, walking.rate_hz).initial_contacts["left"]
    assert len(contacts) >= 3
    middle = int(contacts[0] + contacts[1]) // 2

    def with_standstill(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate(
            [frames[:middle], np.repeat(frames[middle : middle + 1], STANDING, axis=0), frames[middle:]]
        )

    interrupted = tmp_path / "interrupted/healthy/P1/walk1"
    interrupted.mkdir(parents=True)
    write_npz(
        interrupted,
        replace(
            walking,
            poses=with_standstill(walking.poses),
            translation_m=with_standstill(walking.translation_m),
            joints_m=with_standstill(walking.joints_m),
            joint_sigma_m=None,
            gap_filled=None,
        ),
    )
    rates = [load_normative_stride(tmp_path / name, BODIES).rate_hz for name in ("walking", "interrupted")]
    assert rates[1] == pytest.approx(rates[0], rel=0.05), "the stride time is that without the standstill"
