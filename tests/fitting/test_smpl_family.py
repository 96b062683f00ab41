"""Walkers fitted with bodies of SMPL's family, made of the open body."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.rotations import PoseFeature
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.fitting.subject_fit import fit_person
from gait.motion.pose_files import read_poses
from gait.synthetic import NO_ERRORS, MarkerErrors
from tests.helpers.fitting_cases import open_body_as, recorded, short_walk, write_c3d
from tests.helpers.paths import REPOSITORY

ROOT = REPOSITORY
AS_RECORDED = MarkerErrors(placement_m=0.010, noise_m=0.001, gap_share=0.02)
BLEND_M = 0.008
"""A joint that bends by a radian moves the skin near it by a centimetre or two."""


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


def joint_errors_mm(gait, walk):
    """(22,) mean distance of each joint from the truth."""
    return 1e3 * np.linalg.norm(gait.joints_m[:, :NUM_BODY_JOINTS] - walk.truth.joints_m, axis=-1).mean(axis=0)


@pytest.mark.parametrize("kind", ["smplx", "smplh"])
def test_markers_are_placed_as_on_the_open_body(open_body, bodies, kind):
    """By the names of joints: fingers are found wherever they are; the foot joint stands for toes that are lacking."""
    theirs, ours = plug_in_gait_layout(open_body), plug_in_gait_layout(bodies[kind])
    assert ours.labels == theirs.labels
    same = [label not in ("LTOE", "RTOE") for label in ours.labels]
    np.testing.assert_array_equal(ours.face[same], theirs.face[same])
    np.testing.assert_allclose(ours.bary[same], theirs.bary[same], atol=1e-4)
    corners = open_body.v_template.numpy()[open_body.faces.numpy()]
    for label in ("LTOE", "RTOE"):
        place = [layout.select([label]).bary @ corners[layout.select([label]).face[0]] for layout in (ours, theirs)]
        assert np.linalg.norm(place[0] - place[1]) < 0.02


def test_a_fit_as_smplx_is_the_fit_as_the_open_body(open_body, bodies):
    walk = short_walk(open_body, seed=2, seconds=1.0)
    layout = plug_in_gait_layout(open_body)
    recording = recorded(open_body, walk, layout, AS_RECORDED)
    (theirs,) = fit_person([recording], open_body, layout).gaits
    (ours,) = fit_person([recording], bodies["smplx"], layout).gaits
    assert ours.poses.shape[1] == 165
    assert ours.betas.shape == (50,)
    np.testing.assert_allclose(ours.joints_m[:, :22], theirs.joints_m[:, :22], atol=1e-4)
    np.testing.assert_allclose(ours.betas, theirs.betas, atol=5e-3)


@pytest.mark.parametrize("kind", ["smplx blended", "smplh blended"])
def test_a_body_with_blend_shapes_is_found(bodies, kind):
    body = bodies[kind]
    assert body.posedirs is not None
    assert body.feature is PoseFeature.MATRIX
    walk = short_walk(body, seed=3, seconds=1.0)
    layout = plug_in_gait_layout(body)
    recording = recorded(body, walk, layout, NO_ERRORS)
    (gait,) = fit_person([recording], body, layout).gaits
    assert 1e3 * np.nanmean(gait.residual_m) < 1.5
    assert joint_errors_mm(gait, walk).mean() < 6
    with torch.inference_mode():
        posed = body(*(torch.as_tensor(x).to(body.dtype) for x in (gait.poses, gait.betas, gait.translation_m)))
    np.testing.assert_allclose(posed.joints[:, :NUM_BODY_JOINTS], gait.joints_m, atol=1e-4)
    (without,) = fit_person([recording], replace(body, posedirs=None), layout).gaits
    assert np.nanmean(without.residual_m) > 2 * np.nanmean(gait.residual_m)
    assert joint_errors_mm(without, walk).mean() > 2 * joint_errors_mm(gait, walk).mean()


def test_a_cohort_that_names_such_files(tmp_path):
    """The command line, from files where the package smplx wants them to poses that say whose they are."""
    places = {
        "anna": ("smplx", "SMPLX_FEMALE.npz", tmp_path / "data/smplx/SMPLX_FEMALE.npz"),
        "bert": ("smplh", "smplh/male/model.npz", tmp_path / "data/smplh/male/model.npz"),
    }
    cohort = {}
    for person, (kind, name, path) in places.items():
        path.parent.mkdir(parents=True)
        body = load_body(open_body_as(kind, path, BLEND_M))
        walk = short_walk(body, seed=4, seconds=0.6)
        write_c3d(tmp_path / f"{person}.c3d", body, plug_in_gait_layout(body), walk, errors=AS_RECORDED)
        cohort[person] = {"gaits": [f"{person}.c3d"], "healthy": True, "model_file": name}
    (tmp_path / "cohort.json").write_text(json.dumps(cohort), encoding="utf-8")
    command = [sys.executable, ROOT / "shape_optimizer.py", "--cohort", "cohort.json", "--model_folder", "data"]
    command += ["--save_folder", "out", "--pose_format", "json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for person, (kind, _, path) in places.items():
        folder = tmp_path / "out/healthy" / person / person
        assert (folder / "fit.png").stat().st_size > 10_000
        poses = read_poses(folder)
        body = load_body(path)
        assert (poses.model_type, poses.model_file, poses.gender) == (kind, body.name, body.gender)
        assert poses.poses.shape == (60, body.num_pose)
        (folder / "poses.npz").unlink()
        frames = read_poses(folder, body=body, rate_hz=100)
        np.testing.assert_allclose(frames.joints_m, poses.joints_m, atol=1e-4)
        assert frames.model_type == kind
