"""Test the joint uncertainty against dense systems, sampled errors, and synthetic trials with known errors."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.arrays import interpolate_frames
from gait.body.joint_status import JointStatus
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.pose_prior import default_pose_prior
from gait.body.rotations import axis_angle_to_matrix
from gait.body.skeleton import Joint
from gait.fitting.calibration import EliminatedPoses, MarkerOffsets, ShapeCalibration, SubjectNormalEquations
from gait.fitting.fit_report import build_fit_report
from gait.fitting.frame_batches import FrameBatches
from gait.fitting.joint_parametrization import apply_step
from gait.fitting.joint_uncertainty import (
    COVERAGE,
    JointUncertainty,
    confidence_radius,
    estimate_joint_uncertainty,
    interpolate_between_samples,
    sample_frames,
    steady_visibility,
)
from gait.fitting.marker_kinematics import SubjectModel, compute_marker_kinematics
from gait.fitting.objective_terms import JointPrior, build_joint_prior
from gait.fitting.offset_covariance import (
    CalibrationErrors,
    errors_given_posture,
    offset_components,
    offset_variance_factors,
    propagate_covariance,
    propagate_gradient,
    propagate_offset_prior,
)
from gait.fitting.orientation_error import OrientationErrors
from gait.fitting.reduced_body import reduce_body
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.synthetic import MeasurementErrors, make_subject, make_trial
from tests.helpers.fitting_cases import (
    hide_samples,
    random_body,
    random_layout,
    random_pose,
    random_subject,
    record_trial,
)

ALONE = FrameBatches(0, 64)


def positive_definite(rng, *shape):
    """Return random positive definite matrices (..., n, n)."""
    half = torch.tensor(rng.normal(size=shape))
    return half @ half.mT + 0.1 * torch.eye(shape[-1])


# --- the radius ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deviations", [(1, 1, 1), (3, 1, 0.2), (1, 0.01, 0.01), (2, 2, 0.05)])
def test_confidence_radius_contains_the_stated_fraction_of_sampled_errors(deviations):
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    covariance = turn @ np.diag(np.square(deviations)) @ turn.T
    drawn = rng.multivariate_normal(np.zeros(3), covariance, 200_000)
    within = np.linalg.norm(drawn, axis=1) <= float(confidence_radius(torch.tensor(covariance)))
    assert within.mean() == pytest.approx(COVERAGE, abs=0.02)


# --- shape and marker offsets ----------------------------------------------------------------------------------------


class Dense:
    """One system of all parameters of a subject: shape, common offsets, offsets of each trial."""

    def __init__(self, seed, betas=4, markers=2, trials=3):
        self.rng = rng = np.random.default_rng(seed)
        self.B, self.M3, self.R = B, M3, R = betas, 3 * markers, trials
        self.S = S = B + M3
        self.trial_curvature, self.prior_precision = (
            positive_definite(rng, R, S, S),
            torch.block_diag(*positive_definite(rng, markers, 3, 3)),
        )
        self.coupling_precision = torch.tensor(rng.uniform(1, 3, (R, markers)))
        self.shape = torch.eye(B, dtype=torch.float64) * 1.7
        self.coupling = torch.diag_embed(self.coupling_precision.repeat_interleave(3, dim=1))
        self.own = [torch.arange(S + r * M3, S + (r + 1) * M3) for r in range(R)]
        self.H = self.assembled(self.trial_curvature) + self.of_trials([self.prior_precision] * R)

    def of_trials(self, blocks):
        """Return the full system with the given blocks of the trials' own offsets."""
        zeros = torch.zeros(self.S, self.S, dtype=torch.float64)
        return torch.block_diag(zeros, *blocks)

    def assembled(self, by_frames):
        """Return the sum of shape prior, coupling, and the contribution of each trial's frames."""
        whole = self.of_trials([torch.zeros(self.M3, self.M3)] * self.R)
        whole[: self.B, : self.B] += self.shape
        common = torch.arange(self.B, self.S)
        for r, mine in enumerate(self.own):
            rows = self.rows(r)
            whole[rows[:, None], rows] += by_frames[r]
            for a, b, sign in ((mine, mine, 1), (common, common, 1), (mine, common, -1), (common, mine, -1)):
                whole[a[:, None], b] += sign * self.coupling[r]
        return whole

    def rows(self, r):
        """Return the indices of the shape and of one trial's offsets."""
        return torch.cat([torch.arange(self.B), self.own[r]])

    def equations(self):
        """Return the same system, reduced to the subject parameters."""
        B, S = self.B, self.S
        inner = torch.stack(
            [self.trial_curvature[r, B:, B:] + self.prior_precision + self.coupling[r] for r in range(self.R)]
        )
        solved, reduced = [], self.H[:S, :S].clone()
        for r in range(self.R):
            across = torch.cat([self.trial_curvature[r, B:, :B], -self.coupling[r]], dim=1)
            step = torch.linalg.solve(inner[r], across)
            solved.append(torch.cat([torch.zeros(self.M3, 1), step], dim=1))
            reduced -= across.mT @ step
        zeros = torch.zeros(0)
        return SubjectNormalEquations(
            reduced,
            zeros,
            self.coupling_precision,
            self.trial_curvature,
            inner,
            torch.stack(solved),
            EliminatedPoses(zeros, zeros, zeros),
        )


