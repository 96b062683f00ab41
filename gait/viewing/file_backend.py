"""Data source of the window: trials and networks from files, and explanations of one by the other.

Its methods import what they need, so that the window is drawn before torch is loaded, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gait.explaining.options import ExplainOptions, NetworkSource
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial, load_trial

if TYPE_CHECKING:
    from gait.body.pose_sequence import PoseSequence
    from gait.explaining.attribution import TrialAttribution
    from gait.explaining.evidence.finding import Evidence
    from gait.explaining.trained_network import TrainedNetwork
    from gait.motion.dataset import Trial

_BATCH_SIZE = 64  # windows
_DELETION_WINDOWS, _DELETION_STEPS, _RANDOM_ORDERS = 8, 10, 3  # size of the faithfulness check

ProgressCallback = Callable[[int, int], None]
"""Called with the number of finished steps and of all steps; it may raise to cancel the work."""


@dataclass(frozen=True)
class FileBackend:
    """Loads trials and networks and runs them. Each method may take long and raises GaitError if it fails."""

    bodies: BodyModelLocator
    source: NetworkSource = field(default_factory=NetworkSource)
    options: ExplainOptions = field(default_factory=ExplainOptions)
    norms: str | None = None  # as in ``EvidenceOptions``

    def load_trial(self, folder: Path) -> LoadedTrial:
        """Load a fitted trial."""
        return load_trial(folder, self.bodies, self.options.pose_rate_hz)

    def load_network(self, file: Path) -> TrainedNetwork:
        """Load a network from a checkpoint or a state dict."""
        return self.source.load(file)

    def load_normative_stride(self, folder: Path) -> LoadedTrial:
        """Return the mean stride of the controls in a folder of fitted trials."""
        from gait.viewing.load_control_stride import load_normative_stride

        return load_normative_stride(folder, self.bodies)

    def explain(
        self, network: TrainedNetwork, trial: LoadedTrial, method: str, progress: ProgressCallback
    ) -> TrialAttribution:
        """Compute the attribution of a whole trial."""
        from gait.explaining.explain_trial import explain_trial

        options = self.options.with_method(method)
        prepared = self._prepare(trial.folder, trial.sequence, network)
        return explain_trial(network, prepared, method, rule=options.rule, stride=options.stride, progress=progress)

    def find_evidence(
        self,
        network: TrainedNetwork,
        trial: LoadedTrial,
        method: str,
        progress: ProgressCallback,
        attribution: TrialAttribution | None = None,
    ) -> Evidence:
        """Compare a trial with controls where the network looks, by its attribution if that is known."""
        from gait.explaining.evidence.compute_evidence import compute_evidence
        from gait.explaining.evidence.counterfactual import find_counterfactual
        from gait.explaining.evidence.explained_walk import explain_walk
        from gait.explaining.evidence.find_cohort import find_cohort

        cohort = find_cohort(network, trial.folder, self.norms, self.options)
        progress(1, 2)
        options = self.options.with_method(method)
        walk = explain_walk(network, trial.folder, cohort, options, trial.sequence, attribution)
        return compute_evidence(walk, options, find_counterfactual=find_counterfactual)

    def predict_probability(self, network: TrainedNetwork, folder: Path) -> float:
        """Return P(sick) of the fitted trial in a folder: the mean over all its windows."""
        from gait.learning.trainer import window_probabilities
        from gait.motion.pose_files import read_poses

        sequence = read_poses(folder)
        prepared = self._prepare(folder, sequence, network)
        windows = network.windows_of(prepared)
        return float(window_probabilities(network.network, windows, _BATCH_SIZE).mean())

    def faithfulness_summary(self, network: TrainedNetwork, trial: LoadedTrial, method: str) -> str | None:
        """Compare deletion in the order of the method with random order on a few windows; return one line on it.

        It is None for a network whose file has no mean window of the training set, which deletion needs.
        """
        if network.mean_window is None:
            return None
        import torch

        from gait.explaining.faithfulness import deletion_curves, patch_scores, random_patch_scores
        from gait.explaining.methods import explain_windows

        prepared = self._prepare(trial.folder, trial.sequence, network)
        all_windows = network.windows_of(prepared)
        chosen = torch.linspace(0, len(all_windows) - 1, min(len(all_windows), _DELETION_WINDOWS)).round().long()
        windows, rule = all_windows.batch(chosen), self.options.with_method(method).rule
        result = explain_windows(network.network, windows, method, baseline=network.mean_window, rule=rule)
        scores = [patch_scores(result.values, result.logits, signed=result.signed)]
        scores += [random_patch_scores(windows, seed) for seed in range(_RANDOM_ORDERS)]
        own, *random = (
            deletion_curves(network.network, windows, network.mean_window, order, steps=_DELETION_STEPS)
            for order in scores
        )
        at_random = sum(curves.deletion_auc for curves in random) / len(random)
        return (
            "Deletion check on this trial: removing the highest attributions first changes the logit by "
            f"{own.deletion_auc:.2f}; removing as much at random, by {at_random:.2f}.{_matched_speed(network)}"
        )

    def _prepare(self, folder: Path, sequence: PoseSequence, network: TrainedNetwork) -> Trial:
        from gait.explaining.prepare_trial import prepare_trial

        keep_standing = self.options.keep_standing
        return prepare_trial(folder, sequence, network, keep_standing=keep_standing)


def _matched_speed(network: TrainedNetwork) -> str:
    """Return a sentence on the network's AUC at matched walking speed; nothing if its file does not define it."""
    matched = network.checkpoint.metrics.get("matched_speed") if network.checkpoint else None
    if not matched or matched["auc"]["value"] is None:
        return ""
    return (
        f" Its ROC AUC on unseen subjects at matched walking speed is {matched['auc']['value']:.2f} "
        f"({matched['num_pairs']} pairs); the speed alone has {matched['speed_alone']['value']:.2f} there."
    )
