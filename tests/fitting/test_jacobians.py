"""Test every derivative of the fit against central differences, and the calibration step against a dense solution."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.constraints_file import AngleBounds
from gait.body.pose_prior import default_pose_prior
from gait.body.rotations import PoseFeature, inverse_left_jacobian, matrix_to_axis_angle
from gait.fitting.calibration import (
    CalibrationProblem,
    MarkerOffsets,
    _calibration_step,
    calibrate,
    offset_coupling_terms,
    offset_precision,
)
from gait.fitting.joint_parametrization import MAX_STEP_RAD, apply_step
from gait.fitting.marker_kinematics import (
    SubjectModel,
    compute_marker_kinematics,
    joint_pose_jacobian,
    joint_shape_jacobian,
    orientation_jacobian,
    pose_jacobian,
    shape_jacobian,
)
from gait.fitting.objective_terms import (
    SoftPoseTarget,
    build_joint_prior,
    huber,
    joint_terms,
    limit_violation,
    marker_terms,
)
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from tests.helpers.fitting_cases import pose_joint, random_body, random_layout, random_pose, random_subject

H = 1e-6
SCALES = ResidualScales()
TREES = pytest.mark.parametrize("hinges", [False, True], ids=["free_tree", "hinge_tree"])
FEATURES = pytest.mark.parametrize("feature", [None, *PoseFeature], ids=["plain", "quaternions", "matrices"])


def case(folder, hinges=False, feature=PoseFeature.QUATERNION, frames=3, markers=12, spread=0.6):
    """Return a body with pose-corrective blend shapes of this kind (or None), a subject, and poses."""
    body = random_body(folder, hinges=hinges, feature=feature)
    subject = random_subject(body, random_layout(body, markers))
    return body, subject, random_pose(body, subject.reduced_body, frames, spread=spread)


def step_function(subject, pose):
    """Return a function that applies a step (T, D) to the pose."""
    parent_world = compute_marker_kinematics(subject, pose).parent_world
    return lambda step: apply_step(pose, parent_world, step, subject.reduced_body.hinges)


def central_differences(function, frames, parameters):
    """Return the derivative (T, ..., D) of a function of a step (T, D) at zero, by central differences."""
    columns = []
    for d in range(parameters):
        step = torch.zeros(frames, parameters, dtype=torch.float64)
        step[:, d] = H
        columns.append((function(step) - function(-step)) / (2 * H))
    return torch.stack(columns, dim=-1)


def observe(subject, pose, seed=0, hidden_fraction=0.2):
    """Return markers some mm to some cm away from the virtual ones, a fraction of them not visible."""
    rng = np.random.default_rng([seed, 7])
    markers = compute_marker_kinematics(subject, pose).markers.numpy()
    distance = rng.choice([0.004, 0.05], markers.shape[:2])
    error = rng.normal(size=markers.shape)
    error *= distance[..., None] / np.linalg.norm(error, axis=-1, keepdims=True)
    visible = rng.random(markers.shape[:2]) > hidden_fraction
    return ObservedMarkers(torch.tensor(np.where(visible[..., None], markers + error, 0.0)), torch.tensor(visible))


def target_of(body, subject, frames, seed=9):
    other = random_pose(body, subject.reduced_body, frames, seed)
    rng = np.random.default_rng(seed)
    precision = torch.tensor(rng.uniform(0, 400, other.rotations.shape[:2]))
    return SoftPoseTarget(other.rotations, other.translation, precision, torch.tensor(rng.uniform(0, 1e4, frames)))


def prior_of(body, subject, bounds=None):
    return build_joint_prior(default_pose_prior(), SCALES, bounds=bounds, body=body, hinges=subject.reduced_body.hinges)


def narrow_bounds(body, half_width=0.2):
    """Return bounds of all pose parameters, so narrow that about half of them are violated."""
    indices = np.flatnonzero((pose_joint(body) >= 0) & (pose_joint(body) < 22))
    return AngleBounds(indices, np.full(len(indices), -half_width), np.full(len(indices), half_width))


# --- rotations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.9e-3, 1.1e-3, 0.02, 0.5, 1.5, 3.0])
def test_inverse_left_jacobian(angle):
    axis = np.array([0.48, -0.6, 0.64])
    v = angle * axis
    columns = []
    for d in 1e-5 * np.eye(3):
        ahead, behind = ((Rotation.from_rotvec(s * d) * Rotation.from_rotvec(v)).as_rotvec() for s in (1, -1))
        columns.append((ahead - behind) / 2e-5)
    found = inverse_left_jacobian(torch.tensor(v))
    np.testing.assert_allclose(found, np.stack(columns, -1), atol=1e-8)


@TREES
def test_apply_step_rotates_joints_about_world_axes_and_translates_the_body(tmp_path, hinges):
    _, subject, pose = case(tmp_path, hinges)
    J = subject.reduced_body.num_joints
    kinematics = compute_marker_kinematics(subject, pose)
    step = 0.3 * torch.randn(3, 3 * J + 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    there = apply_step(pose, kinematics.parent_world, step, subject.reduced_body.hinges)
    np.testing.assert_allclose(there.translation - pose.translation, step[:, 3 * J :], atol=1e-12)
    hinged = subject.reduced_body.hinges.hinged.numpy() if hinges else np.zeros(J, dtype=bool)
    assert (hinged.any() and not hinged.all()) if hinges else not hinged.any()
    for t in range(3):
        for j in np.flatnonzero(~hinged):
            turn = step[t, 3 * j : 3 * j + 3].numpy()
            turn = turn * min(1, MAX_STEP_RAD / np.linalg.norm(turn))
            parent = kinematics.parent_world[t, j].numpy()
            expected = parent.T @ Rotation.from_rotvec(turn).as_matrix() @ parent @ pose.rotations[t, j].numpy()
            np.testing.assert_allclose(there.rotations[t, j], expected, atol=1e-12)
    if hinges:
        unknowns = step[:, : 3 * J].unflatten(-1, (J, 3))
        length = unknowns.norm(dim=-1, keepdim=True)
        unknowns = unknowns * (MAX_STEP_RAD / length).clamp(max=1)
        np.testing.assert_allclose((there.angles - pose.angles)[:, hinged], unknowns[..., :2][:, hinged], atol=1e-12)


# --- markers ---------------------------------------------------------------------------------------------------------


@TREES
@FEATURES
def test_pose_jacobian(tmp_path, hinges, feature):
    _, subject, pose = case(tmp_path, hinges, feature)
    T, D = pose.num_frames, 3 * subject.reduced_body.num_joints + 3
    at = step_function(subject, pose)
    expected = central_differences(lambda step: compute_marker_kinematics(subject, at(step)).markers.flatten(1), T, D)
    found = pose_jacobian(subject, compute_marker_kinematics(subject, pose))
    assert expected.abs().max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-8)


@TREES
@FEATURES
def test_shape_jacobian(tmp_path, hinges, feature):
    _, subject, pose = case(tmp_path, hinges, feature)

    def shaped(change):
        return compute_marker_kinematics(replace(subject, betas=subject.betas + change[0]), pose).markers

    expected = central_differences(shaped, 1, subject.reduced_body.num_betas)
    assert expected.abs().max() > 0.02
    np.testing.assert_allclose(shape_jacobian(subject, compute_marker_kinematics(subject, pose)), expected, atol=1e-8)


@TREES
def test_joint_pose_jacobian_and_joint_shape_jacobian(tmp_path, hinges):
    _, subject, pose = case(tmp_path, hinges)
    T, D = pose.num_frames, 3 * subject.reduced_body.num_joints + 3
    at, kinematics = step_function(subject, pose), compute_marker_kinematics(subject, pose)
    by_pose = central_differences(lambda step: compute_marker_kinematics(subject, at(step)).joints.flatten(1), T, D)
    np.testing.assert_allclose(joint_pose_jacobian(subject, kinematics), by_pose, atol=1e-8)

    def shaped(change):
        return compute_marker_kinematics(replace(subject, betas=subject.betas + change[0]), pose).joints

    by_shape = central_differences(shaped, 1, subject.reduced_body.num_betas)
    assert min(by_pose.abs().max(), by_shape.abs().max()) > 0.02
    np.testing.assert_allclose(joint_shape_jacobian(subject, kinematics), by_shape, atol=1e-8)


@TREES
def test_orientation_jacobian(tmp_path, hinges):
    _, subject, pose = case(tmp_path, hinges)
    T, D = pose.num_frames, 3 * subject.reduced_body.num_joints + 3
    at, kinematics = step_function(subject, pose), compute_marker_kinematics(subject, pose)

    def turned(step):
        return matrix_to_axis_angle(kinematics.world.mT @ compute_marker_kinematics(subject, at(step)).world).flatten(1)

    expected = central_differences(turned, T, D)
    np.testing.assert_allclose(orientation_jacobian(subject, kinematics), expected, atol=1e-7)


@TREES
def test_blended_rotations_are_the_jacobian_of_the_offsets(tmp_path, hinges):
    """A marker moves by ``blended_rotations`` times the change of its own offset, and not with other offsets."""
    _, subject, pose = case(tmp_path, hinges, frames=2, markers=5)
    M = subject.reduced_body.num_markers

    def markers_at(change):
        return compute_marker_kinematics(replace(subject, offset=subject.offset + change[0].view(M, 3)), pose).markers

    change = central_differences(markers_at, 1, 3 * M).unflatten(-1, (M, 3))
    rotations = compute_marker_kinematics(subject, pose).blended_rotations
    for m in range(M):
        np.testing.assert_allclose(change[:, m, :, m], rotations[:, m], atol=1e-8)
        change[:, m, :, m] = 0
    assert change.abs().max() < 1e-9


# --- terms -----------------------------------------------------------------------------------------------------------


def test_huber():
    distance = torch.linspace(0, 0.05, 101, dtype=torch.float64)
    value, weight = huber(distance, 0.01)
    for d, v, w in zip(distance.tolist(), value.tolist(), weight.tolist(), strict=True):
        assert v == pytest.approx(0.5 * d * d if d <= 0.01 else 0.01 * d - 0.5 * 0.01**2, abs=1e-15)
        assert w == pytest.approx(1 if d <= 0.01 else 0.01 / d)
    ahead, behind = huber(distance[1:] + 1e-7, 0.01)[0], huber(distance[1:] - 1e-7, 0.01)[0]
    np.testing.assert_allclose((ahead - behind) / 2e-7, weight[1:] * distance[1:], atol=1e-7)


def test_marker_terms_ignore_markers_that_are_not_visible():
    rng = np.random.default_rng(0)
    virtual, observed = torch.tensor(rng.normal(0, 0.02, (2, 2, 4, 3)))
    visible = torch.tensor([[True, False, True, True], [False, False, True, False]])
    observed[~visible] = torch.nan
    cost, residual, weight = marker_terms(virtual, observed, visible, 0.006, 0.01)
    for t in range(2):
        expected = 0.0
        for m in range(4):
            if not visible[t, m]:
                assert weight[t, m] == 0
                assert residual[t, m].abs().max() == 0
                continue
            d = float((virtual[t, m] - observed[t, m]).norm())
            expected += (0.5 * d * d if d < 0.01 else 0.01 * (d - 0.005)) / 0.006**2
            assert float(weight[t, m]) == pytest.approx(min(1, 0.01 / d) / 0.006**2)
        assert float(cost[t]) == pytest.approx(expected)


def test_limit_violation():
    angles = torch.tensor([[[-1.0, 0.2, 1.5]]])
    lower, upper = torch.tensor([-0.4, 0.0, -torch.inf]), torch.tensor([0.4, 0.5, 1.0])
    beyond, precision = limit_violation(angles, lower, upper, 9.0)
    np.testing.assert_allclose(beyond, [[[-0.6, 0.0, 0.5]]], atol=1e-6)
    assert precision.tolist() == [[[9.0, 0.0, 9.0]]]


def terms_of(which, body, subject, frames):
    """Return a prior with one of its terms alone, and soft targets."""
    whole = prior_of(body, subject, narrow_bounds(body) if which in ("limits", "hinge angles") else None)
    free = torch.full_like(whole.lower, -torch.inf)
    silent = replace(whole, precision=torch.zeros_like(whole.precision), lower=free, upper=-free)
    if subject.reduced_body.hinges is not None:
        silent = replace(silent, angle_lower=free, angle_upper=-free)
    if which == "pose prior":
        return replace(silent, precision=whole.precision), ()
    if which == "limits":
        return replace(silent, lower=whole.lower.clamp(min=-0.2), upper=whole.upper.clamp(max=0.2)), ()
    if which == "hinge angles":
        return replace(silent, angle_lower=whole.angle_lower, angle_upper=whole.angle_upper), ()
    return silent, (target_of(body, subject, frames), target_of(body, subject, frames, seed=10))


@TREES
@pytest.mark.parametrize("which", ["pose prior", "limits", "hinge angles", "soft targets"])
def test_joint_terms_gradient(tmp_path, hinges, which):
    if which == "hinge angles" and not hinges:
        pytest.skip("the free tree has no hinge angles")
    body, subject, pose = case(tmp_path, hinges, spread=0.4)
    T, J = pose.rotations.shape[:2]
    prior, targets = terms_of(which, body, subject, T)
    at = step_function(subject, pose)

    def cost(step):
        there = at(step)
        return joint_terms(there, compute_marker_kinematics(subject, there), prior, targets).cost

    found = joint_terms(pose, compute_marker_kinematics(subject, pose), prior, targets)
    expected = central_differences(cost, T, 3 * J + 3)
    scale = float(expected.abs().max())
    assert scale > 1
    np.testing.assert_allclose(found.gradient.flatten(1), expected[:, : 3 * J], atol=1e-6 * scale)
    assert expected[:, 3 * J :].abs().max() < 1e-6 * scale


@TREES
def test_joint_terms_cost_and_curvature(tmp_path, hinges):
    """Against residuals built joint by joint: the cost is half their squares, the curvature Jᵀ·J."""
    body, subject, pose = case(tmp_path, hinges, frames=2, spread=0.4)
    T, J = pose.rotations.shape[:2]
    bounds = narrow_bounds(body)
    prior = prior_of(body, subject, bounds)
    target = target_of(body, subject, T)

    def residuals(there):
        rows = []
        limit = np.sqrt(prior.limit_precision)
        for t in range(T):
            for j in range(J):
                R = Rotation.from_matrix(there.rotations[t, j].numpy())
                mean = Rotation.from_matrix(prior.mean[j].numpy())
                target_rotation = Rotation.from_matrix(target.rotations[t, j].numpy())
                v = R.as_rotvec()
                beyond = np.maximum(v - prior.upper[j].numpy(), 0) + np.minimum(v - prior.lower[j].numpy(), 0)
                angle = np.zeros(2)
                if there.angles is not None:
                    low, high = prior.angle_lower[j, :2].numpy(), prior.angle_upper[j, :2].numpy()
                    a = there.angles[t, j].numpy()
                    angle = np.maximum(a - high, 0) + np.minimum(a - low, 0)
                rows += [
                    *(np.sqrt(prior.precision[j].numpy()) * (R * mean.inv()).as_rotvec()),
                    *(limit * beyond),
                    *(limit * angle),
                    *(np.sqrt(float(target.rotation_precision[t, j])) * (R * target_rotation.inv()).as_rotvec()),
                ]
        return torch.tensor(rows).view(T, J, -1)

    at = step_function(subject, pose)
    equations = residuals(pose)
    found = joint_terms(pose, compute_marker_kinematics(subject, pose), prior, (target,))
    np.testing.assert_allclose(found.cost, 0.5 * (equations**2).sum((1, 2)), rtol=1e-9)
    for k in range(3):  # all joints' k-th unknowns at once: a joint's residuals depend on its own alone
        for other in range(3):
            changes = []
            for axis in (k, other):
                step = torch.zeros(T, 3 * J + 3, dtype=torch.float64)
                step[:, axis : 3 * J : 3] = H
                changes.append((residuals(at(step)) - residuals(at(-step))) / (2 * H))
            expected = (changes[0] * changes[1]).sum(-1)
            np.testing.assert_allclose(found.curvature[:, :, k, other], expected, atol=1e-3, rtol=1e-5)


@TREES
@FEATURES
def test_normal_equations_gradient(tmp_path, hinges, feature):
    body, subject, pose = case(tmp_path, hinges, feature, spread=0.4)
    observation = observe(subject, pose)
    prior = prior_of(body, subject, narrow_bounds(body, 0.3))
    targets = (target_of(body, subject, pose.num_frames),)
    at = step_function(subject, pose)

    def cost(step):
        return normal_equations(subject, at(step), observation, prior, SCALES, targets).cost

    found = normal_equations(subject, pose, observation, prior, SCALES, targets)
    expected = central_differences(cost, pose.num_frames, found.gradient.shape[1])
    np.testing.assert_allclose(found.gradient, expected, atol=1e-6 * float(expected.abs().max()))


@TREES
def test_normal_equations_curvature_is_gauss_newton(tmp_path, hinges):
    body, subject, pose = case(tmp_path, hinges, frames=2, markers=6)
    observation = observe(subject, pose)
    prior = prior_of(body, subject)
    target = target_of(body, subject, pose.num_frames)
    found = normal_equations(subject, pose, observation, prior, SCALES, (target,))
    joints = joint_terms(pose, found.kinematics, prior, (target,))
    J, M = subject.reduced_body.num_joints, subject.reduced_body.num_markers
    for t in range(2):
        expected = np.zeros((3 * J + 3, 3 * J + 3))
        for m in range(M):
            jacobian = found.jacobian[t, 3 * m : 3 * m + 3].numpy()
            expected += float(found.weight[t, m]) * jacobian.T @ jacobian
        for j in range(J):
            expected[3 * j : 3 * j + 3, 3 * j : 3 * j + 3] += joints.curvature[t, j].numpy()
        expected[3 * J :, 3 * J :] += float(target.translation_precision[t]) * np.eye(3)
        np.testing.assert_allclose(found.curvature[t], expected, rtol=1e-9, atol=1e-6)


# --- calibration step ------------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["free_tree", "hinge_tree"])
def calibration_case(request, tmp_path):
    """Five frames of two trials of a subject with seven markers."""
    body, subject, pose = case(tmp_path, request.param, frames=5, markers=7, spread=0.3)
    trial_index = torch.tensor([0, 1, 1, 0, 1])
    rng = np.random.default_rng(4)
    own = torch.tensor(rng.normal(0, 0.01, (2, 7, 3)))
    offsets = MarkerOffsets(own.mean(0) + 0.003, own)
    subject = SubjectModel(subject.reduced_body, subject.betas, own[trial_index])
    return body, subject, pose, trial_index, offsets, prior_of(body, subject)


def dense_step(subject, equations, offsets, trial_index, precision, frame_weights, floor=1e-6):
    """Return the undamped step of all parameters: poses, trials' offsets, shape, the subject's offsets."""
    N, M = equations.weight.shape
    D, B, R = equations.gradient.shape[1], subject.reduced_body.num_betas, len(offsets.trials)
    first = {"pose": 0, "own": N * D, "shape": N * D + 3 * M * R, "subject": N * D + 3 * M * R + B}
    size = first["subject"] + 3 * M
    H_, g = np.zeros((size, size)), np.zeros(size)
    by_shape = shape_jacobian(subject, equations.kinematics).numpy()
    for n in range(N):
        frame_weight = float(frame_weights[n])
        own_pose = slice(n * D, n * D + D)
        priors = equations.curvature[n].numpy().copy()  # the part that does not come from the markers
        for m in range(M):
            rows = np.zeros((3, size))
            jacobian = equations.jacobian[n, 3 * m : 3 * m + 3].numpy()
            rows[:, own_pose] = jacobian
            start = first["own"] + 3 * M * int(trial_index[n]) + 3 * m
            rows[:, start : start + 3] = equations.kinematics.blended_rotations[n, m].numpy()
            rows[:, first["shape"] : first["shape"] + B] = by_shape[n, m]
            weight = float(equations.weight[n, m])
            H_ += frame_weight * weight * rows.T @ rows
            g += frame_weight * weight * rows.T @ equations.residual[n, m].numpy()
            priors -= weight * jacobian.T @ jacobian
            g[own_pose] -= frame_weight * weight * jacobian.T @ equations.residual[n, m].numpy()
        g[own_pose] += frame_weight * equations.gradient[n].numpy()
        H_[own_pose, own_pose] += frame_weight * priors
        H_[own_pose, own_pose] += frame_weight * floor * float(equations.curvature[n].diagonal().max()) * np.eye(D)
    shape = slice(first["shape"], first["shape"] + B)
    H_[shape, shape] += np.eye(B) / SCALES.shape**2
    g[shape] += subject.betas.numpy() / SCALES.shape**2
    for r in range(R):
        for m in range(M):
            mine = slice(first["own"] + 3 * (M * r + m), first["own"] + 3 * (M * r + m) + 3)
            yours = slice(first["subject"] + 3 * m, first["subject"] + 3 * m + 3)
            difference = (offsets.trials[r, m] - offsets.subject[m]).numpy()
            c, sigma = SCALES.replaced_m, SCALES.same_session_m
            coupling = 1 / sigma**2 / (1 + difference @ difference / c**2)
            H_[mine, mine] += precision[m].numpy() + coupling * np.eye(3)
            H_[yours, yours] += coupling * np.eye(3)
            H_[mine, yours] -= coupling * np.eye(3)
            H_[yours, mine] -= coupling * np.eye(3)
            g[mine] += precision[m].numpy() @ offsets.trials[r, m].numpy() + coupling * difference
            g[yours] -= coupling * difference
    step = -np.linalg.solve(H_, g)
    return (
        step[shape],
        step[first["subject"] :].reshape(M, 3),
        step[first["own"] : first["shape"]].reshape(R, M, 3),
        step[: first["own"]].reshape(N, D),
        g,
    )


def calibration_problem(subject, trial_index, prior, observation, kinds, frame_weight, scales=SCALES):
    precision = offset_precision(subject.reduced_body, kinds, scales)
    scales = replace(scales, calibration_frames_worth=frame_weight * len(trial_index) / 2)
    return CalibrationProblem(subject.reduced_body, observation, trial_index, prior, kinds, precision, scales)


def test_calibration_step_is_that_of_the_dense_system(calibration_case):
    _, subject, pose, trial_index, offsets, prior = calibration_case
    observation = observe(subject, pose)
    equations = normal_equations(subject, pose, observation, prior, SCALES)
    kinds = ("anatomical", "technical") * 3 + ("anatomical",)
    problem = calibration_problem(subject, trial_index, prior, observation, kinds, 0.4)
    precision = problem.precision
    shape_step, offset_step, pose_step = _calibration_step(problem, subject, equations, offsets, 0.0, torch.float64)
    betas, common, own, poses, _ = dense_step(subject, equations, offsets, trial_index, precision, problem.frame_weight)
    np.testing.assert_allclose(shape_step, betas, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(offset_step.subject, common, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(offset_step.trials, own, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(pose_step, poses, rtol=1e-5, atol=1e-7)
    fast, _, _ = _calibration_step(problem, subject, equations, offsets, 0.0)  # in single precision
    np.testing.assert_allclose(fast, betas, atol=1e-3 * np.abs(betas).max())


def test_frames_with_rarely_visible_markers_weigh_more(calibration_case):
    _, subject, pose, trial_index, _, prior = calibration_case
    observation = observe(subject, pose, hidden_fraction=0.0)

    def weights(visible, worth):
        observed = replace(observation, visible=visible)
        return calibration_problem(subject, trial_index, prior, observed, ("anatomical",) * 7, worth).frame_weight

    np.testing.assert_allclose(weights(observation.visible, 0.4), 0.4)
    visible = observation.visible.clone()
    visible[[1, 2], 3] = False  # of the three frames of trial 1, frame 4 alone shows marker 3
    np.testing.assert_allclose(weights(visible, 0.4), 0.4 * np.array([1, 1, 1, 1, (6 + 3) / 7]))
    np.testing.assert_allclose(weights(visible, 0.9), [0.9, 0.9, 0.9, 0.9, 1.0])


def test_damped_calibration_step_decreases_cost(calibration_case):
    _, subject, pose, trial_index, offsets, prior = calibration_case
    observation = observe(subject, pose)
    equations = normal_equations(subject, pose, observation, prior, SCALES)
    problem = calibration_problem(subject, trial_index, prior, observation, ("anatomical",) * 7, 0.4)
    gradient = dense_step(subject, equations, offsets, trial_index, problem.precision, problem.frame_weight)[-1]
    lengths = []
    for damping in (0.0, 0.01, 1.0, 100.0):
        shape_step, offset_step, pose_step = _calibration_step(problem, subject, equations, offsets, damping)
        parts = (pose_step.flatten(), offset_step.trials.flatten(), shape_step, offset_step.subject.flatten())
        step = torch.cat(parts).numpy()
        assert step @ gradient < 0
        lengths.append(np.linalg.norm(step))
    assert lengths == sorted(lengths, reverse=True)


def test_offset_coupling_terms(calibration_case):
    offsets = calibration_case[4]
    cost, weight = offset_coupling_terms(offsets, SCALES)
    expected = 0.0
    for r in range(2):
        for m in range(7):
            square = float(((offsets.trials[r, m] - offsets.subject[m]) ** 2).sum()) / SCALES.replaced_m**2
            expected += 0.5 * (SCALES.replaced_m / SCALES.same_session_m) ** 2 * np.log(1 + square)
    assert float(cost) == pytest.approx(expected)

    def coupling_cost(change):
        moved = MarkerOffsets(offsets.subject, offsets.trials + change.view(2, 7, 3))
        return offset_coupling_terms(moved, SCALES)[0]

    gradient = central_differences(coupling_cost, 1, 42).view(2, 7, 3)
    np.testing.assert_allclose(
        weight[..., None] * (offsets.trials - offsets.subject), gradient, atol=1e-6 * float(gradient.abs().max())
    )


def test_calibrate_ends_where_the_gradient_is_zero(calibration_case):
    """After convergence no change of shape, offsets or poses lowers the objective."""
    _, subject, pose, trial_index, _, prior = calibration_case
    observation = observe(subject, pose, hidden_fraction=0.0)
    quadratic = replace(SCALES, marker_robust_m=10.0)
    problem = calibration_problem(subject, trial_index, prior, observation, ("anatomical",) * 7, 1.0, quadratic)
    solved = calibrate(problem, subject.betas, pose, max_iterations=300, tolerance=0)
    again = SubjectModel(subject.reduced_body, solved.betas, solved.marker_offsets.trials[trial_index])
    equations = normal_equations(again, solved.pose, observation, prior, quadratic)
    shape_step, offset_step, pose_step = _calibration_step(
        problem, again, equations, solved.marker_offsets, 0.0, torch.float64
    )
    assert shape_step.abs().max() < 1e-3
    assert offset_step.trials.abs().max() < 1e-5
    assert pose_step.abs().max() < 3e-3  # the steps of ``calibrate`` are computed in single precision
    start = normal_equations(subject, pose, observation, prior, quadratic).cost.sum()
    assert float(solved.linearization[1].cost.sum()) < float(start)


def test_offset_precision_by_kind_of_marker(tmp_path):
    """Technical markers have a spread along the segment, around it and off the skin; anatomical ones are isotropic."""
    body = random_body(tmp_path)
    layout = random_layout(body, 6)
    reduced_body = random_subject(body, layout).reduced_body
    precision = offset_precision(reduced_body, layout.kinds, SCALES)
    for m, kind in enumerate(layout.kinds):
        spread = np.sort(1 / np.sqrt(np.linalg.eigvalsh(precision[m].numpy())))
        if kind == "anatomical":
            np.testing.assert_allclose(spread, [SCALES.anatomical_offset_m] * 3)
            continue
        expected = [SCALES.technical_off_skin_m, SCALES.technical_around_m, SCALES.technical_along_m]
        np.testing.assert_allclose(spread, np.sort(expected))
        normal = reduced_body.normal[m]
        assert float(normal @ precision[m] @ normal) == pytest.approx(1 / SCALES.technical_off_skin_m**2)


def test_pose_jacobian_is_zero_in_the_unused_parameters_of_hinge_joints(tmp_path):
    _, subject, pose = case(tmp_path, hinges=True)
    hinges = subject.reduced_body.hinges
    jacobian = pose_jacobian(subject, compute_marker_kinematics(subject, pose)).unflatten(-1, (-1, 3))[:, :, :-1]
    single, double = hinges.hinged & ~hinges.double, hinges.double
    assert single.any()
    assert double.any()
    assert jacobian[:, :, single, 1:].abs().max() == 0
    assert jacobian[:, :, double, 2].abs().max() == 0
