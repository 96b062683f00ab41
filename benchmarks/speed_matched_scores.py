"""python benchmarks/speed_matched_scores.py --json speed_matched_scores.json

GPS of synthetic controls who walk at 60 % of their own speed, against a norm by walking speed from other synthetic
controls at four paces, and against the same controls at their own pace; and how many new controls' whole curves lie
inside the bands, by the number of persons in the norm. All angles are of the true poses. ``real_controls`` has the GPS
of real controls (``../shared/curves``), each against the others, as they are and changed as slow walking changes
published curves. Prints one JSON object; --quick simulates few subjects.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark import BodyArguments, run, worker_map
from curve_persons import CURVES, read_sessions
from scipy.spatial.transform import Rotation

from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.cli.arguments import ArgumentError, argument
from gait.kinematics.controls import control_curves
from gait.kinematics.gait_events import SIDES
from gait.kinematics.norms import GDI_ANGLES, NormCurves, read_angle_norm
from gait.kinematics.scores import gait_profile, split_by_speed
from gait.kinematics.speed_norm import ControlCurves, SpeedNorm, fit_speed_norm, reference_range
from gait.kinematics.strides import stride_curves
from gait.kinematics.trial_analysis import analyse_subject, analyse_trial
from gait.synthetic import SyntheticTrial, make_subject, make_trial

ANGLES = ("joint_rotations", "plug_in_gait")
"""Angles of the joints' own rotations, which do not depend on landmarks, and those that a laboratory reads."""
OWN_PACE = 1.0
SLOW = 0.6  # of the subjects who are scored
FIRST_SEED = 1000
MIN_SHARES = {
    ("joint_rotations", "gps"): 0.5,
    ("joint_rotations", "gps_without_offsets"): 0.95,
    ("plug_in_gait", "gps_without_offsets"): 0.95,
}
"""Of the subjects who must be inside the range of speed-matched controls and outside that of controls at their own
pace."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    controls: int = argument(40, "controls of the norm", metavar="N")
    subjects: int = argument(60, "further controls, who are scored", metavar="N")
    persons: tuple[int, ...] = argument((10, 15, 20, 40), "controls of the norms whose bands are tested", nargs="+")
    draws: int = argument(10, "norms of random controls for each of these numbers", metavar="N")
    paces: tuple[float, ...] = argument((0.5, 0.7, 1.0, 1.15), "of the controls, times their own", nargs="+")
    seconds: float = argument(6.0, "length of each walk")
    workers: int = argument(2, "processes", metavar="N")
    curves: Path = argument(CURVES, "file of real persons' curves")

    def __post_init__(self) -> None:
        if OWN_PACE not in self.paces:
            raise ArgumentError(f"--paces must contain {OWN_PACE:g}, the own pace")


QUICK = {
    "controls": 10,
    "subjects": 2,
    "persons": (10,),
    "draws": 1,
    "paces": (0.5, OWN_PACE),
    "seconds": 5.0,
    "workers": 1,
}


def walk(seed: int, paces: Sequence[float], seconds: float, model: Any) -> dict[str, tuple[ControlCurves, ...]]:
    """Return a synthetic adult's curves at these multiples of the own speed, by kind of angle."""
    torch.set_num_threads(1)
    body = load_body(model)
    subject = make_subject(body, seed, adult=True)
    found: dict[str, list[ControlCurves]] = {kind: [] for kind in ANGLES}
    for pace in paces:
        simulated = make_trial(body, subject.at_own_pace(pace), seconds=seconds, seed=1)
        trial = analyse_trial(simulated.ground_truth, subject=f"P{seed}", trial="walk")
        (own,) = control_curves([analyse_subject([trial])])
        found["plug_in_gait"].append(replace(own, curves={k: c for k, c in own.curves.items() if k[0] in GDI_ANGLES}))
        rotations = stride_curves(trial.curves.strides, rotation_angles(simulated))
        means = {key: rotations.mean(*key) for key in rotations.curves}
        found["joint_rotations"].append(replace(own, curves=means))
    return {kind: tuple(walks) for kind, walks in found.items()}


