"""Two markers that bear each other's names in a whole recording.

No break of a track tells it, and a placement solved for can take it up. So a body that wears its markers where the
layout has them is posed on a few frames, and asked whether it would fit better with two names exchanged.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.capture.recording import Recording
from gait.fitting.calibration import scaled_betas
from gait.fitting.marker_kinematics import SubjectModel, marker_motion
from gait.fitting.objective_terms import JointPrior
from gait.fitting.reduced_body import marker_skin
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.rigid_initialization import rigid_start
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.levenberg_marquardt import solve_poses
from gait.fitting.subject_fit import TrialFit, calibration_frames, observed_markers

FRAMES = 12
NEARER_M = 0.02
"""Both markers together must come nearer to their places by this, ..."""
NEARER_SHARE = 0.25
"""... and by this share of how far they were."""
BETTER = 0.03
"""Share of the objective that an exchange must save."""
OFF_M = {"anatomical": 0.030, "technical": 0.120}
"""A marker placed farther from where the layout has it may be another."""
WORN_BADLY_M = 0.020
"""So may one that is this far from where the body has it in half of the frames."""


def may_be_exchanged(gait: TrialFit, layout: MarkerLayout) -> bool:
    """Whether some marker of a fit sits or moves as if it were another."""
    kinds = dict(zip(layout.labels, layout.kinds, strict=True))
    limit = np.array([OFF_M[kinds[label]] for label in gait.labels])
    if (np.linalg.norm(gait.offset_m, axis=1) > limit).any():
        return True
    seen = np.isfinite(gait.residual_m)
    often = seen.sum(axis=0) > 0
    return bool(
        ((np.nan_to_num(gait.residual_m) > WORN_BADLY_M).sum(axis=0)[often] > 0.5 * seen.sum(axis=0)[often]).any()
    )


def exchanged_throughout(
    recording: Recording, body: Body, layout: MarkerLayout, prior: JointPrior, weights: ResidualScales
) -> list[tuple[str, str, float]]:
    """Pairs of markers whose names are exchanged in all of a recording, and how much nearer each of them then is, m."""
    layout = layout.select([label for label in layout.labels if label in recording.labels])
    pairs: list[tuple[str, str, float]] = []
    with torch.inference_mode():
        skin = marker_skin(body, layout)
        whole = observed_markers(recording, layout, skin.point)
        (rows,) = calibration_frames([whole.seen.cpu().numpy()], FRAMES)
        frames = whole[torch.as_tensor(rows[np.linspace(0, len(rows) - 1, min(FRAMES, len(rows))).astype(int)])]
        wearer = SubjectModel(skin, skin.point.new_zeros(skin.num_betas), skin.point.new_zeros(skin.num_markers, 3))
        _, size, fixed = rigid_start(wearer, prior.natural, frames)
        if not bool(fixed.any()):
            return []
        wearer = SubjectModel(skin, scaled_betas(skin, float(size[fixed].median())), wearer.offset)
        cost, virtual = _posed(wearer, frames, prior, weights)
        for _ in range(len(layout.labels) // 2):
            pair, nearer = _best_exchange(frames, virtual)
            if pair is None:
                break
            swapped = ObservedMarkers(_exchanged(frames.markers, pair), _exchanged(frames.seen, pair))
            lower, virtual_then = _posed(wearer, swapped, prior, weights)
            if lower > (1 - BETTER) * cost:
                break
            pairs.append((layout.labels[pair[0]], layout.labels[pair[1]], nearer / 2))
            frames, cost, virtual = swapped, lower, virtual_then
    return pairs


def _posed(
    wearer: SubjectModel, frames: ObservedMarkers, prior: JointPrior, weights: ResidualScales
) -> tuple[float, Tensor]:
    """The objective of a few frames and where the body then has the markers (N, M, 3)."""
    start, _, _ = rigid_start(wearer, prior.natural, frames)
    solved = solve_poses(BatchedNormalEquations(wearer, prior, weights), start, frames)
    return float(solved.cost.sum()), marker_motion(wearer, solved.pose).markers


def _best_exchange(frames: ObservedMarkers, virtual: Tensor) -> tuple[tuple[int, int] | None, float]:
    """The pair that comes nearest to its places by an exchange, and by how much in the mean (both together, m)."""
    apart = (frames.markers[:, :, None] - virtual[:, None]).norm(dim=-1)  # (N, M, M) marker i from the place of j
    own = apart.diagonal(dim1=1, dim2=2)
    both = (frames.seen[:, :, None] & frames.seen[:, None]).double()
    count = both.sum(dim=0).clamp_min(1)
    kept = ((own[:, :, None] + own[:, None]) * both).sum(dim=0) / count
    swapped = ((apart + apart.mT) * both).sum(dim=0) / count
    gain: NDArray[np.float64] = (kept - swapped).cpu().numpy()
    gain[((kept - swapped) < NEARER_SHARE * kept).cpu().numpy() | (both.sum(dim=0) < 3).cpu().numpy()] = 0
    i, j = np.unravel_index(int(gain.argmax()), gain.shape)
    if gain[i, j] < NEARER_M:
        return None, 0.0
    return (int(i), int(j)), float(gain[i, j])


def _exchanged(values: Tensor, pair: tuple[int, int]) -> Tensor:
    order = torch.arange(values.shape[1], device=values.device)
    order[list(pair)] = order[list(pair[::-1])]
    return values[:, order]
