"""What the solve leaves open, against dense sums, drawn errors, and walkers whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_prior import natural_pose_prior
from gait.body.skeleton import Joint
from gait.fitting.calibration import Placement, ShapeCalibration, SubjectNormalEquations
from gait.fitting.fit_report import fit_report
from gait.fitting.frame_batches import FrameBatches
from gait.fitting.joint_parametrization import turned
from gait.fitting.joint_uncertainty import (
    SHARE,
    between,
    bridge_errors,
    bridged,
    chosen_frames,
    joint_confidence,
    radius,
)
from gait.fitting.marker_kinematics import SubjectModel, marker_motion
from gait.fitting.objective_terms import joint_prior
from gait.fitting.offset_covariance import placement_factors, propagated, shape_and_offsets
from gait.fitting.reference_normal_equations import normal_equations
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver.frame_data import ObservedMarkers
from gait.fitting.subject_fit import fit_person
from gait.synthetic import MarkerErrors, make_person, make_walk
from tests.helpers.fitting_cases import (
    OPEN_BODY,
    random_body,
    random_layout,
    random_pose,
    random_wearer,
    recorded,
    unseen_where,
)

ALONE = FrameBatches(0, 64)


def positive(rng, *shape):
    """Random positive definite matrices (..., n, n)."""
    half = torch.tensor(rng.normal(size=shape))
    return half @ half.mT + 0.1 * torch.eye(shape[-1])


# --- the radius ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deviations", [(1, 1, 1), (3, 1, 0.2), (1, 0.01, 0.01), (2, 2, 0.05)])
def test_the_radius_holds_its_share_of_drawn_errors(deviations):
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    covariance = turn @ np.diag(np.square(deviations)) @ turn.T
    drawn = rng.multivariate_normal(np.zeros(3), covariance, 200_000)
    within = np.linalg.norm(drawn, axis=1) <= float(radius(torch.tensor(covariance)))
    assert within.mean() == pytest.approx(SHARE, abs=0.02)


# --- shape and placement ---------------------------------------------------------------------------------------------


class Dense:
    """One system of all unknowns of a person: shape, the person's offsets, each recording's."""

    def __init__(self, seed, betas=4, markers=2, recordings=3):
        self.rng = rng = np.random.default_rng(seed)
        self.B, self.M3, self.R = B, M3, R = betas, 3 * markers, recordings
        self.S = S = B + M3
        self.observed, self.drawn = positive(rng, R, S, S), torch.block_diag(*positive(rng, markers, 3, 3))
        self.tie = torch.tensor(rng.uniform(1, 3, (R, markers)))
        self.shape = torch.eye(B, dtype=torch.float64) * 1.7
        self.bond = torch.diag_embed(self.tie.repeat_interleave(3, dim=1))
        self.own = [torch.arange(S + r * M3, S + (r + 1) * M3) for r in range(R)]
        self.H = self.assembled(self.observed) + self.of_all([self.drawn] * R)

    def of_all(self, blocks):
        """Blocks of the recordings' own offsets in the whole system."""
        nothing = torch.zeros(self.S, self.S, dtype=torch.float64)
        return torch.block_diag(nothing, *blocks)

    def assembled(self, by_frames):
        """Shape, ties, and what is given of each recording's frames."""
        whole = self.of_all([torch.zeros(self.M3, self.M3)] * self.R)
        whole[: self.B, : self.B] += self.shape
        person = torch.arange(self.B, self.S)
        for r, mine in enumerate(self.own):
            rows = self.rows(r)
            whole[rows[:, None], rows] += by_frames[r]
            for a, b, sign in ((mine, mine, 1), (person, person, 1), (mine, person, -1), (person, mine, -1)):
                whole[a[:, None], b] += sign * self.bond[r]
        return whole

    def rows(self, r):
        """Shape and one recording's offsets."""
        return torch.cat([torch.arange(self.B), self.own[r]])

    def equations(self):
        """The same, reduced to the person's unknowns."""
        B, S = self.B, self.S
        inner = torch.stack([self.observed[r, B:, B:] + self.drawn + self.bond[r] for r in range(self.R)])
        solved, reduced = [], self.H[:S, :S].clone()
        for r in range(self.R):
            across = torch.cat([self.observed[r, B:, :B], -self.bond[r]], dim=1)
            step = torch.linalg.solve(inner[r], across)
            solved.append(torch.cat([torch.zeros(self.M3, 1), step], dim=1))
            reduced -= across.mT @ step
        nothing = torch.zeros(0)
        return SubjectNormalEquations(reduced, nothing, self.tie, self.observed, inner, torch.stack(solved), nothing)


