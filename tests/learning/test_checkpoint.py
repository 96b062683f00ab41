"""Checkpoints are restored exactly, code in a file is never run, and unreadable files give a one-line message."""

import resource
import sys
import types
from dataclasses import replace

import pytest
import torch
from adopt import ADOPT
from torch import nn

from gait.errors import GaitError
from gait.learning.checkpoint import Checkpoint, load_checkpoint, read_network, save_checkpoint
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from tests.helpers.body_files import RunsCode

TRANSFORMER = TransformerArchitecture(8, 4, 2, 1, 16)
MLP = MLPArchitecture("multi_mlp", 5, (4, 3), (6, 2))
SEQUENTIAL = replace(MLP, kind="sequential_mlp")


def make_checkpoint(architecture=TRANSFORMER, **more):
    joints = tuple(f"joint {number}" for number in range(22))
    return Checkpoint(architecture, architecture.build().state_dict(), 5, 100.0, "published", joints, **more)


def error_line(read, path, **more):
    """Return the error message, which must be one line that begins with the file."""
    with pytest.raises(GaitError) as error:
        read(path, **more)
    line = str(error.value)
    assert line.isprintable()
    assert line.startswith(f"{path}: ")
    assert str(path) not in line[len(str(path)) :]
    return line


# --- save and load ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [TRANSFORMER, MLP, SEQUENTIAL], ids=lambda a: a.kind)
def test_load_checkpoint_restores_a_saved_checkpoint(tmp_path, architecture):
    path = tmp_path / "new" / "network.pt"
    state = {"epoch": 3, "rng": torch.get_rng_state(), "history": [{"loss": 0.5}], "seen": {1: (2.0, None)}}
    fold = {"index": 0, "training": ("healthy/P1",), "evaluation": ["sick/P2"]}
    checkpoint = make_checkpoint(architecture, training_state=state, mean_window=torch.rand(5, 22, 3), fold=fold)
    save_checkpoint(path, checkpoint)
    assert [file.name for file in path.parent.iterdir()] == ["network.pt"]

    back = load_checkpoint(path)
    assert torch.equal(back.mean_window, checkpoint.mean_window)
    assert torch.equal(back.training_state["rng"], state["rng"])
    assert (back.training_state["history"], back.training_state["seen"]) == (state["history"], state["seen"])
    for name in ("architecture", "window_length", "frame_rate_hz", "normalisation", "joints", "fold", "arguments"):
        assert getattr(back, name) == getattr(checkpoint, name)

    network, again = read_network(path, window_length=5)
    assert again.architecture == architecture
    assert not network.training
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, checkpoint.weights[name])
    content = torch.load(path, weights_only=True)
    assert content["architecture"] == architecture.as_dict()
    assert back.left_out_joints == ()


def test_load_checkpoint_restores_the_joints_that_are_left_out(tmp_path):
    save_checkpoint(tmp_path / "network.pt", make_checkpoint(left_out_joints=("joint 3", "joint 5")))
    assert load_checkpoint(tmp_path / "network.pt").left_out_joints == ("joint 3", "joint 5")
    content = torch.load(tmp_path / "network.pt", weights_only=True)
    torch.save(content | {"left_out_joints": ("tail",)}, tmp_path / "network.pt")
    assert "'tail'" in error_line(load_checkpoint, tmp_path / "network.pt")
    del content["left_out_joints"]  # as in files of earlier versions
    torch.save(content, tmp_path / "network.pt")
    assert load_checkpoint(tmp_path / "network.pt").left_out_joints == ()


def test_training_continues_from_a_checkpoint_exactly(tmp_path):
    """The state consists of the weights, ADOPT's averages, and torch's random state, which dropout uses."""
    windows, sick = torch.rand(6, 5, 22, 3), torch.tensor([0.0, 1, 0, 1, 1, 0])

    def train(network, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(windows), sick).backward()
            optimizer.step()
        return network.state_dict()

    def fresh():
        network = TRANSFORMER.build().train()
        return network, ADOPT(network.parameters(), lr=1e-2)

    torch.manual_seed(1)
    unbroken, optimizer = fresh()
    train(unbroken, optimizer, 3)
    state = {"optimiser": optimizer.state_dict(), "rng": torch.get_rng_state()}
    save_checkpoint(tmp_path / "c.pt", replace(make_checkpoint(), weights=unbroken.state_dict(), training_state=state))
    expected = train(unbroken, optimizer, 3)

    torch.manual_seed(2)
    resumed, optimizer = fresh()
    checkpoint = load_checkpoint(tmp_path / "c.pt")
    resumed.load_state_dict(dict(checkpoint.weights))
    optimizer.load_state_dict(dict(checkpoint.training_state["optimiser"]))
    torch.set_rng_state(checkpoint.training_state["rng"])
    for name, weight in train(resumed, optimizer, 3).items():
        assert torch.equal(weight, expected[name]), name


