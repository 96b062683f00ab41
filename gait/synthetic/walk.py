"""A walk of known truth: pelvis, legs and arms of one person over a few seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS, Joint, joint_rows
from gait.synthetic.foot_rollover import sole_of
from gait.synthetic.gait_pattern import GaitPattern, healthy_pattern
from gait.synthetic.leg_kinematics import OUTWARDS, SIDES, about_x, about_y, about_z, axis_angle, leg_bones, mirrored
from gait.synthetic.leg_motion import leg_rotations
from gait.synthetic.leg_plan import REST_PELVIS_TILT_RAD, planned_leg
from gait.synthetic.pathologies import Pathology, with_disorder
from gait.synthetic.pelvis_path import pelvis_path
from gait.synthetic.step_plan import StepPlan, smooth_noise, step_plan
from gait.synthetic.subject import Person
from gait.synthetic.upper_body import WOBBLES, upper_body_rotations

Vector = NDArray[np.float64]

RATE_HZ = 100.0


@dataclass(frozen=True)
class GaitEvent:
    """A foot meets the floor or leaves it."""

    label: str  # "Foot Strike" or "Foot Off"
    side: str  # "left" or "right"
    time_s: float  # from the first frame


@dataclass(frozen=True, eq=False)
class Walk:
    """One walk and the truth about it. The person walks along a heading of the laboratory; y is up, the floor 0."""

    person: Person
    disorder: Pathology | None
    seed: int
    heading_rad: float  # from +z towards +x
    truth: PoseSequence
    events: tuple[GaitEvent, ...]  # in time
    pattern: GaitPattern  # as walked, the disorder included

    def vertices(self, body: Body, frames: slice | NDArray[np.intp] = slice(None)) -> NDArray[np.float32]:
        """True vertices (T, V, 3) of these frames, metres."""
        with torch.inference_mode():
            out = body(*pose_tensors(self.truth, body, frames))
        return out.vertices.float().cpu().numpy()


def pose_tensors(
    truth: PoseSequence, body: Body, frames: slice | NDArray[np.intp] = slice(None)
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pose, shape and translation of these frames, as ``body`` takes them."""
    like = body.v_template
    pose, betas, place = (
        torch.as_tensor(a).to(like) for a in (truth.poses[frames], truth.betas, truth.translation_m[frames])
    )
    return pose, betas, place


def make_walk(
    body: Body,
    person: Person,
    disorder: Pathology | None = None,
    *,
    seconds: float = 4.5,
    seed: int = 0,
    rate_hz: float = RATE_HZ,
) -> Walk:
    """Somebody walks straight on.

    The same person and seed give the same steps with and without a disorder, as far as it lets them be the same.
    """
    pattern = with_disorder(healthy_pattern(person), disorder)
    plan = step_plan(pattern, person.leg_length_m, seconds, rate_hz, [person.seed, 1, seed])
    random = np.random.default_rng([person.seed, 6, seed])
    heading = random.uniform(-np.pi, np.pi)
    start = random.uniform(-0.5, 0.5, size=2)
    rest = body.rest_joints(torch.as_tensor(person.betas).to(body.v_template))[0].double().cpu().numpy()
    local, path = _motion(body, person, pattern, plan, rest, random)

    local, path = local[plan.recorded], path[plan.recorded]
    R_heading = about_y(heading)
    local[:, Joint.PELVIS] = R_heading @ local[:, Joint.PELVIS]
    middle = 0.5 * (path[0] + path[-1]) * [1, 0, 1]
    path = (path - middle) @ R_heading.T + [start[0], 0, start[1]]
    truth = PoseSequence(
        poses=axis_angle(local).reshape(len(local), -1).astype(np.float32),
        betas=person.betas.astype(np.float32),
        translation_m=(path - rest[Joint.PELVIS]).astype(np.float32),
        joints_m=np.empty((0, NUM_BODY_JOINTS, 3), np.float32),
        rate_hz=rate_hz,
        model_file=body.name,
        model_sha256=body.sha256,
    )
    with torch.inference_mode():
        joints = body.posed_joints(*pose_tensors(truth, body))[:, :NUM_BODY_JOINTS]
    truth = replace(truth, joints_m=joints.float().cpu().numpy())
    return Walk(person, disorder, seed, heading, truth, _events(plan, seconds), pattern)


def _events(plan: StepPlan, seconds: float) -> tuple[GaitEvent, ...]:
    events = [
        GaitEvent(label, side, time)
        for side in SIDES
        for step in plan.footprints[side]
        for label, time in (("Foot Strike", step.strike_s), ("Foot Off", step.toe_off_s))
        if 0 <= time < seconds
    ]
    return tuple(sorted(events, key=lambda event: event.time_s))


def _motion(
    body: Body,
    person: Person,
    pattern: GaitPattern,
    plan: StepPlan,
    rest: Vector,
    random: np.random.Generator,
) -> tuple[Vector, Vector]:
    """Rotations against the parent (T, J, 3, 3) and root joint (T, 3) of somebody who walks along +z."""
    wobble = np.radians(smooth_noise(random, plan.phase, 0.35, 3 + WOBBLES))
    tilt = pattern.pelvis_tilt.at(plan.phase) + 0.5 * wobble[:, 0]
    obliquity = pattern.pelvis_obliquity.at(plan.phase) + 0.4 * wobble[:, 1]
    rotation = pattern.pelvis_rotation.at(plan.phase) + 0.5 * wobble[:, 2]
    R_pelvis = about_y(-rotation) @ about_z(obliquity) @ about_x(tilt - REST_PELVIS_TILT_RAD)
    legs = {
        side: planned_leg(
            pattern,
            side,
            plan,
            leg_bones(rest, side),
            sole_of(body, person.betas, side),
            R_pelvis if side == "left" else mirrored(R_pelvis),
            tilt,
            obliquity * OUTWARDS[side][0],
        )
        for side in SIDES
    }
    pelvis = pelvis_path(legs, plan)

    local = np.broadcast_to(np.eye(3), (len(pelvis), body.num_joints, 3, 3)).copy()
    local[:, Joint.PELVIS] = R_pelvis
    for side, leg in legs.items():
        turns = leg_rotations(leg, plan.time_s, plan.cycle[side], pelvis * OUTWARDS[side])
        for name, R in turns.items():
            local[:, Joint[f"{side.upper()}_{name}"]] = R if side == "left" else mirrored(R)
    upper = upper_body_rotations(pattern, plan, rest, (tilt, obliquity, rotation), wobble[:, 3:])
    rows = joint_rows(body.num_joints)
    for joint, R in upper.items():
        if joint in rows:  # a body without fingers has fewer
            local[:, rows[joint]] = R
    return local, pelvis
