"""Checkpoints: what goes in comes out, nothing in a file is run, and what cannot be read is said in one line."""

import subprocess
import sys
import types
from dataclasses import replace

import pytest
import torch
from adopt import ADOPT
from torch import nn

from gait.errors import GaitError
from gait.learning import checkpoint as checkpoint_module
from gait.learning.architecture import MLPArchitecture, TransformerArchitecture
from gait.learning.checkpoint import Checkpoint, load_checkpoint, load_network, save_checkpoint
from tests.helpers.body_files import RunsCode

TRANSFORMER = TransformerArchitecture(8, 4, 2, 1, 16)
MLP = MLPArchitecture("multi_mlp", 5, (4, 3), (6, 2))
SEQUENTIAL = replace(MLP, kind="sequential_mlp")


def made(architecture=TRANSFORMER, **more):
    joints = tuple(f"joint {number}" for number in range(22))
    return Checkpoint(architecture, architecture.build().state_dict(), 5, 100.0, "published", joints, **more)


def refused(read, path, **more):
    """The one line of a refusal, which begins with the file."""
    with pytest.raises(GaitError) as error:
        read(path, **more)
    line = str(error.value)
    assert line.isprintable()
    assert line.startswith(f"{path}: ")
    assert str(path) not in line[len(str(path)) :]
    return line


# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", [TRANSFORMER, MLP, SEQUENTIAL], ids=lambda a: a.kind)
def test_a_checkpoint_comes_back_as_it_was(tmp_path, architecture):
    path = tmp_path / "new" / "network.pt"
    state = {"epoch": 3, "rng": torch.get_rng_state(), "history": [{"loss": 0.5}], "seen": {1: (2.0, None)}}
    fold = {"index": 0, "training": ("healthy/P1",), "evaluation": ["sick/P2"]}
    checkpoint = made(architecture, training_state=state, mean_window=torch.rand(5, 22, 3), fold=fold)
    save_checkpoint(path, checkpoint)
    assert [file.name for file in path.parent.iterdir()] == ["network.pt"]

    back = load_checkpoint(path)
    assert torch.equal(back.mean_window, checkpoint.mean_window)
    assert torch.equal(back.training_state["rng"], state["rng"])
    assert (back.training_state["history"], back.training_state["seen"]) == (state["history"], state["seen"])
    for name in ("architecture", "window_length", "frame_rate_hz", "normalisation", "joints", "fold", "arguments"):
        assert getattr(back, name) == getattr(checkpoint, name)

    network, again = load_network(path, window_length=5)
    assert again.architecture == architecture
    assert not network.training
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, checkpoint.weights[name])
    content = torch.load(path, weights_only=True)
    assert content["architecture"] == architecture.as_dict()


def test_training_goes_on_from_a_checkpoint_as_if_never_interrupted(tmp_path):
    """Weights, ADOPT's averages and torch's random state are all there is to it; dropout draws from the last."""
    windows, sick = torch.rand(6, 5, 22, 3), torch.tensor([0.0, 1, 0, 1, 1, 0])

    def train(network, optimiser, steps):
        for _ in range(steps):
            optimiser.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(windows), sick).backward()
            optimiser.step()
        return network.state_dict()

    def fresh():
        network = TRANSFORMER.build().train()
        return network, ADOPT(network.parameters(), lr=1e-2)

    torch.manual_seed(1)
    unbroken, optimiser = fresh()
    train(unbroken, optimiser, 3)
    state = {"optimiser": optimiser.state_dict(), "rng": torch.get_rng_state()}
    save_checkpoint(tmp_path / "c.pt", replace(made(), weights=unbroken.state_dict(), training_state=state))
    expected = train(unbroken, optimiser, 3)

    torch.manual_seed(2)
    resumed, optimiser = fresh()
    checkpoint = load_checkpoint(tmp_path / "c.pt")
    resumed.load_state_dict(dict(checkpoint.weights))
    optimiser.load_state_dict(dict(checkpoint.training_state["optimiser"]))
    torch.set_rng_state(checkpoint.training_state["rng"])
    for name, weight in train(resumed, optimiser, 3).items():
        assert torch.equal(weight, expected[name]), name


FULL_DISK = """
import resource, sys
from gait.errors import GaitError
from gait.learning.checkpoint import load_checkpoint, save_checkpoint

checkpoint = load_checkpoint(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    save_checkpoint(sys.argv[1], checkpoint)
except GaitError as error:
    print(error)
"""


