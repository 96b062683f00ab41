"""One shape a person and where that person's markers sit, from a spread of frames, solved together with their poses.

Shape, offsets and poses are unknowns of one Gauss–Newton problem. Each frame's pose is eliminated from the normal
equations (Schur complement), then each recording's own offsets, so that a step costs little more than the frames' own
and converges in a few.

Markers stay where they are between the recordings of a session, but not between sessions, and now and then one falls
off and is put back, or two names are exchanged. So each recording has offsets of its own, tied to the person's: tightly
while they agree, loosely once they clearly do not (Cauchy's ρ(d) = ½(c/σ)²·log(1 + d²/c²), Black & Rangarajan 1996,
Int. J. Computer Vision 19:57).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gait.body.marker_layout import MarkerKind
from gait.fitting.joint_parametrization import Pose, turned
from gait.fitting.marker_kinematics import SubjectModel, shape_jacobian
from gait.fitting.objective_terms import JointPrior
from gait.fitting.reduced_body import ReducedBody
from gait.fitting.reference_normal_equations import NormalEquations, normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers


@dataclass(frozen=True)
class Placement:
    """Where one person's markers sit, by recording and in the mean."""

    person: Tensor  # (M, 3) offsets from the layout, rest axes, metres
    recordings: Tensor  # (R, M, 3) the same in each recording


@dataclass(frozen=True)
class ShapeCalibration:
    """A person's body with the poses of the calibration frames."""

    betas: Tensor  # (B,)
    placement: Placement
    pose: Pose
    cost: float


def offset_precision(skin: ReducedBody, kinds: tuple[MarkerKind, ...], weights: ResidualScales) -> Tensor:
    """(M, 3, 3) prior precision of each marker's offset in rest axes, 1/m².

    A marker on a landmark is misplaced by what a hand misplaces it; a technical one may stand anywhere along its
    segment (the line from its main carrier to that joint's child), less far around it, and off the skin on a wand.
    """
    M = skin.num_markers
    eye = torch.eye(3, dtype=skin.point.dtype, device=skin.point.device)
    precision = (eye / weights.anatomical_offset_m**2).repeat(M, 1, 1)
    for m, kind in enumerate(kinds):
        if kind != "technical":
            continue
        carrier = int(skin.carriers[m, skin.carrier_weight[m].argmax()])
        child = next((j for j, p in enumerate(skin.parents) if p == carrier), carrier)
        normal = skin.normal[m]
        along = skin.joint[child] - skin.joint[carrier]
        along = along - (along @ normal) * normal
        if float(along.norm()) < 1e-6:
            along = torch.linalg.cross(normal, eye[int(normal.abs().argmin())])
        along = along / along.norm()
        around = torch.linalg.cross(normal, along)
        precision[m] = (
            torch.outer(along, along) / weights.technical_along_m**2
            + torch.outer(around, around) / weights.technical_around_m**2
            + torch.outer(normal, normal) / weights.technical_off_skin_m**2
        )
    return precision


def scaled_betas(skin: ReducedBody, size: float, sigma_m: float = 0.01) -> Tensor:
    """Shape coefficients (B,) of the likeliest body whose joints lie as the mean body's do, times ``size``."""
    J = skin.joint - skin.joint[:1]
    A = (skin.joint_shape - skin.joint_shape[:1]).reshape(-1, skin.num_betas)
    b = ((size - 1) * J).reshape(-1)
    H = A.T @ A / sigma_m**2 + torch.eye(skin.num_betas, dtype=A.dtype, device=A.device)
    return torch.linalg.solve(H, A.T @ b / sigma_m**2)


