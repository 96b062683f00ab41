"""A walk of known truth: pelvis, legs and arms of one person over a few seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.spatial.transform import Rotation

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.synthetic.disorders import Disorder, with_disorder
from gait.synthetic.gait_pattern import GaitPattern, LegPattern, healthy_pattern
from gait.synthetic.leg_chain import (
    LEAST_KNEE_FLEXION_RAD,
    LegBones,
    about_x,
    about_y,
    about_z,
    axis_angle,
    leg_bones,
    mirrored,
    turned,
)
from gait.synthetic.normative_curves import Curve
from gait.synthetic.person import Person
from gait.synthetic.sole import Sole, sole_of, toe_bend
from gait.synthetic.step_plan import Footprint, StepPlan, slow_noise, step_plan

Vector = NDArray[np.float64]

RATE_HZ = 100.0
SIDES = ("left", "right")
_OUT = {"left": np.array([1.0, 1, 1]), "right": np.array([-1.0, 1, 1])}
_REST_PELVIS_TILT_RAD = float(np.radians(10.0))  # a standing body's, which the T-pose is taken to have


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
    disorder: Disorder | None
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
    disorder: Disorder | None = None,
    *,
    seconds: float = 4.5,
    seed: int = 0,
    rate_hz: float = RATE_HZ,
) -> Walk:
    """Somebody walks straight on.

    The same person and seed give the same steps with and without a disorder, as far as it lets them be the same.
    """
    pattern = with_disorder(healthy_pattern(person), disorder)
    random = np.random.default_rng([person.seed, 1, seed])
    plan = step_plan(pattern, person.leg_length_m, seconds, rate_hz, random)
    heading = random.uniform(-np.pi, np.pi)
    start = random.uniform(-0.5, 0.5, size=2)
    rest = body.rest_joints(torch.as_tensor(person.betas, dtype=body.dtype))[0].double().cpu().numpy()
    motion = _motion(body, person, pattern, plan, rest, rate_hz, random)

    keep = plan.recorded
    R_heading = about_y(heading)
    local = motion.local[keep].copy()
    local[:, Joint.PELVIS] = R_heading @ local[:, Joint.PELVIS]
    path = motion.pelvis_m[keep]
    middle = 0.5 * (path[0] + path[-1]) * [1, 0, 1]
    path = (path - middle) @ R_heading.T + [start[0], 0, start[1]]
    poses = axis_angle(local).reshape(len(local), -1).astype(np.float32)
    translation = (path - rest[Joint.PELVIS]).astype(np.float32)
    betas = person.betas.astype(np.float32)
    truth = PoseSequence(
        poses=poses,
        betas=betas,
        translation_m=translation,
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


@dataclass(frozen=True)
class _Motion:
    local: Vector  # (T, J, 3, 3) rotations against the parent, walking along +z
    pelvis_m: Vector  # (T, 3) root joint


@dataclass(frozen=True)
class _Leg:
    """One side over all frames, x to the outside."""

    bones: LegBones
    sole: Sole
    hip: Vector  # (T, 3) hip seen from the root, in the walking frame
    R_pelvis: Vector  # (T, 3, 3)
    R_thigh: Vector  # (T, 3, 3) nominal R_pelvis_thigh
    knee: Vector  # (T,) nominal flexion
    pitch: Vector  # (T,) sole against the floor in stance, toes up positive
    swing_pitch: Vector  # (T,) what the nominal joint angles would give

    def nominal_ankle(self) -> Vector:
        """(T, 3) ankle seen from the root, of the nominal angles."""
        return self.hip + turned(self.R_pelvis @ self.R_thigh, self.bent(self.knee))

    def reaching(self, ankle_from_hip_m: Vector) -> tuple[Vector, Vector]:
        """R_pelvis_thigh (T, 3, 3) and knee flexion (T,) for ankles (T, 3) seen from the hip in the walking frame."""
        inside = turned(np.swapaxes(self.R_pelvis, -1, -2), ankle_from_hip_m)
        return self.bones.reaching(inside, self.R_thigh)

    def bent(self, knee: Vector) -> Vector:
        """Ankle (T, 3) from the hip in the thigh's frame, of knee flexions (T,)."""
        return self.bones.ankle_from_hip(np.broadcast_to(np.eye(3), (len(knee), 3, 3)), knee)


