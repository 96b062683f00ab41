"""Test the standard errors of joint angles against angles of sequences with sampled errors."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gait.body.model_file import load_body
from gait.body.rotation_error import AnatomyError, RotationError
from gait.body.skeleton import BODY_PARENTS
from gait.errors import GaitError
from gait.kinematics.angle_errors import compute_angle_errors
from gait.kinematics.joint_angles import compute_joint_angles
from gait.motion.pose_files import read_poses
from gait.motion.pose_npz import write_npz
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial
from tests.helpers.paths import OPEN_BODY

LASTING, SAMPLES, MODES = 5, 4, 3


@pytest.fixture(scope="module")
def sequence():
    """A sequence of 0.6 s with random errors."""
    body = load_body(OPEN_BODY)
    truth = make_trial(body, make_subject(body, 3, adult=True), seconds=0.6).ground_truth
    random = np.random.default_rng(4)
    T, K, L = truth.num_frames, LASTING, len(truth.anatomy.landmarks)
    modes = random.normal(size=(MODES, 66, K + 132))
    marker = truth.anatomy.position_m("LASI") + np.array([0.004, 0.003, 0])
    error = RotationError(
        at_sample=np.linspace(0, SAMPLES - 1, T).astype(np.float32),
        sigma=np.radians(random.uniform(0.5, 1.0, (SAMPLES, 3, 66))).astype(np.float32),
        series=(1 + 0.1 * random.normal(size=(SAMPLES, MODES))).astype(np.float32),
        modes=modes.astype(np.float32),
        noise_correlation=np.linspace(1, 0, 20).astype(np.float32),
        anatomy=AnatomyError(*(0.002 * random.normal(size=(n, 3, K)).astype(np.float32) for n in (22, L, L))),
    )
    anatomy = truth.anatomy.with_markers({"LASI": marker, "RASI": truth.anatomy.position_m("RASI")})
    return replace(truth, anatomy=anatomy, rotation_error=error)


def moved(sequence, frames, lasting, motion, noise):
    """Return some frames of a sequence with errors of given standard normal numbers (K,), (66,) and (N, 66)."""
    error, anatomy = sequence.rotation_error, sequence.anatomy
    matrices = error.of_frames(frames).astype(np.float64)
    numbers = np.concatenate([np.broadcast_to(np.r_[lasting, motion], (len(frames), LASTING + 66)), noise], axis=1)
    turned = Rotation.from_rotvec(np.einsum("nck,nk->nc", matrices, numbers).reshape(-1, 3)).as_matrix()
    world = sequence.world_rotations[frames] @ turned.reshape(-1, 22, 3, 3)
    local = np.stack([world[:, j] if p < 0 else world[:, p].mT @ world[:, j] for j, p in enumerate(BODY_PARENTS)], 1)
    rotations = Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(len(frames), 22, 3)
    shifted = {
        name: getattr(anatomy, name) + getattr(error.anatomy, name) @ lasting
        for name in ("joints_m", "landmarks_m", "fitted_m")
    }
    return replace(sequence, body_rotations=rotations, anatomy=replace(anatomy, **shifted))


def test_standard_errors_are_those_of_sampled_sequences(sequence):
    errors = compute_angle_errors(sequence)
    random = np.random.default_rng(5)
    frames = np.arange(sequence.num_frames)
    sampled = []
    for _ in range(150):
        lasting, motion, noise = (random.standard_normal(shape) for shape in (LASTING, 66, (len(frames), 66)))
        sampled.append(compute_joint_angles(moved(sequence, frames, lasting, motion, noise)).degrees)
    for key in (("pelvis_tilt", "left"), ("hip_rotation", "left"), ("knee_flexion", "right"), ("head_tilt", "left")):
        curves = np.stack([degrees[key] for degrees in sampled])
        at = [5, 50]
        np.testing.assert_allclose(errors.of_frames(*key)[at], curves.std(axis=0)[at], rtol=0.2)


def test_errors_of_means_and_differences(sequence):
    errors = compute_angle_errors(sequence)
    key = ("knee_flexion", "left")
    single = errors.of_frames(*key)
    spacing = errors.spacing
    assert errors.of_sum(*key, np.array([2.0 * spacing]), np.ones(1)) == pytest.approx(single[2 * spacing], rel=1e-5)
    # the same frame twice is no better than once, and differs from itself by nothing
    twice = errors.of_mean(*key, np.full((2, 1), 2.0 * spacing))
    np.testing.assert_allclose(twice, single[2 * spacing], rtol=1e-5)
    assert errors.of_difference(*key, 30, 30) == pytest.approx(0, abs=1e-5)
    # the noise of frames that are far apart averages out, the rest stays
    far = errors.of_mean(*key, np.array([[10.0], [50.0]]))[0]
    lasting, motion, noise = (np.sqrt((part**2).sum(axis=1)) for part in errors._at(*key, np.array([10.0, 50.0])))
    assert np.hypot(lasting, motion).min() * 0.5 < far < np.sqrt((lasting**2 + motion**2 + noise**2 / 2).max())


def test_left_and_right_of_the_midline_have_the_same_error(sequence):
    errors = compute_angle_errors(sequence)
    for name in ("pelvis_tilt", "thorax_rotation", "head_obliquity"):
        np.testing.assert_allclose(errors.of_frames(name, "left"), errors.of_frames(name, "right"), rtol=1e-4)


def test_pose_file_keeps_the_errors(tmp_path, sequence):
    write_npz(tmp_path, sequence)
    read = read_poses(tmp_path)
    for name in ("at_sample", "series", "noise_correlation"):
        np.testing.assert_array_equal(getattr(read.rotation_error, name), getattr(sequence.rotation_error, name))
    np.testing.assert_allclose(read.rotation_error.sigma, sequence.rotation_error.sigma, rtol=1e-3)
    found, written = (
        (each.rotation_error.modes, *(getattr(each.rotation_error.anatomy, n) for n in ("joints_m", "fitted_m")))
        for each in (read, sequence)
    )
    for restored, array in zip(found, written, strict=True):  # rounded to 1/127 of the largest of a row
        assert (np.abs(restored - array) <= np.abs(array).max(axis=-1, keepdims=True) / 250).all()
    part = sequence.rotation_error.select(slice(20, 50))
    np.testing.assert_allclose(part.of_frames(np.array([7])), sequence.rotation_error.of_frames(np.array([27])), 1e-5)
    write_npz(tmp_path, replace(sequence, rotation_error=None))
    assert compute_angle_errors(read_poses(tmp_path)) is None
    broken = replace(sequence.rotation_error, sigma=sequence.rotation_error.sigma[:2])
    write_npz(tmp_path, replace(sequence, rotation_error=broken))
    with pytest.raises(GaitError, match="rotation_error_sigma has the shape"):
        read_poses(tmp_path)
    path = write_npz(tmp_path, sequence)
    arrays = dict(np.load(path))
    np.savez(path, **arrays | {"rotation_error_modes": arrays["rotation_error_modes"].astype(np.float32)})
    with pytest.raises(GaitError, match="rotation_error_modes is of the type float32"):
        read_poses(tmp_path)