def calibrate(
    skin: ReducedBody,
    betas: Tensor,
    pose: Pose,
    observation: ObservedMarkers,
    recording: Tensor,
    prior: JointPrior,
    precision: Tensor,
    weights: ResidualScales,
    *,
    start: Placement | None = None,
    most_iterations: int = 40,
    tolerance: float = 1e-4,
) -> ShapeCalibration:
    """Solve shape, marker offsets and the poses of N frames together.

    Args:
        skin: of the markers of all recordings.
        betas: (B,) shape to begin with.
        pose: poses of the N frames to begin with.
        observation: their markers.
        recording: (N,) which recording each frame is of, from 0.
        prior: of the joints.
        precision: (M, 3, 3) of the offsets, 1/m².
        weights: of the terms; ``calibration_frames_worth`` sets the frames against the priors.
        start: offsets to begin with; zero by default.
        most_iterations: steps tried at most.
        tolerance: relative gain that ends it.
    """
    M, R = skin.num_markers, int(recording.max()) + 1
    worth = frames_worth(weights, R, pose.frames)
    placement = start or Placement(betas.new_zeros(M, 3), betas.new_zeros(R, M, 3))

    def evaluate(betas: Tensor, placement: Placement, pose: Pose) -> tuple[SubjectModel, NormalEquations, Tensor]:
        wearer = SubjectModel(skin, betas, placement.recordings[recording])
        equations = normal_equations(wearer, pose, observation, prior, weights)
        tie, _ = tie_terms(placement, weights)
        value = (
            worth * equations.cost.sum()
            + 0.5 * (betas**2).sum() / weights.shape**2
            + 0.5 * torch.einsum("rmi,mij,rmj->", placement.recordings, precision, placement.recordings)
            + tie
        )
        return wearer, equations, value

    wearer, here, value = evaluate(betas, placement, pose)
    lam = 1e-2
    for _ in range(most_iterations):
        step = _person_step(wearer, here, placement, recording, precision, worth, weights, lam)
        trial_betas = betas + step.betas
        trial_placement = Placement(placement.person + step.person, placement.recordings + step.recordings)
        trial_pose = turned(pose, here.motion.parent_world, step.pose, skin.hinges)
        trial_wearer, there, new = evaluate(trial_betas, trial_placement, trial_pose)
        if bool(new < value):
            gain = float((value - new) / value)
            betas, placement, pose = trial_betas, trial_placement, trial_pose
            wearer, here, value, lam = trial_wearer, there, new, max(lam / 8, 1e-6)
            if gain < tolerance:
                break
        else:
            lam *= 6
            if lam > 1e4:
                break
    return ShapeCalibration(betas, placement, pose, float(value))


def tie_terms(placement: Placement, weights: ResidualScales) -> tuple[Tensor, Tensor]:
    """Cost of recordings' offsets away from the person's, and its curvature weight (R, M) in 1/m²."""
    square = ((placement.recordings - placement.person) ** 2).sum(-1) / weights.replaced_m**2
    scale = (weights.replaced_m / weights.same_session_m) ** 2
    return 0.5 * scale * torch.log1p(square).sum(), scale / weights.replaced_m**2 / (1 + square)


def frames_worth(weights: ResidualScales, recordings: int, frames: int) -> float:
    """What each of so many calibration frames counts, as the residuals of neighbouring frames repeat."""
    return min(1.0, weights.calibration_frames_worth * recordings / max(frames, 1))


@dataclass(frozen=True)
class _Step:
    betas: Tensor  # (B,)
    person: Tensor  # (M, 3)
    recordings: Tensor  # (R, M, 3)
    pose: Tensor  # (N, D)


@dataclass(frozen=True)
class SubjectNormalEquations:
    """Normal equations of the shape and the person's offsets, S = B + 3·M unknowns, and how the others follow."""

    curvature: Tensor  # (S, S)
    gradient: Tensor  # (S,)
    tie: Tensor  # (R, M) precision of each recording's offsets around the person's, 1/m²
    observed: Tensor  # (R, B + 3M, B + 3M) what its frames say of shape and its own offsets, poses eliminated
    inner: Tensor  # (R, 3M, 3M) curvature of each recording's own offsets
    solved: Tensor  # (R, 3M, 1 + S) their step is −solved · (1, step of the S)
    eliminated: Tensor  # (N, D, 1 + S) a pose's step is −eliminated · (1, step of shape and recording's offsets)