def _motion(
    body: Body,
    person: Person,
    pattern: GaitPattern,
    plan: StepPlan,
    rest: Vector,
    rate_hz: float,
    random: np.random.Generator,
) -> _Motion:
    T = len(plan.time_s)
    wobble = np.radians(slow_noise(random, T, 0.35 * pattern.stride_time_s * rate_hz, 14))
    tilt = pattern.pelvis_tilt.at(plan.phase) + 0.5 * wobble[:, 0]
    obliquity = _of_both_sides(pattern, plan, "pelvis_obliquity") + 0.4 * wobble[:, 1]
    rotation = _of_both_sides(pattern, plan, "pelvis_rotation") + 0.5 * wobble[:, 2]
    R_pelvis = about_y(-rotation) @ about_z(obliquity) @ about_x(tilt - _REST_PELVIS_TILT_RAD)

    legs, stances = {}, {}
    for side, leg_pattern in zip(SIDES, (pattern.left, pattern.right), strict=True):
        R = R_pelvis if side == "left" else mirrored(R_pelvis)
        bones = leg_bones(rest, side)
        sole = sole_of(body, person.betas, side)
        own_side_up = obliquity if side == "left" else -obliquity
        leg_pattern = replace(
            leg_pattern, hip_adduction=_adducted(leg_pattern, bones, pattern, own_side_up, plan, side)
        )
        legs[side] = _leg(leg_pattern, plan.cycle[side], bones, sole, R, tilt, pattern.stride_length_m)
        stances[side] = _stances(legs[side], leg_pattern, plan, side)
    pelvis = _pelvis_path(legs, stances, plan, rate_hz)

    local = np.broadcast_to(np.eye(3), (T, body.num_joints, 3, 3)).copy()
    local[:, Joint.PELVIS] = R_pelvis
    for side, leg_pattern in zip(SIDES, (pattern.left, pattern.right), strict=True):
        own = pelvis * _OUT[side]
        R_hip, R_knee, R_ankle, bend = _follow(
            legs[side], leg_pattern, stances[side], plan.time_s, plan.cycle[side], own
        )
        for name, R in (("HIP", R_hip), ("KNEE", R_knee), ("ANKLE", R_ankle), ("FOOT", about_x(-bend))):
            local[:, Joint[f"{side.upper()}_{name}"]] = R if side == "left" else mirrored(R)
    _upper_body(local, pattern, plan, rest, (tilt, obliquity, rotation), wobble)
    return _Motion(local, pelvis)


def _of_both_sides(pattern: GaitPattern, plan: StepPlan, name: str) -> Vector:
    return getattr(pattern, name).at(plan.phase)


def _leg(
    pattern: LegPattern,
    cycle: Vector,
    bones: LegBones,
    sole: Sole,
    R_pelvis: Vector,
    tilt: Vector,
    stride_length_m: float,
) -> _Leg:
    """Nominal angles of a leg, the hip's range made to fit the stride."""
    hip = pattern.hip_flexion
    factor = _hip_range(pattern, bones, sole, float(tilt.mean()), stride_length_m)
    flexion = hip.scaled(factor).at(cycle)
    knee = np.maximum(pattern.knee_flexion.at(cycle), np.radians(3.0))
    ankle = pattern.ankle_dorsiflexion.at(cycle)
    # Clinics count hip flexion from a pelvis that is tilted in standing; the bones from the pelvis at rest.
    R_thigh = bones.hip_rotation(
        flexion - _REST_PELVIS_TILT_RAD, pattern.hip_adduction.at(cycle), pattern.hip_rotation.at(cycle)
    )
    return _Leg(
        bones=bones,
        sole=sole,
        hip=turned(R_pelvis, np.broadcast_to(bones.hip, (len(cycle), 3))),
        R_pelvis=R_pelvis,
        R_thigh=R_thigh,
        knee=knee,
        pitch=_stance_pitch(pattern, cycle),
        swing_pitch=flexion - tilt - knee + ankle,
    )


_SWAY_SHARE = 0.024  # of the leg's length: how far the pelvis moves over the standing foot


def _adducted(
    pattern: LegPattern, bones: LegBones, whole: GaitPattern, own_side_up: Vector, plan: StepPlan, side: str
) -> Curve:
    """The hip's adduction, raised so that in mid-stance the pelvis is a little on the standing foot's side."""
    middle = np.abs(np.mod(plan.cycle[side], 1.0) - 0.25) < 0.05
    length = float(bones.reach_m(0.2))
    inwards = np.arctan2(bones.hip[0] + _SWAY_SHARE * length - whole.step_width_m / 2, length)
    now = pattern.hip_adduction.at(0.25) - own_side_up[middle].mean()
    return pattern.hip_adduction.raised(float(inwards - now))


