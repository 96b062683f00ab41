"""The equations made for speed against the exact ones, and quaternions against scipy's rotations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.rotations import inverse_left_jacobian
from gait.fitting.joint_parametrization import turned
from gait.fitting.marker_kinematics import marker_motion
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.reference_normal_equations import normal_equations, objective
from gait.fitting.solver import quaternions as turns
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.block_solver import BlockNormalEquations, BlockStep, damped_step
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.kinematic_blocks import limbs
from tests.fitting.test_jacobians import FEATURES, WEIGHTS, case, leaning_of, narrow_bounds, observation_of, prior_of
from tests.helpers.fitting_cases import random_body

DOUBLE = torch.float64


def unknowns_of(limbs):
    """Where each limb's unknowns (G, l), −1 for none, and the trunk's (t,) stand among the exact equations'."""
    J = len(limbs.place)
    limb = np.where(limbs.limb[:, None] < J, 3 * limbs.limb.numpy()[:, None] + np.arange(3)[:, None], -1)  # (G, 3, L)
    trunk = 3 * limbs.trunk.numpy() + np.arange(3)[:, None]
    return limb.reshape(len(limb), -1), np.concatenate([trunk.ravel(), 3 * J + np.arange(3)])


def dense(equations, limbs):
    """Gradient (T, D) and curvature (T, D, D) in the order of the exact equations."""
    limb, trunk = unknowns_of(limbs)
    T, D = len(equations.trunk), 3 * len(limbs.place) + 3
    gradient, curvature = np.zeros((T, D)), np.zeros((T, D, D))
    gradient[:, trunk] = equations.trunk_gradient
    curvature[:, trunk[:, None], trunk] = equations.trunk
    for g, rows in enumerate(limb):
        there = np.flatnonzero(rows >= 0)
        rows = rows[there]
        gradient[:, rows] = equations.limb_gradient[:, g, there]
        curvature[:, rows[:, None], rows] = equations.limb[:, g][:, there][:, :, there]
        across = equations.across[:, g, there].numpy()
        curvature[:, rows[:, None], trunk] = across
        curvature[:, trunk[:, None], rows] = across.swapaxes(1, 2)
    return gradient, curvature


def between_limbs(limbs):
    """(D, D) whether two unknowns are of two limbs."""
    limb, _ = unknowns_of(limbs)
    of = np.full(3 * len(limbs.place) + 3, -1)
    for g, rows in enumerate(limb):
        of[rows[rows >= 0]] = g
    return (of[:, None] >= 0) & (of >= 0) & (of[:, None] != of)


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
    equations = BatchedNormalEquations(wearer, prior, WEIGHTS, DOUBLE)
    frames = equations.frames(observation, (leaning,))
    poses = equations.taken_up(pose, frames)
    found = equations.evaluate(poses, frames)
    np.testing.assert_allclose(found.cost, exact.cost, rtol=1e-9)
    np.testing.assert_allclose(equations.cost(poses, frames), exact.cost, rtol=1e-9)
    gradient, _ = dense(found.equations, equations.limbs)
    np.testing.assert_allclose(gradient, exact.gradient, atol=1e-9 * float(exact.gradient.abs().max()))
    np.testing.assert_allclose(found.parent_world.transpose(0, 1), exact.motion.parent_world, atol=1e-12)
    markers, joints = equations.placed(pose)
    np.testing.assert_allclose(markers, exact.motion.markers, atol=1e-12)
    np.testing.assert_allclose(joints, exact.motion.joints, atol=1e-12)


