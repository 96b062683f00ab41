"""python benchmarks/synthetic_variety.py --json synthetic_variety.json

How much synthetic controls differ, beside real ones: the standard deviation between persons of each joint angle's mean
stride, and from stride to stride, of subjects with and without variety, beside the controls of ``../shared/curves`` and
of Pinzone 2014; the curves at five walking speeds beside Schwartz 2008's; and whether the bodies stay sane. Standard
deviations are root mean squares over the gait cycle, in degrees; ``without_offset`` leaves out each person's mean. The
real curves contain errors of marker placement, the synthetic ones are of the true poses. Prints one JSON object;
--quick simulates few subjects.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import BodyArguments, run, worker_map
from curve_persons import CURVES

from gait.arrays import interpolate_frames
from gait.body.body import Body
from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.kinematics.joint_angles import compute_joint_angles
from gait.kinematics.norms import GDI_ANGLES, read_angle_norm
from gait.kinematics.published_speed_change import MIDDLE_SPEEDS
from gait.synthetic import SyntheticTrial, make_subject, make_trial, vary_subject
from gait.synthetic.trial import pose_tensors

FIRST_SEED = 1000
MIN_RATIO = 0.7
"""Of the standard deviation between persons to that of real controls."""
FLOOR_M = (-0.003, 0.003)  # of the lowest point of the body in each frame
KNEE_DEG = (0.0, 85.0)
SIDES = ("left", "right")
LOADING, SWING = slice(5, 25), slice(60, 90)  # percent of the gait cycle


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    controls: int = argument(42, "synthetic controls", metavar="N")
    curves: Path = argument(CURVES, "angle curves of real controls; left out if there is no such file")
    seconds: float = argument(5.0, "length of each walk at a usual pace")
    workers: int = argument(2, "processes", metavar="N")


QUICK = {"controls": 3, "seconds": 3.0, "workers": 1}


@dataclass(frozen=True, eq=False)
class Walk:
    """The strides of one person at one speed."""

    strides: Mapping[tuple[str, str], Any]  # by angle and side: (strides, 101) degrees
    dimensionless_speed: float
    floor_m: tuple[float, float]  # least and greatest height of the body's lowest point

    def mean(self, angle: str, side: str) -> Any:
        """Return the mean stride (101,)."""
        return self.strides[angle, side].mean(axis=0)


@cache
def read_body(model: Path) -> Body:
    torch.set_num_threads(1)
    return load_body(model)


def walk(seed: int, variety: bool, speed: float | None, seconds: float, model: Path) -> Walk:
    """Simulate an adult control at a dimensionless speed, or at its own."""
    body = read_body(model)
    subject = make_subject(body, seed, adult=True)
    subject = vary_subject(subject) if variety else subject
    if speed is not None:
        subject = subject.at_own_pace(speed / subject.dimensionless_speed)
    slow = max(1.0, 0.43 / subject.dimensionless_speed) ** 0.5  # a slow person's strides last longer
    trial = make_trial(body, subject, seconds=seconds * slow, seed=1)
    angles = compute_joint_angles(trial.ground_truth).degrees
    strides = {}
    for side in SIDES:
        contacts = [100 * e.time_s for e in trial.events if (e.label, e.side) == ("Foot Strike", side)]
        for angle in GDI_ANGLES:
            cut = [np.linspace(a, b, 101) for a, b in pairwise(contacts)]
            strides[angle, side] = np.array([interpolate_frames(angles[angle, side], frames) for frames in cut])
    return Walk(strides, subject.dimensionless_speed, lowest_m(trial, body))


def lowest_m(trial: SyntheticTrial, body: Body) -> tuple[float, float]:
    """Return the least and the greatest height of the body's lowest point, in every fifth frame."""
    poses, betas, translation = pose_tensors(trial.ground_truth, body)
    with torch.inference_mode():
        parts = zip(poses[::5].split(50), translation[::5].split(50), strict=True)
        lowest = torch.cat([body(pose, betas, path).vertices[..., 1].amin(dim=1) for pose, path in parts])
    return float(lowest.min()), float(lowest.max())


def spread(curves: Any) -> dict[str, float]:
    """Return the standard deviation between persons of curves (N, 101), with and without each person's mean."""
    centred = curves - curves.mean(axis=1, keepdims=True)
    return {
        "sd": float(np.sqrt(curves.var(axis=0, ddof=1).mean())),
        "without_offset": float(np.sqrt(centred.var(axis=0, ddof=1).mean())),
    }


def between_persons(walks: Sequence[Walk], angle: str) -> dict[str, float]:
    """Return the spread of an angle, mean of both sides."""
    found = [spread(np.array([walk.mean(angle, side) for walk in walks])) for side in SIDES]
    return {key: float(np.mean([each[key] for each in found])) for key in found[0]}


def from_stride_to_stride(walks: Sequence[Walk], angle: str) -> float:
    """Return the standard deviation of an angle between the strides of one person."""
    variances = [walk.strides[angle, side].var(axis=0, ddof=1).mean() for walk in walks for side in SIDES]
    return float(np.sqrt(np.mean(variances)))


