"""python benchmarks/report_speed.py --json report_speed.json

Speed of the gait pages: synthetic subjects are fitted, each is copied several times, and ``python -m gait.report``
writes pages and tables of all of them, beside a published norm. Prints one JSON object:

 * ``seconds_per_trial``: duration of the command on ``workers`` processes, by trial; start of the processes included.
 * ``processor_seconds_per_trial``: processor time of the same on one process, on which other load has little effect;
   on two cores a trial takes half of it.
 * ``own_controls``: the same two numbers if the controls among the subjects are the norm.
 * ``kilobytes_per_trial``: size of pages and tables.
 * ``failures``: problems that the command reports.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from benchmark import BodyArguments, run
from synthetic_subjects import TYPICAL_ERRORS, subject_names

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings
from gait.cohort.fit_subject import fit_subject
from gait.report.gait.build import GaitPageSettings, build_gait_pages
from gait.synthetic.cohort import parse_subject_name
from gait.synthetic.recording_files import write_recording
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: int = argument(12, "fitted subjects, half of them healthy")
    trials: int = argument(2, "trials of each")
    copies: int = argument(9, "copies of each subject")
    seconds: float = argument(4.5, "duration of a trial")
    workers: int = argument(2, "processes")


QUICK = {"subjects": 2, "trials": 1, "copies": 8, "seconds": 2.4}
MIN_CONTROLS = 12


def main(args: Arguments) -> dict[str, Any]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fit_subjects(folder, args)
        poses, export = folder / "optimized", folder / "pages"
        result = measure(GaitPageSettings(poses=poses, export=export, norms=("schwartz2008",), workers=args.workers))
        size = sum(path.stat().st_size for path in export.rglob("*") if path.is_file())
        num_trials = args.subjects * args.trials * args.copies
        own = None
        if args.subjects // 2 * args.copies >= MIN_CONTROLS:
            own = measure(GaitPageSettings(poses=poses, export=export, norms=(str(poses),), workers=args.workers))
    return {
        **result,
        "own_controls": own,
        "kilobytes_per_trial": size / 1e3 / num_trials,
        "trials": num_trials,
        "failures": [*result["failures"], *(own["failures"] if own else ())],
    }


def fit_subjects(folder: Path, args: Arguments) -> None:
    """Simulate, fit and copy the subjects into ``folder / "optimized"``."""
    body = load_body(args.model)
    layout = plug_in_gait_layout(body)
    settings = FitSettings(args.model.parents[1], folder / "optimized", figures=False)
    for name in subject_names(args.subjects - args.subjects // 2, args.subjects // 2):
        spec = parse_subject_name(name)
        subject = make_subject(body, spec.seed)
        paths = []
        for seed in range(1, args.trials + 1):
            trial = make_trial(body, subject, spec.pathology, seconds=args.seconds, seed=seed)
            paths.append(folder / "recordings" / name / f"walk{seed}.c3d")
            write_recording(trial, body, layout, paths[-1], errors=TYPICAL_ERRORS)
        entry = Subject(name, tuple(paths), spec.pathology is None, model_file=args.model.name)
        for outcome in fit_subject(entry, settings):
            if outcome.state != "fitted":
                raise RuntimeError(outcome.message)
    for subject_folder in sorted((folder / "optimized").glob("*/*")):
        for copy in range(1, args.copies):
            shutil.copytree(subject_folder, subject_folder.with_name(f"{subject_folder.name}_copy{copy}"))


def measure(settings: GaitPageSettings) -> dict[str, Any]:
    """Write pages and tables; return the time by trial, and what the command reports."""
    start = time.perf_counter()
    result = build_gait_pages(settings, lambda line: None)
    seconds = time.perf_counter() - start
    start = time.process_time()
    build_gait_pages(replace(settings, workers=1), lambda line: None)
    return {
        "seconds_per_trial": seconds / result.num_trials,
        "processor_seconds_per_trial": (time.process_time() - start) / result.num_trials,
        "failures": list(result.problems),
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__ or "", QUICK))
