"""Test the joint solution of weak frames against dense matrices, and on a trial whose markers come and go."""

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_prior import default_pose_prior
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.fitting import weak_frames
from gait.fitting.joint_parametrization import apply_step
from gait.fitting.objective_terms import build_joint_prior
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.synthetic import MeasurementErrors, make_subject, make_trial
from tests.helpers.fitting_cases import (
    OPEN_BODY,
    hide_samples,
    random_body,
    random_layout,
    random_pose,
    random_subject,
    record_trial,
)

SMALL_ERRORS = MeasurementErrors(placement_m=0.003, technical_along_m=0.0, noise_m=0.0005, gap_fraction=0.0)


@pytest.mark.parametrize("hinges", [False, True])
def test_bands_equal_a_dense_system_with_numerical_second_differences(tmp_path, hinges):
    N, M = 5, 12
    body = random_body(tmp_path, hinges=hinges)
    subject = random_subject(body, random_layout(body, M))
    tree, scales = subject.reduced_body.hinges, ResidualScales()
    pose = random_pose(body, subject.reduced_body, 1, spread=0.2)[torch.zeros(N, dtype=torch.long)]
    generator = torch.Generator().manual_seed(3)
    markers = torch.randn(N, M, 3, generator=generator, dtype=torch.float64)
    observation = ObservedMarkers(markers, torch.rand(N, M, generator=generator) > 0.4)
    prior = build_joint_prior(default_pose_prior(), scales, body=body, hinges=tree)
    equations = normal_equations(subject, pose, observation, prior, scales)
    D = equations.gradient.shape[1]

    def bend(step):
        stepped = apply_step(pose, equations.kinematics.parent_world, torch.tensor(step).view(N, D), tree)
        return weak_frames._second_differences(stepped).flatten().numpy()

    jacobian = np.stack([(bend(e) - bend(-e)) / 2e-5 for e in 1e-5 * np.eye(N * D)], axis=1)
    weight = np.linspace(1.0, 3.0, D).reshape(-1, 3)[:, :1].repeat(3, axis=1).reshape(-1)
    given = np.random.default_rng(0).normal(size=(N - 2, D))
    wide = np.tile(weight, N - 2)[:, None]
    H = torch.block_diag(*equations.curvature).numpy() + jacobian.T @ (wide * jacobian)
    g = equations.gradient.flatten().numpy() + jacobian.T @ (wide[:, 0] * given.reshape(-1))
    H += weak_frames.RELATIVE_RIDGE * H.diagonal().max() * np.eye(N * D)
    bands = weak_frames._Bands(equations, given, weight, 0.0)
    step = bands.step().reshape(-1)
    np.testing.assert_allclose(H @ step, -g, atol=1e-4 * np.abs(g).max())
    errors = bands.sample_errors(2000).reshape(N * D, -1)
    whitened = np.linalg.cholesky(H).T @ errors
    np.testing.assert_allclose(whitened.std(axis=1), 1.0, atol=0.1)


def test_find_weak_frames_needs_a_joint_that_other_frames_determine():
    sigma = np.full((100, 3), 0.01)
    sigma[:, 2] = 0.3  # no marker ever
    sigma[40:50, 1] = 0.07
    sigma[60, 0] = 0.04
    np.testing.assert_array_equal(np.flatnonzero(weak_frames.find_weak_frames(sigma)), np.arange(40, 50))


def test_pieces_cover_all_weak_frames_with_context_and_are_bounded():
    weak = np.zeros(3000, dtype=bool)
    weak[[0, 5, 500]] = True
    weak[1000:2900] = True
    pieces = list(weak_frames._pieces(weak))
    assert pieces[:2] == [slice(0, 5 + weak_frames.CONTEXT_FRAMES + 1), slice(492, 509)]
    covered = np.concatenate([np.arange(piece.start, piece.stop) for piece in pieces])
    assert set(np.flatnonzero(weak)) <= set(covered.tolist())
    assert max(piece.stop - piece.start for piece in pieces) <= weak_frames.MAX_RUN_FRAMES + weak_frames.CONTEXT_FRAMES


@pytest.fixture(scope="module")
def entering():
    """Return the fits of a whole trial and of one whose markers enter and flicker, without and with weak frames."""
    body = load_body(OPEN_BODY)
    layout = plug_in_gait_layout(body)
    trial = make_trial(body, make_subject(body, seed=5), seed=1, seconds=2.0)
    recording = record_trial(body, trial, layout, SMALL_ERRORS)
    rng = np.random.default_rng(2)
    T = recording.num_frames
    hidden = np.arange(T)[:, None] < rng.uniform(0, 60, len(recording.labels))
    hidden &= rng.random(hidden.shape) > 0.1
    cut = hide_samples(recording, hidden)
    whole = fit_shape_and_poses([recording], body, layout).trials[0]
    together = fit_shape_and_poses([cut], body, layout).trials[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gait.fitting.subject_fit.find_weak_frames", lambda sigma: np.zeros(len(sigma), dtype=bool))
        alone = fit_shape_and_poses([cut], body, layout).trials[0]
    return whole, together, alone


def test_solve_weak_frames_brings_entering_markers_closer_to_the_whole_trial(entering):
    whole, together, alone = entering
    rows = together.valid_frames.kept & ~np.isfinite(together.residual_m).all(axis=1)

    def distance(fit):
        return np.linalg.norm(fit.joints_m - whole.joints_m, axis=2)[rows, :NUM_BODY_JOINTS]

    assert distance(together).mean() < 0.8 * distance(alone).mean()
    sigma = together.uncertainty.sigma_m[rows, :NUM_BODY_JOINTS]
    claimed = sigma < 0.03
    assert claimed.mean() > 0.4
    assert np.quantile(distance(together)[claimed], 0.99) < 0.03
    residual = together.residual_m[rows]
    seen = np.isfinite(residual).sum(axis=1) >= 6
    assert np.nanmean(residual[seen], axis=1).max() < 0.015


def test_solve_weak_frames_leaves_other_frames_as_they_are(entering):
    _, together, alone = entering
    same = ~weak_frames.find_weak_frames(together.uncertainty.sigma_single_frame_m) & ~together.valid_frames.gap_filled
    assert same.sum() > 100
    np.testing.assert_array_equal(together.joints_m[same], alone.joints_m[same])