def rotation_angles(trial: SyntheticTrial) -> dict[tuple[str, str], Any]:
    """Return Cardan angles (T,) in degrees of the joints' own rotations, by name and side, without any landmark."""
    local, world = trial.ground_truth.local_rotations, trial.ground_truth.world_rotations
    assert local is not None
    assert world is not None
    ahead = Rotation.from_euler("y", -trial.heading_rad)
    turn, obliquity, tilt = (ahead * Rotation.from_matrix(world[:, Joint.PELVIS])).as_euler("YZX", degrees=True).T
    found: dict[tuple[str, str], Any] = {}
    for side, sign in (("left", 1), ("right", -1)):
        hip, knee, ankle = (
            Rotation.from_matrix(local[:, Joint[f"{side.upper()}_{name}"]]).as_euler("XZY", degrees=True).T
            for name in ("HIP", "KNEE", "ANKLE")
        )
        foot = (ahead * Rotation.from_matrix(world[:, Joint[f"{side.upper()}_ANKLE"]])).apply([0, 0, 1])
        progression = np.degrees(np.arctan2(foot[:, 0], foot[:, 2]))
        values = (tilt, sign * obliquity, -sign * turn, -hip[0], -sign * hip[1], -sign * hip[2], knee[0], -ankle[0])
        found |= {(angle, side): value for angle, value in zip(GDI_ANGLES, (*values, -sign * progression), strict=True)}
    return found


def share_inside(norm: SpeedNorm, persons: Sequence[ControlCurves], band: str) -> float:
    """Return the share of whole curves, of all angles and both sides, that lie inside a band at their speed."""
    inside: list[bool] = []
    for person in persons:
        found = norm.at_speed(person.dimensionless_speed)
        if found is not None:
            inside += [
                bool(((curve >= low) & (curve <= high)).all())
                for (angle, _), curve in person.curves.items()
                if angle in found.mean_deg and np.isfinite(curve).all()
                for low, high in [limits(found, angle, band)]
            ]
    return float(np.mean(inside))


def limits(found: NormCurves, angle: str, band: str) -> tuple[Any, Any]:
    """Return the lower and upper limits (101,) of the simultaneous band, or of a pointwise one for 95 %."""
    if band == "simultaneous":
        return found.low_deg[angle], found.high_deg[angle]
    mean, half = found.mean_deg[angle], 1.96 * found.sd_deg[angle]
    return mean - half, mean + half


def scores(
    controls: Sequence[ControlCurves], slow: Sequence[ControlCurves], own: Sequence[ControlCurves]
) -> dict[str, Any]:
    """Compare the GPS of slow subjects with speed-matched controls, and with those at their own pace, as ``own`` is."""
    norm = fit_speed_norm(controls, resamples=1)
    typical = norm.at_speed(norm.typical_speed)
    assert typical is not None
    own_profiles = [gait_profile(walk.curves, typical) for walk in own]
    found = [(split_by_speed(person.curves, norm, person.dimensionless_speed), person) for person in slow]
    covered = [(split, person.dimensionless_speed) for split, person in found if split is not None]
    result: dict[str, Any] = {
        "controls": len({control.person for control in controls}),
        "subjects": len(slow),
        "beyond_the_norms_speeds": len(slow) - len(covered),
    }
    for name, without_offsets in (("gps", False), ("gps_without_offsets", True)):
        _, own_limit = norm.gps_range(without_offsets=without_offsets)
        matched_limits = np.array(
            [norm.gps_range(speed=speed, without_offsets=without_offsets)[1] for _, speed in covered]
        )
        everything = [
            own_profiles,
            *zip(*((split.total, split.explained, split.beyond) for split, _ in covered), strict=True),
        ]
        before, total, explained, beyond = (
            np.array(
                [(each.gps_without_offsets_deg if without_offsets else each.gps_deg)["overall"] for each in profiles]
            )
            for profiles in everything
        )
        inside, outside = beyond <= matched_limits, total > own_limit
        result[name] = {
            "limit_at_own_pace_deg": own_limit,
            "limit_speed_matched_deg": matched_limits.mean(),
            "same_subjects_at_own_pace_deg": {"mean": before.mean(), "sd": before.std()},
            "against_own_pace_deg": {"mean": total.mean(), "sd": total.std()},
            "explained_by_speed_deg": {"mean": explained.mean(), "sd": explained.std()},
            "against_speed_matched_deg": {"mean": beyond.mean(), "sd": beyond.std()},
            "inside_speed_matched": inside.mean(),
            "outside_own_pace": outside.mean(),
            "both": (inside & outside).mean(),
        }
    return result


