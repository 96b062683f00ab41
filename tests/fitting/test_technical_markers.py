"""Test that tracks of unknown names join the fit where they are rigid with a segment, and only there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.segments import segment_name
from gait.body.skeleton import Joint
from gait.fitting.fit_recordings import fit_recordings
from gait.fitting.fit_report import build_fit_report
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.fitting.technical_markers import fit_with_technical_markers, nearest_barycentric
from gait.synthetic import MeasurementErrors
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39, add_cluster_markers
from tests.helpers.fitting_cases import record_trial, short_trial

ERRORS = MeasurementErrors(placement_m=0.006, technical_along_m=0.02, noise_m=0.001, gap_fraction=0.0)
DOZEN = ("LASI", "RASI", "LPSI", "RPSI", "LKNE", "RKNE", "LANK", "RANK", "LTOE", "RTOE", "C7", "CLAV")
CLUSTERS = dict.fromkeys((Joint.LEFT_HIP, Joint.RIGHT_HIP, Joint.LEFT_KNEE, Joint.RIGHT_KNEE), 3)
CALIBRATION_MARKERS = ("LKNE", "LKNM", "LANK", "LMED", "RKNE", "RKNM", "RANK", "RMED")
LEGS = [Joint.LEFT_HIP, Joint.RIGHT_HIP, Joint.LEFT_KNEE, Joint.RIGHT_KNEE, Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]


@pytest.fixture(scope="module")
def layout(body):
    """Plug-in Gait with medial markers, and clusters on thighs and shanks."""
    return add_cluster_markers(body, plug_in_gait_layout(body), CLUSTERS, np.random.default_rng(0))


@pytest.fixture(scope="module")
def trial(body):
    return short_trial(body, seed=3, seconds=1.0)


@pytest.fixture(scope="module")
def recording(body, layout, trial):
    """All markers; each test takes those that it needs, so that a marker has the same place in all of them."""
    return record_trial(body, trial, layout, ERRORS, labels=layout.labels)


@pytest.fixture(scope="module")
def clusters(layout):
    return [label for label in layout.labels if label.rpartition("_")[0] in Joint.__members__]


def select_labels(recording, labels):
    columns = [recording.labels.index(label) for label in labels]
    positions, visible = recording.positions_m[:, columns], recording.visible[:, columns]
    return replace(recording, labels=tuple(labels), positions_m=positions, visible=visible)


def with_tracks(recording, tracks):
    """Return a recording with further tracks (T, 3) by label."""
    added = np.stack(list(tracks.values()), axis=1)
    positions = np.concatenate([recording.positions_m, added], axis=1)
    visible = np.isfinite(positions).all(axis=-1)
    return replace(recording, labels=(*recording.labels, *tracks), positions_m=positions, visible=visible)


def joint_errors_mm(trial_fit, trial):
    return 1e3 * np.linalg.norm(trial_fit.joints_m[:, LEGS] - trial.ground_truth.joints_m[:, LEGS], axis=-1).mean()


@pytest.fixture(scope="module")
def joined_fit(body, recording, clusters):
    """The fit of a dozen known markers, clusters of unknown names, and tracks that are on no segment."""
    recording = select_labels(recording, (*DOZEN, *clusters))
    time = np.arange(recording.num_frames)[:, None] / recording.rate_hz
    origin = recording.positions_m[0, 0]
    others = {
        "PLATE": origin + [0.1, -origin[1], 0.0] + 0 * time,
        "GHOST": origin + 0.3 * np.sin(7 * time + [0, 1, 2]),
        "PASSER": recording.positions_m[:, 0] + [0.5, 0.1, 0.4] * np.cos(3 * time),
        "SHORT": np.where(time < 0.1, origin, np.nan),
    }
    return fit_recordings([with_tracks(recording, others)], body)


def test_fit_with_technical_markers_finds_the_segment_of_each_cluster_marker(joined_fit, clusters):
    segments = {marker.label: marker.segment for marker in joined_fit.technical}
    assert segments == {label: segment_name(Joint[label.rpartition("_")[0]]) for label in clusters}
    assert all(marker.rigidity_m < 0.008 for marker in joined_fit.technical)


def test_fit_with_technical_markers_names_tracks_that_move_with_no_segment(joined_fit):
    reasons = {track.label: track.reason for track in joined_fit.rejected_tracks}
    assert reasons == {"PLATE": "not rigid", "GHOST": "not rigid", "PASSER": "not rigid", "SHORT": "few frames"}
    (trial_fit,) = joined_fit.trials
    assert not {*reasons} & {*trial_fit.labels}
    assert not trial_fit.marker_errors


def test_fit_with_technical_markers_is_better_than_without(joined_fit, body, recording, trial):
    dozen = fit_recordings([select_labels(recording, DOZEN)], body)
    assert joint_errors_mm(joined_fit.trials[0], trial) <= joint_errors_mm(dozen.trials[0], trial)


def test_fit_report_has_segment_and_rigidity_of_technical_markers(joined_fit, clusters):
    report = build_fit_report(joined_fit, joined_fit.trials[0])
    assert all({"segment", "rigidity_mm"} <= report.markers[label].keys() for label in clusters)
    assert "rigidity_mm" not in report.markers["LASI"]
    assert {track["label"] for track in report.rejected_tracks} == {"PLATE", "GHOST", "PASSER", "SHORT"}


def test_fit_with_technical_markers_fits_once_without_other_tracks(body, layout, recording):
    calls = []

    def fit(markers, start):
        calls.append(markers)
        return fit_shape_and_poses([recording], body, markers, start=start)

    assert fit_with_technical_markers(fit, layout).technical == ()
    assert calls == [layout]


def test_clusters_hold_knees_and_ankles_that_a_static_trial_shows(body, layout, trial, recording, clusters):
    """Calibrated anatomical system technique: knee and ankle markers in the static trial alone."""
    markers = (*PLUG_IN_GAIT_39[:30], "LHEE", "LTOE", "RHEE", "RTOE", *clusters)
    markers = tuple(label for label in markers if label not in (*CALIBRATION_MARKERS, "LTHI", "LTIB", "RTHI", "RTIB"))
    standing = replace(
        trial,
        ground_truth=replace(
            trial.ground_truth,
            poses=np.repeat(trial.ground_truth.poses[40:41], 40, axis=0),
            translation_m=np.repeat(trial.ground_truth.translation_m[40:41], 40, axis=0),
            joints_m=np.repeat(trial.ground_truth.joints_m[40:41], 40, axis=0),
        ),
    )
    static = record_trial(body, standing, layout, ERRORS, labels=layout.labels)
    static = select_labels(replace(static, path=Path("static.c3d")), (*markers, *CALIBRATION_MARKERS))
    walk, complete = (select_labels(recording, labels) for labels in (markers, (*markers, *CALIBRATION_MARKERS)))
    held = fit_recordings([static, walk], body).trials[1]
    reference = fit_recordings([static, complete], body).trials[1]
    knees_ankles = LEGS[2:]
    distance = np.linalg.norm(held.joints_m[:, knees_ankles] - reference.joints_m[:, knees_ankles], axis=-1)
    assert 1e3 * distance.mean(axis=0).max() < 12


def test_nearest_barycentric_equals_a_dense_search():
    random = np.random.default_rng(0)
    triangles = random.normal(size=(40, 3, 3))
    point = random.normal(size=3)
    grid = np.array([(u, v, 1 - u - v) for u in np.linspace(0, 1, 101) for v in np.linspace(0, 1 - u, 101)])
    searched = np.linalg.norm(np.einsum("gk,fkc->fgc", grid, triangles) - point, axis=-1).min(axis=1)
    weights = nearest_barycentric(point, triangles)
    found = np.linalg.norm(np.einsum("fk,fkc->fc", weights, triangles) - point, axis=-1)
    assert (weights >= -1e-12).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (found <= searched + 1e-9).all()
    np.testing.assert_allclose(found, searched, atol=0.02)
