"""Layer-wise relevance propagation (LRP), by the rules that a network registers."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from gait.explaining.method import Explanation, Method
from gait.learning.networks import find_network


def lrp_rules(network: nn.Module) -> Sequence[str]:
    """Return the LRP rules of this type of network, the default one first."""
    return tuple(find_network(network).relevance_rules)


def lrp(network: nn.Module, windows: Tensor, baseline: Tensor | None, rule: str | None) -> Explanation:
    """Return the relevance by a rule, the logits, and the rule with its parameters."""
    assert rule is not None
    module, _, name = find_network(network).relevance_rules[rule].partition(":")
    propagate: Callable[..., tuple[Tensor, Tensor]] = getattr(importlib.import_module(module), name)
    _, _, *further = inspect.signature(propagate).parameters.values()
    relevance, logits = propagate(network, windows)
    return relevance, logits, {"rule": rule, **{parameter.name: parameter.default for parameter in further}}


METHOD = Method(
    name="lrp",
    title="Relevance (LRP)",
    description="redistributes the logit backwards through the network, layer by layer, to joints and frames",
    explain=lrp,
    supports=lambda network: bool(lrp_rules(network)),
    rules=lrp_rules,
    order=1,
)
