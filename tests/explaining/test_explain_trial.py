"""Attribution of trials against a slow version, and measures of faithfulness."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from gait.body.skeleton import BODY_JOINTS, MIRROR_ORDER, Joint
from gait.errors import GaitError
from gait.explaining.attribution import observation_notes
from gait.explaining.explain_trial import explain_trial
from gait.explaining.faithfulness import (
    deletion_curves,
    patch_scores,
    random_patch_scores,
    randomize_weights,
)
from gait.explaining.methods import explain_windows
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.learning.checkpoint import Checkpoint
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.learning.transformer import GaitTransformer
from gait.motion.dataset import AcquisitionInfo, Trial
from tests.helpers.explanation_cases import random_attribution, write_network
from tests.helpers.motion_cases import stand_walk_stand, status_without, stick_figure, to_common_frame, write_trial

LENGTH = 16
NETWORKS = [
    MLPArchitecture("sequential_mlp", LENGTH, (16, 8), (12, 5)),
    TransformerArchitecture(8, 8, 2, 2, 16),
]


def make_trial(tmp_path, frames=40):
    joints = stick_figure(frames).astype(np.float32)
    return Trial("P01", "walk", True, joints, 100.0, AcquisitionInfo(100.0, frames, 0.0, (), 1.7), tmp_path)


@pytest.fixture(params=NETWORKS, ids=["mlp", "transformer"])
def network(request):
    torch.manual_seed(1)
    return request.param.build().eval()


def trained(network):
    return TrainedNetwork(network, LENGTH, mean_window=torch.zeros(LENGTH, 22, 3))


@pytest.mark.parametrize("method", ["lrp", "gradient_input"])
def test_explain_trial_averages_the_windows_that_cover_a_frame(network, tmp_path, method):
    trial = make_trial(tmp_path)
    found = explain_trial(trained(network), trial, method)
    sums, counts, probabilities = np.zeros((40, 22)), np.zeros(40), np.zeros(40)
    for first in range(40 - LENGTH + 1):
        window = to_common_frame(torch.as_tensor(trial.joints_m[first : first + LENGTH])[None])
        window_result = explain_windows(network, window, method)
        sums[first : first + LENGTH] += window_result.values[0].numpy()
        counts[first : first + LENGTH] += 1
        probabilities[first : first + LENGTH] += window_result.logits.sigmoid().item()
    np.testing.assert_allclose(found.values, sums / counts[:, None], atol=1e-5)
    np.testing.assert_allclose(found.probability, probabilities / counts, atol=1e-5)
    assert found.first_frames.tolist() == list(range(25))
    assert found.trial_probability == pytest.approx(found.window_probability.mean())
    assert found.method == method
    assert 0 <= found.unattributed <= 1


def test_explanations_of_cycles_give_each_frame_the_nearest_sample_of_its_windows(tmp_path):
    length, names = 128, tuple(joint.name for joint in BODY_JOINTS)
    architecture = MLPArchitecture("sequential_mlp", length, (4,), (4,))
    network = architecture.build().eval()
    checkpoint = Checkpoint(architecture, {}, length, 100.0, "", names, input="bones", windows="cycles")
    whole = TrainedNetwork(network, length, mean_window=torch.zeros(length, 22, 3), checkpoint=checkpoint)
    trial = make_trial(tmp_path, 500)
    found = explain_trial(whole, trial, "gradient_input")
    windows = whole.windows_of(trial)
    every = torch.arange(len(windows))
    values = explain_windows(network, windows.batch(every), "gradient_input").values.numpy()
    mirrored = windows.is_mirrored.numpy()
    values[mirrored] = values[mirrored][:, :, list(MIRROR_ORDER)]
    assert len(values) > mirrored.sum() > 0
    times = windows.sample_times(every).numpy()
    for frame in range(500):
        covering = [n for n in range(len(times)) if round(times[n, 0]) <= frame <= round(times[n, -1])]
        nearest = [values[n, np.abs(times[n] - frame).argmin()] for n in covering]
        expected = np.mean(nearest, axis=0) if covering else np.full(22, np.nan)
        np.testing.assert_allclose(found.values[frame], expected, atol=1e-6)


def test_explain_trial_with_stride_includes_the_last_window(network, tmp_path):
    trial = make_trial(tmp_path)
    found, full = (explain_trial(trained(network), trial, "lrp", stride=stride) for stride in (10, 1))
    window = to_common_frame(torch.as_tensor(trial.joints_m[24:])[None])
    last = explain_windows(network, window, "lrp").values[0].numpy()
    np.testing.assert_allclose(found.values[-4:], last[-4:], atol=1e-5)  # the third window ends at frame 36
    assert np.isfinite(found.values).all()
    assert found.settings["stride"] == 10
    # Predictions use all windows, whatever the stride.
    np.testing.assert_allclose(found.window_probability, full.window_probability, atol=1e-6)
    np.testing.assert_allclose(found.probability, full.probability, atol=1e-6)


def test_explain_trial_leaves_frames_between_windows_undefined(network, tmp_path):
    found = explain_trial(trained(network), make_trial(tmp_path, 60), "lrp", stride=30)
    assert np.isnan(found.values[LENGTH:30]).all()
    assert np.isfinite(found.values[30:]).all()
    assert np.isfinite(found.probability).all()


ARMS = (Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW, Joint.LEFT_WRIST, Joint.RIGHT_WRIST)


def test_explain_trial_explains_no_joint_that_is_not_observed(network, tmp_path):
    complete = make_trial(tmp_path)
    status = status_without(40, ARMS)
    status[5:12, Joint.LEFT_KNEE] = 0
    trial = replace(complete, joint_status=status)
    for method in trained(network).methods:
        whole, found = (explain_trial(trained(network), each, method) for each in (complete, trial))
        assert np.isnan(found.values[:, ARMS]).all()
        assert np.isnan(found.values[5:12, Joint.LEFT_KNEE]).all()
        np.testing.assert_array_equal(found.values[found.explainable], whole.values[found.explainable])
        assert np.isfinite(found.values[found.explainable]).all()
        np.testing.assert_array_equal(found.probability, whole.probability)
        names = found.largest_joints(22)
        assert len(names) == 18
        assert not any("elbow" in name or "wrist" in name for name in names)
    assert observation_notes(whole) == ()
    assert observation_notes(found) == (
        "Not observed by markers, so not explained: elbows and wrists.",
        "The network uses the pose prior's guess of elbows and wrists; the prediction depends on it.",
    )


@pytest.mark.parametrize("architecture", NETWORKS, ids=["mlp", "transformer"])
def test_explain_trial_by_a_network_that_leaves_out_joints(tmp_path, architecture):
    """Neither prediction nor attribution depends on them, whether or not the trial observes them."""
    names = tuple(joint.name for joint in ARMS)
    path = write_network(
        tmp_path / "network.ckpt", architecture, window_length=LENGTH, mean_window=torch.zeros(LENGTH, 22, 3),
        left_out_joints=names,
    )  # fmt: skip
    network = load_network(path)
    assert network.left_out_joints == ARMS
    trial = make_trial(tmp_path)
    moved = trial.joints_m.copy()
    moved[:, ARMS] += np.random.default_rng(0).normal(0, 0.3, (4, 3)).astype(np.float32)
    other = replace(trial, joints_m=moved, joint_status=status_without(40, ARMS))
    for method in network.methods:
        found, changed = (explain_trial(network, each, method) for each in (trial, other))
        np.testing.assert_allclose(found.probability, changed.probability, atol=1e-5)
        np.testing.assert_allclose(found.values, changed.values, atol=1e-4)
        assert np.isnan(found.values[:, ARMS]).all()
        assert np.isfinite(np.delete(found.values, ARMS, axis=1)).all()
    assert observation_notes(found) == ("Not used by this network: elbows and wrists.",)
    assert observation_notes(changed) == ("Not observed by markers, so not explained: elbows and wrists.",)


@pytest.mark.parametrize("frames", [LENGTH, LENGTH + 1, 40, 90])
def test_well_covered_excludes_frames_near_the_ends(network, tmp_path, frames):
    found = explain_trial(trained(network), make_trial(tmp_path, frames), "lrp")
    counts = [sum(first <= frame < first + LENGTH for first in range(frames - LENGTH + 1)) for frame in range(frames)]
    assert found.well_covered.tolist() == [2 * count >= max(counts) for count in counts]


def test_explain_trial_uses_larger_stride_for_costly_methods(network, tmp_path):
    strides = {}
    for method in ("lrp", "integrated_gradients", "occlusion"):
        found = explain_trial(trained(network), make_trial(tmp_path), method)
        strides[method] = found.settings["stride"]
        assert len(found.first_frames) == 25
    costly = isinstance(network, GaitTransformer)
    assert strides == {"lrp": 1, "integrated_gradients": 8 if costly else 1, "occlusion": 16 if costly else 4}


def test_explain_trial_raises_for_short_trial(network, tmp_path):
    with pytest.raises(GaitError, match="10 frames at 100 Hz are shorter than a window of 16"):
        explain_trial(trained(network), make_trial(tmp_path, 10), "lrp")


# Faithfulness


class OnePatch(nn.Module):
    """A network that depends only on joint 3 in frames 8 to 15."""

    def forward(self, windows):
        return windows[:, 8:16, 3, 0].sum(1)


def test_deletion_curves_of_one_important_patch():
    windows = torch.ones(2, 24, 22, 3)
    windows[1] *= -1  # predicted healthy
    network, zeros = OnePatch(), torch.zeros(24, 22, 3)
    logits = network(windows)
    values = torch.zeros(2, 24, 22)
    values[:, 8:16, 3] = logits[:, None] / 8
    scores = patch_scores(values, logits, signed=True)
    assert scores.shape == (2, 3, 22)
    assert (scores.flatten(1).argmax(1) == 22 + 3).all()
    found = deletion_curves(network, windows, zeros, scores, steps=22)
    assert found.fraction.tolist() == pytest.approx([step / 22 for step in range(23)])
    assert found.deletion.tolist() == [0] + [8] * 22  # the first three patches account for the whole logit
    worst = deletion_curves(network, windows, zeros, -scores, steps=22)
    assert worst.deletion_auc < 0.5 < found.deletion_auc / 8
    many = windows.repeat(100, 1, 1, 1)
    at_random = deletion_curves(network, many, zeros, random_patch_scores(many, 0))
    assert at_random.deletion_auc == pytest.approx(4, abs=0.7)


def test_patch_scores_changes_sign_only_of_signed_attribution():
    values = torch.rand(1, 8, 22)
    for signed, sign in ((False, 1), (True, -1)):
        scores = patch_scores(values, torch.tensor([-1.0]), signed=signed)
        torch.testing.assert_close(scores[0, 0], sign * values[0].sum(0))


def test_randomize_weights_permutes_parameters(network):
    other = randomize_weights(network, seed=0)
    for (name, before), (_, after) in zip(network.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values), name
    assert not torch.equal(next(iter(network.parameters())), next(iter(other.parameters())))
    assert torch.equal(next(iter(randomize_weights(network, 0).parameters())), next(iter(other.parameters())))


@pytest.mark.parametrize("stride", [1, 7])
def test_explain_trial_explains_a_walk_between_two_stands_as_the_walk_alone(network, tmp_path, stride):
    joints = stand_walk_stand(stick_figure(300), 150, 120)
    both = explain_trial(trained(network), write_trial(tmp_path, "sick/P/both", joints), "lrp", stride=stride)
    walk = slice(int(both.first_frames[0]), int(both.first_frames[-1]) + LENGTH)
    assert walk.stop - walk.start > 150
    alone = explain_trial(trained(network), write_trial(tmp_path, "sick/P/alone", joints[walk]), "lrp", stride=stride)
    np.testing.assert_allclose(both.values[walk], alone.values, atol=1e-6)
    np.testing.assert_allclose(both.probability[walk], alone.probability, atol=1e-6)
    assert both.trial_probability == pytest.approx(alone.trial_probability, abs=1e-6)
    assert both.largest_joints(22) == alone.largest_joints(22)
    outside = np.ones(len(joints), bool)
    outside[walk] = False
    assert np.isnan(both.values[outside]).all()
    assert np.isnan(both.probability[outside]).all()
    assert both.well_covered[walk].tolist() == alone.well_covered.tolist()
    assert not both.well_covered[outside].any()
    kept = explain_trial(trained(network), tmp_path / "sick/P/both", "lrp", stride=stride, keep_standing=True)
    assert len(kept.window_probability) == len(joints) - LENGTH + 1
    assert np.isfinite(kept.probability).all()


def test_explain_trial_follows_the_flag_of_the_training(tmp_path):
    folder = write_trial(tmp_path, "sick/P/both", stand_walk_stand(stick_figure(300), 150, 120))
    counts = {}
    for name, arguments in {"before": {}, "alone": {"keep_standing": False}, "kept": {"keep_standing": True}}.items():
        loaded = load_network(write_network(tmp_path / f"{name}.ckpt", arguments=arguments))
        counts[name] = len(explain_trial(loaded, folder, "gradient_input").window_probability)
    assert counts["before"] == counts["alone"] < counts["kept"] == 570 - 32 + 1


def test_ends_of_a_trial_count_in_no_rank(network, tmp_path):
    found = explain_trial(trained(network), make_trial(tmp_path, 90), "lrp")
    loud = found.values.copy()
    loud[~found.well_covered, 3] = 1e6
    assert replace(found, values=loud).largest_joints(22) == found.largest_joints(22)
    assert np.isnan(found.counted_values[~found.well_covered]).all()
    assert found.counts[found.well_covered].all()


def test_rotations_of_unobserved_parts_are_not_explained(tmp_path):
    """Where the wrist is not observed, neither is the forearm, and so the rotation of the elbow."""
    status = status_without(40, [Joint.LEFT_WRIST])
    values = np.ones((40, 22), np.float32)
    for kind, lacking in (("published", {Joint.LEFT_WRIST}), ("rotations", {Joint.LEFT_ELBOW, Joint.LEFT_WRIST})):
        found = random_attribution(40, values=values, joint_status=status, input=kind)
        assert {*found.unobserved_joints} == lacking
        assert {*np.flatnonzero(~found.explainable.any(axis=0))} == lacking
        assert found.unobserved_positions == (Joint.LEFT_WRIST,)
