"""The viewer's backend: reads trials and networks from files and computes explanations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from gait.explaining.attribution import TrialAttribution
from gait.explaining.explain_trial import explain_trial
from gait.explaining.faithfulness import patch_scores, perturbation_curves, random_patch_scores
from gait.explaining.methods import METHODS, explain_windows
from gait.explaining.options import ExplainOptions, NetworkSource
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.learning.trainer import window_probabilities
from gait.motion.pose_files import read_poses
from gait.motion.windows import WindowDataset
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial, load_trial
from gait.viewing.normative_stride import load_normative_stride
from gait.viewing.viewer_backend import LoadedNetwork, MethodInfo, ProgressCallback

_BATCH_SIZE = 64  # windows
_DELETION_WINDOWS, _DELETION_STEPS, _RANDOM_ORDERS = 8, 10, 3  # size of the faithfulness check


@dataclass(frozen=True)
class FileBackend:
    """Implements ``ViewerBackend`` on files."""

    bodies: BodyModelLocator
    source: NetworkSource = field(default_factory=NetworkSource)
    options: ExplainOptions = field(default_factory=ExplainOptions)

    def load_trial(self, folder: Path) -> LoadedTrial:
        """Load a fitted trial."""
        return load_trial(folder, self.bodies, self.options.pose_rate_hz)

    def load_network(self, file: Path) -> LoadedNetwork:
        """Load a network from a checkpoint or a state dict."""
        loaded = self.source.load(file)
        length, rate_hz = loaded.window_length, loaded.rate_hz
        return LoadedNetwork(
            file=file,
            title=f"{loaded.title} network ({'/'.join(file.resolve().parts[-2:])})",
            notes=(f"windows of {length} frames at {rate_hz:g} Hz ({length / rate_hz:.2f} s)", _training_note(loaded)),
            window_length=length,
            rate_hz=rate_hz,
            methods=tuple(
                MethodInfo(name, METHODS[name].title, METHODS[name].signed, METHODS[name].description)
                for name in loaded.methods
            ),
            training_subjects=frozenset(_training_subjects(loaded)),
            backend_data=loaded,
        )

    def explain(
        self, network: LoadedNetwork, trial: LoadedTrial, method: str, progress: ProgressCallback
    ) -> TrialAttribution:
        """Compute the attribution of a whole trial."""
        loaded, options = _trained_network(network), self.options.with_method(method)
        prepared = prepare_trial(trial.folder, trial.sequence.joints_m, trial.rate_hz, loaded)
        return explain_trial(loaded, prepared, method, rule=options.rule, stride=options.stride, progress=progress)

    def predict_probability(self, network: LoadedNetwork, folder: Path) -> float:
        """Return P(sick) of the fitted trial in a folder: the mean over all its windows."""
        loaded, sequence = _trained_network(network), read_poses(folder)
        windows = WindowDataset(
            [prepare_trial(folder, sequence.joints_m, sequence.rate_hz, loaded)], loaded.window_length
        )
        return float(window_probabilities(loaded.network, windows, _BATCH_SIZE).mean())

    def faithfulness_summary(self, network: LoadedNetwork, trial: LoadedTrial, method: str) -> str | None:
        """Compare deletion in the order of the method with deletion in random order on a few windows of the trial."""
        loaded = _trained_network(network)
        if loaded.mean_window is None:
            return None
        prepared = prepare_trial(trial.folder, trial.sequence.joints_m, trial.rate_hz, loaded)
        all_windows = WindowDataset([prepared], loaded.window_length)
        chosen = torch.linspace(0, len(all_windows) - 1, min(len(all_windows), _DELETION_WINDOWS)).round().long()
        windows, rule = all_windows.batch(chosen), self.options.with_method(method).rule
        result = explain_windows(loaded.network, windows, method, baseline=loaded.mean_window, rule=rule)
        scores = [patch_scores(result.values, result.logits, signed=result.signed)]
        scores += [random_patch_scores(windows, seed) for seed in range(_RANDOM_ORDERS)]
        own, *random = (
            perturbation_curves(loaded.network, windows, loaded.mean_window, order, steps=_DELETION_STEPS).deletion_auc
            for order in scores
        )
        return (
            f"Deletion check on this trial: removing the highest attributions first changes the logit by {own:.2f}; "
            f"removing as much at random, by {sum(random) / len(random):.2f}."
        )

    def load_normative_stride(self, folder: Path) -> LoadedTrial:
        """Return the mean stride of the controls in a folder of fitted trials."""
        return load_normative_stride(folder, self.bodies)


def _trained_network(network: LoadedNetwork) -> TrainedNetwork:
    assert isinstance(network.backend_data, TrainedNetwork)
    return network.backend_data


def _training_subjects(network: TrainedNetwork) -> tuple[str, ...]:
    """Return the subjects of the training set, such as "sick/P02"; none if the file does not record them."""
    return tuple(map(str, network.checkpoint.fold.get("training", ()))) if network.checkpoint else ()


def _training_note(network: TrainedNetwork) -> str:
    subjects = _training_subjects(network)
    if not subjects:
        return "training subjects not recorded in the file"
    return f"trained on {len(subjects)} subject{'s' * (len(subjects) > 1)}"
