"""The windows of a trial as a function of a change of the subject's motions over the gait cycle, for optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gait.arrays import Vector
from gait.body.skeleton import MIRROR_ORDER, Joint
from gait.explaining.evidence.cycle_motion import (
    MIRROR_SIGNS,
    SIDE_OF_JOINT,
    cycles_of_sides,
    harmonics,
)
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.gait_events import SIDES
from gait.motion.dataset import Trial
from gait.motion.windows import WindowDataset

MAX_WINDOWS = 8
"""So many windows of a trial are enough to find a change; all are judged in the end."""
WINDOWS_OF_OFFSETS = 2
_BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class MotionWindows:
    """Some windows of one trial."""

    network: nn.Module
    windows: WindowDataset
    values: Tensor  # (N, L, 22, 3) of the trial, radians
    functions: Tensor  # (2, N, L, C) harmonics of the left and the right cycle at each sample
    is_mirrored: Tensor  # (N,)

    def logit(self, change: Tensor) -> Tensor:
        """Return the mean logit over the windows after a change (22, 3, C) of the motions, radians."""
        left, right = torch.einsum("snlc,jac->snlja", self.functions, change)
        is_right = torch.from_numpy(SIDE_OF_JOINT == 1)[:, None]
        added = torch.where(is_right, right, left)
        mirrored = added[:, :, list(MIRROR_ORDER)] * torch.from_numpy(MIRROR_SIGNS).to(added)
        values = self.values + torch.where(self.is_mirrored[:, None, None, None], mirrored, added)
        mean: Tensor = self.network(self.windows.network_input(values)).mean()
        return mean

    def logit_and_gradient(self, change: Vector) -> tuple[float, Vector]:
        """Return the logit after a change (22, 3, C), and its gradient."""
        variable = torch.tensor(change, dtype=torch.float32, requires_grad=True)
        logit = self.logit(variable)
        (gradient,) = torch.autograd.grad(logit, variable)
        return float(logit.detach()), gradient.double().numpy()

    def logits_of_offsets(self, offsets: Sequence[tuple[Joint, int, float]]) -> Vector:
        """Return the mean logits after each of offsets alone: joint, axis and radians, over the whole cycle."""
        few = self.values[:: max(1, len(self.values) // WINDOWS_OF_OFFSETS)][:WINDOWS_OF_OFFSETS]
        mirrored = self.is_mirrored[:: max(1, len(self.values) // WINDOWS_OF_OFFSETS)][:WINDOWS_OF_OFFSETS].tolist()
        found = []
        with torch.inference_mode():
            for first in range(0, len(offsets), _BATCH_SIZE):
                batch = offsets[first : first + _BATCH_SIZE]
                values = few.repeat(len(batch), 1, 1, 1).unflatten(0, (len(batch), len(few)))
                for row, (joint, axis, radians) in enumerate(batch):
                    for window, is_mirrored in enumerate(mirrored):
                        seen = MIRROR_ORDER[joint] if is_mirrored else joint
                        values[row, window, :, seen, axis] += radians * (MIRROR_SIGNS[axis] if is_mirrored else 1)
                logits = self.network(self.windows.network_input(values.flatten(0, 1)))
                found.append(logits.unflatten(0, (len(batch), len(few))).mean(dim=1))
        return torch.cat(found).double().numpy()


def some_windows(windows: WindowDataset, count: int = MAX_WINDOWS) -> Tensor:
    """Return the indices of up to so many windows, spread evenly over their trial."""
    count = min(count, len(windows))
    return torch.from_numpy(np.unique(np.linspace(0, len(windows) - 1, count).round().astype(np.int64)))


def motion_windows(trained: TrainedNetwork, trial: Trial, max_windows: int = MAX_WINDOWS) -> MotionWindows:
    """Return up to ``max_windows`` windows of a trial, spread evenly over it.

    Raises:
        GaitError: as in ``cycles_of_sides``.
    """
    windows = trained.windows_of(trial)
    chosen = some_windows(windows, max_windows)
    times = windows.sample_times(chosen).numpy()
    cycles = cycles_of_sides(trial.events, len(trial.joints_m))
    frames = np.arange(len(trial.joints_m))
    functions = [harmonics(np.interp(times, frames, cycles[side])) for side in SIDES]
    return MotionWindows(
        trained.network,
        windows,
        windows.values(chosen).clone(),
        torch.from_numpy(np.stack(functions)).float(),
        windows.is_mirrored[chosen],
    )
