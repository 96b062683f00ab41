"""Test the compiled solver against the objective in double precision, and against the solver of torch."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import apply_step
from gait.fitting.marker_kinematics import compute_marker_kinematics
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver import native
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.block_solver import damped_step
from gait.fitting.solver.frame_data import ObservedMarkers, SolverOptions
from gait.fitting.solver.levenberg_marquardt import solve_poses
from gait.fitting.solver.pose_solver import PoseSolver
from tests.fitting.test_batched_normal_equations import dense, parameter_indices
from tests.fitting.test_jacobians import FEATURES, TREES, case, narrow_bounds, observe, prior_of, target_of
from tests.helpers.paths import REPOSITORY

SCALES = ResidualScales(marker_m=0.006, limit_rad=0.03)
"""Of all problems here: the tolerances are rounding errors of markers relative to terms with these scales."""

compiled = pytest.mark.skipif(
    native.load_library() is None, reason="the compiled solver was not built: python setup.py build_ext --inplace"
)


@pytest.fixture
def problem(tmp_path):
    """Return a function that makes a subject, poses, observed markers, a prior with narrow limits, and a target."""

    def make(hinges, feature=None, frames=21, markers=30):
        body, subject, pose = case(tmp_path, hinges, feature, frames, markers, spread=0.4)
        prior = prior_of(body, subject, narrow_bounds(body, 0.3))
        return subject, pose, observe(subject, pose), prior, (target_of(body, subject, frames),)

    return make


def assert_close(found, expected, tolerance):
    """Compare values that are exact to ``tolerance`` times the largest."""
    np.testing.assert_allclose(found, expected, atol=tolerance * float(np.abs(np.asarray(expected)).max()), rtol=0)


def joints_of(subject, pose):
    return compute_marker_kinematics(subject, pose).joints


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.skipif(not (REPOSITORY / ".venv/.stamp").is_file(), reason="setup.sh didn't install this checkout")
def test_setup_has_built_it():
    assert native.load_library() is not None


@compiled
def test_it_is_not_used_where_its_source_has_changed(tmp_path, monkeypatch):
    other = tmp_path / "native_solver.c"
    other.write_bytes(native.SOURCE.read_bytes() + b"\n")
    for source, built in ((native.SOURCE, True), (other, False), (tmp_path / "of_a_wheel.c", True)):
        monkeypatch.setattr(native, "SOURCE", source)
        assert (native.load_library.__wrapped__() is not None) == built


@compiled
@TREES
@FEATURES
def test_objective_and_derivatives_are_exact(problem, hinges, feature):
    subject, pose, observation, prior, targets = problem(hinges, feature)
    options = SolverOptions(damping=0.02)
    found = native.NativeSolver(subject, prior, SCALES).linearize(pose, observation, targets, options)
    exact = normal_equations(subject, pose, observation, prior, SCALES, targets)
    np.testing.assert_allclose(found.cost, exact.cost, rtol=1e-6)
    assert_close(found.gradient, exact.gradient, 2e-6)
    torch_form = BatchedNormalEquations(subject, prior, SCALES, torch.float64)
    data = torch_form.frame_data(observation, targets)
    expected = torch_form.linearize(torch_form.to_internal(pose, data), data)
    assert_close(found.curvature, dense(expected.equations, torch_form.blocks)[1], 1e-6)
    step, _ = damped_step(expected.equations, torch.full_like(expected.cost, options.damping))
    limb, trunk = parameter_indices(torch_form.blocks)
    assert_close(found.step[:, trunk], step.trunk, 1e-4)
    for g, rows in enumerate(limb):
        there = rows >= 0
        assert_close(found.step[:, rows[there]], step.limb[:, g, there], 1e-4)
    np.testing.assert_allclose(found.gain, step.gain, rtol=1e-4)


@compiled
@TREES
@FEATURES
def test_markers_and_joints_are_exact(problem, hinges, feature):
    subject, pose, _, prior, _ = problem(hinges, feature)
    markers, joints = native.NativeSolver(subject, prior, SCALES).markers_and_joints(pose)
    expected = compute_marker_kinematics(subject, pose)
    np.testing.assert_allclose(markers, expected.markers, atol=1e-12 if feature is None else 1e-8)
    np.testing.assert_allclose(joints, expected.joints, atol=1e-12)


@compiled
@TREES
@pytest.mark.parametrize(
    ("reuse", "feature"), [(False, None), (True, None), (True, PoseFeature.QUATERNION), (True, PoseFeature.MATRIX)]
)
def test_it_solves_as_torch_does(problem, hinges, reuse, feature):
    """From 0.1 rad away; one frame has no markers."""
    subject, pose, observation, prior, (target,) = problem(hinges, feature)
    observation.visible[5] = False
    targets = (replace(target, rotations=pose.rotations, translation=pose.translation),)
    away = 0.1 * torch.randn(len(pose.rotations), 69, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    start = apply_step(pose, compute_marker_kinematics(subject, pose).parent_world, away, subject.reduced_body.hinges)
    options = SolverOptions(tolerance=1e-3, reuse_factors=reuse, marker_curvature=True)
    found = native.NativeSolver(subject, prior, SCALES).solve(start, observation, targets, options)
    expected = solve_poses(BatchedNormalEquations(subject, prior, SCALES), start, observation, targets, options)
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-4)
    same = found.iterations == expected.iterations  # rounding may decide whether a frame takes one more step
    assert same.double().mean() > 0.8
    distance = (joints_of(subject, found.pose) - joints_of(subject, expected.pose)).norm(dim=-1)[same]
    assert distance.median() < 1e-6
    assert distance.max() < 1e-4
    assert_close(found.start_curvature, expected.start_curvature, 5e-6)
    if hinges:
        np.testing.assert_allclose(found.pose.angles, expected.pose.angles, atol=1e-4)
        kinds = subject.reduced_body.hinges
        rotations = torch.where(kinds.hinged[:, None, None], kinds.rotations(found.pose.angles), found.pose.rotations)
        np.testing.assert_allclose(rotations, found.pose.rotations, atol=1e-12)


@compiled
@pytest.mark.parametrize("limit", [1, 2, 3], ids="{}_steps".format)
@pytest.mark.parametrize("reuse", [False, True], ids=["each_factor", "reused_factors"])
def test_it_takes_the_same_steps_as_torch(problem, limit, reuse):
    subject, pose, observation, prior, _ = problem(False)
    options = SolverOptions(max_iterations=limit, reuse_factors=reuse, tolerance=0.05)
    found = native.NativeSolver(subject, prior, SCALES).solve(pose, observation, (), options)
    expected = solve_poses(BatchedNormalEquations(subject, prior, SCALES), pose, observation, (), options)
    assert found.iterations.tolist() == expected.iterations.tolist()
    np.testing.assert_allclose(found.cost, expected.cost, rtol=1e-4)
    assert (joints_of(subject, found.pose) - joints_of(subject, expected.pose)).norm(dim=-1).max() < 2e-5


@compiled
def test_a_frame_has_the_same_bits_in_any_company(problem):
    subject, pose, observation, prior, targets = problem(True)
    solver = native.NativeSolver(subject, prior, SCALES)
    together = solver.solve(pose, observation, targets, SolverOptions())
    order = torch.tensor(np.random.default_rng(0).permutation(pose.num_frames))
    for rows in (order, order[:5], order[:1]):
        found = solver.solve(pose[rows], observation[rows], [target[rows] for target in targets], SolverOptions())
        for name in ("rotations", "translation", "angles"):
            assert torch.equal(getattr(found.pose, name), getattr(together.pose, name)[rows])
        assert torch.equal(found.cost, together.cost[rows])
        assert torch.equal(found.iterations, together.iterations[rows])


@compiled
def test_it_ignores_the_positions_of_markers_that_are_not_visible(problem):
    subject, pose, observation, prior, _ = problem(False)
    unknown = torch.where(observation.visible[..., None], observation.markers, torch.nan)
    solver = native.NativeSolver(subject, prior, SCALES)
    expected = solver.solve(pose, observation, (), SolverOptions())
    found = solver.solve(pose, ObservedMarkers(unknown, observation.visible), (), SolverOptions())
    assert torch.equal(found.pose.rotations, expected.pose.rotations)


def test_torch_solves_where_the_solver_was_not_compiled(problem, monkeypatch):
    subject, pose, observation, prior, _ = problem(False, frames=2)
    assert PoseSolver(subject, prior, SCALES).kind == ("torch" if native.load_library() is None else "native")
    monkeypatch.setattr(native, "load_library", lambda: None)
    solver = PoseSolver(subject, prior, SCALES)
    assert solver.kind == "torch"
    found = solver.solve(pose, observation)
    expected = solve_poses(BatchedNormalEquations(subject, prior, SCALES), pose, observation)
    assert torch.equal(found.pose.rotations, expected.pose.rotations)
