"""Where the transformer starts: what it sees of a walk is not lost in what is the same for all."""

from pathlib import Path

import numpy as np
import pytest
import torch
from motion_cases import stick_walker

from gait.learning.architecture import MLPArchitecture, TransformerArchitecture
from gait.learning.first_weights import settle
from gait.motion.gait_set import GaitRecording, RecordingSource
from gait.motion.windows import Windows

LENGTH = 16


def recording(number):
    rng = np.random.default_rng(number)
    joints = stick_walker(60) * rng.uniform(0.9, 1.1) + rng.normal(0, 0.01, (60, 22, 3))
    source = RecordingSource(rate_hz=100.0, frames=60, missing_share=0.0, markers=(), stature_m=float("nan"))
    return GaitRecording(f"P{number}", "walk1", bool(number % 2), joints.astype(np.float32), 100.0, source, Path())


@pytest.fixture(scope="module")
def windows():
    return Windows([recording(number) for number in range(4)], LENGTH, stride=2, mirrored=True)


def started(**sizes):
    torch.manual_seed(3)
    return TransformerArchitecture(pose_dim=16, classifier_dim=8, pose_heads=2, classifier_heads=2, ffn_dim=64).build()


def of_frames(network, joints):
    """What the first level makes of every frame (N, L, d)."""
    extractor = network.feature_extractor
    with torch.no_grad():
        rows = extractor(joints.flatten(0, 1), 1 + torch.arange(22))
    return rows.unflatten(0, joints.shape[:2])


def of_windows(network, joints):
    with torch.no_grad():
        return network.feature_merger(of_frames(network, joints), 1 + torch.arange(LENGTH))


def share_that_varies(vectors):
    """(N, d): how much of the vectors differs from one to the next, of all that there is."""
    return float(vectors.std(0).square().mean().sqrt() / vectors.square().mean().sqrt())


def test_windows_differ_from_the_first_step_on(windows):
    joints = windows.batch(torch.arange(len(windows)))
    before, after = started().eval(), started().eval()
    settle(after, windows, seed=1)
    assert share_that_varies(of_windows(before, joints)) < 0.05
    assert share_that_varies(of_windows(after, joints)) > 0.9
    assert share_that_varies(of_frames(before, joints).flatten(0, 1)) < 0.2
    assert share_that_varies(of_frames(after, joints).flatten(0, 1)) > 0.9


def test_only_biases_and_the_scale_of_embeddings_are_changed(windows):
    before, after = started(), started()
    settle(after, windows, seed=1)
    first, then = before.state_dict(), after.state_dict()
    assert first.keys() == then.keys()
    changed = {name for name in first if not torch.equal(first[name], then[name])}
    biases = {
        f"{level}.transformer_encoder.layers.0.{name}.bias"
        for level in ("feature_extractor", "feature_merger")
        for name in ("self_attn.out_proj", "linear2")
    }
    assert changed == biases | {
        "feature_extractor.input_embedding.weight",
        "feature_merger.input_embedding.weight",
        "feature_merger.input_embedding.bias",
    }
    for name in ("feature_extractor.input_embedding.weight", "feature_merger.input_embedding.weight"):
        scale = then[name] / first[name]
        torch.testing.assert_close(scale, scale.flatten()[0].expand_as(scale))


def test_the_same_seed_gives_the_same_start_and_dropout_stays_on(windows):
    one, other = started(), started()
    settle(one, windows, seed=1)
    torch.rand(5)  # the state of torch's own generator has no part in it
    settle(other, windows, seed=1)
    assert one.training
    for name, values in one.state_dict().items():
        assert torch.equal(values, other.state_dict()[name]), name


def test_joints_that_stand_still_leave_finite_weights(windows):
    network = started()
    still = [recording(0)]
    still[0].joints_m[:] = still[0].joints_m[0]
    settle(network, Windows(still, LENGTH), seed=1)
    assert all(values.isfinite().all() for values in network.state_dict().values())


def test_an_mlp_starts_as_it_is(windows):
    network = MLPArchitecture("multi_mlp", LENGTH, (8, 4), (8, 4)).build()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    settle(network, windows, seed=1)
    assert all(torch.equal(values, before[name]) for name, values in network.state_dict().items())
