"""VPoser against a slow numpy version, and reading of checkpoints with other objects than tensors."""

import os
import shutil
import sys
import types
import zipfile

import numpy as np
import pytest
import torch

from gait.body.rotations import matrix_to_axis_angle
from gait.body.vposer import _expected_shapes, load_vposer
from gait.errors import GaitError
from tests.helpers.body_files import RunsCode


def random_state(hidden=512, latent=32, seed=0):
    rng = np.random.default_rng(seed)
    state = {}
    for key, shape in _expected_shapes(hidden, latent).items():
        scale = 1.5 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3
        value = rng.normal(0, scale, shape)
        state[f"vp_model.{key}"] = torch.tensor(np.abs(value) + 0.5 if "var" in key else value).float()
    state["vp_model.encoder_net.1.num_batches_tracked"] = torch.tensor(7)
    state["bm_train.v_template"] = torch.zeros(4, 3)
    return state


def folder_with(tmp_path, content, name="V02_05_epoch=08.ckpt", **options):
    snapshots = tmp_path / "VPoser" / "snapshots"
    snapshots.mkdir(parents=True, exist_ok=True)
    (tmp_path / "VPoser" / "V02_05.yaml").write_text("model_params: {num_neurons: 512, latentD: 32}\n")
    torch.save(content, snapshots / name, **options)
    return tmp_path / "VPoser"


def slow_decode(state, code):
    """Decode one pose (21, 3, 3) layer by layer."""
    w = {k.removeprefix("vp_model."): v.double().numpy() for k, v in state.items()}
    x = w["decoder_net.0.weight"] @ code + w["decoder_net.0.bias"]
    x = np.where(x > 0, x, 0.01 * x)
    x = w["decoder_net.3.weight"] @ x + w["decoder_net.3.bias"]
    x = np.where(x > 0, x, 0.01 * x)
    x = w["decoder_net.5.weight"] @ x + w["decoder_net.5.bias"]
    matrices = []
    for joint in range(21):
        six = x[6 * joint : 6 * joint + 6].reshape(3, 2)
        first = six[:, 0] / np.linalg.norm(six[:, 0])
        second = six[:, 1] - first * (first @ six[:, 1])
        second /= np.linalg.norm(second)
        matrices.append(np.stack([first, second, np.cross(first, second)], axis=1))
    return np.array(matrices)


def slow_encode(state, pose):
    w = {k.removeprefix("vp_model."): v.double().numpy() for k, v in state.items()}

    def norm(x, n):
        spread = np.sqrt(w[f"encoder_net.{n}.running_var"] + 1e-5)
        return (x - w[f"encoder_net.{n}.running_mean"]) / spread * w[f"encoder_net.{n}.weight"] + w[
            f"encoder_net.{n}.bias"
        ]

    def linear(x, n):
        return w[f"encoder_net.{n}.weight"] @ x + w[f"encoder_net.{n}.bias"]

    x = linear(norm(pose, 1), 2)
    x = norm(np.where(x > 0, x, 0.01 * x), 4)
    x = linear(linear(x, 6), 7)
    return linear(x, "8.mu"), np.log1p(np.exp(linear(x, "8.logvar")))


def test_vposer_decode_and_encode_equal_slow_version(tmp_path):
    state = random_state()
    vposer = load_vposer(folder_with(tmp_path, {"state_dict": state}), dtype=torch.float64)
    assert vposer.weights["decoder_net.0.weight"].shape[1] == 32
    assert vposer.name == "V02_05_epoch=08.ckpt"
    rng = np.random.default_rng(1)
    codes, poses = rng.normal(size=(3, 32)), rng.normal(0, 0.5, (3, 63))
    decoded = vposer.decode(torch.tensor(codes))
    mean, std = vposer.encode(torch.tensor(poses))
    same = vposer.encode(torch.tensor(poses.reshape(3, 21, 3)))
    assert decoded.shape == (3, 21, 3, 3)
    for i in range(3):
        expected = slow_decode(state, codes[i])
        np.testing.assert_allclose(decoded[i], expected, atol=1e-10)
        slow_mean, slow_std = slow_encode(state, poses[i])
        np.testing.assert_allclose(mean[i], slow_mean, atol=1e-10)
        np.testing.assert_allclose(std[i], slow_std, atol=1e-10)
        np.testing.assert_allclose(same[0][i], slow_mean, atol=1e-10)
    single = vposer.to(dtype=torch.float32).decode(torch.tensor(codes).float())
    np.testing.assert_allclose(single, decoded, atol=1e-4)


