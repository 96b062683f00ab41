"""Gaits, networks and explanations for the window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from gait.explaining.attribution import TrialAttribution
from gait.explaining.explain_trial import explain_gait
from gait.explaining.faithfulness import cell_scores, curves, random_scores
from gait.explaining.methods import METHODS, explain_windows
from gait.explaining.prepare_trial import network_recording
from gait.explaining.trained_network import TrainedNetwork, open_network
from gait.learning.trainer import window_probabilities
from gait.motion.pose_files import read_poses
from gait.motion.windows import WindowDataset
from gait.viewing.loaded_trial import BodyModelLocator, LoadedTrial, read_shown_gait
from gait.viewing.normative_stride import healthy_mean
from gait.viewing.viewer_backend import LoadedNetwork, MethodInfo, Told

_AT_A_TIME = 64  # windows
_KINDS = {"MLP": "MLP network", "transformer": "transformer network"}
_IN_WORDS = {
    "lrp": "shares the score out backwards through the network, layer by layer, down to joints and moments",
    "attention": "where the network looks, not whether that spoke for sick or for healthy",
    "gradient_input": "how much the score would change with the movement, times the movement",
    "integrated_gradients": "follows the score on the way from the average walk of the training to this one",
    "occlusion": "puts the average walk in place of a joint for a moment, and looks how much the score changes",
}
_MEASURED, _STEPS, _CHANCES = 8, 10, 3  # windows, steps and random orders of the check of a method


@dataclass(frozen=True)
class BareWeights:
    """What bare weights under the published names do not say of themselves; as ``open_network`` has it."""

    window_length: int | None = None
    rate_hz: float | None = None
    pose_heads: int | None = None
    classifier_heads: int | None = None


@dataclass(frozen=True)
class FileBackend:
    """Opens files, as the window asks for them."""

    bodies: BodyModelLocator
    bare: BareWeights = BareWeights()
    rule: str | None = None  # of the method lrp; its default if None
    pose_rate_hz: float | None = None  # of poses that come as JSON or text frames
    stride: int | None = None  # frames from one explained window to the next; by the method's cost if None

    def gait(self, folder: Path) -> LoadedTrial:
        """A fitted gait."""
        return read_shown_gait(folder, self.bodies, self.pose_rate_hz)

    def network(self, file: Path) -> LoadedNetwork:
        """A trained network, of a checkpoint of this suite or of bare weights."""
        opened = open_network(file, **vars(self.bare))
        length, rate_hz = opened.window_length, opened.rate_hz
        return LoadedNetwork(
            file=file,
            title=f"{_KINDS.get(opened.title, opened.title)} ({'/'.join(file.resolve().parts[-2:])})",
            notes=(f"windows of {length} frames at {rate_hz:g} Hz ({length / rate_hz:.2f} s)", _trained_on(opened)),
            window_frames=length,
            rate_hz=rate_hz,
            methods=tuple(
                MethodInfo(name, METHODS[name].title, METHODS[name].signed, _IN_WORDS[name]) for name in opened.methods
            ),
            learnt_from=frozenset(_persons(opened)),
            handle=opened,
        )

    def explained(self, network: LoadedNetwork, gait: LoadedTrial, method: str, told: Told) -> TrialAttribution:
        """What was pivotal for the network, over the whole recording."""
        opened = _opened(network)
        recording = network_recording(gait.folder, gait.sequence.joints_m, gait.rate_hz, opened)
        return explain_gait(
            opened.network,
            recording,
            opened.window_length,
            method,
            baseline=opened.mean_window,
            rule=self.rule if method == "lrp" else None,
            stride=self.stride,
            told=told,
        )

    def probability(self, network: LoadedNetwork, folder: Path) -> float:
        """Of sick, of the fitted gait in a folder: mean over all its windows."""
        opened, sequence = _opened(network), read_poses(folder)
        windows = WindowDataset(
            [network_recording(folder, sequence.joints_m, sequence.rate_hz, opened)], opened.window_length
        )
        return float(window_probabilities(opened.network, windows, _AT_A_TIME).mean())

    def figure_line(self, network: LoadedNetwork, gait: LoadedTrial, method: str) -> str | None:
        """How far the score moves without what the method names first, and without as much at random, on this gait."""
        opened = _opened(network)
        if opened.mean_window is None:
            return None
        recording = network_recording(gait.folder, gait.sequence.joints_m, gait.rate_hz, opened)
        every = WindowDataset([recording], opened.window_length)
        some = torch.linspace(0, len(every) - 1, min(len(every), _MEASURED)).round().long()
        windows, rule = every.batch(some), self.rule if method == "lrp" else None
        said = explain_windows(opened.network, windows, method, baseline=opened.mean_window, rule=rule)
        scores = [cell_scores(said.values, said.logits, signed=said.signed)]
        scores += [random_scores(windows, seed) for seed in range(_CHANCES)]
        own, *chance = (
            curves(opened.network, windows, opened.mean_window, order, steps=_STEPS).deletion_area for order in scores
        )
        return (
            f"Check on this walk: without the joints and moments named first the score moves by {own:.2f}; without as "
            f"many at random, by {sum(chance) / len(chance):.2f}."
        )

    def healthy_mean(self, folder: Path) -> LoadedTrial:
        """One stride of the mean healthy walker of a folder of fitted gaits."""
        return healthy_mean(folder, self.bodies)


def _opened(network: LoadedNetwork) -> TrainedNetwork:
    assert isinstance(network.handle, TrainedNetwork)
    return network.handle


def _persons(opened: TrainedNetwork) -> tuple[str, ...]:
    """That it has learnt from, "sick/P02"; none where it does not say."""
    return tuple(map(str, opened.checkpoint.fold.get("training", ()))) if opened.checkpoint else ()


def _trained_on(opened: TrainedNetwork) -> str:
    persons = _persons(opened)
    return f"trained on {len(persons)} persons" if persons else "the file does not say what it was trained on"
