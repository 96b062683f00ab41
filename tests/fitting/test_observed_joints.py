"""Test which joints are said to be observed, against a slow rule and on trials with known truth."""

from dataclasses import replace

import numpy as np
import pytest

from gait.body.joint_status import JointStatus
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.segments import MEETING_SEGMENTS, SEGMENTS, segment_weights
from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint
from gait.fitting.joint_uncertainty import JointUncertainty
from gait.fitting.observed_joints import (
    MAX_BESIDE_M,
    MIN_ROTATION_FRACTION,
    MIN_SEGMENT_WEIGHT,
    observed_joints,
)
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.synthetic import MeasurementErrors, make_subject, make_trial
from tests.helpers.fitting_cases import hide_samples, record_trial

ARMS = ("SHO", "UPA", "ELB", "FRM", "WRA", "WRB", "FIN")
T, J = 30, NUM_BODY_JOINTS


def slow_status(t, j, uncertainty, weights, parents, virtual, joints, residual):
    """Return the status of a joint in a frame that is not filled from its neighbours."""
    meeting, sides, beside, count = MEETING_SEGMENTS[j], set(), False, 0
    for m in range(len(weights)):
        if not residual[t, m] <= 0.03:
            continue
        moves = zip(SEGMENTS, segment_weights(weights[m : m + 1])[0], strict=True)
        on = {segment for segment, weight in moves if weight >= MIN_SEGMENT_WEIGHT} & {*meeting}
        is_beside = bool(np.linalg.norm(virtual[t, m] - joints[t, j]) <= MAX_BESIDE_M)
        sides, beside, count = sides | on, beside | is_beside, count + bool(on or is_beside)
    held = (beside or sides == {*meeting}) and count >= (2 if beside and meeting[0] not in ("pelvis", "trunk") else 3)
    if held and uncertainty.sigma_m[t, j] <= 0.025:
        return JointStatus.OBSERVED
    rotation_known = uncertainty.data_fraction[t, max(parents[j], 0)] >= MIN_ROTATION_FRACTION
    known = uncertainty.sigma_m[t, j] <= 0.05 and (held or rotation_known)
    return JointStatus.INFERRED if known else JointStatus.NOT_OBSERVED


def random_case(body, seed=0, M=7):
    rng = np.random.default_rng(seed)
    sigma = rng.choice([0.01, 0.03, 0.06], (T, J), p=[0.6, 0.2, 0.2]).astype(np.float32)
    fraction = rng.uniform(0, 1, (T, J)).astype(np.float32)
    weights = rng.dirichlet(np.full(J, 0.1), M)
    joints = np.broadcast_to(rng.uniform(0, 0.4, (J, 3)), (T, J, 3))
    virtual = np.broadcast_to(rng.uniform(0, 0.4, (M, 3)), (T, M, 3))
    residual = np.where(rng.random((T, M)) < 0.5, np.nan, rng.choice([0.005, 0.04], (T, M), p=[0.8, 0.2]))
    return JointUncertainty(sigma, sigma, fraction, 1.0), weights, body.parents, virtual, joints, residual


def test_observed_joints_equals_a_slow_rule(body):
    case = random_case(body)
    found = observed_joints(*case, np.zeros(T, bool))
    expected = [[slow_status(t, j, *case) for j in range(J)] for t in range(T)]
    np.testing.assert_array_equal(found, expected)
    assert set(np.unique(found)) == {0, 1, 2}
    assert found.dtype == np.uint8


def test_observed_joints_in_filled_frames_have_the_lower_status_of_their_neighbours(body):
    uncertainty, weights, parents, virtual, joints, residual = random_case(body)
    plain = observed_joints(uncertainty, weights, parents, virtual, joints, residual, np.zeros(T, bool))
    filled = np.zeros(T, bool)
    filled[[0, 10, 11, 12]] = True
    sigma, of_frame = uncertainty.sigma_m.copy(), uncertainty.sigma_single_frame_m.copy()
    sigma[filled], of_frame[filled] = 0.01, 0.2
    sigma[11, 4] = 0.06
    residual = np.where(filled[:, None], np.nan, residual)
    uncertainty = replace(uncertainty, sigma_m=sigma, sigma_single_frame_m=of_frame)
    found = observed_joints(uncertainty, weights, parents, virtual, joints, residual, filled)
    np.testing.assert_array_equal(found[~filled], plain[~filled])
    around = np.minimum(np.minimum(plain[9], plain[13]), JointStatus.INFERRED)
    np.testing.assert_array_equal(found[10], around)
    np.testing.assert_array_equal(np.delete(found[11], 4), np.delete(around, 4))
    assert found[11, 4] == JointStatus.NOT_OBSERVED
    np.testing.assert_array_equal(found[0], np.minimum(plain[1], JointStatus.INFERRED))


