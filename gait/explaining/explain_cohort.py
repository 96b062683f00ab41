"""Attribution of a whole cohort: each subject is explained by the network of the fold that was not trained on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gait.errors import GaitError
from gait.explaining.explain_trial import explain_trial
from gait.explaining.group_attribution import (
    GroupComparison,
    SubjectAttribution,
    average_subject_attribution,
    compare_groups,
)
from gait.explaining.methods import find_method
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.kinematics.gait_cycle import average_gait_cycles
from gait.learning.fold_result import FoldResult, read_results
from gait.learning.networks import NETWORKS
from gait.motion.dataset import GaitDataset, dataset_hash, read_dataset


@dataclass(frozen=True, eq=False)
class CohortAttribution:
    """Attribution of all subjects of a cohort by one kind of network."""

    network: str  # its name
    method: str
    signed: bool  # whether the attribution is evidence for either class
    comparison: GroupComparison
    problems: tuple[str, ...]  # one message per excluded fold
    notes: tuple[str, ...]  # messages on excluded trials and subjects


def explain_cohort(trained: Path, network: str, poses: Path, options: ExplainOptions) -> CohortAttribution:
    """Explain every subject of the test sets of one kind of network.

    Args:
        trained: the save folder of its training.
        network: name of the network.
        poses: the save folder of shape_optimizer.py.
        options: the method, and how the trials are read.

    Raises:
        GaitError: there is no training, there are no poses, or no subject can be explained.
    """
    results, unreadable = read_results(trained, network)
    problems = list(unreadable)
    if not results:
        raise GaitError(
            problems[0]
            if problems
            else f"{trained}: no training result (result_{network}_fold<k>.npz) in it; name the save folder of a "
            "training."
        )
    first = results[0]
    dataset = read_dataset(
        poses,
        first.frame_rate_hz,
        min_frames=first.window_length,
        body=options.body_file,
        pose_rate_hz=options.pose_rate_hz,
    )
    notes = list(dataset.problems)
    if first.data_sha256 and dataset_hash(dataset) != first.data_sha256:
        notes.append(
            f"{poses}: not the poses that the {NETWORKS[network].title} was trained and tested on; predictions are of "
            "those poses, attributions of these."
        )
    subjects: list[SubjectAttribution] = []
    method = ""
    signed = False
    for result in results:
        try:
            if not first.same_experiment(result):
                raise GaitError(f"fold {result.fold.index} of the {network} was trained with other flags; excluded.")
            loaded = load_network(trained / f"fold{result.fold.index}" / f"{network}.ckpt")
            (one,) = options.each_method(loaded)
            method = one.method or ""
            signed = find_method(loaded.network, method).signed
            subjects += _explain_subjects(loaded, one, result, dataset, notes)
        except GaitError as error:
            problems.append(str(error))
    if not subjects:
        raise GaitError(problems[-1] if problems else f"{poses}: no subject of the trained folds is in it.")
    return CohortAttribution(
        network, method, signed, compare_groups(subjects), tuple(problems), tuple(dict.fromkeys(notes))
    )


def _explain_subjects(
    network: TrainedNetwork,
    options: ExplainOptions,
    result: FoldResult,
    dataset: GaitDataset,
    notes: list[str],
) -> Iterator[SubjectAttribution]:
    predictions = result.evaluation.by_subject()
    for subject, sick, probability in zip(predictions.subjects, predictions.sick, predictions.probability, strict=True):
        cycles = []
        for trial in (trial for trial in dataset.trials if trial.subject_id == subject):
            attribution = explain_trial(network, trial, options.method, rule=options.rule, stride=options.stride)
            cycles.append(average_gait_cycles(attribution.values, trial.joints_m, trial.rate_hz))
        if not cycles:
            notes.append(f"{subject}: in the test set of the training, but not among the poses; excluded.")
            continue
        averaged = average_subject_attribution(subject, float(probability), result.fold.index, cycles, sick=bool(sick))
        if not averaged.num_cycles:
            notes.append(f"{subject}: no complete stride in the trials; not included in the means.")
        yield averaged
