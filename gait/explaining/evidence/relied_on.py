"""On which motions a decision relies: those without which the network would decide otherwise.

The motions with the most evidence for the decision are replaced one after the other by the mean walk from which the
explanation starts, each in the phases of the gait cycle in which it speaks for the decision, until the network, run
anew, decides otherwise (Martens & Provost 2014, MIS Quarterly 38:73, for the words of a text).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from gait.arrays import Vector
from gait.body.skeleton import MIRROR_ORDER
from gait.errors import GaitError
from gait.explaining.evidence.cycle_motion import cycles_of_sides
from gait.explaining.evidence.motion_windows import some_windows
from gait.explaining.evidence.motions import Motion
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.gait_phases import CyclePhase
from gait.learning.metrics import THRESHOLD
from gait.motion.dataset import Trial

Part = tuple[Motion, Sequence[CyclePhase]]
"""A motion in phases of the cycle of its side."""


def find_relied_on(trained: TrainedNetwork, trial: Trial, parts: Sequence[Part], *, sick: bool) -> tuple[float, ...]:
    """Return P(sick) without the first part, the first two, and so on, until the decision is no longer ``sick``.

    So many parts, the largest evidence first, the decision relies on; on all of them if it never changes. The
    probabilities are NaN of a network without metadata, which has no mean walk, and of a trial without gait cycles.
    """
    cycles = _cycles(trial)
    if trained.mean_window is None or not cycles:
        return (math.nan,) * len(parts)
    found = []
    for probability in _probabilities(trained, trained.mean_window, trial, cycles, parts):
        found.append(probability)
        if (probability >= THRESHOLD) != sick:
            break
    return tuple(found)


def _probabilities(
    trained: TrainedNetwork, mean: Tensor, trial: Trial, cycles: Mapping[str, Vector], parts: Sequence[Part]
) -> Iterator[float]:
    """Yield P(sick), the mean over some windows of the trial, after the replacement of each part."""
    windows = trained.windows_of(trial)
    chosen = some_windows(windows)
    seen, is_mirrored = windows.batch(chosen), windows.is_mirrored[chosen, None]
    mean = mean.to(seen)
    times = windows.sample_times(chosen).numpy()
    percents = {side: 100 * (np.interp(times, np.arange(len(each)), each) % 1) for side, each in cycles.items()}
    for motion, phases in parts:
        percent = percents[motion.side]
        inside = torch.from_numpy(
            np.any([(percent >= each.first_percent) & (percent < each.last_percent + 1) for each in phases], axis=0)
        )
        axes = slice(None) if motion.axis is None else slice(motion.axis, motion.axis + 1)
        for joint, mask in ((motion.joint, inside & ~is_mirrored), (MIRROR_ORDER[motion.joint], inside & is_mirrored)):
            seen[:, :, joint, axes] = torch.where(mask[..., None], mean[:, joint, axes], seen[:, :, joint, axes])
        with torch.inference_mode():
            yield float(trained.network(seen).sigmoid().mean())


def _cycles(trial: Trial) -> Mapping[str, Vector]:
    try:
        return cycles_of_sides(trial.events, len(trial.joints_m))
    except GaitError:
        return {}
