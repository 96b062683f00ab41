"""How far a person's shape and marker placement may be wrong once they are solved.

The solution's error is −H⁻¹·s: H the curvature that calibration ended with, s what the priors and the residuals were
wrong by. If all of them were as large as ``ResidualScales`` says, the covariance of s would be H and that of the error H⁻¹.
They are not: markers may be placed better or worse than assumed, residuals are noise alone. So how large they are is
estimated from the person's own recordings, and the error of the solver that was used, with its own weights, follows as
H⁻¹·cov(s)·H⁻¹ (Huber 1967, Proc. Fifth Berkeley Symp. 1:221; White 1982, Econometrica 50:1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gait.body.marker_layout import MarkerKind
from gait.fitting.calibration import ShapeCalibration, SubjectNormalEquations, frames_worth, person_equations
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.objective_terms import JointPrior
from gait.fitting.reduced_body import ReducedBody
from gait.fitting.reference_normal_equations import NormalEquations, normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers

AS_ASSUMED = 3
"""Coordinates that are as large as the weights assume, added to those from which a factor is estimated, so that a few
cannot promise too much."""


def placement_covariance(
    skin: ReducedBody,
    calibrated: ShapeCalibration,
    observation: ObservedMarkers,
    recording: Tensor,
    prior: JointPrior,
    precision: Tensor,
    kinds: Sequence[MarkerKind],
    weights: ResidualScales,
) -> Tensor:
    """Covariance of the error in the shape and in each recording's own offsets.

    Args:
        skin: as given to ``calibrate``.
        calibrated: what it gave.
        observation: the markers of its frames.
        recording: (N,) which recording each frame is of.
        prior: of the joints.
        precision: (M, 3, 3) of the offsets, 1/m².
        kinds: of the M markers.
        weights: of the terms.

    Returns:
        (R, B + 3·M, B + 3·M); offsets in metres.
    """
    wearer = SubjectModel(skin, calibrated.betas, calibrated.placement.recordings[recording])
    here = normal_equations(wearer, calibrated.pose, observation, prior, weights)
    R = len(calibrated.placement.recordings)
    worth = frames_worth(weights, R, calibrated.pose.frames)
    equations = person_equations(wearer, here, calibrated.placement, recording, precision, worth, weights, 0.0)
    by_prior = pose_prior_part(here)
    noise = noise_factor(here, by_prior, observation.seen)
    moved = equations.eliminated[..., 1:]
    shape = torch.eye(skin.num_betas, dtype=precision.dtype, device=precision.device) / weights.shape**2
    wrong = []  # (R) covariance of what each recording's frames are wrong by, in shape and own offsets
    for r in range(R):
        rows = recording == r
        from_prior = worth * (moved[rows].mT @ by_prior[rows] @ moved[rows]).sum(dim=0)
        wrong.append(from_prior + noise * (equations.observed[r] - from_prior))
    by_frames = torch.stack(wrong)
    drawn = torch.block_diag(*precision)
    others = propagated(equations, by_frames, torch.zeros_like(drawn), shape)
    drawn = drawn * placement_factors(equations, calibrated, others, precision, kinds)
    return propagated(equations, by_frames, drawn, shape)


def shape_and_offsets(covariance: Tensor, num_betas: int, markers: Tensor) -> Tensor:
    """The part of a covariance (B + 3·M, B + 3·M) that is of the shape and of some markers' offsets."""
    offsets = num_betas + 3 * markers[:, None] + torch.arange(3, device=markers.device)
    rows = torch.cat([torch.arange(num_betas, device=markers.device), offsets.flatten()])
    return covariance[rows[:, None], rows]


