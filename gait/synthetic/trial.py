"""Trials with known ground truth: a synthetic subject walks straight ahead for a few seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from gait.arrays import Vector
from gait.body.anatomy import read_anatomy
from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS, Joint, joint_indices
from gait.capture.recording import GaitEvent
from gait.kinematics.gait_events import SIDES
from gait.synthetic.foot_rollover import extract_sole
from gait.synthetic.gait_pattern import GaitPattern, change_speed
from gait.synthetic.healthy_pattern import make_healthy_pattern
from gait.synthetic.leg_kinematics import (
    LATERAL_SIGNS,
    axis_angle,
    leg_bones,
    mirror_rotation,
    rot_x,
    rot_y,
    rot_z,
)
from gait.synthetic.leg_motion import leg_rotations
from gait.synthetic.leg_plan import REST_PELVIS_TILT_RAD, draw_stride_variation, plan_leg, stance_turn_rad
from gait.synthetic.pathologies import Pathology, apply_pathology
from gait.synthetic.peculiarities import apply_peculiarities
from gait.synthetic.pelvis_path import pelvis_path
from gait.synthetic.step_plan import StepPlan, smooth_noise, step_plan
from gait.synthetic.subject import SyntheticSubject
from gait.synthetic.upper_body import NUM_VARIABILITY_SERIES, upper_body_rotations

RATE_HZ = 100.0


@dataclass(frozen=True, eq=False)
class SyntheticTrial:
    """One trial with its ground truth. Coordinates: metres, y up, floor at y = 0."""

    subject: SyntheticSubject
    pathology: Pathology | None
    seed: int
    heading_rad: float  # walking direction, from +z towards +x
    ground_truth: PoseSequence
    events: tuple[GaitEvent, ...]  # "Foot Strike" and "Foot Off" in temporal order, from the first frame
    pattern: GaitPattern  # with the pathology


def pose_tensors(truth: PoseSequence, body: Body) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return pose, shape and translation as tensors of the body's device and precision."""
    like = body.v_template
    pose, betas, translation = (torch.as_tensor(a).to(like) for a in (truth.poses, truth.betas, truth.translation_m))
    return pose, betas, translation


def make_trial(
    body: Body,
    subject: SyntheticSubject,
    pathology: Pathology | None = None,
    *,
    seconds: float = 4.5,
    seed: int = 0,
    rate_hz: float = RATE_HZ,
) -> SyntheticTrial:
    """Simulate a trial of some seconds; without a pathology the gait is healthy.

    Another seed gives another trial of the subject. The same subject and seed give the same stride-to-stride variation
    with and without a pathology.
    """
    return simulate_trial(
        body, subject, make_pattern(subject, pathology), pathology, seconds=seconds, seed=seed, rate_hz=rate_hz
    )


def simulate_trial(
    body: Body,
    subject: SyntheticSubject,
    pattern: GaitPattern,
    pathology: Pathology | None = None,
    *,
    seconds: float = 4.5,
    seed: int = 0,
    rate_hz: float = RATE_HZ,
) -> SyntheticTrial:
    """Simulate a trial of a gait pattern, which contains the pathology; see ``make_trial``."""
    plan = step_plan(pattern, subject.leg_length_m, seconds, rate_hz, [subject.seed, 1, seed])
    random = np.random.default_rng([subject.seed, 6, seed])
    heading = random.uniform(-np.pi, np.pi)
    start = random.uniform(-0.5, 0.5, size=2)
    rest = body.rest_joints(torch.as_tensor(subject.betas).to(body.v_template))[0].double().cpu().numpy()
    local, path = _simulate_motion(body, subject, pattern, plan, rest, random)

    local, path = local[plan.recorded], path[plan.recorded]
    R_heading = rot_y(heading)
    local[:, Joint.PELVIS] = R_heading @ local[:, Joint.PELVIS]
    middle = 0.5 * (path[0] + path[-1]) * [1, 0, 1]
    path = (path - middle) @ R_heading.T + [start[0], 0, start[1]]
    truth = PoseSequence(
        poses=axis_angle(local).reshape(len(local), -1).astype(np.float32),
        betas=subject.betas.astype(np.float32),
        translation_m=(path - rest[Joint.PELVIS]).astype(np.float32),
        joints_m=np.empty((0, NUM_BODY_JOINTS, 3), np.float32),
        rate_hz=rate_hz,
        model_file=body.name,
        model_sha256=body.sha256,
        model_type=body.model_type,
        gender=body.gender,
        anatomy=read_anatomy(body, subject.betas),
    )
    with torch.inference_mode():
        joints = body.posed_joints(*pose_tensors(truth, body))[:, :NUM_BODY_JOINTS]
    truth = replace(truth, joints_m=joints.float().cpu().numpy())
    return SyntheticTrial(subject, pathology, seed, heading, truth, _events(plan, seconds), pattern)


