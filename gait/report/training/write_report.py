"""Write all files of a training report from the fold results in a training folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gait.errors import GaitError
from gait.files.atomic_write import atomic_file
from gait.learning.cross_validation_summary import CrossValidationSummary, pool_folds
from gait.learning.fold_result import FoldResult, read_results, result_file
from gait.learning.metrics import THRESHOLD
from gait.report.training.figures import as_image, draw_figures
from gait.report.training.metrics_json import all_metrics, fold_metrics, metrics_file, write_metrics
from gait.report.training.page import report_page
from gait.report.training.tensorboard import write_summary
from gait.report.training.text_summary import terminal_summary, truncate_list
from gait.text import natural_key, printable


@dataclass(frozen=True)
class WrittenReport:
    """The report page and the lines to print after training."""

    page: Path
    lines: tuple[str, ...]  # printable; a warning of the confounder check comes first


def page_file(save_folder: Path, network: str) -> Path:
    """Return the path of the report page."""
    return Path(save_folder) / f"report_{network}.html"


def predictions_file(save_folder: Path, network: str) -> Path:
    """Return the path of the table of predictions by subject."""
    return Path(save_folder) / f"predictions_by_subject_{network}.csv"


def write_report(
    save_folder: Path,
    network: str,
    reference: FoldResult | None = None,
    *,
    confounder_check: Mapping[str, Any] | None = None,
    problems: tuple[str, ...] | None = None,
) -> WrittenReport:
    """Write metrics, predictions, TensorBoard summary and report page for all folds of one experiment in a folder.

    Args:
        save_folder: the training folder.
        network: name of the network, ``mlp`` for example.
        reference: a fold of the experiment; folds with other settings or other subjects are excluded and reported.
            If None, the fold written last.
        confounder_check: result for the current poses, if it is newer than the one stored with the folds.
        problems: problems of the current poses, likewise.

    Raises:
        GaitError: no result can be read, or the folder cannot be written.
    """
    same, excluded = folds_of_experiment(save_folder, network, reference)
    if confounder_check is not None:
        same = [replace(result, confounder_check=dict(confounder_check)) for result in same]
    if problems is not None:
        same = [replace(result, problems=problems) for result in same]
    per_fold = [pool_folds([result]) for result in same]
    summary = pool_folds(same) if len(same) > 1 else per_fold[0]
    figures = draw_figures(summary)
    page = page_file(save_folder, network)
    metrics = metrics_file(save_folder, network, None)
    raw_lines = (*terminal_summary(summary), *excluded, f"report: {page}", f"metrics: {metrics}")
    lines = tuple(printable(line).replace("−", "-") for line in raw_lines)  # not every terminal has a minus sign
    for fold in per_fold:
        write_metrics(metrics_file(save_folder, network, fold.folds[0].fold.index), fold_metrics(fold))
    write_metrics(metrics, all_metrics(summary))
    _write_predictions_by_subject(predictions_file(save_folder, network), summary)
    content = report_page(summary, per_fold, figures, excluded)
    with atomic_file(page) as partial:
        partial.write_text(content, encoding="utf-8")
    write_summary(save_folder, summary, lines, {name: as_image(figure) for name, figure in figures.items()})
    return WrittenReport(page, lines)


def folds_of_experiment(
    save_folder: Path, network: str, reference: FoldResult | None = None
) -> tuple[list[FoldResult], tuple[str, ...]]:
    """Read the folds of one experiment, sorted by index, and one message each for excluded or unreadable folds.

    It is the experiment of the fold ``reference``, or of the fold written last if None.

    Raises:
        GaitError: no result can be read.
    """
    results, damaged = read_results(save_folder, network)
    if not results:
        raise GaitError(" ".join(damaged) or f"{save_folder}: no result_{network}_fold*.npz in it; train a fold first.")
    if reference is None:
        reference = max(results, key=lambda r: result_file(save_folder, network, r.fold.index).stat().st_mtime_ns)
    same = [result for result in results if result.same_experiment(reference)]
    return same, (*_excluded_message(results, same), *damaged)


def _excluded_message(results: Sequence[FoldResult], same: Sequence[FoldResult]) -> tuple[str, ...]:
    others = [str(result.fold.index) for result in results if result not in same]
    if not others:
        return ()
    many = len(others) > 1
    return (
        f"Excluded: fold{'s' if many else ''} {truncate_list(others)}, which {'were' if many else 'was'} trained with "
        f"other settings or on other subjects; train {'them' if many else 'it'} again, or use another --save_folder.",
    )


def _write_predictions_by_subject(path: Path, summary: CrossValidationSummary) -> None:
    """Write one row per subject: label, fold, whether the network is correct, P(sick) of each classifier."""
    fold_of = {name: result.fold.index for result in summary.folds for name in result.fold.evaluation}
    probability_of = {
        classifier.name: dict(
            zip(classifier.subject_predictions.subjects, classifier.subject_predictions.probability, strict=True)
        )
        for classifier in summary.classifiers
    }
    of_network = summary.network.subject_predictions
    sick_of = dict(zip(of_network.subjects, of_network.sick, strict=True))
    with atomic_file(path) as partial, partial.open("w", newline="", encoding="utf-8", errors="replace") as file:
        table = csv.writer(file)
        table.writerow(["subject", "sick", "fold", "correct", *(f"probability_{name}" for name in probability_of)])
        for name in sorted(of_network.subjects, key=natural_key):
            correct = (probability_of[summary.network.name][name] >= THRESHOLD) == sick_of[name]
            cells = [f"{each[name]:.4f}" if name in each else "" for each in probability_of.values()]
            table.writerow([name, int(sick_of[name]), fold_of[name], int(correct), *cells])
