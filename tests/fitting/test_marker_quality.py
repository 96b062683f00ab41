"""Bad data that was planted is found, named by marker, frames and kind, and does not spoil the body."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture import Recording, read_recording
from gait.capture.marker_names import other_side
from gait.fitting.marker_quality.discontinuities import track_breaks
from gait.fitting.marker_quality.displacements import judged
from gait.fitting.marker_quality.fit_with_qc import UnusableRecordingError, fit_checked
from gait.fitting.marker_quality.left_right_swap import exchanged_sides, put_right
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.synthetic import MarkerErrors
from gait.synthetic.inject_errors import plant
from tests.helpers.fitting_cases import OPEN_BODY, recorded, short_walk

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


@pytest.fixture(scope="module")
def layout(body):
    return plug_in_gait_layout(body)


@pytest.fixture(scope="module")
def walk(body, layout):
    """1.6 s of a synthetic walk at 50 Hz, markers placed by hand, frames counted from 101."""
    whole = recorded(body, short_walk(body, seconds=1.6), layout, MarkerErrors(gap_share=0.0))
    half = slice(None, None, 2)
    return replace(
        whole,
        positions_m=whole.positions_m[half],
        visible=whole.visible[half],
        rate_hz=whole.rate_hz / 2,
        first_frame=101,
    )


@pytest.fixture(scope="module")
def clean(walk, body, layout):
    return fit_checked([walk], body, layout)


# --- breaks of tracks ------------------------------------------------------------------------------------------------


def track(frames=60, rate_hz=100.0):
    t = np.arange(frames) / rate_hz
    return np.stack([1.3 * t, 0.1 * np.sin(8 * t), np.zeros(frames)], axis=-1)[:, None]


def test_a_smooth_track_does_not_break():
    x = track()
    assert not track_breaks(x, np.ones(x.shape[:2], dtype=bool), 100.0).any()


@pytest.mark.parametrize("first", [1, 2, 30, 58, 59])
def test_a_jump_breaks_the_track_once(first):
    x = track()
    x[first:] += [0.0, 0.04, 0.0]
    broken = track_breaks(x, np.ones(x.shape[:2], dtype=bool), 100.0)
    assert np.flatnonzero(broken[:, 0]).tolist() == [first]


def test_a_gap_is_no_break_and_a_jump_across_a_short_one_is():
    x = track()
    seen = np.ones(x.shape[:2], dtype=bool)
    seen[20:25] = False
    assert not track_breaks(np.where(seen[..., None], x, 77.0), seen, 100.0).any()
    x[25:] += [0.3, 0.0, 0.0]
    assert np.flatnonzero(track_breaks(x, seen, 100.0)[:, 0]).tolist() == [25]


# --- stretches -------------------------------------------------------------------------------------------------------


def test_a_stretch_between_two_breaks_is_displaced_from_the_longer_rest():
    off = np.full((100, 3), 0.004)
    off[40:60] += [0.05, 0, 0]
    broken = np.zeros(100, dtype=bool)
    broken[[40, 60]] = True
    course = judged(off, broken, 100.0, 0.015)
    assert [(s.first, s.last, s.sudden) for s in course.stretches] == [(40, 59, True)]
    np.testing.assert_allclose(course.place_m, 0.004)


def test_what_moved_for_good_is_wrong_after_the_break_not_before_it():
    off = np.zeros((100, 3))
    off[30:] += [0.0, 0.06, 0]
    broken = np.zeros(100, dtype=bool)
    broken[30] = True
    (stretch,) = judged(off, broken, 100.0, 0.08).stretches
    assert (stretch.first, stretch.last) == (30, 99)


def test_the_good_beginning_of_a_long_fault_stays_good():
    """Stuck from frame 12 on; its end, a break, shows that it was."""
    off = np.zeros((120, 3))
    off[12:100, 0] = 0.013 * np.arange(88)
    broken = np.zeros(120, dtype=bool)
    broken[100] = True
    (stretch,) = judged(off, broken, 100.0, 0.015).stretches
    assert 13 <= stretch.first <= 15
    assert stretch.last == 99


def test_a_slide_is_from_the_first_place_on_even_if_calibration_took_the_middle_for_its_place():
    off = np.zeros((200, 3))
    off[:, 1] = np.clip(np.arange(200) - 40, 0, 80) * 0.001 - 0.035
    (stretch,) = judged(off, np.zeros(200, dtype=bool), 100.0, 0.015, np.array([0, -0.03, 0])).stretches
    assert 58 <= stretch.first <= 64
    assert stretch.last == 199


def test_what_comes_back_by_itself_is_soft_tissue():
    off = np.zeros((200, 3))
    off[60:120, 0] = 0.06 * np.sin(np.linspace(0, np.pi, 60))
    assert judged(off, np.zeros(200, dtype=bool), 100.0, 0.015).stretches == ()


def test_a_little_wandering_is_nothing():
    off = 0.012 * np.sin(np.arange(100) / 9)[:, None] * [1, 0, 0]
    assert judged(off, np.zeros(100, dtype=bool), 100.0, 0.015).stretches == ()


# --- whole fits ------------------------------------------------------------------------------------------------------


def test_a_clean_walk_has_no_faults(clean):
    assert clean.faults == ((),)


@pytest.mark.parametrize("kind", ["jumped", "stuck", "slid", "fell", "ghost", "exchanged"])
def test_a_planted_fault_is_named_and_the_joints_stay(kind, walk, clean, body, layout):
    bad, truth = plant(walk, kind, layout.labels, np.random.default_rng(3))
    fit = fit_checked([bad], body, layout)
    (fault,) = fit.faults[0]
    assert fault.kind == kind
    assert {fault.marker, fault.other} - {None} == set(truth.markers)
    assert abs(fault.first_frame - truth.first_frame) <= 5
    assert abs(fault.last_frame - truth.last_frame) <= 5
    assert fault.action == "left out"
    moved = np.linalg.norm(fit.person.gaits[0].joints_m - clean.person.gaits[0].joints_m, axis=-1)
    assert moved.mean() < 0.005


def test_exchanged_names_are_put_right_when_the_user_says_so(walk, clean, body, layout):
    bad, _ = plant(walk, "exchanged", layout.labels, np.random.default_rng(3))
    fit = fit_checked([bad], body, layout, repair=True)
    (fault,) = fit.faults[0]
    assert fault.action == "corrected"
    np.testing.assert_allclose(fit.person.gaits[0].joints_m, clean.person.gaits[0].joints_m, atol=1e-6)


def test_names_exchanged_throughout_are_left_out_or_put_right(walk, clean, body, layout):
    pair = ("LKNE", "RKNE")
    wrong = exchanged(walk, *pair)
    fit = fit_checked([wrong], body, layout)
    (fault,) = fit.faults[0]
    assert (fault.kind, {fault.marker, fault.other}, fault.action) == ("exchanged", set(pair), "left out")
    assert (fault.first_frame, fault.last_frame) == (101, 180)
    assert "--repair" in fault.line
    (gait,) = fit.person.gaits
    assert not np.isfinite(gait.residual_m[:, [gait.labels.index(name) for name in pair]]).any()
    right = fit_checked([wrong], body, layout, repair=True)
    assert right.faults[0][0].action == "corrected"
    np.testing.assert_allclose(right.person.gaits[0].joints_m, clean.person.gaits[0].joints_m, atol=1e-6)


def exchanged(recording, first, second):
    both = [recording.labels.index(first), recording.labels.index(second)]
    positions = recording.positions_m.copy()
    positions[:, both] = positions[:, both[::-1]]
    return replace(recording, positions_m=positions)


def test_all_sides_exchanged_is_refused_without_repair_and_put_right_with_it(walk, clean, body, layout):
    wrong, _ = plant(walk, "all sides exchanged", layout.labels, np.random.default_rng(0))
    with pytest.raises(UnusableRecordingError, match=r"all sides exchanged, frames 101 to 180: left out .*--repair"):
        fit_checked([wrong], body, layout)
    fit = fit_checked([wrong], body, layout, repair=True)
    assert [fault.kind for fault in fit.faults[0]] == ["all sides exchanged"]
    np.testing.assert_allclose(fit.person.gaits[0].joints_m, clean.person.gaits[0].joints_m, atol=1e-6)


def test_a_mirror_and_exchanged_names_are_told_apart_by_the_right_back_alone(walk):
    wrong, _ = plant(walk, "all sides exchanged", walk.labels, np.random.default_rng(0))
    mirrored = replace(walk, positions_m=walk.positions_m * [1, 1, -1])
    assert exchanged_sides(walk) is None
    assert exchanged_sides(wrong) == "all sides exchanged"
    assert exchanged_sides(mirrored) == "mirrored"
    for recording in (wrong, mirrored):
        without_back = replace(recording, labels=tuple("BACK" if x == "RBAK" else x for x in recording.labels))
        assert exchanged_sides(without_back) == "all sides exchanged or mirrored"
        assert exchanged_sides(put_right(recording, exchanged_sides(recording))) is None


def test_names_of_the_other_side():
    assert [other_side(name) for name in ("LKNE", "RFHD", "RBAK", "C7", "LMIF")] == ["RKNE", "LFHD", None, None, None]


@pytest.mark.parametrize("seed", range(3))
def test_a_reversed_axis_and_a_wrong_unit_are_told_from_the_file(seed, walk):
    mirrored, _ = plant(walk, "mirrored", walk.labels, np.random.default_rng(seed))
    assert exchanged_sides(mirrored) == "mirrored"
    scaled, _ = plant(walk, "wrong unit", walk.labels, np.random.default_rng(seed))
    assert scaled.stated_unit not in ("", scaled.source_unit)
    np.testing.assert_allclose(scaled.positions_m, walk.positions_m, atol=1e-5)


def test_a_wrong_unit_is_a_fault_too(walk, body, layout):
    fit = fit_checked([replace(walk, stated_unit="mm", source_unit="m")], body, layout)
    (fault,) = fit.faults[0]
    assert fault.line == ("wrong unit, frames 101 to 180: corrected (the file says mm, the size of the body says m)")


def test_what_is_used_is_not_said_to_be_left_out(walk, body, layout):
    """Six markers, two of them exchanged: without these no frame holds a body."""
    labels = ("LASI", "RASI", "LPSI", "RPSI", "LKNE", "LANK")
    columns = [walk.labels.index(label) for label in ("LASI", "RASI", "LPSI", "RPSI", "LANK", "LKNE")]
    half = walk.frames // 2
    visible = walk.visible[:, columns].copy()
    visible[:half, 2] = visible[half:, 3] = False
    positions = np.where(visible[..., None], walk.positions_m[:, columns], np.nan)
    checked = fit_checked([replace(walk, labels=labels, positions_m=positions, visible=visible)], body, layout)
    (gait,) = checked.person.gaits
    for fault in checked.faults[0]:
        used = np.isfinite(gait.residual_m[:, gait.labels.index(fault.marker)]).any()
        assert not (used and fault.action == "left out")
    assert any(fault.hint == "too little is left without it" for fault in checked.faults[0])


def test_noise_is_fitted_without_a_finding_or_a_crash(body, layout):
    rng = np.random.default_rng(0)
    positions = rng.uniform(0, 1.5, (5, layout.num_markers, 3))
    noise = Recording(Path("noise.c3d"), layout.labels, positions, np.ones(positions.shape[:2], dtype=bool), 100.0)
    (gait,) = fit_checked([noise], body, layout).person.gaits
    assert np.isfinite(gait.joints_m).all()


@pytest.mark.captures
def test_of_two_real_walks_one_has_wrist_names_exchanged_and_one_is_clean(captures, body, layout):
    """The wrist's two names put right, its markers' residual falls from 12 to below 3 mm: no false alarm."""
    walk = read_recording(captures / "healthy" / "HC030A" / "walk05.c3d")
    fit = fit_checked([walk], body, layout, repair=True)
    assert [(f.kind, {f.marker, f.other}) for f in fit.faults[0]] == [("exchanged", {"LWRA", "LWRB"})]
    (gait,) = fit.person.gaits
    wrist = [gait.labels.index(name) for name in ("LWRA", "LWRB")]
    assert np.nanmean(gait.residual_m[:, wrist]) < 0.003
    clean = read_recording(captures / "healthy" / "HC033A" / "walk10.c3d")
    assert fit_checked([clean], body, layout).faults == ((),)


def test_a_line_says_marker_kind_frames_and_what_was_done():
    fault = MarkerError("exchanged", "LKNE", "LTIB", 120, 180, 85.3, "left out", "--repair puts them right")
    assert fault.line == ("LKNE and LTIB exchanged, frames 120 to 180, 85 mm off: left out (--repair puts them right)")
    assert fault.frames == 61
    assert MarkerError("mirrored", None, None, 1, 9, None, "corrected").line == "mirrored, frames 1 to 9: corrected"
