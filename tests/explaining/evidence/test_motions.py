import pytest

from gait.body.skeleton import BODY_JOINTS, Joint
from gait.explaining.evidence.motions import input_curve, motions_of
from gait.kinematics.joint_angles import ANGLES
from gait.motion.inputs import INPUTS


@pytest.mark.parametrize("name", sorted(INPUTS))
def test_every_joint_has_motions_with_known_angles(name):
    motions = motions_of(INPUTS[name], left_out=(Joint.HEAD,))
    known = {angle.name for angle in ANGLES}
    assert {motion.joint for motion in motions} == set(BODY_JOINTS) - {Joint.HEAD}
    for motion in motions:
        assert motion.curves
        assert {curve for curve in motion.curves if not curve.startswith("input:")} <= known


def test_sides_and_curves_of_rotations():
    motions = {motion.name: motion for motion in motions_of(INPUTS["rotations"])}
    assert len(motions) == 66
    right, left = motions["right hip adduction"], motions["left hip adduction"]
    assert (right.side, right.angle, right.sign) == ("right", "hip_adduction", -left.sign)
    assert motions["head flexion"].curves == (input_curve(Joint.HEAD, 0),)
    assert motions["left toe flexion"].curves == motions["right toe flexion"].curves
