"""Test that short gaps are filled, long gaps split a trial, and frames without markers at the ends are excluded."""

import numpy as np
import pytest

from gait.arrays import true_runs
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.capture.read_recording import read_recording
from gait.fitting.fit_report import build_fit_report
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.fitting.valid_frames import frames_determined_by_markers, split_at_gaps
from gait.synthetic import MeasurementErrors, make_subject, make_trial
from tests.helpers.fitting_cases import constrained_open_body, hide_samples, pose_joint, record_trial

ERRORS = MeasurementErrors(placement_m=0.005, noise_m=0.001, gap_fraction=0.01)


def mask_of(length, *ranges):
    """Return a mask (length,) that is True in the ranges."""
    array = np.zeros(length, dtype=bool)
    for first, end in ranges:
        array[first:end] = True
    return array


@pytest.mark.parametrize(
    ("lost", "gap_filled", "segments"),
    [
        ([], [], [(0, 300)]),
        ([(100, 120)], [(100, 120)], [(0, 300)]),
        ([(100, 121)], [], [(0, 100), (121, 300)]),
        ([(0, 7), (290, 300)], [], [(7, 290)]),  # ends are excluded, however short
        ([(50, 60), (100, 150), (200, 205)], [(50, 60), (200, 205)], [(0, 100), (150, 300)]),
        ([(100, 130), (154, 190)], [], [(0, 100), (190, 300)]),  # the 24 frames between are too few for a segment
        ([(100, 130), (155, 190)], [], [(0, 100), (130, 155), (190, 300)]),
        ([(0, 30), (35, 40), (45, 300)], [(35, 40)], [(30, 45)]),  # all are too short: the longest becomes the segment
        ([(100, 125), (130, 135), (140, 300)], [], [(0, 100)]),  # no filled gap in excluded frames
    ],
)
def test_split_at_gaps(lost, gap_filled, segments):
    found = split_at_gaps(~mask_of(300, *lost), 100.0)
    assert [(segment.start, segment.stop) for segment in found.segments] == segments
    np.testing.assert_array_equal(found.gap_filled, mask_of(300, *gap_filled))
    np.testing.assert_array_equal(found.valid, ~mask_of(300, *lost))
    kept = mask_of(300, *segments)
    assert [(gap.start, gap.stop) for gap in found.excluded] == [(s.start, s.stop) for s in true_runs(~kept)]


def test_split_at_gaps_has_limits_in_seconds():
    lost = mask_of(600, (200, 240))
    assert len(split_at_gaps(~lost, 200.0).segments) == 1
    assert len(split_at_gaps(~lost, 100.0).segments) == 2
    assert split_at_gaps(np.ones(3, dtype=bool), 100.0).segments == (slice(0, 3),)
    assert split_at_gaps(np.zeros(3, dtype=bool), 100.0).segments == (slice(0, 3),)


def test_frames_determined_by_markers():
    sigma = np.full((10, 22), 0.01)
    sigma[:, Joint.HEAD] = 0.3  # never determined: must not decide about a frame
    determined = np.ones(10, dtype=bool)
    determined[0] = False  # three markers
    sigma[2, Joint.PELVIS] = 0.08
    sigma[3, 4:16] = 0.2  # most joints
    sigma[4, 4:12] = 0.2  # fewer than half
    sigma[5] = 0.03  # all above the baseline, none lost
    np.testing.assert_array_equal(frames_determined_by_markers(determined, sigma), ~np.isin(np.arange(10), [0, 2, 3]))


@pytest.fixture(scope="module")
def trial(body):
    return make_trial(body, make_subject(body, 41), seconds=2.4, seed=1)


@pytest.fixture(scope="module")
def recording(body, layout, trial):
    return record_trial(body, trial, layout, ERRORS)


def hide_frames(recording, *ranges, but=()):
    """Return the recording with all markers but a few not visible in some frames."""
    hidden = np.zeros(recording.visible.shape, dtype=bool)
    for first, end in ranges:
        hidden[first:end] = True
    hidden[:, [recording.labels.index(label) for label in but]] = False
    return hide_samples(recording, hidden)


def joint_errors_mm(trial_fit, trial):
    return 1e3 * np.linalg.norm(trial_fit.joints_m[:, :22] - trial.ground_truth.joints_m, axis=-1)


