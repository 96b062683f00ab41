"""Fit one body to all recordings of one person: calibrate once, then pose every frame of every recording."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.body.body import Body
from gait.body.constraints_file import AngleBounds
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_prior import PosePrior, natural_pose_prior
from gait.body.vposer import VPoser
from gait.capture.recording import Recording
from gait.errors import GaitError
from gait.fitting.calibration import ShapeCalibration, calibrate, offset_precision, scaled_betas
from gait.fitting.frame_batches import FrameBatches, frame_batches
from gait.fitting.joint_parametrization import pose_numbers
from gait.fitting.joint_uncertainty import JointUncertainty, joint_confidence
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.objective_terms import JointPrior, joint_prior
from gait.fitting.offset_covariance import placement_covariance, shape_and_offsets
from gait.fitting.pose_trajectory import pose_course
from gait.fitting.posture_prior import around_own_posture
from gait.fitting.reduced_body import marker_skin
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.rigid_initialization import FEWEST_IN_A_FRAME, rigid_start
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.levenberg_marquardt import solve_poses
from gait.fitting.trajectory_smoothing import bridged_course
from gait.fitting.valid_frames import ValidFrames, held_by_markers, held_frames, stretches

CALIBRATION_FRAMES = 36
"""Frames of a person, over all recordings, that shape and placement are solved on."""
APART_M = 0.05
"""How far a recording's offsets may be from the person's at first, so that what was put on anew shows itself."""
GROWN = 0.04
"""Recordings whose persons differ by more than this share of their size are of different visits."""


@dataclass(frozen=True)
class TrialFit:
    """One recording, fitted."""

    recording: Recording
    labels: tuple[str, ...]  # (M,) markers that took part
    betas: NDArray[np.float64]  # (B,) the person's shape
    offset_m: NDArray[np.float64]  # (M, 3) how far each sits from where the layout has it, rest axes
    poses: NDArray[np.float32]  # (T, P) the body's own pose numbers
    rotations: NDArray[np.float64]  # (T, J, 3, 3) of the joints that the fit turns, relative to the parent
    translation_m: NDArray[np.float64]  # (T, 3)
    joints_m: NDArray[np.float64]  # (T, J, 3)
    virtual_m: NDArray[np.float64]  # (T, M, 3) where the body has the markers
    residual_m: NDArray[np.float64]  # (T, M) distance to the observed ones, NaN where unseen or no body is held
    confidence: JointUncertainty  # how well the markers hold each joint
    held: ValidFrames  # frames that hold the body, bridges between them, and the parts that are left
    seconds: float  # spent on the poses of this recording


@dataclass(frozen=True)
class SubjectFit:
    """One person's recordings, fitted together."""

    layout: MarkerLayout  # the markers of all recordings together, as placed on the body
    gaits: tuple[TrialFit, ...]  # in the order of the recordings
    visits: tuple[tuple[int, ...], ...]  # recordings that share one shape; more than one where the person grew
    seconds: float  # spent on shape and placement


class InsufficientMarkersError(GaitError):
    """A recording that fixes no body in any frame; the person's others can be fitted without it."""

    def __init__(self, recording: Recording):
        super().__init__(f"{recording.path}: no frame shows four markers that are not in one line; nothing to fit.")
        self.recording = recording


