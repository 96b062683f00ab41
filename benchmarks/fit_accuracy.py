"""python benchmarks/fit_accuracy.py --json fit_accuracy.json

How well a fit follows real people, the clinic's own model, and walkers whose truth is known. Default settings, the open
body, no constraint file; all recordings of a person are fitted together. Prints one JSON object:

 * ``real``: every walk with ``residual_mm`` (mean over seen markers), ``max_frame_mean_mm``, ``offset_mm`` (mean of the
   anatomical markers) and the share of frames in which a knee or an elbow bends the wrong way; ``real_worst`` sums up.
 * ``plug_in_gait``: hip, knee and ankle centres against those that the laboratory's model wrote into the recordings.
   ``knee_rmse_deg`` and ``knee_correlation`` are of the knee angle, 180° − ∠(hip, knee, ankle), of their centres and of
   the fitted body's: ``pooled`` takes the samples of all walks and sides together; ``mean``, ``worst`` and ``lowest``
   are over the legs of all walks, which stand in ``sides`` one by one. ``centres_mm`` are mean distances. A knee axis
   that is turned shows in ``varus_range_deg``, theirs and ours, and ``varus_with_flexion``, its correlation.
 * ``hidden_marker_mm``: shape and placements known from the fit, each marker of a real walk is hidden in turn from the
   pose stage; mean distance at which the body then has it, over all markers and frames. ``hidden_marker`` has it by
   walk and by marker.
 * ``repeat_mm``: two walks of one person and visit, each fitted alone: mean vertex distance of the bodies in T-pose.
   ``repeat`` has the pairs one by one, those with a static trial too.
 * ``synthetic``: ``joints_mm`` (the 22 body joints) and ``vertices_mm`` against the truth, with markers placed by hand
   (10 mm); ``synthetic_placed_exactly`` the same without placement error. Both have 1 mm noise and 2 % gaps.
 * ``confidence_coverage``: share of the joint errors of ``synthetic`` (all joints, frames and walkers) that are within
   the figure ``joints_sigma`` of that joint and frame; 0.68 is what it promises.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench_args import benchmark_parser, values
from bench_output import made_by, publish
from error_vs_ground_truth import distance_to_truth
from fit_recorded_trials import fit_walks, walk_figures, worst_figures
from joint_centres_vs_plug_in_gait import compared_with_the_clinic
from leave_one_marker_out import hidden_marker_figures
from recorded_trials import CAPTURES, MODEL, recorded_persons, there_or_told
from shape_repeatability import repeat_figures
from synthetic_subjects import PLACED_BY_HAND, PLACED_EXACTLY, walker_names

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.errors import GaitError


@dataclass(frozen=True)
class Arguments:
    """Of the command line."""

    persons: tuple[str, ...] | None = None
    """Real persons, by folder; everybody if None."""
    healthy: int = 6
    """Synthetic walkers without a disorder."""
    ill: int = 6
    """Synthetic walkers with one, each disorder in turn."""
    walks: int = 2
    """Of each synthetic walker."""
    hidden_frames: int | None = None
    """Of each real walk in which markers are hidden; all if None."""
    threads: int = 2
    """That torch uses."""
    model: Path = MODEL
    """Body model file."""
    captures: Path = CAPTURES
    """Real recordings; what needs them is left out where they are missing."""
    json: Path | None = None
    """File for the result."""


QUICK: dict[str, Any] = {
    "persons": ("CP01", "HC036A", "pig35_adult"),
    "hidden_frames": 40,
    "healthy": 1,
    "ill": 1,
    "walks": 1,
}
"""What ``--quick`` changes: fewer people and frames."""


def main(args: Arguments) -> None:
    torch.set_num_threads(args.threads)
    body = load_body(args.model)
    result: dict[str, Any] = {}
    if there_or_told(args.captures, "real walks and the clinic's own answer are left out"):
        result |= on_real_walks(args, body)
    if names := walker_names(args.healthy, args.ill):
        result["synthetic"] = distance_to_truth(names, body, PLACED_BY_HAND, walks=args.walks)
        result["confidence_coverage"] = result["synthetic"]["confidence_coverage"]
        result["synthetic_placed_exactly"] = distance_to_truth(names, body, PLACED_EXACTLY, walks=args.walks)
    result["made_by"] = made_by(args, body)
    publish(result, args.json)


def on_real_walks(args: Arguments, body: Body) -> dict[str, Any]:
    """Residuals of the real walks, their joint centres beside the clinic's, hidden markers and repeated shapes."""
    persons = {person.name: person for person in recorded_persons(args.captures)}
    wanted = args.persons or tuple(persons)
    if unknown := [name for name in wanted if name not in persons]:
        raise GaitError(f"{args.captures}: nobody is called {', '.join(unknown)}; there are {', '.join(persons)}.")
    walks = fit_walks([persons[name] for name in wanted], args.captures, body)
    real = {walk.name: walk_figures(walk, body) for walk in walks}
    hidden = hidden_marker_figures(walks, body, frames=args.hidden_frames)
    repeat = repeat_figures(walks, body)
    return {
        "real": real,
        "real_worst": worst_figures(real),
        "plug_in_gait": compared_with_the_clinic(walks),
        "hidden_marker_mm": hidden["mean"],
        "hidden_marker": hidden,
        "repeat_mm": repeat and repeat["mean"],
        "repeat": repeat,
    }


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line."""
    parser = benchmark_parser("How well fits follow real and synthetic walkers, as JSON.", "fewer people and frames")
    parser.add_argument("--persons", nargs="+", help="real persons by folder; everybody by default")
    parser.add_argument("--healthy", type=int, help="synthetic walkers without a disorder")
    parser.add_argument("--ill", type=int, help="synthetic walkers with one, each disorder in turn")
    parser.add_argument("--walks", type=int, help="of each synthetic walker")
    parser.add_argument(
        "--hidden_frames", type=int, help="of each real walk in which markers are hidden; all by default"
    )
    parser.add_argument("--threads", type=int, help="that torch uses")
    parser.add_argument("--model", type=Path, help="body model file")
    parser.add_argument("--captures", type=Path, help="folder of real recordings")
    return Arguments(**values(parser, words, QUICK))


if __name__ == "__main__":
    try:
        main(parse_arguments())
    except GaitError as error:
        sys.exit(str(error))
