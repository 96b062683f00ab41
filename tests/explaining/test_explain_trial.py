"""Whole recordings against a slow version, and the figures of how faithful an explanation is."""

import numpy as np
import pytest
import torch
from torch import nn

from gait.errors import GaitError
from gait.explaining.explain_trial import explain_gait
from gait.explaining.faithfulness import (
    cell_scores,
    curves,
    first_is_true,
    random_scores,
    rank_correlation,
    shuffled,
    side_is_true,
)
from gait.explaining.methods import explain_windows
from gait.learning.architecture import MLPArchitecture, TransformerArchitecture
from gait.learning.transformer import GaitTransformer
from gait.motion.common_frame import common_frame
from gait.motion.dataset import AcquisitionInfo, Trial
from tests.helpers.motion_cases import stick_walker

LENGTH = 16
NETWORKS = [
    MLPArchitecture("sequential_mlp", LENGTH, (16, 8), (12, 5)),
    TransformerArchitecture(8, 8, 2, 2, 16),
]


def recording(tmp_path, frames=40):
    joints = stick_walker(frames).astype(np.float32)
    return Trial("P01", "walk", True, joints, 100.0, AcquisitionInfo(100.0, frames, 0.0, (), 1.7), tmp_path)


@pytest.fixture(params=NETWORKS, ids=["mlp", "transformer"])
def network(request):
    torch.manual_seed(1)
    return request.param.build().eval()


@pytest.mark.parametrize("method", ["lrp", "gradient_input"])
def test_a_recording_is_the_mean_of_all_windows_that_cover_a_frame(network, tmp_path, method):
    gait = recording(tmp_path)
    found = explain_gait(network, gait, LENGTH, method)
    sums, counts, chances = np.zeros((40, 22)), np.zeros(40), np.zeros(40)
    for first in range(40 - LENGTH + 1):
        window = common_frame(torch.as_tensor(gait.joints_m[first : first + LENGTH])[None])
        said = explain_windows(network, window, method)
        sums[first : first + LENGTH] += said.values[0].numpy()
        counts[first : first + LENGTH] += 1
        chances[first : first + LENGTH] += said.logits.sigmoid().item()
    np.testing.assert_allclose(found.values, sums / counts[:, None], atol=1e-5)
    np.testing.assert_allclose(found.probability, chances / counts, atol=1e-5)
    assert found.first_frames.tolist() == list(range(25))
    assert found.person_probability == pytest.approx(found.window_probability.mean())
    assert found.method == method
    assert 0 <= found.absorbed <= 1


def test_with_a_stride_the_last_window_is_there_all_the_same(network, tmp_path):
    gait = recording(tmp_path)
    found, every = (explain_gait(network, gait, LENGTH, "lrp", stride=stride) for stride in (10, 1))
    window = common_frame(torch.as_tensor(gait.joints_m[24:])[None])
    last = explain_windows(network, window, "lrp").values[0].numpy()
    np.testing.assert_allclose(found.values[-4:], last[-4:], atol=1e-5)  # the third window ends at frame 36
    assert np.isfinite(found.values).all()
    assert found.settings["stride"] == 10
    # Who is judged to be what is no matter of the method's cost.
    np.testing.assert_allclose(found.window_probability, every.window_probability, atol=1e-6)
    np.testing.assert_allclose(found.probability, every.probability, atol=1e-6)


def test_frames_between_far_windows_are_not_made_up(network, tmp_path):
    found = explain_gait(network, recording(tmp_path, 60), LENGTH, "lrp", stride=30)
    assert np.isnan(found.values[LENGTH:30]).all()
    assert np.isfinite(found.values[30:]).all()
    assert np.isfinite(found.probability).all()


@pytest.mark.parametrize("frames", [LENGTH, LENGTH + 1, 40, 90])
def test_frames_near_the_ends_have_less_than_half_of_the_windows(network, tmp_path, frames):
    found = explain_gait(network, recording(tmp_path, frames), LENGTH, "lrp")
    counts = [sum(first <= frame < first + LENGTH for first in range(frames - LENGTH + 1)) for frame in range(frames)]
    assert found.well_covered.tolist() == [2 * count >= max(counts) for count in counts]


