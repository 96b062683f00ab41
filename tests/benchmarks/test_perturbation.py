"""Insertion and flipped decisions window by window, and the rank correlation of attributions."""

import numpy as np
import pytest
import torch

from gait.explaining.faithfulness import deletion_curves
from tests.explaining.test_faithfulness import TwoPatches


def test_insertion_and_flips_keep_each_window_and_its_decision(module):
    perturbation = module("perturbation")
    windows = torch.ones(2, 16, 22, 3)
    windows[1] = 0.1
    scores = torch.zeros(2, 2, 22)
    scores[:, 0, 3], scores[:, 1, 4] = 2, 1
    arguments = TwoPatches(), windows, torch.zeros(16, 22, 3), scores
    deletion, insertion = deletion_curves(*arguments, steps=44), perturbation.insertion_curves(*arguments, steps=44)
    assert perturbation.rise_after(insertion, 1 / 44).tolist() == pytest.approx([8, -0.8])
    assert perturbation.rise_after(insertion, 1).tolist() == pytest.approx(deletion.whole_fall.tolist())
    means = (3.6, 5.4)  # over both windows, after the first patch and after the second
    area = (means[0] / 2 + sum(means) / 2 + 42 * means[1]) / 44
    assert perturbation.insertion_auc(insertion) == pytest.approx(area)
    assert perturbation.flipped_after(deletion, 1 / 44).tolist() == [0, 0]  # 9, 1 and −3 against 0
    assert perturbation.flipped_after(deletion, 2 / 44).tolist() == [1, 0]


def test_rank_correlation_is_spearman(module):
    rank_correlation = module("perturbation").rank_correlation
    first = torch.arange(22.0).reshape(1, 1, 22)
    assert rank_correlation(first, first**3) == pytest.approx(1)
    assert rank_correlation(first, -first) == pytest.approx(-1)
    assert rank_correlation(torch.cat([first, first]), torch.cat([first, -first])) == pytest.approx(0)
    assert np.isnan(rank_correlation(first, torch.zeros(1, 1, 22)))
