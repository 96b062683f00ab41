"""Attribution of a whole cohort: each subject is explained by the network of the fold that was not trained on it.

``cohort_<network>.csv`` has group means by percent of the gait cycle and joint;
``attribution_subjects_<network>.csv`` has one row per subject; ``recurring_findings_<network>.csv`` has the real
deviations on which decisions rely, with the numbers of patients and controls who have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gait.body.skeleton import HEAD_TO_FEET, Joint
from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.explaining.attribution_files import JOINT_COLUMNS, write_table
from gait.explaining.cohort_paths import cohort_files, recurrence_file
from gait.explaining.evidence.controls import Cohort
from gait.explaining.evidence.explained_walk import explain_walk
from gait.explaining.evidence.find_cohort import find_cohorts
from gait.explaining.evidence.find_findings import find_findings
from gait.explaining.evidence.recurrence import (
    Recurrence,
    TrialFindings,
    recurring_findings,
    row_of,
    write_recurrences,
)
from gait.explaining.explain_trial import explain_trial
from gait.explaining.group_attribution import (
    GroupComparison,
    SubjectAttribution,
    average_subject_attribution,
    compare_groups,
)
from gait.explaining.methods import find_method
from gait.explaining.options import EvidenceOptions, ExplainOptions
from gait.explaining.trained_network import TrainedNetwork, load_network
from gait.kinematics.gait_cycle import PERCENT, average_gait_cycles
from gait.learning.fold_result import FoldResult, read_results, trained_kinds
from gait.learning.networks import NETWORKS
from gait.motion.dataset import GaitDataset, Trial, dataset_hash
from gait.motion.inputs import PUBLISHED
from gait.motion.read_dataset import read_dataset

ExplainedTrial = tuple[Trial, TrialAttribution]


@dataclass(frozen=True, eq=False)
class CohortAttribution:
    """Attribution of all subjects of a cohort by one kind of network."""

    network: str  # its name
    method: str
    signed: bool  # whether the attribution is evidence for either class
    comparison: GroupComparison
    problems: tuple[str, ...]  # one message per excluded fold
    notes: tuple[str, ...]  # messages on excluded trials and subjects
    left_out_joints: tuple[Joint, ...] = ()  # that the network does not use
    input: str = PUBLISHED  # of the network, one of ``INPUTS``
    recurrences: tuple[Recurrence, ...] | None = None  # None: evidence was not sought, or cannot be
    norm: str = ""  # title of the norm that the recurrences are against


@dataclass(frozen=True)
class CohortSummary:
    """The representative and the most uncertain subjects of a cohort, as plain data."""

    num_subjects: int
    num_correct: int  # classified correctly
    representative: dict[str, dict[str, Any]]  # subject, fold and P(sick), by label; empty without a correct one
    most_uncertain: dict[str, Any]
    recurrences: list[dict[str, Any]] | None = None  # as in ``recurrence.COLUMNS``; None if there is no evidence
    norm: str = ""  # title of the norm that they are against

    @classmethod
    def of(cls, cohort: CohortAttribution) -> CohortSummary:
        """Return the summary of the subjects of a cohort."""
        comparison = cohort.comparison

        def plain(one: SubjectAttribution) -> dict[str, Any]:
            return {"subject": one.subject, "fold": one.fold, "probability": one.probability}

        return cls(
            len(comparison.subjects),
            sum(subject.correct for subject in comparison.subjects),
            {label: plain(subject) for label, subject in comparison.representative.items()},
            plain(comparison.most_uncertain),
            None if cohort.recurrences is None else [row_of(each) for each in cohort.recurrences],
            cohort.norm,
        )


def explain_cohorts(
    trained: Path, poses: Path, options: ExplainOptions, output: Path, evidence: EvidenceOptions | None = None
) -> tuple[list[CohortAttribution], list[str]]:
    """Explain the cohort by each kind of network that a folder holds, as in ``explain_cohort``.

    Returns:
        The attributions, at least one; and one message per fold or network that failed.

    Raises:
        GaitError: there is no training, or no network can be explained.
    """
    trained = Path(trained)
    if not trained.is_dir():
        raise GaitError(f"{trained}: no such folder; name the save folder of a training.")
    cohorts: list[CohortAttribution] = []
    problems: list[str] = []
    for name in trained_kinds(trained):
        try:
            cohorts.append(explain_cohort(trained, name, poses, options, output, evidence))
            problems += cohorts[-1].problems
        except GaitError as error:
            problems.append(str(error))
    if not cohorts:
        raise GaitError(problems[0])
    return cohorts, problems


def explain_cohort(
    trained: Path,
    network: str,
    poses: Path,
    options: ExplainOptions,
    output: Path,
    evidence: EvidenceOptions | None = None,
) -> CohortAttribution:
    """Explain every subject of the test sets of one kind of network, and write the tables.

    ``trained`` is the save folder of its training, ``poses`` that of shape_optimizer.py; ``output`` is created. With
    options of the evidence, each trial is compared with the controls among the poses, or with another norm.

    Raises:
        GaitError: there is no training, there are no poses, no subject can be explained, or a file cannot be written.
    """
    results, unreadable = read_results(trained, network)
    problems = list(unreadable)
    if not results:
        raise GaitError(problems[0] if problems else f"{trained}: no result_{network}_fold<k>.npz in it.")
    first = results[0]
    dataset = read_dataset(
        poses,
        first.frame_rate_hz,
        **first.dataset_options,
        body=options.body_file,
        pose_rate_hz=options.pose_rate_hz,
        keep_standing=options.keep_standing or bool(first.arguments.get("keep_standing")),
    )
    notes = list(dataset.problems)
    if first.data_sha256 and dataset_hash(dataset) != first.data_sha256:
        notes.append(
            f"{poses}: not the poses that the {NETWORKS[network].title} was trained and tested on; predictions are of "
            "those poses, attributions of these."
        )
    folds = _load_networks(trained, results, options, problems)
    cohorts = _find_cohorts(folds, poses, options, evidence, notes)
    subjects: list[SubjectAttribution] = []
    findings: list[TrialFindings] = []
    norm = ""
    for number, fold in enumerate(folds):
        try:
            explained = fold.explain_trials(dataset)
        except GaitError as error:
            problems.append(str(error))
            continue
        subjects += _average_subjects(explained, fold.result, notes)
        if cohorts:
            norm = _find_findings(fold, explained, cohorts[number], findings, notes) or norm
    if not subjects:
        raise GaitError(problems[-1] if problems else f"{poses}: no subject of the trained folds is in it.")
    comparison = compare_groups(subjects)
    _write_tables(comparison, cohort_files(output, network))
    recurrences = recurring_findings(findings) if findings else None
    if recurrences is not None:
        write_recurrences(recurrence_file(output, network), recurrences)
    return CohortAttribution(
        network=network,
        method=folds[-1].method,
        signed=folds[-1].signed,
        comparison=comparison,
        problems=tuple(problems),
        notes=tuple(dict.fromkeys(notes)),
        left_out_joints=folds[-1].network.left_out_joints,
        input=first.input,
        recurrences=recurrences,
        norm=norm,
    )


@dataclass(frozen=True, eq=False)
class _ExplainedFold:
    """A fold whose test set is explained by its network."""

    result: FoldResult
    network: TrainedNetwork
    options: ExplainOptions  # with one method
    method: str
    signed: bool  # whether the attribution is evidence for either class

    def explain_trials(self, dataset: GaitDataset) -> list[ExplainedTrial]:
        """Explain the trials of the test set."""
        subjects = set(self.result.evaluation.by_subject().subjects)
        left_out, options = set(self.result.left_out.get("trials", ())), self.options
        return [
            (trial, explain_trial(self.network, trial, options.method, rule=options.rule, stride=options.stride))
            for trial in dataset.trials
            if trial.subject_id in subjects and trial.trial_id not in left_out
        ]


def _load_networks(
    trained: Path, results: Sequence[FoldResult], options: ExplainOptions, problems: list[str]
) -> list[_ExplainedFold]:
    """Load the networks of the folds of one experiment; add one message per excluded fold to ``problems``."""
    folds = []
    for result in results:
        name, fold = result.network, result.fold.index
        try:
            if not results[0].same_experiment(result):
                raise GaitError(f"fold {fold} of the {name} was trained with other flags; excluded.")
            network = load_network(trained / f"fold{fold}" / f"{name}.ckpt")
            (one,) = options.each_method(network)
            method = one.method or ""
            signed = find_method(network.network, method).signed
            folds.append(_ExplainedFold(result, network, one, method, signed))
        except GaitError as error:
            problems.append(str(error))
    return folds


def _find_cohorts(
    folds: Sequence[_ExplainedFold],
    poses: Path,
    options: ExplainOptions,
    evidence: EvidenceOptions | None,
    notes: list[str],
) -> list[Cohort]:
    """Return the cohort that trials are compared with as each fold's network sees it; [] if evidence is not sought."""
    if evidence is None or evidence.no_evidence or not folds or not folds[-1].signed:
        return []
    try:
        return find_cohorts([fold.network for fold in folds], poses, evidence.norms, options)
    except GaitError as error:
        notes.append(f"No evidence: {error}")
        return []


