"""Whether one decision depends on what its explanation marks: deletion on the windows of this trial.

Patches are replaced by those of controls at the same phase of the gait cycle and the nearest pace, from which no method
starts (``faithfulness.nearest_pace``). The order of the explanation is compared with random order and with the order of
the same method on the network with randomized weights (Adebayo et al. 2018, NeurIPS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from gait.explaining.evidence.controls import Controls, phase_windows
from gait.explaining.evidence.finding import TrialFaithfulness
from gait.explaining.faithfulness import (
    deletion_curves,
    nearest_pace,
    patch_scores,
    random_patch_scores,
    randomize_weights,
)
from gait.explaining.methods import explain_windows, find_method
from gait.explaining.trained_network import TrainedNetwork
from gait.motion.dataset import Trial

FRACTION = 0.1
"""Fraction of the patches after which the fall of the logit is stated."""
STEPS = 10  # so that one of them is the fraction
RANDOM_ORDERS = 5
RANDOMIZED_NETWORKS = 2
_UNKNOWN = TrialFaithfulness(math.nan, math.nan, math.nan, math.nan)


def measure_trial_faithfulness(
    trained: TrainedNetwork, trial: Trial, speed: float, controls: Controls, method: str, rule: str | None = None
) -> TrialFaithfulness:
    """Measure deletion on windows of a trial; all NaN without controls' windows or without a window at their phase."""
    windows = phase_windows(trained, trained.windows_of(trial))
    if not len(windows) or not len(controls.windows):
        return _UNKNOWN
    pace = float(np.median(controls.window_speeds)) if math.isnan(speed) else speed
    own = [trial.subject_id] * len(windows)
    nearest = nearest_pace([pace] * len(windows), own, controls.window_speeds, controls.window_persons)
    replacements = controls.windows[torch.from_numpy(nearest)]
    with torch.inference_mode():
        logits = trained.network(windows)
    signed = find_method(trained.network, method).signed

    def scores(network: nn.Module) -> Tensor:
        found = explain_windows(network, windows, method, baseline=trained.mean_window, rule=rule)
        return patch_scores(found.values.detach(), logits, signed=signed)

    def fall(orders: Sequence[Tensor]) -> tuple[float, float]:
        curves = [deletion_curves(trained.network, windows, replacements, each, steps=STEPS) for each in orders]
        after = np.mean([curve.fall_after(FRACTION).sum() for curve in curves])
        return float(curves[0].whole_fall.sum()), float(after)

    whole, after = fall([scores(trained.network)])
    _, at_random = fall([random_patch_scores(windows, seed) for seed in range(RANDOM_ORDERS)])
    _, randomized = fall([scores(randomize_weights(trained.network, seed)) for seed in range(RANDOMIZED_NETWORKS)])
    shares = [value / whole if whole else math.nan for value in (after, at_random, randomized)]
    return TrialFaithfulness(whole / len(windows), *shares)
