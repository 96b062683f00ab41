"""Test the fast normal equations against the exact ones, and quaternions against scipy's rotations."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.rotations import inverse_left_jacobian
from gait.fitting.joint_parametrization import apply_step
from gait.fitting.marker_kinematics import compute_marker_kinematics
from gait.fitting.objective_terms import SoftPoseTarget
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.solver import quaternions
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.block_solver import BlockGradient, BlockNormalEquations, BlockStep, damped_step
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.solver.kinematic_blocks import split_kinematic_tree
from tests.fitting.test_jacobians import FEATURES, SCALES, case, narrow_bounds, observe, prior_of, target_of
from tests.helpers.fitting_cases import random_body

DOUBLE = torch.float64


def parameter_indices(blocks):
    """Return the indices of the parameters of limbs (G, l), −1 for padding, and trunk (t,) in the exact equations."""
    J = len(blocks.position)
    limb = np.where(blocks.limb[:, None] < J, 3 * blocks.limb.numpy()[:, None] + np.arange(3)[:, None], -1)  # (G, 3, L)
    trunk = 3 * blocks.trunk.numpy() + np.arange(3)[:, None]
    return limb.reshape(len(limb), -1), np.concatenate([trunk.ravel(), 3 * J + np.arange(3)])


def dense(equations, blocks):
    """Return gradient (T, D) and curvature (T, D, D) in the order of the exact equations."""
    limb, trunk = parameter_indices(blocks)
    T, D = len(equations.trunk), 3 * len(blocks.position) + 3
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


def between_limbs(blocks):
    """Return (D, D) whether two parameters belong to different limbs."""
    limb, _ = parameter_indices(blocks)
    of = np.full(3 * len(blocks.position) + 3, -1)
    for g, rows in enumerate(limb):
        of[rows[rows >= 0]] = g
    return (of[:, None] >= 0) & (of >= 0) & (of[:, None] != of)


@pytest.fixture(params=[False, True], ids=["free_tree", "hinge_tree"])
def tree(request):
    return request.param


@FEATURES
def test_linearize_gives_the_exact_objective_and_gradient(tmp_path, tree, feature):
    body, subject, pose = case(tmp_path, tree, feature, spread=0.4)
    observation = observe(subject, pose)
    prior = prior_of(body, subject, narrow_bounds(body, 0.3))
    target = target_of(body, subject, pose.num_frames)
    exact = normal_equations(subject, pose, observation, prior, SCALES, (target,))
    equations = BatchedNormalEquations(subject, prior, SCALES, DOUBLE)
    data = equations.frame_data(observation, (target,))
    poses = equations.to_internal(pose, data)
    found = equations.linearize(poses, data)
    np.testing.assert_allclose(found.cost, exact.cost, rtol=1e-9)
    np.testing.assert_allclose(equations.cost(poses, data), exact.cost, rtol=1e-9)
    gradient, _ = dense(found.equations, equations.blocks)
    np.testing.assert_allclose(gradient, exact.gradient, atol=1e-9 * float(exact.gradient.abs().max()))
    np.testing.assert_allclose(found.parent_world.transpose(0, 1), exact.kinematics.parent_world, atol=1e-12)
    cheap = equations.cost_and_gradient(poses, data)
    np.testing.assert_allclose(cheap.cost, exact.cost, rtol=1e-9)
    alone = replace(found.equations, limb_gradient=cheap.gradient.limb, trunk_gradient=cheap.gradient.trunk)
    gradient, _ = dense(alone, equations.blocks)
    np.testing.assert_allclose(gradient, exact.gradient, atol=1e-9 * float(exact.gradient.abs().max()))
    np.testing.assert_array_equal(cheap.parent_world, found.parent_world)
    markers, joints = equations.markers_and_joints(pose)
    np.testing.assert_allclose(markers, exact.kinematics.markers, atol=1e-12)
    np.testing.assert_allclose(joints, exact.kinematics.joints, atol=1e-12)


@FEATURES
def test_linearize_never_underestimates_the_curvature_of_the_markers(tmp_path, tree, feature):
    """The curvature is exact except between limbs. Blend shapes across limbs, which it ignores, are removed."""
    body, subject, pose = case(tmp_path, tree, feature)
    if feature is not None:
        cross_limb = BatchedNormalEquations(subject, prior_of(body, subject), SCALES, DOUBLE).cross_limb_posedirs
        subject = replace(
            subject,
            reduced_body=replace(
                subject.reduced_body, marker_posedirs=subject.reduced_body.marker_posedirs - cross_limb
            ),
        )
    observation = observe(subject, pose)
    prior = prior_of(body, subject)
    silent = type(prior)(
        prior.mean,
        0 * prior.precision,
        torch.full_like(prior.lower, -torch.inf),
        torch.full_like(prior.upper, torch.inf),
        0.0,
    )
    exact = normal_equations(subject, pose, observation, silent, SCALES)
    equations = BatchedNormalEquations(subject, silent, SCALES, DOUBLE)
    data = equations.frame_data(observation)
    poses = equations.to_internal(pose, data)
    _, curvature = dense(equations.linearize(poses, data).equations, equations.blocks)
    scale = float(exact.curvature.abs().max())
    cross = between_limbs(equations.blocks)
    assert np.abs(exact.curvature.numpy()[:, cross]).max() > 0.001 * scale, "some markers depend on several limbs"
    more = curvature - exact.curvature.numpy()
    assert np.linalg.eigvalsh(more).min() > -1e-9 * scale
    _, trunk = parameter_indices(equations.blocks)
    np.testing.assert_allclose(more[:, trunk], 0, atol=1e-9 * scale)
    np.testing.assert_allclose(
        equations.linearize(poses, data, marker_curvature=True).marker_curvature,
        exact.marker_curvature,
        atol=1e-9 * scale,
    )


def test_linearize_gives_nearly_the_gauss_newton_curvature_of_the_joint_terms(tmp_path):
    """It is exact for small residuals; that of the translation is always exact."""
    body, subject, pose = case(tmp_path, False, None, spread=0.05)
    nothing = ObservedMarkers(torch.zeros(3, 12, 3, dtype=DOUBLE), torch.zeros(3, 12, dtype=torch.bool))
    prior = prior_of(body, subject)
    target = SoftPoseTarget(
        pose.rotations,
        pose.translation + 0.1,
        torch.full(pose.rotations.shape[:2], 300.0, dtype=DOUBLE),
        torch.full((3,), 2e3, dtype=DOUBLE),
    )
    exact = normal_equations(subject, pose, nothing, prior, SCALES, (target,)).curvature.numpy()
    equations = BatchedNormalEquations(subject, prior, SCALES, DOUBLE)
    data = equations.frame_data(nothing, (target,))
    found = equations.linearize(equations.to_internal(pose, data), data)
    _, curvature = dense(found.equations, equations.blocks)
    np.testing.assert_allclose(curvature[:, -3:, -3:], exact[:, -3:, -3:], rtol=1e-9)
    assert np.abs(curvature - exact).max() < 0.1 * np.abs(exact).max()


def test_apply_step_equals_the_exact_one(tmp_path, tree):
    _, subject, pose = case(tmp_path, tree)
    observation = observe(subject, pose)
    J = subject.reduced_body.num_joints
    step = torch.tensor(np.random.default_rng(1).normal(0, 0.3, (pose.num_frames, 3 * J + 3)))
    expected = apply_step(
        pose, compute_marker_kinematics(subject, pose).parent_world, step, subject.reduced_body.hinges
    )
    equations = BatchedNormalEquations(subject, prior_of(tmp_body(tmp_path, tree), subject), SCALES, DOUBLE)
    data = equations.frame_data(observation)
    poses = equations.to_internal(pose, data)
    parent_world = equations.linearize(poses, data).parent_world
    limb, trunk = parameter_indices(equations.blocks)
    by_limb = torch.where(torch.tensor(limb) >= 0, step[:, limb], 0.0)
    block_step = BlockStep(by_limb, step[:, trunk], step.new_zeros(pose.num_frames))
    found = equations.to_matrix_pose(equations.apply_step(poses, parent_world, block_step), data)
    np.testing.assert_allclose(found.rotations, expected.rotations, atol=1e-12)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-12)
    if tree:
        np.testing.assert_allclose(found.angles, expected.angles, atol=1e-12)


def tmp_body(folder, tree):
    return random_body(folder, hinges=tree)


@FEATURES
def test_single_precision_far_from_the_origin(tmp_path, tree, feature):
    """Positions are relative to the centroid of the markers, so single precision is enough in a large laboratory."""
    body, subject, pose = case(tmp_path, tree, feature, spread=0.4)
    near = observe(subject, pose)
    away = torch.tensor([12.0, 1.0, -30.0], dtype=DOUBLE)
    observation = ObservedMarkers(torch.where(near.visible[..., None], near.markers + away, 0.0), near.visible)
    pose = type(pose)(pose.rotations, pose.translation + away, pose.angles)
    prior = prior_of(body, subject)
    exact = normal_equations(subject, pose, observation, prior, SCALES).cost
    equations = BatchedNormalEquations(subject, prior, SCALES)
    data = equations.frame_data(observation)
    found = equations.linearize(equations.to_internal(pose, data), data)
    assert found.cost.dtype == found.equations.limb.dtype == torch.float32
    np.testing.assert_allclose(found.cost, exact, rtol=1e-4)
    back = equations.to_matrix_pose(equations.to_internal(pose, data), data)
    np.testing.assert_allclose(back.rotations, pose.rotations, atol=1e-6)
    np.testing.assert_allclose(back.translation, pose.translation, atol=1e-6)


# --- limbs -----------------------------------------------------------------------------------------------------------


def random_limb_equations(frames=3, limbs=2, unknowns=4, trunk=5, nothing=False):
    """Return random equations without cross blocks between limbs, and the same as a dense system."""
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
    step, factors = damped_step(equations, damping, floor=0.0)
    again = factors.step(BlockGradient(2 * equations.limb_gradient, 2 * equations.trunk_gradient))
    np.testing.assert_allclose(again.limb, 2 * step.limb, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(again.trunk, 2 * step.trunk, rtol=1e-9, atol=1e-12)
    found = torch.cat([step.limb.flatten(1), step.trunk], dim=1).numpy()
    for t in range(3):
        expected = -np.linalg.solve(H[t] + float(damping[t]) * np.diag(np.diag(H[t])), g[t])
        np.testing.assert_allclose(found[t], expected, atol=1e-9)
        np.testing.assert_allclose(step.gain[t], -(g[t] @ expected + 0.5 * expected @ H[t] @ expected), rtol=1e-7)


def test_damped_step_leaves_undetermined_parameters_unchanged():
    equations, _, _ = random_limb_equations(nothing=True)
    step, _ = damped_step(equations, torch.zeros(3, dtype=DOUBLE))
    assert torch.isfinite(step.limb).all()
    np.testing.assert_allclose(step.limb[:, :, 0], 0, atol=1e-12)


def test_split_kinematic_tree_gives_trunk_legs_arms_and_head(tmp_path):
    body, subject, _ = case(tmp_path)
    found = BatchedNormalEquations(subject, prior_of(body, subject), SCALES).blocks
    assert found.trunk.tolist() == [0, 3, 6, 9]
    assert sorted(sorted(j for j in row if j < 22) for row in found.limb.tolist()) == [
        [1, 4, 7, 10],
        [2, 5, 8, 11],
        [12, 15],
        [13, 16, 18, 20],
        [14, 17, 19, 21],
    ]


@pytest.mark.parametrize("parents", [[-1], [-1, 0, 1], [-1, 0, 0, 1, 2]], ids=["a point", "a chain", "two chains"])
def test_split_kinematic_tree_of_other_skeletons(parents):
    """Every joint occurs once, every marker at least once, and the weights of its copies sum to one."""
    J = len(parents)
    skin_weights = torch.rand(7, J, generator=torch.Generator().manual_seed(0))
    skin_weights[0], skin_weights[0, 0] = 0, 1
    found = split_kinematic_tree(parents, skin_weights)
    all_joints = [*found.limb.flatten().tolist(), *found.trunk.tolist()]
    assert [all_joints[k] for k in found.position.tolist()] == list(range(J))
    whole = torch.zeros(7).index_add_(0, found.markers.flatten(), (found.trunk_scale**2).flatten())
    np.testing.assert_allclose(whole, 1, atol=1e-6)


# --- quaternions -----------------------------------------------------------------------------------------------------


def rotations(count=200, seed=0):
    """Return random rotations, some of them by zero, very small angles and half a turn."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3))
    angles = np.concatenate([rng.uniform(0, np.pi, count - 6), [0, 1e-9, 1e-4, 0.05, np.pi - 1e-6, np.pi]])
    return Rotation.from_rotvec(vectors / np.linalg.norm(vectors, axis=1, keepdims=True) * angles[:, None])


