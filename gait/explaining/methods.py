"""Registry of the explanation methods, and one function to run any of them.

A method takes a network and windows in the common frame and returns a ``WindowAttribution`` for the sick logit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gait.errors import GaitError
from gait.explaining.attention import attention
from gait.explaining.attribution import WindowAttribution
from gait.explaining.gradients import STEPS, gradient_input, integrated_gradients
from gait.explaining.lrp_mlp import EPSILON, PUBLISHED_EPSILON, lrp_epsilon, lrp_published
from gait.explaining.lrp_transformer import RULES as TRANSFORMER_RULES
from gait.explaining.lrp_transformer import lrp_transformer
from gait.explaining.occlusion import PATCH_FRAMES, occlusion
from gait.learning.networks.transformer import GaitTransformer

MLP_RULES = ("epsilon", "published")


@dataclass(frozen=True)
class Method:
    """Properties of an explanation method."""

    name: str  # value of --method
    title: str  # display name
    signed: bool  # whether it distinguishes evidence for the sick class from evidence for the healthy class
    supports_transformers: bool = True
    supports_mlps: bool = True
    needs_baseline: bool = False
    stride: int = 1  # default number of frames from one explained window to the next; larger for costly methods
    mlp_stride: int = 1  # for MLPs, which have separate weights per frame: averages of few windows are noisy

    def supports(self, network: nn.Module) -> bool:
        """Return whether the method explains this type of network."""
        return self.supports_transformers if isinstance(network, GaitTransformer) else self.supports_mlps

    def stride_for(self, network: nn.Module) -> int:
        """Return the default number of frames from one explained window to the next for this type of network."""
        return self.stride if isinstance(network, GaitTransformer) else self.mlp_stride


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("lrp", "Relevance (LRP)", signed=True),
        Method("attention", "Attention", signed=False, supports_mlps=False),
        Method("gradient_input", "Input times gradient", signed=True),
        Method("integrated_gradients", "Integrated gradients", signed=True, needs_baseline=True, stride=8),
        Method("occlusion", "Occlusion", signed=True, needs_baseline=True, stride=16, mlp_stride=4),
    )
}


def explain_windows(
    network: nn.Module, windows: Tensor, method: str, *, baseline: Tensor | None = None, rule: str | None = None
) -> WindowAttribution:
    """Compute the attribution of windows.

    Args:
        network: in evaluation mode; windows to logits.
        windows: (N, L, J, 3) in the common frame.
        method: one of ``METHODS``.
        baseline: for methods that compare with one: the training set's mean window, (L, J, 3), or one window per
            window, (N, L, J, 3).
        rule: of ``lrp``: epsilon or published for MLPs, attnlrp or cp for transformers; the first if None.

    Raises:
        GaitError: the method is unknown, does not support this type of network, or lacks its baseline or captum.
    """
    definition = find_method(network, method)
    if definition.needs_baseline and baseline is None:
        raise GaitError(
            f"--method {method} needs the training set's mean window as its baseline, and a state dict without "
            "metadata has none; use a checkpoint of this package, or another --method."
        )
    settings: dict[str, Any] = {}
    if rule is not None and method != "lrp":
        raise GaitError(f"--lrp_rule {rule} is for --method lrp, not for {method}.")
    if method == "attention":
        values, logits = attention(network, windows)  # type: ignore[arg-type]
        undefined = torch.full_like(logits, torch.nan)
        return WindowAttribution(values, definition.signed, logits, undefined, method, {"heads": "mean"})
    if method == "lrp":
        rule = rule or lrp_rules(network)[0]
        if rule not in lrp_rules(network):
            kind = "transformer" if isinstance(network, GaitTransformer) else "MLP"
            raise GaitError(f"--lrp_rule {rule}: for the {kind} there are {', '.join(lrp_rules(network))}.")
        settings = {"rule": rule}
        if isinstance(network, GaitTransformer):
            relevance, logits = lrp_transformer(network, windows, rule)  # type: ignore[arg-type]
        elif rule == "published":
            relevance, logits = lrp_published(network, windows)  # type: ignore[arg-type]
            settings["epsilon"] = PUBLISHED_EPSILON
        else:
            relevance, logits = lrp_epsilon(network, windows)  # type: ignore[arg-type]
            settings["epsilon"] = EPSILON
    elif method == "gradient_input":
        relevance, logits = gradient_input(network, windows)
    else:
        assert baseline is not None
        baseline = baseline.to(windows)
        kind = "mean window" if baseline.ndim == 3 else "one per window"
        if method == "integrated_gradients":
            relevance, logits = integrated_gradients(network, windows, baseline)
            settings = {"steps": STEPS, "baseline": kind}
        else:
            relevance, logits = occlusion(network, windows, baseline)
            settings = {"patch_frames": PATCH_FRAMES, "baseline": kind}
    values = relevance.sum(-1)
    unattributed = unattributed_fraction(values, logits)
    return WindowAttribution(values, definition.signed, logits, unattributed, method, settings)


def find_method(network: nn.Module, method: str) -> Method:
    """Return the method of this name.

    Raises:
        GaitError: there is none, or it does not support this type of network.
    """
    supported = ", ".join(name for name, other in METHODS.items() if other.supports(network))
    if method not in METHODS:
        raise GaitError(f"--method {method}: unknown; there are {supported}.")
    if not METHODS[method].supports(network):
        raise GaitError(f"--method {method} explains only transformers; for this network there are {supported}.")
    return METHODS[method]


def supported_methods(network: nn.Module, *, with_baseline: bool = True) -> tuple[str, ...]:
    """Return the names of all methods that support this type of network, the default one first.

    Args:
        network: the network to explain.
        with_baseline: whether a baseline is known; if not, methods that need one are excluded.
    """
    candidates = [method for method in METHODS.values() if with_baseline or not method.needs_baseline]
    default = default_method(network, with_baseline=with_baseline)
    return tuple(sorted((method.name for method in candidates if method.supports(network)), key=lambda n: n != default))


def default_method(network: nn.Module, *, with_baseline: bool = True) -> str:
    """Return the most faithful method for this type of network, according to ``benchmarks/faithfulness.py``."""
    return "integrated_gradients" if with_baseline else "lrp"


def lrp_rules(network: nn.Module) -> tuple[str, ...]:
    """Return the LRP rules for this type of network, the default one first."""
    return TRANSFORMER_RULES if isinstance(network, GaitTransformer) else MLP_RULES


def unattributed_fraction(values: Tensor, logits: Tensor) -> Tensor:
    """Return the fraction of each logit that the values do not account for, (N,), 0 to 1.

    The rest of the logit belongs to biases, CLS tokens, positional embeddings or a baseline. The fraction is |rest| /
    (|rest| + |sum of values|).

    Args:
        values: (N, L, J) attribution.
        logits: (N,).
    """
    attributed = values.sum((1, 2))
    rest = logits - attributed
    return rest.abs() / (rest.abs() + attributed.abs()).clamp_min(1e-12)
