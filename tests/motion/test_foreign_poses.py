"""Poses of other tools on a body: up axis, size by steps, and errors."""

import numpy as np
import pytest
import torch

from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.capture.pose_format import ForeignPoses
from gait.errors import GaitError
from gait.motion.foreign_poses import infer_up, size_by_steps, to_pose_sequence
from gait.synthetic import make_subject, make_trial
from tests.helpers.body_files import python2_npy, random_model
from tests.helpers.foreign_files import smpl_walk
from tests.helpers.motion_cases import rot_y


def foreign(poses, translation, **changes):
    return ForeignPoses("smpl", poses, translation, **({"rate_hz": 30.0} | changes))


@pytest.fixture(scope="module")
def walk(open_body):
    """A walk of another subject than the mean body, in SMPL's joints, z up; and its truth."""
    truth = make_trial(open_body, make_subject(open_body, 8), seconds=2.0, seed=1, rate_hz=30.0).ground_truth
    found = smpl_walk(truth, open_body)
    return foreign(found["pose"], found["trans"]), truth


def test_infer_up_from_the_trunk_before_the_format(walk):
    poses, _ = walk
    assert infer_up(poses).name == "+z"
    contradicted = infer_up(foreign(poses.poses, poses.translation_m, stated_up="-y"))
    assert contradicted.name == "+z"
    assert "Its format defines -y" in contradicted.note


def test_infer_up_of_a_lying_body_is_that_of_the_format_or_an_error():
    lying = np.zeros((10, 72))
    lying[:, :3] = np.pi / 4 * np.array([1.0, 0.0, 0.0])
    lying[5:, :3] *= -1
    lying[:, 1] = 0.6
    assert infer_up(foreign(lying, np.zeros((10, 3)), stated_up="-z")).name == "-z"
    with pytest.raises(GaitError, match="the trunk is not upright along an axis of the file"):
        infer_up(foreign(lying, np.zeros((10, 3))))


def test_to_pose_sequence_takes_the_size_from_the_steps(open_body, walk):
    poses, truth = walk
    sequence, notes = to_pose_sequence(poses, open_body)
    leg = [
        np.linalg.norm(each.joints_m[0, Joint.LEFT_KNEE] - each.joints_m[0, Joint.LEFT_HIP])
        for each in (sequence, truth)
    ]
    mean = float((open_body.joint_template[Joint.LEFT_KNEE] - open_body.joint_template[Joint.LEFT_HIP]).norm())
    assert leg[1] < 0.8 * mean
    assert abs(leg[0] - leg[1]) < 0.3 * abs(mean - leg[1])
    assert "times as large, so that no foot slides" in notes[-1]
    on_spot, notes = to_pose_sequence(foreign(poses.poses, 0 * poses.translation_m), open_body)
    assert notes[-1] == "The shape is not observed: it is that of the mean body."
    assert not on_spot.betas.any()


def test_to_pose_sequence_moves_the_pelvis_as_the_source_does(open_body, walk):
    poses, truth = walk
    sequence, _ = to_pose_sequence(poses, open_body)
    moved = [each.joints_m[:, 0] - each.joints_m[0, 0] for each in (sequence, truth)]
    np.testing.assert_allclose(moved[0], moved[1], atol=1e-5)
    again = open_body.posed_joints(
        *(torch.as_tensor(a) for a in (sequence.poses, sequence.betas, sequence.translation_m))
    )[:, :22]
    np.testing.assert_allclose(again.numpy(), sequence.joints_m, atol=1e-5)


@pytest.mark.parametrize("heading", [0.0, 2.0])
def test_size_by_steps_is_the_ratio_of_movements(heading):
    """Two feet stand in turns while the pelvis moves on at 1.2 m/s; the body's legs are 1.25 times as long."""
    rate, size = 50.0, 0.8
    time = np.arange(200) / rate
    phase = (time[:, None] + [0.0, 0.5]) % 1.0
    forward = np.where(phase < 0.5, 0.3 - 1.2 * phase, -0.3 + 1.2 * (phase - 0.5)) / size
    feet = np.stack([0 * forward, np.where(phase < 0.5, -0.9, -0.8), forward], axis=-1) @ rot_y(heading).T
    path = np.stack([0 * time, 0 * time, 1.2 * time], axis=-1) @ rot_y(heading).T
    assert size_by_steps(feet, path, rate) == pytest.approx(size, rel=1e-6)
    assert size_by_steps(feet, 0 * path, rate) is None
    assert size_by_steps(0 * feet, path, rate) is None
    assert size_by_steps(feet[:4], path[:4], rate) is None


def test_to_pose_sequence_refuses_a_hand(open_body, walk, tmp_path):
    (tmp_path / "hand.npy").write_bytes(python2_npy(random_model(num_joints=16)))
    with pytest.raises(GaitError, match=r"hand\.npy: poses need a body of 22 or more joints"):
        to_pose_sequence(walk[0], load_body(tmp_path / "hand.npy"))
