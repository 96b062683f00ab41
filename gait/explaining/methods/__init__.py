"""The explanation methods: each module here that defines ``METHOD``. ``docs/add_explanation_method.md`` adds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gait.errors import GaitError
from gait.explaining.attribution import WindowAttribution
from gait.explaining.method import Method
from gait.learning.ensemble import Ensemble, members_of
from gait.learning.networks import find_network
from gait.registry import discover

METHODS: Mapping[str, Method] = discover(__name__, "METHOD")


def explain_windows(
    network: nn.Module, windows: Tensor, method: str, *, baseline: Tensor | None = None, rule: str | None = None
) -> WindowAttribution:
    """Compute the attribution of windows.

    Args:
        network: in evaluation mode; windows to logits. An ensemble is explained as the mean of its members.
        windows: (N, L, J, 3), what the network sees.
        method: one of ``METHODS``.
        baseline: for methods that compare with one: the training set's mean window, (L, J, 3), or one window per
            window, (N, L, J, 3).
        rule: of a method with rules; its first for this network if None.

    Raises:
        GaitError: the method is unknown, does not support this type of network, or lacks its baseline or captum.
    """
    definition = find_method(network, method)
    if definition.needs_baseline and baseline is None:
        why = "needs the mean training window, which a state dict without metadata lacks"
        raise GaitError(f"--method {method} {why}; use a checkpoint of this package, or another --method.")
    rules = definition.rules_for(network)
    if rule is not None and rule not in rules:
        names = ", ".join(filter(None, rules)) or "none"
        raise GaitError(f"--lrp_rule {rule}: for the {find_network(network).title}, --method {method} has {names}.")
    used = baseline.to(windows) if definition.needs_baseline and baseline is not None else None
    parts = [definition.explain(member, windows, used, rule or rules[0]) for member in members_of(network)]
    (_, _, settings), *others = parts
    if others:
        settings = {**settings, "ensemble": len(parts)}
    if used is not None:
        settings = {**settings, "baseline": "mean window" if used.ndim == 3 else "one per window"}
    if not isinstance(network, Ensemble):
        return _attribution(definition, *parts[0][:2], settings)
    return replace(
        _attribution(
            definition,
            torch.stack([values for values, _, _ in parts]).mean(dim=0),
            torch.stack([logits for _, logits, _ in parts]).mean(dim=0) - network.threshold,
            settings,
        ),
        members=tuple(_attribution(definition, values, logits, settings) for values, logits, _ in parts),
    )


def _attribution(definition: Method, values: Tensor, logits: Tensor, settings: Mapping[str, Any]) -> WindowAttribution:
    """Return what a method found of windows: values (N, L, J), or (N, L, J, 3), and logits (N,)."""
    axis_values = None
    if values.ndim == 4:
        axis_values = values if definition.per_axis else None
        values = values.sum(-1)
    unattributed = unattributed_fraction(values, logits) if definition.signed else torch.full_like(logits, torch.nan)
    return WindowAttribution(
        values, definition.signed, logits, unattributed, definition.name, settings, axis_values=axis_values
    )


def find_method(network: nn.Module, method: str) -> Method:
    """Return the method of this name.

    Raises:
        GaitError: there is none, or it does not support this type of network.
    """
    if method not in METHODS or not METHODS[method].supports(members_of(network)[0]):
        why = "does not explain this network" if method in METHODS else "unknown"
        raise GaitError(f"--method {method}: {why}; there are {', '.join(supported_methods(network))}.")
    return METHODS[method]


def supported_methods(network: nn.Module, *, with_baseline: bool = True) -> tuple[str, ...]:
    """Return the names of all methods that support this type of network; without a baseline, those that need none.

    The first is the default: see docs/explanations.md.
    """
    candidates = [method for method in METHODS.values() if with_baseline or not method.needs_baseline]
    return tuple(method.name for method in candidates if method.supports(members_of(network)[0]))


def unattributed_fraction(values: Tensor, logits: Tensor) -> Tensor:
    """Return the fraction of each logit (N,) that the values (N, L, J) do not account for, (N,), 0 to 1.

    The rest of the logit belongs to biases, CLS tokens, positional embeddings or a baseline. The fraction is |rest| /
    (|rest| + |sum of values|).
    """
    attributed = values.sum((1, 2))
    rest = logits - attributed
    return rest.abs() / (rest.abs() + attributed.abs()).clamp_min(1e-12)