def test_save_checkpoint_keeps_the_old_file_if_writing_fails(tmp_path):
    path = tmp_path / "network.pt"
    save_checkpoint(path, make_checkpoint())
    before = path.read_bytes()
    checkpoint = load_checkpoint(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        line = error_line(lambda file: save_checkpoint(file, checkpoint), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert line == f"{path}: cannot be written (File too large); check the folder and its free space."
    with pytest.raises(TypeError, match=r"checkpoint.arguments.folder is a PosixPath"):
        save_checkpoint(path, make_checkpoint(arguments={"folder": tmp_path}))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["network.pt"]


# --- weights without metadata ----------------------------------------------------------------------------------------


def test_load_network_reads_a_published_state_dict(tmp_path):
    path = tmp_path / "weights.pt"
    network = TRANSFORMER.build().eval()
    torch.save(network.state_dict(), path)
    loaded, checkpoint = read_network(path, pose_heads=2, classifier_heads=1)
    windows = torch.rand(2, 5, 22, 3)
    assert checkpoint is None
    assert torch.equal(loaded(windows), network(windows))
    assert "--pfe_head and --fc_head" in error_line(read_network, path)
    assert "weights without metadata" in error_line(load_checkpoint, path)
    for architecture in (MLP, SEQUENTIAL):
        torch.save(architecture.build().state_dict(), path)
        assert read_network(path, window_length=5)[1] is None
        assert "windows of 5 frames, not of 6" in error_line(read_network, path, window_length=6)


@pytest.fixture
def save_whole_module(tmp_path):
    """A function that saves a network like ``torch.save(model)``, its class in a module that no longer exists."""
    witness = tmp_path / "was_here"

    def save(network, path):
        gone = types.ModuleType("models_of_its_authors")
        kinds = {type(part) for part in network.modules() if type(part).__module__.startswith("gait.")}
        homes = {kind: kind.__module__ for kind in kinds}
        sys.modules[gone.__name__] = gone
        network.runs_code = RunsCode(f"touch {witness}")
        try:
            for kind in kinds:
                setattr(gone, kind.__name__, kind)
                kind.__module__ = gone.__name__
            torch.save(network, path)
        finally:
            del sys.modules[gone.__name__], network.runs_code
            for kind, home in homes.items():
                kind.__module__ = home
        assert b"models_of_its_authors" in path.read_bytes()

    yield save
    assert not witness.exists()


@pytest.mark.parametrize("architecture", [TRANSFORMER, MLP, SEQUENTIAL], ids=lambda a: a.kind)
def test_load_network_reads_the_weights_of_a_pickled_module_without_running_code(
    tmp_path, save_whole_module, architecture
):
    network, windows = architecture.build().eval(), torch.rand(2, 5, 22, 3)
    save_whole_module(network, tmp_path / "model.pth")
    loaded, checkpoint = read_network(tmp_path / "model.pth")  # the attention layers contain their numbers of heads
    assert checkpoint is None
    assert torch.equal(loaded(windows), network(windows))


def test_load_network_rejects_other_modules_without_running_code(tmp_path, save_whole_module):
    path = tmp_path / "model.pth"
    save_whole_module(nn.Sequential(TRANSFORMER.build().classifier), path)
    assert "no known network (found 0.downs.0.bias" in error_line(read_network, path)
    torch.save({"model": RunsCode(f"touch {tmp_path / 'was_here'}")}, path)
    assert "no known network (found nothing)" in error_line(read_network, path)
    torch.save(RunsCode(f"touch {tmp_path / 'was_here'}"), path)
    assert "no known network" in error_line(read_network, path)
    around = nn.Module()
    around.again = around
    torch.save(around, path)
    assert "more than 1000 modules" in error_line(read_network, path)


# --- unreadable files ------------------------------------------------------------------------------------------------


def test_missing_damaged_and_other_files_give_a_message(tmp_path):
    path = tmp_path / "network.pt"
    for read in (load_checkpoint, read_network):
        assert "cannot be read" in error_line(read, tmp_path / "nowhere.pt")
        assert "cannot be read" in error_line(read, tmp_path)
    save_checkpoint(path, make_checkpoint())
    content_bytes = path.read_bytes()
    for part in (b"", b"no zip", content_bytes[: len(content_bytes) // 2], content_bytes[:-1000], b"\x80\x02}q\x00."):
        path.write_bytes(part)
        for read in (load_checkpoint, read_network):
            assert "damaged, or not a PyTorch checkpoint" in error_line(read, path)
    torch.save([1, 2], path)
    assert "contains a list" in error_line(read_network, path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format_version": 99}, "format 99 of a newer version of this package"),
        ({"format_version": None}, "format None"),
        ({"format": "another"}, "no"),
        ({"joints": 22}, "joints is a int"),
        ({"mean_window": torch.zeros(4, 22, 3)}, "mean_window has shape (4, 22, 3)"),
        ({"architecture": {"kind": "transformer", "pose_dim": 8.5}}, "pose_dim 8.5"),
        ({"architecture": {"kind": "transformer", "pose_dim": 10**9}}, "as large as"),
        ({"architecture": {"kind": "transformer", "pose_dim": 10**5}}, "expected (1, 1, 100000)"),
        ({"architecture": MLP.as_dict()}, "posefeatureextractor.downs.0.weight have shape None"),
        ({"weights": {}}, "have shape None"),
    ],
)
def test_load_network_rejects_inconsistent_checkpoints(tmp_path, change, expected):
    path = tmp_path / "network.pt"
    save_checkpoint(path, make_checkpoint())
    torch.save(torch.load(path, weights_only=True) | change, path)
    assert expected in error_line(read_network, path)


def changed_weights(name, value):
    weights = TRANSFORMER.build().state_dict()
    return weights | {name: value(weights[name]) if name in weights else value(torch.zeros(1))}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (changed_weights("classifier.downs.0.bias", lambda w: w * float("nan")), "not finite"),
        (changed_weights("classifier.downs.0.bias", lambda w: w[1:]), "have shape (3,), expected (4,)"),
        (changed_weights("classifier.downs.4.bias", lambda w: w), "a transformer has no classifier.downs.4.bias"),
        (changed_weights("feature_merger.input_embedding.weight", lambda w: w[0]), "of wrong shapes"),
        (
            changed_weights(
                "feature_extractor.transformer_encoder.layers.0.linear1.weight",
                lambda w: torch.zeros(1).expand(10**12, 8),
            ),
            "claim more numbers than the file contains",
        ),
        (
            changed_weights("feature_extractor.positional_encoder.pe", lambda w: torch.zeros(1).expand(5096, 1, 8)),
            "claim more numbers than the file contains",
        ),
    ],
)
def test_load_network_rejects_unsuitable_weights(tmp_path, weights, expected):
    torch.save(weights, tmp_path / "weights.pt")
    assert expected in error_line(read_network, tmp_path / "weights.pt", pose_heads=2, classifier_heads=1)


def test_format_version_is_stored_in_the_file(tmp_path):
    save_checkpoint(tmp_path / "network.pt", make_checkpoint())
    content = torch.load(tmp_path / "network.pt", weights_only=True)
    assert (content["format"], content["format_version"]) == ("gait network", 2)


def test_load_checkpoint_reads_the_keys_of_version_1(tmp_path):
    path = tmp_path / "network.pt"
    inputs = {"architecture.frame_subsampling": 4, "use_class_weights": True, "mirror": False, "data_sha256": "ab"}
    state = {"run_id": "x", "inputs": inputs, "finished": 3}
    save_checkpoint(path, make_checkpoint(training_state=state, metrics={"subjects": {"roc_auc_within_folds": 1.0}}))
    content = torch.load(path, weights_only=True) | {"format_version": 1, "metrics": {"persons": {"roc_auc": 1.0}}}
    content["architecture"]["one_frame_in"] = content["architecture"].pop("frame_subsampling")
    content["training_state"] = {
        "run": "x",
        "inputs": {"network's one_frame_in": 4, "weigh_classes": True, "mirrored windows": False, "poses": "ab"},
        "finished": 3,
    }
    torch.save(content, path)
    checkpoint = load_checkpoint(path)
    assert checkpoint.architecture == TRANSFORMER
    assert checkpoint.training_state == state
    assert checkpoint.metrics == {"subjects": {"roc_auc_within_folds": 1.0}}
    assert not read_network(path)[0].training
