"""Every derivative of the fit against central differences, and the eliminated step against a dense solution."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.constraints_file import AngleBounds
from gait.body.pose_prior import natural_pose_prior
from gait.body.rotations import PoseFeature, inverse_left_jacobian, left_jacobian
from gait.fitting.calibration import Placement, _person_step, calibrate, offset_precision, tie_terms
from gait.fitting.joint_parametrization import MOST_STEP_RAD, turned
from gait.fitting.marker_kinematics import (
    SubjectModel,
    joint_pose_jacobian,
    joint_shape_jacobian,
    marker_motion,
    pose_jacobian,
    shape_jacobian,
)
from gait.fitting.objective_terms import SoftPoseTarget, excess, huber, joint_prior, joint_terms, marker_terms
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from tests.helpers.fitting_cases import random_body, random_layout, random_pose, random_wearer

H = 1e-6
WEIGHTS = ResidualScales()
TREES = pytest.mark.parametrize("hinges", [False, True], ids=["free_tree", "hinge_tree"])
FEATURES = pytest.mark.parametrize("feature", [None, *PoseFeature], ids=["plain", "quaternions", "matrices"])


def case(folder, hinges=False, feature=PoseFeature.QUATERNION, frames=3, markers=12, spread=0.6):
    """A body with pose-corrective blend shapes of this kind, or None, who wears it, and a pose of it."""
    body = random_body(folder, hinges=hinges, feature=feature)
    wearer = random_wearer(body, random_layout(body, markers))
    return body, wearer, random_pose(body, wearer.skin, frames, spread=spread)


def stepped(wearer, pose):
    """A function of the solver's step (T, D) that gives the pose turned by it."""
    parent_world = marker_motion(wearer, pose).parent_world
    return lambda step: turned(pose, parent_world, step, wearer.skin.hinges)


def by_differences(function, frames, unknowns):
    """Change (T, ..., D) of what a function of steps (T, D) gives, by central differences at zero."""
    columns = []
    for d in range(unknowns):
        step = torch.zeros(frames, unknowns, dtype=torch.float64)
        step[:, d] = H
        columns.append((function(step) - function(-step)) / (2 * H))
    return torch.stack(columns, dim=-1)


def observation_of(wearer, pose, seed=0, unseen=0.2):
    """Markers that are some mm to some cm away from the wearer's, some of them unseen."""
    rng = np.random.default_rng([seed, 7])
    markers = marker_motion(wearer, pose).markers.numpy()
    distance = rng.choice([0.004, 0.05], markers.shape[:2])
    apart = rng.normal(size=markers.shape)
    apart *= distance[..., None] / np.linalg.norm(apart, axis=-1, keepdims=True)
    seen = rng.random(markers.shape[:2]) > unseen
    return ObservedMarkers(torch.tensor(np.where(seen[..., None], markers + apart, 0.0)), torch.tensor(seen))


def leaning_of(body, wearer, frames, seed=9):
    other = random_pose(body, wearer.skin, frames, seed)
    rng = np.random.default_rng(seed)
    precision = torch.tensor(rng.uniform(0, 400, other.rotations.shape[:2]))
    return SoftPoseTarget(other.rotations, other.translation, precision, torch.tensor(rng.uniform(0, 1e4, frames)))


def prior_of(body, wearer, bounds=None):
    return joint_prior(natural_pose_prior(), WEIGHTS, bounds=bounds, body=body, hinges=wearer.skin.hinges)


def narrow_bounds(body, half_width=0.2):
    """Every pose number of the body bounded, so that about as many are beyond as within."""
    numbers = np.flatnonzero((body.pose_joint.numpy() >= 0) & (body.pose_joint.numpy() < 22))
    return AngleBounds(numbers, np.full(len(numbers), -half_width), np.full(len(numbers), half_width))


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
    np.testing.assert_allclose(found @ left_jacobian(torch.tensor(v)), np.eye(3), atol=1e-9)