def real_controls(path: Path) -> dict[str, dict[str, float]] | None:
    """Return the spread of each angle between the real controls; None if they are not there."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as archive:
        controls = np.char.startswith(archive["session"], "control")
        curves = archive["angles_deg"][controls].astype(np.float64)  # (N, 18, 101): nine angles left, then right
    result = {}
    for k, angle in enumerate(GDI_ANGLES):
        left, right = spread(curves[:, k]), spread(curves[:, k + len(GDI_ANGLES)])
        result[angle] = {key: (left[key] + right[key]) / 2 for key in left}
    return result


def published_sd(name: str) -> dict[str, float]:
    """Return the standard deviation between persons of each angle of a published norm."""
    norm = read_angle_norm(name).at_speed(None)
    assert norm is not None
    return {angle: float(np.sqrt((sd**2).mean())) for angle, sd in norm.sd_deg.items()}


def knee_features(curve: Any) -> dict[str, float]:
    """Return what changes most with speed in a knee curve (101,): degrees."""
    return {
        "loading_flexion": float(curve[LOADING].max() - curve[0]),
        "swing_peak": float(curve[SWING].max()),
        "range": float(np.ptp(curve)),
    }


def by_speed(walks: Mapping[float, Sequence[Walk]]) -> list[dict[str, Any]]:
    """Compare the controls' mean curves with Schwartz 2008's in each band.

    ``change_rms`` compares the changes against the band of self-chosen speed, which depend on neither the convention
    nor the persons' age.
    """
    norm = read_angle_norm("schwartz2008")
    mean = {
        speed: {a: np.mean([w.mean(a, side) for w in persons for side in SIDES], axis=0) for a in GDI_ANGLES}
        for speed, persons in walks.items()
    }
    published = {speed: norm.at_speed(speed).mean_deg for speed in walks}  # type: ignore[union-attr]
    own = norm.typical_speed
    assert own is not None
    rows = []
    for speed in walks:
        sagittal = ("hip_flexion", "knee_flexion", "ankle_dorsiflexion")
        changes = {a: (mean[speed][a] - mean[own][a], published[speed][a] - published[own][a]) for a in sagittal}
        rows.append(
            {
                "dimensionless_speed": speed,
                "knee": knee_features(mean[speed]["knee_flexion"]),
                "knee_schwartz_2008": knee_features(published[speed]["knee_flexion"]),
                "hip_range": float(np.ptp(mean[speed]["hip_flexion"])),
                "hip_range_schwartz_2008": float(np.ptp(published[speed]["hip_flexion"])),
                "change_rms": {a: float(np.sqrt(((x - y) ** 2).mean())) for a, (x, y) in changes.items()},
                "published_change_rms": {a: float(np.sqrt((y**2).mean())) for a, (_, y) in changes.items()},
            }
        )
    return rows


def main(args: Arguments) -> dict[str, Any]:
    seeds = range(FIRST_SEED, FIRST_SEED + args.controls)
    with worker_map(args.workers) as simulate:
        plain, varied = (
            list(simulate(partial(walk, variety=variety, speed=None, seconds=args.seconds, model=args.model), seeds))
            for variety in (False, True)
        )
        paced = {
            speed: list(
                simulate(partial(walk, variety=True, speed=speed, seconds=args.seconds, model=args.model), seeds)
            )
            for speed in MIDDLE_SPEEDS
        }
    real = real_controls(args.curves)
    published = {name: published_sd(name) for name in ("pinzone2014_centre1", "pinzone2014_centre2")}
    angles: dict[str, Any] = {}
    failures = []
    for angle in GDI_ANGLES:
        row: dict[str, Any] = {
            "varied": between_persons(varied, angle),
            "not_varied": between_persons(plain, angle),
            "stride_to_stride_varied": from_stride_to_stride(varied, angle),
            "stride_to_stride_not_varied": from_stride_to_stride(plain, angle),
            "real_controls": real[angle] if real else None,
            "pinzone_2014": {name: sds.get(angle) for name, sds in published.items()},
        }
        if real:
            row["ratio"] = row["varied"]["sd"] / real[angle]["sd"]
            if row["ratio"] < MIN_RATIO:
                failures.append(f"{angle}: {row['ratio']:.2f} times the real standard deviation")
        angles[angle] = row
    everyone = [*varied, *(each for walks in paced.values() for each in walks)]
    floor = min(each.floor_m[0] for each in everyone), max(each.floor_m[1] for each in everyone)
    knees = np.concatenate([each.strides["knee_flexion", side].ravel() for each in everyone for side in SIDES])
    if floor[0] < FLOOR_M[0] or floor[1] > FLOOR_M[1]:
        failures.append(f"lowest points from {1000 * floor[0]:.1f} to {1000 * floor[1]:.1f} mm")
    if knees.min() < KNEE_DEG[0] or knees.max() > KNEE_DEG[1]:
        failures.append(f"knee flexion from {knees.min():.0f} to {knees.max():.0f} degrees")
    return {
        "controls": args.controls,
        "between_persons_deg": angles,
        "by_speed": by_speed(paced),
        "lowest_point_mm": [1000 * height for height in floor],
        "knee_flexion_deg": [float(knees.min()), float(knees.max())],
        "walks_checked": len(everyone),
        "skipped": [] if real else [f"{args.curves.name}: not there, no comparison with real controls"],
        "failures": [] if args.quick else failures,
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
