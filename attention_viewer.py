"""python attention_viewer.py --base_folder ./data/SUPR --model open_neutral.npz

Shows which joints and times drive the decision of a trained gait classifier. Without further flags it opens a window
in which trials and networks can be opened; beside a finished demo (demo_out) it shows its example. Without a screen:
--export DIR writes explanation.npz, explanation.csv, gait_cycle.csv and explanation.png (--all_methods: one folder
per method, and a comparison), and evidence.csv and evidence.json: whether the subject deviates from controls where the
network looks; --video FILE.mp4 renders a video; --screenshot FILE.png renders the window at one time;
--export_page FILE.html writes one page for any browser, in which the body moves. --export with --trained and --poses,
in place of --network and --gait, explains a whole cohort: each subject by the network that did not train on this
subject.
Exit code 0: everything was done; 1: some of it failed; 2: it could not start.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gait.cli.arguments import ArgumentError, argument, command_of, parse, select_fields
from gait.cli.exit_codes import EXIT_INTERRUPTED, print_err, run_main
from gait.explaining.options import EvidenceOptions, ExplainOptions, NetworkSource
from gait.report.run.example import find_example
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.run_viewer import ViewRequest, exit_immediately, run_viewer
from gait.viewing.viewer_arguments import ViewerArguments

if TYPE_CHECKING:
    from gait.explaining.evidence.export_evidence import SegmentEvidence


@dataclass(frozen=True, kw_only=True)
class Arguments(ViewerArguments, BodyModelLocator, ExplainOptions, EvidenceOptions, NetworkSource):
    """The command line: one trial and one network, or a cohort."""

    trial: Path | None = argument(
        None, "folder of a fitted trial, <healthy|sick>/<subject>/<trial>", flag="--gait", aliases=("--trial",),
        metavar="FOLDER",
    )  # fmt: skip
    trained: Path | None = argument(
        None, "save folder of a training; explains a whole cohort", aliases=("--training",), metavar="FOLDER"
    )
    poses: Path | None = argument(None, "save folder of the fit, with --trained", metavar="FOLDER")
    export: Path | None = argument(
        None, "write attributions and figures there; needs no screen", aliases=("--output",), metavar="DIR"
    )
    export_page: Path | None = argument(
        None, "write the moving body as one page for any browser; needs no screen", metavar="FILE.html"
    )
    export_pages: Path | None = argument(
        None,
        "with --trained and --poses: write one such page per trial and kind of network, and their index",
        metavar="DIR",
    )
    anonymous: bool = argument(False, "name no subject, file or folder on the page, and show a standard body")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.trained is None) != (self.poses is None):
            raise ArgumentError("--trained and --poses belong together: the trained networks and the trials to explain")
        if self.trained is not None and (self.network or self.trial or (self.all_methods and self.export)):
            raise ArgumentError(
                "--trained and --poses explain a cohort by one method; omit --network, --gait and --all_methods"
            )
        if self.trained is not None and self.export is None and self.export_pages is None:
            raise ArgumentError(
                "--trained and --poses write files; name a folder for them with --export or --export_pages"
            )
        if self.export_pages is not None and self.trained is None:
            raise ArgumentError("--export_pages shows a cohort; name it with --trained and --poses")
        if self.export is not None and self.trained is None and not (self.network and self.trial):
            raise ArgumentError("name a --network and a --gait, or --trained and --poses")
        if self.export_page is not None and self.trial is None:
            raise ArgumentError("--export_page shows a trial; name it with --gait")
        if self.anonymous and self.export_page is None and self.export_pages is None:
            raise ArgumentError("--anonymous belongs to --export_page and --export_pages")
        if self.method is not None and self.network is None and self.trained is None:
            raise ArgumentError("--method explains a network; name it with --network")


def main(arguments: Arguments) -> int:
    """Export explanations, or show them; return the exit code."""
    options, bodies = select_fields(arguments, ExplainOptions), select_fields(arguments, BodyModelLocator)
    if arguments.body_file is not None:
        bodies = replace(bodies, model_folder=arguments.body_file.parent, default_model=arguments.body_file.name)
    problems: tuple[str, ...] = ()
    known: SegmentEvidence | None = None
    if arguments.export is not None:
        if arguments.trained:
            lines, problems, notes = _export_cohort(arguments, arguments.export, options)
        else:
            lines, problems, notes, known = _export_trial(arguments, arguments.export, options, bodies)
        print("\n".join(lines))
        for line in (*problems, *notes):
            print_err(line)
    backend = FileBackend(bodies, select_fields(arguments, NetworkSource), options, arguments.norms)
    if arguments.export_page is not None:
        problems += _export_page(arguments, arguments.export_page, backend, known)
    if arguments.export_pages is not None:
        problems += _export_pages(arguments, arguments.export_pages, backend)
    if not (arguments.export or arguments.export_page or arguments.export_pages) or arguments.is_offscreen:
        trial, network = _opened(arguments)
        for line in run_viewer(ViewRequest(backend, trial, network, arguments.method, arguments)):
            print(line)
    return 1 if problems else 0


def _opened(arguments: Arguments) -> tuple[Path | None, Path | None]:
    """Return the trial and the network to open; those of the demo in this folder if neither is named."""
    if arguments.trial or arguments.network:
        return arguments.trial, arguments.network
    if (example := find_example()) is None:
        return None, None
    print(f"No --gait and no --network are named: {example.trial} and {example.network} of the demo are shown.")
    return example.trial, example.network


Lines = tuple[str, ...]


def _export_trial(
    arguments: Arguments, output: Path, options: ExplainOptions, bodies: BodyModelLocator
) -> tuple[Lines, Lines, Lines, SegmentEvidence | None]:
    """Return the results, the problems and the notes, and the evidence of a trial of one segment."""
    from gait.explaining.evidence.counterfactual import find_counterfactual  # a window needs none of these
    from gait.explaining.evidence.export_evidence import export_evidence
    from gait.explaining.export_trial import export_trial
    from gait.report.evidence.sentences import counterfactual_sentences
    from gait.report.evidence.terminal_summary import evidence_sentences
    from gait.report.evidence.write_page import PAGE_FILE as EVIDENCE_PAGE
    from gait.report.evidence.write_page import write_evidence_pages
    from gait.report.write_explanation_figures import summary_lines, write_explanation_figures

    assert arguments.trial is not None
    done = export_trial(arguments.load(), arguments.trial, output, options, {"command": command_of()})
    lines, notes = summary_lines(done), list[str]([*done.notes, *write_explanation_figures(done, bodies)])
    known: SegmentEvidence | None = None
    if not arguments.no_evidence:
        seek = None if arguments.no_counterfactual else find_counterfactual
        found = export_evidence(done, options, arguments.norms, find_counterfactual=seek)
        for each in found.evidence:
            lines += (*evidence_sentences(each), *counterfactual_sentences(each))
            lines += tuple(note for note in each.notes if note not in lines)
        notes += [*found.notes, *write_evidence_pages(found, bodies, arguments.export_page)]
        lines += tuple(f"written: {segment.folder / EVIDENCE_PAGE}" for segment in found.segments)
        known = found.segments[0] if len(found.segments) == len(done.segments) == 1 else None
    return lines, done.problems, tuple(notes), known


def _export_page(arguments: Arguments, file: Path, backend: FileBackend, known: SegmentEvidence | None) -> Lines:
    """Write the page of a trial, whose evidence may be known; return the problems."""
    from gait.report.walk_page.export import export_walk_page

    assert arguments.trial is not None
    network = arguments.load() if arguments.network else None
    problems = export_walk_page(
        file, backend, arguments.trial, network=network, beside=arguments.comparison, anonymous=arguments.anonymous,
        evidence=select_fields(arguments, EvidenceOptions), known=known,
    )  # fmt: skip
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")
    for line in problems:
        print_err(line)
    return problems


def _export_pages(arguments: Arguments, folder: Path, backend: FileBackend) -> Lines:
    """Return the problems."""
    from gait.report.walk_page.export_cohort import PageSettings, export_cohort_pages

    assert arguments.trained is not None
    assert arguments.poses is not None
    evidence = select_fields(arguments, EvidenceOptions)
    settings = PageSettings(
        arguments.trained, arguments.poses, folder, evidence, arguments.anonymous, arguments.comparison
    )
    pages = export_cohort_pages(settings, backend, print)
    print(f"{pages.index}: index of {pages.num_pages} pages")
    for line in pages.problems:
        print_err(line)
    return pages.problems


def _export_cohort(arguments: Arguments, output: Path, options: ExplainOptions) -> tuple[Lines, Lines, Lines]:
    from gait.explaining.cohort_paths import cohort_files, recurrence_file
    from gait.explaining.explain_cohort import explain_cohorts
    from gait.report.cohort_figure import cohort_sentences, cohort_title, write_cohort_figure

    assert arguments.trained is not None
    assert arguments.poses is not None
    evidence = select_fields(arguments, EvidenceOptions)
    cohorts, problems = explain_cohorts(arguments.trained, arguments.poses, options, output, evidence)
    lines: list[str] = []
    for cohort in cohorts:
        figure, _, _ = cohort_files(output, cohort.network)
        summary = write_cohort_figure(cohort, figure)
        lines += [": ".join(cohort_title(cohort)), *cohort_sentences(summary), f"written: {figure}"]
        if cohort.recurrences is not None:
            lines.append(f"written: {recurrence_file(output, cohort.network)}")
    return tuple(lines), tuple(problems), tuple(dict.fromkeys(note for cohort in cohorts for note in cohort.notes))


if __name__ == "__main__":
    code = run_main(lambda: main(parse(Arguments, __doc__)), "Interrupted; the files written so far are complete.")
    if code == EXIT_INTERRUPTED:
        exit_immediately(code)
    sys.exit(code)