@TREES
def test_a_step_turns_each_joint_about_world_axes_and_shifts_the_body(tmp_path, hinges):
    _, wearer, pose = case(tmp_path, hinges)
    J = wearer.skin.num_joints
    motion = marker_motion(wearer, pose)
    step = 0.3 * torch.randn(3, 3 * J + 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    there = turned(pose, motion.parent_world, step, wearer.skin.hinges)
    np.testing.assert_allclose(there.translation - pose.translation, step[:, 3 * J :], atol=1e-12)
    hinged = wearer.skin.hinges.hinged.numpy() if hinges else np.zeros(J, dtype=bool)
    assert (hinged.any() and not hinged.all()) if hinges else not hinged.any()
    for t in range(3):
        for j in np.flatnonzero(~hinged):
            turn = step[t, 3 * j : 3 * j + 3].numpy()
            turn = turn * min(1, MOST_STEP_RAD / np.linalg.norm(turn))
            parent = motion.parent_world[t, j].numpy()
            expected = parent.T @ Rotation.from_rotvec(turn).as_matrix() @ parent @ pose.rotations[t, j].numpy()
            np.testing.assert_allclose(there.rotations[t, j], expected, atol=1e-12)
    if hinges:
        unknowns = step[:, : 3 * J].unflatten(-1, (J, 3))
        length = unknowns.norm(dim=-1, keepdim=True)
        unknowns = unknowns * (MOST_STEP_RAD / length).clamp(max=1)
        np.testing.assert_allclose((there.angles - pose.angles)[:, hinged], unknowns[..., :2][:, hinged], atol=1e-12)


# --- markers ---------------------------------------------------------------------------------------------------------


@TREES
@FEATURES
def test_pose_jacobian(tmp_path, hinges, feature):
    _, wearer, pose = case(tmp_path, hinges, feature)
    T, D = pose.frames, 3 * wearer.skin.num_joints + 3
    at = stepped(wearer, pose)
    expected = by_differences(lambda step: marker_motion(wearer, at(step)).markers.flatten(1), T, D)
    found = pose_jacobian(wearer, marker_motion(wearer, pose))
    assert expected.abs().max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-8)


@TREES
@FEATURES
def test_shape_jacobian(tmp_path, hinges, feature):
    _, wearer, pose = case(tmp_path, hinges, feature)

    def shaped(change):
        return marker_motion(replace(wearer, betas=wearer.betas + change[0]), pose).markers

    expected = by_differences(shaped, 1, wearer.skin.num_betas)
    assert expected.abs().max() > 0.02
    np.testing.assert_allclose(shape_jacobian(wearer, marker_motion(wearer, pose)), expected, atol=1e-8)


@TREES
def test_joints_change_with_pose_and_shape(tmp_path, hinges):
    _, wearer, pose = case(tmp_path, hinges)
    T, D = pose.frames, 3 * wearer.skin.num_joints + 3
    at, motion = stepped(wearer, pose), marker_motion(wearer, pose)
    by_pose = by_differences(lambda step: marker_motion(wearer, at(step)).joints.flatten(1), T, D)
    np.testing.assert_allclose(joint_pose_jacobian(wearer, motion), by_pose, atol=1e-8)

    def shaped(change):
        return marker_motion(replace(wearer, betas=wearer.betas + change[0]), pose).joints

    by_shape = by_differences(shaped, 1, wearer.skin.num_betas)
    assert min(by_pose.abs().max(), by_shape.abs().max()) > 0.02
    np.testing.assert_allclose(joint_shape_jacobian(wearer, motion), by_shape, atol=1e-8)


@TREES
def test_change_with_the_offsets(tmp_path, hinges):
    """A marker moves with its own offset by ``mixed``, and with no other's."""
    _, wearer, pose = case(tmp_path, hinges, frames=2, markers=5)
    M = wearer.skin.num_markers

    def placed(change):
        return marker_motion(replace(wearer, offset=wearer.offset + change[0].view(M, 3)), pose).markers

    change = by_differences(placed, 1, 3 * M).unflatten(-1, (M, 3))
    mixed = marker_motion(wearer, pose).mixed
    for m in range(M):
        np.testing.assert_allclose(change[:, m, :, m], mixed[:, m], atol=1e-8)
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