def _stance_pitch(pattern: LegPattern, cycle: Vector) -> Vector:
    pitch = pattern.foot_pitch.at(cycle)
    if pattern.slap:
        after = np.mod(cycle, 1.0)
        pitch = np.where(after < 0.2, pitch * np.exp(-((after / 0.03) ** 2) * pattern.slap), pitch)
    return pitch


def _hip_range(pattern: LegPattern, bones: LegBones, sole: Sole, tilt: float, stride_length_m: float) -> float:
    """By what the hip's excursion is multiplied so that a planted foot passes below the body at walking pace."""
    phases = np.linspace(0.0, 0.5, 51)
    share = phases[-1] * pattern.stance_share / 0.61
    forward, _ = sole.roll(_stance_pitch(pattern, phases))
    wanted = (forward[-1] - forward[0]) - stride_length_m * share
    knee = pattern.knee_flexion.at(phases[[0, -1]])

    def passed(factor: float) -> float:
        thigh = pattern.hip_flexion.scaled(factor).at(phases[[0, -1]]) - tilt
        R = about_x(-(thigh - bones.rest_hip_flexion_rad))
        ankle = bones.ankle_from_hip(R, knee)
        return float(ankle[1, 2] - ankle[0, 2])

    low, high = 0.05, 1.8
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if passed(middle) < wanted else (middle, high)
    return 0.5 * (low + high)


@dataclass(frozen=True)
class _Stance:
    """Path of the ankle while the foot stands, x to the outside."""

    step: Footprint
    time_s: Vector  # (S,) dense, from strike to toe-off
    ankle_m: Vector  # (S, 3)


def _stances(leg: _Leg, pattern: LegPattern, plan: StepPlan, side: str) -> tuple[_Stance, ...]:
    stances = []
    phases = np.linspace(0, 0.61, 123)
    forward, height = leg.sole.roll(_stance_pitch(pattern, phases))
    forward = forward - np.interp(0.2, phases, forward)
    cycle = plan.cycle[side]
    for step in plan.footprints[side]:
        inside = np.interp([step.strike_s, step.toe_off_s], plan.time_s, cycle)
        base = np.round(inside[0]) if inside[0] > cycle[0] else np.round(inside[1] - 0.61)
        time = np.interp(base + phases, cycle, plan.time_s, left=np.nan, right=np.nan)
        beyond = np.isnan(time)
        if beyond.all():
            continue
        spread = np.array([step.strike_s + (step.toe_off_s - step.strike_s) * p / 0.61 for p in phases])
        time = np.where(beyond, spread, time)
        ankle = np.stack(
            [
                step.ankle_x_m + np.sin(step.heading_rad) * forward,
                height,
                step.ankle_z_m + np.cos(step.heading_rad) * forward,
            ],
            axis=1,
        )
        stances.append(_Stance(step, time, ankle))
    return tuple(stances)


