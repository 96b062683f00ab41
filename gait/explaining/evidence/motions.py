"""What each value of a network's input is in words of a gait laboratory: the joint angle that shows the same motion."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.motion.window_input import WindowInput

_ANGLES_OF_JOINTS: dict[str, tuple[str, ...]] = {
    "PELVIS": ("pelvis_tilt", "pelvis_obliquity", "pelvis_rotation"),
    "HIP": ("hip_flexion", "hip_adduction", "hip_rotation"),
    "KNEE": ("knee_flexion",),
    "ANKLE": ("ankle_dorsiflexion",),
    "FOOT": ("foot_progression", "ankle_dorsiflexion"),
    "SPINE1": ("spine_flexion", "spine_lateral_flexion", "spine_rotation"),
    "SPINE2": ("spine_flexion", "spine_lateral_flexion", "spine_rotation"),
    "SPINE3": ("spine_flexion", "spine_lateral_flexion", "spine_rotation"),
    "NECK": ("thorax_tilt", "thorax_obliquity", "thorax_rotation"),
    "HEAD": ("head_tilt", "head_obliquity", "head_rotation"),
    "COLLAR": ("thorax_tilt", "thorax_obliquity", "thorax_rotation"),
    "SHOULDER": ("shoulder_flexion", "shoulder_abduction"),
    "ELBOW": ("shoulder_flexion", "shoulder_abduction", "elbow_flexion"),
    "WRIST": ("shoulder_flexion", "shoulder_abduction", "elbow_flexion"),
}
"""Of inputs without axes of rotation: the angles that move a joint or the segment that ends at it."""

INPUT_PREFIX = "input:"
"""Begin of the names of curves that are the network's own input."""


@dataclass(frozen=True)
class Motion:
    """What a network sees of one joint, about one axis or, without axes, as a whole."""

    joint: Joint
    axis: int | None  # of the network's input; None if it has no axes with names
    name: str  # "left knee flexion"; without axes the name of the joint or segment
    side: str  # whose gait cycle it is seen over; "left" of joints in the middle of the body
    angle: str | None  # of ``ANGLES``, that shows this motion; None: its curve is the network's own input
    sign: int  # +1 if angle and input grow together, of this side; 1 if there is no angle
    curves: tuple[str, ...]  # names of the curves that may deviate: one, or those of the joint; () if there is none


def motions_of(input: WindowInput, left_out: Collection[Joint] = ()) -> tuple[Motion, ...]:
    """Return the motions that networks of an input see, joint by joint."""
    return tuple(motion for joint in BODY_JOINTS if joint not in left_out for motion in _motions(input, joint))


def part_of(joint: Joint) -> str:
    """Return the name of a joint without its side, "KNEE"."""
    return joint.name.rpartition("_")[2]


def side_of(joint: Joint) -> str:
    """Return the side of a joint; "left" of joints in the middle of the body, whose motion the left cycle shows."""
    return "right" if joint.name.startswith("RIGHT_") else "left"


def input_curve(joint: Joint, axis: int) -> str:
    """Return the name of the curve of the network's own input, the same of both sides."""
    return f"{INPUT_PREFIX}{part_of(joint).lower()}_{axis}"


def _motions(input: WindowInput, joint: Joint) -> Iterator[Motion]:
    side = side_of(joint)
    if not input.axis_names:
        yield Motion(joint, None, input.part_names[joint], side, None, 1, _ANGLES_OF_JOINTS[part_of(joint)])
        return
    for axis, name in enumerate(input.axis_names[joint]):
        angle, sign = input.axis_angles.get(name.removeprefix(f"{side} "), (None, 1))
        if angle is not None and side == "right":
            sign *= int(input.mirror_signs[axis])
        if angle is not None:
            curves: tuple[str, ...] = (angle,)
        else:
            curves = (input_curve(joint, axis),) if input.to_degrees is not None else ()
        yield Motion(joint, axis, name, side, angle, sign, curves)