def test_from_matrices_and_to_matrices():
    matrices = torch.tensor(rotations().as_matrix())
    q = quaternions.from_matrices(matrices)
    np.testing.assert_allclose(quaternions.norm(q), 1, atol=1e-12)
    np.testing.assert_allclose(quaternions.to_matrices(q), matrices, atol=1e-12)
    single = quaternions.to_matrices(quaternions.from_matrices(matrices.float()))
    np.testing.assert_allclose(single, matrices, atol=1e-6)


def test_multiply_and_inverse():
    a, b = rotations(seed=1), rotations(seed=2)
    p, q = (torch.tensor(r.as_quat().T) for r in (a, b))
    np.testing.assert_allclose(quaternions.to_matrices(quaternions.multiply(p, q)), (a * b).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(quaternions.to_matrices(quaternions.inverse(p)), a.inv().as_matrix(), atol=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
def test_to_rotvec_and_from_rotvec(sign):
    q = torch.tensor(sign * rotations().as_quat().T)
    vectors, _ = quaternions.to_rotvec(q)
    expected = rotations().as_rotvec().T
    np.testing.assert_allclose(vectors[:, :-1], expected[:, :-1], atol=1e-7)
    np.testing.assert_allclose(
        quaternions.to_matrices(quaternions.from_rotvec(vectors)), rotations().as_matrix(), atol=1e-7
    )


def test_apply_inverse_jacobian_transpose():
    vectors, jacobian_coefficient = quaternions.to_rotvec(torch.tensor(rotations().as_quat().T))
    gradient = torch.tensor(np.random.default_rng(3).normal(size=vectors.shape))
    expected = (inverse_left_jacobian(vectors.T).mT @ gradient.T[..., None])[..., 0].T
    np.testing.assert_allclose(
        quaternions.apply_inverse_jacobian_transpose(vectors, jacobian_coefficient, gradient), expected, atol=1e-6
    )
