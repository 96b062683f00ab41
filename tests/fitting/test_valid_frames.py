"""Frames that no markers hold: short gaps bridged, long ones splitting the sequence, ends cut off."""

import numpy as np
import pytest

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.capture import read_recording
from gait.fitting.fit_report import fit_report
from gait.fitting.subject_fit import fit_person
from gait.fitting.valid_frames import held_by_markers, held_frames, stretches
from gait.synthetic import MarkerErrors, make_person, make_walk
from tests.helpers.fitting_cases import OPEN_BODY, constrained_open_body, recorded, unseen_where

ERRORS = MarkerErrors(placement_m=0.005, noise_m=0.001, gap_share=0.01)


def marked(length, *ranges):
    """(length,) True in the ranges."""
    array = np.zeros(length, dtype=bool)
    for first, end in ranges:
        array[first:end] = True
    return array


@pytest.mark.parametrize(
    ("lost", "bridged", "parts"),
    [
        ([], [], [(0, 300)]),
        ([(100, 120)], [(100, 120)], [(0, 300)]),
        ([(100, 121)], [], [(0, 100), (121, 300)]),
        ([(0, 7), (290, 300)], [], [(7, 290)]),  # ends are cut, however short
        ([(50, 60), (100, 150), (200, 205)], [(50, 60), (200, 205)], [(0, 100), (150, 300)]),
        ([(100, 130), (154, 190)], [], [(0, 100), (190, 300)]),  # 24 frames between are no sequence
        ([(100, 130), (155, 190)], [], [(0, 100), (130, 155), (190, 300)]),
        ([(0, 30), (35, 40), (45, 300)], [(35, 40)], [(30, 45)]),  # all are too short: the longest stays
        ([(100, 125), (130, 135), (140, 300)], [], [(0, 100)]),  # a bridge in what is left out is none
    ],
)
def test_gaps_are_bridged_or_split_the_sequence(lost, bridged, parts):
    found = held_frames(~marked(300, *lost), 100.0)
    assert [(part.start, part.stop) for part in found.parts] == parts
    np.testing.assert_array_equal(found.bridged, marked(300, *bridged))
    np.testing.assert_array_equal(found.held, ~marked(300, *lost))
    kept = marked(300, *parts)
    assert [(gap.start, gap.stop) for gap in found.left_out] == [(s.start, s.stop) for s in stretches(~kept)]


def test_limits_are_of_time():
    lost = marked(600, (200, 240))
    assert len(held_frames(~lost, 200.0).parts) == 1
    assert len(held_frames(~lost, 100.0).parts) == 2
    assert held_frames(np.ones(3, dtype=bool), 100.0).parts == (slice(0, 3),)
    assert held_frames(np.zeros(3, dtype=bool), 100.0).parts == (slice(0, 3),)


def test_what_holds_a_body():
    alone = np.full((10, 22), 0.01)
    alone[:, Joint.HEAD] = 0.3  # never seen: says nothing about a frame
    fixed = np.ones(10, dtype=bool)
    fixed[0] = False  # three markers
    alone[2, Joint.PELVIS] = 0.08
    alone[3, 4:16] = 0.2  # most joints
    alone[4, 4:12] = 0.2  # fewer than half
    alone[5] = 0.03  # all worse than usual, none lost
    np.testing.assert_array_equal(held_by_markers(fixed, alone), ~np.isin(np.arange(10), [0, 2, 3]))


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


@pytest.fixture(scope="module")
def layout(body):
    return plug_in_gait_layout(body)


@pytest.fixture(scope="module")
def walk(body):
    return make_walk(body, make_person(body, 41), seconds=2.4, seed=1)


@pytest.fixture(scope="module")
def recording(body, layout, walk):
    return recorded(body, walk, layout, ERRORS)


def lost_in(recording, *ranges, but=()):
    """The recording with all markers but a few lost in some frames."""
    hidden = np.zeros(recording.visible.shape, dtype=bool)
    for first, end in ranges:
        hidden[first:end] = True
    hidden[:, [recording.labels.index(label) for label in but]] = False
    return unseen_where(recording, hidden)


def joint_errors_mm(gait, walk):
    return 1e3 * np.linalg.norm(gait.joints_m[:, :22] - walk.truth.joints_m, axis=-1)


