"""A fitted gait as a network takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.errors import GaitError
from gait.explaining.explained_network import ExplainedNetwork
from gait.motion.folder_names import HEALTHY, SICK
from gait.motion.gait_set import GaitRecording, RecordingSource
from gait.motion.pose_files import PART_NAME
from gait.motion.resampling import check_rate, resampled

_NOWHERE = float("nan")


def network_recording(
    folder: Path, joints_m: NDArray[np.float32], rate_hz: float, network: ExplainedNetwork
) -> GaitRecording:
    """The gait in a folder at the network's rate; its label is that of the folder, and healthy if that has none.

    Args:
        folder: that holds the poses.
        joints_m: (T, 22, 3) metres, y up.
        rate_hz: of these.
        network: that is to be asked.

    Raises:
        GaitError: the rate shows no walk, or there are fewer frames than a window has.
    """
    check_rate(rate_hz, f"{folder}: its frame rate")
    joints = resampled(joints_m, rate_hz, network.rate_hz)
    if len(joints) < network.window_length:
        raise GaitError(
            f"{folder}: {len(joints_m)} frames at {rate_hz:g} Hz are shorter than this network's window of "
            f"{network.window_length / network.rate_hz:.2f} s; open a longer walk, or a network of shorter windows."
        )
    label, subject, gait = ["", "", *gait_name(folder).split("/", 2)][-3:]
    source = RecordingSource(rate_hz, len(joints_m), _NOWHERE, (), _NOWHERE)
    return GaitRecording(subject, gait, label == SICK, joints, network.rate_hz, source, folder)


def gait_name(folder: Path) -> str:
    """What a folder of poses is called: "sick/P02/walk1/part2"; without its label where the fit has given it none."""
    parts = Path(folder).resolve().parts
    is_part = parts[-1].startswith(PART_NAME) and parts[-1].removeprefix(PART_NAME).isdecimal()
    count = 3 if is_part else 2
    labelled = len(parts) > count and parts[-1 - count] in (HEALTHY, SICK)
    return "/".join(parts[-(count + labelled) :]).lstrip("/")
