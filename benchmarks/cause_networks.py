"""Networks of the benchmarks with known causes: their training, and what they make of the windows of a trial."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from classification import PUBLISHED_FLAGS
from torch import Tensor

from gait.errors import GaitError
from gait.explaining.evidence.controls import phase_indices
from gait.explaining.methods import explain_windows
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.learning.cross_validation import make_fold_tasks
from gait.learning.networks import NETWORKS
from gait.learning.train_fold import FoldOutcome
from gait.learning.trainer import window_probabilities
from gait.learning.training_arguments import TrainingArguments, parse_training_arguments, recommended_flags
from gait.motion.dataset import GaitDataset, Trial
from gait.motion.folds import Fold, make_folds
from gait.motion.read_dataset import read_dataset

CONFIGURATIONS: Mapping[str, Mapping[str, str]] = {
    "cause": {name: recommended_flags(NETWORKS[name]) for name in PUBLISHED_FLAGS},
    "published": {name: f"{flags} --stride 4" for name, flags in PUBLISHED_FLAGS.items()},
}
"""Flags of the trainings, by name and network."""
BATCH_SIZE = 64
"""Windows per pass through a network."""


@dataclass(frozen=True, eq=False)
class PhaseWindows:
    """Windows of one trial that begin with a left initial contact, or are mirrored so."""

    seen: Tensor  # (N, L, 22, 3) as the network sees them
    is_mirrored: Tensor  # (N,)


def evaluation_subjects(poses: Path) -> tuple[str, ...]:
    """Return the last subject of each label, on whom the training itself is evaluated."""
    last = []
    for label in ("healthy", "sick"):
        names = [path.name for path in (poses / label).iterdir()]
        last.append(max(names, key=lambda name: (int(name.rpartition("_")[2]), name)))
    return tuple(last)


def train(
    network: str,
    flags: Sequence[str],
    poses: Path,
    save_folder: Path,
    *,
    threshold: bool = True,
    fold: int | None = None,
) -> TrainedNetwork:
    """Train a network on all subjects but those of ``evaluation_subjects``, or without a further fifth, a fold."""
    words = [*flags, "--base_folder", str(poses), "--save_folder", str(save_folder), "--k_folds", "2", "--cross", "0"]
    args = parse_training_arguments(NETWORKS[network], __doc__ or "", words, prog="train")
    if not threshold or fold is not None:
        args = replace(args, threshold_folds=None)
    task = whole_cohort(args, fold)
    *_, outcome = task.run()
    if not isinstance(outcome, FoldOutcome) or outcome.state not in ("trained", "already finished"):
        raise GaitError(f"{network}: {getattr(outcome, 'message', 'the training did not end')}")
    return load_network(task.checkpoint_file)


def whole_cohort(args: TrainingArguments, fold: int | None = None) -> Any:
    """Return the task of training on all subjects but those of ``evaluation_subjects``, or on a fold of them."""
    (task,) = make_fold_tasks(args, lambda line: print(line, file=sys.stderr))
    names = evaluation_subjects(args.poses)
    judged = tuple(sorted(subject for subject in task.sick if subject.partition("/")[2] in names))
    training = tuple(sorted(set(task.sick) - set(judged)))
    if fold is not None:
        sick = {subject: task.sick[subject] for subject in training}
        fewest = min(sum(sick.values()), len(sick) - sum(sick.values()))
        training = make_folds(sick, min(5, fewest))[fold].training
    return replace(task, fold=Fold(0, 2, training, judged), run_id=uuid.uuid4().hex)


def read_dataset_of(trained: TrainedNetwork, poses: Path) -> GaitDataset:
    """Read poses as the network sees them."""
    return read_dataset(
        poses,
        trained.rate_hz,
        min_frames=trained.window_length,
        input=trained.input.name,
        windows=trained.windows,
    )


def has_axes(trained: TrainedNetwork) -> bool:
    """Return whether the axes of the network's input are those of the joints' rotations."""
    return trained.input.name == "rotations"


def phase_windows(trained: TrainedNetwork, trial: Trial, limit: int | None = None) -> PhaseWindows:
    """Return the windows of a trial at the phase of ``phase_indices``; at most so many."""
    windows = trained.windows_of(trial)
    chosen = phase_indices(trained, windows, limit)
    return PhaseWindows(windows.batch(chosen), windows.is_mirrored[chosen])


def probability(trained: TrainedNetwork, trial: Trial) -> float:
    """Return P(sick), the mean over all windows of a trial."""
    return float(window_probabilities(trained.network, trained.windows_of(trial), BATCH_SIZE).mean())


def logits(trained: TrainedNetwork, seen: Tensor) -> Tensor:
    """Return the logits (N,) of windows (N, L, 22, 3)."""
    with torch.inference_mode():
        return torch.as_tensor(trained.network(seen))


def attribute(trained: TrainedNetwork, seen: Tensor, method: str) -> Tensor:
    """Return the attribution of windows by axis, (N, L, 22, 3), or (N, L, 22) by a method that has no axes."""
    name, _, rule = method.partition(":")
    parts = []
    for batch in seen.split(BATCH_SIZE):
        found = explain_windows(trained.network, batch, name, baseline=trained.mean_window, rule=rule or None)
        parts.append((found.values if found.axis_values is None else found.axis_values).detach())
    return torch.cat(parts)
