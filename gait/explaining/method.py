"""Definition of one explanation method: an entry of ``gait.explaining.methods.METHODS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from gait.errors import GaitError
from gait.learning.networks import find_network

Explanation = tuple[Tensor, Tensor, Mapping[str, Any]]
"""Attribution (N, L, J) or (N, L, J, 3), logits (N,), and the settings to save with them."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One explanation method: its computation, names and display."""

    name: str  # value of --method
    title: str  # display name
    description: str  # one sentence on how it works, for the viewer
    explain: Callable[[nn.Module, Tensor, Tensor | None, str | None], Explanation]
    """From the network, windows (N, L, J, 3), the baseline, (L, J, 3) or (N, L, J, 3), and the rule."""
    signed: bool = True  # whether it distinguishes evidence for the sick class from evidence for the healthy class
    needs_baseline: bool = False  # the training set's mean window
    per_axis: bool = True  # whether the three values of a joint, if it returns them, differ in meaning
    supports: Callable[[nn.Module], bool] = lambda _: True
    rules: Callable[[nn.Module], Sequence[str]] | None = None  # of a network, the default first; None: it has no rules
    stride: int = 1  # default number of frames from one explained window to the next; larger for costly methods
    stride_of_weights_per_frame: int = 1  # the same for networks with separate weights per frame: few windows are noisy
    order: int = 9  # in lists; the first method that supports a network is its default

    def rules_for(self, network: nn.Module) -> tuple[str | None, ...]:
        """Return the rules for a network, the default first; only None if the method has no rules."""
        return tuple(self.rules(network)) if self.rules else (None,)

    def stride_for(self, network: nn.Module) -> int:
        """Return the default number of frames from one explained window to the next."""
        return self.stride_of_weights_per_frame if find_network(network).weights_per_frame else self.stride


def captum_attr(method: str) -> Any:
    """Import and return ``captum.attr``, an optional dependency that a method needs.

    Raises:
        GaitError: captum is not installed.
    """
    try:
        import captum.attr
    except ImportError:
        hint = "pip install 'gait-suite[explain]', or give another --method"
        raise GaitError(f"{method} needs captum, which is not installed: {hint}.") from None
    return captum.attr
