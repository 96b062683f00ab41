"""glTF files are read back by another reader (pygltflib), and their skin is computed from the file alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from glb_reader import read_scene
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint
from gait.exporting import export_trial_folder
from gait.exporting.exporter import NotExportableError
from gait.exporting.skinned_body import bone_lengths_m
from tests.exporting.conftest import SavedTrial


def pose(body: Body, sequence: PoseSequence, frames: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    arguments = (sequence.poses[frames], sequence.betas, sequence.translation_m[frames])
    with torch.inference_mode():
        posed = body(*(torch.as_tensor(values) for values in arguments))
    return posed.vertices.numpy(), posed.joints.numpy()


def test_skin_is_that_of_the_body_in_ten_frames(
    walk: SavedTrial, open_body: Body, poses_only: Callable[[PoseSequence], Path]
) -> None:
    poses = walk.sequence.poses.copy()
    poses[:, 3 * NUM_BODY_JOINTS :] = 0
    poses[:, 3 * Joint.LEFT_INDEX1] = np.linspace(0, 1.5, len(poses))  # a finger bends, so it keeps its joint
    sequence = replace(walk.sequence, poses=poses)
    (path,) = export_trial_folder(["gltf"], poses_only(sequence))
    scene = read_scene(path)
    names = [node.name for node in scene.gltf.nodes]
    assert names == [*(joint.name.lower() for joint in BODY_JOINTS), "left_index1", "body"]
    np.testing.assert_allclose(scene.times_s, np.arange(sequence.num_frames) / sequence.rate_hz, atol=1e-6)
    np.testing.assert_array_equal(scene.faces, open_body.faces.numpy())
    np.testing.assert_allclose(scene.weights.sum(axis=1), 1, atol=1e-6)
    frames = np.linspace(0, sequence.num_frames - 1, 10).astype(int)
    vertices, joints = pose(open_body, sequence, frames)
    for row, frame in enumerate(frames):
        np.testing.assert_allclose(scene.skin(frame), vertices[row], atol=1e-5)
        found = scene.joint_transforms(frame)[:NUM_BODY_JOINTS, :3, 3]
        np.testing.assert_allclose(found, joints[row, :NUM_BODY_JOINTS], atol=1e-5)
    extras = scene.gltf.asset.extras
    assert (extras["note"], extras["first_frame"]) == ("The body is the fitted one.", sequence.first_frame)


def as_smplh(walk: PoseSequence) -> PoseSequence:
    """Return a walk in SMPL-H's layout, whose joints are the open body's but for face and toes, with bent fingers."""
    fingers = 0.3 * np.ones((walk.num_frames, 30 * 3), np.float32)
    poses = np.concatenate([walk.poses[:, : 3 * NUM_BODY_JOINTS], fingers], axis=1)
    return replace(walk, poses=poses, model_file="SMPLH_MALE.npz", model_type="smplh")


def as_constrained_supr(walk: PoseSequence) -> PoseSequence:
    """Return a walk as of a body whose poses are angles of hinges."""
    rotations = walk.poses[:, : 3 * NUM_BODY_JOINTS].reshape(-1, NUM_BODY_JOINTS, 3)
    hinges = np.ones((walk.num_frames, 99), np.float32)
    return replace(walk, poses=hinges, body_rotations=rotations, constrained=True, model_file="supr_male.npy")


@pytest.mark.parametrize(("as_licensed", "num_joints"), [(as_smplh, 22 + 30), (as_constrained_supr, 22)])
def test_licensed_body_is_drawn_on_the_open_one_in_the_subjects_size(
    walk: SavedTrial,
    open_body: Body,
    poses_only: Callable[[PoseSequence], Path],
    as_licensed: Callable[[PoseSequence], PoseSequence],
    num_joints: int,
) -> None:
    other_shape = np.full(16, 2, np.float32)  # another body's parameters
    licensed = replace(as_licensed(walk.sequence), betas=other_shape, model_sha256="0" * 64, anatomy=None)
    (path,) = export_trial_folder(["gltf"], poses_only(licensed))
    scene = read_scene(path)
    joints = np.stack([scene.joint_transforms(frame)[:NUM_BODY_JOINTS, :3, 3] for frame in range(0, 250, 50)])
    lengths = bone_lengths_m(walk.sequence.joints_m)
    np.testing.assert_allclose(bone_lengths_m(joints), lengths, atol=0.002)
    np.testing.assert_allclose(joints[:, 0], walk.sequence.joints_m[::50, 0], atol=1e-5)
    assert np.linalg.norm(joints - walk.sequence.joints_m[::50], axis=2).max() < 0.02
    assert len(scene.gltf.skins[0].joints) == num_joints
    extras = scene.gltf.asset.extras
    assert "may not be passed on" in extras["note"]
    assert (extras["body"], extras["fitted_body"]) == ("open_neutral.npz", licensed.model_file)
    assert extras["largest_bone_length_error_mm"] < 2
    assert len(scene.vertices) == open_body.num_vertices


def test_poses_without_joint_rotations_are_refused(
    walk: SavedTrial, poses_only: Callable[[PoseSequence], Path]
) -> None:
    hinges = replace(walk.sequence, poses=walk.sequence.poses[:, :100], constrained=True, model_file="supr_male.npy")
    with pytest.raises(NotExportableError, match="no joint rotations"):
        export_trial_folder(["gltf"], poses_only(hinges))
