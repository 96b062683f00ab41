"""Trials made from joint angle curves: a synthetic body walks with the angles of a person in a gait laboratory.

The curves are those of the GDI (``GDI_ANGLES``, as Plug-in Gait defines them), of one stride of each side. They contain
neither time nor place: stride time, body, arms and trunk are the subject's own or the norm's, and stride length and
step width follow from the angles and the length of the legs. The feet are on the floor and do not slip, which the
angles of another body alone do not give; the legs' angles are changed as little as this needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from gait.arrays import Vector, interpolate_frames
from gait.body.anatomy import read_anatomy
from gait.body.body import Body
from gait.errors import GaitError
from gait.kinematics.anatomical_frames import AnatomicalFrame, anatomical_frames
from gait.kinematics.cardan_angles import cardan_angles, mirror_to_right
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import ANGLES
from gait.kinematics.norms import GDI_ANGLES
from gait.synthetic import normative_curves as normal
from gait.synthetic.foot_rollover import extract_sole
from gait.synthetic.gait_pattern import GaitPattern, LegPattern
from gait.synthetic.leg_kinematics import LegBones, leg_bones, mirror_rotation, rot_x, rotate
from gait.synthetic.leg_plan import REST_PELVIS_TILT_RAD
from gait.synthetic.normative_curves import PHASES, Curve
from gait.synthetic.step_plan import warp_phase
from gait.synthetic.subject import SyntheticSubject
from gait.synthetic.trial import SyntheticTrial, simulate_trial

POINTS = 101
"""Points of a curve, at 0, 1, ..., 100 % of the gait cycle."""

_STANCE_FRACTIONS = (0.54, 0.78)  # limits within which foot off is sought
_FOOT_FLAT = 20  # percent
_STANCE = slice(0, 61)
_PITCH_ROUNDS = 20
_MIN_STEP_LENGTH_M = 0.05
_CLEARANCE_M = 0.006  # least height of the sole in mid-swing
_SHOULDER_ABDUCTION_RAD = float(np.radians(9.0))
_MIN_STEP_WIDTH_M = 0.02
_MIDLINE_SIGNS = {"pelvis_tilt": 1, "pelvis_obliquity": -1, "pelvis_rotation": -1}  # of the right side's curve
_SIGNS = {angle.name: angle.sign for angle in ANGLES}
# Columns x ahead, y up, z to the right in a body that walks along its z axis, whose x axis is to the left.
_LABORATORY = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])

Curves = Mapping[tuple[str, str], Vector]
"""By angle and side: (101,) degrees over this side's gait cycle."""


def play_curves(
    body: Body, subject: SyntheticSubject, curves_deg: Curves, *, seconds: float = 4.5, seed: int = 0
) -> SyntheticTrial:
    """Simulate a trial in which the subject's mean strides have these angles as nearly as its feet on the floor allow.

    Raises:
        GaitError: a curve is missing, or has gaps.
    """
    _check(curves_deg)
    targets = {key: np.radians(_periodic(np.asarray(curve, np.float64))) for key, curve in curves_deg.items()}
    return simulate_trial(body, subject, pattern_of_curves(body, subject, targets), seconds=seconds, seed=seed)


def mean_stride(trial: SyntheticTrial, values: Vector, side: str) -> Vector:
    """Return the mean (101,) of values (T,) over the whole strides of a side, by the true contacts."""
    rate = trial.ground_truth.rate_hz
    contacts = [rate * event.time_s for event in trial.events if (event.label, event.side) == ("Foot Strike", side)]
    frames = [np.linspace(first, last, POINTS) for first, last in pairwise(contacts)]
    return np.asarray(np.mean([interpolate_frames(values, each) for each in frames], axis=0))


def _check(curves_deg: Curves) -> None:
    for angle in GDI_ANGLES:
        for side in SIDES:
            curve = np.asarray(curves_deg.get((angle, side), ()))
            if curve.shape != (POINTS,) or not np.isfinite(curve).all():
                found = f"{int(np.isfinite(curve).sum())} of {curve.size}" if curve.size else "none"
                raise GaitError(f"{angle}, {side}: needs {POINTS} numbers in degrees, without gaps; it has {found}.")


def _periodic(curve: Vector) -> Vector:
    """Return a curve (101,) whose end equals its begin: each takes half of the difference, which fades inwards."""
    return curve - (curve[-1] - curve[0]) * (np.linspace(0, 1, POINTS) - 0.5)


