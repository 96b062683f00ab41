"""python benchmarks/gait_events.py --json gait_events.json

How far heel strikes, toe offs, speed and cadence from joints are from the truth: on synthetic walkers, healthy and
with each disorder, and on real walks whose laboratories marked the events (left out where they are not there).
``invented`` are events near no true one; a laboratory does not mark all of them.
Prints one JSON object; --quick walks one person of a kind and fits no real walk.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_output import made_by, publish
from fit_recorded_trials import fit_walks
from numpy.typing import NDArray
from recorded_trials import CAPTURES, MODEL, recorded_persons, there_or_told

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.kinematics.gait_events import SIDES, gait_events
from gait.kinematics.gait_features import gait_features
from gait.synthetic.pathologies import DISORDER_NAMES, disorder
from gait.synthetic.subject import make_person
from gait.synthetic.walk import make_walk

HEALTHY = "healthy"
NEAR_S = 0.15
"""An event farther from every true one is none of them."""
END_S = 0.3
"""Events at the ends, whose swing or stance is not shown whole, are not called missed."""

LABELS = ("Foot Strike", "Foot Off")


@dataclass(frozen=True)
class Arguments:
    """What the command line says."""

    persons: int = 6  # of each kind
    captures: Path = CAPTURES
    quick: bool = False
    json: Path | None = None


@dataclass(frozen=True)
class EventErrors:
    """Found events of one kind against true ones, over some walks."""

    off_s: tuple[float, ...] = ()  # found less true
    missed: int = 0
    invented: int = 0

    def __add__(self, other: EventErrors) -> EventErrors:
        return EventErrors(self.off_s + other.off_s, self.missed + other.missed, self.invented + other.invented)

    def figures(self) -> dict[str, Any]:
        """Milliseconds and counts."""
        off = 1e3 * np.array(self.off_s)
        known: dict[str, float | None] = dict.fromkeys(("mean_ms", "sd_ms", "worst_ms"))
        if len(off):
            known = {"mean_ms": float(off.mean()), "sd_ms": float(off.std()), "worst_ms": float(abs(off).max())}
        return {**known, "events": len(off), "missed": self.missed, "invented": self.invented}


def event_errors(found_s: NDArray[np.float64], true_s: NDArray[np.float64], seconds: float) -> EventErrors:
    """One foot's events of one label in one walk, seconds from its first frame."""
    distance = found_s[:, None] - true_s
    near = np.abs(distance) <= NEAR_S
    nearest = [float(row[np.abs(row).argmin()]) for row, hit in zip(distance, near, strict=True) if hit.any()]
    inside = (true_s > END_S) & (true_s < seconds - END_S)
    return EventErrors(tuple(nearest), int((inside & ~near.any(axis=0)).sum()), len(found_s) - len(nearest))


def walk_errors(
    joints_m: NDArray[np.floating], rate_hz: float, true_s: Mapping[tuple[str, str], Iterable[float]]
) -> dict[str, EventErrors]:
    """Both feet of one walk, by label; ``true_s`` by label and side."""
    events = gait_events(joints_m, rate_hz)
    seconds = len(joints_m) / rate_hz
    return {
        label: sum(
            (
                event_errors(by_side[side] / rate_hz, np.array([*true_s[label, side]], dtype=np.float64), seconds)
                for side in SIDES
            ),
            EventErrors(),
        )
        for label, by_side in zip(LABELS, (events.heel_strikes, events.toe_offs), strict=True)
    }


def on_synthetic_walkers(body: Body, persons: int) -> dict[str, Any]:
    """By kind of walker, on true joints."""
    result: dict[str, Any] = {}
    for kind in (HEALTHY, *DISORDER_NAMES):
        total = dict.fromkeys(LABELS, EventErrors())
        off: dict[str, list[float]] = {"walking_speed": [], "cadence": []}
        for seed in range(persons):
            what = None if kind == HEALTHY else disorder(kind)
            walk = make_walk(body, make_person(body, seed, adult=True), what, seed=seed)
            true = {
                (label, side): [e.time_s for e in walk.events if (e.label, e.side) == (label, side)]
                for label in LABELS
                for side in SIDES
            }
            found = walk_errors(walk.truth.joints_m, walk.truth.rate_hz, true)
            total = {label: total[label] + found[label] for label in LABELS}
            features = gait_features(walk.truth.joints_m, walk.truth.rate_hz)
            stride_s, stride_m = walk.pattern.stride_time_s, walk.pattern.stride_length_m
            for name, is_true in (("walking_speed", stride_m / stride_s), ("cadence", 120 / stride_s)):
                off[name].append(abs(features[name] / is_true - 1))
        result[kind] = {label: errors.figures() for label, errors in total.items()}
        result[kind] |= {f"{name}_worst_percent": 100 * max(values) for name, values in off.items()}
    return result


def on_real_walks(body: Body, captures: Path) -> dict[str, Any] | None:
    """By walk, fitted, against what the laboratories marked; None where the recordings are not there."""
    if not there_or_told(captures, "real walks are left out"):
        return None
    result = {}
    total = dict.fromkeys(LABELS, EventErrors())
    for walk in fit_walks(recorded_persons(captures), captures, body):
        recording = walk.gait.recording
        true = {
            (label, side): [
                e.time_s - recording.start_s for e in recording.events if (e.label, e.side) == (label, side)
            ]
            for label in LABELS
            for side in SIDES
        }
        if not any(true.values()):
            continue
        found = walk_errors(walk.gait.joints_m, recording.rate_hz, true)
        total = {label: total[label] + found[label] for label in LABELS}
        result[walk.name] = {label: errors.figures() for label, errors in found.items()}
    return {"all": {label: errors.figures() for label, errors in total.items()}, "by_walk": result}


def parse_arguments() -> Arguments:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[1], allow_abbrev=False)
    parser.add_argument("--persons", type=int, default=Arguments.persons, help="synthetic ones of each kind")
    parser.add_argument("--captures", type=Path, default=CAPTURES, help="folder of real recordings")
    parser.add_argument("--quick", action="store_true", help="one person of a kind, no real walk")
    parser.add_argument("--json", type=Path, help="write the object into this file too")
    return Arguments(**vars(parser.parse_args()))


def main(args: Arguments) -> None:
    """Walk, compare, print."""
    body = load_body(MODEL)
    publish(
        {
            "synthetic": on_synthetic_walkers(body, 1 if args.quick else args.persons),
            "real": None if args.quick else on_real_walks(body, args.captures),
            "made_by": made_by(args, body),
        },
        args.json,
    )


if __name__ == "__main__":
    main(parse_arguments())