def real_controls(path: Path) -> dict[str, Any] | None:
    """Score real controls against the others, as they are and as if they walked at 60 % of their speed.

    They then change as the mean curves of Schwartz 2008 do between the free and the slower walk. None without the file.
    """
    if not path.exists():
        return None
    published = read_angle_norm("schwartz2008")
    assert published.typical_speed is not None
    own_pace, slower = (published.at_speed(pace * published.typical_speed) for pace in (OWN_PACE, SLOW))
    assert own_pace is not None
    assert slower is not None
    change = {angle: slower.mean_deg[angle] - own_pace.mean_deg[angle] for angle in GDI_ANGLES}
    controls = [session.by_channel for session in read_sessions(path) if not session.sick]
    found: dict[str, list[Any]] = {"own": [], "slow": []}
    for k, curves in enumerate(controls):
        others = [control for j, control in enumerate(controls) if j != k]
        both = {a: np.mean([[each[a, side] for side in SIDES] for each in others], axis=(0, 1)) for a in GDI_ANGLES}
        norm = replace(own_pace, mean_deg=both)
        found["own"].append(gait_profile(curves, norm))
        found["slow"].append(gait_profile({key: curve + change[key[0]] for key, curve in curves.items()}, norm))
    result: dict[str, Any] = {"controls": len(controls)}
    for name, attribute in (("gps", "gps_deg"), ("gps_without_offsets", "gps_without_offsets_deg")):
        own, slow = (np.array([getattr(each, attribute)["overall"] for each in found[key]]) for key in ("own", "slow"))
        limit = reference_range(own)[1]
        result[name] = {
            "own_pace_deg": {"mean": own.mean(), "sd": own.std()},
            "limit_at_own_pace_deg": limit,
            "slow_deg": {"mean": slow.mean(), "sd": slow.std()},
            "outside_own_pace": float((slow > limit).mean()),
        }
    return result


def coverage(
    everyone: Sequence[Sequence[ControlCurves]], count: int, draws: int, random: np.random.Generator
) -> dict[str, float]:
    """Draw norms of ``count`` persons, one pace each, and count the curves of the other persons inside their bands."""
    inside: dict[str, list[float]] = {"simultaneous": [], "pointwise": []}
    for draw in range(draws):
        order = random.permutation(len(everyone))
        walks = [everyone[person][int(random.integers(len(everyone[person])))] for person in order.tolist()]
        norm = fit_speed_norm(walks[:count], seed=draw)
        for band, shares in inside.items():
            shares.append(share_inside(norm, walks[count:], band))
    return {band: float(np.mean(shares)) for band, shares in inside.items()}


def simulate(
    seeds: Sequence[int], paces: Sequence[float], args: Arguments
) -> Iterator[dict[str, tuple[ControlCurves, ...]]]:
    """Yield the curves of each person, by kind of angle."""
    with worker_map(args.workers) as simulate_each:
        yield from simulate_each(partial(walk, paces=paces, seconds=args.seconds, model=args.model), seeds)


def main(args: Arguments) -> dict[str, Any]:
    first = FIRST_SEED + args.controls
    controls = list(simulate(range(FIRST_SEED, first), args.paces, args))
    others = list(simulate(range(first, first + args.subjects), (SLOW, *args.paces), args))
    return measure(controls, others, args)


def measure(
    controls: Sequence[dict[str, tuple[ControlCurves, ...]]],
    others: Sequence[dict[str, tuple[ControlCurves, ...]]],
    args: Arguments,
) -> dict[str, Any]:
    """Return the scores of the others' slow walks, and the coverage of bands, by kind of angle."""
    result: dict[str, Any] = {"slow_walk": {}, "curves_inside": {}}
    random = np.random.default_rng(0)
    for kind in ANGLES:
        walks = [walk for person in controls for walk in person[kind]]
        own = 1 + args.paces.index(OWN_PACE)
        slow = [person[kind][0] for person in others]
        result["slow_walk"][kind] = scores(walks, slow, [person[kind][own] for person in others])
        people = [*(person[kind] for person in controls), *(person[kind][1:] for person in others)]
        counts = [count for count in args.persons if count < len(people)]
        result["curves_inside"][kind] = {str(count): coverage(people, count, args.draws, random) for count in counts}
    result["real_controls"] = real_controls(args.curves)
    missed = [
        f"{kind}, {score}: both holds for {share:.0%} of subjects"
        for (kind, score), least in MIN_SHARES.items()
        if (share := result["slow_walk"][kind][score]["both"]) < least
    ]
    result["failures"] = [] if args.quick else missed
    return result


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
