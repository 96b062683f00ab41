"""How one person walks: everything that a disorder may change, and nothing that depends on the body model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gait.synthetic import normative_curves as normal
from gait.synthetic.normative_curves import Curve
from gait.synthetic.subject import Person


@dataclass(frozen=True, eq=False)
class LegPattern:
    """One side, by its own cycle from heel strike (0) over toe-off (``normal.TOE_OFF``) to heel strike (1)."""

    hip_flexion: Curve  # radians, thigh against pelvis as Plug-in Gait counts it
    hip_adduction: Curve
    hip_rotation: Curve  # internal positive
    knee_flexion: Curve
    ankle_dorsiflexion: Curve
    foot_pitch: Curve  # sole against the floor, toes up positive; counts in stance
    shoulder_flexion: Curve
    elbow_flexion: Curve
    shoulder_abduction_rad: float
    stance_share: float  # of the cycle's time
    toe_out_rad: float
    clearance_m: float  # least height of the sole in mid-swing
    slap: float = 0.0  # 0 to 1: how hard the forefoot falls after contact


@dataclass(frozen=True, eq=False)
class GaitPattern:
    """Both sides, pelvis and trunk by the left cycle. Curves are radians."""

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
    step_width_m: float  # between the ankles' paths
    right_delay: float = 0.5  # share of the stride's time from left to right heel strike
    right_step_share: float = 0.5  # share of the stride's length that the right step makes
    gaze_share: float = 1.0  # how far the head makes up for the trunk's leaning: 1 keeps it level

    def mirrored(self) -> GaitPattern:
        """Left and right exchanged, still counted from the left heel strike."""
        shift = self.right_delay

        def turned(curve: Curve, sign: float) -> Curve:
            return Curve(sign * curve.at(curve.phases + shift))

        return replace(
            self,
            left=self.right,
            right=self.left,
            pelvis_tilt=turned(self.pelvis_tilt, 1),
            pelvis_obliquity=turned(self.pelvis_obliquity, -1),
            pelvis_rotation=turned(self.pelvis_rotation, -1),
            trunk_flexion=turned(self.trunk_flexion, 1),
            trunk_lean=turned(self.trunk_lean, -1),
            trunk_rotation=turned(self.trunk_rotation, -1),
            right_delay=1 - self.right_delay,
            right_step_share=1 - self.right_step_share,
        )


def healthy_pattern(person: Person) -> GaitPattern:
    """How ``person`` walks in health: normative curves with the person's own habits.

    Ranges of hip, knee, ankle and arms change with speed about the adult norm of a Froude number of 0.43² after
    Schwartz et al. 2008.
    """
    style = person.style
    relative_speed = person.dimensionless_speed / 0.43
    arm_range = float(np.clip(1 + 0.8 * (relative_speed - 1), 0.5, 1.4))
    knee_range = float(np.clip(1 + 0.12 * (relative_speed - 1), 0.8, 1.1))

    def leg(side: int) -> LegPattern:
        return LegPattern(
            hip_flexion=normal.HIP_FLEXION.raised(style.hip_flexion[side]),
            hip_adduction=normal.HIP_ADDUCTION.scaled(style.frontal_range).raised(style.hip_adduction[side]),
            hip_rotation=normal.HIP_ROTATION.raised(style.hip_rotation[side]),
            knee_flexion=normal.KNEE_FLEXION.scaled(knee_range * style.knee_range[side]).raised(
                style.knee_flexion[side]
            ),
            ankle_dorsiflexion=normal.ANKLE_DORSIFLEXION.raised(style.ankle[side]),
            foot_pitch=Curve(normal.FOOT_PITCH_STANCE.samples * style.foot_range[side]),
            shoulder_flexion=normal.SHOULDER_FLEXION.scaled(arm_range * style.arm_range[side]).raised(
                style.shoulder_flexion[side]
            ),
            elbow_flexion=normal.ELBOW_FLEXION.scaled(arm_range * style.arm_range[side]).raised(
                style.elbow_flexion[side]
            ),
            shoulder_abduction_rad=style.shoulder_abduction[side],
            stance_share=normal.TOE_OFF + style.stance_share - 0.06 * (relative_speed - 1),
            toe_out_rad=style.toe_out[side],
            clearance_m=style.clearance_m,
        )

    return GaitPattern(
        left=leg(0),
        right=leg(1),
        pelvis_tilt=normal.PELVIS_TILT.raised(style.pelvis_tilt),
        pelvis_obliquity=normal.PELVIS_OBLIQUITY.scaled(style.frontal_range),
        pelvis_rotation=normal.PELVIS_ROTATION.scaled(style.pelvis_rotation_range),
        trunk_flexion=normal.TRUNK_FLEXION.raised(style.trunk_flexion),
        trunk_lean=normal.TRUNK_LEAN.scaled(style.frontal_range),
        trunk_rotation=normal.TRUNK_ROTATION.scaled(style.trunk_rotation_range),
        stride_length_m=person.stride_length_m,
        stride_time_s=person.stride_time_s,
        step_width_m=style.step_width_share * person.leg_length_m,
    )