def make_pattern(subject: SyntheticSubject, pathology: Pathology | None = None) -> GaitPattern:
    """Return the gait pattern of a subject, with its own curves, its peculiarities and the pathology.

    A varied subject who walks more slowly because of a pathology also has the angles of healthy persons who walk so
    slowly, and the pathology is graded to zero; subjects without ``individuality`` have neither.
    """
    own = subject.individuality
    healthy = make_healthy_pattern(subject)
    if own is not None:
        healthy = own.apply(healthy, subject.leg_length_m)
    healthy = apply_peculiarities(healthy, subject)
    if own is None or pathology is None:
        return apply_pathology(healthy, pathology)
    pattern = apply_pathology(healthy, pathology, graded=True)
    if pathology.slowness_included:
        return pattern
    slower = pattern.speed_m_s / healthy.speed_m_s
    speed = subject.dimensionless_speed
    return apply_pathology(change_speed(healthy, speed, speed * slower), pathology, graded=True)


def _events(plan: StepPlan, seconds: float) -> tuple[GaitEvent, ...]:
    events = [
        GaitEvent(label, side, time)
        for side in SIDES
        for step in plan.footprints[side]
        for label, time in (("Foot Strike", step.initial_contact_s), ("Foot Off", step.foot_off_s))
        if 0 <= time < seconds
    ]
    return tuple(sorted(events, key=lambda event: event.time_s))


def _simulate_motion(
    body: Body,
    subject: SyntheticSubject,
    pattern: GaitPattern,
    plan: StepPlan,
    rest: Vector,
    random: np.random.Generator,
) -> tuple[Vector, Vector]:
    """Return rotations relative to the parent (T, J, 3, 3) and the root's path (T, 3), metres, walking along +z."""
    variability = np.radians(smooth_noise(random, plan.phase, 0.35, 3 + NUM_VARIABILITY_SERIES))
    tilt = pattern.pelvis_tilt.at(plan.phase) + 0.5 * variability[:, 0]
    obliquity = pattern.pelvis_obliquity.at(plan.phase) + 0.4 * variability[:, 1]
    rotation = pattern.pelvis_rotation.at(plan.phase) + 0.5 * variability[:, 2]
    strides = pattern.stride_variation * draw_stride_variation(random, plan) if pattern.stride_variation else None
    R_pelvis = rot_y(-rotation) @ rot_z(obliquity) @ rot_x(tilt - REST_PELVIS_TILT_RAD)
    legs = {
        side: plan_leg(
            pattern,
            side,
            plan,
            leg_bones(rest, side),
            extract_sole(body, subject.betas, side, toe_out_rad=stance_turn_rad(getattr(pattern, side))),
            R_pelvis if side == "left" else mirror_rotation(R_pelvis),
            tilt,
            obliquity * LATERAL_SIGNS[side][0],
            None if strides is None else strides[k],
        )
        for k, side in enumerate(SIDES)
    }
    pelvis = pelvis_path(legs, plan)

    local = np.broadcast_to(np.eye(3), (len(pelvis), body.num_joints, 3, 3)).copy()
    local[:, Joint.PELVIS] = R_pelvis
    for side, leg in legs.items():
        rotations = leg_rotations(leg, plan.time_s, plan.cycle[side], pelvis * LATERAL_SIGNS[side])
        for name, R in rotations.items():
            local[:, Joint[f"{side.upper()}_{name}"]] = R if side == "left" else mirror_rotation(R)
    upper = upper_body_rotations(pattern, plan, rest, (tilt, obliquity, rotation), variability[:, 3:])
    rows = joint_indices(body.num_joints)
    for joint, R in upper.items():
        if joint in rows:  # body models without fingers have fewer joints
            local[:, rows[joint]] = R
    return local, pelvis
