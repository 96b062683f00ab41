"""Walkers with a disorder and, at the same pace, without it: recorded, fitted, and cut into windows in step."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch
from synthetic_cohort import fit_command, fit_environment
from torch import Tensor

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.skeleton import Joint, mirrored
from gait.errors import GaitError
from gait.kinematics.gait_events import SIDES, heel_strikes
from gait.motion.dataset import Trial, read_gaits
from gait.motion.windows import WindowDataset
from gait.synthetic import Pathology, make_walk, write_walk
from gait.synthetic.cohort import ill_walkers, walking_person

SECONDS = 4.5
_WITH, _WITHOUT = "with", "without"


@dataclass(frozen=True, eq=False)
class PairOfWalks:
    """One person's walk with a disorder, and the same steps without it."""

    name: str
    disorder: Pathology
    ill: Trial
    well: Trial

    @property
    def places(self) -> tuple[Joint, ...]:
        """Joints whose positions the disorder changes: those at fault, and those that they carry."""
        return tuple(sorted({*self.disorder.joints, *self.disorder.carried}))

    @property
    def other_places(self) -> tuple[Joint, ...] | None:
        """The same joints of the other side; None where the disorder's places know no side."""
        other = tuple(sorted(map(mirrored, self.places)))
        return None if other == self.places else other

    def windows(self, length: int) -> tuple[Tensor, Tensor]:
        """Windows (N, length, 22, 3) of both walks that begin with the same heel strikes; N may be 0."""
        ill, well = WindowDataset([self.ill], length), WindowDataset([self.well], length)
        starts: list[tuple[int, int]] = []
        strikes = [heel_strikes(walk.joints_m, walk.rate_hz) for walk in (self.ill, self.well)]
        for side in SIDES:
            starts += zip(*(of_walk[side].tolist() for of_walk in strikes), strict=False)
        fitting = [(one, other) for one, other in sorted(starts) if one < len(ill) and other < len(well)]
        first = torch.tensor(fitting, dtype=torch.int64).reshape(-1, 2)
        return ill.batch(first[:, 0]), well.batch(first[:, 1])


def pairs_of_walks(folder: Path, body: Body, model: Path, *, persons: int, seed: int) -> tuple[PairOfWalks, ...]:
    """Record and fit so many persons, the disorders in turn, as a person does it; they are those of no other seed.

    The healthy walk has the length and the time of the ill one's strides, so that walking speed tells nothing.
    """
    layout = plug_in_gait_layout(body)
    content = {}
    disorders = {}
    for who in ill_walkers(persons, seed):
        assert who.disorder is not None
        person = walking_person(who, body)
        ill = make_walk(body, person, who.disorder, seconds=SECONDS, seed=1)
        twin = person.at_pace(ill.pattern.stride_length_m, ill.pattern.stride_time_s)
        disorders[who.name] = who.disorder
        for kind, walk in ((_WITH, ill), (_WITHOUT, make_walk(body, twin, seconds=SECONDS, seed=1))):
            path = folder / "recordings" / f"{who.name}_{kind}" / "walk.c3d"
            write_walk(walk, body, layout, path)
            content[f"{who.name}_{kind}"] = {"gaits": [str(path)], "healthy": kind == _WITHOUT}
    cohort = folder / "cohort.json"
    cohort.write_text(json.dumps(content), encoding="utf-8")
    command = fit_command(cohort, model, folder / "poses", "--no_pictures")
    done = subprocess.run(command, env=fit_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise GaitError(f"shape_optimizer.py ended with code {done.returncode}: {done.stderr.strip().splitlines()[-1]}")
    fitted = {gait.subject: gait for gait in read_gaits(folder / "poses").gaits}
    return tuple(
        PairOfWalks(name, disorder, fitted[f"{name}_{_WITH}"], fitted[f"{name}_{_WITHOUT}"])
        for name, disorder in disorders.items()
    )
