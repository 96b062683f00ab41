"""python benchmarks/fit_accuracy.py --json fit_accuracy.json

Accuracy of the fit: on recorded trials, against Plug-in Gait, and against the ground truth of synthetic subjects.
Default settings, the open body, no constraints file; all recordings of a subject are fitted together. Prints one JSON
object:

 * ``real``: per recorded trial ``residual_mm`` (mean over visible markers), ``max_frame_mean_mm``, ``offset_mm`` (mean
   placement offset of the anatomical markers), and the fraction of frames in which a knee or an elbow is
   hyperextended; ``real_worst`` sums up.
 * ``plug_in_gait``: hip, knee and ankle centres against those that the laboratory's model wrote into the recordings.
   ``knee_rmse_deg`` and ``knee_correlation`` compare the included knee angle, 180° − ∠(hip, knee, ankle), of both sets
   of centres: ``pooled`` over the samples of all trials and sides; ``mean``, ``worst`` and ``lowest`` over the legs of
   all trials, which are listed in ``sides``. ``centres_mm`` are mean distances. A rotated knee axis is visible in
   ``varus_range_deg`` and in ``varus_with_flexion``, the correlation of varus and flexion.
 * ``left_out_marker_mm``: with shape and marker offsets of the fit, each marker of a recorded trial is left out of the
   pose stage in turn; mean distance between predicted and observed position, over all markers and frames.
   ``left_out_marker`` has it by trial and by marker.
 * ``repeat_mm``: mean vertex distance in T-pose between the bodies of two trials of one subject and session, each
   fitted alone. ``repeat`` lists the pairs, including those with a static trial.
 * ``synthetic``: errors ``joints_mm`` (the 22 body joints) and ``vertices_mm`` against the ground truth, with a
   placement error of 10 mm; ``synthetic_no_placement_error`` without it. Both have 1 mm noise and 2 % gaps.
 * ``sigma_coverage``: fraction of the joint errors of ``synthetic`` (all joints, frames and subjects) that are within
   the ``joint_sigma`` of that joint and frame; nominally 0.68.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import BodyArguments, run
from error_vs_ground_truth import errors_vs_ground_truth
from fit_recorded_trials import fit_trials, trial_metrics, worst_metrics
from joint_centres_vs_plug_in_gait import compare_with_plug_in_gait
from leave_one_marker_out import left_out_marker_metrics
from recorded_trials import CAPTURES, captures_available, recorded_subjects
from shape_repeatability import repeatability_metrics
from synthetic_subjects import NO_PLACEMENT_ERROR, TYPICAL_ERRORS, subject_names

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.errors import GaitError


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: tuple[str, ...] | None = argument(None, "recorded subjects, by folder; all if None")
    healthy: int = argument(6, "healthy synthetic subjects")
    sick: int = argument(6, "synthetic subjects with a pathology; they cycle through the pathologies")
    trials: int = argument(2, "trials per synthetic subject")
    left_out_frames: int | None = argument(
        None, "frames of each recorded trial for which markers are left out; all if None"
    )
    threads: int = argument(2, "threads of torch")
    captures: Path = argument(CAPTURES, "folder of real recordings; without them, their metrics are skipped")


QUICK = {
    "subjects": ("CP01", "HC036A", "pig35_adult"),
    "left_out_frames": 40,
    "healthy": 1,
    "sick": 1,
    "trials": 1,
}


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    result: dict[str, Any] = {}
    if captures_available(args.captures, "recorded trials and Plug-in Gait are skipped"):
        result |= evaluate_recorded_trials(args, body)
    if names := subject_names(args.healthy, args.sick):
        result["synthetic"] = errors_vs_ground_truth(names, body, TYPICAL_ERRORS, trials=args.trials)
        result["sigma_coverage"] = result["synthetic"]["sigma_coverage"]
        result["synthetic_no_placement_error"] = errors_vs_ground_truth(
            names, body, NO_PLACEMENT_ERROR, trials=args.trials
        )
    return result


def evaluate_recorded_trials(args: Arguments, body: Body) -> dict[str, Any]:
    """Evaluate recorded trials: residuals, joint centres, left-out markers, repeatability of the shape."""
    subjects = {subject.name: subject for subject in recorded_subjects(args.captures)}
    wanted = args.subjects or tuple(subjects)
    if unknown := [name for name in wanted if name not in subjects]:
        raise GaitError(f"{args.captures}: no subject {', '.join(unknown)}; available: {', '.join(subjects)}.")
    trials = fit_trials([subjects[name] for name in wanted], args.captures, body)
    real = {trial.name: trial_metrics(trial) for trial in trials}
    hidden = left_out_marker_metrics(trials, body, frames=args.left_out_frames)
    repeat = repeatability_metrics(trials, body)
    return {
        "real": real,
        "real_worst": worst_metrics(real),
        "plug_in_gait": compare_with_plug_in_gait(trials),
        "left_out_marker_mm": hidden["mean"],
        "left_out_marker": hidden,
        "repeat_mm": repeat and repeat["mean"],
        "repeat": repeat,
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