def test_an_old_checkpoint_stays_when_a_new_one_fails(tmp_path):
    path = tmp_path / "network.pt"
    save_checkpoint(path, made())
    before = path.read_bytes()
    told = subprocess.run([sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=False)
    assert (told.stderr, told.returncode) == ("", 0)
    assert told.stdout == f"{path}: cannot be written (File too large); check the place and its space.\n"
    with pytest.raises(TypeError, match=r"checkpoint.arguments.folder is a PosixPath"):
        save_checkpoint(path, made(arguments={"folder": tmp_path}))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["network.pt"]


# --- weights alone ---------------------------------------------------------------------------------------------------


def test_bare_published_weights_are_read(tmp_path):
    path = tmp_path / "bare.pt"
    network = TRANSFORMER.build().eval()
    torch.save(network.state_dict(), path)
    found, checkpoint = load_network(path, pose_heads=2, classifier_heads=1)
    some = torch.rand(2, 5, 22, 3)
    assert checkpoint is None
    assert torch.equal(found(some), network(some))
    assert "--pfe_head and --fc_head" in refused(load_network, path)
    assert "weights alone" in refused(load_checkpoint, path)
    for architecture in (MLP, SEQUENTIAL):
        torch.save(architecture.build().state_dict(), path)
        assert load_network(path, window_length=5)[1] is None
        assert "windows of 5 frames, not of 6" in refused(load_network, path, window_length=6)


@pytest.fixture
def saved_whole(tmp_path):
    """Saves a network as ``torch.save(model)`` does, its class from a module that is gone afterwards."""
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
def test_a_module_that_was_pickled_whole_gives_its_weights_and_runs_nothing(tmp_path, saved_whole, architecture):
    network, some = architecture.build().eval(), torch.rand(2, 5, 22, 3)
    saved_whole(network, tmp_path / "model.pth")
    found, checkpoint = load_network(tmp_path / "model.pth")  # its attentions know their heads
    assert checkpoint is None
    assert torch.equal(found(some), network(some))


def test_other_modules_are_refused_and_run_nothing(tmp_path, saved_whole):
    path = tmp_path / "model.pth"
    saved_whole(nn.Sequential(MLP.build().posefeatureextractor), path)
    assert "no known network (found 0.downs.0.bias" in refused(load_network, path)
    torch.save({"model": RunsCode(f"touch {tmp_path / 'was_here'}")}, path)
    assert "no known network (found nothing)" in refused(load_network, path)
    torch.save(RunsCode(f"touch {tmp_path / 'was_here'}"), path)
    assert "no known network" in refused(load_network, path)
    around = nn.Module()
    around.again = around
    torch.save(around, path)
    assert "more than 1000 modules" in refused(load_network, path)


# --- what cannot be read ---------------------------------------------------------------------------------------------


def test_missing_damaged_and_foreign_files(tmp_path):
    path = tmp_path / "network.pt"
    for read in (load_checkpoint, load_network):
        assert "cannot be read" in refused(read, tmp_path / "nowhere.pt")
        assert "cannot be read" in refused(read, tmp_path)
    save_checkpoint(path, made())
    whole = path.read_bytes()
    for part in (b"", b"no zip", whole[: len(whole) // 2], whole[:-1000], b"\x80\x02}q\x00."):
        path.write_bytes(part)
        for read in (load_checkpoint, load_network):
            assert "damaged, or no PyTorch checkpoint" in refused(read, path)
    torch.save([1, 2], path)
    assert "holds a list" in refused(load_network, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": 99}, "format 99 of a newer suite, this one knows up to 1"),
        ({"format_version": None}, "format None"),
        ({"format": "another"}, "no"),
        ({"joints": 22}, "joints is a int"),
        ({"mean_window": torch.zeros(4, 22, 3)}, "mean_window has shape (4, 22, 3)"),
        ({"architecture": {"kind": "transformer", "pose_dim": 8.5}}, "pose_dim 8.5"),
        ({"architecture": {"kind": "transformer", "pose_dim": 10**9}}, "that large"),
        ({"architecture": {"kind": "transformer", "pose_dim": 10**5}}, "needed is (1, 1, 100000)"),
        ({"architecture": MLP.as_dict()}, "posefeatureextractor.downs.0.weight have shape None"),
        ({"weights": {}}, "have shape None"),
    ],
)
def test_checkpoints_that_are_wrong_inside(tmp_path, change, said):
    path = tmp_path / "network.pt"
    save_checkpoint(path, made())
    torch.save(torch.load(path, weights_only=True) | change, path)
    assert said in refused(load_network, path)


def changed(name, value):
    weights = TRANSFORMER.build().state_dict()
    return weights | {name: value(weights[name]) if name in weights else value(torch.zeros(1))}


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (changed("classifier.downs.0.bias", lambda w: w * float("nan")), "not finite"),
        (changed("classifier.downs.0.bias", lambda w: w[1:]), "have shape (3,), needed is (4,)"),
        (changed("classifier.downs.4.bias", lambda w: w), "classifier.downs.4.bias has no place in a transformer"),
        (changed("feature_merger.input_embedding.weight", lambda w: w[0]), "of other shapes"),
        (
            changed(
                "feature_extractor.transformer_encoder.layers.0.linear1.weight",
                lambda w: torch.zeros(1).expand(10**12, 8),
            ),
            "claim more numbers than the file holds",
        ),
        (
            changed("feature_extractor.positional_encoder.pe", lambda w: torch.zeros(1).expand(5096, 1, 8)),
            "claim more numbers than the file holds",
        ),
    ],
)
def test_weights_that_are_wrong(tmp_path, weights, said):
    torch.save(weights, tmp_path / "bare.pt")
    assert said in refused(load_network, tmp_path / "bare.pt", pose_heads=2, classifier_heads=1)


def test_format_is_told_in_the_file():
    assert (checkpoint_module.FORMAT, checkpoint_module.FORMAT_VERSION) == ("gait network", 1)
