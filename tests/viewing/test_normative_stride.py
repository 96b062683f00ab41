"""The mean healthy walker: strides only, whatever else a recording holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait.kinematics.gait_events import gait_events
from gait.motion.pose_files import read_poses, write_npz
from gait.viewing.normative_stride import healthy_mean
from tests.helpers.viewing_cases import BODIES, write_shown_walk

STANDING = 500  # frames


def test_a_standstill_is_no_stride_of_the_mean(tmp_path: Path) -> None:
    walk = write_shown_walk(tmp_path / "walks/healthy/P1/walk1", seconds=5.0, markers=0)
    walked = read_poses(walk)
    strikes = gait_events(walked.joints_m, walked.rate_hz).heel_strikes["left"]
    assert len(strikes) >= 3
    middle = int(strikes[0] + strikes[1]) // 2

    def halted(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate(
            [frames[:middle], np.repeat(frames[middle : middle + 1], STANDING, axis=0), frames[middle:]]
        )

    stood = tmp_path / "halts/healthy/P1/walk1"
    stood.mkdir(parents=True)
    write_npz(
        stood,
        replace(
            walked,
            poses=halted(walked.poses),
            translation_m=halted(walked.translation_m),
            joints_m=halted(walked.joints_m),
            joints_sigma_m=None,
            bridged=None,
        ),
    )
    rates = [healthy_mean(tmp_path / name, BODIES).rate_hz for name in ("walks", "halts")]
    assert rates[1] == pytest.approx(rates[0], rel=0.05), "a stride takes as long as without the standstill"
