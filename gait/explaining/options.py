"""Command line options of a network, its explanation and the evidence beside it; flags and settings alike.

Nothing here imports torch before it is needed, so that a window opens and a wrong command line is reported at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gait.body.pose_sequence import PoseSequence
from gait.cli.arguments import ArgumentError, argument, positive_number, whole_number
from gait.motion.pose_files import read_poses
from gait.registry import module_names

if TYPE_CHECKING:  # they import torch
    from gait.explaining.method import Method
    from gait.explaining.trained_network import TrainedNetwork


def _methods() -> Mapping[str, Method]:
    from gait.explaining.methods import METHODS  # imports torch

    return METHODS


def _rule(text: str) -> str:
    from gait.learning.networks import NETWORKS  # imports torch

    name = "original" if text == "published" else text  # the name in earlier versions
    rules = {rule: network.title for network in NETWORKS.values() for rule in network.relevance_rules}
    if name not in rules:
        known = ", ".join(f"{rule} ({network})" for rule, network in rules.items())
        raise argparse.ArgumentTypeError(f"no such rule: {text}; choose one of {known}")
    return name


@dataclass(frozen=True, kw_only=True)
class NetworkSource:
    """A network's file, and the settings that a state dict of the original implementation does not store."""

    network: Path | None = argument(
        None, "checkpoint, or state dict of the original implementation", aliases=("--checkpoint",), metavar="FILE"
    )
    window_length: int | None = argument(
        None, "window length of a state dict without metadata", flag="--interval_size", aliases=("--window_length",),
        type=whole_number, metavar="FRAMES",
    )  # fmt: skip
    frame_rate_hz: float | None = argument(
        None, "frame rate of a state dict without metadata (default 100)", flag="--frame_rate",
        aliases=("--network_frame_rate",), type=positive_number, metavar="HZ",
    )  # fmt: skip
    pose_heads: int | None = argument(
        None, "attention heads over joints of a state dict without metadata (transformer)", flag="--pfe_head",
        aliases=("--joint_heads",), type=whole_number, metavar="N",
    )  # fmt: skip
    classifier_heads: int | None = argument(
        None, "its attention heads over frames", flag="--fc_head", aliases=("--frame_heads",), type=whole_number,
        metavar="N",
    )  # fmt: skip

    def load(self, file: Path | None = None) -> TrainedNetwork:
        """Read the network, or another file with the same assumptions; errors as in ``load_network``."""
        from gait.explaining.trained_network import load_network  # imports torch

        path = file or self.network
        if path is None:
            raise ArgumentError("name a --network")
        return load_network(
            path,
            window_length=self.window_length,
            rate_hz=self.frame_rate_hz,
            pose_heads=self.pose_heads,
            classifier_heads=self.classifier_heads,
        )


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """Options for reading and explaining trials.

    A rule without a method selects the method with rules, unless all methods are requested.

    Raises:
        ArgumentError: options that contradict each other.
    """

    method: str | None = argument(
        None,
        "explanation method (default: the first that supports the network, see docs/explanations.md)",
        choices=module_names("gait.explaining.methods"),
    )
    all_methods: bool = argument(False, "explain by every method that the network supports")
    rule: str | None = argument(
        None, "rule of --method lrp, one of those of the network (see docs/explanations.md)",
        flag="--lrp_rule", type=_rule, metavar="RULE",
    )  # fmt: skip
    stride: int | None = argument(
        None, "frames between explained windows (default: by the cost of the method)", aliases=("--explain_stride",),
        type=whole_number, metavar="FRAMES",
    )  # fmt: skip
    keep_standing: bool = argument(
        False,
        "judge and explain standing, turning on the spot and sitting, too (default: as the network was trained, "
        "by default on walking alone)",
    )
    body_file: Path | None = argument(None, "body model of poses in JSON or text files", flag="--body", metavar="FILE")
    pose_rate_hz: float | None = argument(
        None, "frame rate of poses in JSON or text files", flag="--pose_rate", aliases=("--pose_frame_rate",),
        type=positive_number, metavar="HZ",
    )  # fmt: skip

    def __post_init__(self) -> None:
        if (self.body_file is None) != (self.pose_rate_hz is None):
            raise ArgumentError("--body and --pose_rate belong together: poses without joints need both")
        if self.all_methods and self.method is not None:
            raise ArgumentError("--all_methods includes every method; omit --method")
        if self.rule is not None and not self.all_methods:
            methods = _methods()
            with_rules = next(method.name for method in methods.values() if method.rules)
            object.__setattr__(self, "method", self.method or with_rules)
            if self.method is None or not methods[self.method].rules:
                raise ArgumentError(f"--lrp_rule {self.rule} is for --method lrp, not for {self.method}")

    def read_poses(self, folder: Path) -> PoseSequence:
        """Read the poses of a trial; errors as in ``pose_files.read_poses``."""
        body = None
        if self.body_file is not None:
            from gait.body.model_file import load_body  # imports torch

            body = load_body(self.body_file)
        return read_poses(folder, body=body, rate_hz=self.pose_rate_hz)

    def each_method(self, network: TrainedNetwork) -> tuple[ExplainOptions, ...]:
        """Return these options with each method to run on a network: all, the requested one, or the default."""
        names = network.methods if self.all_methods else (self.method or network.methods[0],)
        return tuple(self.with_method(name) for name in names)

    def with_method(self, method: str) -> ExplainOptions:
        """Return these options with another method, and the rule only if that method has rules."""
        rule = self.rule if _methods()[method].rules else None
        return replace(self, method=method, all_methods=False, rule=rule)


@dataclass(frozen=True, kw_only=True)
class EvidenceOptions:
    """Options of the evidence beside an explanation."""

    norms: str | None = argument(
        None,
        "controls that the subject is compared with: a save folder of fits, or the name or file of a published norm "
        "(default: the controls in the save folder of the trial)",
        metavar="NAME|FOLDER",
    )
    no_evidence: bool = argument(False, "explain alone, without comparing the subject with controls")
    no_counterfactual: bool = argument(False, "do not seek the change after which the network decides otherwise")
