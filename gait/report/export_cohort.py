"""Export of cohort attributions: group means and subjects as tables and a figure, without a display.

Files per trained network: ``cohort_<network>.png``, ``cohort_<network>.csv`` (group means by percent of the gait
cycle and joint) and ``attribution_subjects_<network>.csv`` (one row per subject).
"""

from __future__ import annotations

import csv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gait.body.skeleton import HEAD_TO_FEET
from gait.errors import GaitError
from gait.explaining.attribution_files import csv_cell
from gait.explaining.explain_cohort import CohortAttribution, explain_cohort
from gait.explaining.group_attribution import GroupComparison, SubjectAttribution
from gait.explaining.methods import METHODS
from gait.explaining.options import ExplainOptions
from gait.files.atomic_write import atomic_file
from gait.kinematics.gait_cycle import PERCENT
from gait.learning.networks import NETWORKS
from gait.motion.trial_paths import LABEL_NOUNS
from gait.report.cohort_figure import draw_cohort_figure
from gait.report.export_trial import ExportResult


@dataclass(frozen=True)
class CohortSummary:
    """The subjects that stand out in a cohort, as plain data."""

    num_subjects: int
    num_correct: int  # classified correctly
    representative: dict[str, dict[str, Any]]  # subject, fold and P(sick), by label; empty without a correct one
    most_uncertain: dict[str, Any]

    @classmethod
    def of(cls, comparison: GroupComparison) -> CohortSummary:
        """Return the summary of the subjects of a cohort."""

        def plain(one: SubjectAttribution) -> dict[str, Any]:
            return {"subject": one.subject, "fold": one.fold, "probability": one.probability}

        return cls(
            len(comparison.subjects),
            sum(subject.correct for subject in comparison.subjects),
            {label: plain(subject) for label, subject in comparison.representative.items()},
            plain(comparison.most_uncertain),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain data; ``CohortSummary(**data)`` is the inverse."""
        return asdict(self)

    def sentences(self) -> tuple[str, ...]:
        """Return who stands out, one sentence per subject."""
        found = {f"representative {LABEL_NOUNS[label]}": one for label, one in self.representative.items()}
        found["uncertain subject"] = self.most_uncertain
        return tuple(
            f"Most {what}: {one['subject']}, P(sick) = {one['probability']:.2f}." for what, one in found.items()
        )


def cohort_files(export: Path, network: str) -> tuple[Path, Path, Path]:
    """Return the paths of figure, group means, and the table with one row per subject."""
    return (
        export / f"cohort_{network}.png",
        export / f"cohort_{network}.csv",
        export / f"attribution_subjects_{network}.csv",
    )


def export_cohort(trained: Path, poses: Path, export: Path, options: ExplainOptions) -> ExportResult:
    """Explain every subject with the network that was not trained on it, and write tables and figures of the cohort.

    Args:
        trained: the save folder of a training, or of one per network.
        poses: the save folder of shape_optimizer.py.
        export: output folder; created if missing.
        options: the method, and how the trials are read.

    Raises:
        GaitError: there is no training or there are no poses, or a file cannot be written.
    """
    trained, export = Path(trained), Path(export)
    if not trained.is_dir():
        raise GaitError(f"{trained}: no such folder; name the save folder of a training.")
    names = [name for name in NETWORKS if any(trained.glob(f"result_{name}_fold*.npz"))]
    if not names:
        raise GaitError(
            f"{trained}: no training result (result_<network>_fold<k>.npz) in it; name the save folder of "
            "train_multi_mlp.py or train_transformer.py."
        )
    lines: list[str] = []
    problems: list[str] = []
    notes: list[str] = []
    for name in names:
        try:
            cohort = explain_cohort(trained, name, poses, options)
            summary = write_cohort(cohort, export)
            lines += [_title(cohort), _num_correct(summary), *summary.sentences()]
            lines.append(f"written: {cohort_files(export, name)[0]}")
            problems += cohort.problems
            notes += cohort.notes
        except GaitError as error:
            problems.append(str(error))
    if not lines:
        raise GaitError(problems[0])
    return ExportResult(tuple(lines), tuple(problems), tuple(dict.fromkeys(notes)))


def write_cohort(cohort: CohortAttribution, export: Path) -> CohortSummary:
    """Write tables and figure of a cohort, and return who stands out.

    Raises:
        GaitError: a file cannot be written.
    """
    summary = CohortSummary.of(cohort.comparison)
    figure, means, subjects = cohort_files(export, cohort.network)
    lines = [
        _num_correct(summary),
        f"{METHODS[cohort.method].title}, mean by joint and phase of the gait cycle: joints of the left side and the "
        "trunk over the cycle of the left foot, joints of the right side over that of the right foot.",
        "Attributions describe the network; they are no diagnosis, and few subjects give weak evidence.",
    ]
    with atomic_file(figure) as partial:
        partial.write_bytes(draw_cohort_figure(cohort.comparison, cohort.signed, _title(cohort), lines))
    _write_group_means(means, cohort.comparison)
    _write_attribution_by_subject(subjects, cohort.comparison)
    return summary


def _title(cohort: CohortAttribution) -> str:
    return f"Attribution of the {NETWORKS[cohort.network].title}, {len(cohort.comparison.subjects)} subjects"


def _num_correct(summary: CohortSummary) -> str:
    return (
        f"{summary.num_correct} of {summary.num_subjects} classified correctly, each by the network of the fold that "
        "was not trained on the subject."
    )


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
            roles = ["representative"] * (one.subject in representative)
            roles += ["most_uncertain"] * (one is comparison.most_uncertain)
            writer.writerow(
                [
                    one.subject, "sick" if one.sick else "healthy", f"{one.probability:.4f}",
                    int(one.correct), one.fold, one.num_cycles, " ".join(roles),
                ]
            )  # fmt: skip