def test_propagate_covariance_equals_the_dense_system():
    """Compare with one system of all parameters whose right-hand sides have the given covariance."""
    dense = Dense(2)
    by_frames, by_prior = positive_definite(dense.rng, 3, 10, 10), positive_definite(dense.rng, 6, 6)
    inverse = torch.linalg.inv(dense.H)
    cov = dense.assembled(by_frames)
    for mine in dense.own:
        for other in dense.own:
            cov[mine[:, None], other] += by_prior
    expected = inverse @ cov @ inverse
    equations = dense.equations()
    found = propagate_covariance(equations, by_frames, dense.shape) + propagate_offset_prior(equations, by_prior)
    for r in range(dense.R):
        rows = dense.rows(r)
        np.testing.assert_allclose(found[r], expected[rows[:, None], rows], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("factor", [0.2, 1.0, 4.0])
def test_offset_variance_factors_are_unbiased(factor):
    """Sample and solve offsets of two kinds; the frames have little information, so that the prior shrinks them."""
    dense = Dense(4, markers=30, trials=2)
    kinds = ("anatomical", "technical") * 15
    anatomical = torch.tensor([kind == "anatomical" for kind in kinds]).repeat_interleave(3).double()
    scale = 1 + (factor - 1) * anatomical
    components = [torch.diag(anatomical), torch.diag(1 - anatomical)]
    by_frames = 0.3 * dense.trial_curvature
    equations, inverse = dense.equations(), torch.linalg.inv(dense.H)
    others = propagate_covariance(equations, by_frames, dense.shape)
    precision = torch.stack([dense.prior_precision[3 * m : 3 * m + 3, 3 * m : 3 * m + 3] for m in range(30)])
    half = torch.linalg.cholesky(torch.linalg.inv(dense.prior_precision))
    noise = torch.linalg.cholesky(dense.assembled(by_frames) + 1e-9 * torch.eye(len(dense.H)))
    estimates = []
    for _ in range(60):
        true = scale.sqrt() * (half @ torch.tensor(dense.rng.normal(size=90)))
        wrong = noise @ torch.tensor(dense.rng.normal(size=len(dense.H)))
        for mine in dense.own:
            wrong[mine] += dense.prior_precision @ true
        error = -inverse @ wrong
        solved = torch.stack([true + error[mine] for mine in dense.own]).unflatten(1, (30, 3))
        calibrated = ShapeCalibration(torch.zeros(4), MarkerOffsets(solved.mean(0), solved), None, None)
        estimates.append(offset_variance_factors(equations, calibrated, others, precision, components))
    mean = np.mean(estimates, axis=0)
    assert mean[0] == pytest.approx(factor, rel=0.15, abs=0.1)
    assert mean[1] == pytest.approx(1.0, rel=0.15)


def test_errors_given_posture_have_the_size_of_sampled_ones():
    rng = np.random.default_rng(2)
    J, postures, L, weight = 3, 6, 10, 0.5
    sigma = torch.tensor(rng.uniform(0.02, 0.05, size=6))
    precision = torch.cat([torch.zeros(3), weight / sigma**2]).view(J, 3)
    prior = JointPrior(
        axis_angle_to_matrix(torch.tensor(rng.normal(size=(J, 3)))), precision, precision, precision, 0.0
    )
    together = torch.cat([torch.zeros(3, 6), 0.5 * torch.eye(6)]).double()
    errors = torch.tensor(rng.normal(scale=0.005, size=(3 * J, L)))
    distances, before = [], []
    for _ in range(200):
        true = torch.tensor(rng.normal(size=L))
        found = errors @ true
        found[3:] += sigma * (together[3:] @ true[:postures])
        noisy = found + 0.01 * torch.tensor(rng.normal(size=9))
        rotations = axis_angle_to_matrix(noisy.view(J, 3)) @ prior.mean
        given = errors_given_posture(prior, weight, rotations[None], errors, together)
        assert given.shape == (L, 1 + L)
        left = true - given[:, 0]
        distances.append(float(left @ torch.linalg.solve(given[:, 1:] @ given[:, 1:].mT, left)) / L)
        before.append(float((left**2).sum() / (true**2).sum()))
    assert np.mean(distances) == pytest.approx(1.0, abs=0.1)
    assert np.mean(before) < 0.8


def test_offset_components_sum_to_one_and_split_markers_on_landmarks(tmp_path):
    layout = random_layout(random_body(tmp_path), 6)
    reduced_body = reduce_body(random_body(tmp_path), layout)
    along, away, technical = offset_components(reduced_body, layout.kinds)
    np.testing.assert_allclose(along + away + technical, np.eye(18), atol=1e-12)
    normal = torch.zeros(18, dtype=torch.float64)
    normal[3:6] = reduced_body.normal[1]  # of an anatomical marker
    np.testing.assert_allclose(away @ normal, normal, atol=1e-12)
    np.testing.assert_allclose(along @ normal, 0 * normal, atol=1e-12)
    np.testing.assert_array_equal(technical.diagonal()[:3], 1)


def test_propagate_gradient_equals_the_dense_system():
    dense = Dense(3)
    by_frames = torch.tensor(dense.rng.normal(size=(dense.R, dense.B + dense.M3, 2)))
    gradient = torch.zeros(len(dense.H), 2, dtype=torch.float64)
    for r in range(dense.R):
        gradient[dense.rows(r)] += by_frames[r]
    expected = -torch.linalg.solve(dense.H, gradient)
    found = propagate_gradient(dense.equations(), by_frames)
    for r in range(dense.R):
        np.testing.assert_allclose(found[r], expected[dense.rows(r)], rtol=1e-6, atol=1e-9)


def test_calibration_errors_of_some_markers():
    covariance = torch.arange(64.0).reshape(8, 8)
    part = CalibrationErrors(covariance, torch.arange(16.0).reshape(8, 2), torch.zeros(66, 2), torch.ones(2)).select(
        2, torch.tensor([1])
    )
    rows = [0, 1, 5, 6, 7]
    np.testing.assert_array_equal(part.covariance, covariance[rows][:, rows])
    np.testing.assert_array_equal(part.parameters[:, 1], [1, 3, 11, 13, 15])


# --- one frame -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hinges", [False, True], ids=["free_tree", "hinge_tree"])
def test_uncertainty_from_shape_and_offsets_equals_a_repeated_solve(tmp_path, hinges):
    """Solved again with another shape and other offsets, the joints move by the predicted distance."""
    body = random_body(tmp_path, hinges=hinges)
    subject = random_subject(body, random_layout(body, 40))
    start = random_pose(body, subject.reduced_body, 3, spread=0.1)
    scales = replace(ResidualScales(), marker_robust_m=10.0)
    prior = build_joint_prior(default_pose_prior(), scales, body=body, hinges=subject.reduced_body.hinges)
    rng = np.random.default_rng(5)
    markers = compute_marker_kinematics(subject, start).markers
    observation = ObservedMarkers(markers + 0.003 * torch.tensor(rng.normal(size=markers.shape)), torch.ones(3, 40) > 0)

    def solved(other, pose):
        for _ in range(12):  # until convergence
            equations = normal_equations(other, pose, observation, prior, scales)
            step = -(torch.linalg.pinv(equations.curvature, hermitian=True) @ equations.gradient[..., None])[..., 0]
            pose = apply_step(pose, equations.kinematics.parent_world, step, other.reduced_body.hinges)
        assert step.abs().max() < 1e-7
        return pose

    pose = solved(subject, start)
    B = subject.reduced_body.num_betas
    direction = torch.tensor(rng.normal(size=B + 120))
    direction[B:] *= 0.01
    step = 1e-2

    def moved(sign):
        betas, offset = (sign * step * part for part in (direction[:B], direction[B:].view(40, 3)))
        other = SubjectModel(subject.reduced_body, subject.betas + betas, subject.offset + offset)
        return compute_marker_kinematics(other, solved(other, pose)).joints

    expected = (moved(1) - moved(-1)) / (2 * step)
    # only one direction is uncertain; all other errors are negligible
    found = estimate_joint_uncertainty(
        subject,
        pose,
        observation,
        prior,
        scales,
        CalibrationErrors.from_covariance(1e4 * torch.outer(direction, direction), 22, 40),
        10.0,
        ALONE,
    ).sigma_m
    # the radius of a one-dimensional Gaussian is one standard deviation
    close = np.isclose(found, 100 * expected.norm(dim=-1), rtol=0.1, atol=0.02)
    assert close.mean() > 0.9


def test_uncertainty_without_visible_markers(tmp_path):
    body = random_body(tmp_path)
    subject = random_subject(body, random_layout(body, 30))
    pose = random_pose(body, subject.reduced_body, 4, spread=0.1)
    scales = ResidualScales()
    prior = build_joint_prior(default_pose_prior(), scales, body=body)
    none = CalibrationErrors.from_covariance(
        1e-12 * torch.eye(subject.reduced_body.num_betas + 90, dtype=torch.float64), 22, 30
    )

    def uncertainty(visible):
        observation = ObservedMarkers(compute_marker_kinematics(subject, pose).markers * visible[..., None], visible)
        return estimate_joint_uncertainty(subject, pose, observation, prior, scales, none, 10.0, ALONE)

    all_visible, blind = uncertainty(torch.ones(4, 30) > 0), uncertainty(torch.zeros(4, 30) > 0)
    assert blind.sigma_m[:, Joint.PELVIS].min() > 0.5
    assert blind.data_fraction.max() < 1e-3
    assert all_visible.sigma_m.max() < 0.1 * blind.sigma_m.min()
    assert all_visible.data_fraction.shape == (4, 22)
    assert all_visible.data_fraction.mean() > 0.5
    assert all_visible.noise < 0.1
    counted = normal_equations(
        subject,
        pose,
        ObservedMarkers(compute_marker_kinematics(subject, pose).markers, torch.ones(4, 30) > 0),
        prior,
        scales,
    )
    assert counted.residual.abs().max() < 1e-12


# --- over time -------------------------------------------------------------------------------------------------------


def test_sample_frames_are_spread_and_include_each_change_of_markers():
    visible = np.ones((500, 3), dtype=bool)
    visible[100:140, 1] = False
    visible[300:303, 2] = False
    frames = sample_frames(visible, 100.0)
    assert {0, 119, 499} <= set(frames.tolist())
    assert np.diff(frames).max() <= 27
    assert len(frames) == len(np.unique(frames)) < 30
    assert sample_frames(visible[:1], 100.0).tolist() == [0]


def test_interpolate_between_samples_with_the_same_markers():
    visible = np.ones((9, 2), dtype=bool)
    visible[4:7, 0] = False
    frames = np.array([0, 2, 5, 8])
    values = np.array([[1.0], [3.0], [10.0], [5.0]])
    found = interpolate_between_samples(values, frames, visible)[:, 0]
    np.testing.assert_allclose(found, [1, 2, 3, 3, 10, 10, 10, 5, 5])


def test_steady_visibility_ignores_gaps_and_flickers_of_less_than_a_tenth_of_a_second():
    visible = np.ones((300, 4), dtype=bool)
    visible[100:105, 0] = False
    visible[100:150, 1] = False
    visible[100:150, 2] = False
    visible[120:123, 2] = True
    visible[290:, 3] = False
    expected = np.ones_like(visible)
    expected[100:150, 1:3] = False
    expected[290:, 3] = False
    np.testing.assert_array_equal(steady_visibility(visible, 100.0), expected)


def test_with_neighbours_lowers_the_uncertainty_of_frames_solved_together():
    sigma = np.full((40, 2), 0.010, dtype=np.float32)
    sigma[10:20, 0] = 0.2
    alone = JointUncertainty(sigma, sigma, np.ones_like(sigma), 1.0)
    radius = np.full((40, 2), np.nan)
    radius[10:20] = 0.024
    found = alone.with_neighbours(radius, np.full((40, 6), np.nan), 100.0).sigma_m
    np.testing.assert_allclose(found[10:20, 0], np.hypot(0.024, 0.010), rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], sigma[:, 1])
    np.testing.assert_array_equal(np.delete(found[:, 0], range(10, 20)), sigma[0, 1])