def _person_step(
    wearer: SubjectModel,
    here: NormalEquations,
    placement: Placement,
    recording: Tensor,
    precision: Tensor,
    worth: float,
    weights: ResidualScales,
    lam: float,
) -> _Step:
    """One damped Gauss–Newton step."""
    N, M = here.weight.shape
    B, R = wearer.skin.num_betas, len(placement.recordings)
    equations = person_equations(wearer, here, placement, recording, precision, worth, weights, lam)
    H = equations.curvature + lam * torch.diag(equations.curvature.diagonal())
    step = -torch.linalg.solve(H, equations.gradient)
    recordings = -(equations.solved[..., 0] + equations.solved[..., 1:] @ step)  # (R, 3M)
    outer = torch.cat([step[:B].expand(N, -1), recordings[recording]], dim=1)
    pose = -(equations.eliminated[..., 0] + (equations.eliminated[..., 1:] @ outer[..., None])[..., 0])
    return _Step(step[:B], step[B:].view(M, 3), recordings.view(R, M, 3), pose)


def person_equations(
    wearer: SubjectModel,
    here: NormalEquations,
    placement: Placement,
    recording: Tensor,
    precision: Tensor,
    worth: float,
    weights: ResidualScales,
    lam: float,
) -> SubjectNormalEquations:
    """Poses eliminated frame by frame, offsets recording by recording; what is eliminated is damped by ``lam``."""
    N, M = here.weight.shape
    B, R = wearer.skin.num_betas, len(placement.recordings)
    own = torch.zeros(N, M, 3, B + 3 * M, dtype=here.weight.dtype, device=here.weight.device)
    own[..., :B] = shape_jacobian(wearer, here.motion)
    offsets = own[..., B:].unflatten(-1, (M, 3))
    offsets.diagonal(dim1=1, dim2=3).copy_(here.motion.mixed.permute(0, 2, 3, 1))
    own = own.reshape(N, 3 * M, -1)
    weighted = own * here.weight.repeat_interleave(3, dim=1)[..., None]
    mixed = here.jacobian.mT @ weighted  # (N, D, B + 3M)
    curvature = here.curvature.clone()
    diagonal = curvature.diagonal(dim1=1, dim2=2)
    diagonal.add_(lam * diagonal + 1e-6 * diagonal.amax(dim=1, keepdim=True))
    factor = torch.linalg.cholesky(curvature)
    eliminated = torch.cholesky_solve(torch.cat([here.gradient[..., None], mixed], dim=-1), factor)
    gradient = (weighted.mT @ here.residual.reshape(N, -1, 1) - mixed.mT @ eliminated[..., :1])[..., 0]

    S = B + 3 * M
    H, g = precision.new_zeros(S, S), precision.new_zeros(S)  # of (shape, person's offsets)
    H[:B, :B] += torch.eye(B, dtype=H.dtype, device=H.device) / weights.shape**2
    g[:B] += wearer.betas / weights.shape**2
    drawn = torch.block_diag(*precision)
    _, tie = tie_terms(placement, weights)
    kept, inners, observed = [], [], []
    for r in range(R):
        rows = (recording == r).nonzero()[:, 0]
        Hr = worth * (own[rows].flatten(0, 1).T @ weighted[rows].flatten(0, 1))
        Hr = Hr - worth * (mixed[rows].flatten(0, 1).T @ eliminated[rows, :, 1:].flatten(0, 1))
        gr = worth * gradient[rows].sum(dim=0)
        bond = tie[r].repeat_interleave(3)
        pull = bond * (placement.recordings[r] - placement.person).reshape(-1)
        home = drawn @ placement.recordings[r].reshape(-1)
        inner = Hr[B:, B:] + drawn + torch.diag(bond)
        inner = inner + lam * torch.diag(inner.diagonal())
        across = torch.cat([Hr[B:, :B], -torch.diag(bond)], dim=1)  # (3M, S)
        solved = torch.linalg.solve(inner, torch.cat([(gr[B:] + home + pull)[:, None], across], dim=1))
        H[:B, :B] += Hr[:B, :B]
        H[B:, B:] += torch.diag(bond)
        g[:B] += gr[:B]
        g[B:] -= pull
        H -= across.T @ solved[:, 1:]
        g -= across.T @ solved[:, 0]
        kept.append(solved)
        inners.append(inner)
        observed.append(Hr)
    return SubjectNormalEquations(H, g, tie, torch.stack(observed), torch.stack(inners), torch.stack(kept), eliminated)