@pytest.mark.parametrize("but", [(), ("LWRA", "LWRB", "LFIN"), ("LWRA", "LWRB", "LFIN", "LELB", "LUPA")])
def test_short_gap_is_filled_and_marked(recording, body, layout, trial, but):
    """Also if the remaining markers, on one arm, do not determine the body."""
    (trial_fit,) = fit_shape_and_poses([hide_frames(recording, (100, 118), but=but)], body, layout).trials
    np.testing.assert_array_equal(trial_fit.valid_frames.gap_filled, mask_of(240, (100, 118)))
    assert trial_fit.valid_frames.segments == (slice(0, 240),)
    error = joint_errors_mm(trial_fit, trial)
    rest = np.r_[error[:100], error[118:]].mean()
    assert error[100:118].mean() < rest + 4
    assert np.isnan(trial_fit.residual_m[100:118]).all(), "markers that were not used have no residual"
    step = np.linalg.norm(np.diff(trial_fit.joints_m, axis=0), axis=-1)
    true = np.linalg.norm(np.diff(trial.ground_truth.joints_m, axis=0), axis=-1)
    assert step[98:120].max() < 1.3 * true.max(), "no jump at its ends"


def test_long_gap_splits_the_trial_and_ends_are_excluded(recording, body, layout):
    subject_fit = fit_shape_and_poses([hide_frames(recording, (0, 12), (100, 140), (233, 240))], body, layout)
    trial_fit = subject_fit.trials[0]
    assert trial_fit.valid_frames.segments == (slice(12, 100), slice(140, 233))
    assert not trial_fit.valid_frames.gap_filled.any()
    report = build_fit_report(subject_fit, trial_fit)
    first = recording.first_frame
    assert report.segments == ([first + 12, first + 99], [first + 140, first + 232])
    assert report.excluded_frames == ([first, first + 11], [first + 100, first + 139], [first + 233, first + 239])
    assert report.gap_filled_frames == ()


def test_lost_limbs_do_not_split_a_trial(recording, body, layout):
    """Arms and head are not visible for half a second, but pelvis and legs still determine the body."""
    above = [label for label in recording.labels if label[1:] in ARMS_AND_HEAD]
    legs = tuple(label for label in recording.labels if label not in above)
    (trial_fit,) = fit_shape_and_poses([hide_frames(recording, (80, 130), but=legs)], body, layout).trials
    assert trial_fit.valid_frames.segments == (slice(0, 240),)
    assert not trial_fit.valid_frames.gap_filled.any()
    wrist = trial_fit.uncertainty.sigma_m[:, Joint.LEFT_WRIST]
    assert wrist[100:110].min() > 3 * np.median(wrist), "but the uncertainty of the wrists grows"


ARMS_AND_HEAD = ("FHD", "BHD", "SHO", "UPA", "ELB", "FRM", "WRA", "WRB", "FIN")


def test_short_gap_of_a_constrained_body_is_filled(tmp_path, recording, body, trial):
    hinged = load_body(constrained_open_body(tmp_path / "supr_constrained.npy", body), constrained=True)
    layout = plug_in_gait_layout(hinged)
    (trial_fit,) = fit_shape_and_poses([hide_frames(recording, (100, 118))], hinged, layout).trials
    np.testing.assert_array_equal(trial_fit.valid_frames.gap_filled, mask_of(240, (100, 118)))
    knee = pose_joint(hinged).tolist().index(Joint.LEFT_KNEE)
    steps = np.abs(np.diff(trial_fit.poses[:, knee]))
    assert steps[98:120].max() < 1.2 * np.r_[steps[:98], steps[120:]].max()
    assert np.ptp(trial_fit.poses[100:118, knee]) > 0.02, "and the knee continues to move"
    error = joint_errors_mm(trial_fit, trial)
    assert error[100:118].mean() < error.mean() + 5


@pytest.mark.captures
def test_recorded_trial_in_a_small_volume_has_one_segment(captures, body, layout):
    """Markers become visible one by one and disappear one by one; a third of the frames have none."""
    recording = read_recording(captures / "formats" / "gappy_250hz.c3d")
    (trial_fit,) = fit_shape_and_poses([recording], body, layout).trials
    (segment,) = trial_fit.valid_frames.segments
    number = recording.visible.sum(axis=1)
    assert number[segment].min() >= 8
    assert (number == number.max()).sum() > 300
    assert set(np.flatnonzero(number == number.max())) <= set(range(segment.start, segment.stop))
    assert segment.start > 200
    assert segment.stop < 1100
    pelvis = trial_fit.uncertainty.sigma_m[:, Joint.PELVIS]
    assert pelvis[segment].max() < 0.1 < pelvis[:100].min()


def test_frames_determined_by_markers_with_few_good_frames():
    """A pelvis with an uncertainty of 0.2 m is lost, even if most frames of the trial are like this."""
    sigma = np.full((100, 22), 0.2)
    sigma[:15] = 0.01
    valid = frames_determined_by_markers(np.ones(100, dtype=bool), sigma)
    assert valid[:15].all()
    assert not valid[15:].any()