@FEATURES
def test_curvature_of_the_markers(tmp_path, tree, feature):
    """Gauss and Newton's, but for what two limbs have in common; never less than theirs.

    With blend shapes by which a joint moves its own limb's markers; others' are left to the gradient.
    """
    body, wearer, pose = case(tmp_path, tree, feature)
    if feature is not None:
        elsewhere = BatchedNormalEquations(wearer, prior_of(body, wearer), WEIGHTS, DOUBLE).point_pose_elsewhere
        wearer = replace(wearer, skin=replace(wearer.skin, point_pose=wearer.skin.point_pose - elsewhere))
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
    equations = BatchedNormalEquations(wearer, silent, WEIGHTS, DOUBLE)
    frames = equations.frames(observation)
    poses = equations.taken_up(pose, frames)
    _, curvature = dense(equations.evaluate(poses, frames).equations, equations.limbs)
    scale = float(exact.curvature.abs().max())
    apart = between_limbs(equations.limbs)
    assert np.abs(exact.curvature.numpy()[:, apart]).max() > 0.001 * scale, "some markers hang on several limbs"
    more = curvature - exact.curvature.numpy()
    assert np.linalg.eigvalsh(more).min() > -1e-9 * scale
    _, trunk = unknowns_of(equations.limbs)
    np.testing.assert_allclose(more[:, trunk], 0, atol=1e-9 * scale)
    np.testing.assert_allclose(equations.known(poses, frames), exact.known, atol=1e-9 * scale)


def test_curvature_of_the_joints_terms_is_near_gauss_newtons(tmp_path):
    """Exact where a residual is small; the place's is exact anywhere."""
    body, wearer, pose = case(tmp_path, False, None, spread=0.05)
    nothing = ObservedMarkers(torch.zeros(3, 12, 3, dtype=DOUBLE), torch.zeros(3, 12, dtype=torch.bool))
    prior = prior_of(body, wearer)
    leaning = SoftPoseTarget(
        pose.rotations,
        pose.translation + 0.1,
        torch.full(pose.rotations.shape[:2], 300.0, dtype=DOUBLE),
        torch.full((3,), 2e3, dtype=DOUBLE),
    )
    exact = normal_equations(wearer, pose, nothing, prior, WEIGHTS, (leaning,)).curvature.numpy()
    equations = BatchedNormalEquations(wearer, prior, WEIGHTS, DOUBLE)
    frames = equations.frames(nothing, (leaning,))
    found = equations.evaluate(equations.taken_up(pose, frames), frames)
    _, curvature = dense(found.equations, equations.limbs)
    np.testing.assert_allclose(curvature[:, -3:, -3:], exact[:, -3:, -3:], rtol=1e-9)
    assert np.abs(curvature - exact).max() < 0.1 * np.abs(exact).max()


def test_a_step_is_the_exact_ones(tmp_path, tree):
    _, wearer, pose = case(tmp_path, tree)
    observation = observation_of(wearer, pose)
    J = wearer.skin.num_joints
    step = torch.tensor(np.random.default_rng(1).normal(0, 0.3, (pose.frames, 3 * J + 3)))
    expected = turned(pose, marker_motion(wearer, pose).parent_world, step, wearer.skin.hinges)
    equations = BatchedNormalEquations(wearer, prior_of(tmp_body(tmp_path, tree), wearer), WEIGHTS, DOUBLE)
    frames = equations.frames(observation)
    poses = equations.taken_up(pose, frames)
    parent_world = equations.evaluate(poses, frames).parent_world
    limb, trunk = unknowns_of(equations.limbs)
    by_limb = torch.where(torch.tensor(limb) >= 0, step[:, limb], 0.0)
    there = BlockStep(by_limb, step[:, trunk], step.new_zeros(pose.frames))
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
    observation = ObservedMarkers(torch.where(near.seen[..., None], near.markers + away, 0.0), near.seen)
    pose = type(pose)(pose.rotations, pose.translation + away, pose.angles)
    prior = prior_of(body, wearer)
    exact = objective(wearer, pose, observation, prior, WEIGHTS)
    equations = BatchedNormalEquations(wearer, prior, WEIGHTS)
    frames = equations.frames(observation)
    found = equations.evaluate(equations.taken_up(pose, frames), frames)
    assert found.cost.dtype == found.equations.limb.dtype == torch.float32
    np.testing.assert_allclose(found.cost, exact, rtol=1e-4)
    back = equations.given_back(equations.taken_up(pose, frames), frames)
    np.testing.assert_allclose(back.rotations, pose.rotations, atol=1e-6)
    np.testing.assert_allclose(back.translation, pose.translation, atol=1e-6)


