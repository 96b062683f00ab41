"""Test the fit of a subject on synthetic trials with known truth, and on unusual recordings."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.constraints_file import AngleBounds, read_constraints
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.pose_prior import default_pose_prior
from gait.body.rotations import matrix_to_axis_angle
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.body.vposer import VPoser, _expected_shapes
from gait.capture.recording import Recording
from gait.errors import GaitError
from gait.fitting.fit_report import build_fit_report
from gait.fitting.subject_fit import (
    FitOptions,
    check_shared_labels,
    fit_shape_and_poses,
    group_by_size,
    select_calibration_frames,
)
from gait.synthetic import NO_ERRORS, MeasurementErrors, make_subject, make_trial, parse_subject_name
from tests.helpers.fitting_cases import (
    constrained_open_body,
    hide_samples,
    joint_angles_deg,
    pose_joint,
    random_body,
    random_layout,
    record_trial,
    short_trial,
)

REALISTIC = MeasurementErrors(placement_m=0.010, noise_m=0.001, gap_fraction=0.02)
SMALL_ERRORS = MeasurementErrors(placement_m=0.004, technical_along_m=0.015, noise_m=0.0005, gap_fraction=0.0)
LEGS = tuple(side + name for side in "LR" for name in ("ASI", "PSI", "THI", "KNE", "TIB", "ANK", "HEE", "TOE"))
LEG_JOINTS = [Joint[name] for name in ("PELVIS", "LEFT_HIP", "RIGHT_HIP", "LEFT_KNEE", "RIGHT_KNEE")]
LEG_JOINTS += [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]


@pytest.fixture(scope="module")
def hinged(body, tmp_path_factory):
    """The open body on a constrained tree."""
    path = constrained_open_body(tmp_path_factory.mktemp("models") / "open_constrained.npy", body)
    return load_body(path, constrained=True)


@pytest.fixture(scope="module")
def trial(body):
    return short_trial(body, seed=2, seconds=1.0)


@pytest.fixture(scope="module")
def recording(body, layout, trial):
    return record_trial(body, trial, layout, SMALL_ERRORS)


@pytest.fixture(scope="module")
def subject_fit(recording, body, layout):
    return fit_shape_and_poses([recording], body, layout)


def joint_errors_mm(trial_fit, trial):
    """Return the mean distance of each joint from the truth (22,), mm."""
    return 1e3 * np.linalg.norm(trial_fit.joints_m[:, :NUM_BODY_JOINTS] - trial.ground_truth.joints_m, axis=-1).mean(
        axis=0
    )


def vertices(body, poses, betas, translation_m):
    with torch.inference_mode():
        return body(*(torch.as_tensor(x).to(body.v_template) for x in (poses, betas, translation_m))).vertices.numpy()


def stature(body, betas):
    with torch.inference_mode():
        height = body.rest_body(torch.as_tensor(betas).to(body.v_template))[0][0, :, 1]
    return float(height.max() - height.min())


def has_anatomical_flexion(trial_fit):
    for side, sign in (("LEFT", -1), ("RIGHT", 1)):
        if joint_angles_deg(trial_fit.rotations, Joint[f"{side}_KNEE"])[:, 0].min() < -5:
            return False
        if (sign * joint_angles_deg(trial_fit.rotations, Joint[f"{side}_ELBOW"])[:, 1]).min() < -5:
            return False
    return True


# --- against the truth -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["healthy_1", "healthy_4", "crouch", "stiff_knee_left", "parkinsonian"])
def test_fit_shape_and_poses_with_realistic_measurement_errors(body, layout, name):
    """With 10 mm placement error, 1 mm noise and 2 % gaps, joints are within 12 mm and vertices within 15 mm."""
    spec = parse_subject_name(name)
    trial = make_trial(body, make_subject(body, spec.seed), spec.pathology, seconds=1.3)
    fit = fit_shape_and_poses([record_trial(body, trial, layout, REALISTIC)], body, layout)
    (trial_fit,) = fit.trials
    assert joint_errors_mm(trial_fit, trial).mean() < 12
    some, truth = slice(0, None, 15), trial.ground_truth
    ours = vertices(body, trial_fit.poses[some], trial_fit.betas, trial_fit.translation_m[some])
    theirs = vertices(body, truth.poses[some], truth.betas, truth.translation_m[some])
    assert 1e3 * np.linalg.norm(ours - theirs, axis=-1).mean() < 15
    assert 0.3 < 1e3 * np.nanmean(trial_fit.residual_m) < 4
    assert abs(stature(body, trial_fit.betas) - trial.subject.stature_m) < 0.04
    assert has_anatomical_flexion(trial_fit)


@pytest.mark.parametrize("adult", [True, False], ids=["adult", "child"])
def test_fit_shape_and_poses_without_measurement_errors(body, layout, adult):
    trial = make_trial(body, make_subject(body, 11, adult=adult), seconds=1.0)
    (trial_fit,) = fit_shape_and_poses([record_trial(body, trial, layout, NO_ERRORS)], body, layout).trials
    assert np.nanmean(trial_fit.residual_m) < 0.001
    assert joint_errors_mm(trial_fit, trial).mean() < 6
    assert abs(stature(body, trial_fit.betas) - trial.subject.stature_m) < 0.025


def test_knee_angles_agree_with_the_truth(subject_fit, trial):
    for knee in (Joint.LEFT_KNEE, Joint.RIGHT_KNEE):
        ours = joint_angles_deg(subject_fit.trials[0].rotations, knee)[:, 0]
        theirs = np.degrees(trial.ground_truth.poses[:, 3 * knee])
        assert np.corrcoef(ours, theirs)[0, 1] > 0.995
        assert np.sqrt(np.mean((ours - theirs) ** 2)) < 4


def test_trial_fit_is_consistent(subject_fit, recording, body):
    """Poses, joints, virtual markers and residuals belong to the same body."""
    (trial_fit,) = subject_fit.trials
    T, M = recording.visible.shape
    assert trial_fit.recording is recording
    assert set(trial_fit.labels) == set(recording.labels)
    columns = [recording.labels.index(label) for label in trial_fit.labels]
    distance = np.linalg.norm(trial_fit.virtual_m - recording.positions_m[:, columns], axis=-1)
    np.testing.assert_allclose(
        trial_fit.residual_m, np.where(recording.visible[:, columns], distance, np.nan), atol=1e-9
    )
    assert trial_fit.poses.shape == (T, body.num_pose)
    assert trial_fit.virtual_m.shape == (T, M, 3)
    assert (trial_fit.poses[:, 3 * NUM_BODY_JOINTS :] == 0).all(), "fingers, toes and face stay at rest"
    with torch.inference_mode():
        inputs = (
            torch.as_tensor(x).to(body.v_template) for x in (trial_fit.poses, trial_fit.betas, trial_fit.translation_m)
        )
        joints = body.posed_joints(*inputs)[:, :NUM_BODY_JOINTS].numpy()
    np.testing.assert_allclose(trial_fit.joints_m, joints, atol=1e-5)
    assert trial_fit.seconds > 0
    assert subject_fit.shape_groups == ((0,),)


def test_fit_shape_and_poses_is_deterministic_to_the_last_bit(subject_fit, recording, body, layout):
    (first,), (second,) = subject_fit.trials, fit_shape_and_poses([recording], body, layout).trials
    for name in ("betas", "offset_m", "poses", "translation_m", "joints_m", "virtual_m", "residual_m"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_fit_shape_and_poses_is_independent_of_the_order_of_markers(subject_fit, recording, body, layout):
    order = np.random.default_rng(0).permutation(len(recording.labels))
    mixed = replace(
        recording,
        labels=tuple(recording.labels[m] for m in order),
        positions_m=recording.positions_m[:, order],
        visible=recording.visible[:, order],
    )
    (trial_fit,) = fit_shape_and_poses([mixed], body, layout.select(layout.labels[::-1])).trials
    np.testing.assert_allclose(trial_fit.joints_m, subject_fit.trials[0].joints_m, atol=2e-4)


def test_fit_shape_and_poses_is_independent_of_position_and_direction(subject_fit, recording, body, layout):
    R, shift = Rotation.from_rotvec([0, 2.2, 0]).as_matrix(), np.array([40.0, 0.1, -12.0])
    elsewhere = replace(recording, positions_m=recording.positions_m @ R.T + shift)
    (trial_fit,) = fit_shape_and_poses([elsewhere], body, layout).trials
    np.testing.assert_allclose(trial_fit.joints_m, subject_fit.trials[0].joints_m @ R.T + shift, atol=2e-4)
    np.testing.assert_allclose(trial_fit.betas, subject_fit.trials[0].betas, atol=0.02)


def test_fit_shape_and_poses_is_independent_of_the_batch_size(recording, body, layout, monkeypatch):
    monkeypatch.setattr("gait.fitting.frame_batches.CPU_BATCH_FRAMES", 33)
    (parts,) = fit_shape_and_poses([recording], body, layout).trials
    monkeypatch.setattr("gait.fitting.frame_batches.CPU_BATCH_FRAMES", 1000)
    (whole,) = fit_shape_and_poses([recording], body, layout).trials
    np.testing.assert_allclose(parts.joints_m, whole.joints_m, atol=5e-5)


def test_fit_shape_and_poses_does_not_depend_on_threads_to_the_last_bit(recording, body, layout, monkeypatch):
    monkeypatch.setattr("gait.fitting.frame_batches.CPU_BATCH_FRAMES", 17)
    fits = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            fits += fit_shape_and_poses([recording], body, layout).trials
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(1)
    for name in ("betas", "offset_m", "poses", "joints_m", "residual_m"):
        np.testing.assert_array_equal(getattr(fits[0], name), getattr(fits[1], name))


# --- missing markers -------------------------------------------------------------------------------------------------


def test_leg_markers_alone_keep_other_joints_at_the_prior_pose(body, layout, trial):
    recording = record_trial(body, trial, layout, SMALL_ERRORS, labels=LEGS)
    (trial_fit,) = fit_shape_and_poses([recording], body, layout).trials
    assert joint_errors_mm(trial_fit, trial)[LEG_JOINTS].mean() < 12
    assert has_anatomical_flexion(trial_fit)
    prior = default_pose_prior()
    angles = matrix_to_axis_angle(torch.as_tensor(trial_fit.rotations)).numpy()[:, 1:]
    assert (angles < prior.upper[1:] + np.radians(3)).all()
    assert (angles > prior.lower[1:] - np.radians(3)).all()
    for name in ("SHOULDER", "ELBOW", "WRIST"):
        for side in ("LEFT", "RIGHT"):
            joint = Joint[f"{side}_{name}"]
            assert np.abs(angles[:, joint - 1] - prior.mean[joint]).max() < np.radians(10)
    assert abs(stature(body, trial_fit.betas) - trial.subject.stature_m) < 0.1


def test_marker_in_only_one_of_two_trials(body, layout):
    """Each trial is fitted to its own markers, and both have one shape."""
    spec = make_subject(body, 7)
    first, second = (make_trial(body, spec, seconds=0.8, seed=seed) for seed in (1, 2))
    whole = record_trial(body, first, layout, SMALL_ERRORS)
    fewer = record_trial(
        body, second, layout, SMALL_ERRORS, labels=[name for name in whole.labels if name not in ("C7", "LTHI")]
    )
    fit = fit_shape_and_poses([whole, fewer], body, layout)
    assert set(fit.trials[0].labels) - set(fit.trials[1].labels) == {"C7", "LTHI"}
    np.testing.assert_array_equal(fit.trials[0].betas, fit.trials[1].betas)
    assert fit.trials[1].residual_m.shape[1] == len(fewer.labels)
    for trial_fit, trial in zip(fit.trials, (first, second), strict=True):
        assert joint_errors_mm(trial_fit, trial).mean() < 10
    report = build_fit_report(fit, fit.trials[1])
    assert {"C7", "LTHI"} <= set(report.missing_markers)


def test_marker_that_is_never_visible(recording, body, layout):
    hidden = np.zeros(recording.visible.shape, dtype=bool)
    hidden[:, recording.labels.index("RKNE")] = True
    fit = fit_shape_and_poses([hide_samples(recording, hidden)], body, layout)
    assert np.isfinite(fit.trials[0].joints_m).all()
    report = build_fit_report(fit, fit.trials[0])
    assert "RKNE" in report.missing_markers
    assert report.markers["RKNE"]["mean_mm"] is None
    assert report.markers["RKNE"]["visible"] == 0
    json.dumps(report.as_dict(), allow_nan=False)


def test_labels_that_are_not_in_the_layout_are_ignored(recording, body, layout, subject_fit):
    T = recording.num_frames
    strange = replace(
        recording,
        labels=(*recording.labels, "BOX1"),
        positions_m=np.concatenate([recording.positions_m, np.full((T, 1, 3), 7.0)], axis=1),
        visible=np.concatenate([recording.visible, np.ones((T, 1), bool)], axis=1),
        unused_labels=("LHipAngles",),
    )
    fit = fit_shape_and_poses([strange], body, layout)
    np.testing.assert_array_equal(fit.trials[0].joints_m, subject_fit.trials[0].joints_m)
    assert build_fit_report(fit, fit.trials[0]).unused_labels == ("BOX1", "LHipAngles")


# --- several trials of one subject -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_trials(body, layout):
    spec = make_subject(body, 6)
    trials = tuple(make_trial(body, spec, seconds=0.8, seed=seed) for seed in (1, 2))
    return trials, tuple(record_trial(body, trial, layout, SMALL_ERRORS) for trial in trials)


@pytest.fixture(scope="module")
def two_fits(two_trials, body, layout):
    return fit_shape_and_poses(two_trials[1], body, layout)


def test_trials_of_a_session_share_shape_and_marker_offsets(two_fits):
    first, second = two_fits.trials
    assert two_fits.shape_groups == ((0, 1),)
    np.testing.assert_array_equal(first.betas, second.betas)
    assert np.linalg.norm(first.offset_m - second.offset_m, axis=-1).max() < 0.002


@pytest.mark.parametrize("label", ["RASI", "LTHI", "LKNE"])
def test_reattached_marker_gets_a_separate_offset(two_trials, two_fits, body, layout, label):
    """A marker displaced by 40 mm in the second trial hardly affects the first one."""
    (first, second), (one, other) = two_trials
    column = other.labels.index(label)
    segment = {"RASI": Joint.PELVIS, "LTHI": Joint.LEFT_HIP, "LKNE": Joint.LEFT_KNEE}[label]
    pose, betas = torch.as_tensor(second.ground_truth.poses), torch.as_tensor(second.ground_truth.betas)
    R = body(pose, betas).rotations[:, segment].double().numpy()
    positions = other.positions_m.copy()
    positions[:, column] += R @ np.array([0.0, 0.028, 0.028])
    fit = fit_shape_and_poses([one, replace(other, positions_m=positions)], body, layout)
    mine = fit.trials[0].labels.index(label)
    before, after = two_fits.trials[0].offset_m, fit.trials[0].offset_m
    assert np.linalg.norm(after - before, axis=-1).max() < 0.012
    distance = np.linalg.norm(fit.trials[1].offset_m - fit.trials[0].offset_m, axis=-1)
    assert distance[mine] > 0.010
    assert np.delete(distance, mine).max() < distance[mine] / 2
    for trial_fit, trial, fitted in zip(fit.trials, (first, second), two_fits.trials, strict=True):
        assert joint_errors_mm(trial_fit, trial).mean() < joint_errors_mm(fitted, trial).mean() + 2


def test_grown_subject_gets_two_shapes(body, layout):
    small, tall = (subject_of_stature(body, s) for s in (1.15, 1.35))
    trials = [make_trial(body, spec, seconds=0.8, seed=1) for spec in (small, tall, small)]
    fit = fit_shape_and_poses([record_trial(body, trial, layout, SMALL_ERRORS) for trial in trials], body, layout)
    assert fit.shape_groups == ((0, 2), (1,))
    np.testing.assert_array_equal(fit.trials[0].betas, fit.trials[2].betas)
    for trial_fit, trial in zip(fit.trials, trials, strict=True):
        assert abs(stature(body, trial_fit.betas) - trial.subject.stature_m) < 0.04


def subject_of_stature(body, wanted):
    """Return a subject of about this stature; the first shape direction is size."""
    spec = make_subject(body, 8, adult=False)
    low, high = -6.0, 6.0
    for _ in range(30):
        middle = (low + high) / 2
        betas = np.concatenate([[middle], spec.betas[1:]])
        low, high = (middle, high) if stature(body, betas) < wanted else (low, middle)
    ratio = wanted / spec.stature_m
    return replace(spec, betas=betas, stature_m=stature(body, betas), leg_length_m=spec.leg_length_m * ratio)


@pytest.mark.parametrize(
    ("sizes", "groups"),
    [
        ([1.0], ((0,),)),
        ([1.0, 1.03, 1.01], ((0, 1, 2),)),
        ([1.0, 1.2], ((0,), (1,))),
        ([1.2, 1.0, 1.21, 0.99], ((0, 2), (1, 3))),
        ([1.0, 1.03, 1.06, 1.09], ((0, 1, 2, 3),)),  # no gap between the sizes: one group
        ([1.0, 1.3, 1.15], ((0,), (1,), (2,))),
    ],
)
def test_group_by_size(sizes, groups):
    assert group_by_size(sizes) == groups


# --- calibration frames ----------------------------------------------------------------------------------------------


def test_select_calibration_frames_spreads_them_over_frames_with_many_markers():
    visible = np.ones((400, 10), dtype=bool)
    visible[100:150] = False
    (rows,) = select_calibration_frames([visible], 36)
    assert len(rows) == len(set(rows.tolist())) == 36
    assert rows.tolist() == sorted(rows.tolist())
    assert rows[0] == 0
    assert rows[-1] == 399
    assert not np.isin(rows, np.arange(100, 150)).any()
    assert np.diff(rows).max() < 100


def test_select_calibration_frames_where_most_frames_are_empty():
    visible = np.zeros((400, 30), dtype=bool)
    visible[150:240] = True
    (rows,) = select_calibration_frames([visible], 36)
    assert len(rows) == 36
    assert rows.min() >= 150
    assert rows.max() < 240


def test_select_calibration_frames_from_every_trial():
    many = [np.ones((50, 5), dtype=bool)] * 40 + [np.ones((1, 5), dtype=bool)]
    chosen = select_calibration_frames(many, 36)
    assert [len(rows) for rows in chosen] == [1] * 41
    few = select_calibration_frames(many[:3], 36)
    assert [len(rows) for rows in few] == [12] * 3


def test_select_calibration_frames_includes_every_marker():
    """A marker that is visible only in a few frames with few markers is also included."""
    visible = np.ones((300, 8), dtype=bool)
    visible[:, 7] = False
    visible[200:206, 7] = True
    visible[200:206, :5] = False
    (rows,) = select_calibration_frames([visible], 12)
    assert visible[rows, 7].any()
    visible[:, 7] = False
    (rows,) = select_calibration_frames([visible], 12)
    assert len(rows) == 12


# --- recordings that cannot be fitted --------------------------------------------------------------------------------


def test_check_shared_labels_lists_both_sets_of_labels(recording, body, layout):
    names = tuple(f"BOX{k}" for k in range(len(recording.labels) - 4)) + recording.labels[-4:]
    strange = replace(recording, labels=names)
    with pytest.raises(GaitError) as refused:
        check_shared_labels(strange, layout)
    line = str(refused.value)
    assert "\n" not in line
    assert "walk0.c3d" in line
    assert "BOX0" in line
    assert "LASI" in line
    assert "marker_layout_file" in line
    with pytest.raises(GaitError, match="BOX0"):
        fit_shape_and_poses([recording, strange], body, layout)


def test_recording_without_a_frame_of_four_markers_is_rejected(recording, body, layout):
    """All markers are visible in some frames, but never four at once."""
    hidden = np.ones(recording.visible.shape, dtype=bool)
    for t in range(recording.num_frames):
        hidden[t, (3 * t) % 30 : (3 * t) % 30 + 3] = False
    with pytest.raises(GaitError, match=r"walk0\.c3d.*four visible markers"):
        fit_shape_and_poses([hide_samples(recording, hidden)], body, layout)


def test_markers_on_one_line_are_rejected(recording, body, layout):
    line = np.linspace(0, 1, len(recording.labels))[None, :, None] * np.array([0.3, 1.5, 0.2])
    positions = np.broadcast_to(line, recording.positions_m.shape).copy()
    straight = replace(recording, positions_m=positions, visible=np.ones_like(recording.visible))
    with pytest.raises(GaitError, match="four visible markers"):
        fit_shape_and_poses([straight], body, layout)


def test_singular_equations_give_a_one_line_message(recording, body, layout, monkeypatch):
    def singular(*_, **__):
        raise torch.linalg.LinAlgError("not positive-definite")

    monkeypatch.setattr("gait.fitting.subject_fit.calibrate", singular)
    with pytest.raises(GaitError, match=r"^[^\n]*do not determine[^\n]*$"):
        fit_shape_and_poses([recording], body, layout)


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_fit_shape_and_poses_with_few_frames(recording, body, layout, frames):
    few = replace(recording, positions_m=recording.positions_m[:frames], visible=recording.visible[:frames])
    (trial_fit,) = fit_shape_and_poses([few], body, layout).trials
    assert trial_fit.poses.shape == (frames, body.num_pose)
    assert np.isfinite(trial_fit.joints_m).all()
    assert np.nanmean(trial_fit.residual_m) < 0.01


def test_fit_shape_and_poses_of_noise_does_not_fail(recording, body, layout):
    rng = np.random.default_rng(0)
    few = slice(0, None, 4)
    noise = replace(
        recording,
        positions_m=rng.normal(0, 1, recording.positions_m[few].shape),
        visible=recording.visible[few],
        rate_hz=25.0,
    )
    (trial_fit,) = fit_shape_and_poses([noise], body, layout).trials
    assert np.isfinite(trial_fit.joints_m).all()
    assert np.isfinite(trial_fit.poses).all()
    assert np.nanmean(trial_fit.residual_m) > 0.1, "the residual shows the problem"


# --- layouts and bounds from a file ----------------------------------------------------------------------------------


def constraints_file(path, layout, body, **more):
    markers = {
        label: {"id": m, "faceId": int(face), "baryCoords": bary.tolist(), "distanceToSkin": float(distance)}
        for m, (label, face, bary, distance) in enumerate(
            zip(layout.labels, layout.face, layout.barycentric, layout.height_above_skin_m, strict=True)
        )
    }
    content = {"markers": {"type": "C3DMarker", "numFaces": len(body.faces), "Markers": markers}, **more}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_same_layout_from_a_file_gives_the_same_fit(tmp_path, recording, body, layout, subject_fit):
    constraints = read_constraints(constraints_file(tmp_path / "constraints.json", layout, body), body)
    read = constraints.layout_for(recording.labels)
    (trial_fit,) = fit_shape_and_poses([recording], body, read, FitOptions(bounds=constraints.angle_bounds)).trials
    np.testing.assert_allclose(trial_fit.joints_m, subject_fit.trials[0].joints_m, atol=1e-4)


@pytest.mark.parametrize("tree", ["free", "hinge"])
def test_angle_bounds_from_a_file_limit_the_knee(tmp_path, recording, body, hinged, layout, trial, tree):
    """A knee limited to 20 degrees of flexion stays below, although the markers have more."""
    model = hinged if tree == "hinge" else body
    knee = pose_joint(model).tolist().index(Joint.LEFT_KNEE)
    assert np.degrees(trial.ground_truth.poses[:, 3 * Joint.LEFT_KNEE]).max() > 45
    limit = {"type": "Angle", "joints": [knee], "lbounds": [-0.1], "upbounds": [float(np.radians(20))]}
    constraints = read_constraints(constraints_file(tmp_path / "constraints.json", layout, model, knee=limit), model)
    (bound,) = fit_shape_and_poses([recording], model, layout, FitOptions(bounds=constraints.angle_bounds)).trials
    (loose,) = fit_shape_and_poses([recording], model, layout).trials
    for trial_fit, lowest, highest in ((bound, 15, 30), (loose, 45, 80)):
        assert lowest < np.degrees(trial_fit.poses[:, knee]).max() < highest
        assert lowest < joint_angles_deg(trial_fit.rotations, Joint.LEFT_KNEE)[:, 0].max() < highest
    other = (
        joint_angles_deg(bound.rotations, Joint.RIGHT_KNEE)[:, 0]
        - joint_angles_deg(loose.rotations, Joint.RIGHT_KNEE)[:, 0]
    )
    assert np.abs(other).max() < 10


def test_angle_bounds_of_joints_that_are_not_fitted_are_ignored(recording, body, layout, subject_fit):
    finger = AngleBounds(np.array([3 * Joint.LEFT_INDEX1 + 2]), np.array([0.5]), np.array([0.6]))
    (trial_fit,) = fit_shape_and_poses([recording], body, layout, FitOptions(bounds=finger)).trials
    np.testing.assert_array_equal(trial_fit.poses, subject_fit.trials[0].poses)


# --- constrained tree ------------------------------------------------------------------------------------------------


def test_fit_shape_and_poses_with_a_constrained_body(recording, hinged, trial, subject_fit):
    (trial_fit,) = fit_shape_and_poses([recording], hinged, plug_in_gait_layout(hinged)).trials
    assert trial_fit.poses.shape == (recording.num_frames, hinged.num_pose)
    assert hinged.num_pose < 225
    free = np.nanmean(subject_fit.trials[0].residual_m)
    assert free < np.nanmean(trial_fit.residual_m) < max(4 * free, 0.006)
    assert joint_errors_mm(trial_fit, trial).mean() < 15
    assert has_anatomical_flexion(trial_fit)
    with torch.inference_mode():
        inputs = (
            torch.as_tensor(x).to(hinged.v_template)
            for x in (trial_fit.poses, trial_fit.betas, trial_fit.translation_m)
        )
        joints = hinged.posed_joints(*inputs)[:, :NUM_BODY_JOINTS].numpy()
    np.testing.assert_allclose(trial_fit.joints_m, joints, atol=1e-4)
    knee = matrix_to_axis_angle(torch.as_tensor(trial_fit.rotations[:, Joint.LEFT_KNEE])).numpy()
    assert np.abs(knee[:, 1:]).max() < 1e-6, "a hinge knee rotates about its hinge alone"


# --- learned prior ---------------------------------------------------------------------------------------------------


def test_vposer_with_random_weights_does_not_degrade_a_fit(recording, body, layout, subject_fit):
    """A random prior changes the fit, but the markers dominate."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        key: torch.rand(shape, generator=generator, dtype=torch.float64) * 0.1 + ("var" in key and "logvar" not in key)
        for key, shape in _expected_shapes(64, 8).items()
    }
    (trial_fit,) = fit_shape_and_poses(
        [recording], body, layout, FitOptions(vposer=VPoser("random", "", weights))
    ).trials
    change = np.linalg.norm(trial_fit.joints_m - subject_fit.trials[0].joints_m, axis=-1)
    assert change.max() > 1e-4
    assert change.mean() < 0.06
    assert np.nanmean(trial_fit.residual_m) < 0.02


def test_fit_shape_and_poses_with_another_body(tmp_path):
    """A test body of no human form, with random markers, blend shapes and few shape directions."""
    small = random_body(tmp_path, num_betas=3)
    layout = random_layout(small, 40)
    rng = np.random.default_rng(0)
    numbers = np.zeros((12, small.num_pose))
    numbers[:, :66] = rng.normal(0, 0.05, 66) + 0.1 * np.sin(np.arange(12))[:, None] * rng.normal(0, 0.3, 66)
    out = small(torch.tensor(numbers), torch.zeros(3, dtype=torch.float64), torch.zeros(12, 3, dtype=torch.float64))
    corners = out.vertices.numpy()[:, small.faces.numpy()[layout.face]]
    positions = np.einsum("mk,tmkc->tmc", layout.barycentric, corners)
    flat = replace(layout, height_above_skin_m=np.zeros(40))
    visible = np.ones(positions.shape[:2], dtype=bool)
    (trial_fit,) = fit_shape_and_poses(
        [Recording(Path("made.c3d"), layout.labels, positions, visible, 50.0)], small, flat
    ).trials
    assert np.isfinite(trial_fit.joints_m).all()
    assert np.nanmean(trial_fit.residual_m) < 0.05
