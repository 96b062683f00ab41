"""All methods by name, and one way to ask any of them.

A method is asked about a network and windows in the common frame, and gives an ``WindowAttribution`` for the logit of "sick".
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
from gait.explaining.occlusion import CELL_FRAMES, occlusion
from gait.learning.transformer import GaitTransformer

MLP_RULES = ("epsilon", "published")


@dataclass(frozen=True)
class Method:
    """What a user has to know of a method."""

    name: str  # as --method takes it
    title: str  # as a reader meets it
    signed: bool
    of_transformers: bool = True
    of_mlps: bool = True
    needs_baseline: bool = False
    stride: int = 1  # frames from one window of a recording to the next that is explained: more for a costly method
    mlp_stride: int = 1  # of MLPs, which have weights of their own for every frame: with few windows they flicker

    def explains(self, network: nn.Module) -> bool:
        """Whether it knows this kind of network."""
        return self.of_transformers if isinstance(network, GaitTransformer) else self.of_mlps

    def stride_of(self, network: nn.Module) -> int:
        """Frames from one explained window to the next, for this kind of network."""
        return self.stride if isinstance(network, GaitTransformer) else self.mlp_stride


METHODS: Mapping[str, Method] = {
    method.name: method
    for method in (
        Method("lrp", "Relevance (LRP)", signed=True),
        Method("attention", "Attention", signed=False, of_mlps=False),
        Method("gradient_input", "Input times gradient", signed=True),
        Method("integrated_gradients", "Integrated gradients", signed=True, needs_baseline=True, stride=8),
        Method("occlusion", "Occlusion", signed=True, needs_baseline=True, stride=16, mlp_stride=4),
    )
}


def explain_windows(
    network: nn.Module, windows: Tensor, method: str, *, baseline: Tensor | None = None, rule: str | None = None
) -> WindowAttribution:
    """What a method says about windows.

    Args:
        network: in evaluation mode; windows to logits.
        windows: (N, L, J, 3) in the common frame.
        method: one of ``METHODS``.
        baseline: what methods that compare do so with: the training set's mean window (L, J, 3), or a window of its own
            for each (N, L, J, 3).
        rule: of ``lrp``: epsilon or published for the MLPs, attnlrp or cp for the transformer; the first of them if
            None.

    Raises:
        GaitError: the method is unknown, knows nothing of this kind of network, or lacks its baseline or captum.
    """
    how = method_for(network, method)
    if how.needs_baseline and baseline is None:
        raise GaitError(
            f"{method} compares with the training set's mean window, which bare weights do not hold; use a checkpoint "
            "of this suite, or another --method."
        )
    settings: dict[str, Any] = {}
    if rule is not None and method != "lrp":
        raise GaitError(f"--lrp_rule {rule} is for --method lrp, not for {method}.")
    if method == "attention":
        values, logits = attention(network, windows)  # type: ignore[arg-type]
        nowhere = torch.full_like(logits, torch.nan)
        return WindowAttribution(values, how.signed, logits, nowhere, method, {"heads": "mean"})
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
        kind = "mean window" if baseline.ndim == 3 else "a window of its own"
        if method == "integrated_gradients":
            relevance, logits = integrated_gradients(network, windows, baseline)
            settings = {"steps": STEPS, "baseline": kind}
        else:
            relevance, logits = occlusion(network, windows, baseline)
            settings = {"cell_frames": CELL_FRAMES, "baseline": kind}
    values = relevance.sum(-1)
    return WindowAttribution(values, how.signed, logits, absorbed_share(values, logits), method, settings)


def method_for(network: nn.Module, method: str) -> Method:
    """The method of this name.

    Raises:
        GaitError: there is none, or it knows nothing of this kind of network.
    """
    fitting = ", ".join(name for name, how in METHODS.items() if how.explains(network))
    if method not in METHODS:
        raise GaitError(f"--method {method}: unknown; there are {fitting}.")
    if not METHODS[method].explains(network):
        raise GaitError(f"--method {method} explains transformers alone; for this network there are {fitting}.")
    return METHODS[method]


def methods_of(network: nn.Module, *, with_baseline: bool = True) -> tuple[str, ...]:
    """The names of all methods that explain this kind of network, the default one first.

    Without a baseline, which bare weights lack, those that need one are left out.
    """
    fitting = [how for how in METHODS.values() if how.explains(network) and (with_baseline or not how.needs_baseline)]
    default = default_method(network, with_baseline=with_baseline)
    return tuple(sorted((how.name for how in fitting), key=lambda name: name != default))


def default_method(network: nn.Module, *, with_baseline: bool = True) -> str:
    """The most faithful one for this kind of network, as ``benchmarks/faithfulness.py`` has found."""
    return "integrated_gradients" if with_baseline else "lrp"


def lrp_rules(network: nn.Module) -> tuple[str, ...]:
    """Of this kind of network, the default one first."""
    return TRANSFORMER_RULES if isinstance(network, GaitTransformer) else MLP_RULES


def absorbed_share(values: Tensor, logits: Tensor) -> Tensor:
    """(N,) how much of the logits (N,) is not in the values (N, L, J): what biases, CLS, positions or a baseline took.

    That part and the sum of the values make up the logit; the share is of both without their signs, 0 to 1.
    """
    given = values.sum((1, 2))
    taken = logits - given
    return taken.abs() / (taken.abs() + given.abs()).clamp_min(1e-12)
