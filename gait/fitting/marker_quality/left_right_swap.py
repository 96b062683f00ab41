"""Recordings in which left is right: all names exchanged, or an axis reversed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gait.capture.marker_names import CANONICAL_MARKERS, other_side
from gait.capture.recording import Recording
from gait.capture.up_axis import is_mirrored
from gait.fitting.marker_quality.marker_error import FaultKind

BESIDE_M = 0.02
"""A marker so far from the body's middle is on one side of it."""


def exchanged_sides(recording: Recording) -> FaultKind | None:
    """Whether and why left and right of a recording are exchanged; None where they are not.

    A person seen in a mirror and one whose names of all left and right markers are exchanged look alike but for what
    has no partner: ``RBAK``, on the right shoulder blade, stays with the right markers in a mirror, and is among the
    left ones when names are exchanged.
    """
    if not is_mirrored(recording.labels, recording.positions_m):
        return None
    column = {label: m for m, label in enumerate(recording.labels)}
    if {"RBAK", "LSHO", "RSHO"} <= column.keys():
        back, left, right = (recording.positions_m[:, column[label]] for label in ("RBAK", "LSHO", "RSHO"))
        across = (left - right) / np.linalg.norm(left - right, axis=1, keepdims=True)
        beside = ((back - (left + right) / 2) * across).sum(axis=1)
        beside = beside[np.isfinite(beside)]
        if len(beside) and abs(np.median(beside)) > BESIDE_M:
            return "mirrored" if np.median(beside) < 0 else "all sides exchanged"
    return "all sides exchanged or mirrored"


def put_right(recording: Recording, kind: FaultKind) -> Recording:
    """A recording with left and right as they should be: mirrored back, or every name the other side's."""
    if kind == "mirrored":
        mirror = np.array([-1.0, 1.0, 1.0])
        outputs = {name: places * mirror for name, places in recording.model_outputs.items()}
        return replace(recording, positions_m=recording.positions_m * mirror, model_outputs=outputs)
    there = set(recording.labels)

    def renamed(label: str) -> str:
        if label in CANONICAL_MARKERS:
            return other_side(label) or label
        other = {"L": "R", "R": "L"}.get(label[0], label[0]) + label[1:]
        return other if other in there else label

    return replace(recording, labels=tuple(renamed(label) for label in recording.labels))
