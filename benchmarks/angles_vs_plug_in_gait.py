"""python benchmarks/angles_vs_plug_in_gait.py --json angles.json

Joint angles of the fitted body against those that Plug-in Gait wrote into the recordings, over all frames in which the
subject walks and that have both. Default settings, the open body; all recordings of a subject are fitted together.
Prints one JSON object:

 * ``straight_walks``: the trials that count; ``legs``: how many legs of them have each angle.
 * ``median_of_legs``: per angle the median over these legs of ``rmse_deg``, of ``rmse_without_offset_deg`` (the mean
   difference of each leg removed), of the size of the offset, and of the correlation.
 * ``trials``: the same by trial, angle and side, with the sign of the offset: ours minus Plug-in Gait's.
 * ``apart``: the same of stairs and turns, which are in no median.

Agreement, not accuracy: Plug-in Gait takes the sliding of the knee's and the thigh's markers on the skin for motion,
and its knee axis is as good as the wand or device that set it. Its ankle inversion follows from the ankle's rotation,
as two markers do not show the foot's frontal plane; it is listed, and says nothing about ours.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import BodyArguments, run
from fit_recorded_trials import FittedTrial, fit_trials
from numpy.typing import NDArray
from recorded_trials import CAPTURES, captures_available, laboratory_angles, plug_in_gait_subjects

from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import ANGLES, compute_joint_angles
from gait.kinematics.walking import Activity, find_activity

APART = ("stairs", "turn")
"""Words in the names of trials that are no straight walks."""
_MIN_FRAMES = 10


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    subjects: tuple[str, ...] | None = argument(None, "recorded subjects, by name; all if None")
    captures: Path = argument(CAPTURES, "folder of real recordings")


QUICK = {"subjects": ("HC030A", "lowerbody_clinic")}


@dataclass(frozen=True)
class AngleComparison:
    """One angle of one leg of a trial against Plug-in Gait's."""

    trial: str
    side: str
    name: str
    rmse_deg: float
    rmse_without_offset_deg: float
    offset_deg: float  # ours minus Plug-in Gait's
    correlation: float
    frames: int


def main(args: Arguments) -> dict[str, Any]:
    if not captures_available(args.captures, "nothing is measured"):
        return {}
    subjects = [
        subject
        for subject in plug_in_gait_subjects(args.captures)
        if args.subjects is None or subject.name in args.subjects
    ]
    rows = compare_angles(fit_trials(subjects, args.captures, load_body(args.model)))
    apart = [row for row in rows if any(word in row.trial for word in APART)]
    straight = [row for row in rows if row not in apart]
    return {
        "straight_walks": sorted({row.trial for row in straight}),
        "legs": {name: len(found) for name, found in _by_name(straight).items()},
        "median_of_legs": {name: _medians(found) for name, found in _by_name(straight).items()},
        "trials": _by_trial(straight),
        "apart": _by_trial(apart),
    }


def compare_angles(trials: Iterable[FittedTrial]) -> list[AngleComparison]:
    """Compare all angles that the recordings have with those of the fits."""
    rows = []
    for trial in trials:
        recording = trial.trial_fit.recording
        for sequence in trial.trial_fit.pose_sequences:
            ours = compute_joint_angles(sequence)
            walks = np.flatnonzero(find_activity(sequence.joints_m, sequence.rate_hz) == Activity.WALKING)
            frames = sequence.first_frame - recording.first_frame + walks
            for angle in ANGLES:
                for side in SIDES:
                    theirs = laboratory_angles(recording.path, angle.output, side)
                    if theirs is not None:
                        found, wanted = ours[angle.name, side][walks], theirs[frames, angle.component]
                        row = _compare(trial.name, side, angle.name, found, wanted)
                        rows += [] if row is None else [row]
    return rows


def _compare(
    trial: str, side: str, name: str, ours: NDArray[np.float64], theirs: NDArray[np.float64]
) -> AngleComparison | None:
    away = (ours - theirs + 180) % 360 - 180
    known = np.isfinite(away)
    if known.sum() < _MIN_FRAMES:
        print(f"{trial}: {side} {name}: {known.sum()} frames to compare", file=sys.stderr)
        return None
    away = away[known]
    return AngleComparison(
        trial=trial,
        side=side,
        name=name,
        rmse_deg=float(np.sqrt((away**2).mean())),
        rmse_without_offset_deg=float(away.std()),
        offset_deg=float(away.mean()),
        correlation=float(np.corrcoef(ours[known], theirs[known])[0, 1]),
        frames=int(known.sum()),
    )


def _by_name(rows: Sequence[AngleComparison]) -> dict[str, list[AngleComparison]]:
    names = [angle.name for angle in ANGLES if any(row.name == angle.name for row in rows)]
    return {name: [row for row in rows if row.name == name] for name in names}


def _medians(rows: Sequence[AngleComparison]) -> dict[str, float]:
    return {
        "rmse_deg": float(np.median([row.rmse_deg for row in rows])),
        "rmse_without_offset_deg": float(np.median([row.rmse_without_offset_deg for row in rows])),
        "offset_size_deg": float(np.median([abs(row.offset_deg) for row in rows])),
        "correlation": float(np.median([row.correlation for row in rows])),
    }


def _by_trial(rows: Sequence[AngleComparison]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in rows:
        found.setdefault(row.trial, {}).setdefault(row.name, {})[row.side] = {
            "rmse_deg": row.rmse_deg,
            "rmse_without_offset_deg": row.rmse_without_offset_deg,
            "offset_deg": row.offset_deg,
            "correlation": row.correlation,
            "frames": row.frames,
        }
    return found


if __name__ == "__main__":
    raise SystemExit(run(main, Arguments, __doc__, QUICK))