def test_costly_methods_look_at_fewer_windows(network, tmp_path):
    strides = {}
    for method in ("lrp", "integrated_gradients", "occlusion"):
        found = explain_gait(network, recording(tmp_path), LENGTH, method, baseline=torch.zeros(LENGTH, 22, 3))
        strides[method] = found.settings["stride"]
        assert len(found.first_frames) == 25
    costly = isinstance(network, GaitTransformer)
    assert strides == {"lrp": 1, "integrated_gradients": 8 if costly else 1, "occlusion": 16 if costly else 4}


def test_a_recording_shorter_than_a_window_is_a_plain_line(network, tmp_path):
    with pytest.raises(GaitError, match="has 10 frames at 100 Hz, fewer than a window's 16"):
        explain_gait(network, recording(tmp_path, 10), LENGTH, "lrp")


# How faithful


class OneCell(nn.Module):
    """A network that looks at joint 3 in frames 8 to 15 alone."""

    def forward(self, windows):
        return windows[:, 8:16, 3, 0].sum(1)


def test_taking_away_the_one_cell_that_counts_ends_the_decision():
    windows = torch.ones(2, 24, 22, 3)
    windows[1] *= -1  # the network says healthy there
    network, nothing = OneCell(), torch.zeros(24, 22, 3)
    logits = network(windows)
    values = torch.zeros(2, 24, 22)
    values[:, 8:16, 3] = logits[:, None] / 8
    scores = cell_scores(values, logits, signed=True)
    assert scores.shape == (2, 3, 22)
    assert (scores.flatten(1).argmax(1) == 22 + 3).all()
    found = curves(network, windows, nothing, scores, steps=22)
    assert found.share.tolist() == pytest.approx([step / 22 for step in range(23)])
    assert found.deletion.tolist() == [0] + [8] * 22  # all of the logit with the first three cells
    assert found.insertion.tolist() == [0] + [8] * 22
    worst = curves(network, windows, nothing, -scores, steps=22)
    assert worst.deletion_area < 0.5 < found.deletion_area / 8
    at_random = curves(network, windows.repeat(100, 1, 1, 1), nothing, random_scores(windows.repeat(100, 1, 1, 1), 0))
    assert at_random.deletion_area == pytest.approx(4, abs=0.7)


def test_unsigned_importance_is_not_turned_around():
    values = torch.rand(1, 8, 22)
    for signed, sign in ((False, 1), (True, -1)):
        scores = cell_scores(values, torch.tensor([-1.0]), signed=signed)
        torch.testing.assert_close(scores[0, 0], sign * values[0].sum(0))


def test_shuffled_weights_are_the_same_numbers_in_another_order(network):
    other = shuffled(network, seed=0)
    for (name, before), (_, after) in zip(network.named_parameters(), other.named_parameters(), strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values), name
    assert not torch.equal(next(iter(network.parameters())), next(iter(other.parameters())))
    assert torch.equal(next(iter(shuffled(network, 0).parameters())), next(iter(other.parameters())))


def test_rank_correlation_is_spearmans():
    first = torch.arange(22.0).reshape(1, 1, 22)
    assert rank_correlation(first, first**3) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    assert rank_correlation(torch.cat([first, first]), torch.cat([first, -first])) == pytest.approx(0)
    assert np.isnan(rank_correlation(first, torch.zeros(1, 1, 22)))


def test_places_are_told_by_the_highest_joint_and_the_heavier_side():
    scores = np.zeros(22)
    scores[[4, 7, 8]] = 3, 1, 2
    assert first_is_true(scores, [4, 7])
    assert not first_is_true(scores, [8])
    assert side_is_true(scores, [4, 7], [5, 8])
    assert not side_is_true(scores, [5, 8], [4, 7])
