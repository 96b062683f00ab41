"""Every marker set: a synthetic subject written with the set's own names is read and fitted."""

import numpy as np
import pytest

from gait.body.joint_status import JointStatus
from gait.body.marker_placement import marker_set_layout, recorded_markers_layout
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.capture.marker_names import canonical_markers
from gait.capture.read_recording import read_recording
from gait.fitting.fit_recordings import fit_recordings
from gait.marker_sets import MARKER_SETS, MARKERS
from gait.synthetic import MeasurementErrors, make_subject, make_trial, read_ground_truth, write_recording

RECORDED_SETS = [name for name, each in MARKER_SETS.items() if each.recorded]
SKIN_SETS = [name for name in RECORDED_SETS if MARKERS[MARKER_SETS[name].recorded[0]].kind != "joint_centre"]
ERRORS = MeasurementErrors(placement_m=0.010, noise_m=0.001, gap_fraction=0.0)


def own_names(marker_set):
    return [marker_set.own_name(marker) for marker in marker_set.recorded]


@pytest.mark.parametrize("name", RECORDED_SETS)
def test_own_names_of_each_set_mean_its_markers(name):
    names = own_names(MARKER_SETS[name])
    assert canonical_markers(names) == dict(zip(names, MARKER_SETS[name].recorded, strict=True))


@pytest.mark.parametrize("name", SKIN_SETS)
def test_own_names_of_the_lower_body_of_each_set_mean_its_markers(name):
    lower = [marker for marker in MARKER_SETS[name].recorded if (MARKERS[marker].height or 1) < 0.62]
    names = [MARKER_SETS[name].own_name(marker) for marker in lower]
    assert canonical_markers(names) == dict(zip(names, lower, strict=True))


@pytest.mark.parametrize("name", ["cleveland_clinic", "davis_bts", "ior", "opencap", "optitrack_baseline"])
def test_subject_of_each_set_is_read_and_fitted(open_body, tmp_path, name):
    """``benchmarks/marker_sets.py`` measures all sets on more and longer trials."""
    marker_set = MARKER_SETS[name]
    trial = make_trial(open_body, make_subject(open_body, 3), None, seconds=0.6, seed=1)
    path = tmp_path / "walk1.c3d"
    layout = marker_set_layout(open_body, marker_set)
    write_recording(trial, open_body, layout, path, errors=ERRORS, marker_set=marker_set)
    recording = read_recording(path)
    assert recording.marker_set == name
    assert set(recording.labels) == set(layout.labels)
    subject_fit = fit_recordings([recording], open_body)
    assert marker_set.title in subject_fit.layout.source
    (fit,) = subject_fit.trials
    error = np.linalg.norm(fit.joints_m[:, :NUM_BODY_JOINTS] - read_ground_truth(path).joints_m, axis=-1)
    assert error[fit.joint_status == JointStatus.OBSERVED].mean() < 0.010


def test_other_names_decide_what_a_name_means():
    """``RLE`` is the elbow beside pairs of ankle and knee, the knee in IOR's set."""
    assert canonical_markers(["RMA", "RLA", "RMK", "RLK", "RLW", "RLE"])["RLE"] == "RELB"
    assert canonical_markers(["RHF", "RTT", "RCA", "RFM", "RLE"])["RLE"] == "RKNE"
    assert "RLE" not in canonical_markers(["RASI", "LASI", "RLE"])


def test_recorded_markers_layout_leaves_clusters_to_the_fit_where_others_suffice(open_body):
    rajagopal = MARKER_SETS["rajagopal"].recorded
    many = recorded_markers_layout(open_body, [rajagopal], ["rajagopal"])
    assert {"LKNE", "LKNM", "RMED"} <= set(many.labels)
    assert not {"LTH1", "RSH2", "LUA1"} & set(many.labels)
    clusters = [marker for marker in rajagopal if MARKERS[marker].cluster]
    few = recorded_markers_layout(open_body, [[*clusters, "LASI", "RASI"]], ["rajagopal"])
    assert set(clusters) <= set(few.labels)


def test_recorded_markers_layout_solves_heels_beside_both_malleoli(open_body):
    with_medial = ["LASI", "RASI", "LPSI", "RPSI", "LKNE", "RKNE", "LANK", "RANK", "LHEE", "RHEE", "LMED"]
    without = [label for label in with_medial if label != "LMED"]
    assert "LHEE" not in recorded_markers_layout(open_body, [with_medial]).labels
    assert "RHEE" in recorded_markers_layout(open_body, [with_medial]).labels
    assert "LHEE" in recorded_markers_layout(open_body, [with_medial, without]).labels


def test_recorded_markers_layout_of_a_plug_in_gait_recording_is_the_set(open_body):
    recorded = MARKER_SETS["plug_in_gait"].recorded
    layout = recorded_markers_layout(open_body, [recorded[5:]], ["plug_in_gait"])
    assert set(layout.labels) == set(recorded)


@pytest.mark.captures
def test_midpoints_of_lateral_and_medial_markers_are_the_fitted_joints(open_body, captures):
    """Real epicondyles and malleoli, which no layout of ours placed."""
    recording = read_recording(captures / "formats" / "qualisys_isb_labels.c3d")
    (fit,) = fit_recordings([recording], open_body).trials
    for joint, pair in {"KNEE": ("KNE", "KNM"), "ANKLE": ("ANK", "MED")}.items():
        for side, letter in (("LEFT", "L"), ("RIGHT", "R")):
            outer, inner = (recording.positions_m[:, recording.labels.index(letter + each)] for each in pair)
            distance = np.linalg.norm(fit.joints_m[:, Joint[f"{side}_{joint}"]] - (outer + inner) / 2, axis=-1)
            assert np.nanmean(distance) < 0.012
