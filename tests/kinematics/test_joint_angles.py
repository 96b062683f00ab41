"""Joint angles of poses with known rotations: size, sign, mirror, missing segments, derivatives, real recordings."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gait.body.anatomy import Anatomy, read_anatomy
from gait.body.joint_status import JointStatus
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_PARENTS, MIRROR_ORDER, NUM_BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.kinematics.anatomical_frames import anatomical_frames
from gait.kinematics.joint_angles import ANGLES, CONVENTIONS, angle_jacobian, compute_joint_angles, laboratory_axes
from gait.kinematics.segment_angles import compute_segment_angles
from gait.synthetic import make_subject, make_trial
from tests.helpers.motion_cases import rot_y
from tests.helpers.paths import OPEN_BODY

pytestmark = pytest.mark.usefixtures("one_thread")

SIDES = ("left", "right")
ARMS_DOWN = {Joint.LEFT_SHOULDER: [0, 0, -np.pi / 2], Joint.RIGHT_SHOULDER: [0, 0, np.pi / 2]}
# angle, joint of the left side that turns, axis of the turn in the T-pose (x left, y up, z ahead)
KNOWN = [
    ("pelvis_tilt", "PELVIS", [1, 0, 0]),
    ("pelvis_obliquity", "PELVIS", [0, 0, 1]),
    ("pelvis_rotation", "PELVIS", [0, -1, 0]),
    ("hip_flexion", "LEFT_HIP", [-1, 0, 0]),
    ("hip_adduction", "LEFT_HIP", [0, 0, -1]),
    ("hip_rotation", "LEFT_HIP", [0, -1, 0]),
    ("knee_flexion", "LEFT_KNEE", [1, 0, 0]),
    ("knee_adduction", "LEFT_KNEE", [0, 0, -1]),
    ("knee_rotation", "LEFT_KNEE", [0, -1, 0]),
    ("ankle_dorsiflexion", "LEFT_ANKLE", [-1, 0, 0]),
    ("ankle_inversion", "LEFT_ANKLE", [0, 0, -1]),
    ("ankle_rotation", "LEFT_ANKLE", [0, -1, 0]),
    ("foot_progression", "LEFT_ANKLE", [0, -1, 0]),
    ("thorax_tilt", "SPINE3", [1, 0, 0]),
    ("thorax_obliquity", "SPINE3", [0, 0, 1]),
    ("thorax_rotation", "SPINE3", [0, -1, 0]),
    ("spine_flexion", "SPINE3", [1, 0, 0]),
    ("spine_lateral_flexion", "SPINE3", [0, 0, -1]),
    ("spine_rotation", "SPINE3", [0, 1, 0]),
    ("shoulder_flexion", "LEFT_SHOULDER", [-1, 0, 0]),
    ("shoulder_abduction", "LEFT_SHOULDER", [0, 0, 1]),
    ("shoulder_rotation", "LEFT_SHOULDER", [0, -1, 0]),
    ("elbow_flexion", "LEFT_ELBOW", [0, -1, 0]),
    ("head_tilt", "HEAD", [-1, 0, 0]),
    ("head_obliquity", "HEAD", [0, 0, 1]),
    ("head_rotation", "HEAD", [0, -1, 0]),
]


@cache
def rest() -> PoseSequence:
    """Return one frame of the mean body in T-pose."""
    anatomy = read_anatomy(load_body(OPEN_BODY), np.zeros(10, np.float32))
    assert anatomy is not None
    return PoseSequence(
        poses=np.zeros((1, 3 * NUM_BODY_JOINTS), np.float32), betas=np.zeros(10, np.float32),
        translation_m=np.zeros((1, 3), np.float32), joints_m=anatomy.joints_m[None], rate_hz=100.0,
        model_file="open_neutral.npz", anatomy=anatomy,
    )  # fmt: skip


def posed(axis_angle: np.ndarray) -> PoseSequence:
    """Return the sequence of axis-angle vectors (T, 22, 3) of the joints, the pelvis at its place at rest."""
    joints = np.tile(rest().joints_m, (len(axis_angle), 1, 1)).astype(np.float64)
    out = replace(rest(), poses=axis_angle.reshape(len(axis_angle), -1).astype(np.float32))
    assert out.world_rotations is not None
    for joint, parent in enumerate(BODY_PARENTS):
        if parent >= 0:
            bone = rest().joints_m[0, joint] - rest().joints_m[0, parent]
            joints[:, joint] = joints[:, parent] + out.world_rotations[:, parent] @ bone
    return replace(out, joints_m=joints.astype(np.float32))


def standing(joint: Joint, degrees: float, axis: list[float]) -> PoseSequence:
    """Return a body that glides ahead with hanging arms, in which a joint is turned further about an axis at rest."""
    pose = np.zeros((60, NUM_BODY_JOINTS, 3))
    for shoulder, turn in ARMS_DOWN.items():
        pose[:, shoulder] = turn
    turned = Rotation.from_rotvec(np.radians(degrees) * np.array(axis, float)) * Rotation.from_rotvec(pose[0, joint])
    pose[:, joint] = turned.as_rotvec()
    out = posed(pose)
    path = np.arange(60)[:, None, None] / out.rate_hz * [0, 0, 1.2]
    return replace(out, joints_m=(out.joints_m + path).astype(np.float32))


def symmetric_anatomy() -> Anatomy:
    """Return the anatomy with markers of the trunk on the midline; placed on faces, they are 1 mm beside it."""
    anatomy = rest().anatomy
    assert anatomy is not None
    landmarks = anatomy.landmarks_m.copy()
    landmarks[[anatomy.landmarks.index(name) for name in ("C7", "T10", "CLAV", "STRN")], 0] = 0
    return replace(anatomy, landmarks_m=landmarks)


def random_poses(frames: int = 20, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    pose = 0.25 * random.normal(size=(frames, NUM_BODY_JOINTS, 3))
    for shoulder, turn in ARMS_DOWN.items():
        pose[:, shoulder] += np.multiply(turn, 0.8)
    return pose


def test_known_rotations_cover_all_angles() -> None:
    assert [name for name, _, _ in KNOWN] == [angle.name for angle in ANGLES]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("name", "joint", "axis"), KNOWN)
def test_turning_a_joint_changes_its_angle_by_as_much(name: str, joint: str, axis: list[float], side: str) -> None:
    turn = axis if side == "left" else [axis[0], -axis[1], -axis[2]]
    moved = Joint[joint.replace("LEFT", side.upper())]
    neutral = compute_joint_angles(standing(moved, 0, turn))
    for degrees in (-12.0, 12.0):
        turned = compute_joint_angles(standing(moved, degrees, turn))
        change = turned[name, side][0] - neutral[name, side][0]
        assert change == pytest.approx(degrees, abs=0.6), "to the side of the positive direction"
        triple = [angle for angle in ANGLES if angle.name.split("_")[0] == name.split("_")[0] and angle.name != name]
        for other in triple:
            assert turned[other.name, side][0] == pytest.approx(neutral[other.name, side][0], abs=2.5), other.name


@pytest.mark.parametrize("side", SIDES)
def test_neutral_stance_is_near_zero(side: str) -> None:
    angles = compute_joint_angles(standing(Joint.PELVIS, 0, [1, 0, 0]))
    for angle in ANGLES:
        value = angles[angle.name, side][0]
        if angle.name in ("pelvis_tilt", "hip_flexion"):
            assert 0 < value < 15, "the ASIS lie below the PSIS"
        elif angle.name not in (
            "spine_flexion",
            "knee_rotation",
            "ankle_rotation",
            "hip_rotation",
            "shoulder_abduction",
        ):
            assert abs(value) < 8, angle.name
        else:
            assert abs(value) < 20, angle.name


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_mirrored_poses_have_the_angles_of_the_other_side(convention: str) -> None:
    pose = random_poses()
    mirrored = pose[:, MIRROR_ORDER] * [1, -1, -1]
    ours, theirs = (
        compute_joint_angles(replace(posed(p), anatomy=symmetric_anatomy()), convention) for p in (pose, mirrored)
    )
    for angle in ours.definitions:
        for side, other in (SIDES, SIDES[::-1]):
            away = (ours[angle.name, side] - theirs[angle.name, other] + 180) % 360 - 180
            assert np.abs(away).max() < 0.05, (angle.name, side)


def test_angles_do_not_depend_on_the_axes_of_the_laboratory() -> None:
    walk = make_trial(load_body(OPEN_BODY), make_subject(load_body(OPEN_BODY), 2, adult=True), seconds=2.0).ground_truth
    turn = rot_y(1.1)
    local = walk.local_rotations.copy()
    local[:, 0] = turn @ local[:, 0]
    turned = replace(
        walk,
        joints_m=(walk.joints_m @ turn.T).astype(np.float32),
        body_rotations=Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 22, 3).astype(np.float32),
    )
    here, there = compute_joint_angles(walk), compute_joint_angles(turned)
    for angle in ANGLES:
        np.testing.assert_allclose(here[angle.name, "left"], there[angle.name, "left"], atol=1e-2, err_msg=angle.name)


def headings_deg(path_m: np.ndarray) -> np.ndarray:
    """Return the heading (T,) of the walking direction of a body at rest that is moved along a path (T, 3)."""
    axes = laboratory_axes(replace(rest(), joints_m=(rest().joints_m + path_m[:, None]).astype(np.float32)))
    np.testing.assert_allclose(np.linalg.det(axes), 1, atol=1e-9)
    return np.degrees(np.arctan2(axes[:, 2, 0], axes[:, 0, 0]))


def test_walking_direction_of_a_straight_path_does_not_sway_with_the_pelvis() -> None:
    time = np.arange(300)[:, None] / 100
    for degrees in (0, 5, 86, -178):
        along = np.array([np.cos(np.radians(degrees)), 0, np.sin(np.radians(degrees))])
        path = time * along + 0.02 * np.sin(2 * np.pi * time / 0.9) * np.cross(along, [0, 1, 0])
        np.testing.assert_allclose((headings_deg(path) - degrees + 180) % 360 - 180, 0, atol=1.0)


def test_walking_direction_follows_a_curve() -> None:
    heading = np.radians(30 * np.arange(600) / 100)  # 30 degrees per second
    path = np.cumsum(np.stack([np.cos(heading), 0 * heading, np.sin(heading)], axis=1) / 100, axis=0)
    found = headings_deg(path)[100:-100]
    np.testing.assert_allclose((found - np.degrees(heading[100:-100]) + 180) % 360 - 180, 0, atol=2.0)


def test_segments_that_are_not_observed_have_no_angles() -> None:
    sequence = posed(random_poses(6))
    status = np.full((6, NUM_BODY_JOINTS), JointStatus.INFERRED, np.uint8)
    status[2:4, Joint.LEFT_ANKLE] = status[0, Joint.NECK] = JointStatus.NOT_OBSERVED
    plain, angles = compute_joint_angles(sequence), compute_joint_angles(replace(sequence, joint_status=status))
    for angle in ANGLES:
        for side in SIDES:
            missing = np.zeros(6, bool)
            if side == "left" and {angle.segment, angle.reference} & {"shank", "tibia", "foot"}:
                missing[2:4] = True
            if "thorax" in (angle.segment, angle.reference):
                missing[0] = True
            found = angles[angle.name, side]
            np.testing.assert_array_equal(np.isnan(found), missing)
            np.testing.assert_allclose(found[~missing], plain[angle.name, side][~missing], atol=1e-9)


def test_constrained_poses_have_angles_from_their_rotations() -> None:
    pose = random_poses(5)
    free = posed(pose)
    hinged = replace(
        free, poses=np.zeros((5, 40), np.float32), constrained=True, body_rotations=pose.astype(np.float32)
    )
    for key, curve in compute_joint_angles(free).degrees.items():
        np.testing.assert_allclose(compute_joint_angles(hinged).degrees[key], curve, atol=1e-4)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_angle_jacobian_against_finite_differences(convention: str) -> None:
    small = 1e-5
    sequence = posed(random_poses(3, seed=3))
    before, jacobian = compute_joint_angles(sequence, convention), angle_jacobian(sequence, convention)
    assert jacobian is not None
    for joint in {found.segment for found in jacobian.values()} | {found.reference for found in jacobian.values()}:
        for axis in range(3 if joint is not None else 0):
            world = sequence.world_rotations.copy()  # turn this segment alone
            world[:, joint] = Rotation.from_rotvec(small * np.eye(3)[axis]).as_matrix() @ world[:, joint]
            turned = replace(sequence)
            turned.__dict__["world_rotations"] = world
            after = compute_joint_angles(turned, convention)
            for key, found in jacobian.items():
                sign = (found.segment == joint) - (found.reference == joint)
                change = (after[key] - before[key]) / small
                np.testing.assert_allclose(change, sign * found.degrees_per_radian[:, axis], atol=0.05)


def test_arms_swung_in_a_circle_have_no_jumps() -> None:
    pose = np.zeros((200, NUM_BODY_JOINTS, 3))
    for shoulder, turn in ARMS_DOWN.items():
        swing = Rotation.from_rotvec(np.linspace(0, -4.5 * np.pi, 200)[:, None] * [1, 0, 0])
        pose[:, shoulder] = (swing * Rotation.from_rotvec([turn])).as_rotvec()
    flexion = compute_joint_angles(posed(pose))["shoulder_flexion", "left"]
    assert np.ptp(flexion) == pytest.approx(4.5 * 180, abs=0.5)
    assert np.abs(np.diff(flexion)).max() < 5


def test_isb_shoulder_is_plane_and_elevation() -> None:
    for axis, plane in (([0, 0, 1], 0), ([-1, 0, 0], 90)):
        raised = compute_joint_angles(standing(Joint.LEFT_SHOULDER, 60, axis), "isb")
        assert raised["shoulder_elevation", "left"][0] == pytest.approx(60, abs=6)
        assert raised["shoulder_plane_of_elevation", "left"][0] == pytest.approx(plane, abs=8)


def test_poses_of_unknown_rotations_have_flexion_angles_alone() -> None:
    sequence = replace(posed(random_poses(3)), anatomy=None)
    angles, planar = compute_joint_angles(sequence), compute_segment_angles(sequence.joints_m, 100.0)
    assert angles.from_joint_centres
    assert angle_jacobian(sequence) is None
    np.testing.assert_array_equal(angles["knee_flexion", "left"], planar.knee["left"])
    known = {name for (name, _), curve in angles.degrees.items() if np.isfinite(curve).all()}
    assert known == {
        "hip_flexion", "knee_flexion", "ankle_dorsiflexion", "thorax_tilt", "shoulder_flexion", "elbow_flexion",
    }  # fmt: skip
    upright = compute_joint_angles(replace(standing(Joint.PELVIS, 0, [1, 0, 0]), anatomy=None))
    assert upright["ankle_dorsiflexion", "left"][0] == pytest.approx(0, abs=3)


def test_unknown_convention_is_refused() -> None:
    with pytest.raises(GaitError, match="choose plug_in_gait or isb"):
        compute_joint_angles(rest(), "grood")


def test_one_misplaced_marker_tilts_no_axis() -> None:
    anatomy = rest().anatomy
    assert anatomy is not None
    near = {name: np.add(anatomy.position_m(name), [0, 0.01, 0]) for name in ("LASI", "RASI", "LPSI", "RPSI")}
    own = anatomical_frames(anatomy)["pelvis", "left"].axes
    far = anatomy.with_markers({**near, "LPSI": near["LPSI"] + [0, 0.05, 0]})
    lower = anatomy.with_markers({**near, "LPSI": near["LPSI"] - [0, 0.02, 0], "RPSI": near["RPSI"] - [0, 0.02, 0]})
    psis_kept = anatomical_frames(far)["pelvis", "left"].axes
    assert np.degrees(np.arccos(np.clip((psis_kept.T @ own).trace() / 2 - 0.5, -1, 1))) < 5
    tilted = anatomical_frames(lower)["pelvis", "left"].axes
    assert np.degrees(np.arctan2(tilted[1, 0], tilted[2, 0])) > np.degrees(np.arctan2(own[1, 0], own[2, 0])) + 4