def fit_person(
    recordings: Sequence[Recording],
    body: Body,
    layout: MarkerLayout,
    *,
    weights: ResidualScales | None = None,
    prior: PosePrior | None = None,
    bounds: AngleBounds | None = None,
    vposer: VPoser | None = None,
) -> SubjectFit:
    """Fit one shape and one placement to a person's recordings, then a pose to every frame.

    Children grow: recordings in which the person is of clearly different size are visits, each with a shape of its own.

    Args:
        recordings: one or more of the same person, in metres, y up.
        body: the statistical body.
        layout: where markers sit on it; those that no recording has are left out.
        weights: of the objective's terms.
        prior: of the joints; the natural one by default.
        bounds: of single pose numbers, in place of the prior's.
        vposer: a learned prior, leant on once a pose is near.

    Raises:
        GaitError: a recording shares too few markers with the layout, or (NoBodyError) no frame has enough of them.
    """
    weights = weights or ResidualScales()
    for recording in recordings:
        check_labels(recording, layout)
    worn = {label for recording in recordings for label in recording.labels}
    layout = layout.select([label for label in layout.labels if label in worn])
    began = time.perf_counter()
    with torch.inference_mode(), frame_batches(body.device) as batches:
        skin = marker_skin(body, layout)
        joints = joint_prior(prior or natural_pose_prior(), weights, bounds=bounds, body=body, hinges=skin.hinges)
        observations = [observed_markers(recording, layout, skin.point) for recording in recordings]
        chosen = calibration_frames([o.seen.cpu().numpy() for o in observations], CALIBRATION_FRAMES)
        parts = [o[torch.as_tensor(rows, device=o.seen.device)] for o, rows in zip(observations, chosen, strict=True)]
        mean = SubjectModel(skin, skin.point.new_zeros(skin.num_betas), skin.point.new_zeros(skin.num_markers, 3))
        sizes = [_size(mean, joints, part, recording) for part, recording in zip(parts, recordings, strict=True)]
        visits = same_size(sizes)
        persons = [
            _calibrate_visit(
                mean,
                [parts[r] for r in visit],
                float(np.mean([sizes[r] for r in visit])),
                layout,
                joints,
                weights,
                recordings[visit[0]].path,
            )
            for visit in visits
        ]
        calibrated = time.perf_counter() - began
        gaits = []
        for r, (recording, observation) in enumerate(zip(recordings, observations, strict=True)):
            v = next(v for v, visit in enumerate(visits) if r in visit)
            rows = [i for i, label in enumerate(layout.labels) if label in recording.labels]
            index = torch.as_tensor(rows, device=skin.point.device)
            solved, covariance = persons[v]
            k = visits[v].index(r)
            frames = len(parts[r].seen)
            before = sum(len(parts[other].seen) for other in visits[v][:k])
            gaits.append(
                _fit_gait(
                    body,
                    recording,
                    SubjectModel(skin.select(index), solved.betas, solved.placement.recordings[k, index]),
                    ObservedMarkers(observation.markers[:, index], observation.seen[:, index]),
                    shape_and_offsets(covariance[k], skin.num_betas, index),
                    around_own_posture(joints, solved.pose.rotations[before : before + frames]),
                    weights,
                    vposer,
                    batches,
                )
            )
    return SubjectFit(layout, tuple(gaits), visits, calibrated)


