"""The trial as C3D, as gait laboratories exchange it: markers, joint centres, joint angles and gait events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS
from gait.exporting.c3d_encoding import Value, encode_c3d
from gait.exporting.exporter import Exporter, FittedTrial
from gait.kinematics.event_sources import choose_events
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import compute_joint_angles
from gait.version import VERSION

_SUBJECT = "Subject"  # never the name in the recording
_JOINT_CENTRES = {"HIP": "HJC", "KNEE": "KJC", "ANKLE": "AJC", "SHOULDER": "SJC", "ELBOW": "EJC", "WRIST": "WJC"}
"""Plug-in Gait's names of joint centres, after the letter of the side."""
_ICONS = {"Foot Strike": 1, "Foot Off": 2}


class _Points(NamedTuple):
    """Points of one kind."""

    parameter: str  # the list of POINT that names them; "" for measured markers
    labels: tuple[str, ...]
    descriptions: tuple[str, ...]
    values: NDArray[np.floating]  # (T, K, 3) in the file's unit and axes; NaN where missing


def write_trial_c3d(trial: FittedTrial, path: Path) -> None:
    """Write a C3D file in millimetres and degrees.

    The file is z up: our (z, x, y) are its (x, y, z), which are the laboratory's own axes if its recording was z up.
    POINT:ANGLES names the angles, with Plug-in Gait's signs, and POINT:MODELED_MARKERS the other computed points.
    Where a marker is not visible, or a joint or angle is not observed, the point is missing (residual −1).
    """
    sequence = trial.sequence
    kinds = list(_points(trial))
    points: dict[str, Value] = {
        "LABELS": [label for kind in kinds for label in kind.labels],
        "DESCRIPTIONS": [text for kind in kinds for text in kind.descriptions],
        "UNITS": ["mm"],
        "X_SCREEN": ["+X"],
        "Y_SCREEN": ["+Z"],
    }
    for kind in kinds:
        if kind.parameter:
            points[kind.parameter] = [*points.get(kind.parameter, ()), *kind.labels]
    parameters: dict[str, dict[str, Value]] = {
        "POINT": points,
        "SUBJECTS": {
            "USED": np.array(1, np.int16),
            "IS_STATIC": np.array(0, np.int16),
            "USES_PREFIXES": np.array(0, np.int16),
            "NAMES": [_SUBJECT],
            "LABEL_PREFIXES": [""],
        },
        "EVENT_CONTEXT": {"USED": np.array(3, np.int16), "LABELS": ["General", "Left", "Right"]},
        "EVENT": _event_parameters(sequence),
        "MANUFACTURER": {"COMPANY": ["gait-suite"], "SOFTWARE": ["gait-suite"], "VERSION_LABEL": [VERSION]},
    }
    values = np.concatenate([kind.values for kind in kinds], axis=1)
    path.write_bytes(encode_c3d(values, sequence.rate_hz, sequence.first_frame, parameters))


def _points(trial: FittedTrial) -> Iterator[_Points]:
    markers = trial.markers_in_sequence()
    taken: set[str] = set()
    if markers is not None:
        taken = set(markers.labels)
        yield _Points("", markers.labels, ("measured marker",) * len(markers.labels), _z_up_mm(markers.observed_m))
        labels = tuple(_unused(f"{label}_FIT", taken) for label in markers.labels)
        text = ("marker on the fitted body",) * len(labels)
        yield _Points("MODELED_MARKERS", labels, text, _z_up_mm(markers.virtual_m))
    labels = tuple(_unused(joint_centre_label(joint.name), taken) for joint in BODY_JOINTS)
    names = tuple(f"joint centre: {joint.name.lower().replace('_', ' ')}" for joint in BODY_JOINTS)
    yield _Points("MODELED_MARKERS", labels, names, _z_up_mm(trial.observed_joints_m))
    yield _angle_points(trial.sequence, taken)


def _angle_points(sequence: PoseSequence, taken: set[str]) -> _Points:
    """Return Plug-in Gait's angles, "LHipAngles", ..., in degrees; those of which nothing is observed are left out.

    A component that is not determined is zero, as Plug-in Gait writes it; the description names the determined ones.
    """
    angles = compute_joint_angles(sequence)
    labels, descriptions, values = [], [], []
    for side in SIDES:
        for output in dict.fromkeys(angle.output for angle in angles.definitions if angle.output):
            found = [angle for angle in angles.definitions if angle.output == output]
            found = [angle for angle in found if np.isfinite(angles[angle.name, side]).any()]
            if not found:
                continue
            point = np.zeros((sequence.num_frames, 3))
            for angle in found:
                point[:, angle.component] = angles[angle.name, side]
            labels.append(_unused(f"{side[0].upper()}{output}", taken))
            descriptions.append(", ".join(f"{'XYZ'[angle.component]} {angle.positive} +" for angle in found))
            values.append(point)
    stacked = np.stack(values, axis=1) if values else np.empty((sequence.num_frames, 0, 3))
    return _Points("ANGLES", tuple(labels), tuple(descriptions), stacked)


def joint_centre_label(joint: str) -> str:
    """Return the label of a joint's centre: Plug-in Gait's, "LHJC" of "LEFT_HIP"; else "LFOOT_JC", "PELVIS_JC", ..."""
    side, _, name = joint.partition("_")
    if side not in ("LEFT", "RIGHT"):
        return f"{joint}_JC"
    return f"{side[0]}{_JOINT_CENTRES.get(name, f'{name}_JC')}"


def _unused(label: str, taken: set[str]) -> str:
    """Return a label that is not taken, and take it."""
    number, name = 1, label
    while name in taken:
        number += 1
        name = f"{label}_{number}"
    taken.add(name)
    return name


def _z_up_mm(positions_m: NDArray[np.floating]) -> NDArray[np.floating]:
    return 1e3 * positions_m[..., [2, 0, 1]]


def _event_parameters(sequence: PoseSequence) -> dict[str, Value]:
    """Return the EVENT group; frame f of the recording is at (f − 1) / rate seconds of its clock."""
    events = choose_events(sequence)
    found = sorted(
        (float(frame + sequence.first_frame - 1) / sequence.rate_hz, label, side.capitalize(), source)
        for label, frames, sources in (
            ("Foot Strike", events.initial_contacts, events.contact_sources),
            ("Foot Off", events.foot_offs, events.off_sources),
        )
        for side in SIDES
        for frame, source in zip(frames[side], sources[side], strict=True)
    )
    seconds = np.array([time_s for time_s, *_ in found], dtype=np.float64)
    labels = [label for _, label, _, _ in found]
    return {
        "USED": np.array(len(found), np.int16),
        "CONTEXTS": [side for _, _, side, _ in found],
        "LABELS": labels,
        "DESCRIPTIONS": [f"from {source}" for *_, source in found],
        "SUBJECTS": [_SUBJECT] * len(found),
        "TIMES": np.stack([seconds // 60, seconds % 60]).astype(np.float32),
        "ICON_IDS": np.array([_ICONS[label] for label in labels], np.int16),
        "GENERIC_FLAGS": np.zeros(len(found), np.uint8),
    }


EXPORTER = Exporter(
    "c3d", "markers, joint centres, Plug-in Gait's angles and gait events as C3D, z up", ".c3d", write_trial_c3d
)
