"""Test fits with bodies of the SMPL family, converted from the open body."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.rotations import PoseFeature
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.motion.pose_files import read_poses
from gait.synthetic import NO_ERRORS, MeasurementErrors
from tests.helpers.fit_cohort import fit_cohort
from tests.helpers.fitting_cases import open_body_as, record_trial, short_trial, write_c3d

REALISTIC = MeasurementErrors(placement_m=0.010, noise_m=0.001, gap_fraction=0.02)
BLEND_M = 0.008
"""A joint rotation of one radian moves the skin near it by 1 to 2 cm."""


@pytest.fixture(scope="module")
def bodies(tmp_path_factory):
    """The open body as SMPL-X and as SMPL-H, without and with blend shapes."""
    folder = tmp_path_factory.mktemp("models")
    return {
        "smplx": load_body(open_body_as("smplx", folder / "x.npz")),
        "smplh": load_body(open_body_as("smplh", folder / "h.npz")),
        "smplx blended": load_body(open_body_as("smplx", folder / "xb.npz", BLEND_M)),
        "smplh blended": load_body(open_body_as("smplh", folder / "hb.npz", BLEND_M)),
    }


def joint_errors_mm(trial_fit, trial):
    """Return the mean distance of each joint from the truth (22,), mm."""
    return 1e3 * np.linalg.norm(trial_fit.joints_m[:, :NUM_BODY_JOINTS] - trial.ground_truth.joints_m, axis=-1).mean(
        axis=0
    )


@pytest.mark.parametrize("kind", ["smplx", "smplh"])
def test_plug_in_gait_layout_equals_that_of_the_open_body(open_body, bodies, kind):
    """Joints are found by name; the foot joint replaces missing toe joints."""
    theirs, ours = plug_in_gait_layout(open_body), plug_in_gait_layout(bodies[kind])
    assert ours.labels == theirs.labels
    same = [label not in ("LTOE", "RTOE") for label in ours.labels]
    np.testing.assert_array_equal(ours.face[same], theirs.face[same])
    np.testing.assert_allclose(ours.barycentric[same], theirs.barycentric[same], atol=1e-4)
    corners = open_body.v_template.numpy()[open_body.faces.numpy()]
    for label in ("LTOE", "RTOE"):
        positions = [
            layout.select([label]).barycentric @ corners[layout.select([label]).face[0]] for layout in (ours, theirs)
        ]
        assert np.linalg.norm(positions[0] - positions[1]) < 0.02


def test_fit_with_smplx_equals_the_fit_with_the_open_body(open_body, bodies):
    trial = short_trial(open_body, seed=2, seconds=1.0)
    layout = plug_in_gait_layout(open_body)
    recording = record_trial(open_body, trial, layout, REALISTIC)
    (theirs,) = fit_shape_and_poses([recording], open_body, layout).trials
    (ours,) = fit_shape_and_poses([recording], bodies["smplx"], layout).trials
    assert ours.poses.shape[1] == 165
    assert ours.betas.shape == (50,)
    np.testing.assert_allclose(ours.joints_m[:, :22], theirs.joints_m[:, :22], atol=1e-4)
    np.testing.assert_allclose(ours.betas, theirs.betas, atol=5e-3)


@pytest.mark.parametrize("kind", ["smplx blended", "smplh blended"])
def test_fit_with_pose_blend_shapes(bodies, kind):
    body = bodies[kind]
    assert body.posedirs is not None
    assert body.feature is PoseFeature.MATRIX
    trial = short_trial(body, seed=3, seconds=1.0)
    layout = plug_in_gait_layout(body)
    recording = record_trial(body, trial, layout, NO_ERRORS)
    (trial_fit,) = fit_shape_and_poses([recording], body, layout).trials
    assert 1e3 * np.nanmean(trial_fit.residual_m) < 1.5
    assert joint_errors_mm(trial_fit, trial).mean() < 6
    with torch.inference_mode():
        posed = body(
            *(torch.as_tensor(x).to(body.dtype) for x in (trial_fit.poses, trial_fit.betas, trial_fit.translation_m))
        )
    np.testing.assert_allclose(posed.joints[:, :NUM_BODY_JOINTS], trial_fit.joints_m, atol=1e-4)
    (without,) = fit_shape_and_poses([recording], replace(body, posedirs=None), layout).trials
    assert np.nanmean(without.residual_m) > 2 * np.nanmean(trial_fit.residual_m)
    assert joint_errors_mm(without, trial).mean() > 2 * joint_errors_mm(trial_fit, trial).mean()


def test_cohort_with_smplx_and_smplh_files(tmp_path):
    """The files are in the folders of the package smplx."""
    models = {
        "anna": ("smplx", "SMPLX_FEMALE.npz", tmp_path / "data/smplx/SMPLX_FEMALE.npz"),
        "bert": ("smplh", "smplh/male/model.npz", tmp_path / "data/smplh/male/model.npz"),
    }
    subjects = []
    for subject, (kind, name, path) in models.items():
        path.parent.mkdir(parents=True)
        body = load_body(open_body_as(kind, path, BLEND_M))
        trial = short_trial(body, seed=4, seconds=0.6)
        write_c3d(tmp_path / f"{subject}.c3d", body, plug_in_gait_layout(body), trial, errors=REALISTIC)
        subjects.append(Subject(subject, (tmp_path / f"{subject}.c3d",), healthy=True, model_file=name))
    settings = FitSettings(tmp_path / "data", tmp_path / "out", export_as=("pose_json",))
    assert [outcome.state for outcome in fit_cohort(subjects, settings)] == ["fitted"] * 2
    for subject, (kind, _, path) in models.items():
        folder = tmp_path / "out/healthy" / subject / subject
        assert (folder / "fit.png").stat().st_size > 10_000
        poses = read_poses(folder)
        body = load_body(path)
        assert (poses.model_type, poses.model_file, poses.gender) == (kind, body.name, body.gender)
        assert poses.poses.shape == (60, body.num_pose)
        (folder / "poses.npz").unlink()
        frames = read_poses(folder, body=body, rate_hz=100)
        np.testing.assert_allclose(frames.joints_m, poses.joints_m, atol=1e-4)
        assert frames.model_type == kind