def test_orientation_errors_with_neighbours_are_those_that_these_leave():
    lasting = np.zeros((2, 66, 1), dtype=np.float32)
    lasting[:, :, 0] = 0.02
    motion = np.eye(66, dtype=np.float32) * np.array([0.0, 0.3**2], dtype=np.float32)[:, None, None]
    at_sample = np.zeros(40)
    at_sample[10:20] = 1.0
    alone = OrientationErrors(lasting, motion, 0 * motion, 0 * motion, np.zeros((1, 1), dtype=np.float32), at_sample)
    turned = np.full((40, 66), np.nan)
    turned[10:20] = np.linspace(0.04, 0.06, 10)[:, None]
    turned[10:20, 5] = 1.0  # more than alone
    found = alone.with_neighbours(turned, 10)
    error = np.sqrt((found.lasting**2).sum(axis=2) + np.einsum("scc->sc", found.motion))
    error = interpolate_frames(error, found.at_sample)
    np.testing.assert_array_equal(found.at_sample[[0, 9, 20, 39]], 0.0)
    np.testing.assert_allclose(error[[10, 19], 0], np.hypot([0.04, 0.06], 0.02), rtol=1e-5)
    np.testing.assert_allclose(error[10:20, 5], np.hypot(0.3, 0.02), rtol=1e-5)