def propagated(equations: SubjectNormalEquations, wrong: Tensor, drawn: Tensor, shape: Tensor) -> Tensor:
    """(R, B + 3·M, B + 3·M) covariance of the errors, from that of what the equations are wrong by.

    Args:
        equations: of the person, undamped; S = B + 3·M unknowns are the person's.
        wrong: (R, B + 3·M, B + 3·M) by the frames of each recording, independent of one another.
        drawn: (3·M, 3·M) by the placement's prior; the same error in all recordings, as the markers are.
        shape: (B, B) by the shape's prior.
    """
    B = len(shape)
    R = len(wrong)
    eye = torch.eye(len(equations.curvature), dtype=drawn.dtype, device=drawn.device)
    inverse = torch.linalg.inv(equations.curvature)
    inner = torch.linalg.inv(equations.inner)  # (R, 3M, 3M)
    follows = -equations.solved[..., 1:]  # (R, 3M, S): a recording's offsets follow the person's unknowns
    tie = torch.diag_embed(equations.tie.repeat_interleave(3, dim=1))

    # What reaches the person's unknowns: directly, and through each recording's offsets.
    all_follow = follows.sum(dim=0)
    reached = all_follow.mT @ drawn @ all_follow
    reached[:B, :B] += shape
    crosses = []  # (R) covariance of what reaches the person's unknowns with what each recording's offsets get
    for r in range(R):
        to_person = torch.cat([eye[:, :B], follows[r].mT], dim=1)  # from (shape, own offsets)
        pulled = follows[r].mT - eye[:, B:]  # a tie pulls at the offsets and, the other way, at the person's
        reached = reached + to_person @ wrong[r] @ to_person.mT + pulled @ tie[r] @ pulled.mT
        crosses.append(to_person @ wrong[r][:, B:] + pulled @ tie[r] + all_follow.mT @ drawn)
    person = inverse @ reached @ inverse
    result = []
    for r in range(R):
        own = wrong[r][B:, B:] + tie[r] + drawn
        with_person = inverse @ crosses[r] @ inner[r]  # (S, 3M)
        offsets = follows[r] @ person @ follows[r].mT + inner[r] @ own @ inner[r]
        half = follows[r] @ with_person
        across = person[:B] @ follows[r].mT + with_person[:B]
        offsets = offsets + half + half.mT
        result.append(torch.cat([torch.cat([person[:B, :B], across], 1), torch.cat([across.mT, offsets], 1)]))
    covariance = torch.stack(result)
    return (covariance + covariance.mT) / 2


def pose_prior_part(here: NormalEquations) -> Tensor:
    """(T, D, D) the part of the curvature that is not the markers'."""
    weight = here.weight.to(here.jacobian.dtype).repeat_interleave(3, dim=1)[..., None]
    return here.curvature - here.jacobian.mT @ (here.jacobian * weight)


def noise_factor(here: NormalEquations, by_prior: Tensor, seen: Tensor) -> float:
    """Variance of the residuals over the assumed one: the a posteriori variance factor (Koch 1999, sec. 3.2.5).

    Each frame has as many free coordinates as it shows, less what its pose takes up.
    """
    curvature = here.curvature.clone()
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal.add_(1e-6 * diagonal.amax(dim=1, keepdim=True))
    by_markers = here.curvature - by_prior
    taken = float(torch.linalg.solve(curvature, by_markers).diagonal(dim1=1, dim2=2).sum())
    free = max(3 * float(seen.sum()) - taken, 0.0)
    square = float((here.weight * (here.residual**2).sum(dim=-1)).sum())
    return (square + AS_ASSUMED) / (free + AS_ASSUMED)


def placement_factors(
    equations: SubjectNormalEquations,
    calibrated: ShapeCalibration,
    others: Tensor,
    precision: Tensor,
    kinds: Sequence[MarkerKind],
) -> Tensor:
    """(3·M,) variance of the markers' displacement over the assumed one, the same for all markers of a kind.

    The offsets found are a part of the true ones, as the prior draws them home, and what everything else has made of
    them. So their mean square is compared with its expectation, in which the wanted factor is the only unknown
    (estimation of a variance component; Koch 1999, sec. 3.6).

    Args:
        equations: of the person, undamped.
        calibrated: what they came to.
        others: (R, B + 3·M, B + 3·M) covariance of the errors if the placement were as its prior has it.
        precision: (M, 3, 3) of the offsets, 1/m².
        kinds: of the M markers.
    """
    offsets = calibrated.placement.recordings.flatten(1)  # (R, 3M)
    R, M3 = offsets.shape
    drawn = torch.block_diag(*precision)
    follows = -equations.solved[..., 1:]
    response = follows @ torch.linalg.inv(equations.curvature) @ follows.sum(dim=0).mT + torch.linalg.inv(
        equations.inner
    )
    found = torch.eye(M3, dtype=drawn.dtype, device=drawn.device) - response @ drawn  # (R, 3M, 3M) of the true offsets
    spread = others[:, -M3:, -M3:]
    factors = torch.ones_like(offsets[0])
    for kind in set(kinds):
        of_kind = torch.tensor([k == kind for k in kinds], device=offsets.device).repeat_interleave(3)
        mine = of_kind[:, None] * drawn
        square = torch.einsum("ri,ij,rj->", offsets, mine, offsets) / R
        by_others = (mine * spread).sum() / R
        part = found * of_kind
        expected = torch.einsum("ij,rjk,kl,ril->", mine, part, torch.linalg.inv(drawn), part) / R
        factors[of_kind] = ((square - by_others).clamp_min(0) + AS_ASSUMED) / (expected + AS_ASSUMED)
    return factors