def _pelvis_path(
    legs: dict[str, _Leg], stances: dict[str, tuple[_Stance, ...]], plan: StepPlan, rate_hz: float
) -> Vector:
    """Root (T, 3): a smooth path from which both standing legs reach their feet with nearly nominal angles.

    Linear least squares in the coefficients of a spline. Along the leg the error counts by the bend of the knee
    that it costs, most when the knee is nearly straight; across it by the hip's turning.
    """
    T = len(plan.time_s)
    stride = 1 / (np.gradient(plan.phase).mean() * rate_hz)
    basis = _spline_basis(plan.time_s, 0.085 * stride)
    n = basis.shape[1]
    reference = np.stack([np.zeros(T), np.zeros(T), plan.forward_m], axis=1)
    blocks, wanted, frames_of, rhs_forward = [], [], [], []
    for side, leg in legs.items():
        nominal = leg.nominal_ankle()
        for stance in stances[side]:
            inside = np.flatnonzero((plan.time_s >= stance.time_s[0]) & (plan.time_s <= stance.time_s[-1]))
            if not len(inside):
                continue
            ankle = _at(stance, plan.time_s[inside])
            direction = nominal[inside] - leg.hip[inside]
            length = np.linalg.norm(direction, axis=1)
            along = direction / length[:, None]
            knee = leg.knee[inside]
            bend = np.gradient(leg.bones.reach_m(np.array([-1e-3, 1e-3])))[0] / 2e-3  # at 0 there is none
            per_rad = np.abs(leg.bones.reach_m(knee + 5e-3) - leg.bones.reach_m(knee - 5e-3)) / 1e-2 + abs(bend)
            spread_along = np.maximum(per_rad * np.radians(3.0), 0.0012)
            W = (1 / spread_along - 1 / 0.035)[:, None, None] * along[:, :, None] * along[:, None, :]
            W = W + np.eye(3) / 0.035
            into = (stance.time_s[-1] - plan.time_s[inside]) / (stance.time_s[-1] - stance.time_s[0])
            W = W * np.clip(into / 0.12, 0.05, 1)[:, None, None]  # a leg about to swing gives way
            blocks.append(W @ np.diag(_OUT[side]))
            wanted.append(turned(W, ankle - nominal[inside]))
            rhs_forward.append((ankle - nominal[inside])[:, 2].mean() - plan.forward_m[inside].mean())
            frames_of.append(inside)
    rows, rhs, frame = np.concatenate(blocks), np.concatenate(wanted), np.concatenate(frames_of)
    rhs = rhs - turned(rows, reference[frame])
    A = np.einsum("fij,fn->fijn", rows, basis[frame]).reshape(len(frame) * 3, 3 * n)
    third = np.diff(np.eye(n), 3, axis=0) / 0.03
    second = np.diff(np.eye(n), 2, axis=0) / 0.3
    sway = _SWAY_SHARE * float(legs["left"].bones.reach_m(0.2)) * np.sin(2 * np.pi * plan.phase)
    forward = float(np.mean(rhs_forward))
    habits = [np.kron([[1, 0, 0]], basis) / 0.008, np.kron([[0, 0, 1]], basis) / 0.02]
    A = np.concatenate([A, np.kron(np.eye(3), third), np.kron(np.eye(3), second), *habits])
    b = np.zeros(len(A))
    b[: rhs.size] = rhs.reshape(-1)
    b[-2 * T :] = np.concatenate([sway / 0.008, np.full(T, forward / 0.02)])
    coefficients = np.linalg.solve(A.T @ A, A.T @ b)
    path = reference + basis @ coefficients.reshape(3, n).T
    return _within_reach(path, legs, stances, plan, rate_hz)


def _within_reach(
    path: Vector, legs: dict[str, _Leg], stances: dict[str, tuple[_Stance, ...]], plan: StepPlan, rate_hz: float
) -> Vector:
    """The path lowered, smoothly, where a standing leg would have to be longer than it is."""
    path = path.copy()
    for _ in range(4):
        excess = np.zeros(len(path))
        for side, leg in legs.items():
            furthest = float(leg.bones.reach_m(LEAST_KNEE_FLEXION_RAD))
            for stance in stances[side]:
                inside = np.flatnonzero((plan.time_s >= stance.time_s[0]) & (plan.time_s <= stance.time_s[-1]))
                if not len(inside):
                    continue
                gap = _at(stance, plan.time_s[inside]) - path[inside] * _OUT[side] - leg.hip[inside]
                over = np.linalg.norm(gap, axis=1) - furthest
                excess[inside] = np.maximum(excess[inside], over)
        if excess.max() <= 0:
            break
        width = 0.03 * rate_hz
        wide = np.maximum(np.maximum(np.roll(excess, 2), np.roll(excess, -2)), excess)
        path[:, 1] -= 1.1 * gaussian_filter1d(wide, width)
    return path


def _at(stance: _Stance, time_s: Vector) -> Vector:
    """(T, 3) ankle at times within the stance."""
    return np.stack([np.interp(time_s, stance.time_s, stance.ankle_m[:, k]) for k in range(3)], axis=1)


def _spline_basis(time_s: Vector, spacing_s: float) -> Vector:
    """(T, n) cubic B-splines."""
    count = int(np.ceil((time_s[-1] - time_s[0]) / spacing_s)) + 1
    inner = np.linspace(time_s[0], time_s[-1], count)
    step = inner[1] - inner[0]
    knots = np.concatenate([inner[0] - step * np.arange(3, 0, -1), inner, inner[-1] + step * np.arange(1, 4)])
    clamped = np.clip(time_s, inner[0], inner[-1] - 1e-9)
    return np.asarray(BSpline.design_matrix(clamped, knots, 3).todense())


