"""Definition of one kind of network: an entry of ``gait.learning.networks.NETWORKS``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from gait.learning.initialization import standardize_linear_layers

RECOMMENDED: Mapping[str, Any] = {
    "input": "rotations",
    "windows": "cycles",
    "pace": (0.3, 1.1),
    "threshold_folds": 3,
    "batch_size": 64,
    "window_length": 128,
    "schedule": "cosine",
}
"""Settings of trainings, by field name, that the networks' own ``recommended`` ones share."""


@dataclass(frozen=True)
class Architecture(ABC):
    """The sizes of a network, enough to build it. Fields made by ``gait.cli.arguments.argument`` are flags.

    A field ``window_length`` receives --interval_size.
    """

    kind: ClassVar[str]  # stored in checkpoints; one of the network's kinds

    @abstractmethod
    def build(self) -> nn.Module:
        """Return a network from windows (N, L, J, 3) to logits (N,), with weights of torch's global generator."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, the inverse of ``architecture_from_dict``."""
        sizes = {name: list(size) if isinstance(size, tuple) else size for name, size in asdict(self).items()}
        return {"kind": self.kind, **sizes}

    @classmethod
    def from_weights(cls, weights: Mapping[str, Tensor], sizes: Mapping[str, Any]) -> Self | None:
        """Return the architecture of a state dict without metadata; None if it belongs to another network.

        Args:
            weights: the state dict.
            sizes: sizes that the user gave, and of a pickled module ``<layer>.num_heads``.

        Raises:
            GaitError: a size is missing, or weights are.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class Network:
    """One kind of network: its construction, names, initialization and explanation."""

    name: str  # part of file names, e.g. "mlp"
    title: str  # within a sentence, e.g. "MLP"
    description: str  # one sentence for reports
    architecture: type[Architecture]
    modules: tuple[type[nn.Module], ...]  # that ``architecture.build`` returns
    kinds: tuple[str, ...] = ()  # values of ``architecture.kind``; the name if empty
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of training arguments and sizes, by field name
    recommended: Mapping[str, Any] = field(default_factory=dict)  # what --recommended sets, by field name
    # in place, from windows (N, L, J, 3) and whether they are deviations from the controls' mean
    initialize: Callable[[Any, Tensor, bool], None] = standardize_linear_layers
    relevance_rules: Mapping[str, str] = field(default_factory=dict)
    """{rule: "module:function"} for LRP, the default first. A function takes a network and windows (N, L, J, 3) and
    returns relevance (N, L, J, 3) or (N, L, J), and logits (N,)."""
    weights_per_frame: bool = False  # then attributions of neighbouring windows differ, and more of them are averaged
    max_window_length: int | None = None  # frames
    order: int = 1  # in lists: published networks are 0
