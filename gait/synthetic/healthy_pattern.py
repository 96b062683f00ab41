"""The gait pattern of a subject without a pathology."""

from __future__ import annotations

import numpy as np

from gait.synthetic import normative_curves as normal
from gait.synthetic.gait_pattern import GaitPattern, LegPattern, change_speed
from gait.synthetic.normative_curves import Curve
from gait.synthetic.speed_change import stance_change
from gait.synthetic.subject import SyntheticSubject


def make_healthy_pattern(subject: SyntheticSubject) -> GaitPattern:
    """Return a subject's pattern without a pathology: normative curves with the subject's gait style.

    Ranges of the knee and arms and the stance fraction vary with speed around ``ADULT_SPEED`` (Schwartz et al. 2008).
    """
    style = subject.style
    relative_speed = subject.dimensionless_speed / normal.ADULT_SPEED
    arm_range = float(np.clip(1 + 0.8 * (relative_speed - 1), 0.5, 1.4))
    style_speed = subject.dimensionless_speed if subject.style_speed is None else subject.style_speed
    knee_range = float(np.clip(1 + 0.12 * (style_speed / normal.ADULT_SPEED - 1), 0.8, 1.1))

    def leg(side: int) -> LegPattern:
        return LegPattern(
            hip_flexion=normal.HIP_FLEXION.offset(style.hip_flexion[side]),
            hip_adduction=normal.HIP_ADDUCTION.scale_excursion(style.frontal_range).offset(style.hip_adduction[side]),
            hip_rotation=normal.HIP_ROTATION.offset(style.hip_rotation[side]),
            knee_flexion=normal.KNEE_FLEXION.scale_excursion(knee_range * style.knee_range[side]).offset(
                style.knee_flexion[side]
            ),
            ankle_dorsiflexion=normal.ANKLE_DORSIFLEXION.offset(style.ankle[side]),
            foot_pitch=Curve(normal.FOOT_PITCH_STANCE.samples * style.foot_range[side]),
            shoulder_flexion=normal.SHOULDER_FLEXION.scale_excursion(arm_range * style.arm_range[side]).offset(
                style.shoulder_flexion[side]
            ),
            elbow_flexion=normal.ELBOW_FLEXION.scale_excursion(arm_range * style.arm_range[side]).offset(
                style.elbow_flexion[side]
            ),
            shoulder_abduction_rad=style.shoulder_abduction[side],
            stance_fraction=normal.FOOT_OFF + style.stance_fraction + stance_change(subject.dimensionless_speed),
            toe_out_rad=style.toe_out[side],
            clearance_m=style.clearance_m,
        )

    pattern = GaitPattern(
        left=leg(0),
        right=leg(1),
        pelvis_tilt=normal.PELVIS_TILT.offset(style.pelvis_tilt),
        pelvis_obliquity=normal.PELVIS_OBLIQUITY.scale_excursion(style.frontal_range),
        pelvis_rotation=normal.PELVIS_ROTATION.scale_excursion(style.pelvis_rotation_range),
        trunk_flexion=normal.TRUNK_FLEXION.offset(style.trunk_flexion),
        trunk_lean=normal.TRUNK_LEAN.scale_excursion(style.frontal_range),
        trunk_rotation=normal.TRUNK_ROTATION.scale_excursion(style.trunk_rotation_range),
        stride_length_m=subject.stride_length_m,
        stride_time_s=subject.stride_time_s,
        step_width_m=style.relative_step_width * subject.leg_length_m,
    )
    if subject.style_speed is None:
        return pattern
    return change_speed(pattern, subject.style_speed, subject.dimensionless_speed)