def same_size(sizes: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Group recordings into visits: a visit ends where the next larger size is more than ``GROWN`` larger."""
    order = sorted(range(len(sizes)), key=lambda r: sizes[r])
    visits = [[order[0]]]
    for r in order[1:]:
        if sizes[r] > sizes[visits[-1][-1]] * (1 + GROWN):
            visits.append([])
        visits[-1].append(r)
    return tuple(sorted(tuple(sorted(visit)) for visit in visits))


def _size(mean: SubjectModel, prior: JointPrior, frames: ObservedMarkers, recording: Recording) -> float:
    """The person's size over the mean body's, from the trunk's markers."""
    _, size, fixed = rigid_start(mean, prior.natural, frames)
    if not bool(fixed.any()):
        raise InsufficientMarkersError(recording)
    return float(size[fixed].median())


def _calibrate_visit(
    mean: SubjectModel,
    frames: Sequence[ObservedMarkers],
    size: float,
    layout: MarkerLayout,
    prior: JointPrior,
    weights: ResidualScales,
    where: Path,
) -> tuple[ShapeCalibration, Tensor]:
    """Shape and placement of one visit from chosen frames of each of its recordings, and the covariance of both."""
    skin = mean.skin
    prior = replace(prior, precision=weights.calibration_pose_prior * prior.precision)
    together = ObservedMarkers(torch.cat([f.markers for f in frames]), torch.cat([f.seen for f in frames]))
    wearer = SubjectModel(skin, scaled_betas(skin, size), mean.offset)
    start, _, _ = rigid_start(wearer, prior.natural, together)
    pose = solve_poses(BatchedNormalEquations(wearer, prior, weights), start, together).pose
    precision = offset_precision(skin, layout.kinds, weights)
    which = torch.as_tensor(np.repeat(np.arange(len(frames)), [len(f.seen) for f in frames]), device=skin.point.device)
    loose = replace(weights, same_session_m=APART_M, replaced_m=APART_M)
    try:
        apart = calibrate(skin, wearer.betas, pose, together, which, prior, precision, loose)
        tied = calibrate(  # then tie together what turned out to agree
            skin, apart.betas, apart.pose, together, which, prior, precision, weights, start=apart.placement
        )
        return tied, placement_covariance(skin, tied, together, which, prior, precision, layout.kinds, weights)
    except torch.linalg.LinAlgError as error:
        raise GaitError(
            f"{where}: the markers do not determine a body ({error}); are positions and labels right?"
        ) from error


def check_labels(recording: Recording, layout: MarkerLayout) -> None:
    """Refuse a recording that shares too few markers with a layout, naming both sets of labels."""
    shared = set(recording.labels) & set(layout.labels)
    if len(shared) < layout.fewest_shared:
        raise GaitError(
            f"{recording.path}: {len(shared)} of its markers are known to the layout ({layout.source}), "
            f"{layout.fewest_shared} are needed. The recording has {_listed(recording.labels)}; the layout knows "
            f"{_listed(layout.labels)}. Name a constraint_file that places this laboratory's markers."
        )


def calibration_frames(seen: Sequence[NDArray[np.bool_]], count: int) -> list[NDArray[np.int64]]:
    """Frames of each recording to calibrate on: spread over all, well seen, each marker in some of them.

    Args:
        seen: (T, M) a recording.
        count: of frames over all recordings; each recording has one at least.
    """
    share = max(1, count // len(seen))
    chosen = []
    for visible in seen:
        number = visible.sum(axis=1)
        held = number[number >= FEWEST_IN_A_FRAME]
        good = np.flatnonzero(number >= max(np.quantile(held, 0.3) if len(held) else 0, FEWEST_IN_A_FRAME))
        good = good if len(good) else np.arange(len(visible))
        picked = set(good[np.unique(np.linspace(0, len(good) - 1, share).round().astype(int))].tolist())
        for m in range(visible.shape[1]):
            shown = np.flatnonzero(visible[:, m])
            if len(shown) and not visible[sorted(picked), m].any():
                best = shown[np.argsort(-number[shown], kind="stable")]
                picked.update(best[np.linspace(0, len(best) // 2, 3).astype(int)].tolist())
        chosen.append(np.array(sorted(picked)))
    return chosen


def _fit_gait(
    body: Body,
    recording: Recording,
    wearer: SubjectModel,
    observation: ObservedMarkers,
    placement: Tensor,
    prior: JointPrior,
    weights: ResidualScales,
    vposer: VPoser | None,
    batches: FrameBatches,
) -> TrialFit:
    began = time.perf_counter()
    pose = pose_course(wearer, observation, prior, weights, recording.rate_hz, vposer, batches)

    equations = BatchedNormalEquations(wearer, prior, weights, torch.float64)

    def placed(rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        return *equations.placed(pose[rows]), pose_numbers(body, pose[rows], wearer.skin.hinges).float()

    virtual, joints, numbers = (torch.cat(parts) for parts in zip(*batches.map(recording.frames, placed), strict=True))
    seconds = time.perf_counter() - began
    rate = recording.rate_hz
    confidence = joint_confidence(
        wearer, pose, joints.cpu().numpy(), observation, prior, weights, placement, rate, batches
    )
    fixed = rigid_start(wearer, prior.natural, observation)[2].cpu().numpy()
    held = held_frames(held_by_markers(fixed, confidence.alone_m), rate)
    for gap in stretches(held.bridged):
        frames = torch.arange(gap.start, gap.stop, device=virtual.device)
        pose = pose.with_frames(frames, bridged_course(pose, held.held, gap, wearer.skin.hinges))
        virtual[gap], joints[gap], numbers[gap] = placed(gap)
    counted = observation.seen & torch.as_tensor(held.held, device=virtual.device)[:, None]
    residual = (virtual - observation.markers).norm(dim=-1)
    residual = torch.where(counted, residual, torch.full_like(residual, torch.nan))
    return TrialFit(
        recording=recording,
        labels=wearer.skin.labels,
        betas=wearer.betas.cpu().numpy(),
        offset_m=wearer.offset.cpu().numpy(),
        poses=numbers.cpu().numpy(),
        rotations=pose.rotations.cpu().numpy(),
        translation_m=pose.translation.cpu().numpy(),
        joints_m=joints.cpu().numpy(),
        virtual_m=virtual.cpu().numpy(),
        residual_m=residual.cpu().numpy(),
        confidence=confidence,
        held=held,
        seconds=seconds,
    )


def observed_markers(recording: Recording, layout: MarkerLayout, like: Tensor) -> ObservedMarkers:
    """A recording's markers in the layout's order; what it lacks is unseen."""
    column = {label: i for i, label in enumerate(recording.labels)}
    T = recording.frames
    markers = np.zeros((T, layout.num_markers, 3))
    seen = np.zeros((T, layout.num_markers), dtype=bool)
    for m, label in enumerate(layout.labels):
        if label in column:
            seen[:, m] = recording.visible[:, column[label]]
            markers[:, m] = np.where(seen[:, m, None], recording.positions_m[:, column[label]], 0.0)
    return ObservedMarkers(
        torch.as_tensor(markers, dtype=like.dtype, device=like.device),
        torch.as_tensor(seen, device=like.device),
    )


def _listed(labels: Sequence[str], most: int = 60) -> str:
    named = ", ".join(labels[:most]) or "none"
    return f"{named} and {len(labels) - most} more" if len(labels) > most else named
