"""Test the pose solver on subjects with known poses, and the independence of frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_prior import default_pose_prior
from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import MAX_STEP_RAD, Pose, apply_step, neutral_pose
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics
from gait.fitting.objective_terms import build_joint_prior
from gait.fitting.reduced_body import reduce_body
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.rigid_initialization import align_rigidly, trunk_marker_weights
from gait.fitting.solver.batched_normal_equations import BatchedNormalEquations
from gait.fitting.solver.frame_data import ObservedMarkers, SolverOptions
from gait.fitting.solver.levenberg_marquardt import solve_poses
from tests.helpers.fitting_cases import (
    constrained_open_body,
    pose_of,
    random_layout,
    random_pose_parameters,
    random_subject,
    short_trial,
    true_pose,
)

SCALES = ResidualScales()
FAINT = ResidualScales(pose_prior=1e-9)
"""A prior so weak that it acts only where no marker determines the pose."""


@pytest.fixture(scope="module")
def trial(open_body):
    return short_trial(open_body, seed=2, seconds=0.6)


@pytest.fixture(scope="module")
def walking(open_body, trial):
    """Return a subject with the Plug-in Gait markers, its true poses, and error-free observed markers."""
    reduced_body = reduce_body(open_body, plug_in_gait_layout(open_body))
    subject = SubjectModel(
        reduced_body,
        torch.as_tensor(trial.ground_truth.betas).double(),
        reduced_body.marker_template.new_zeros(reduced_body.num_markers, 3),
    )
    pose = true_pose(open_body, reduced_body, trial.ground_truth)[slice(0, None, 5)]
    return subject, pose, all_visible(compute_marker_kinematics(subject, pose).markers)


@pytest.fixture(scope="module")
def prior(open_body):
    return build_joint_prior(default_pose_prior(), SCALES, body=open_body)


def all_visible(markers):
    return ObservedMarkers(markers, torch.ones(markers.shape[:2], dtype=torch.bool))


def solve(subject, start, observation, prior, scales=SCALES, dtype=torch.float32, **options):
    equations = BatchedNormalEquations(subject, prior, scales, dtype)
    return solve_poses(equations, start, observation, options=SolverOptions(**options))


def solve_from_rigid_alignment(subject, observation, prior, **options):
    start, _, determined = align_rigidly(subject, prior.mean, observation)
    assert determined.all()
    return solve(subject, start, observation, prior, **options)


def same_pose(a, b):
    return (
        torch.equal(a.rotations, b.rotations)
        and torch.equal(a.translation, b.translation)
        and (a.angles is None or torch.equal(a.angles, b.angles))
    )


# --- known poses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hinges", [False, True], ids=["free_tree", "hinge_tree"])
@pytest.mark.parametrize("feature", [None, *PoseFeature], ids=["plain", "quaternions", "matrices"])
def test_solve_poses_finds_a_known_pose(tmp_path, open_body, hinges, feature):
    """With enough markers to determine every joint, from a start some tenths of a radian away."""
    body = open_body
    if hinges:
        body = load_body(constrained_open_body(tmp_path / "constrained.npy", open_body), constrained=True)
    subject = random_subject(body, random_layout(body, 250))
    if feature is not None:
        subject = replace(subject, reduced_body=with_blend_shapes(subject.reduced_body, feature))
    truth = pose_of(body, subject.reduced_body, *random_pose_parameters(body, 4, spread=0.25))
    observation = all_visible(compute_marker_kinematics(subject, truth).markers)
    silent = build_joint_prior(default_pose_prior(), FAINT, body=body, hinges=subject.reduced_body.hinges)
    free = torch.full_like(silent.lower, torch.inf)
    silent = type(silent)(silent.mean, silent.precision, -free, free, 0.0)
    away = torch.randn(4, 69, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 0.1
    start = apply_step(truth, compute_marker_kinematics(subject, truth).parent_world, away, subject.reduced_body.hinges)
    start_error = (compute_marker_kinematics(subject, start).markers - observation.markers).norm(dim=-1)
    assert start_error.mean() > 0.05
    found = solve(subject, start, observation, silent, FAINT, torch.float64, max_iterations=200, tolerance=0)
    kinematics = compute_marker_kinematics(subject, found.pose)
    assert (kinematics.markers - observation.markers).norm(dim=-1).max() < 1e-5
    assert (kinematics.joints - compute_marker_kinematics(subject, truth).joints).norm(dim=-1).max() < 1e-4


def with_blend_shapes(reduced_body, feature):
    """Add blend shapes of about a centimetre at the joints that move a marker, and of a tenth of that elsewhere."""
    near = reduced_body.is_descendant.sum(dim=-1) > 0
    size = torch.where(near, 0.005, 0.0005)[:, None, :, None]
    noise = torch.randn(
        reduced_body.num_markers,
        3,
        reduced_body.num_joints,
        int(feature),
        generator=torch.Generator().manual_seed(5),
        dtype=size.dtype,
    )
    return replace(reduced_body, marker_posedirs=(size * noise).double())


def test_solve_poses_of_a_walking_subject_from_a_rigid_alignment(walking, prior):
    subject, truth, observation = walking
    found = solve_from_rigid_alignment(subject, observation, prior, tolerance=1e-5, max_iterations=60)
    kinematics = compute_marker_kinematics(subject, found.pose)
    residual = (kinematics.markers - observation.markers).norm(dim=-1)
    joints = (kinematics.joints - compute_marker_kinematics(subject, truth).joints).norm(dim=-1)
    assert residual.mean() < 0.001
    assert joints.mean() < 0.005
    assert joints.max() < 0.03


def test_solve_poses_is_robust_to_three_outlying_markers(walking, prior):
    subject, truth, observation = walking
    wrong = observation.markers.clone()
    wrong[:, [3, 20, 33]] += 0.5
    expected = compute_marker_kinematics(subject, truth).joints
    found = solve_from_rigid_alignment(subject, all_visible(wrong), prior)
    joints = (compute_marker_kinematics(subject, found.pose).joints - expected).norm(dim=-1)
    assert joints.mean() < 0.03
    untouched = (compute_marker_kinematics(subject, found.pose).markers - observation.markers).norm(dim=-1)
    assert untouched[:, [3, 20, 33]].mean() < 0.2, "the body stays where the other markers are"


def test_solve_poses_in_any_orientation(walking, prior, open_body):
    """Facing any direction, and lying down."""
    subject, truth, observation = walking
    for turn in ([0, np.pi, 0], [0, -2.0, 0], [np.pi / 2, 0, 0]):
        R = torch.tensor(Rotation.from_rotvec(turn).as_matrix())
        shift = torch.tensor([3.0, -0.2, 8.0], dtype=torch.float64)
        found = solve_from_rigid_alignment(subject, all_visible(observation.markers @ R.T + shift), prior)
        expected = compute_marker_kinematics(subject, truth).joints @ R.T + shift
        assert (compute_marker_kinematics(subject, found.pose).joints - expected).norm(dim=-1).mean() < 0.006


# --- rigid alignment -------------------------------------------------------------------------------------------------


def test_align_rigidly_is_exact_for_a_rigid_body(walking, prior):
    subject = walking[0]
    neutral = compute_marker_kinematics(subject, neutral_pose(prior.mean, None, 1))
    rng = np.random.default_rng(0)
    R = torch.tensor(Rotation.random(5, random_state=1).as_matrix())
    shift = torch.tensor(rng.normal(size=(5, 1, 3)))
    pose, size, determined = align_rigidly(subject, prior.mean, all_visible(1.2 * (neutral.markers @ R.mT) + shift))
    assert determined.all()
    np.testing.assert_allclose(size, 1.2, rtol=1e-9)
    pose, _, _ = align_rigidly(subject, prior.mean, all_visible(neutral.markers @ R.mT + shift))
    np.testing.assert_allclose(
        compute_marker_kinematics(subject, pose).joints, neutral.joints @ R.mT + shift, atol=1e-9
    )


def test_align_rigidly_returns_which_frames_determine_the_alignment(walking, prior):
    subject, _, observation = walking
    labels = subject.reduced_body.labels
    visible = torch.zeros(4, len(labels), dtype=torch.bool)
    visible[0] = True
    visible[1, :3] = True  # three markers
    visible[2, [labels.index(name) for name in ("LASI", "RASI", "LPSI", "RPSI")]] = True
    line = observation.markers[:4].clone()
    line[3] = torch.linspace(0, 1, len(labels), dtype=torch.float64)[:, None] * torch.tensor([1.0, 2.0, 0.5])
    visible[3] = True
    _, _, determined = align_rigidly(
        subject, prior.mean, ObservedMarkers(torch.where(visible[..., None], line, 0.0), visible)
    )
    assert determined.tolist() == [True, False, True, False]


def test_trunk_marker_weights(walking):
    subject = walking[0]
    weight = dict(zip(subject.reduced_body.labels, trunk_marker_weights(subject).tolist(), strict=True))
    assert min(weight[name] for name in ("LASI", "RASI", "LPSI", "RPSI", "C7", "T10", "CLAV", "STRN")) > 0.5
    assert max(weight[name] for name in ("LTOE", "RTOE", "LFIN", "RFIN", "LANK", "RTIB", "LWRA")) < 0.2
    assert min(weight.values()) > 0


# --- frames ----------------------------------------------------------------------------------------------------------


def test_solve_poses_is_independent_of_other_frames(walking, prior):
    """Frames solved one at a time or in another order have the same poses, within the tolerance of the solver."""
    subject, _, observation = walking
    together = solve_from_rigid_alignment(subject, observation, prior)
    T = len(observation.markers)
    for frame in (0, T - 1):
        alone = solve_from_rigid_alignment(subject, observation[slice(frame, frame + 1)], prior)
        np.testing.assert_allclose(alone.pose.rotations[0], together.pose.rotations[frame], atol=1e-5)
        np.testing.assert_allclose(alone.pose.translation[0], together.pose.translation[frame], atol=1e-5)
    order = torch.tensor(np.random.default_rng(0).permutation(T))
    mixed = solve_from_rigid_alignment(subject, observation[order], prior)
    np.testing.assert_allclose(mixed.pose.rotations, together.pose.rotations[order], atol=1e-5)
    np.testing.assert_allclose(mixed.cost, together.cost[order], rtol=1e-4)


def test_solve_poses_stops_each_frame_separately(walking, prior):
    """A frame that starts at its solution stops at once, while another one continues to its solution."""
    subject, _, observation = walking
    two = observation[slice(0, 2)]
    done = solve_from_rigid_alignment(subject, two, prior, dtype=torch.float64, tolerance=1e-9, max_iterations=100)
    far, _, _ = align_rigidly(subject, prior.mean, two)
    start = Pose.concatenate([done.pose[slice(0, 1)], far[slice(1, 2)]])
    again = solve(subject, start, two, prior, dtype=torch.float64, tolerance=1e-6)
    alone = solve(subject, far[slice(1, 2)], two[slice(1, 2)], prior, dtype=torch.float64, tolerance=1e-6)
    assert again.iterations[0] <= 4
    assert again.iterations[0] < again.iterations[1]
    assert abs(int(again.iterations[1] - alone.iterations[0])) <= 1
    np.testing.assert_allclose(again.cost, done.cost, rtol=1e-4)
    assert again.cost[0] <= done.cost[0]


def test_solve_poses_never_increases_the_cost(walking, prior):
    subject, _, observation = walking
    start, _, _ = align_rigidly(subject, prior.mean, observation)
    before = normal_equations(subject, start, observation, prior, SCALES).cost
    for steps in range(1, 16):
        found = solve(subject, start, observation, prior, dtype=torch.float64, max_iterations=steps)
        assert (found.cost <= before).all()
        assert (found.iterations <= steps).all()
        again = normal_equations(subject, found.pose, observation, prior, SCALES).cost
        np.testing.assert_allclose(found.cost, again, rtol=1e-7)
        before = found.cost


@pytest.mark.parametrize("away_rad", [0.005, 0.2], ids=["near", "far"])
def test_solve_poses_with_reused_factors_comes_close_to_the_minimum(walking, prior, away_rad):
    """Mostly in two steps from near, with further steps from far away, and without raising the cost of any frame."""
    subject, _, observation = walking
    done = solve_from_rigid_alignment(subject, observation, prior, dtype=torch.float64, tolerance=0, max_iterations=150)
    T = done.pose.num_frames
    away = away_rad * torch.randn(T, 69, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    start = apply_step(done.pose, compute_marker_kinematics(subject, done.pose).parent_world, away, None)
    found = solve(subject, start, observation, prior, dtype=torch.float64, damping=1e-3, reuse_factors=True)
    before = normal_equations(subject, start, observation, prior, SCALES).cost
    after = normal_equations(subject, found.pose, observation, prior, SCALES).cost
    assert (after <= before).all()
    np.testing.assert_allclose(after, done.cost, rtol=0.01)
    assert (found.iterations == 2).double().mean() > 0.5 if away_rad < 0.1 else (found.iterations > 2).any()


def test_solve_poses_keeps_a_solution(walking, prior):
    """Starting at a minimum, the solver returns the start, within rounding."""
    subject, _, observation = walking
    done = solve_from_rigid_alignment(subject, observation, prior, dtype=torch.float64, tolerance=0, max_iterations=150)
    again = solve(subject, done.pose, observation, prior, dtype=torch.float64)
    assert (again.cost <= done.cost * (1 + 1e-7)).all()
    assert (again.pose.rotations - done.pose.rotations).abs().max() < 1e-4


def test_solve_poses_is_deterministic_to_the_last_bit(walking, prior):
    subject, _, observation = walking
    first, second = (solve_from_rigid_alignment(subject, observation, prior) for _ in range(2))
    assert same_pose(first.pose, second.pose)
    assert torch.equal(first.cost, second.cost)


def test_solve_poses_ignores_the_positions_of_markers_that_are_not_visible(walking, prior):
    subject, _, observation = walking
    visible = torch.tensor(np.random.default_rng(3).random(observation.visible.shape) > 0.3)
    start, _, _ = align_rigidly(subject, prior.mean, observation)
    found = []
    for value in (0.0, 1e3, torch.nan, torch.inf):
        markers = torch.where(visible[..., None], observation.markers, value)
        found.append(solve(subject, start, ObservedMarkers(markers, visible), prior))
    for other in found[1:]:
        assert same_pose(found[0].pose, other.pose)
    alignments = [
        align_rigidly(
            subject, prior.mean, ObservedMarkers(torch.where(visible[..., None], observation.markers, x), visible)
        )[0]
        for x in (0.0, 1e3)
    ]
    np.testing.assert_allclose(alignments[0].rotations, alignments[1].rotations, atol=1e-9)


def test_solve_poses_without_markers_gives_the_prior_mean(walking, prior):
    """Every joint takes the prior mean, the root keeps its pose, and all values are finite."""
    subject, truth, observation = walking
    nothing = ObservedMarkers(torch.zeros_like(observation.markers[:2]), torch.zeros_like(observation.visible[:2]))
    found = solve(subject, truth[slice(0, 2)], nothing, prior, dtype=torch.float64, tolerance=1e-9, max_iterations=60)
    np.testing.assert_allclose(found.pose.rotations[:, 1:], prior.mean[1:].expand(2, -1, -1, -1), atol=1e-3)
    np.testing.assert_allclose(found.pose.translation, truth.translation[:2], atol=1e-9)
    np.testing.assert_allclose(found.pose.rotations[:, 0], truth.rotations[:2, 0], atol=1e-6)


def test_apply_step_limits_the_rotation_of_a_joint(walking, prior):
    subject, truth, _ = walking
    kinematics = compute_marker_kinematics(subject, truth)
    step = torch.full((truth.num_frames, 69), 10.0, dtype=torch.float64)
    stepped = apply_step(truth, kinematics.parent_world, step, None)
    angle = Rotation.from_matrix((stepped.rotations @ truth.rotations.mT).reshape(-1, 3, 3).numpy()).magnitude()
    np.testing.assert_allclose(angle, MAX_STEP_RAD, atol=1e-5)
