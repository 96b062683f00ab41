"""The gait pattern of one subject: all that a pathology can change, independent of the body model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from gait.synthetic.normative_curves import Curve
from gait.synthetic.speed_change import angle_change, foot_pitch_factor


@dataclass(frozen=True, eq=False)
class LegPattern:
    """Joint angle curves of one side over its gait cycle.

    Phase 0 and 1 are initial contacts of this side, ``normal.FOOT_OFF`` its foot off.
    """

    hip_flexion: Curve  # radians, thigh against pelvis as in Plug-in Gait
    hip_adduction: Curve
    hip_rotation: Curve  # internal positive
    knee_flexion: Curve
    ankle_dorsiflexion: Curve
    foot_pitch: Curve  # sole against the floor, toes up positive; used in stance only
    shoulder_flexion: Curve
    elbow_flexion: Curve
    shoulder_abduction_rad: float
    stance_fraction: float  # stance time / stride time
    toe_out_rad: float
    clearance_m: float  # minimum height of the sole in mid-swing
    foot_slap: float = 0.0  # 0 to 1: how abruptly the forefoot lands after initial contact
    wrist_flexion_rad: float = 0.0
    wrist_amplitude_rad: float = 0.0  # of waving the hand once per step
    swing_turn_rad: float = 0.0  # by how much the foot turns outwards in mid-swing
    foot_turn: Curve | None = None  # outwards, about an axis perpendicular to the sole; beside the other two


@dataclass(frozen=True, eq=False)
class GaitPattern:
    """Gait pattern of both legs, pelvis and trunk.

    Curves are in radians; those of pelvis and trunk are over the left gait cycle.
    """

    left: LegPattern
    right: LegPattern
    pelvis_tilt: Curve  # anterior positive
    pelvis_obliquity: Curve  # left side up positive
    pelvis_rotation: Curve  # left side forward positive
    trunk_flexion: Curve  # against the vertical
    trunk_lean: Curve  # to the left positive
    trunk_rotation: Curve  # left side forward positive
    stride_length_m: float
    stride_time_s: float
    step_width_m: float  # between the paths of the ankles
    right_delay: float = 0.5  # from left to right initial contact, as a fraction of the stride time
    right_step_fraction: float = 0.5  # right step length / stride length
    gaze_stabilization: float = 1.0  # fraction of the trunk's inclination that the head compensates; 1 keeps it level
    head_turn_rad: float = 0.0  # to the left positive
    head_nod_rad: float = 0.0  # forward positive
    nod_amplitude_rad: float = 0.0  # of nodding once per step
    turn_amplitude_rad: float = 0.0  # of turning the head to both sides once per stride; mirrored the same
    stride_variation: float = 0.0  # of the legs' curves from stride to stride, factor on ``leg_plan.STRIDE_SD_DEG``
    fits_steps: bool = False  # the angles belong to the steps: hips are not changed to fit them, knees may be straight

    @property
    def speed_m_s(self) -> float:
        """Walking speed."""
        return self.stride_length_m / self.stride_time_s

    def mirror(self) -> GaitPattern:
        """Return the pattern with left and right swapped; phase 0 remains the left initial contact."""
        shift = self.right_delay

        def mirror_curve(curve: Curve, sign: float) -> Curve:
            return Curve(sign * curve.at(curve.phases + shift))

        return replace(
            self,
            left=self.right,
            right=self.left,
            pelvis_tilt=mirror_curve(self.pelvis_tilt, 1),
            pelvis_obliquity=mirror_curve(self.pelvis_obliquity, -1),
            pelvis_rotation=mirror_curve(self.pelvis_rotation, -1),
            trunk_flexion=mirror_curve(self.trunk_flexion, 1),
            trunk_lean=mirror_curve(self.trunk_lean, -1),
            trunk_rotation=mirror_curve(self.trunk_rotation, -1),
            right_delay=1 - self.right_delay,
            right_step_fraction=1 - self.right_step_fraction,
            head_turn_rad=-self.head_turn_rad,
        )


def change_speed(pattern: GaitPattern, from_speed: float, to_speed: float) -> GaitPattern:
    """Return the pattern with the joint angles' change between two dimensionless speeds."""

    def changed(part: LegPattern | GaitPattern, *angles: str) -> dict[str, Any]:
        return {angle: getattr(part, angle).offset(angle_change(angle, from_speed, to_speed)) for angle in angles}

    def leg(side: LegPattern) -> LegPattern:
        pitch = Curve(side.foot_pitch.samples * foot_pitch_factor(from_speed, to_speed))
        angles = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_flexion", "ankle_dorsiflexion")
        return replace(side, foot_pitch=pitch, **changed(side, *angles))

    pelvis = changed(pattern, "pelvis_tilt", "pelvis_obliquity", "pelvis_rotation")
    return replace(pattern, left=leg(pattern.left), right=leg(pattern.right), **pelvis)
