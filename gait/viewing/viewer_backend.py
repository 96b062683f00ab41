"""What the window asks of the rooms before it: it shows networks and explanations, not knowing how they work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gait.explaining.attribution import TrialAttribution
from gait.viewing.loaded_trial import LoadedTrial

Told = Callable[[int, int], None]
"""Is told how many steps are done, of how many; may raise, which ends the work."""


@dataclass(frozen=True)
class MethodInfo:
    """A way to explain, as a person chooses it."""

    name: str
    title: str  # in words
    signed: bool  # tells what speaks for sick from what speaks for healthy
    in_words: str = ""  # how it works, for whoever does not know its name


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A trained network, as a person chooses it."""

    file: Path
    title: str  # in words: its kind
    notes: tuple[str, ...]  # plain lines on what it was trained on
    window_frames: int
    rate_hz: float
    methods: tuple[MethodInfo, ...]  # that explain it, the default one first; never empty
    learnt_from: frozenset[str]  # persons, "sick/P02"; empty where it does not say
    handle: object  # whatever the workbench needs


class ViewerBackend(Protocol):
    """Opens what a person chooses. Each of these may take long; each raises GaitError with a plain line."""

    def gait(self, folder: Path) -> LoadedTrial:
        """A fitted gait."""

    def network(self, file: Path) -> LoadedNetwork:
        """A trained network."""

    def explained(self, network: LoadedNetwork, gait: LoadedTrial, method: str, told: Told) -> TrialAttribution:
        """What was pivotal for the network, over the whole recording."""

    def probability(self, network: LoadedNetwork, folder: Path) -> float:
        """Of sick, of the fitted gait in a folder: mean over its windows."""

    def figure_line(self, network: LoadedNetwork, gait: LoadedTrial, method: str) -> str | None:
        """How faithful the method is to the network on this gait, in one line; None where that cannot be measured."""

    def healthy_mean(self, folder: Path) -> LoadedTrial:
        """One stride of the mean healthy walker of a folder of fitted gaits."""