def test_errors_of_a_persons_recordings_are_the_dense_systems():
    """Against one system of all unknowns, whose right-hand sides have the covariance that is given."""
    dense = Dense(2)
    wrong, drawn = positive(dense.rng, 3, 10, 10), positive(dense.rng, 6, 6)
    inverse = torch.linalg.inv(dense.H)
    cov = dense.assembled(wrong)
    for mine in dense.own:
        for other in dense.own:
            cov[mine[:, None], other] += drawn
    expected = inverse @ cov @ inverse
    found = propagated(dense.equations(), wrong, drawn, dense.shape)
    for r in range(dense.R):
        rows = dense.rows(r)
        np.testing.assert_allclose(found[r], expected[rows[:, None], rows], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("factor", [0.2, 1.0, 4.0])
def test_how_far_markers_are_displaced_is_estimated_without_bias(factor):
    """Offsets of two kinds drawn and solved for; the frames say little, so that the prior draws them home."""
    dense = Dense(4, markers=30, recordings=2)
    kinds = ("anatomical", "technical") * 15
    scale = torch.tensor([factor if kind == "anatomical" else 1.0 for kind in kinds]).repeat_interleave(3)
    by_frames = 0.3 * dense.observed
    equations, inverse = dense.equations(), torch.linalg.inv(dense.H)
    others = propagated(equations, by_frames, torch.zeros_like(dense.drawn), dense.shape)
    precision = torch.stack([dense.drawn[3 * m : 3 * m + 3, 3 * m : 3 * m + 3] for m in range(30)])
    half = torch.linalg.cholesky(torch.linalg.inv(dense.drawn))
    noise = torch.linalg.cholesky(dense.assembled(by_frames) + 1e-9 * torch.eye(len(dense.H)))
    estimates = []
    for _ in range(60):
        true = scale.sqrt() * (half @ torch.tensor(dense.rng.normal(size=90)))
        wrong = noise @ torch.tensor(dense.rng.normal(size=len(dense.H)))
        for mine in dense.own:
            wrong[mine] += dense.drawn @ true
        error = -inverse @ wrong
        solved = torch.stack([true + error[mine] for mine in dense.own]).unflatten(1, (30, 3))
        calibrated = ShapeCalibration(torch.zeros(4), Placement(solved.mean(0), solved), None, 0.0)
        factors = placement_factors(equations, calibrated, others, precision, kinds)
        assert len(set(factors.tolist())) == 2
        estimates.append((float(factors[0]), float(factors[3])))
    mean = np.mean(estimates, axis=0)
    assert mean[0] == pytest.approx(factor, rel=0.15, abs=0.1)
    assert mean[1] == pytest.approx(1.0, rel=0.15)


def test_the_part_of_some_markers():
    covariance = torch.arange(64.0).reshape(8, 8)
    part = shape_and_offsets(covariance, 2, torch.tensor([1]))
    rows = [0, 1, 5, 6, 7]
    np.testing.assert_array_equal(part, covariance[rows][:, rows])


# --- one frame -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hinges", [False, True], ids=["free_tree", "hinge_tree"])
def test_an_error_in_shape_or_offsets_moves_the_joints_as_the_solver_says(tmp_path, hinges):
    """Solved again with another shape and other offsets, the joints move by what confidence counts on."""
    body = random_body(tmp_path, hinges=hinges)
    wearer = random_wearer(body, random_layout(body, 40))
    start = random_pose(body, wearer.skin, 3, spread=0.1)
    weights = replace(ResidualScales(), marker_robust_m=10.0)
    prior = joint_prior(natural_pose_prior(), weights, body=body, hinges=wearer.skin.hinges)
    rng = np.random.default_rng(5)
    markers = marker_motion(wearer, start).markers
    observation = ObservedMarkers(markers + 0.003 * torch.tensor(rng.normal(size=markers.shape)), torch.ones(3, 40) > 0)

    def solved(worn, pose):
        for _ in range(12):  # to the very bottom
            here = normal_equations(worn, pose, observation, prior, weights)
            step = -(torch.linalg.pinv(here.curvature, hermitian=True) @ here.gradient[..., None])[..., 0]
            pose = turned(pose, here.motion.parent_world, step, worn.skin.hinges)
        assert step.abs().max() < 1e-7
        return pose

    pose = solved(wearer, start)
    B = wearer.skin.num_betas
    direction = torch.tensor(rng.normal(size=B + 120))
    direction[B:] *= 0.01
    step = 1e-2

    def moved(sign):
        betas, offset = (sign * step * part for part in (direction[:B], direction[B:].view(40, 3)))
        other = SubjectModel(wearer.skin, wearer.betas + betas, wearer.offset + offset)
        return marker_motion(other, solved(other, pose)).joints

    expected = (moved(1) - moved(-1)) / (2 * step)
    # one direction alone is uncertain, and everything else so little that it does not count
    found = joint_confidence(
        wearer,
        pose,
        marker_motion(wearer, pose).joints.numpy(),
        observation,
        prior,
        weights,
        1e4 * torch.outer(direction, direction),
        10.0,
        ALONE,
    ).sigma_m
    # of a Gaussian along one line the radius is one deviation
    close = np.isclose(found, 100 * expected.norm(dim=-1), rtol=0.1, atol=0.02)
    assert close.mean() > 0.9


def test_nothing_seen_is_nothing_known(tmp_path):
    body = random_body(tmp_path)
    wearer = random_wearer(body, random_layout(body, 30))
    pose = random_pose(body, wearer.skin, 4, spread=0.1)
    weights = ResidualScales()
    prior = joint_prior(natural_pose_prior(), weights, body=body)
    joints = marker_motion(wearer, pose).joints.numpy()
    none = 1e-12 * torch.eye(wearer.skin.num_betas + 90, dtype=torch.float64)

    def confidence(seen):
        observation = ObservedMarkers(marker_motion(wearer, pose).markers * seen[..., None], seen)
        return joint_confidence(wearer, pose, joints, observation, prior, weights, none, 10.0, ALONE)

    all_seen, blind = confidence(torch.ones(4, 30) > 0), confidence(torch.zeros(4, 30) > 0)
    assert blind.sigma_m[:, Joint.PELVIS].min() > 0.5
    assert blind.observed.max() < 1e-3
    assert all_seen.sigma_m.max() < 0.1 * blind.sigma_m.min()
    assert all_seen.observed.shape == (4, 22)
    assert all_seen.observed.mean() > 0.5
    assert all_seen.noise < 0.1
    counted = normal_equations(
        wearer, pose, ObservedMarkers(marker_motion(wearer, pose).markers, torch.ones(4, 30) > 0), prior, weights
    )
    assert counted.residual.abs().max() < 1e-12


# --- over time -------------------------------------------------------------------------------------------------------


def test_frames_are_spread_and_each_stretch_has_one():
    seen = np.ones((500, 3), dtype=bool)
    seen[100:140, 1] = False
    seen[300:303, 2] = False
    frames = chosen_frames(seen, 100.0)
    assert {0, 119, 499} <= set(frames.tolist())
    assert np.diff(frames).max() <= 27
    assert len(frames) == len(np.unique(frames)) < 30
    assert chosen_frames(seen[:1], 100.0).tolist() == [0]


def test_between_frames_that_see_the_same():
    seen = np.ones((9, 2), dtype=bool)
    seen[4:7, 0] = False
    frames = np.array([0, 2, 5, 8])
    values = np.array([[1.0], [3.0], [10.0], [5.0]])
    found = between(values, frames, seen)[:, 0]
    np.testing.assert_allclose(found, [1, 2, 3, 3, 10, 10, 10, 5, 5])


def test_a_gap_is_bridged_as_well_as_the_course_allows():
    rate, T = 100.0, 600
    t = np.arange(T) / rate
    course = np.stack([0.3 * np.sin(2 * np.pi * 1.1 * t), 0.05 * np.sin(2 * np.pi * 2.2 * t), 1.2 * t], axis=-1)
    sigma = np.full((T, 2), 0.008)
    sigma[200:215, 0] = sigma[300:340, 0] = 0.12
    sigma[550:, 0] = 0.12
    found = bridged(sigma, np.stack([course, course], axis=1), rate)
    np.testing.assert_array_equal(found[:, 1], sigma[:, 1])
    np.testing.assert_array_equal(found[550:, 0], 0.12)  # nothing after it: no bridge
    short, long = found[200:215, 0], found[300:340, 0]
    assert 0.008 < short.max() < 0.011
    assert short.max() < long.max() < 0.07
    assert long.argmax() in (19, 20)
    seconds, errors = bridge_errors(course, np.ones(T, dtype=bool), rate)
    # a cubic bridge is off by (length)⁴/384 of the fourth derivative
    fourth = np.sqrt(np.mean(np.sum((np.array([0.3, 0.05]) * (2 * np.pi * np.array([1.1, 2.2])) ** 4) ** 2)) / 2)
    assert errors[seconds == 0.2][0] == pytest.approx(0.2**4 / 384 * fourth, rel=0.15)


# --- walkers whose truth is known ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


@pytest.fixture(scope="module")
def fits(body):
    """Three persons' fits of one short walk each, and the truth."""
    layout = plug_in_gait_layout(body)
    errors = MarkerErrors(placement_m=0.010, noise_m=0.001, gap_share=0.02)
    found = []
    for seed in (31, 32, 33):
        walk = make_walk(body, make_person(body, seed), seconds=1.2, seed=1)
        recording = recorded(body, walk, layout, errors)
        if seed == 31:  # the right leg below the hip is lost for a fifth of a second
            hidden = np.zeros(recording.visible.shape, dtype=bool)
            below = [m for m, label in enumerate(recording.labels) if label in RIGHT_LEG]
            hidden[40:60, below] = True
            recording = unseen_where(recording, hidden)
        found.append((fit_person([recording], body, layout), walk.truth))
    return found


RIGHT_LEG = ("RTHI", "RKNE", "RTIB", "RANK", "RHEE", "RTOE")


def test_errors_are_within_their_figures_about_as_often_as_promised(fits):
    """Of three persons; the benchmark has more."""
    covered = []
    for person, truth in fits:
        gait = person.gaits[0]
        error = np.linalg.norm(gait.joints_m[:, :22] - truth.joints_m, axis=-1)
        assert gait.confidence.sigma_m.shape == gait.joints_m.shape[:2]
        assert 0.002 < np.median(gait.confidence.sigma_m) < 0.02
        covered.append((error <= gait.confidence.sigma_m[:, :22]).mean())
    assert 0.5 < np.mean(covered) < 0.9


def test_the_figure_grows_where_markers_vanish(fits):
    gait = fits[0][0].gaits[0]
    ankle = gait.confidence.sigma_m[:, Joint.RIGHT_ANKLE]
    assert ankle[48:52].min() > 2 * np.median(ankle)
    assert ankle[50] > ankle[42] > ankle[39]
    other = gait.confidence.sigma_m[:, Joint.LEFT_ANKLE]
    assert other[40:60].max() < 1.5 * np.median(other)


def test_the_report_says_which_joints_nothing_observed(fits, body):
    person, _ = fits[1]
    gait = person.gaits[0]
    report = fit_report(person, gait, person.layout.labels, 1.7)
    assert set(report.unobserved_joints) == {"left_foot", "right_foot"}, "no marker is on the toes"
    assert report.joints["left_knee"]["observed"] > 0.5
    assert report.joints["left_knee"]["sigma_mm"] == pytest.approx(
        1e3 * gait.confidence.sigma_m[:, Joint.LEFT_KNEE].mean(), abs=0.01
    )
    legs = [label for label in gait.labels if label[1:] in ("ASI", "PSI", "THI", "KNE", "TIB", "ANK", "HEE", "TOE")]
    columns = [gait.recording.labels.index(label) for label in legs]
    lower = replace(
        gait.recording,
        labels=tuple(legs),
        positions_m=gait.recording.positions_m[:, columns],
        visible=gait.recording.visible[:, columns],
    )
    person = fit_person([lower], body, plug_in_gait_layout(body))
    report = fit_report(person, person.gaits[0], person.layout.labels, 1.7)
    above = {"head", "neck", "left_collar", "right_elbow", "left_wrist", "spine3"}
    assert above <= set(report.unobserved_joints)
    assert not {"pelvis", "left_hip", "right_knee", "left_ankle"} & set(report.unobserved_joints)
    assert report.joints["head"]["sigma_mm"] > 3 * report.joints["left_knee"]["sigma_mm"]