def _find_findings(
    fold: _ExplainedFold,
    explained: Sequence[ExplainedTrial],
    cohort: Cohort,
    findings: list[TrialFindings],
    notes: list[str],
) -> str:
    """Add the findings of each trial of a fold's test set; return the title of the norm, "" without one."""
    title = ""
    for trial, attribution in explained:
        try:
            poses_of_trial = fold.options.read_poses(trial.folder)
            walk = explain_walk(fold.network, trial.folder, cohort, fold.options, poses_of_trial, attribution)
        except GaitError as error:
            notes.append(f"No evidence: {error}")
            continue
        title = walk.controls.title
        findings.append(TrialFindings(trial.subject_id, find_findings(walk)))
    return title


def _average_subjects(
    explained: Sequence[ExplainedTrial], result: FoldResult, notes: list[str]
) -> Iterator[SubjectAttribution]:
    predictions = result.evaluation.by_subject()
    for subject, sick, probability in zip(predictions.subjects, predictions.sick, predictions.probability, strict=True):
        cycles = [
            average_gait_cycles(*attribution.cycle_inputs(trial.joints_m))
            for trial, attribution in explained
            if trial.subject_id == subject
        ]
        if not cycles:
            notes.append(f"{subject}: in the test set of the training, but not among the poses; excluded.")
            continue
        averaged = average_subject_attribution(subject, float(probability), result.fold.index, cycles, sick=bool(sick))
        if not averaged.num_cycles:
            notes.append(f"{subject}: no complete stride in the trials; not included in the means.")
        yield averaged


def _write_tables(comparison: GroupComparison, files: tuple[Path, Path, Path]) -> None:
    _, means, subjects = files
    write_table(
        means,
        ["group", "num_subjects", "gait_cycle_percent", *JOINT_COLUMNS, *(f"num_subjects_{c}" for c in JOINT_COLUMNS)],
        (
            [name, len(group.subjects), percent, *group.attribution[percent, list(HEAD_TO_FEET)],
             *group.num_subjects[list(HEAD_TO_FEET)]]
            for name, group in comparison.groups.items()
            for percent in PERCENT
        ),
    )  # fmt: skip
    roles = {subject.subject: ["representative"] for subject in comparison.representative.values()}
    roles.setdefault(comparison.most_uncertain.subject, []).append("most_uncertain")
    write_table(
        subjects,
        ["subject", "label", "probability_sick", "correct", "fold", "num_strides", "role"],
        (
            [
                one.subject, "sick" if one.sick else "healthy", f"{one.probability:.4f}", int(one.correct), one.fold,
                one.num_cycles, " ".join(roles.get(one.subject, ())),
            ]
            for one in comparison.subjects
        ),
    )  # fmt: skip
