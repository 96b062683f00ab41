"""Export of cohort attributions as tables.

``cohort_<network>.csv`` has group means by percent of the gait cycle and joint;
``attribution_subjects_<network>.csv`` has one row per subject.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gait.body.skeleton import HEAD_TO_FEET
from gait.errors import GaitError
from gait.explaining.attribution_files import JOINT_COLUMNS, write_table
from gait.explaining.explain_cohort import CohortAttribution, explain_cohort
from gait.explaining.group_attribution import GroupComparison, SubjectAttribution
from gait.explaining.options import ExplainOptions
from gait.kinematics.gait_cycle import PERCENT
from gait.learning.networks import NETWORKS


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


@dataclass(frozen=True, eq=False)
class CohortExport:
    """What was written of a cohort."""

    cohorts: tuple[CohortAttribution, ...]  # one per kind of network, at least one
    problems: tuple[str, ...]  # one message per fold or network that failed


def cohort_files(output: Path, network: str) -> tuple[Path, Path, Path]:
    """Return the paths of figure, group means, and the table with one row per subject."""
    return (
        output / f"cohort_{network}.png",
        output / f"cohort_{network}.csv",
        output / f"attribution_subjects_{network}.csv",
    )


def export_cohort(trained: Path, poses: Path, output: Path, options: ExplainOptions) -> CohortExport:
    """Explain every subject with the network that was not trained on it, and write the tables of the cohort.

    Args:
        trained: the save folder of a training, or of one per network.
        poses: the save folder of shape_optimizer.py.
        output: folder to write to; created if missing.
        options: the method, and how the trials are read.

    Raises:
        GaitError: there is no training or there are no poses, or a file cannot be written.
    """
    trained = Path(trained)
    if not trained.is_dir():
        raise GaitError(f"{trained}: no such folder; name the save folder of a training.")
    names = [name for name in NETWORKS if any(trained.glob(f"result_{name}_fold*.npz"))]
    if not names:
        raise GaitError(
            f"{trained}: no training result (result_<network>_fold<k>.npz) in it; name the save folder of "
            "train_multi_mlp.py or train_transformer.py."
        )
    cohorts: list[CohortAttribution] = []
    problems: list[str] = []
    for name in names:
        try:
            cohorts.append(explain_cohort(trained, name, poses, options))
            write_cohort_tables(cohorts[-1], output)
            problems += cohorts[-1].problems
        except GaitError as error:
            problems.append(str(error))
    if not cohorts:
        raise GaitError(problems[0])
    return CohortExport(tuple(cohorts), tuple(problems))


def write_cohort_tables(cohort: CohortAttribution, output: Path) -> None:
    """Write group means and subjects of a cohort as CSV.

    Raises:
        GaitError: a file cannot be written.
    """
    _, means, subjects = cohort_files(output, cohort.network)
    comparison = cohort.comparison
    write_table(
        means,
        ["group", "num_subjects", "gait_cycle_percent", *JOINT_COLUMNS],
        (
            [name, len(group.subjects), percent, *group.attribution[percent, list(HEAD_TO_FEET)]]
            for name, group in comparison.groups.items()
            for percent in PERCENT
        ),
    )
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
