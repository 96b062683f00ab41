"""Export of cohort attributions: group means and subjects as tables and a figure, without a display.

Files per trained network: ``cohort_<network>.png``, ``cohort_<network>.csv`` (group means by percent of the gait
cycle and joint) and ``attribution_subjects_<network>.csv`` (one row per subject).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from gait.body.skeleton import HEAD_TO_FEET
from gait.errors import GaitError
from gait.explaining.attribution_files import csv_cell
from gait.explaining.explain_trial import explain_trial
from gait.explaining.group_attribution import (
    GroupComparison,
    SubjectAttribution,
    average_subject_attribution,
    compare_groups,
)
from gait.explaining.methods import METHODS, find_method
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import TrainedNetwork, load_trained_network
from gait.files.atomic_write import atomic_file
from gait.kinematics.gait_cycle import PERCENT, average_gait_cycles
from gait.learning.fold_result import FoldResult, read_results
from gait.learning.networks import NETWORKS
from gait.motion.dataset import GaitDataset, dataset_hash, read_dataset
from gait.report.cohort_figure import draw_cohort_figure
from gait.report.export_trial import ExportResult

REPRESENTATIVE, MOST_UNCERTAIN = "representative", "most_uncertain"
"""Values of the column ``role``."""


def attribution_file(export: Path, network: str) -> Path:
    """Return the path of the table with one row per explained subject."""
    return Path(export) / f"attribution_subjects_{network}.csv"


def export_cohort(trained: Path, poses: Path, export: Path, options: ExplainOptions) -> ExportResult:
    """Explain every subject with the network that was not trained on it, and write tables and figures of the cohort.

    Args:
        trained: the save folder of a training.
        poses: the save folder of shape_optimizer.py.
        export: output folder; created if missing.
        options: the method, and how the trials are read.

    Raises:
        GaitError: there is no training or there are no poses, or a file cannot be written.
    """
    trained = Path(trained)
    if not trained.is_dir():
        raise GaitError(f"{trained}: no such folder; name the save folder of a training.")
    lines: list[str] = []
    problems: list[str] = []
    notes: list[str] = []
    found = False
    for network in NETWORKS:
        results, unreadable = read_results(trained, network)
        problems += unreadable
        if not results:
            continue
        found = True
        try:
            lines += _export_network(network, results, trained, poses, Path(export), options, problems, notes)
        except GaitError as error:
            problems.append(str(error))
    if not found:
        raise GaitError(
            problems[0]
            if problems
            else f"{trained}: no training result (result_<network>_fold<k>.npz) in it; name the save folder of "
            "train_multi_mlp.py or train_transformer.py."
        )
    if not lines:
        raise GaitError(problems[0])
    return ExportResult(tuple(lines), tuple(problems), tuple(dict.fromkeys(notes)))


def _export_network(
    kind: str,
    results: tuple[FoldResult, ...],
    trained: Path,
    poses: Path,
    export: Path,
    options: ExplainOptions,
    problems: list[str],
    notes: list[str],
) -> Iterator[str]:
    first = results[0]
    dataset = read_dataset(
        poses,
        first.frame_rate_hz,
        min_frames=first.window_length,
        body=options.body_file,
        pose_rate_hz=options.pose_rate_hz,
    )
    notes += dataset.problems
    if first.data_sha256 and dataset_hash(dataset) != first.data_sha256:
        notes.append(
            f"{poses}: not the poses that the {kind} was trained and tested on; predictions are of those "
            "poses, attributions of these."
        )
    subjects: list[SubjectAttribution] = []
    method = ""
    signed = False
    for result in results:
        try:
            if not first.same_experiment(result):
                raise GaitError(f"fold {result.fold.index} of the {kind} was trained with other flags; excluded.")
            network = load_trained_network(trained / f"fold{result.fold.index}" / f"{kind}.ckpt")
            (one,) = options.each_method(network)
            method = one.method or ""
            signed = find_method(network.network, method).signed
            subjects += _explain_subjects(network, one, result, dataset, notes)
        except GaitError as error:
            problems.append(str(error))
    if not subjects:
        raise GaitError(problems[-1] if problems else f"{poses}: no subject of the trained folds is in it.")
    comparison = compare_groups(subjects)
    correct = sum(subject.correct for subject in subjects)
    title = f"Attribution of the {NETWORKS[kind].title}, {len(subjects)} subjects"
    summary = [
        f"{correct} of {len(subjects)} classified correctly, each by the network of the fold that was not trained on "
        "the subject.",
        f"{METHODS[method].title}, mean by joint and phase of the gait cycle: joints of the left side and the trunk "
        "over the cycle of the left foot, joints of the right side over that of the right foot.",
        "Attributions describe the network; they are no diagnosis, and few subjects give weak evidence.",
    ]
    with atomic_file(export / f"cohort_{kind}.png") as partial:
        partial.write_bytes(draw_cohort_figure(comparison, signed, title, summary))
    _write_group_means(export / f"cohort_{kind}.csv", comparison)
    _write_attribution_by_subject(attribution_file(export, kind), comparison)
    yield f"{title}: {summary[0]}"
    for label, subject in comparison.representative.items():
        noun = "control" if label == "healthy" else "patient"
        yield f"most representative {noun}: {subject.subject}, P(sick) = {subject.probability:.2f}"
    uncertain = comparison.most_uncertain
    yield f"most uncertain subject: {uncertain.subject}, P(sick) = {uncertain.probability:.2f}"
    yield f"written: {export / f'cohort_{kind}.png'}"


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


def _write_group_means(path: Path, comparison: GroupComparison) -> None:
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        joints = [joint.name.lower() for joint in HEAD_TO_FEET]
        writer.writerow(["group", "num_subjects", "gait_cycle_percent", *joints])
        for name, group in comparison.groups.items():
            for percent in PERCENT:
                cells = [csv_cell(group.attribution[percent, joint]) for joint in HEAD_TO_FEET]
                writer.writerow([name, len(group.subjects), percent, *cells])


def _write_attribution_by_subject(path: Path, comparison: GroupComparison) -> None:
    representative = {subject.subject for subject in comparison.representative.values()}
    with atomic_file(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["subject", "label", "probability_sick", "correct", "fold", "num_strides", "role"])
        for one in comparison.subjects:
            roles = [
                role
                for role, applies in (
                    (REPRESENTATIVE, one.subject in representative),
                    (MOST_UNCERTAIN, one is comparison.most_uncertain),
                )
                if applies
            ]
            writer.writerow(
                [
                    one.subject, "sick" if one.sick else "healthy", f"{one.probability:.4f}",
                    int(one.correct), one.fold, one.num_cycles, " ".join(roles),
                ]
            )  # fmt: skip