def test_vposer_decode_gradients(tmp_path):
    vposer = load_vposer(folder_with(tmp_path, {"state_dict": random_state(8, 4)}), dtype=torch.float64)
    code = torch.tensor([[0.1, -1.2, 0.7, 2.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(vposer.decode, code, atol=1e-5)


@pytest.fixture
def lightning_checkpoint(tmp_path):
    """A checkpoint as Lightning writes it, with objects of missing classes and one that runs code."""
    module = types.ModuleType("configer_of_its_authors")

    class Configer(dict):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.attribute = {"deep": 1}

        def __reduce_ex__(self, protocol):
            return Configer, (1, 2), {"state": 3}, iter([4, 5]), iter(self.items())

    Configer.__module__, Configer.__qualname__ = module.__name__, "Configer"
    module.Configer = Configer
    sys.modules[module.__name__] = module
    witness = tmp_path / "was_here"
    state = random_state(16, 4)
    content = {
        "epoch": 8,
        "hyper_parameters": Configer(a=1, b=[2], code=RunsCode(f"touch {witness}")),
        "callbacks": {type(witness): witness},
        "state_dict": state,
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    try:
        folder = folder_with(tmp_path, content)
    finally:
        del sys.modules[module.__name__]
    return folder, state, witness


def test_load_vposer_neither_imports_nor_runs_objects(lightning_checkpoint):
    folder, state, witness = lightning_checkpoint
    with zipfile.ZipFile(next(folder.glob("snapshots/*.ckpt"))) as archive:
        data = archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))
    assert b"configer_of_its_authors" in data
    assert b"system" in data
    vposer = load_vposer(folder)
    assert not witness.exists()
    for key, weight in vposer.weights.items():
        torch.testing.assert_close(weight, state[f"vp_model.{key}"])


def test_read_tensor_file_views_of_shared_storages(tmp_path):
    """Transposed and sliced tensors of one storage, and an object that ``weights_only`` refuses."""
    state = random_state(16, 4)
    whole = torch.randn(40, 40)
    state["vp_model.encoder_net.6.weight"] = whole[3:19, 5:21].T
    state["vp_model.encoder_net.7.weight"] = whole[10:26, 20:36]
    content = {"state_dict": state, "hyper_parameters": RunsCode("true")}
    vposer = load_vposer(folder_with(tmp_path, content))
    torch.testing.assert_close(vposer.weights["encoder_net.6.weight"], whole[3:19, 5:21].T)
    torch.testing.assert_close(vposer.weights["encoder_net.7.weight"], whole[10:26, 20:36])


def test_load_vposer_uses_the_newest_snapshot(tmp_path):
    folder = folder_with(tmp_path, {"state_dict": random_state(8, 4)}, "b.ckpt")
    folder_with(tmp_path, {"state_dict": random_state(8, 5)}, "a.ckpt")
    os.utime(folder / "snapshots" / "b.ckpt", (1, 1))
    assert load_vposer(folder).name == "a.ckpt"
    os.utime(folder / "snapshots" / "a.ckpt", (0, 0))
    assert load_vposer(folder).weights["decoder_net.0.weight"].shape[1] == 4
    shutil.move(folder, tmp_path / "data" / "V02_05")
    assert load_vposer(tmp_path / "data").name == "b.ckpt"


def changed(key, value):
    state = random_state(8, 4)
    if value is None:
        del state[key]
    else:
        state[key] = value
    return {"state_dict": state}


BROKEN = [
    (changed("vp_model.encoder_net.4.bias", None), "encoder_net.4.bias has shape None, expected (8,)."),
    (changed("vp_model.decoder_net.5.bias", torch.ones(9)),
     "decoder_net.5.bias has shape (9,), expected (126,)."),
    (
        changed("vp_model.decoder_net.5.bias", torch.full((126,), np.nan)),
        "decoder_net.5.bias has values that are not finite.",
    ),
    ({"state_dict": {"net.bias": torch.ones(2)}},
     "no decoder_net.0.weight, so not VPoser v2; it has net.bias."),
    ({"state_dict": 3}, "contains no state_dict."),
    ([1], "contains no state_dict."),
    ({"state_dict": {}, "x": RunsCode("true")},
     "no decoder_net.0.weight, so not VPoser v2; it has no tensors."),
]  # fmt: skip


@pytest.mark.parametrize(("content", "line"), BROKEN)
def test_load_vposer_names_the_error(tmp_path, content, line):
    folder = folder_with(tmp_path, content)
    with pytest.raises(GaitError) as caught:
        load_vposer(folder)
    assert str(caught.value) == f"{folder / 'snapshots' / 'V02_05_epoch=08.ckpt'}: {line}"


def test_load_vposer_damaged_checkpoints_and_empty_folders(tmp_path, lightning_checkpoint):
    folder, _, witness = lightning_checkpoint
    with pytest.raises(GaitError, match="no snapshots/"):
        load_vposer(tmp_path / "nowhere")
    path = next(folder.glob("snapshots/*.ckpt"))
    whole = path.read_bytes()
    for damaged in (b"", b"no zip", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(GaitError, match="damaged, or not a PyTorch checkpoint") as caught:
            load_vposer(folder)
        assert "\n" not in str(caught.value)
    torch.save({"x": RunsCode(f"touch {witness}")}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(GaitError, match="damaged, or not a PyTorch checkpoint"):
        load_vposer(folder)
    assert not witness.exists()


def test_vposer_equals_the_original_implementation(tmp_path):
    published = pytest.importorskip("human_body_prior.models.vposer_model", exc_type=ImportError)
    sizes = types.SimpleNamespace(num_neurons=512, latentD=32)
    theirs = published.VPoser(types.SimpleNamespace(model_params=sizes))
    state = random_state()
    own = {k.removeprefix("vp_model."): v for k, v in state.items() if k.startswith("vp_model.")}
    theirs.load_state_dict(own, strict=False)
    theirs.eval()
    ours = load_vposer(folder_with(tmp_path, {"state_dict": state}))
    code, pose = torch.randn(4, 32), torch.randn(4, 63) * 0.3
    with torch.no_grad():
        pose_body = matrix_to_axis_angle(ours.decode(code))
        torch.testing.assert_close(pose_body, theirs.decode(code)["pose_body"], atol=1e-4, rtol=0)
        normal = theirs.encode(pose)
    mean, std = ours.encode(pose)
    torch.testing.assert_close(mean, normal.mean, atol=1e-4, rtol=0)
    torch.testing.assert_close(std, normal.scale, atol=1e-4, rtol=0)