def test_observed_joints_that_markers_hold_stay_observed_beside_filled_ones(body):
    uncertainty, *rest = random_case(body)
    together = replace(uncertainty, sigma_m=0.9 * uncertainty.sigma_m)
    plain, found = (observed_joints(each, *rest, np.zeros(T, bool)) for each in (uncertainty, together))
    np.testing.assert_array_equal(found == JointStatus.OBSERVED, plain == JointStatus.OBSERVED)


@pytest.mark.parametrize(
    ("distances_m", "expected"),
    [((0.2, 0.1), JointStatus.INFERRED), ((0.2, 0.07), JointStatus.OBSERVED), ((0.2, 0.2, 0.1), JointStatus.OBSERVED)],
)
def test_a_wrist_with_one_marker_on_elbow_and_hand_each_is_inferred_unless_one_is_beside_it(
    body, distances_m, expected
):
    M = len(distances_m)
    known = np.full((T, J), 0.01, np.float32)
    uncertainty = JointUncertainty(known, known, np.ones((T, J), np.float32), 1.0)
    weights = np.zeros((M, J))
    weights[:-1, Joint.LEFT_ELBOW] = weights[-1, Joint.LEFT_WRIST] = 1
    virtual = np.zeros((T, M, 3))
    virtual[..., 0] = distances_m
    found = observed_joints(
        uncertainty, weights, body.parents, virtual, np.zeros((T, J, 3)), np.zeros((T, M)), np.zeros(T, bool)
    )
    assert (found[:, Joint.LEFT_WRIST] == expected).all()


def names(status, value):
    """Return the joints that have a status in most frames."""
    return {joint.name for joint in BODY_JOINTS if (status[:, joint] == value).mean() > 0.5}


def test_meeting_segments_of_each_joint():
    named = {joint.name: MEETING_SEGMENTS[joint] for joint in BODY_JOINTS}
    assert named["LEFT_KNEE"] == ("left thigh", "left shank")
    assert named["RIGHT_WRIST"] == ("right forearm", "right hand")
    assert named["HEAD"] == ("trunk", "head")
    assert named["LEFT_FOOT"] == ("left foot", "left foot")
    assert {segment for pair in MEETING_SEGMENTS for segment in pair} == set(SEGMENTS)


@pytest.fixture(scope="module")
def fit_without(body):
    """Return the fit of a short trial without some markers, and the errors of the joints."""
    layout = plug_in_gait_layout(body)
    trial = make_trial(body, make_subject(body, 31), seconds=0.6, seed=1)
    recording = record_trial(body, trial, layout, MeasurementErrors(gap_fraction=0.0))

    def fit(*lost, frames=slice(None)):
        hidden = np.zeros(recording.visible.shape, dtype=bool)
        hidden[frames, [m for m, label in enumerate(recording.labels) if label in lost or label[1:] in lost]] = True
        trial_fit = fit_shape_and_poses([hide_samples(recording, hidden)], body, layout).trials[0]
        return trial_fit, np.linalg.norm(trial_fit.joints_m[:, :J] - trial.ground_truth.joints_m, axis=-1)

    return fit


def test_all_joints_of_all_markers_are_observed(fit_without):
    trial_fit, error = fit_without()
    assert (trial_fit.joint_status == JointStatus.OBSERVED).mean() > 0.99
    assert error.max() < 0.03


def test_missing_limbs_are_not_observed(fit_without):
    trial_fit, error = fit_without("LTIB", "LANK", "LHEE", "LTOE", "FHD", "BHD", *ARMS[1:])
    status = trial_fit.joint_status
    arms = {f"{side}_{joint}" for side in ("LEFT", "RIGHT") for joint in ("ELBOW", "WRIST")}
    assert names(status, JointStatus.NOT_OBSERVED) == {"HEAD", "LEFT_ANKLE", "LEFT_FOOT", *arms}
    assert {"LEFT_KNEE", "RIGHT_ANKLE", "LEFT_SHOULDER", "PELVIS"} <= names(status, JointStatus.OBSERVED)
    assert error[status == JointStatus.OBSERVED].max() < 0.03


def test_knees_without_markers_on_the_shanks_are_inferred(fit_without):
    status = fit_without("TIB", "KNE", "ANK")[0].joint_status
    assert {"LEFT_KNEE", "RIGHT_KNEE"} <= names(status, JointStatus.INFERRED)


def test_lost_frames_are_inferred_or_not_observed(fit_without):
    """For a tenth of a second the neighbouring frames determine an ankle."""
    trial_fit, _ = fit_without("RTIB", "RANK", "RHEE", "RTOE", frames=slice(25, 35))
    status = trial_fit.joint_status[:, Joint.RIGHT_ANKLE]
    assert (status[25:35] == JointStatus.INFERRED).all()
    assert (status[[10, 20, 40, 50]] == JointStatus.OBSERVED).all()
