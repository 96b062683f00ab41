"""Walks of real persons' joint angle curves on synthetic bodies: sessions of one file, played, recorded and fitted."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import REPOSITORY
from script_runs import fit_command, run_script

from gait.arrays import Vector
from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.kinematics.joint_angles import compute_joint_angles
from gait.kinematics.norms import GDI_ANGLES
from gait.kinematics.trial_analysis import analyse_trial
from gait.motion.pose_files import find_pose_folders, read_poses
from gait.motion.pose_npz import write_npz
from gait.motion.trial_paths import HEALTHY, SICK
from gait.synthetic import make_subject, write_recording
from gait.synthetic.played_curves import mean_stride, play_curves
from gait.synthetic.trial import SyntheticTrial

CURVES = REPOSITORY.parent / "shared" / "curves" / "angle_curves.npz"
SIDES = ("left", "right")
CHANNELS = tuple((angle, side) for side in SIDES for angle in GDI_ANGLES)
"""The angle and side of each curve of a session, in the order of the file."""

OFF, ON = "off", "on"
FIRST_OLDER_CONTROL = 25
TRIAL = "walk"


@dataclass(frozen=True, eq=False)
class Session:
    """The curves of one person in one session: of a person with Parkinson's disease off or on medication."""

    name: str  # "control_03", "parkinson_05_off"
    curves_deg: Vector  # (18, 101) as ``CHANNELS``

    @property
    def person(self) -> str:
        """Name of the person, "parkinson_05"."""
        return "_".join(self.name.split("_")[:2])

    @property
    def medication(self) -> str:
        """``OFF``, ``ON``, or "" of controls."""
        return self.name.split("_")[2] if self.sick else ""

    @property
    def sick(self) -> bool:
        """Whether the person has Parkinson's disease."""
        return self.name.startswith("parkinson")

    @property
    def young(self) -> bool:
        """Whether the person is one of the controls that are presumably young."""
        return not self.sick and int(self.name.split("_")[1]) < FIRST_OLDER_CONTROL

    @property
    def label(self) -> str:
        """Name of the label's folder."""
        return SICK if self.sick else HEALTHY

    @cached_property
    def by_channel(self) -> Mapping[tuple[str, str], Vector]:
        """The curves (101,) by angle and side."""
        return dict(zip(CHANNELS, self.curves_deg, strict=True))


@dataclass(frozen=True, eq=False)
class FittedSession:
    """What was fitted to the markers of one session, as far as it has whole strides."""

    mean_deg: Vector  # (18, 101) as ``CHANNELS``; NaN without a stride
    contact_error_s: Vector  # of each initial contact that was found, detected - true


def read_sessions(path: Path, persons: int | None = None) -> list[Session]:
    """Read the sessions of a file of angle curves; of the first persons of each label alone if a number is given."""
    with np.load(path, allow_pickle=False) as archive:
        curves, names = archive["angles_deg"].astype(np.float64), archive["session"].tolist()
    sessions = [Session(str(name), own) for name, own in zip(names, curves, strict=True)]
    if persons is None:
        return sessions
    order = {label: sorted({s.person for s in sessions if s.label == label}) for label in (HEALTHY, SICK)}
    chosen = {*order[HEALTHY][-persons:], *order[SICK][:persons]}
    return [session for session in sessions if session.person in chosen]


def play(body: Body, session: Session, seconds: float, seed: int) -> SyntheticTrial:
    """Play a session's curves on a body of the person's own, at a stride time of its own.

    Both follow from the person's name and the seed, so that they are independent of the label. Markers are placed anew
    in each session.
    """
    subject = make_subject(body, zlib.crc32(f"{seed}/{session.person}".encode()), adult=True)
    subject = replace(subject, seed=zlib.crc32(f"{seed}/{session.name}".encode()))
    return play_curves(body, subject, session.by_channel, seconds=seconds)


def play_sessions(body: Body, sessions: Sequence[Session], seconds: float, seed: int) -> dict[str, SyntheticTrial]:
    """Play all sessions; return them by name."""
    return {session.name: play(body, session, seconds, seed) for session in sessions}


def write_fits(
    sessions: Sequence[Session], played: Mapping[str, SyntheticTrial], folder: Path, body: Body, model: Path
) -> None:
    """Record played sessions with virtual markers and fit them: ``<folder>/fits/<label>/<session>/walk``.

    Each session is fitted as a subject of its own. What is there already is kept.
    """
    layout = plug_in_gait_layout(body)
    content: dict[str, dict[str, Any]] = {}
    for session in sessions:
        recording = folder / "recordings" / session.name / f"{TRIAL}.c3d"
        if not recording.exists():
            # No event is written: the suite finds the contacts itself.
            write_recording(replace(played[session.name], events=()), body, layout, recording)
        content[session.name] = {"trials": [str(recording)], "healthy": not session.sick}
    cohort = folder / "cohort.json"
    cohort.write_text(json.dumps(content), encoding="utf-8")
    run_script(fit_command(cohort, model, folder / "fits", "--no_pictures"))


def write_true_poses(sessions: Sequence[Session], played: Mapping[str, SyntheticTrial], folder: Path) -> None:
    """Write the poses that were played as fitted ones are: ``<folder>/<label>/<session>/walk``."""
    for session in sessions:
        path = folder / session.label / session.name / TRIAL
        path.mkdir(parents=True, exist_ok=True)
        write_npz(path, played[session.name].ground_truth)


def group_by_person(sessions: Sequence[Session], fits: Path, folder: Path) -> Path:
    """Link the fitted sessions in a folder of poses in which a person's sessions are trials of one subject."""
    for session in sessions:
        source = fits / session.label / session.name / TRIAL
        if not source.exists():
            continue
        target = folder / session.label / session.person / (session.medication or TRIAL)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            target.symlink_to(source.resolve(), target_is_directory=True)
    return folder


def read_fitted(session: Session, fits: Path, truth: SyntheticTrial) -> FittedSession:
    """Return the mean strides of a fitted session, cut by its own events, and the errors of its contacts."""
    missing = FittedSession(np.full((len(CHANNELS), 101), np.nan), np.empty(0))
    folders = find_pose_folders(fits / session.label / session.name / TRIAL)
    if len(folders) != 1:  # not fitted, or in segments
        return missing
    sequence = read_poses(folders[0])
    analysis = analyse_trial(sequence, subject=session.name, trial=TRIAL, with_errors=False)
    errors = []
    for side in SIDES:
        true = [e.time_s for e in truth.events if (e.label, e.side) == ("Foot Strike", side)]
        frames = np.asarray(analysis.events.initial_contacts[side], np.float64)
        for time in (frames + sequence.first_frame) / sequence.rate_hz:
            errors.append(min((time - t for t in true), key=abs))
    mean = np.array([analysis.curves.mean(angle, side) for angle, side in CHANNELS])
    return FittedSession(mean, np.array(errors))


def played_means(truth: SyntheticTrial) -> Vector:
    """Return the mean strides (18, 101) of the poses that were played."""
    angles = compute_joint_angles(truth.ground_truth).degrees
    return np.array([mean_stride(truth, angles[angle, side], side) for angle, side in CHANNELS])