def _follow(
    leg: _Leg, pattern: LegPattern, stances: tuple[_Stance, ...], time: Vector, cycle: Vector, pelvis: Vector
) -> tuple[Vector, Vector, Vector, Vector]:
    """Rotations of hip, knee, ankle (T, 3, 3) and toe bend (T,): on the floor as planned, as nominal between."""
    heading = np.interp(
        time,
        [t for s in stances for t in (s.step.strike_s, s.step.toe_off_s)],
        [s.step.heading_rad for s in stances for _ in range(2)],
    )
    pitch = _blended_pitch(leg, cycle)
    bend = toe_bend(pitch)
    R_foot = about_y(heading) @ about_x(leg.sole.flat_rad - pitch)

    hip = pelvis + leg.hip
    ankle = hip + turned(leg.R_pelvis @ leg.R_thigh, leg.bent(leg.knee))
    standing = [np.flatnonzero((time >= s.time_s[0]) & (time <= s.time_s[-1])) for s in stances]
    for stance, inside in zip(stances, standing, strict=True):
        ankle[inside] = _at(stance, time[inside])
    R_thigh, knee = leg.reaching(ankle - hip)
    # What standing asked of hip and knee beyond the nominal angles fades over the swing into what the next step asks.
    extra = np.column_stack(
        [knee - leg.knee, Rotation.from_matrix(R_thigh @ np.swapaxes(leg.R_thigh, -1, -2)).as_rotvec()]
    )
    for before, after in pairwise(inside for inside in standing if len(inside) > 1):
        swing = np.arange(before[-1] + 1, after[0])
        s = (swing - before[-1]) / (after[0] - before[-1])
        extra[swing] = extra[before[-1]] + (3 * s**2 - 2 * s**3)[:, None] * (extra[after[0]] - extra[before[-1]])
        R = Rotation.from_rotvec(extra[swing, 1:]).as_matrix() @ leg.R_thigh[swing]
        bent = np.maximum(leg.knee[swing] + extra[swing, 0], LEAST_KNEE_FLEXION_RAD)
        path = hip[swing] + turned(leg.R_pelvis[swing] @ R, leg.bent(bent))
        path = _smooth_ends(path, ankle[before[-2:]], ankle[after[:2]], s)
        height = path[:, 1] + leg.sole.lowest(R_foot[swing], bend[swing])
        missing = np.maximum(0.0, pattern.clearance_m * np.sin(np.pi * s) ** 2 - height)
        path[:, 1] += gaussian_filter1d(maximum_filter1d(missing, 9), 2.5) * np.minimum(1, 8 * s * (1 - s))
        # Never below the floor, wherever that was too little.
        path[:, 1] += np.maximum(0.0, -(path[:, 1] + leg.sole.lowest(R_foot[swing], bend[swing])))
        ankle[swing] = path

    R_thigh, knee = leg.reaching(ankle - hip)
    R_knee = about_x(knee + leg.bones.straight_knee_rad)
    R_ankle = np.swapaxes(leg.R_pelvis @ R_thigh @ R_knee, -1, -2) @ R_foot
    return R_thigh, R_knee, R_ankle, bend


_FADE_SHARE = 0.25  # of the swing, in which speeds at its ends die away


def _smooth_ends(path: Vector, before: Vector, after: Vector, s: Vector) -> Vector:
    """The swing's ``path`` (S, 3) at shares ``s`` of its time, leaving the floor and coming to it without a jerk.

    ``before`` and ``after`` (2, 3) are the two nearest places on the floor, a frame apart.
    """
    frames = 1 / (s[1] - s[0])
    off = _FADE_SHARE * frames * ((before[1] - before[0]) - (path[0] - before[1]))
    strike = _FADE_SHARE * frames * ((after[1] - after[0]) - (after[0] - path[-1]))
    near_start, near_end = (np.minimum(x / _FADE_SHARE, 1.0)[:, None] for x in (s, 1 - s))
    return path + near_start * (1 - near_start) ** 2 * off - near_end * (1 - near_end) ** 2 * strike