# --- limbs -----------------------------------------------------------------------------------------------------------


def random_limb_equations(frames=3, limbs=2, unknowns=4, trunk=5, nothing=False):
    """Of a dense positive definite system without anything between the limbs, and that system."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(frames, limbs, 12, unknowns + trunk + 1))
    if nothing:
        rows[..., 0] = 0
    products = torch.tensor(rows.swapaxes(-1, -2) @ rows)
    l_ = slice(0, unknowns)
    t_ = slice(unknowns, unknowns + trunk)
    whole = products.sum(dim=1)
    equations = BlockNormalEquations(
        products[:, :, l_, l_], products[:, :, l_, t_], whole[:, t_, t_], products[:, :, l_, -1], whole[:, t_, -1]
    )
    D = limbs * unknowns + trunk
    H, g = np.zeros((frames, D, D)), np.zeros((frames, D))
    for k in range(limbs):
        at = slice(k * unknowns, (k + 1) * unknowns)
        H[:, at, at], g[:, at] = equations.limb[:, k], equations.limb_gradient[:, k]
        H[:, at, -trunk:] = equations.across[:, k]
        H[:, -trunk:, at] = equations.across[:, k].mT
    H[:, -trunk:, -trunk:], g[:, -trunk:] = equations.trunk, equations.trunk_gradient
    return equations, H, g


def test_damped_step_solves_each_frames_damped_equations():
    equations, H, g = random_limb_equations()
    damping = torch.tensor([0.0, 0.1, 10.0], dtype=DOUBLE)
    step = damped_step(equations, damping, floor=0.0)
    found = torch.cat([step.limb.flatten(1), step.trunk], dim=1).numpy()
    for t in range(3):
        expected = -np.linalg.solve(H[t] + float(damping[t]) * np.diag(np.diag(H[t])), g[t])
        np.testing.assert_allclose(found[t], expected, atol=1e-9)
        np.testing.assert_allclose(step.gain[t], -(g[t] @ expected + 0.5 * expected @ H[t] @ expected), rtol=1e-7)


def test_damped_step_leaves_unknowns_that_nothing_sees():
    equations, _, _ = random_limb_equations(nothing=True)
    step = damped_step(equations, torch.zeros(3, dtype=DOUBLE))
    assert torch.isfinite(step.limb).all()
    np.testing.assert_allclose(step.limb[:, :, 0], 0, atol=1e-12)


def test_a_skeleton_falls_into_trunk_legs_arms_and_head(tmp_path):
    body, wearer, _ = case(tmp_path)
    found = BatchedNormalEquations(wearer, prior_of(body, wearer), WEIGHTS).limbs
    assert found.trunk.tolist() == [0, 3, 6, 9]
    assert sorted(sorted(j for j in row if j < 22) for row in found.limb.tolist()) == [
        [1, 4, 7, 10],
        [2, 5, 8, 11],
        [12, 15],
        [13, 16, 18, 20],
        [14, 17, 19, 21],
    ]


@pytest.mark.parametrize("parents", [[-1], [-1, 0, 1], [-1, 0, 0, 1, 2]], ids=["a point", "a chain", "two chains"])
def test_other_skeletons_fall_apart_too(parents):
    """Every joint stands once, every marker at least once, and its copies make it whole."""
    J = len(parents)
    share = torch.rand(7, J, generator=torch.Generator().manual_seed(0))
    share[0], share[0, 0] = 0, 1
    found = limbs(parents, share)
    everywhere = [*found.limb.flatten().tolist(), *found.trunk.tolist()]
    assert [everywhere[place] for place in found.place.tolist()] == list(range(J))
    whole = torch.zeros(7).index_add_(0, found.markers.flatten(), (found.trunk_scale**2).flatten())
    np.testing.assert_allclose(whole, 1, atol=1e-6)


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
