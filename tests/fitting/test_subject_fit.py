"""One person's fit against walkers of known truth, and what becomes of odd recordings."""

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
from gait.body.pose_prior import natural_pose_prior
from gait.body.rotations import matrix_to_axis_angle
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.body.vposer import VPoser, _needed_shapes
from gait.capture import Recording
from gait.errors import GaitError
from gait.fitting.fit_report import fit_report
from gait.fitting.subject_fit import calibration_frames, check_labels, fit_person, same_size
from gait.synthetic import NO_ERRORS, MarkerErrors, make_person, make_walk, walker
from tests.helpers.fitting_cases import (
    OPEN_BODY,
    constrained_open_body,
    degrees,
    random_body,
    random_layout,
    recorded,
    short_walk,
    unseen_where,
)

AS_IN_THE_TABLE = MarkerErrors(placement_m=0.010, noise_m=0.001, gap_share=0.02)
LITTLE = MarkerErrors(placement_m=0.004, technical_along_m=0.015, noise_m=0.0005, gap_share=0.0)
LEGS = tuple(side + name for side in "LR" for name in ("ASI", "PSI", "THI", "KNE", "TIB", "ANK", "HEE", "TOE"))
LEG_JOINTS = [Joint[name] for name in ("PELVIS", "LEFT_HIP", "RIGHT_HIP", "LEFT_KNEE", "RIGHT_KNEE")]
LEG_JOINTS += [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


@pytest.fixture(scope="module")
def layout(body):
    return plug_in_gait_layout(body)


@pytest.fixture(scope="module")
def hinged(body, tmp_path_factory):
    """The open body on a constrained tree."""
    path = constrained_open_body(tmp_path_factory.mktemp("models") / "open_constrained.npy", body)
    return load_body(path, constrained=True)


@pytest.fixture(scope="module")
def walk(body):
    return short_walk(body, seed=2, seconds=1.0)


@pytest.fixture(scope="module")
def recording(body, layout, walk):
    return recorded(body, walk, layout, LITTLE)


@pytest.fixture(scope="module")
def person(recording, body, layout):
    return fit_person([recording], body, layout)


def joint_errors_mm(gait, walk):
    """(22,) mean distance of each joint from the truth."""
    return 1e3 * np.linalg.norm(gait.joints_m[:, :NUM_BODY_JOINTS] - walk.truth.joints_m, axis=-1).mean(axis=0)


def vertices(body, poses, betas, translation_m):
    with torch.inference_mode():
        return body(*(torch.as_tensor(x).to(body.v_template) for x in (poses, betas, translation_m))).vertices.numpy()


def stature(body, betas):
    with torch.inference_mode():
        height = body.shaped(torch.as_tensor(betas).to(body.v_template))[0][0, :, 1]
    return float(height.max() - height.min())


def bends_the_human_way(gait):
    for side, sign in (("LEFT", -1), ("RIGHT", 1)):
        if degrees(gait.rotations, Joint[f"{side}_KNEE"])[:, 0].min() < -5:
            return False
        if (sign * degrees(gait.rotations, Joint[f"{side}_ELBOW"])[:, 1]).min() < -5:
            return False
    return True


# --- against the truth -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["healthy_1", "healthy_4", "crouch", "stiff_knee_left", "parkinsonian"])
def test_walkers_as_laboratories_record_them(body, layout, name):
    """The issue's table: 10 mm placement error, 1 mm noise, 2 % gaps; joints within 12 mm, vertices within 15."""
    who = walker(name)
    walk = make_walk(body, make_person(body, who.seed), who.disorder, seconds=1.3)
    fit = fit_person([recorded(body, walk, layout, AS_IN_THE_TABLE)], body, layout)
    (gait,) = fit.gaits
    assert joint_errors_mm(gait, walk).mean() < 12
    some, truth = slice(0, None, 15), walk.truth
    ours = vertices(body, gait.poses[some], gait.betas, gait.translation_m[some])
    theirs = vertices(body, truth.poses[some], truth.betas, truth.translation_m[some])
    assert 1e3 * np.linalg.norm(ours - theirs, axis=-1).mean() < 15
    assert 0.3 < 1e3 * np.nanmean(gait.residual_m) < 4
    assert abs(stature(body, gait.betas) - walk.person.stature_m) < 0.04
    assert bends_the_human_way(gait)


@pytest.mark.parametrize("adult", [True, False], ids=["adult", "child"])
def test_without_errors_the_body_is_found(body, layout, adult):
    walk = make_walk(body, make_person(body, 11, adult=adult), seconds=1.0)
    (gait,) = fit_person([recorded(body, walk, layout, NO_ERRORS)], body, layout).gaits
    assert np.nanmean(gait.residual_m) < 0.001
    assert joint_errors_mm(gait, walk).mean() < 6
    assert abs(stature(body, gait.betas) - walk.person.stature_m) < 0.025


def test_knee_angles_follow_the_truth(person, walk):
    for knee in (Joint.LEFT_KNEE, Joint.RIGHT_KNEE):
        ours = degrees(person.gaits[0].rotations, knee)[:, 0]
        theirs = np.degrees(walk.truth.poses[:, 3 * knee])
        assert np.corrcoef(ours, theirs)[0, 1] > 0.995
        assert np.sqrt(np.mean((ours - theirs) ** 2)) < 4


def test_a_fit_agrees_with_itself(person, recording, body):
    """Poses, joints, markers and residuals tell of one and the same body."""
    (gait,) = person.gaits
    T, M = recording.visible.shape
    assert gait.recording is recording
    assert set(gait.labels) == set(recording.labels)
    columns = [recording.labels.index(label) for label in gait.labels]
    apart = np.linalg.norm(gait.virtual_m - recording.positions_m[:, columns], axis=-1)
    np.testing.assert_allclose(gait.residual_m, np.where(recording.visible[:, columns], apart, np.nan), atol=1e-9)
    assert gait.poses.shape == (T, body.num_pose)
    assert gait.virtual_m.shape == (T, M, 3)
    assert (gait.poses[:, 3 * NUM_BODY_JOINTS :] == 0).all(), "fingers, toes and face stay at rest"
    with torch.inference_mode():
        inputs = (torch.as_tensor(x).to(body.v_template) for x in (gait.poses, gait.betas, gait.translation_m))
        joints = body.posed_joints(*inputs)[:, :NUM_BODY_JOINTS].numpy()
    np.testing.assert_allclose(gait.joints_m, joints, atol=1e-5)
    assert gait.seconds > 0
    assert person.visits == ((0,),)


def test_two_runs_are_alike_to_the_last_bit(person, recording, body, layout):
    (first,), (second,) = person.gaits, fit_person([recording], body, layout).gaits
    for name in ("betas", "offset_m", "poses", "translation_m", "joints_m", "virtual_m", "residual_m"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_the_order_of_columns_and_of_the_layout_is_no_matter(person, recording, body, layout):
    order = np.random.default_rng(0).permutation(len(recording.labels))
    mixed = replace(
        recording,
        labels=tuple(recording.labels[m] for m in order),
        positions_m=recording.positions_m[:, order],
        visible=recording.visible[:, order],
    )
    (gait,) = fit_person([mixed], body, layout.select(layout.labels[::-1])).gaits
    np.testing.assert_allclose(gait.joints_m, person.gaits[0].joints_m, atol=2e-4)


def test_where_in_the_laboratory_somebody_walks_is_no_matter(person, recording, body, layout):
    R, shift = Rotation.from_rotvec([0, 2.2, 0]).as_matrix(), np.array([40.0, 0.1, -12.0])
    elsewhere = replace(recording, positions_m=recording.positions_m @ R.T + shift)
    (gait,) = fit_person([elsewhere], body, layout).gaits
    np.testing.assert_allclose(gait.joints_m, person.gaits[0].joints_m @ R.T + shift, atol=2e-4)
    np.testing.assert_allclose(gait.betas, person.gaits[0].betas, atol=0.02)


def test_frames_beyond_a_batch_are_fitted_as_within(recording, body, layout, monkeypatch):
    """A recording is solved in batches; where one ends shows nowhere."""
    monkeypatch.setattr("gait.fitting.frame_batches.CPU_FRAMES", 33)
    (parts,) = fit_person([recording], body, layout).gaits
    monkeypatch.setattr("gait.fitting.frame_batches.CPU_FRAMES", 1000)
    (whole,) = fit_person([recording], body, layout).gaits
    np.testing.assert_allclose(parts.joints_m, whole.joints_m, atol=5e-5)


def test_the_number_of_cores_shows_nowhere_to_the_last_bit(recording, body, layout, monkeypatch):
    monkeypatch.setattr("gait.fitting.frame_batches.CPU_FRAMES", 17)
    fits = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        try:
            fits += fit_person([recording], body, layout).gaits
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(1)
    for name in ("betas", "offset_m", "poses", "joints_m", "residual_m"):
        np.testing.assert_array_equal(getattr(fits[0], name), getattr(fits[1], name))


# --- parts that nobody sees ------------------------------------------------------------------------------------------


def test_with_markers_on_the_legs_alone_the_rest_stays_natural(body, layout, walk):
    recording = recorded(body, walk, layout, LITTLE, labels=LEGS)
    (gait,) = fit_person([recording], body, layout).gaits
    assert joint_errors_mm(gait, walk)[LEG_JOINTS].mean() < 12
    assert bends_the_human_way(gait)
    prior = natural_pose_prior()
    angles = matrix_to_axis_angle(torch.as_tensor(gait.rotations)).numpy()[:, 1:]
    assert (angles < prior.upper[1:] + np.radians(3)).all()
    assert (angles > prior.lower[1:] - np.radians(3)).all()
    for name in ("SHOULDER", "ELBOW", "WRIST"):
        for side in ("LEFT", "RIGHT"):
            joint = Joint[f"{side}_{name}"]
            assert np.abs(angles[:, joint - 1] - prior.mean[joint]).max() < np.radians(10)
    assert abs(stature(body, gait.betas) - walk.person.stature_m) < 0.1


def test_a_marker_that_only_one_recording_has(body, layout):
    """Each gait is fitted to its own markers, and both to one shape."""
    who = make_person(body, 7)
    first, second = (make_walk(body, who, seconds=0.8, seed=seed) for seed in (1, 2))
    whole = recorded(body, first, layout, LITTLE)
    fewer = recorded(body, second, layout, LITTLE, labels=[name for name in whole.labels if name not in ("C7", "LTHI")])
    fit = fit_person([whole, fewer], body, layout)
    assert set(fit.gaits[0].labels) - set(fit.gaits[1].labels) == {"C7", "LTHI"}
    np.testing.assert_array_equal(fit.gaits[0].betas, fit.gaits[1].betas)
    assert fit.gaits[1].residual_m.shape[1] == len(fewer.labels)
    for gait, walk in zip(fit.gaits, (first, second), strict=True):
        assert joint_errors_mm(gait, walk).mean() < 10
    report = fit_report(fit, fit.gaits[1], layout.labels, 1.7)
    assert {"C7", "LTHI"} <= set(report.missing_markers)


def test_a_marker_that_never_shows(recording, body, layout):
    hidden = np.zeros(recording.visible.shape, dtype=bool)
    hidden[:, recording.labels.index("RKNE")] = True
    fit = fit_person([unseen_where(recording, hidden)], body, layout)
    assert np.isfinite(fit.gaits[0].joints_m).all()
    report = fit_report(fit, fit.gaits[0], layout.labels, 1.7)
    assert "RKNE" in report.missing_markers
    assert report.markers["RKNE"]["mean_mm"] is None
    assert report.markers["RKNE"]["visible"] == 0
    json.dumps(report.as_dict(), allow_nan=False)


def test_labels_that_no_layout_knows_are_left_out(recording, body, layout, person):
    T = recording.frames
    strange = replace(
        recording,
        labels=(*recording.labels, "BOX1"),
        positions_m=np.concatenate([recording.positions_m, np.full((T, 1, 3), 7.0)], axis=1),
        visible=np.concatenate([recording.visible, np.ones((T, 1), bool)], axis=1),
        unused_labels=("LHipAngles",),
    )
    fit = fit_person([strange], body, layout)
    np.testing.assert_array_equal(fit.gaits[0].joints_m, person.gaits[0].joints_m)
    assert fit_report(fit, fit.gaits[0], layout.labels, 1.7).unused_labels == ("BOX1", "LHipAngles")


# --- recordings of one person ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_walks(body, layout):
    who = make_person(body, 6)
    walks = tuple(make_walk(body, who, seconds=0.8, seed=seed) for seed in (1, 2))
    return walks, tuple(recorded(body, walk, layout, LITTLE) for walk in walks)


@pytest.fixture(scope="module")
def two_fits(two_walks, body, layout):
    return fit_person(two_walks[1], body, layout)


def test_recordings_of_a_session_share_shape_and_placement(two_fits):
    first, second = two_fits.gaits
    assert two_fits.visits == ((0, 1),)
    np.testing.assert_array_equal(first.betas, second.betas)
    assert np.linalg.norm(first.offset_m - second.offset_m, axis=-1).max() < 0.002


@pytest.mark.parametrize("label", ["RASI", "LTHI", "LKNE"])
def test_a_marker_put_on_anew_frees_itself(two_walks, two_fits, body, layout, label):
    """40 mm away in the second recording: the first one's placement and poses hardly know of it."""
    (first, second), (one, other) = two_walks
    column = other.labels.index(label)
    segment = {"RASI": Joint.PELVIS, "LTHI": Joint.LEFT_HIP, "LKNE": Joint.LEFT_KNEE}[label]
    pose, betas = torch.as_tensor(second.truth.poses), torch.as_tensor(second.truth.betas)
    R = body.posed_skeleton(pose, betas)[0][:, segment].double().numpy()
    positions = other.positions_m.copy()
    positions[:, column] += R @ np.array([0.0, 0.028, 0.028])
    fit = fit_person([one, replace(other, positions_m=positions)], body, layout)
    mine = fit.gaits[0].labels.index(label)
    before, after = two_fits.gaits[0].offset_m, fit.gaits[0].offset_m
    assert np.linalg.norm(after - before, axis=-1).max() < 0.012
    apart = np.linalg.norm(fit.gaits[1].offset_m - fit.gaits[0].offset_m, axis=-1)
    assert apart[mine] > 0.010
    assert np.delete(apart, mine).max() < apart[mine] / 2
    for gait, walk, fitted in zip(fit.gaits, (first, second), two_fits.gaits, strict=True):
        assert joint_errors_mm(gait, walk).mean() < joint_errors_mm(fitted, walk).mean() + 2


def test_a_child_that_grew_has_two_shapes(body, layout):
    small, tall = (of_stature(body, s) for s in (1.15, 1.35))
    walks = [make_walk(body, who, seconds=0.8, seed=1) for who in (small, tall, small)]
    fit = fit_person([recorded(body, walk, layout, LITTLE) for walk in walks], body, layout)
    assert fit.visits == ((0, 2), (1,))
    np.testing.assert_array_equal(fit.gaits[0].betas, fit.gaits[2].betas)
    for gait, walk in zip(fit.gaits, walks, strict=True):
        assert abs(stature(body, gait.betas) - walk.person.stature_m) < 0.04


def of_stature(body, wanted):
    """Somebody of about this stature; the first direction of the shape is size."""
    who = make_person(body, 8, adult=False)
    low, high = -6.0, 6.0
    for _ in range(30):
        middle = (low + high) / 2
        betas = np.concatenate([[middle], who.betas[1:]])
        low, high = (middle, high) if stature(body, betas) < wanted else (low, middle)
    share = wanted / who.stature_m
    return replace(who, betas=betas, stature_m=stature(body, betas), leg_length_m=who.leg_length_m * share)


@pytest.mark.parametrize(
    ("sizes", "visits"),
    [
        ([1.0], ((0,),)),
        ([1.0, 1.03, 1.01], ((0, 1, 2),)),
        ([1.0, 1.2], ((0,), (1,))),
        ([1.2, 1.0, 1.21, 0.99], ((0, 2), (1, 3))),
        ([1.0, 1.03, 1.06, 1.09], ((0, 1, 2, 3),)),  # no gap between them: no visit ends
        ([1.0, 1.3, 1.15], ((0,), (1,), (2,))),
    ],
)
def test_visits_by_size(sizes, visits):
    assert same_size(sizes) == visits


# --- frames to calibrate on ------------------------------------------------------------------------------------------


def test_calibration_frames_are_spread_and_well_seen():
    seen = np.ones((400, 10), dtype=bool)
    seen[100:150] = False
    (rows,) = calibration_frames([seen], 36)
    assert len(rows) == len(set(rows.tolist())) == 36
    assert rows.tolist() == sorted(rows.tolist())
    assert rows[0] == 0
    assert rows[-1] == 399
    assert not np.isin(rows, np.arange(100, 150)).any()
    assert np.diff(rows).max() < 100


def test_calibration_frames_hold_a_body_where_most_frames_are_empty():
    seen = np.zeros((400, 30), dtype=bool)
    seen[150:240] = True
    (rows,) = calibration_frames([seen], 36)
    assert len(rows) == 36
    assert rows.min() >= 150
    assert rows.max() < 240


def test_calibration_frames_are_shared_out_and_never_none():
    many = [np.ones((50, 5), dtype=bool)] * 40 + [np.ones((1, 5), dtype=bool)]
    chosen = calibration_frames(many, 36)
    assert [len(rows) for rows in chosen] == [1] * 41
    few = calibration_frames(many[:3], 36)
    assert [len(rows) for rows in few] == [12] * 3


def test_each_marker_is_in_some_calibration_frame():
    """One that shows in a few bad frames alone takes part all the same."""
    seen = np.ones((300, 8), dtype=bool)
    seen[:, 7] = False
    seen[200:206, 7] = True
    seen[200:206, :5] = False
    (rows,) = calibration_frames([seen], 12)
    assert seen[rows, 7].any()
    seen[:, 7] = False
    (rows,) = calibration_frames([seen], 12)
    assert len(rows) == 12


# --- what cannot be fitted -------------------------------------------------------------------------------------------


def test_too_few_known_markers_are_refused_and_both_sets_listed(recording, body, layout):
    names = tuple(f"BOX{k}" for k in range(len(recording.labels) - 4)) + recording.labels[-4:]
    strange = replace(recording, labels=names)
    with pytest.raises(GaitError) as refused:
        check_labels(strange, layout)
    line = str(refused.value)
    assert "\n" not in line
    assert "walk0.c3d" in line
    assert "BOX0" in line
    assert "LASI" in line
    assert "constraint_file" in line
    with pytest.raises(GaitError, match="BOX0"):
        fit_person([recording, strange], body, layout)


def test_no_frame_with_four_markers_is_refused(recording, body, layout):
    """All markers are there, but never four at once."""
    hidden = np.ones(recording.visible.shape, dtype=bool)
    for t in range(recording.frames):
        hidden[t, (3 * t) % 30 : (3 * t) % 30 + 3] = False
    with pytest.raises(GaitError, match=r"walk0\.c3d.*four markers"):
        fit_person([unseen_where(recording, hidden)], body, layout)


def test_markers_in_one_line_are_refused(recording, body, layout):
    line = np.linspace(0, 1, len(recording.labels))[None, :, None] * np.array([0.3, 1.5, 0.2])
    positions = np.broadcast_to(line, recording.positions_m.shape).copy()
    straight = replace(recording, positions_m=positions, visible=np.ones_like(recording.visible))
    with pytest.raises(GaitError, match="four markers"):
        fit_person([straight], body, layout)


def test_equations_without_a_solution_are_one_line(recording, body, layout, monkeypatch):
    def singular(*_, **__):
        raise torch.linalg.LinAlgError("not positive-definite")

    monkeypatch.setattr("gait.fitting.subject_fit.calibrate", singular)
    with pytest.raises(GaitError, match=r"^[^\n]*do not determine[^\n]*$"):
        fit_person([recording], body, layout)


@pytest.mark.parametrize("frames", [1, 2, 3, 7])
def test_recordings_of_a_few_frames(recording, body, layout, frames):
    few = replace(recording, positions_m=recording.positions_m[:frames], visible=recording.visible[:frames])
    (gait,) = fit_person([few], body, layout).gaits
    assert gait.poses.shape == (frames, body.num_pose)
    assert np.isfinite(gait.joints_m).all()
    assert np.nanmean(gait.residual_m) < 0.01


def test_noise_in_place_of_a_person_ends_without_an_accident(recording, body, layout):
    rng = np.random.default_rng(0)
    noise = replace(recording, positions_m=rng.normal(0, 1, recording.positions_m.shape))
    (gait,) = fit_person([noise], body, layout).gaits
    assert np.isfinite(gait.joints_m).all()
    assert np.isfinite(gait.poses).all()
    assert np.nanmean(gait.residual_m) > 0.1, "and the residual says so"


# --- layouts and bounds from a file ----------------------------------------------------------------------------------


def constraints_file(path, layout, body, **more):
    markers = {
        label: {"id": m, "faceId": int(face), "baryCoords": bary.tolist(), "distanceToSkin": float(distance)}
        for m, (label, face, bary, distance) in enumerate(
            zip(layout.labels, layout.face, layout.bary, layout.distance_m, strict=True)
        )
    }
    content = {"markers": {"type": "C3DMarker", "numFaces": len(body.faces), "Markers": markers}, **more}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_the_same_layout_from_a_file_gives_the_same_fit(tmp_path, recording, body, layout, person):
    constraints = read_constraints(constraints_file(tmp_path / "constraints.json", layout, body), body)
    read = constraints.layout_for(recording.labels)
    (gait,) = fit_person([recording], body, read, bounds=constraints.angle_bounds).gaits
    np.testing.assert_allclose(gait.joints_m, person.gaits[0].joints_m, atol=1e-4)


@pytest.mark.parametrize("tree", ["free", "hinge"])
def test_angle_bounds_of_a_file_act(tmp_path, recording, body, hinged, layout, walk, tree):
    """A knee that may not bend by more than 20 degrees does not, though the markers say otherwise."""
    model = hinged if tree == "hinge" else body
    knee = model.pose_joint.tolist().index(Joint.LEFT_KNEE)
    assert np.degrees(walk.truth.poses[:, 3 * Joint.LEFT_KNEE]).max() > 45
    limit = {"type": "Angle", "joints": [knee], "lbounds": [-0.1], "upbounds": [float(np.radians(20))]}
    constraints = read_constraints(constraints_file(tmp_path / "constraints.json", layout, model, knee=limit), model)
    (bound,) = fit_person([recording], model, layout, bounds=constraints.angle_bounds).gaits
    (loose,) = fit_person([recording], model, layout).gaits
    for gait, lowest, highest in ((bound, 15, 30), (loose, 45, 80)):
        assert lowest < np.degrees(gait.poses[:, knee]).max() < highest
        assert lowest < degrees(gait.rotations, Joint.LEFT_KNEE)[:, 0].max() < highest
    other = degrees(bound.rotations, Joint.RIGHT_KNEE)[:, 0] - degrees(loose.rotations, Joint.RIGHT_KNEE)[:, 0]
    assert np.abs(other).max() < 10


def test_bounds_of_joints_that_the_fit_leaves_alone_are_no_matter(recording, body, layout, person):
    finger = AngleBounds(np.array([3 * Joint.LEFT_INDEX1 + 2]), np.array([0.5]), np.array([0.6]))
    (gait,) = fit_person([recording], body, layout, bounds=finger).gaits
    np.testing.assert_array_equal(gait.poses, person.gaits[0].poses)


# --- the hinge tree --------------------------------------------------------------------------------------------------


def test_a_constrained_body_wears_the_markers_too(recording, hinged, walk, person):
    (gait,) = fit_person([recording], hinged, plug_in_gait_layout(hinged)).gaits
    assert gait.poses.shape == (recording.frames, hinged.num_pose)
    assert hinged.num_pose < 225
    free = np.nanmean(person.gaits[0].residual_m)
    assert free < np.nanmean(gait.residual_m) < max(4 * free, 0.006)
    assert joint_errors_mm(gait, walk).mean() < 15
    assert bends_the_human_way(gait)
    with torch.inference_mode():
        inputs = (torch.as_tensor(x).to(hinged.v_template) for x in (gait.poses, gait.betas, gait.translation_m))
        joints = hinged.posed_joints(*inputs)[:, :NUM_BODY_JOINTS].numpy()
    np.testing.assert_allclose(gait.joints_m, joints, atol=1e-4)
    knee = matrix_to_axis_angle(torch.as_tensor(gait.rotations[:, Joint.LEFT_KNEE])).numpy()
    assert np.abs(knee[:, 1:]).max() < 1e-6, "a hinged knee turns about its hinge alone"


# --- a learned prior -------------------------------------------------------------------------------------------------


def test_a_learned_prior_of_no_worth_does_not_break_a_fit(recording, body, layout, person):
    """Random weights: leant on, so the fit changes; but the markers have the last word."""
    generator = torch.Generator().manual_seed(0)
    weights = {
        key: torch.rand(shape, generator=generator, dtype=torch.float64) * 0.1 + ("var" in key and "logvar" not in key)
        for key, shape in _needed_shapes(64, 8).items()
    }
    (gait,) = fit_person([recording], body, layout, vposer=VPoser("random", "", weights)).gaits
    change = np.linalg.norm(gait.joints_m - person.gaits[0].joints_m, axis=-1)
    assert change.max() > 1e-4
    assert change.mean() < 0.06
    assert np.nanmean(gait.residual_m) < 0.02


def test_other_bodies_can_be_fitted(tmp_path):
    """A test body without a human form: markers anywhere, blend shapes, few shape directions."""
    small = random_body(tmp_path, num_betas=3)
    layout = random_layout(small, 40)
    rng = np.random.default_rng(0)
    numbers = np.zeros((12, small.num_pose))
    numbers[:, :66] = rng.normal(0, 0.05, 66) + 0.1 * np.sin(np.arange(12))[:, None] * rng.normal(0, 0.3, 66)
    out = small(torch.tensor(numbers), torch.zeros(3, dtype=torch.float64), torch.zeros(12, 3, dtype=torch.float64))
    corners = out.vertices.numpy()[:, small.faces.numpy()[layout.face]]
    positions = np.einsum("mk,tmkc->tmc", layout.bary, corners)
    flat = replace(layout, distance_m=np.zeros(40))
    seen = np.ones(positions.shape[:2], dtype=bool)
    (gait,) = fit_person([Recording(Path("made.c3d"), layout.labels, positions, seen, 50.0)], small, flat).gaits
    assert np.isfinite(gait.joints_m).all()
    assert np.nanmean(gait.residual_m) < 0.05