def test_marker_terms_count_seen_markers_alone():
    rng = np.random.default_rng(0)
    virtual, observed = torch.tensor(rng.normal(0, 0.02, (2, 2, 4, 3)))
    seen = torch.tensor([[True, False, True, True], [False, False, True, False]])
    observed[~seen] = torch.nan
    cost, residual, weight = marker_terms(virtual, observed, seen, 0.006, 0.01)
    for t in range(2):
        expected = 0.0
        for m in range(4):
            if not seen[t, m]:
                assert weight[t, m] == 0
                assert residual[t, m].abs().max() == 0
                continue
            d = float((virtual[t, m] - observed[t, m]).norm())
            expected += (0.5 * d * d if d < 0.01 else 0.01 * (d - 0.005)) / 0.006**2
            assert float(weight[t, m]) == pytest.approx(min(1, 0.01 / d) / 0.006**2)
        assert float(cost[t]) == pytest.approx(expected)


def test_excess_beyond_bounds():
    angles = torch.tensor([[[-1.0, 0.2, 1.5]]])
    lower, upper = torch.tensor([-0.4, 0.0, -torch.inf]), torch.tensor([0.4, 0.5, 1.0])
    beyond, precision = excess(angles, lower, upper, 9.0)
    np.testing.assert_allclose(beyond, [[[-0.6, 0.0, 0.5]]], atol=1e-6)
    assert precision.tolist() == [[[9.0, 0.0, 9.0]]]


def terms_of(which, body, wearer, frames):
    """A prior with one of its terms alone, and what to lean on."""
    whole = prior_of(body, wearer, narrow_bounds(body) if which in ("limits", "hinge angles") else None)
    free = torch.full_like(whole.lower, -torch.inf)
    silent = replace(whole, precision=torch.zeros_like(whole.precision), lower=free, upper=-free)
    if wearer.skin.hinges is not None:
        silent = replace(silent, angle_lower=free, angle_upper=-free)
    if which == "natural pose":
        return replace(silent, precision=whole.precision), ()
    if which == "limits":
        return replace(silent, lower=whole.lower.clamp(min=-0.2), upper=whole.upper.clamp(max=0.2)), ()
    if which == "hinge angles":
        return replace(silent, angle_lower=whole.angle_lower, angle_upper=whole.angle_upper), ()
    return silent, (leaning_of(body, wearer, frames), leaning_of(body, wearer, frames, seed=10))


@TREES
@pytest.mark.parametrize("which", ["natural pose", "limits", "hinge angles", "leanings"])
def test_gradients_of_the_joints_terms(tmp_path, hinges, which):
    if which == "hinge angles" and not hinges:
        pytest.skip("the free tree has no hinge angles")
    body, wearer, pose = case(tmp_path, hinges, spread=0.4)
    T, J = pose.rotations.shape[:2]
    prior, leanings = terms_of(which, body, wearer, T)
    at = stepped(wearer, pose)

    def cost(step):
        there = at(step)
        return joint_terms(there, marker_motion(wearer, there), prior, leanings).cost

    found = joint_terms(pose, marker_motion(wearer, pose), prior, leanings)
    expected = by_differences(cost, T, 3 * J + 3)
    scale = float(expected.abs().max())
    assert scale > 1
    np.testing.assert_allclose(found.gradient.flatten(1), expected[:, : 3 * J], atol=1e-6 * scale)
    assert expected[:, 3 * J :].abs().max() < 1e-6 * scale


