"""The equations made for speed against the exact ones, and quaternions against scipy's rotations."""

import numpy as np
import pytest
import torch
from fitting_cases import random_body
from scipy.spatial.transform import Rotation
from test_fitting_jacobians import FEATURES, WEIGHTS, case, leaning_of, narrow_bounds, observation_of, prior_of

from gait.body.rotations import inverse_left_jacobian
from gait.fitting import turns
from gait.fitting.frame_equations import FrameEquations, Observation
from gait.fitting.joint_turning import turned
from gait.fitting.marker_motion import marker_motion
from gait.fitting.pose_equations import normal_equations, objective
from gait.fitting.residuals import Leaning

DOUBLE = torch.float64


def reordered(D):
    """Where each unknown of the exact equations (joint by joint) stands in the fast ones (axis by axis)."""
    J = (D - 3) // 3
    joint, axis = np.divmod(np.arange(3 * J), 3)
    return np.concatenate([axis * J + joint, np.arange(3 * J, D)])


def symmetric(lower):
    return np.tril(lower) + np.tril(lower, -1).swapaxes(-1, -2)


@pytest.fixture(params=[False, True], ids=["free_tree", "hinge_tree"])
def tree(request):
    return request.param


@FEATURES
def test_objective_and_gradient_are_the_exact_ones(tmp_path, tree, feature):
    body, wearer, pose = case(tmp_path, tree, feature, spread=0.4)
    observation = observation_of(wearer, pose)
    prior = prior_of(body, wearer, narrow_bounds(body, 0.3))
    leaning = leaning_of(body, wearer, pose.frames)
    exact = normal_equations(wearer, pose, observation, prior, WEIGHTS, (leaning,))
    equations = FrameEquations(wearer, prior, WEIGHTS, DOUBLE)
    frames = equations.frames(observation, (leaning,))
    poses = equations.taken_up(pose, frames)
    found = equations.evaluate(poses, frames)
    np.testing.assert_allclose(found.cost, exact.cost, rtol=1e-9)
    np.testing.assert_allclose(equations.cost(poses, frames), exact.cost, rtol=1e-9)
    np.testing.assert_allclose(
        found.gradient[:, reordered(found.gradient.shape[1])],
        exact.gradient,
        atol=1e-9 * float(exact.gradient.abs().max()),
    )
    np.testing.assert_allclose(found.parent_world.transpose(0, 1), exact.motion.parent_world, atol=1e-12)


@FEATURES
def test_curvature_of_the_markers_is_gauss_newtons(tmp_path, tree, feature):
    """Without the joints' own terms nothing is left out."""
    body, wearer, pose = case(tmp_path, tree, feature)
    observation = observation_of(wearer, pose)
    prior = prior_of(body, wearer)
    silent = type(prior)(
        prior.natural,
        0 * prior.precision,
        torch.full_like(prior.lower, -torch.inf),
        torch.full_like(prior.upper, torch.inf),
        0.0,
    )
    exact = normal_equations(wearer, pose, observation, silent, WEIGHTS)
    equations = FrameEquations(wearer, silent, WEIGHTS, DOUBLE)
    frames = equations.frames(observation)
    found = equations.evaluate(equations.taken_up(pose, frames), frames)
    order = reordered(found.gradient.shape[1])
    curvature = symmetric(found.curvature.numpy())[:, order][:, :, order]
    scale = float(exact.curvature.abs().max())
    np.testing.assert_allclose(curvature, exact.curvature, atol=1e-10 * scale)
    np.testing.assert_allclose(found.known, exact.known, atol=1e-10 * scale)


def test_curvature_of_the_joints_terms_is_near_gauss_newtons(tmp_path):
    """Exact where a residual is small; the place's is exact anywhere."""
    body, wearer, pose = case(tmp_path, False, None, spread=0.05)
    nothing = Observation(torch.zeros(3, 12, 3, dtype=DOUBLE), torch.zeros(3, 12, dtype=torch.bool))
    prior = prior_of(body, wearer)
    leaning = Leaning(
        pose.rotations,
        pose.translation + 0.1,
        torch.full(pose.rotations.shape[:2], 300.0, dtype=DOUBLE),
        torch.full((3,), 2e3, dtype=DOUBLE),
    )
    exact = normal_equations(wearer, pose, nothing, prior, WEIGHTS, (leaning,)).curvature.numpy()
    equations = FrameEquations(wearer, prior, WEIGHTS, DOUBLE)
    frames = equations.frames(nothing, (leaning,))
    found = equations.evaluate(equations.taken_up(pose, frames), frames)
    order = reordered(exact.shape[1])
    curvature = symmetric(found.curvature.numpy())[:, order][:, :, order]
    np.testing.assert_allclose(curvature[:, -3:, -3:], exact[:, -3:, -3:], rtol=1e-9)
    assert np.abs(curvature - exact).max() < 0.1 * np.abs(exact).max()


