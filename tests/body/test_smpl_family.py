"""SMPL-X, SMPL-H and SMPL models: against a slow forward pass and against the package smplx."""

import importlib
import json
import pickle
import runpy
import subprocess
import sys

import numpy as np
import pytest
import torch

from gait.body.model_file import load_body
from gait.body.rotations import PoseFeature
from gait.errors import GaitError
from tests.helpers.body_files import (
    SMPL_PARENTS,
    SMPL_SIZES,
    chumpy_pickle,
    python2_pickle,
    random_smpl,
    slow_body,
    slow_local,
)
from tests.helpers.paths import OPEN_BODY, REPOSITORY

AGREEMENT = REPOSITORY / "benchmarks" / "smplx_agreement.py"
KINDS = pytest.mark.parametrize("kind", SMPL_PARENTS)
WRITERS = {
    "npz": None,
    "pkl": pickle.dumps,
    "python2.pkl": python2_pickle,
    "chumpy.pkl": chumpy_pickle,
}


def written(folder, model, writer="npz", name="body"):
    """Write a model file in a released format."""
    path = folder / f"{name}.{writer}"
    if writer == "npz":
        np.savez(path, **model)
    else:
        path.write_bytes(WRITERS[writer](model))
    return path


def random_inputs(num_joints, num_betas, frames=3, seed=1):
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.6, (frames, 3 * num_joints))
    pose[0, ::2] = 0
    return pose, rng.normal(size=(frames, num_betas)), rng.normal(size=(frames, 3))


@KINDS
@pytest.mark.parametrize("writer", WRITERS)
def test_smpl_family_equals_slow_forward_pass(tmp_path, kind, writer):
    model = random_smpl(kind, sparse="pkl" in writer)
    body = load_body(written(tmp_path, model, writer), dtype=torch.float64)
    J = len(SMPL_PARENTS[kind])
    assert (body.num_joints, body.num_pose, body.model_type) == (J, 3 * J, kind)
    assert body.feature is PoseFeature.MATRIX
    assert body.parents == tuple(SMPL_PARENTS[kind])
    pose, betas, translation = random_inputs(J, min(8, body.num_betas))
    out = body(*(torch.tensor(x) for x in (pose, betas, translation)))
    local, feature = body.local_rotations(torch.tensor(pose))
    for i in range(len(pose)):
        vertices, joints = slow_body(model, pose[i], betas[i], translation[i])
        np.testing.assert_allclose(out.vertices[i], vertices, atol=1e-10)
        np.testing.assert_allclose(out.joints[i], joints, atol=1e-10)
        np.testing.assert_allclose(local[i], slow_local(model, pose[i], False)[0], atol=1e-12)
        np.testing.assert_allclose(feature[i], local[i].reshape(J, 9) - torch.eye(3).reshape(9), atol=1e-12)


@KINDS
def test_smpl_family_root_rotation_keeps_the_shape(tmp_path, kind):
    """The root has no pose blend shapes: rotating the whole body does not change its shape."""
    body = load_body(written(tmp_path, random_smpl(kind)), dtype=torch.float64)
    pose, betas, _ = (torch.tensor(x) for x in random_inputs(body.num_joints, 5, frames=1))
    still = pose.clone()
    still[:, :3] = 0
    turned, unturned = body(pose, betas), body(still, betas)
    root = unturned.joints[:, :1]
    expected = root + (unturned.vertices - root) @ turned.rotations[:, 0].mT
    torch.testing.assert_close(turned.vertices, expected)


@pytest.mark.parametrize(
    ("kind", "directions", "wanted", "shapes"),
    [
        ("smplx", 400, 50, 50),
        ("smplx", 400, 999, 300),
        ("smplx", 20, 50, 10),
        ("smplx", 20, 4, 4),
        ("smplh", 10, 50, 10),
        ("smplh", 16, 50, 16),
        ("smpl", 300, 50, 50),
        ("smpl", 10, 50, 10),
    ],
)
def test_load_body_ignores_expressions(tmp_path, kind, directions, wanted, shapes):
    model = random_smpl(kind, num_directions=directions)
    body = load_body(written(tmp_path, model), num_betas=wanted, dtype=torch.float64)
    assert body.num_betas == shapes
    np.testing.assert_array_equal(body.shapedirs, model["shapedirs"][..., :shapes])
    regressed = np.einsum("jv,vcb->jcb", model["J_regressor"], model["shapedirs"][..., :shapes])
    np.testing.assert_allclose(body.joint_shapedirs, regressed, atol=1e-12)


