"""Joints and landmarks at rest, and their paths in posed sequences."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.anatomy import SOLE_LANDMARKS, read_anatomy
from gait.body.model_file import load_body
from gait.body.skeleton import BODY_PARENTS, Joint
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial, pose_tensors
from tests.helpers.fitting_cases import OPEN_BODY, random_body


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


@pytest.fixture(scope="module")
def sequence(body):
    return make_trial(body, make_subject(body, 3, adult=True), seconds=1.0).ground_truth


def test_parents_are_those_of_the_model(body):
    assert body.parents[: len(BODY_PARENTS)] == BODY_PARENTS


def test_landmarks_lie_where_anatomy_has_them(body):
    anatomy = read_anatomy(body, np.zeros(10))
    lateral, medial = anatomy.position_m("LKNE"), anatomy.position_m("LKNM")
    knee, ankle = anatomy.joints_m[Joint.LEFT_KNEE], anatomy.joints_m[Joint.LEFT_ANKLE]
    assert lateral[0] > knee[0] > medial[0] > 0
    assert abs(lateral[1] - knee[1]) < 0.03
    assert anatomy.position_m("LASI")[2] > anatomy.position_m("LPSI")[2] + 0.1
    heel, ball, toe = (anatomy.position_m(f"L{name}") for name in SOLE_LANDMARKS)
    assert heel[2] < ankle[2] < ball[2] < toe[2]
    assert np.ptp([heel[1], ball[1], toe[1]]) < 0.01


def test_world_rotations_and_joints_agree_with_the_body(body, sequence):
    with torch.inference_mode():
        posed = body(*pose_tensors(sequence, body))
    np.testing.assert_allclose(sequence.world_rotations, posed.rotations[:, :22].numpy(), atol=1e-5)
    # the sole of a standing foot is on the floor, y = 0
    heights = np.stack([sequence.landmark_m(f"{side}{name}")[:, 1] for side in "LR" for name in SOLE_LANDMARKS])
    assert np.abs(heights.min(axis=0)).max() < 0.02


def test_pose_file_keeps_anatomy(tmp_path, sequence):
    marker = sequence.anatomy.position_m("LASI") + np.array([0.01, 0, 0])
    written = replace(sequence, anatomy=sequence.anatomy.with_markers({"LASI": marker, "OTHER": marker}))
    write_npz(tmp_path, written)
    read = read_poses(tmp_path)
    np.testing.assert_array_equal(read.anatomy.landmarks_m, written.anatomy.landmarks_m)
    np.testing.assert_allclose(read.anatomy.position_m("LASI", fitted=True), marker, atol=1e-6)
    np.testing.assert_allclose(read.landmark_m("LASI", fitted=True), written.landmark_m("LASI", fitted=True))
    assert np.linalg.norm(read.landmark_m("LASI", fitted=True) - read.landmark_m("LASI"), axis=1).mean() > 0.005
    np.testing.assert_array_equal(read.landmark_m("RASI", fitted=True), read.landmark_m("RASI"))


def test_model_without_a_full_body_has_no_anatomy(tmp_path):
    assert read_anatomy(random_body(tmp_path), np.zeros(3)) is None


def test_file_without_anatomy_has_no_landmarks(tmp_path, sequence):
    write_npz(tmp_path, replace(sequence, anatomy=None))
    assert read_poses(tmp_path).landmark_m("LASI") is None