@TREES
def test_cost_and_curvature_of_the_joints_terms(tmp_path, hinges):
    """Against residuals built joint by joint: the cost is half their squares, the curvature Jᵀ·J."""
    body, wearer, pose = case(tmp_path, hinges, frames=2, spread=0.4)
    T, J = pose.rotations.shape[:2]
    bounds = narrow_bounds(body)
    prior = prior_of(body, wearer, bounds)
    leaning = leaning_of(body, wearer, T)

    def residuals(there):
        rows = []
        limit = np.sqrt(prior.limit_precision)
        for t in range(T):
            for j in range(J):
                R = Rotation.from_matrix(there.rotations[t, j].numpy())
                natural = Rotation.from_matrix(prior.natural[j].numpy())
                lean = Rotation.from_matrix(leaning.rotations[t, j].numpy())
                v = R.as_rotvec()
                beyond = np.maximum(v - prior.upper[j].numpy(), 0) + np.minimum(v - prior.lower[j].numpy(), 0)
                angle = np.zeros(2)
                if there.angles is not None:
                    low, high = prior.angle_lower[j, :2].numpy(), prior.angle_upper[j, :2].numpy()
                    a = there.angles[t, j].numpy()
                    angle = np.maximum(a - high, 0) + np.minimum(a - low, 0)
                rows += [
                    *(np.sqrt(prior.precision[j].numpy()) * (R * natural.inv()).as_rotvec()),
                    *(limit * beyond),
                    *(limit * angle),
                    *(np.sqrt(float(leaning.rotation_precision[t, j])) * (R * lean.inv()).as_rotvec()),
                ]
        return torch.tensor(rows).view(T, J, -1)

    at = stepped(wearer, pose)
    here = residuals(pose)
    found = joint_terms(pose, marker_motion(wearer, pose), prior, (leaning,))
    np.testing.assert_allclose(found.cost, 0.5 * (here**2).sum((1, 2)), rtol=1e-9)
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
def test_gradient_of_the_whole_objective(tmp_path, hinges, feature):
    body, wearer, pose = case(tmp_path, hinges, feature, spread=0.4)
    observation = observation_of(wearer, pose)
    prior = prior_of(body, wearer, narrow_bounds(body, 0.3))
    leanings = (leaning_of(body, wearer, pose.frames),)
    at = stepped(wearer, pose)

    def cost(step):
        return normal_equations(wearer, at(step), observation, prior, WEIGHTS, leanings).cost

    found = normal_equations(wearer, pose, observation, prior, WEIGHTS, leanings)
    expected = by_differences(cost, pose.frames, found.gradient.shape[1])
    np.testing.assert_allclose(found.gradient, expected, atol=1e-6 * float(expected.abs().max()))


@TREES
def test_curvature_is_gauss_newtons(tmp_path, hinges):
    body, wearer, pose = case(tmp_path, hinges, frames=2, markers=6)
    observation = observation_of(wearer, pose)
    prior = prior_of(body, wearer)
    leaning = leaning_of(body, wearer, pose.frames)
    found = normal_equations(wearer, pose, observation, prior, WEIGHTS, (leaning,))
    joints = joint_terms(pose, found.motion, prior, (leaning,))
    J, M = wearer.skin.num_joints, wearer.skin.num_markers
    for t in range(2):
        expected = np.zeros((3 * J + 3, 3 * J + 3))
        for m in range(M):
            jacobian = found.jacobian[t, 3 * m : 3 * m + 3].numpy()
            expected += float(found.weight[t, m]) * jacobian.T @ jacobian
        for j in range(J):
            expected[3 * j : 3 * j + 3, 3 * j : 3 * j + 3] += joints.curvature[t, j].numpy()
        expected[3 * J :, 3 * J :] += float(leaning.translation_precision[t]) * np.eye(3)
        np.testing.assert_allclose(found.curvature[t], expected, rtol=1e-9, atol=1e-6)


# --- one step for a whole person -------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["free_tree", "hinge_tree"])
def person(request, tmp_path):
    """Five frames of two recordings of somebody who wears seven markers."""
    body, wearer, pose = case(tmp_path, request.param, frames=5, markers=7, spread=0.3)
    recording = torch.tensor([0, 1, 1, 0, 1])
    rng = np.random.default_rng(4)
    own = torch.tensor(rng.normal(0, 0.01, (2, 7, 3)))
    placement = Placement(own.mean(0) + 0.003, own)
    worn = SubjectModel(wearer.skin, wearer.betas, own[recording])
    return body, worn, pose, recording, placement, prior_of(body, wearer)