def _blended_pitch(leg: _Leg, cycle: Vector) -> Vector:
    """The planned pitch in stance, the joints' own in swing, smoothly from one to the other."""
    phase = np.mod(cycle, 1.0)
    after_off, before_strike = (phase - 0.61) / 0.14, (1 - phase) / 0.14
    planned = np.clip(np.maximum(1 - after_off, 1 - before_strike), 0, 1)
    planned = np.where(phase <= 0.61, 1.0, planned * planned * (3 - 2 * planned))
    return planned * leg.pitch + (1 - planned) * leg.swing_pitch


def _upper_body(
    local: Vector,
    pattern: GaitPattern,
    plan: StepPlan,
    rest: Vector,
    pelvis: tuple[Vector, Vector, Vector],
    wobble: Vector,
) -> None:
    """Write spine, head and arms into ``local`` (T, J, 3, 3)."""
    tilt, obliquity, rotation = pelvis
    flexion = pattern.trunk_flexion.at(plan.phase) + 0.7 * wobble[:, 3]
    lean = pattern.trunk_lean.at(plan.phase) + 0.6 * wobble[:, 4]
    turn = pattern.trunk_rotation.at(plan.phase) + 0.7 * wobble[:, 5]
    # Against the pelvis, which is tilted itself; in rest the trunk is taken to be upright.
    spine = np.stack([flexion - (tilt - _REST_PELVIS_TILT_RAD), -(turn - rotation), -(lean + obliquity)], axis=1)
    for name, share in (("SPINE1", 0.3), ("SPINE2", 0.35), ("SPINE3", 0.35)):
        local[:, Joint[name]] = _from_axis_angle(share * spine)
    normal_flexion = np.radians(3.0)
    head = np.stack(
        [
            -pattern.gaze_share * (flexion - normal_flexion) + 0.8 * wobble[:, 6],
            0.8 * turn + 1.2 * wobble[:, 7],
            pattern.gaze_share * 0.8 * lean + 0.6 * wobble[:, 8],
        ],
        axis=1,
    )
    for name in ("NECK", "HEAD"):
        local[:, Joint[name]] = _from_axis_angle(0.5 * head)
    for k, (side, leg) in enumerate(zip(SIDES, (pattern.left, pattern.right), strict=True)):
        # Arms hang by their weight: they follow a leaning trunk only in part.
        hanging = 0.6 * (flexion - normal_flexion), 0.8 * lean * _OUT[side][0]
        _arm(local, leg, plan.cycle[side], rest, side, hanging, wobble[:, 9 + 2 * k : 11 + 2 * k])


_COLLAR_DROP_RAD = float(np.radians(6.0))
_FINGER_CURL_RAD = float(np.radians(12.0))


def _arm(
    local: Vector,
    pattern: LegPattern,
    cycle: Vector,
    rest: Vector,
    side: str,
    hanging: tuple[Vector, Vector],
    wobble: Vector,
) -> None:
    out, name = _OUT[side], side.upper()
    bone = (rest[Joint[f"{name}_ELBOW"]] - rest[Joint[f"{name}_SHOULDER"]]) * out
    level = float(np.arctan2(bone[1], bone[0]))
    swing = pattern.shoulder_flexion.at(cycle) + hanging[0] + 1.2 * wobble[:, 0]
    bend = np.maximum(pattern.elbow_flexion.at(cycle) + 1.5 * wobble[:, 1], np.radians(5.0))
    abduction = np.maximum(pattern.shoulder_abduction_rad + hanging[1], np.radians(2.0))
    hang = abduction - np.pi / 2 - level
    R_collar = about_z(np.full(len(cycle), -_COLLAR_DROP_RAD))
    R_shoulder = np.swapaxes(R_collar, -1, -2) @ about_x(-swing) @ about_z(hang)
    turns = {"COLLAR": R_collar, "SHOULDER": R_shoulder, "ELBOW": about_y(-bend)}
    for part, R in turns.items():
        local[:, Joint[f"{name}_{part}"]] = R if side == "left" else mirrored(R)
    curl = about_z(-_FINGER_CURL_RAD)
    for joint in Joint:
        if joint.value < local.shape[1] and joint.name.startswith(name) and joint.name[len(name) + 1 : -1] in _FINGERS:
            local[:, joint] = curl if side == "left" else mirrored(curl)


_FINGERS = ("INDEX", "MIDDLE", "PINKY", "RING")


def _from_axis_angle(vectors: Vector) -> Vector:
    return Rotation.from_rotvec(vectors).as_matrix()