@pytest.mark.parametrize(
    ("stem", "name", "gender"),
    [
        ("SMPLX_MALE", "SMPLX_MALE.npz", "male"),
        ("SMPLX_NEUTRAL_2020", "SMPLX_NEUTRAL_2020.npz", "neutral"),
        ("SMPLH_female", "SMPLH_female.npz", "female"),
        ("smplh/female/model", "smplh/female/model.npz", "female"),
        ("basicmodel_m_lbs_10_207_0_v1.1.0", "basicmodel_m_lbs_10_207_0_v1.1.0.npz", "male"),
        ("55", "55.npz", "neutral"),
    ],
)
def test_body_name_and_gender(tmp_path, stem, name, gender):
    (tmp_path / stem).parent.mkdir(parents=True, exist_ok=True)
    body = load_body(written(tmp_path, random_smpl("smpl"), name=stem))
    assert (body.name, body.gender) == (name, gender)


def test_load_body_without_posedirs(tmp_path):
    model = random_smpl("smplx")
    del model["posedirs"]
    body = load_body(written(tmp_path, model))
    assert body.posedirs is None
    assert body.model_type == "smplx"


BROKEN_FILES = [
    ({"posedirs": lambda p: p[..., :-9]}, "posedirs has shape (40, 3, 477), expected (40, 3, 486)"),
    (
        {"J_regressor": lambda r: r[:, 1:]},
        "J_regressor has shape (55, 39), expected (55, 40) as in SMPL, or (165, 121)",
    ),
    ({"kintree_table": lambda k: k[:, ::-1]}, "kintree_table does not begin with the joint without a parent"),
    ({"weights": lambda w: w[:, :52]}, "weights has shape (40, 52), expected (40, 55)"),
]


@pytest.mark.parametrize(("change", "line"), BROKEN_FILES)
def test_load_body_names_the_broken_array_of_smplx(tmp_path, change, line):
    model = random_smpl("smplx")
    model |= {key: function(model[key]) for key, function in change.items()}
    path = written(tmp_path, model)
    with pytest.raises(GaitError) as caught:
        load_body(path)
    assert str(caught.value).startswith(f"{path}: {line}")
    assert "\n" not in str(caught.value)


def test_load_body_names_a_chumpy_formula(tmp_path):
    path = tmp_path / "SMPLH_male.pkl"
    path.write_bytes(chumpy_pickle(random_smpl("smplh")).replace(b"chumpy.reordering", b"chumpy.someotherx"))
    with pytest.raises(GaitError) as caught:
        load_body(path)
    assert str(caught.value).startswith(f"{path}: shapedirs is a formula (chumpy.someotherx.Select) that only chumpy")


def test_smplx_agreement_refuses_supr_in_one_line(monkeypatch, capsys):
    monkeypatch.syspath_prepend(AGREEMENT.parent)
    monkeypatch.setattr("sys.argv", [str(AGREEMENT), str(OPEN_BODY)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(AGREEMENT), run_name="__main__")
    assert ended.value.code == 2
    line = f"{OPEN_BODY}: a model in SUPR layout, which the package smplx does not support.\n"
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(("kind", "suffix"), [("smplx", "npz"), ("smplx", "pkl"), ("smplh", "npz"), ("smpl", "pkl")])
def test_smpl_family_equals_the_package_smplx(tmp_path, monkeypatch, kind, suffix):
    pytest.importorskip("smplx", reason="needs pip install -e '.[smplx]', licensed for research only")
    path = written(tmp_path, random_smpl(kind, full_size=True), suffix)
    body = load_body(path)
    assert (body.num_vertices, len(body.faces)) == SMPL_SIZES[kind]
    if kind == "smpl":  # once from the command line
        script = [sys.executable, str(AGREEMENT), str(path), "--poses", "3"]
        found = json.loads(subprocess.run(script, capture_output=True, text=True, check=True).stdout)
    else:
        monkeypatch.syspath_prepend(AGREEMENT.parent)
        module = importlib.import_module(AGREEMENT.stem)
        found = module.main(module.Arguments(model=path, poses=3))
    assert found["model_type"] == kind
    assert found["shape_parameters"] == {"smplx": 300}.get(kind, 10)
    assert 0 < found["vertices_mm"] < 0.02
    assert 0 < found["joints_mm"] < 0.02