def pattern_of_curves(body: Body, subject: SyntheticSubject, curves_rad: Curves) -> GaitPattern:
    """Return the gait pattern of periodic curves, with steps of the length and width that fit them."""
    rest = body.rest_joints(torch.as_tensor(subject.betas).to(body.v_template))[0].double().cpu().numpy()
    anatomy = read_anatomy(body, subject.betas)
    if anatomy is None:
        raise GaitError(f"{body.name}: its anatomical axes are unknown; use a body model with marker places.")
    frames = anatomical_frames(anatomy)
    midline = {
        name: 0.5 * (curves_rad[name, "left"][:-1] + sign * np.roll(curves_rad[name, "right"][:-1], 50))
        for name, sign in _MIDLINE_SIGNS.items()
    }
    pelvis_axes = _LABORATORY @ _segment_rotation("left", "ZXY", [_SIGNS[name] * midline[name] for name in midline])
    R_pelvis = pelvis_axes @ frames["pelvis", "left"].axes.T
    turned, obliquity, tilt = cardan_angles(R_pelvis, "YZX").T
    legs = {
        side: _leg_curves(curves_rad, side, pelvis_axes, R_pelvis, frames, leg_bones(rest, side), body, subject)
        for side in SIDES
    }
    # At a contact, the feet are a step apart, and the pelvis moves over both.
    steps = {
        side: legs[side].foot_m[0] * [1, 1, 1] - legs[other].foot_m[50] * [-1, 1, 1]
        for side, other in (SIDES, SIDES[::-1])
    }
    lengths = {side: max(float(step[2]), _MIN_STEP_LENGTH_M) for side, step in steps.items()}
    return GaitPattern(
        left=_leg_pattern(legs["left"], tilt),
        right=_leg_pattern(legs["right"], np.roll(tilt, -50)),
        pelvis_tilt=Curve(tilt + REST_PELVIS_TILT_RAD),
        pelvis_obliquity=Curve(obliquity),
        pelvis_rotation=Curve(-turned),
        trunk_flexion=normal.TRUNK_FLEXION,
        trunk_lean=normal.TRUNK_LEAN,
        trunk_rotation=normal.TRUNK_ROTATION,
        stride_length_m=sum(lengths.values()),
        stride_time_s=subject.stride_time_s,
        step_width_m=max(float(np.mean([step[0] for step in steps.values()])), _MIN_STEP_WIDTH_M),
        right_step_fraction=lengths["right"] / sum(lengths.values()),
        stride_variation=1.0,
        fits_steps=True,
    )


@dataclass(frozen=True, eq=False)
class _LegCurves:
    """One leg over its own gait cycle, in the terms of ``LegPattern``, x lateral; (100,) radians."""

    hip_flexion: Vector
    hip_adduction: Vector
    hip_rotation: Vector
    knee_flexion: Vector
    foot_pitch: Vector
    foot_turn: Vector
    foot_m: Vector  # (100, 3) the ankle relative to the root, where it is when the foot is flat
    foot_off: float  # phase


