"""Body models: against a slow forward pass written from the format description, and checks of model files."""

import hashlib

import numpy as np
import pytest
import scipy.sparse
import torch

from gait.body.constrained_tree import PoseParameterRole
from gait.body.model_file import load_body
from gait.errors import GaitError
from tests.helpers.body_files import python2_npy, random_axis_meta, random_model, slow_body, slow_local
from tests.helpers.paths import OPEN_BODY

CASES = [(75, False), (75, True), (16, False), (16, True)]


def written(tmp_path, model, name="supr_test.npy"):
    path = tmp_path / name
    path.write_bytes(python2_npy(model))
    return path


def random_inputs(body, frames=3, betas=12, seed=1):
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.8, (frames, body.num_pose))
    pose[0, : body.num_pose // 2] = 0
    return pose, rng.normal(size=(frames, betas)), rng.normal(size=(frames, 3))


@pytest.mark.parametrize(("joints", "constrained"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_body_equals_slow_forward_pass(tmp_path, joints, constrained, dtype):
    model = random_model(num_joints=joints, sparse=joints == 16, constrained=constrained)
    body = load_body(written(tmp_path, model), constrained=constrained, dtype=dtype)
    assert (body.num_joints, body.num_betas, body.constrained_tree is not None) == (joints, 50, constrained)
    assert body.parents == tuple(int(p) if p < joints else -1 for p in model["kintree_table"][0])
    pose, betas, translation = random_inputs(body)
    out = body(*(torch.tensor(x, dtype=dtype) for x in (pose, betas, translation)))
    local, feature = body.local_rotations(torch.tensor(pose, dtype=dtype))
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    for i in range(len(pose)):
        vertices, posed = slow_body(model, pose[i], betas[i], translation[i], constrained)
        matrices, features = slow_local(model, pose[i], constrained)
        np.testing.assert_allclose(out.vertices[i], vertices, atol=tolerance)
        np.testing.assert_allclose(out.joints[i], posed, atol=tolerance)
        np.testing.assert_allclose(local[i], matrices, atol=tolerance)
        np.testing.assert_allclose(feature[i], features, atol=tolerance)


@pytest.mark.parametrize("constrained", [False, True])
def test_body_broadcasts_one_shape_over_a_batch(tmp_path, constrained):
    body = load_body(written(tmp_path, random_model(constrained=True)), constrained=constrained, dtype=torch.float64)
    pose, betas, translation = (torch.tensor(x) for x in random_inputs(body, frames=4))
    together = body(pose, betas[0], translation)
    joints = body.posed_joints(pose, betas[0], translation)
    for i in range(4):
        alone = body(pose[i : i + 1], betas[:1], translation[i : i + 1])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[i : i + 1], b)
        torch.testing.assert_close(joints[i : i + 1], alone.joints)
    one_pose = body(pose[:1], betas, translation)
    torch.testing.assert_close(one_pose.vertices[2], body(pose[:1], betas[2], translation[2:3]).vertices[0])
    still = body(pose, betas[0])
    torch.testing.assert_close(still.vertices + translation[:, None], together.vertices)
    torch.testing.assert_close(still.rotations, together.rotations)


@pytest.mark.parametrize("constrained", [False, True])
def test_body_gradients_equal_finite_differences(tmp_path, constrained):
    model = random_model(num_joints=16, num_vertices=6, constrained=True)
    body = load_body(written(tmp_path, model), constrained=constrained, dtype=torch.float64)
    pose, betas, translation = random_inputs(body, frames=2, betas=3)
    pose[1] = 0  # the rotation whose angle is 0/0
    inputs = [torch.tensor(x, requires_grad=True) for x in (pose, betas, translation)]
    assert torch.autograd.gradcheck(lambda *x: tuple(body(*x)), inputs, atol=1e-6)


def test_constrained_tree_pose_roles_and_axes(tmp_path):
    model = random_model(constrained=True)
    hinges = load_body(written(tmp_path, model), constrained=True, dtype=torch.float64).constrained_tree
    meta = model["axis_meta"]
    assert hinges is not None
    axes = meta["axis"][0][meta["axis_indx"]]
    for key, role in (
        ("indx_hinge", PoseParameterRole.HINGE),
        ("indx_double_hinge1", PoseParameterRole.FIRST_HINGE),
        ("indx_double_hinge2", PoseParameterRole.SECOND_HINGE),
    ):
        for index, axis in zip(meta[key], meta[f"{key}_axis"], strict=True):
            assert hinges.pose_role[int(index[0])] == role
            np.testing.assert_allclose(hinges.pose_axis[int(index[0])], axes[int(axis[0])])
    for index in meta["indx_spherical"]:
        assert (hinges.pose_role[index] == PoseParameterRole.SPHERICAL).all()
        assert len(set(hinges.pose_joint[index].tolist())) == 1


def test_load_body_without_axis_meta_has_no_constrained_tree(tmp_path):
    body = load_body(written(tmp_path, random_model()), constrained=True)
    assert body.constrained_tree is None
    assert body.num_pose == 225


def test_load_body_name_hash_and_fewer_betas(tmp_path):
    path = written(tmp_path, random_model(num_betas=7))
    body = load_body(path, num_betas=10)
    assert (body.name, body.num_betas) == ("supr_test.npy", 7)
    assert body.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_body(path, num_betas=4).num_betas == 4
    few, padded = torch.tensor([0.5, -1.0]), torch.tensor([0.5, -1.0, 0, 0, 0, 0, 0])
    torch.testing.assert_close(body.rest_body(few), body.rest_body(padded))


def test_body_to_converts_the_constrained_tree(tmp_path):
    body = load_body(written(tmp_path, random_model(constrained=True)), constrained=True).to(dtype=torch.float64)
    pose = torch.zeros(1, body.num_pose, dtype=torch.float64)
    out = body(pose, torch.zeros(3, dtype=torch.float64))
    assert out.vertices.dtype == body.dtype == torch.float64
    assert body.constrained_tree is not None
    assert body.constrained_tree.hinge.dtype == torch.int64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("constrained", [False, True])
def test_body_on_gpu_equals_cpu(tmp_path, constrained):
    body = load_body(written(tmp_path, random_model(constrained=True)), constrained=constrained)
    inputs = [torch.tensor(x, dtype=torch.float32) for x in random_inputs(body)]
    there = body.to(device="cuda")(*(x.cuda() for x in inputs))
    for a, b in zip(body(*inputs), there, strict=True):
        torch.testing.assert_close(a, b.cpu(), atol=1e-5, rtol=0)


def test_load_body_npz_with_sparse_arrays_equals_npy(tmp_path):
    model = random_model(num_joints=16, num_betas=5)
    rng = np.random.default_rng(3)
    jreg = scipy.sparse.csr_matrix(rng.dirichlet(np.ones(40), 16))
    weights = scipy.sparse.csr_matrix(model["weights"])
    dense = np.zeros((48, 121))
    for c in range(3):
        dense[c::3, c:-1:3] = jreg.toarray()
    scale = np.array([0.5, 1, 2, 3, 4])
    model = {**model, "J_regressor": dense, "posedirs": np.zeros_like(model["posedirs"])}
    np.savez(
        tmp_path / "open.npz",
        v_template=model["v_template"], shapedirs=model["shapedirs"] / scale, shapedirs_scale=scale,
        f=model["f"], kintree_table=np.array([[-1, *model["kintree_table"][0, 1:]], range(16)]),
        weights_data=weights.data, weights_indices=weights.indices, weights_indptr=weights.indptr,
        jreg_data=jreg.data, jreg_indices=jreg.indices, jreg_indptr=jreg.indptr,
        landmark_names=np.array(["left_heel"]),
        landmark_faces=np.array([7]), landmark_bary=np.array([[0.2, 0.3, 0.5]]),
    )  # fmt: skip
    ours = load_body(tmp_path / "open.npz", dtype=torch.float64)
    theirs = load_body(written(tmp_path, model), dtype=torch.float64)
    assert ours.posedirs is None
    assert theirs.posedirs is None
    assert ours.landmarks == {"left_heel": (7, (0.2, 0.3, 0.5))}
    inputs = [torch.tensor(x) for x in random_inputs(ours, betas=5)]
    for a, b in zip(ours(*inputs), theirs(*inputs), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.skipif(not OPEN_BODY.exists(), reason="the open body is not in this checkout")
def test_open_body_axes_and_round_trip(tmp_path):
    body = load_body(OPEN_BODY, num_betas=10)
    assert body.num_joints == 75
    out = body(torch.zeros(1, body.num_pose), torch.zeros(1))
    torch.testing.assert_close(out.vertices[0], body.v_template, atol=1e-6, rtol=0)
    joints = out.joints[0]
    assert joints[1, 0] > joints[2, 0]  # left is +x
    assert joints[15, 1] > joints[0, 1] > joints[7, 1]  # head above pelvis above ankle
    assert 1.4 < float(np.ptp(body.v_template[:, 1].numpy())) < 2.0
    J, V = body.num_joints, body.num_vertices
    source = np.load(OPEN_BODY)
    jreg = scipy.sparse.csr_matrix((source["jreg_data"], source["jreg_indices"], source["jreg_indptr"]), (J, V))
    regressor = scipy.sparse.lil_matrix((3 * J, 3 * V + 1))
    for c in range(3):
        regressor[c::3, c:-1:3] = jreg
    model = {
        "v_template": body.v_template.numpy(), "shapedirs": body.shapedirs.numpy(), "f": body.faces.numpy(),
        "kintree_table": np.array([[p % 2**32 for p in body.parents], range(J)], dtype=np.uint32),
        "weights": body.weights.numpy(), "J_regressor": scipy.sparse.csc_matrix(regressor),
    }  # fmt: skip
    again = load_body(written(tmp_path, model), num_betas=10)
    pose = torch.randn(2, body.num_pose, generator=torch.Generator().manual_seed(0)) * 0.3
    for a, b in zip(body(pose, torch.ones(10)), again(pose, torch.ones(10)), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def broken(key, value):
    return lambda model: {**model, key: value(model[key]) if callable(value) else value}


def without(key):
    return lambda model: {k: v for k, v in model.items() if k != key}


def circle(table):
    table = table.copy()
    table[0, 1] = 4  # joint 4 is a child of joint 1
    return table


def two_roots(table):
    table = table.copy()
    table[0, 5] = 2**32 - 1
    return table


def one_nan(array):
    array = array.copy()
    array.flat[5] = np.nan
    return array


BROKEN_FILES = [
    (
        without("v_template"),
        "no v_template, so this is not a body model of the SUPR or SMPL family; it has J_regressor, ",
    ),
    (broken("v_template", lambda v: v[:, :2]), "v_template has shape (40, 2), expected (V, 3)"),
    (broken("v_template", one_nan), "v_template has values that are not finite"),
    (broken("v_template", np.array([["a"] * 3] * 40)), "v_template has type <U1, not numbers"),
    (broken("shapedirs", lambda s: s[:39]), "shapedirs has shape (39, 3, 60), expected (40, 3, B)"),
    (broken("posedirs", lambda p: p[..., :-4]), "posedirs has shape (40, 3, 296), expected (40, 3, 300)"),
    (
        broken("J_regressor", lambda r: r[:, :-1]),
        "J_regressor has shape (225, 120), expected (75, 40) as in SMPL, or (225, 121)",
    ),
    (broken("weights", lambda w: w[:, :70]), "weights has shape (40, 70), expected (40, 75)"),
    (broken("weights", lambda w: w * 2), "weights has a vertex whose skinning weights do not sum to 1"),
    (broken("kintree_table", lambda k: k[0]), "kintree_table has shape (75,), expected (2, J)"),
    (broken("kintree_table", circle), "kintree_table has a cycle"),
    (broken("kintree_table", two_roots), "kintree_table has 2 joints without a parent, expected one"),
    (broken("kintree_table", lambda k: k * 0), "kintree_table names a joint twice"),
    (broken("f", lambda f: f + 40), "f has an index outside 0 to 39"),
    (broken("f", lambda f: f[:, :2]), "f has shape (60, 2), expected (F, 3)"),
]


@pytest.mark.parametrize(("change", "line"), BROKEN_FILES)
def test_load_body_names_the_broken_array(tmp_path, change, line):
    path = written(tmp_path, change(random_model()))
    with pytest.raises(GaitError) as caught:
        load_body(path)
    assert str(caught.value).startswith(f"{path}: {line}")
    assert "\n" not in str(caught.value)


def meta_with(**changes):
    def change(meta):
        return {**meta, **{key: value(meta) for key, value in changes.items()}}

    return change


BROKEN_TREES = [
    (lambda meta: [1], "axis_meta is a list, not a dictionary"),
    (lambda meta: {k: meta[k] for k in meta if k != "axis"}, "axis_meta has no axis; it has"),
    (meta_with(num_pose=lambda m: -3), "axis_meta num_pose is not a positive"),
    (meta_with(axis=lambda m: "x"), "axis_meta axis contains something other"),
    (meta_with(axis=lambda m: m["axis"][:, :2]), "axis_meta axis_indx has an index outside"),
    (meta_with(axis=lambda m: m["axis"][0, 0, :2]), "axis_meta axis has 2 numbers, not a multiple of 3"),
    (meta_with(axis=lambda m: m["axis"] * 2), "axis_meta indx_hinge_axis points to an axis"),
    (meta_with(indx_spherical=lambda m: [np.array([0, 1])]), "axis_meta indx_spherical has 2 indices"),
    (meta_with(indx_hinge=lambda m: m["indx_hinge"][1:]), "axis_meta has 24 indx_hinge, but 25 "),
    (
        meta_with(**{k: lambda m, k=k: m[k][1:] for k in ("indx_double_hinge1", "indx_double_hinge1_axis")}),
        "axis_meta has 24 first, but 25 second axes of double hinges",
    ),
    (meta_with(indx_hinge=lambda m: [i + 999 for i in m["indx_hinge"]]), "axis_meta indx_hinge has an"),
    (meta_with(indx_hinge=lambda m: m["indx_double_hinge1"]), "axis_meta uses one pose parameter for"),
    (meta_with(reverse_indx=lambda m: m["reverse_indx"][1:]), "axis_meta has 25 spherical, 25 hinge and 25 "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), BROKEN_TREES)
def test_read_constrained_tree_names_the_broken_entry(tmp_path, change, line):
    model = random_model()
    model["axis_meta"] = change(random_axis_meta(np.random.default_rng(0), 75))
    path = written(tmp_path, model)
    with pytest.raises(GaitError) as caught:
        load_body(path, constrained=True)
    assert str(caught.value).startswith(f"{path}: {line}")
    assert load_body(path).constrained_tree is None


def test_body_refuses_wrong_shapes_of_its_arguments(tmp_path):
    body = load_body(written(tmp_path, random_model(num_joints=16)), num_betas=10)
    zero = torch.zeros
    for pose, betas, translation, line in [
        (zero(2, 225), zero(3), None, "poses of shape (2, 225); its free joints need (frames, 48)"),
        (zero(48), zero(3), None, "poses of shape (48,); its free joints need (frames, 48)"),
        (zero(2, 48), zero(11), None, "betas of shape (11,); this body has 10 shape parameters"),
        (zero(2, 48), zero(3), zero(3), "a translation of shape (3,); must be (frames, 3)"),
    ]:
        with pytest.raises(GaitError) as caught:
            body(pose, betas, translation)
        assert str(caught.value).startswith(f"supr_test.npy: {line}")
    with pytest.raises(GaitError, match="num_betas is -1"):
        load_body("anything.npy", num_betas=-1)


def test_body_is_differentiable_after_inference_mode(tmp_path):
    body = load_body(OPEN_BODY)
    pose = torch.zeros(1, body.num_pose)
    with torch.inference_mode():
        body(pose, torch.zeros(body.num_betas))
    free = pose.clone().requires_grad_()
    body(free, torch.zeros(body.num_betas)).joints.square().sum().backward()
    assert free.grad is not None
    assert free.grad.abs().max() > 0