@pytest.mark.parametrize("but", [(), ("LWRA", "LWRB", "LFIN"), ("LWRA", "LWRB", "LFIN", "LELB", "LUPA")])
def test_a_short_gap_is_bridged_and_marked(recording, body, layout, walk, but):
    """Also where what is left, one arm, holds no body."""
    (gait,) = fit_person([lost_in(recording, (100, 118), but=but)], body, layout).gaits
    np.testing.assert_array_equal(gait.held.bridged, marked(240, (100, 118)))
    assert gait.held.parts == (slice(0, 240),)
    error = joint_errors_mm(gait, walk)
    rest = np.r_[error[:100], error[118:]].mean()
    assert error[100:118].mean() < rest + 4
    assert np.isnan(gait.residual_m[100:118]).all(), "markers that did not take part have no residual"
    step = np.linalg.norm(np.diff(gait.joints_m, axis=0), axis=-1)
    true = np.linalg.norm(np.diff(walk.truth.joints_m, axis=0), axis=-1)
    assert step[98:120].max() < 1.3 * true.max(), "no jump at its ends"


def test_a_long_gap_splits_the_sequence_and_ends_are_cut(recording, body, layout):
    person = fit_person([lost_in(recording, (0, 12), (100, 140), (233, 240))], body, layout)
    gait = person.gaits[0]
    assert gait.held.parts == (slice(12, 100), slice(140, 233))
    assert not gait.held.bridged.any()
    report = fit_report(person, gait, person.layout.labels, 1.7)
    first = recording.first_frame
    assert report.parts == ([first + 12, first + 99], [first + 140, first + 232])
    assert report.left_out_frames == ([first, first + 11], [first + 100, first + 139], [first + 233, first + 239])
    assert report.bridged_frames == ()


def test_lost_limbs_split_nothing(recording, body, layout):
    """Both arms and the head unseen for half a second: pelvis and legs still say where the body is."""
    above = [label for label in recording.labels if label[1:] in ARMS_AND_HEAD]
    legs = tuple(label for label in recording.labels if label not in above)
    (gait,) = fit_person([lost_in(recording, (80, 130), but=legs)], body, layout).gaits
    assert gait.held.parts == (slice(0, 240),)
    assert not gait.held.bridged.any()
    wrist = gait.confidence.sigma_m[:, Joint.LEFT_WRIST]
    assert wrist[100:110].min() > 3 * np.median(wrist), "but the wrists' figures say so"


ARMS_AND_HEAD = ("FHD", "BHD", "SHO", "UPA", "ELB", "FRM", "WRA", "WRB", "FIN")


def test_a_hinge_tree_is_bridged_too(tmp_path, recording, body, walk):
    hinged = load_body(constrained_open_body(tmp_path / "supr_constrained.npy", body), constrained=True)
    layout = plug_in_gait_layout(hinged)
    (gait,) = fit_person([lost_in(recording, (100, 118))], hinged, layout).gaits
    np.testing.assert_array_equal(gait.held.bridged, marked(240, (100, 118)))
    knee = hinged.pose_joint.tolist().index(Joint.LEFT_KNEE)
    steps = np.abs(np.diff(gait.poses[:, knee]))
    assert steps[98:120].max() < 1.2 * np.r_[steps[:98], steps[120:]].max()
    assert np.ptp(gait.poses[100:118, knee]) > 0.02, "and the knee goes on moving"
    error = joint_errors_mm(gait, walk)
    assert error[100:118].mean() < error.mean() + 5


@pytest.mark.captures
def test_a_real_walk_through_a_small_volume_is_cut_at_both_ends(captures, body, layout):
    """Markers come into view one by one, and go so; a third of the frames have none at all."""
    recording = read_recording(captures / "formats" / "gappy_250hz.c3d")
    (gait,) = fit_person([recording], body, layout).gaits
    (part,) = gait.held.parts
    number = recording.visible.sum(axis=1)
    assert number[part].min() >= 8
    assert (number == number.max()).sum() > 300
    assert set(np.flatnonzero(number == number.max())) <= set(range(part.start, part.stop))
    assert part.start > 200
    assert part.stop < 1100
    pelvis = gait.confidence.sigma_m[:, Joint.PELVIS]
    assert pelvis[part].max() < 0.1 < pelvis[:100].min()


def test_few_good_frames_do_not_excuse_the_others():
    """A pelvis a fifth of a metre uncertain is lost, however usual that is in the recording."""
    alone = np.full((100, 22), 0.2)
    alone[:15] = 0.01
    held = held_by_markers(np.ones(100, dtype=bool), alone)
    assert held[:15].all()
    assert not held[15:].any()
