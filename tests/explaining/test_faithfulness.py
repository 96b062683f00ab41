"""Deletion window by window, and the fair replacement."""

import numpy as np
import pytest
import torch
from torch import nn

from gait.explaining.faithfulness import deletion_curves, nearest_pace


class TwoPatches(nn.Module):
    """A network that depends on joint 3 in frames 0 to 7, and half as much on joint 4 in frames 8 to 15."""

    def forward(self, windows):
        return windows[:, 0:8, 3, 0].sum(1) + 0.5 * windows[:, 8:16, 4, 0].sum(1) - 3


def test_curves_keep_each_window_and_its_decision():
    windows = torch.ones(2, 16, 22, 3)
    windows[1] = 0.1
    scores = torch.zeros(2, 2, 22)
    scores[:, 0, 3], scores[:, 1, 4] = 2, 1
    found = deletion_curves(TwoPatches(), windows, torch.zeros(16, 22, 3), scores, steps=44)
    assert found.whole_fall.tolist() == pytest.approx([12, -1.2])  # the second window is called healthy all the time
    assert found.fall[1].tolist() == pytest.approx([8, -0.8])
    assert found.fall_after(1.5 / 44).tolist() == pytest.approx([10, -1.0])
    assert found.deletion.tolist() == found.fall.mean(axis=1).tolist()


def test_nearest_pace_takes_another_person():
    found = nearest_pace([0.4, 0.3, 0.4], ["A", "B", "C"], [0.4, 0.31, 0.2], ["A", "C", "D"])
    assert found.tolist() == [1, 1, 0]
    with pytest.raises(ValueError, match="another person"):
        nearest_pace([0.4], ["A"], [0.4], ["A"])
    assert found.dtype == np.int64