# --- synthetic trials ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fits(body):
    """Fits of one short trial of three subjects, and the ground truth."""
    layout = plug_in_gait_layout(body)
    errors = MeasurementErrors(placement_m=0.010, noise_m=0.001, gap_fraction=0.02)
    found = []
    for seed in (31, 32, 33):
        trial = make_trial(body, make_subject(body, seed), seconds=1.2, seed=1)
        recording = record_trial(body, trial, layout, errors)
        if seed == 31:  # the right leg below the hip is lost for a fifth of a second
            hidden = np.zeros(recording.visible.shape, dtype=bool)
            below = [m for m, label in enumerate(recording.labels) if label in RIGHT_LEG]
            hidden[40:60, below] = True
            recording = hide_samples(recording, hidden)
        found.append((fit_shape_and_poses([recording], body, layout), trial.ground_truth))
    return found


RIGHT_LEG = ("RTHI", "RKNE", "RTIB", "RANK", "RHEE", "RTOE")


def test_sigma_contains_about_the_stated_fraction_of_errors(fits):
    """Three subjects; the benchmark has more."""
    covered = []
    for subject_fit, truth in fits:
        trial_fit = subject_fit.trials[0]
        error = np.linalg.norm(trial_fit.joints_m[:, :22] - truth.joints_m, axis=-1)
        assert trial_fit.uncertainty.sigma_m.shape == trial_fit.joints_m.shape[:2]
        assert 0.002 < np.median(trial_fit.uncertainty.sigma_m) < 0.02
        covered.append((error <= trial_fit.uncertainty.sigma_m[:, :22]).mean())
    assert 0.5 < np.mean(covered) < 0.9


