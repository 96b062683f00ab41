"""Detect and correct recordings in which left and right are swapped, by the labels or by a reversed axis."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from gait.capture.recording import Recording
from gait.capture.up_axis import is_mirrored
from gait.fitting.marker_quality.marker_error import MarkerErrorKind
from gait.marker_sets import MARKERS, marker_pairs

MIN_LATERAL_M = 0.02
"""Minimum distance of an unpaired marker such as ``RBAK`` from the midline of the body for the side to be clear."""


def detect_left_right_swap(recording: Recording) -> MarkerErrorKind | None:
    """Detect whether left and right of a recording are swapped, and how; None if they are not.

    A mirrored recording and one with all left and right labels swapped differ only in markers of one side without a
    counterpart: ``RBAK``, on the right shoulder blade, is on the side of the right markers in mirrored data, and on the
    side of the left ones if labels are swapped.
    """
    if not is_mirrored(recording.labels, recording.positions_m):
        return None
    column = {label: m for m, label in enumerate(recording.labels)}
    unpaired = [MARKERS[label] for label in recording.labels if label in MARKERS and MARKERS[label].side]
    unpaired = [marker for marker in unpaired if not marker.contralateral]
    for (left_label, right_label), marker in product(marker_pairs(recording.labels, ("shoulder",)), unpaired):
        left, right, back = (recording.positions_m[:, column[each]] for each in (left_label, right_label, marker.name))
        across = (left - right) / np.linalg.norm(left - right, axis=1, keepdims=True)
        lateral = ((back - (left + right) / 2) * across).sum(axis=1) * (1 if marker.side == "right" else -1)
        lateral = lateral[np.isfinite(lateral)]
        if len(lateral) and abs(np.median(lateral)) > MIN_LATERAL_M:
            return "mirrored" if np.median(lateral) < 0 else "left_right_swap"
    return "left_right_swap_or_mirrored"


def correct_left_right(recording: Recording, kind: MarkerErrorKind) -> Recording:
    """Correct left and right: reverse an axis of mirrored data, or else swap all left and right labels."""
    if kind == "mirrored":
        mirror = np.array([-1.0, 1.0, 1.0])
        outputs = {name: values * mirror for name, values in recording.model_outputs.items()}
        plates = tuple(
            replace(plate, corners_m=plate.corners_m * mirror, cop_m=plate.cop_m * mirror)
            for plate in recording.force_plates
        )
        positions_m = recording.positions_m * mirror
        return replace(recording, positions_m=positions_m, model_outputs=outputs, force_plates=plates)
    labels = set(recording.labels)

    def swap_side(label: str) -> str:
        if label in MARKERS:
            return MARKERS[label].contralateral or label
        other = {"L": "R", "R": "L"}.get(label[0], label[0]) + label[1:]
        return other if other in labels else label

    return replace(recording, labels=tuple(swap_side(label) for label in recording.labels))
