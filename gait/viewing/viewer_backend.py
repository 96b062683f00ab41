"""The interface between the window and the packages that load trials, run networks and compute explanations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gait.explaining.attribution import TrialAttribution
from gait.viewing.loaded_trial import LoadedTrial

ProgressCallback = Callable[[int, int], None]
"""Called with the number of finished steps and of all steps; it may raise to cancel the work."""


@dataclass(frozen=True)
class MethodInfo:
    """An explanation method that the user can choose."""

    name: str
    title: str  # display name
    signed: bool  # True: the sign separates evidence for sick (above 0) from evidence for healthy
    description: str = ""  # one line on how it works


@dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A trained network as the window shows it."""

    file: Path
    title: str  # display name: its kind and file
    notes: tuple[str, ...]  # one line each, on its input and training data
    window_length: int
    rate_hz: float
    methods: tuple[MethodInfo, ...]  # those that can explain it, the default first; never empty
    training_subjects: frozenset[str]  # such as "sick/P02"; empty if the file does not record them
    backend_data: object  # used by the backend only


class ViewerBackend(Protocol):
    """Loads trials and networks and runs them. Each method may take long and raises GaitError if it fails."""

    def load_trial(self, folder: Path) -> LoadedTrial:
        """Load a fitted trial."""

    def load_network(self, file: Path) -> LoadedNetwork:
        """Load a trained network."""

    def explain(
        self, network: LoadedNetwork, trial: LoadedTrial, method: str, progress: ProgressCallback
    ) -> TrialAttribution:
        """Compute the attribution of a whole trial."""

    def predict_probability(self, network: LoadedNetwork, folder: Path) -> float:
        """Return P(sick) of the fitted trial in a folder: the mean over its windows."""

    def faithfulness_summary(self, network: LoadedNetwork, trial: LoadedTrial, method: str) -> str | None:
        """Return one line on the faithfulness of the method on this trial; None if it cannot be measured."""

    def load_normative_stride(self, folder: Path) -> LoadedTrial:
        """Return the mean stride of the controls in a folder of fitted trials."""