def test_sigma_grows_where_markers_are_lost(fits):
    trial_fit = fits[0][0].trials[0]
    ankle = trial_fit.uncertainty.sigma_m[:, Joint.RIGHT_ANKLE]
    assert ankle[48:52].min() > 2 * np.median(ankle)
    assert ankle[50] > ankle[42] > ankle[39]
    other = trial_fit.uncertainty.sigma_m[:, Joint.LEFT_ANKLE]
    assert other[40:60].max() < 1.5 * np.median(other)
    status = trial_fit.joint_status
    assert (status[42:58, Joint.RIGHT_ANKLE] < JointStatus.OBSERVED).all()
    assert (status[:, Joint.LEFT_KNEE] == JointStatus.OBSERVED).all()
    segments = trial_fit.valid_frames.segments
    for segment, sequence in zip(segments, trial_fit.pose_sequences, strict=True):
        np.testing.assert_array_equal(sequence.joint_status, status[segment])


def test_fit_report_lists_undetermined_joints(fits, body):
    subject_fit, _ = fits[1]
    trial_fit = subject_fit.trials[0]
    report = build_fit_report(subject_fit, trial_fit)
    assert report.undetermined_joints == ()
    assert report.segments_without_markers == ()
    assert report.joints["left_foot"]["data_fraction"] < 0.1, "no marker is on the toes, but one beside their joint"
    assert report.joints["left_knee"]["observed_fraction"] > 0.9
    for joint in report.joints.values():
        fractions = joint["observed_fraction"] + joint["inferred_fraction"] + joint["not_observed_fraction"]
        assert fractions == pytest.approx(1, abs=0.002)
    assert report.joints["left_knee"]["data_fraction"] > 0.5
    assert report.joints["left_knee"]["sigma_mm"] == pytest.approx(
        1e3 * trial_fit.uncertainty.sigma_m[:, Joint.LEFT_KNEE].mean(), abs=0.01
    )
    legs = [
        label for label in trial_fit.labels if label[1:] in ("ASI", "PSI", "THI", "KNE", "TIB", "ANK", "HEE", "TOE")
    ]
    columns = [trial_fit.recording.labels.index(label) for label in legs]
    lower = replace(
        trial_fit.recording,
        labels=tuple(legs),
        positions_m=trial_fit.recording.positions_m[:, columns],
        visible=trial_fit.recording.visible[:, columns],
    )
    subject_fit = fit_shape_and_poses([lower], body, plug_in_gait_layout(body))
    report = build_fit_report(subject_fit, subject_fit.trials[0])
    arms = {f"{side}_{joint}" for side in ("left", "right") for joint in ("collar", "shoulder", "elbow", "wrist")}
    assert set(report.undetermined_joints) == {"head", "neck", "spine1", "spine2", "spine3", *arms}
    assert report.joints["spine1"]["inferred_fraction"] > 0.9, "it is at the upper end of the pelvis"
    assert report.joints["head"]["not_observed_fraction"] == 1
    assert "trunk" in report.segments_without_markers
    assert "left shank" not in report.segments_without_markers
    assert report.joints["head"]["sigma_mm"] > 3 * report.joints["left_knee"]["sigma_mm"]
