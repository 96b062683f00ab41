"""python -m gait.report --poses demo_out/optimized_poses --trained demo_out/trained_mlp --export demo_out

Report on fitted trials: curves over the gait cycle, spatio-temporal parameters and events of each subject, as a page
and as tables, and a page of the cohort. With --trained also a complete run on one page: marker residuals of the fits,
classification results of each network, attributions by joint and gait phase, and a page on which a patient walks.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gait.cli.arguments import argument, parse, select_fields
from gait.cli.exit_codes import print_err, run_main
from gait.errors import GaitError
from gait.learning.fold_result import trained_kinds
from gait.motion.subject_trials import find_subject_folders
from gait.report.gait.build import GaitPageSettings, build_gait_pages
from gait.report.run.settings import PAGE_FILE, RunSettings
from gait.text import pluralize

COHORT_PAGE = "cohort.html"
"""The page of the cohort if ``index.html`` is the run report."""


@dataclass(frozen=True, kw_only=True)
class Arguments(RunSettings):
    """The command line: the settings of the run report, and those of the gait pages."""

    norms: tuple[str, ...] | None = argument(
        None, "norms beside the curves: names in data/norms, CSV files, or a folder of fitted controls; without it the "
        "controls among the poses, if they are at least ten, otherwise schwartz2008", nargs="*", metavar="NORM",
    )  # fmt: skip
    compare: tuple[str, ...] = argument(
        (), "two groups (healthy sick), subjects (P02 P02_post), or trials of subjects ('P02/pre*' 'P02/post*')",
        nargs=2, metavar="SAMPLE",
    )  # fmt: skip

    def gait_pages(self) -> GaitPageSettings:
        """Return the settings of the gait pages."""
        cohort_page = COHORT_PAGE if self.trained else PAGE_FILE
        return GaitPageSettings(
            poses=self.poses,
            export=self.export,
            cohort_page=cohort_page,
            norms=self.norms,
            compare=self.compare,
            workers=self.workers,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 if all pages are complete, 1 if parts are missing, 2 if there is nothing to report."""
    arguments = parse(Arguments, __doc__ or "", argv, prog="python -m gait.report")
    return run_main(lambda: _build(arguments), "Interrupted; files already written are complete.")


def _build(arguments: Arguments) -> int:
    start = time.perf_counter()

    def show(line: str) -> None:
        print(line, flush=True)

    find_subject_folders(arguments.poses)  # a wrong folder ends the command before minutes are spent on pages
    for folder in arguments.trained:
        trained_kinds(folder)
    problems: list[str] = []
    done = []
    gait_page = None
    try:
        pages = build_gait_pages(arguments.gait_pages(), show)
        problems += pages.problems
        gait_page = pages.page
        done.append(
            f"{pages.page}: gait of {pluralize(pages.num_subjects, 'subject')}, {pluralize(pages.num_trials, 'trial')}"
        )
    except GaitError as error:
        if not arguments.trained:
            raise
        problems.append(str(error))
    if arguments.trained:
        from gait.report.run.build import build_run_report  # imports torch, matplotlib and more

        result = build_run_report(select_fields(arguments, RunSettings), show, gait_page)
        problems += result.problems
        if result.commands:
            done.append(f"Open a trial in the viewer: {result.commands[-1]}")
        done.append(f"{result.page}: run report")
    for line in dict.fromkeys(problems):
        print_err(f"missing: {line}")
    for line in done:
        print(f"{line}, in {time.perf_counter() - start:.0f} s" if line == done[-1] else line)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
