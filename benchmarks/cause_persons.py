"""Synthetic persons of known cause: a training cohort, and unseen persons with and without their pathology."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from localization import Cause
from script_runs import fit_command, run_script

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.motion.pose_npz import write_npz
from gait.motion.trial_paths import HEALTHY, SICK
from gait.synthetic import (
    Pathology,
    SyntheticTrial,
    Variety,
    make_pathology,
    make_peculiarity,
    make_trial,
    write_recording,
)
from gait.synthetic.cohort import SubjectSpec, build_subject, parse_subject_name, pathological_subjects
from gait.synthetic.gait_pattern import GaitPattern
from gait.synthetic.peculiarities import PECULIARITY_NAMES
from gait.synthetic.subject import Peculiarity, SyntheticSubject
from gait.synthetic.trial import make_pattern

WITH, PACED, OWN = "with", "paced", "own"
DISTRACTED = {WITH: "with_distracted", PACED: "paced_distracted"}
CONDITIONS = (WITH, PACED, OWN, *DISTRACTED.values())
"""A person with the pathology; without it at the same pace, and at the own pace; the first two with a distractor."""

DEGREES = (0.1, 0.2, 0.3, 0.4, 0.6, 0.8)
"""Severities at which unseen persons also walk with their pathology, to find the mildest that a network recognises."""

_DISTRACTOR_SIZES = (0.7, 1.0)
_DISTRACTORS = tuple(name for name in PECULIARITY_NAMES if name != "wide_steps")  # which changes no joint by 5 degrees

AFFECTED_AXIS = {"stiff_knee": 0, "drop_foot": 0, "crouch": 0, "antalgic": 0, "duchenne_trendelenburg": 2}
"""Axis of ``--input rotations`` about which a pathology changes its joints most: flexion, or lateral flexion."""

APART = ("parkinsonian",)
"""Pathologies that change nearly all joints, so that nearly every ranking finds one; they are counted apart."""


@dataclass(frozen=True)
class Walk:
    """A trial to be written: subject and label are those of its folder."""

    subject: str
    sick: bool
    number: int
    trial: SyntheticTrial


@dataclass(frozen=True)
class CohortSpec:
    """Which synthetic subjects a cohort has."""

    seed: int
    variety: Variety | None
    # range of a factor on the own speed at which each control in training walks once more; None: at the own pace alone
    control_pace: tuple[float, float] | None = None


def training_walks(
    body: Body, healthy: int, sick: int, trials: int, seconds: float, spec: CohortSpec
) -> Iterator[Walk]:
    """Simulate a training cohort; the last subject of each label is for the evaluation of the training itself."""
    names = [f"healthy_{k + 1}" for k in range(healthy + 1)]
    specs = [parse_subject_name(name, spec.seed, spec.variety) for name in names]
    for one in (*specs, *pathological_subjects(sick + 1, spec.seed, spec.variety)):
        subject = build_subject(one, body)
        for number in range(1, trials + 1):
            trial = make_trial(body, subject, one.pathology, seconds=seconds, seed=number)
            yield Walk(one.name, one.pathology is not None, number, trial)
        if one.pathology is None and spec.control_pace is not None:
            factor = float(np.random.default_rng([one.seed, 12]).uniform(*spec.control_pace))
            trial = make_trial(body, subject.at_own_pace(factor), seconds=seconds, seed=trials + 1)
            yield Walk(one.name, False, trials + 1, trial)


def degree_name(degree: float) -> str:
    """Return the name of the condition in which a pathology has this severity."""
    return f"degree_{round(100 * degree)}"


def unseen_walks(
    body: Body, persons: int, seconds: float, spec: CohortSpec, degrees: Sequence[float] = ()
) -> Iterator[Walk]:
    """Simulate unseen persons, who cycle through the pathologies, in every one of ``CONDITIONS`` and at degrees."""
    for one in pathological_subjects(persons, spec.seed, spec.variety):
        subject = build_subject(one, body)
        for condition in CONDITIONS:
            if condition == OWN:
                trial = make_trial(body, subject, seconds=seconds, seed=1)
            else:
                trial = _walk_with(body, subject, one, condition, seconds)
            yield Walk(f"{one.name}.{condition}", condition in (WITH, DISTRACTED[WITH]), 1, trial)
        assert one.pathology is not None
        side = None if one.pathology.side == "both" else one.pathology.side
        for degree in degrees:
            milder = make_pathology(one.pathology.name, side, degree)
            trial = make_trial(body, subject, milder, seconds=seconds, seed=1)
            yield Walk(f"{one.name}.{degree_name(degree)}", True, 1, trial)


def _walk_with(
    body: Body, subject: SyntheticSubject, spec: SubjectSpec, condition: str, seconds: float
) -> SyntheticTrial:
    if condition in DISTRACTED.values():
        assert spec.pathology is not None
        drawn = draw_distractor(subject.seed, spec.pathology)
        kept = [each for each in subject.peculiarities if each.name != drawn.name]
        subject = replace(subject, peculiarities=(*kept, drawn))
    if condition in (WITH, DISTRACTED[WITH]):
        return make_trial(body, subject, spec.pathology, seconds=seconds, seed=1)
    pattern = make_pattern(subject, spec.pathology)
    return make_trial(body, at_pace_of(subject, pattern, varied=spec.variety is not None), seconds=seconds, seed=1)


def at_pace_of(subject: SyntheticSubject, pattern: GaitPattern, *, varied: bool) -> SyntheticSubject:
    """Return the subject at the pace of a pattern.

    In the varied world joint angles change with the speed as those of healthy persons do; otherwise only the steps do.
    """
    paced = subject.with_pace(pattern.stride_length_m, pattern.stride_time_s)
    if varied and subject.style_speed is None:
        paced = replace(paced, style_speed=subject.dimensionless_speed)
    return paced


def draw_distractor(seed: int, pathology: Pathology) -> Peculiarity:
    """Draw a harmless peculiarity of joints that the pathology does not affect; of all, if it affects them all."""
    random = np.random.default_rng([seed, 11])
    side = ("left", "right")[int(random.integers(2))]
    names = [
        name
        for name in _DISTRACTORS
        if pathology.name in APART or set(make_peculiarity(name, side).joints).isdisjoint(pathology.affected_joints)
    ]
    return make_peculiarity(names[int(random.integers(len(names)))], side, float(random.uniform(*_DISTRACTOR_SIZES)))


def write_poses(walks: Iterable[Walk], folder: Path, body: Body, model: Path, *, fitted: bool) -> None:
    """Write the true poses of walks into a folder, or record them with markers and fit them as a user does."""
    content: dict[str, dict[str, Any]] = {}
    layout = plug_in_gait_layout(body)
    for walk in walks:
        if not fitted:
            path = folder / (SICK if walk.sick else HEALTHY) / walk.subject / f"walk{walk.number}"
            path.mkdir(parents=True, exist_ok=True)
            write_npz(path, walk.trial.ground_truth)
            continue
        recording = folder.with_name(f"{folder.name}_recordings") / walk.subject / f"walk{walk.number}.c3d"
        write_recording(walk.trial, body, layout, recording)
        entry = content.setdefault(walk.subject, {"trials": [], "healthy": not walk.sick})
        entry["trials"].append(str(recording))
    if fitted:
        cohort = folder.with_name(f"{folder.name}.json")
        cohort.write_text(json.dumps(content), encoding="utf-8")
        run_script(fit_command(cohort, model, folder, "--no_pictures"))


def permute_labels(folder: Path, permuted: Path, keep: Sequence[str], seed: int) -> None:
    """Make a folder in which the subjects of a folder have each other's labels at random, except those to keep."""
    subjects = sorted((path.parent.name == SICK, path) for path in folder.glob("*/*"))
    drawn = [index for index, (_, path) in enumerate(subjects) if path.name not in keep]
    order = np.random.default_rng(seed).permutation(drawn)
    labels = {index: subjects[other][0] for index, other in zip(drawn, order, strict=True)}
    for index, (sick, path) in enumerate(subjects):
        target = permuted / (SICK if labels.get(index, sick) else HEALTHY) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve(), target_is_directory=True)


def cause_of(pathology: Pathology, *, with_axes: bool) -> Cause:
    """Return what a pathology changes, as a network of rotations or of another input can show it."""
    return Cause(pathology.affected_joints, AFFECTED_AXIS.get(pathology.name) if with_axes else None)