def dense_step(worn, here, placement, recording, precision, worth, floor=1e-6):
    """The undamped step of all unknowns at once: poses, recordings' offsets, shape, the person's offsets."""
    N, M = here.weight.shape
    D, B, R = here.gradient.shape[1], worn.skin.num_betas, len(placement.recordings)
    first = {"pose": 0, "own": N * D, "shape": N * D + 3 * M * R, "person": N * D + 3 * M * R + B}
    size = first["person"] + 3 * M
    H_, g = np.zeros((size, size)), np.zeros(size)
    by_shape = shape_jacobian(worn, here.motion).numpy()
    for n in range(N):
        own_pose = slice(n * D, n * D + D)
        priors = here.curvature[n].numpy().copy()  # what is left of it without the markers
        for m in range(M):
            rows = np.zeros((3, size))
            jacobian = here.jacobian[n, 3 * m : 3 * m + 3].numpy()
            rows[:, own_pose] = jacobian
            start = first["own"] + 3 * M * int(recording[n]) + 3 * m
            rows[:, start : start + 3] = here.motion.mixed[n, m].numpy()
            rows[:, first["shape"] : first["shape"] + B] = by_shape[n, m]
            weight = float(here.weight[n, m])
            H_ += worth * weight * rows.T @ rows
            g += worth * weight * rows.T @ here.residual[n, m].numpy()
            priors -= weight * jacobian.T @ jacobian
            g[own_pose] -= worth * weight * jacobian.T @ here.residual[n, m].numpy()
        g[own_pose] += worth * here.gradient[n].numpy()
        H_[own_pose, own_pose] += worth * priors
        H_[own_pose, own_pose] += worth * floor * float(here.curvature[n].diagonal().max()) * np.eye(D)
    shape = slice(first["shape"], first["shape"] + B)
    H_[shape, shape] += np.eye(B) / WEIGHTS.shape**2
    g[shape] += worn.betas.numpy() / WEIGHTS.shape**2
    for r in range(R):
        for m in range(M):
            mine = slice(first["own"] + 3 * (M * r + m), first["own"] + 3 * (M * r + m) + 3)
            yours = slice(first["person"] + 3 * m, first["person"] + 3 * m + 3)
            apart = (placement.recordings[r, m] - placement.person[m]).numpy()
            c, sigma = WEIGHTS.replaced_m, WEIGHTS.same_session_m
            bond = 1 / sigma**2 / (1 + apart @ apart / c**2)
            H_[mine, mine] += precision[m].numpy() + bond * np.eye(3)
            H_[yours, yours] += bond * np.eye(3)
            H_[mine, yours] -= bond * np.eye(3)
            H_[yours, mine] -= bond * np.eye(3)
            g[mine] += precision[m].numpy() @ placement.recordings[r, m].numpy() + bond * apart
            g[yours] -= bond * apart
    step = -np.linalg.solve(H_, g)
    return (
        step[shape],
        step[first["person"] :].reshape(M, 3),
        step[first["own"] : first["shape"]].reshape(R, M, 3),
        step[: first["own"]].reshape(N, D),
        g,
    )


def test_the_persons_step_is_the_dense_systems(person):
    _, worn, pose, recording, placement, prior = person
    observation = observation_of(worn, pose)
    here = normal_equations(worn, pose, observation, prior, WEIGHTS)
    precision = offset_precision(worn.skin, ("anatomical", "technical") * 3 + ("anatomical",), WEIGHTS)
    found = _person_step(worn, here, placement, recording, precision, 0.4, WEIGHTS, 0.0)
    betas, persons, own, poses, _ = dense_step(worn, here, placement, recording, precision, 0.4)
    np.testing.assert_allclose(found.betas, betas, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.person, persons, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.recordings, own, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.pose, poses, rtol=1e-5, atol=1e-7)


def test_the_persons_damped_step_goes_downhill(person):
    _, worn, pose, recording, placement, prior = person
    here = normal_equations(worn, pose, observation_of(worn, pose), prior, WEIGHTS)
    precision = offset_precision(worn.skin, ("anatomical",) * 7, WEIGHTS)
    gradient = dense_step(worn, here, placement, recording, precision, 0.4)[-1]
    lengths = []
    for damping in (0.0, 0.01, 1.0, 100.0):
        found = _person_step(worn, here, placement, recording, precision, 0.4, WEIGHTS, damping)
        parts = (found.pose.flatten(), found.recordings.flatten(), found.betas, found.person.flatten())
        step = torch.cat(parts).numpy()
        assert step @ gradient < 0
        lengths.append(np.linalg.norm(step))
    assert lengths == sorted(lengths, reverse=True)


