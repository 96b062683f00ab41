"""All files of a report, from the results of folds that lie in a folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gait.errors import GaitError
from gait.files.atomic_write import replacing_file
from gait.learning.fold_result import FoldResult, read_results, result_file
from gait.learning.metrics import THRESHOLD
from gait.report.training.cross_validation_summary import CrossValidationSummary, pooled
from gait.report.training.display_names import in_order, printable
from gait.report.training.figures import as_image, pictures
from gait.report.training.metrics_json import all_metrics, fold_metrics, metrics_file, write_metrics
from gait.report.training.page import report_page
from gait.report.training.tensorboard import write_summary
from gait.report.training.text_summary import closing_lines, some_of


@dataclass(frozen=True)
class Report:
    """What was written, and what to say at the end of a run."""

    page: Path
    lines: tuple[str, ...]  # plain; a leak first


def page_file(save_folder: Path, network: str) -> Path:
    """Where the page belongs."""
    return Path(save_folder) / f"report_{network}.html"


def write_report(
    save_folder: Path,
    network: str,
    asked: FoldResult | None = None,
    *,
    leak_check: Mapping[str, Any] | None = None,
    problems: tuple[str, ...] | None = None,
) -> Report:
    """Write metrics, TensorBoard's summary and the page of all folds of one question that lie in a folder.

    Args:
        save_folder: of the training runs.
        network: its name.
        asked: a fold of the run that asks. Results of other settings or persons are left out, and named. The one
            written last if it is not given.
        leak_check: of the poses as they are now, where it was made anew since the folds were trained.
        problems: likewise.

    Raises:
        GaitError: no result is there that can be read, or the folder cannot be written.
    """
    same, left_out = folds_of_one_question(save_folder, network, asked)
    if leak_check is not None:
        same = [replace(result, leak_check=dict(leak_check)) for result in same]
    if problems is not None:
        same = [replace(result, problems=problems) for result in same]
    single = [pooled([result]) for result in same]
    summary = pooled(same) if len(same) > 1 else single[0]
    drawn = pictures(summary)
    page = page_file(save_folder, network)
    table = metrics_file(save_folder, network, None)
    said = (*closing_lines(summary), *left_out, f"report: {page}", f"figures: {table}")
    lines = tuple(printable(line).replace("−", "-") for line in said)  # not every terminal has a true minus
    for alone in single:
        write_metrics(metrics_file(save_folder, network, alone.folds[0].fold.index), fold_metrics(alone))
    write_metrics(table, all_metrics(summary))
    _write_persons(Path(save_folder) / f"persons_{network}.csv", summary)
    content = report_page(summary, single, drawn, left_out)
    with replacing_file(page) as partial:
        partial.write_text(content, encoding="utf-8")
    write_summary(save_folder, summary, lines, {name: as_image(picture) for name, picture in drawn.items()})
    return Report(page, lines)


def folds_of_one_question(
    save_folder: Path, network: str, asked: FoldResult | None = None
) -> tuple[list[FoldResult], tuple[str, ...]]:
    """The folds of one question that lie in a folder, by index, and a plain line on those that are left out.

    Args:
        save_folder: of the training runs.
        network: its name.
        asked: a fold of that question; the one written last if it is not given.

    Raises:
        GaitError: no result is there that can be read.
    """
    results, damaged = read_results(save_folder, network)
    if not results:
        raise GaitError(" ".join(damaged) or f"{save_folder}: no result_{network}_fold*.npz in it; train a fold first.")
    if asked is None:
        asked = max(results, key=lambda r: result_file(save_folder, network, r.fold.index).stat().st_mtime_ns)
    same = [result for result in results if result.asked_the_same(asked)]
    return same, (*_left_out(results, same), *damaged)


def _left_out(results: Sequence[FoldResult], same: Sequence[FoldResult]) -> tuple[str, ...]:
    others = [str(result.fold.index) for result in results if result not in same]
    if not others:
        return ()
    many = len(others) > 1
    return (
        f"Left out: fold{'s' if many else ''} {some_of(others)}, which {'were' if many else 'was'} trained with other "
        f"settings or on other persons; train {'them' if many else 'it'} again, or use another --save_folder.",
    )


def _write_persons(path: Path, summary: CrossValidationSummary) -> None:
    """A line a person: label, fold, what the network and each baseline say, whether the network is right."""
    fold_of = {name: result.fold.index for result in summary.folds for name in result.fold.evaluation}
    said = {
        judge.name: dict(zip(judge.people.persons, judge.people.probability, strict=True)) for judge in summary.judges
    }
    people = summary.network.people
    sick_of = dict(zip(people.persons, people.sick, strict=True))
    with replacing_file(path) as partial, partial.open("w", newline="", encoding="utf-8", errors="replace") as file:
        table = csv.writer(file)
        table.writerow(["person", "sick", "fold", "right", *(f"probability_{name}" for name in said)])
        for name in sorted(people.persons, key=in_order):
            right = (said[summary.network.name][name] >= THRESHOLD) == sick_of[name]
            figures = [f"{judge[name]:.4f}" if name in judge else "" for judge in said.values()]
            table.writerow([name, int(sick_of[name]), fold_of[name], int(right), *figures])
