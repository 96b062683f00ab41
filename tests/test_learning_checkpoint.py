"""Checkpoints: what goes in comes out, and nothing else gets in."""

import pytest
import torch

from gait.errors import GaitError
from gait.learning.architecture import MLPArchitecture, TransformerArchitecture
from gait.learning.checkpoint import Checkpoint, load_checkpoint, load_network, save_checkpoint

TRANSFORMER = TransformerArchitecture(8, 4, 2, 2, 16)
MLP = MLPArchitecture("multi_mlp", 5, (4, 3), (6, 2))


def made(architecture=TRANSFORMER, **more):
    return Checkpoint(architecture, architecture.build().state_dict(), 5, 100.0, "published", ("a", "b"), **more)


@pytest.mark.parametrize("architecture", [TRANSFORMER, MLP], ids=["transformer", "mlp"])
def test_a_checkpoint_comes_back_as_it_was(tmp_path, architecture):
    state = {"epoch": 3, "rng": torch.get_rng_state(), "history": [{"loss": 0.5}]}
    path = tmp_path / "network.pt"
    checkpoint = made(architecture, training_state=state, mean_window=torch.rand(5, 22, 3), fold={"training": ("x",)})
    save_checkpoint(path, checkpoint)
    back = load_checkpoint(path)
    assert back.architecture == architecture
    assert (back.window_length, back.frame_rate_hz, back.joints) == (5, 100.0, ("a", "b"))
    assert back.fold == {"training": ["x"]}
    assert back.training_state["history"] == [{"loss": 0.5}]
    assert torch.equal(back.training_state["rng"], state["rng"])
    assert torch.equal(back.mean_window, checkpoint.mean_window)
    network, again = load_network(path)
    assert again.architecture == architecture
    assert not network.training
    for name, weight in network.state_dict().items():
        assert torch.equal(weight, checkpoint.weights[name])
    assert [file.name for file in tmp_path.iterdir()] == ["network.pt"]


def test_bare_published_weights_are_read(tmp_path):
    path = tmp_path / "bare.pt"
    torch.save(TRANSFORMER.build().state_dict(), path)
    network, checkpoint = load_network(path, pose_heads=2, classifier_heads=2)
    assert checkpoint is None
    assert network(torch.rand(1, 5, 22, 3)).shape == (1,)
    torch.save(MLP.build().state_dict(), path)
    assert load_network(path, window_length=5)[1] is None
    with pytest.raises(GaitError, match="5 frames, not 6"):
        load_network(path, window_length=6)
