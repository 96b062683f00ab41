"""How far an explanation can be believed: does the network change its mind where the explanation says it should?

A window is cut into cells, a joint for some frames. ``deletion`` takes them away, the most important first, and looks
how fast the decision goes; ``insertion`` puts them in. Samek et al. 2017, IEEE Trans. Neural Netw. Learn. Syst.
28:2660 (deletion, against random order); Petsiuk et al. 2018, BMVC (insertion); Adebayo et al. 2018, NeurIPS (an
explanation must change with the network's weights).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from gait.explaining.occlusion import CELL_FRAMES

STEPS = 20
"""In which all cells of a window are taken away."""
_WINDOWS_A_PASS = 256


@dataclass(frozen=True, eq=False)
class PerturbationCurves:
    """How far the decision has gone, or come, with so many of the cells; mean over windows, in parts of the logit."""

    share: NDArray[np.float64]  # (S,) of the cells, 0 to 1
    deletion: NDArray[np.float64]  # (S,) fall of the logit of what the network said, from the window on
    insertion: NDArray[np.float64]  # (S,) its rise, from the replacement on

    @property
    def deletion_area(self) -> float:
        """Mean fall over all shares: more is better."""
        return float(np.trapezoid(self.deletion, self.share))

    @property
    def insertion_area(self) -> float:
        """Mean rise over all shares: more is better."""
        return float(np.trapezoid(self.insertion, self.share))


def cell_scores(values: Tensor, logits: Tensor, *, signed: bool, cell_frames: int = CELL_FRAMES) -> Tensor:
    """(N, C, J) how much each cell speaks for what the network said, of importance (N, L, J) and logits (N,).

    Signed importance speaks for "sick", so it is turned around where the network says healthy.
    """
    N, L, J = values.shape
    if signed:
        values = values * torch.where(logits < 0, -1.0, 1.0)[:, None, None]
    count = -(-L // cell_frames)
    sums = values.new_zeros(N, count, J)
    return sums.index_add_(1, torch.arange(L) // cell_frames, values)


def random_scores(windows: Tensor, seed: int, cell_frames: int = CELL_FRAMES) -> Tensor:
    """(N, C, J) cells of windows (N, L, J, 3) in random order."""
    N, L, J, _ = windows.shape
    return torch.rand(N, -(-L // cell_frames), J, generator=torch.Generator().manual_seed(seed))


def curves(
    network: nn.Module,
    windows: Tensor,
    replacements: Tensor,
    scores: Tensor,
    *,
    cell_frames: int = CELL_FRAMES,
    steps: int = STEPS,
) -> PerturbationCurves:
    """Deletion and insertion of the cells of windows (N, L, J, 3), those of the highest scores first.

    Args:
        network: windows to logits.
        windows: (N, L, J, 3).
        replacements: (L, J, 3) or (N, L, J, 3) what stands in a cell that is away.
        scores: (N, C, J) as ``cell_scores`` gives them.
        cell_frames: frames of a cell.
        steps: in which all cells go.
    """
    L = windows.shape[1]
    replacements = replacements.expand_as(windows)
    # (N, C, J) the place of each cell in the order, from 0.
    place = scores.flatten(1).argsort(dim=1, descending=True).argsort(dim=1).reshape(scores.shape)
    cells = place[0].numel()
    of_frame = torch.arange(L) // cell_frames
    counts = [round(cells * step / steps) for step in range(steps + 1)]
    logits = _logits(network, windows)
    sign = torch.where(logits < 0, -1.0, 1.0)
    fall, rise = [], []
    without = _logits(network, replacements)
    for count in counts:
        away = (place < count)[:, of_frame, :, None]
        fall.append(float((sign * (logits - _logits(network, torch.where(away, replacements, windows)))).mean()))
        rise.append(float((sign * (_logits(network, torch.where(away, windows, replacements)) - without)).mean()))
    return PerturbationCurves(np.array(counts) / cells, np.array(fall), np.array(rise))


def shuffled(network: nn.Module, seed: int) -> nn.Module:
    """The network with the weights of every layer in random order, each tensor's among themselves."""
    other = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.flatten()[order].reshape(parameter.shape))
    return other.eval()


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's, between two explanations (N, L, J) of each window; the mean over windows where it is defined."""
    ranks = [rankdata(values.flatten(1).numpy(), axis=1) for values in (first, second)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    sizes = np.prod([np.linalg.norm(rank, axis=1) for rank in centred], axis=0)
    products = (centred[0] * centred[1]).sum(axis=1)
    defined = sizes > 0
    return float(np.mean(products[defined] / sizes[defined])) if defined.any() else float("nan")


def first_is_true(scores: NDArray[np.floating], true: Sequence[int]) -> bool:
    """Whether the joint of the highest score (J,) is one of the true places."""
    return int(np.argmax(scores)) in set(map(int, true))


def side_is_true(scores: NDArray[np.floating], true: Sequence[int], other_side: Sequence[int]) -> bool:
    """Whether the true places have a higher sum of scores (J,) than the same joints of the other side."""
    return float(scores[list(true)].sum()) > float(scores[list(other_side)].sum())


def _logits(network: nn.Module, windows: Tensor) -> Tensor:
    with torch.inference_mode():
        return torch.cat([network(some) for some in windows.split(_WINDOWS_A_PASS)])
