"""Test that injected marker errors are found and classified, and do not affect the fitted body."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gait.capture.marker_names import contralateral_marker
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.marker_quality.discontinuities import find_discontinuities
from gait.fitting.marker_quality.displacements import find_displacements
from gait.fitting.marker_quality.left_right_swap import correct_left_right, detect_left_right_swap
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.subject_fit import UnusableRecordingError
from gait.synthetic import MeasurementErrors
from gait.synthetic.inject_errors import inject_error
from tests.helpers.fitting_cases import record_trial, short_trial

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recording(body, layout):
    """1.6 s of a synthetic trial at 50 Hz with marker placement errors; frame numbers start at 101."""
    whole = record_trial(body, short_trial(body, seconds=1.6), layout, MeasurementErrors(gap_fraction=0.0))
    half = slice(None, None, 2)
    return replace(
        whole,
        positions_m=whole.positions_m[half],
        visible=whole.visible[half],
        rate_hz=whole.rate_hz / 2,
        first_frame=101,
    )


@pytest.fixture(scope="module")
def clean(recording, body, layout):
    return fit_recordings([recording], body, layout)


# --- discontinuities -------------------------------------------------------------------------------------------------


def trajectory(frames=60, rate_hz=100.0):
    t = np.arange(frames) / rate_hz
    return np.stack([1.3 * t, 0.1 * np.sin(8 * t), np.zeros(frames)], axis=-1)[:, None]


def test_find_discontinuities_of_a_smooth_trajectory():
    x = trajectory()
    assert not find_discontinuities(x, np.ones(x.shape[:2], dtype=bool), 100.0).any()


@pytest.mark.parametrize("first", [1, 2, 30, 58, 59])
def test_find_discontinuities_at_a_jump(first):
    x = trajectory()
    x[first:] += [0.0, 0.04, 0.0]
    discontinuous = find_discontinuities(x, np.ones(x.shape[:2], dtype=bool), 100.0)
    assert np.flatnonzero(discontinuous[:, 0]).tolist() == [first]


def test_find_discontinuities_across_a_gap():
    x = trajectory()
    visible = np.ones(x.shape[:2], dtype=bool)
    visible[20:25] = False
    assert not find_discontinuities(np.where(visible[..., None], x, 77.0), visible, 100.0).any()
    x[25:] += [0.3, 0.0, 0.0]
    assert np.flatnonzero(find_discontinuities(x, visible, 100.0)[:, 0]).tolist() == [25]


# --- displacements ---------------------------------------------------------------------------------------------------


def test_find_displacements_between_two_discontinuities():
    deviation = np.full((100, 3), 0.004)
    deviation[40:60] += [0.05, 0, 0]
    discontinuous = np.zeros(100, dtype=bool)
    discontinuous[[40, 60]] = True
    found = find_displacements(deviation, discontinuous, 100.0, 0.015)
    assert [(s.first, s.last, s.sudden) for s in found.intervals] == [(40, 59, True)]
    np.testing.assert_allclose(found.offset_m, 0.004)


def test_find_displacements_after_a_permanent_jump():
    deviation = np.zeros((100, 3))
    deviation[30:] += [0.0, 0.06, 0]
    discontinuous = np.zeros(100, dtype=bool)
    discontinuous[30] = True
    (interval,) = find_displacements(deviation, discontinuous, 100.0, 0.08).intervals
    assert (interval.first, interval.last) == (30, 99)


def test_find_displacements_keeps_the_good_frames_before_a_gradual_onset():
    """Frozen from frame 12 until a discontinuity in frame 100."""
    deviation = np.zeros((120, 3))
    deviation[12:100, 0] = 0.013 * np.arange(88)
    discontinuous = np.zeros(120, dtype=bool)
    discontinuous[100] = True
    (interval,) = find_displacements(deviation, discontinuous, 100.0, 0.015).intervals
    assert 13 <= interval.first <= 15
    assert interval.last == 99


def test_find_displacements_of_a_drift_with_a_calibrated_offset_in_the_middle():
    deviation = np.zeros((200, 3))
    deviation[:, 1] = np.clip(np.arange(200) - 40, 0, 80) * 0.001 - 0.035
    (interval,) = find_displacements(
        deviation, np.zeros(200, dtype=bool), 100.0, 0.015, np.array([0, -0.03, 0])
    ).intervals
    assert 58 <= interval.first <= 64
    assert interval.last == 199


def test_find_displacements_ignores_soft_tissue_motion():
    deviation = np.zeros((200, 3))
    deviation[60:120, 0] = 0.06 * np.sin(np.linspace(0, np.pi, 60))
    assert find_displacements(deviation, np.zeros(200, dtype=bool), 100.0, 0.015).intervals == ()


def test_find_displacements_ignores_small_deviations():
    deviation = 0.012 * np.sin(np.arange(100) / 9)[:, None] * [1, 0, 0]
    assert find_displacements(deviation, np.zeros(100, dtype=bool), 100.0, 0.015).intervals == ()


# --- whole fits ------------------------------------------------------------------------------------------------------


def test_trial_without_errors_has_no_marker_errors(clean):
    assert clean.trials[0].marker_errors == ()


@pytest.mark.parametrize("kind", ["jump", "frozen", "drift", "detached", "ghost", "label_swap"])
def test_fit_recordings_classifies_an_injected_error_and_keeps_the_joints(kind, recording, clean, body, layout):
    bad, truth = inject_error(recording, kind, layout.labels, np.random.default_rng(3))
    fit = fit_recordings([bad], body, layout)
    (error,) = fit.trials[0].marker_errors
    assert error.kind == kind
    assert {error.marker, error.other} - {None} == set(truth.markers)
    assert abs(error.first_frame - truth.first_frame) <= 5
    assert abs(error.last_frame - truth.last_frame) <= 5
    assert error.action == "excluded"
    moved = np.linalg.norm(fit.trials[0].joints_m - clean.trials[0].joints_m, axis=-1)
    assert moved.mean() < 0.005


def test_fit_recordings_corrects_a_label_swap_with_repair(recording, clean, body, layout):
    bad, _ = inject_error(recording, "label_swap", layout.labels, np.random.default_rng(3))
    fit = fit_recordings([bad], body, layout, repair=True)
    (error,) = fit.trials[0].marker_errors
    assert error.action == "corrected"
    np.testing.assert_allclose(fit.trials[0].joints_m, clean.trials[0].joints_m, atol=1e-6)


def test_fit_recordings_excludes_or_corrects_a_label_swap_in_the_whole_trial(recording, clean, body, layout):
    pair = ("LKNE", "RKNE")
    wrong = swap_labels(recording, *pair)
    fit = fit_recordings([wrong], body, layout)
    (error,) = fit.trials[0].marker_errors
    assert (error.kind, {error.marker, error.other}, error.action) == ("label_swap", set(pair), "excluded")
    assert (error.first_frame, error.last_frame) == (101, 180)
    assert "--repair" in error.message
    (trial_fit,) = fit.trials
    assert not np.isfinite(trial_fit.residual_m[:, [trial_fit.labels.index(name) for name in pair]]).any()
    right = fit_recordings([wrong], body, layout, repair=True)
    assert right.trials[0].marker_errors[0].action == "corrected"
    np.testing.assert_allclose(right.trials[0].joints_m, clean.trials[0].joints_m, atol=1e-6)


def swap_labels(recording, first, second):
    columns = [recording.labels.index(first), recording.labels.index(second)]
    positions = recording.positions_m.copy()
    positions[:, columns] = positions[:, columns[::-1]]
    return replace(recording, positions_m=positions)


def test_fit_recordings_rejects_a_left_right_swap_and_corrects_it_with_repair(recording, clean, body, layout):
    wrong, _ = inject_error(recording, "left_right_swap", layout.labels, np.random.default_rng(0))
    with pytest.raises(UnusableRecordingError, match=r"left-right swap, frames 101 to 180: excluded .*--repair"):
        fit_recordings([wrong], body, layout)
    fit = fit_recordings([wrong], body, layout, repair=True)
    assert [error.kind for error in fit.trials[0].marker_errors] == ["left_right_swap"]
    np.testing.assert_allclose(fit.trials[0].joints_m, clean.trials[0].joints_m, atol=1e-6)


def test_detect_left_right_swap_needs_rbak_to_recognize_mirrored_data(recording):
    wrong, _ = inject_error(recording, "left_right_swap", recording.labels, np.random.default_rng(0))
    mirrored = replace(recording, positions_m=recording.positions_m * [1, 1, -1])
    assert detect_left_right_swap(recording) is None
    assert detect_left_right_swap(wrong) == "left_right_swap"
    assert detect_left_right_swap(mirrored) == "mirrored"
    for swapped in (wrong, mirrored):
        without_back = replace(swapped, labels=tuple("BACK" if x == "RBAK" else x for x in swapped.labels))
        assert detect_left_right_swap(without_back) == "left_right_swap_or_mirrored"
        assert detect_left_right_swap(correct_left_right(swapped, detect_left_right_swap(swapped))) is None


def test_head_markers_alone_are_too_few_and_not_called_swapped(recording, body, layout):
    head = ["LFHD", "RFHD", "LBHD", "RBHD"]
    columns = [recording.labels.index(label) for label in head]
    alone = replace(
        recording,
        labels=tuple(head),
        positions_m=recording.positions_m[:, columns] * [1, -1, -1],  # upside down
        visible=recording.visible[:, columns],
    )
    assert detect_left_right_swap(replace(recording, positions_m=recording.positions_m * [1, -1, -1])) is not None
    assert detect_left_right_swap(alone) is None
    with pytest.raises(UnusableRecordingError, match=r"4 of its markers are in the layout .* 6 are needed"):
        fit_recordings([alone], body, layout)


def test_contralateral_marker():
    assert [contralateral_marker(name) for name in ("LKNE", "RFHD", "RBAK", "C7", "LMIF")] == [
        "RKNE",
        "LFHD",
        None,
        None,
        None,
    ]


@pytest.mark.parametrize("seed", range(3))
def test_reversed_axis_and_unit_mismatch_are_detected_on_reading(seed, recording):
    mirrored, _ = inject_error(recording, "mirrored", recording.labels, np.random.default_rng(seed))
    assert detect_left_right_swap(mirrored) == "mirrored"
    scaled, _ = inject_error(recording, "unit_mismatch", recording.labels, np.random.default_rng(seed))
    assert scaled.stated_unit not in ("", scaled.source_unit)
    np.testing.assert_allclose(scaled.positions_m, recording.positions_m, atol=1e-5)


def test_fit_recordings_reports_a_unit_mismatch(recording, body, layout):
    fit = fit_recordings([replace(recording, stated_unit="mm", source_unit="m")], body, layout)
    (error,) = fit.trials[0].marker_errors
    assert error.message == (
        "unit mismatch, frames 101 to 180: corrected (the file states mm, the size of the body requires m)"
    )


def test_fit_recordings_does_not_report_used_data_as_excluded(recording, body, layout):
    """Six markers, two of them swapped: without these two, no frame determines the body."""
    labels = ("LASI", "RASI", "LPSI", "RPSI", "LKNE", "LANK")
    columns = [recording.labels.index(label) for label in ("LASI", "RASI", "LPSI", "RPSI", "LANK", "LKNE")]
    half = recording.num_frames // 2
    visible = recording.visible[:, columns].copy()
    visible[:half, 2] = visible[half:, 3] = False
    positions = np.where(visible[..., None], recording.positions_m[:, columns], np.nan)
    checked = fit_recordings([replace(recording, labels=labels, positions_m=positions, visible=visible)], body, layout)
    (trial_fit,) = checked.trials
    for error in checked.trials[0].marker_errors:
        used = np.isfinite(trial_fit.residual_m[:, trial_fit.labels.index(error.marker)]).any()
        assert not (used and error.action == "excluded")
    assert any("too little data would remain without it" in error.message for error in checked.trials[0].marker_errors)


def test_fit_recordings_of_noise_does_not_fail(body, layout):
    rng = np.random.default_rng(0)
    layout = layout.select(layout.labels[::3])
    positions = rng.uniform(0, 1.5, (5, layout.num_markers, 3))
    noise = Recording(Path("noise.c3d"), layout.labels, positions, np.ones(positions.shape[:2], dtype=bool), 100.0)
    (trial_fit,) = fit_recordings([noise], body, layout).trials
    assert np.isfinite(trial_fit.joints_m).all()


@pytest.mark.captures
def test_fit_recordings_of_two_recorded_trials_finds_the_one_label_swap(captures, body, layout):
    """Correcting the two wrist labels reduces their residual from 12 to below 3 mm, so the swap is real."""
    recording = read_recording(captures / "healthy" / "HC030A" / "walk05.c3d")
    fit = fit_recordings([recording], body, layout, repair=True)
    assert [(f.kind, {f.marker, f.other}) for f in fit.trials[0].marker_errors] == [("label_swap", {"LWRA", "LWRB"})]
    (trial_fit,) = fit.trials
    wrist = [trial_fit.labels.index(name) for name in ("LWRA", "LWRB")]
    assert np.nanmean(trial_fit.residual_m[:, wrist]) < 0.003
    clean = read_recording(captures / "healthy" / "HC033A" / "walk10.c3d")
    assert fit_recordings([clean], body, layout).trials[0].marker_errors == ()


def test_marker_error_message():
    error = MarkerError("label_swap", "LKNE", "LTIB", 120, 180, 85.3, "excluded")
    assert error.message == (
        "label swap of LKNE and LTIB, frames 120 to 180, mean error 85 mm: excluded (--repair corrects it)"
    )
    assert error.num_frames == 61
    assert (
        MarkerError("mirrored", None, None, 1, 9, None, "corrected").message
        == "mirrored data, frames 1 to 9: corrected"
    )