def _leg_curves(
    curves_rad: Curves,
    side: str,
    pelvis_axes: Vector,
    R_pelvis: Vector,
    frames: Mapping[tuple[str, str], AnatomicalFrame],
    bones: LegBones,
    body: Body,
    subject: SyntheticSubject,
) -> _LegCurves:
    """Convert a leg's angles between anatomical axes to those between the body's segments."""
    angle = {name: _SIGNS[name] * curves_rad[name, side][:-1] for name in GDI_ANGLES}
    zero = np.zeros(len(PHASES))
    if side == "right":  # the pelvis's curves are over the left cycle
        pelvis_axes, R_pelvis = np.roll(pelvis_axes, -50, axis=0), np.roll(R_pelvis, -50, axis=0)
    hip = _segment_rotation(side, "ZXY", [angle["hip_flexion"], angle["hip_adduction"], angle["hip_rotation"]])
    thigh_axes = pelvis_axes @ hip
    shank_axes = thigh_axes @ _segment_rotation(side, "ZXY", [angle["knee_flexion"], zero, zero])
    R_shank = shank_axes @ frames["shank", side].axes.T
    tibia_axes = R_shank @ frames["tibia", side].axes
    R_foot = _foot_axes(angle, side, tibia_axes) @ frames["foot", side].axes.T
    R_thigh = thigh_axes @ frames["thigh", side].axes.T
    R_pelvis, R_thigh, R_shank, R_foot = (
        each if side == "left" else mirror_rotation(each) for each in (R_pelvis, R_thigh, R_shank, R_foot)
    )
    to_pelvis = np.swapaxes(R_pelvis, -1, -2)
    ankle = rotate(R_thigh, bones.thigh) + rotate(R_shank, bones.shank)
    bend = cardan_angles(np.swapaxes(R_thigh, -1, -2) @ R_shank, "XYZ")[:, 0] - bones.straight_knee_rad
    R_thigh, knee = bones.inverse_kinematics(rotate(to_pelvis, ankle), to_pelvis @ R_thigh, bend)
    flexion, adduction, rotation = -cardan_angles(R_thigh, "XZY").T
    pitch, turn, _ = cardan_angles(R_foot, "XYZ").T
    sole = extract_sole(body, subject.betas, side, toe_out_rad=float(turn[_STANCE].mean()))
    pitch = sole.flat_rad - pitch
    ankle = ankle + rotate(R_pelvis, bones.hip)
    toes = ankle + rotate(rot_x(sole.flat_rad - pitch), sole.toe_joint)
    low, high = (round(100 * fraction) for fraction in _STANCE_FRACTIONS)
    forward, _ = sole.rollover(pitch)
    pivot = sole.pivot(pitch, turn - turn[_STANCE].mean())
    return _LegCurves(
        hip_flexion=flexion + bones.rest_hip_flexion_rad + REST_PELVIS_TILT_RAD,
        hip_adduction=adduction + bones.rest_hip_adduction_rad,
        hip_rotation=rotation,
        knee_flexion=knee,
        foot_pitch=pitch,
        foot_turn=turn,
        foot_m=ankle - (forward - forward[_FOOT_FLAT])[:, None] * [0, 0, 1] - pivot * [1, 0, 1],
        # The toes are then farthest behind the pelvis (Zeni et al. 2008, Gait & Posture 27:710).
        foot_off=(low + int(np.argmin(toes[low:high, 2]))) / 100,
    )


def _segment_rotation(side: str, order: str, radians: list[Vector]) -> Vector:
    """Return rotations (N, 3, 3) between two segments' anatomical axes, by angles of the right side's convention."""
    R = Rotation.from_euler(order, np.stack(radians, axis=-1)).as_matrix()
    return R if side == "right" else mirror_to_right(R)


def _foot_axes(angle: Mapping[str, Vector], side: str, tibia_axes: Vector) -> Vector:
    """Return axes (N, 3, 3) of the foot with these angles of ankle and progression, whose sole does not tilt sideways.

    The pitch of the foot is found by iteration; it changes the ankle's angle by nearly as much.
    """
    wanted, pitch = angle["ankle_dorsiflexion"], angle["ankle_dorsiflexion"]
    to_tibia = np.swapaxes(tibia_axes, -1, -2)
    for _ in range(_PITCH_ROUNDS):
        turned = _segment_rotation(side, "ZYX", [pitch, angle["foot_progression"], np.zeros(len(pitch))])
        R = to_tibia @ _LABORATORY @ turned
        found = cardan_angles(R if side == "right" else mirror_to_right(R), "ZYX")[:, 0]
        pitch = pitch + (wanted - found)
    return _LABORATORY @ turned


def _leg_pattern(leg: _LegCurves, tilt_rad: Vector) -> LegPattern:
    """Return the pattern of a leg; ``tilt_rad`` (100,) of the pelvis from its tilt at rest, over the leg's cycle."""
    ankle = leg.foot_pitch - (leg.hip_flexion - REST_PELVIS_TILT_RAD) + tilt_rad + leg.knee_flexion
    return LegPattern(
        hip_flexion=_warp(leg.hip_flexion, leg.foot_off),
        hip_adduction=_warp(leg.hip_adduction, leg.foot_off),
        hip_rotation=_warp(leg.hip_rotation, leg.foot_off),
        knee_flexion=_warp(leg.knee_flexion, leg.foot_off),
        ankle_dorsiflexion=_warp(ankle, leg.foot_off),
        foot_pitch=_warp(leg.foot_pitch, leg.foot_off),
        shoulder_flexion=normal.SHOULDER_FLEXION,
        elbow_flexion=normal.ELBOW_FLEXION,
        shoulder_abduction_rad=_SHOULDER_ABDUCTION_RAD,
        stance_fraction=leg.foot_off,
        toe_out_rad=0.0,
        clearance_m=_CLEARANCE_M,
        foot_turn=_warp(leg.foot_turn, leg.foot_off),
    )


def _warp(samples: Vector, foot_off: float) -> Curve:
    """Return a curve over phases in which foot off is at ``FOOT_OFF``."""
    dense = np.linspace(0, 1, 1001)
    return Curve(Curve(samples).at(np.interp(PHASES, warp_phase(dense, foot_off), dense)))
