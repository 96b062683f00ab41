"""Pairs of trials with and without a pathology at the same pace: recorded, fitted, and cut into matching windows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from script_runs import fit_command, run_script
from torch import Tensor

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import Joint, contralateral_joint
from gait.kinematics.gait_events import SIDES, detect_gait_events, nearest_frames
from gait.motion.dataset import Trial, read_dataset
from gait.motion.windows import WindowDataset
from gait.synthetic import Pathology, make_trial, write_recording
from gait.synthetic.cohort import build_subject, pathological_subjects

SECONDS = 4.5
_WITH, _WITHOUT = "with", "without"


@dataclass(frozen=True, eq=False)
class TrialPair:
    """Two trials of one subject, with a pathology and without it at the same pace."""

    name: str
    pathology: Pathology
    sick: Trial
    healthy: Trial

    @property
    def changed_joints(self) -> tuple[Joint, ...]:
        """Joints whose positions the pathology changes: the affected ones and those distal to them."""
        return tuple(sorted({*self.pathology.affected_joints, *self.pathology.downstream_joints}))

    @property
    def contralateral_joints(self) -> tuple[Joint, ...] | None:
        """The same joints of the other side; None if the pathology is bilateral."""
        other = tuple(sorted(map(contralateral_joint, self.changed_joints)))
        return None if other == self.changed_joints else other

    def windows(self, length: int) -> tuple[Tensor, Tensor]:
        """Return windows (N, length, 22, 3) of both trials that start at matching initial contacts; N may be 0."""
        sick, healthy = WindowDataset([self.sick], length), WindowDataset([self.healthy], length)
        starts: list[tuple[int, int]] = []
        contacts = [
            detect_gait_events(trial.joints_m, trial.rate_hz).initial_contacts for trial in (self.sick, self.healthy)
        ]
        for side in SIDES:
            starts += zip(*(nearest_frames(of_walk[side]).tolist() for of_walk in contacts), strict=False)
        fitting = [(one, other) for one, other in sorted(starts) if one < len(sick) and other < len(healthy)]
        first = torch.tensor(fitting, dtype=torch.int64).reshape(-1, 2)
        return sick.batch(first[:, 0]), healthy.batch(first[:, 1])


def make_trial_pairs(folder: Path, model: Path, *, subjects: int, seed: int) -> tuple[TrialPair, ...]:
    """Simulate trial pairs, which cycle through the pathologies, and fit them as a user does.

    The healthy trial has the stride length and stride time of the sick one, so that walking speed does not discriminate
    them. Different seeds give different subjects.
    """
    body = load_body(model)
    layout = plug_in_gait_layout(body)
    content = {}
    pathologies = {}
    for spec in pathological_subjects(subjects, seed):
        assert spec.pathology is not None
        subject = build_subject(spec, body)
        sick = make_trial(body, subject, spec.pathology, seconds=SECONDS, seed=1)
        paced_subject = subject.with_pace(sick.pattern.stride_length_m, sick.pattern.stride_time_s)
        pathologies[spec.name] = spec.pathology
        for kind, trial in ((_WITH, sick), (_WITHOUT, make_trial(body, paced_subject, seconds=SECONDS, seed=1))):
            path = folder / "recordings" / f"{spec.name}_{kind}" / "walk.c3d"
            write_recording(trial, body, layout, path)
            content[f"{spec.name}_{kind}"] = {"trials": [str(path)], "healthy": kind == _WITHOUT}
    cohort = folder / "cohort.json"
    cohort.write_text(json.dumps(content), encoding="utf-8")
    run_script(fit_command(cohort, model, folder / "poses", "--no_pictures"))
    fitted = {gait.subject: gait for gait in read_dataset(folder / "poses").trials}
    return tuple(
        TrialPair(name, pathology, fitted[f"{name}_{_WITH}"], fitted[f"{name}_{_WITHOUT}"])
        for name, pathology in pathologies.items()
    )
