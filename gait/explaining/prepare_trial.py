"""A fitted gait as a network takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.errors import GaitError
from gait.explaining.trained_network import TrainedNetwork
from gait.motion.dataset import AcquisitionInfo, Trial
from gait.motion.resampling import check_rate, resampled
from gait.motion.trial_paths import SICK, gait_name, person_of

_NOWHERE = float("nan")


def network_recording(folder: Path, joints_m: NDArray[np.float32], rate_hz: float, network: TrainedNetwork) -> Trial:
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
    label, _, subject = person_of(folder).rpartition("/")
    gait = gait_name(folder).removeprefix(f"{person_of(folder)}/")
    source = AcquisitionInfo(rate_hz, len(joints_m), _NOWHERE, (), _NOWHERE)
    return Trial(subject, gait, label == SICK, joints, network.rate_hz, source, folder)