def test_a_step_is_the_exact_ones(tmp_path, tree):
    _, wearer, pose = case(tmp_path, tree)
    observation = observation_of(wearer, pose)
    J = wearer.skin.num_joints
    step = torch.tensor(np.random.default_rng(1).normal(0, 0.3, (pose.frames, 3 * J + 3)))
    expected = turned(pose, marker_motion(wearer, pose).parent_world, step, wearer.skin.hinges)
    equations = FrameEquations(wearer, prior_of(tmp_body(tmp_path, tree), wearer), WEIGHTS, DOUBLE)
    frames = equations.frames(observation)
    poses = equations.taken_up(pose, frames)
    parent_world = equations.evaluate(poses, frames).parent_world
    there = torch.empty_like(step)
    there[:, reordered(step.shape[1])] = step
    found = equations.given_back(equations.turned(poses, parent_world, there), frames)
    np.testing.assert_allclose(found.rotations, expected.rotations, atol=1e-12)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-12)
    if tree:
        np.testing.assert_allclose(found.angles, expected.angles, atol=1e-12)


def tmp_body(folder, tree):
    return random_body(folder, hinges=tree)


@FEATURES
def test_single_precision_far_from_the_origin(tmp_path, tree, feature):
    """A laboratory is metres long; what is seen is taken from the middle of its markers."""
    body, wearer, pose = case(tmp_path, tree, feature, spread=0.4)
    near = observation_of(wearer, pose)
    away = torch.tensor([12.0, 1.0, -30.0], dtype=DOUBLE)
    observation = Observation(torch.where(near.seen[..., None], near.markers + away, 0.0), near.seen)
    pose = type(pose)(pose.rotations, pose.translation + away, pose.angles)
    prior = prior_of(body, wearer)
    exact = objective(wearer, pose, observation, prior, WEIGHTS)
    equations = FrameEquations(wearer, prior, WEIGHTS)
    frames = equations.frames(observation)
    found = equations.evaluate(equations.taken_up(pose, frames), frames)
    assert found.cost.dtype == found.curvature.dtype == torch.float32
    np.testing.assert_allclose(found.cost, exact, rtol=1e-4)
    back = equations.given_back(equations.taken_up(pose, frames), frames)
    np.testing.assert_allclose(back.rotations, pose.rotations, atol=1e-6)
    np.testing.assert_allclose(back.translation, pose.translation, atol=1e-6)


# --- quaternions -----------------------------------------------------------------------------------------------------


def rotations(count=200, seed=0):
    """Any, and some by nothing, by next to nothing and by half a turn."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3))
    angles = np.concatenate([rng.uniform(0, np.pi, count - 6), [0, 1e-9, 1e-4, 0.05, np.pi - 1e-6, np.pi]])
    return Rotation.from_rotvec(vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * angles[:, None])


def test_matrices_and_back():
    matrices = torch.tensor(rotations().as_matrix())
    turn = turns.from_matrices(matrices)
    np.testing.assert_allclose(turns.length(turn), 1, atol=1e-12)
    np.testing.assert_allclose(turns.to_matrices(turn), matrices, atol=1e-12)
    single = turns.to_matrices(turns.from_matrices(matrices.float()))
    np.testing.assert_allclose(single, matrices, atol=1e-6)


def test_products_and_inverses():
    a, b = rotations(seed=1), rotations(seed=2)
    p, q = (torch.tensor(r.as_quat().T) for r in (a, b))
    np.testing.assert_allclose(turns.to_matrices(turns.product(p, q)), (a * b).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(turns.to_matrices(turns.inverse(p)), a.inv().as_matrix(), atol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_vectors_and_back(sign):
    turn = torch.tensor(sign * rotations().as_quat().T)
    vectors, _ = turns.to_vectors(turn)
    expected = rotations().as_rotvec().T
    np.testing.assert_allclose(vectors[:, :-1], expected[:, :-1], atol=1e-7)
    np.testing.assert_allclose(turns.to_matrices(turns.from_vectors(vectors)), rotations().as_matrix(), atol=1e-7)


def test_a_pull_back_is_the_inverse_jacobians_transpose():
    vectors, bend = turns.to_vectors(torch.tensor(rotations().as_quat().T))
    pull = torch.tensor(np.random.default_rng(3).normal(size=vectors.shape))
    expected = (inverse_left_jacobian(vectors.T).mT @ pull.T[..., None])[..., 0].T
    np.testing.assert_allclose(turns.pulled_back(vectors, bend, pull), expected, atol=1e-6)