def test_cost_of_the_ties_and_its_curvature(person):
    placement = person[4]
    cost, weight = tie_terms(placement, WEIGHTS)
    expected = 0.0
    for r in range(2):
        for m in range(7):
            square = float(((placement.recordings[r, m] - placement.person[m]) ** 2).sum()) / WEIGHTS.replaced_m**2
            expected += 0.5 * (WEIGHTS.replaced_m / WEIGHTS.same_session_m) ** 2 * np.log(1 + square)
    assert float(cost) == pytest.approx(expected)

    def tied(change):
        moved = Placement(placement.person, placement.recordings + change.view(2, 7, 3))
        return tie_terms(moved, WEIGHTS)[0]

    gradient = by_differences(tied, 1, 42).view(2, 7, 3)
    np.testing.assert_allclose(
        weight[..., None] * (placement.recordings - placement.person), gradient, atol=1e-6 * float(gradient.abs().max())
    )


def test_calibration_ends_where_the_gradient_is_zero(person):
    """Solved to the end, no unknown of shape, placement or pose can be moved to a lower objective."""
    _, worn, pose, recording, _, prior = person
    observation = observation_of(worn, pose, unseen=0.0)
    quadratic = replace(WEIGHTS, marker_robust_m=10.0)
    precision = offset_precision(worn.skin, ("anatomical",) * 7, quadratic)
    solved = calibrate(
        worn.skin,
        worn.betas,
        pose,
        observation,
        recording,
        prior,
        precision,
        quadratic,
        most_iterations=300,
        tolerance=0,
    )
    again = SubjectModel(worn.skin, solved.betas, solved.placement.recordings[recording])
    here = normal_equations(again, solved.pose, observation, prior, quadratic)
    step = _person_step(again, here, solved.placement, recording, precision, 1.0, quadratic, 0.0)
    assert step.betas.abs().max() < 1e-3
    assert step.recordings.abs().max() < 1e-5
    assert step.pose.abs().max() < 1e-3
    start = normal_equations(worn, pose, observation, prior, quadratic).cost.sum()
    assert solved.cost < float(start)


def test_offsets_may_go_where_their_kind_may(tmp_path):
    """A technical marker along its segment, around it and off the skin; one on a landmark alike in all directions."""
    body = random_body(tmp_path)
    layout = random_layout(body, 6)
    skin = random_wearer(body, layout).skin
    precision = offset_precision(skin, layout.kinds, WEIGHTS)
    for m, kind in enumerate(layout.kinds):
        spread = np.sort(1 / np.sqrt(np.linalg.eigvalsh(precision[m].numpy())))
        if kind == "anatomical":
            np.testing.assert_allclose(spread, [WEIGHTS.anatomical_offset_m] * 3)
            continue
        expected = [WEIGHTS.technical_off_skin_m, WEIGHTS.technical_around_m, WEIGHTS.technical_along_m]
        np.testing.assert_allclose(spread, np.sort(expected))
        normal = skin.normal[m]
        assert float(normal @ precision[m] @ normal) == pytest.approx(1 / WEIGHTS.technical_off_skin_m**2)


def test_hinged_joints_leave_unknowns_that_they_lack_alone(tmp_path):
    """Lacking unknowns have no gradient and no curvature of markers, whatever the pose."""
    _, wearer, pose = case(tmp_path, hinges=True)
    hinges = wearer.skin.hinges
    jacobian = pose_jacobian(wearer, marker_motion(wearer, pose)).unflatten(-1, (-1, 3))[:, :, :-1]
    single, double = hinges.hinged & ~hinges.double, hinges.double
    assert single.any()
    assert double.any()
    assert jacobian[:, :, single, 1:].abs().max() == 0
    assert jacobian[:, :, double, 2].abs().max() == 0
