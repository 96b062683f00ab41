"""How well a body wore a recording's markers, in numbers that a person can check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gait.body.skeleton import BODY_JOINTS
from gait.errors import GaitError
from gait.fitting.marker_quality.marker_error import MarkerError
from gait.fitting.valid_frames import stretches

if TYPE_CHECKING:  # a report can be read and shown where no torch is loaded
    from gait.fitting.subject_fit import SubjectFit, TrialFit

WORST_MARKERS = 5
UNOBSERVED = 0.1
"""A joint of whose turn the markers decide less than this share is not observed."""


@dataclass(frozen=True)
class FitReport:
    """Residuals of one gait, in millimetres."""

    residual_mm: dict[str, float | None]  # mean, rms, p95, max over seen markers; max_frame_mean: the worst frame
    markers: dict[str, dict[str, Any]]  # name -> mean_mm, visible (share of frames), offset_mm, kind
    worst_markers: tuple[str, ...]  # by mean residual, worst first
    missing_markers: tuple[str, ...]  # of the layout, not in the recording or never seen
    unused_labels: tuple[str, ...]  # of the recording, unknown to the layout
    frames: int
    frames_per_second: float  # of the pose stage
    betas: tuple[float, ...]
    stature_m: float  # of the shaped body in T-pose
    offset_mm: dict[str, float | None]  # mean over markers of a kind
    faults: tuple[dict[str, Any], ...]  # bad data that was found, MarkerFault as plain data
    # name -> of the frames that were kept: sigma_mm (mean radius that holds the error with 68 %), worst_mm, observed
    # (share of its turn that markers decide)
    joints: dict[str, dict[str, float]]
    unobserved_joints: tuple[str, ...]  # whose turn no marker saw; the prior has put it
    # [first, last] frame as the laboratory counts them: of each sequence that was written (more than one where a long
    # gap has split the gait), of each gap that was bridged, of what is in no sequence as no marker held the body
    parts: tuple[list[int], ...]
    bridged_frames: tuple[list[int], ...]
    left_out_frames: tuple[list[int], ...]

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> FitReport:
        """From the plain data of a report file, which may hold more; a GaitError if it lacks something."""
        missing = [name for name in cls.__dataclass_fields__ if name not in content]
        if missing:
            raise GaitError(f"a fit report without {', '.join(missing)}; fit this gait again with --overwrite.")
        kept: dict[str, Any] = {name: content[name] for name in cls.__dataclass_fields__}
        kept |= {name: tuple(value) for name, value in kept.items() if isinstance(value, list)}
        return cls(**kept)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, for a JSON file."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def fit_report(
    person: SubjectFit,
    gait: TrialFit,
    layout_labels: tuple[str, ...],
    stature_m: float,
    faults: Sequence[MarkerError] = (),
) -> FitReport:
    """Sum one gait up.

    Args:
        person: whose gait it is.
        gait: one of the person's.
        layout_labels: every marker that the layout knows, also those that no recording has.
        stature_m: of the person's body.
        faults: bad data that was found in its recording.
    """
    error = gait.residual_m * 1e3
    seen = np.isfinite(error)
    offset = {label: float(np.linalg.norm(move) * 1e3) for label, move in zip(gait.labels, gait.offset_m, strict=True)}
    kind = dict(zip(person.layout.labels, person.layout.kinds, strict=True))
    mean = {label: float(error[seen[:, m], m].mean()) for m, label in enumerate(gait.labels) if seen[:, m].any()}
    markers = {
        label: {
            "mean_mm": _rounded(mean[label]) if label in mean else None,
            "visible": round(float(seen[:, m].mean()), 4),
            "offset_mm": _rounded(offset[label]),
            "kind": kind[label],
        }
        for m, label in enumerate(gait.labels)
    }
    kept = np.concatenate([np.arange(part.start, part.stop) for part in gait.held.parts])
    sigma = gait.confidence.sigma_m[kept] * 1e3
    observed = gait.confidence.observed[kept].mean(axis=0)
    joints = {
        joint.name.lower(): {
            "sigma_mm": _rounded(sigma[:, j].mean()),
            "worst_mm": _rounded(sigma[:, j].max()),
            "observed": round(float(observed[j]), 3),
        }
        for j, joint in enumerate(BODY_JOINTS[: sigma.shape[1]])
    }

    def counted(frames: Sequence[slice]) -> tuple[list[int], ...]:
        first = gait.recording.first_frame
        return tuple([first + some.start, first + some.stop - 1] for some in frames)

    fitted = list(mean)
    values = error[seen]
    frame_mean = error[seen.any(axis=1)]
    return FitReport(
        residual_mm={
            "mean": _rounded(values.mean()),
            "rms": _rounded(np.sqrt((values**2).mean())),
            "p95": _rounded(np.quantile(values, 0.95)),
            "max": _rounded(values.max()),
            "max_frame_mean": _rounded(np.nanmean(frame_mean, axis=1).max()),
        },
        markers=markers,
        worst_markers=tuple(sorted(fitted, key=lambda label: -mean[label])[:WORST_MARKERS]),
        missing_markers=tuple(label for label in layout_labels if label not in fitted),
        unused_labels=tuple(
            dict.fromkeys(
                [label for label in gait.recording.labels if label not in gait.labels]
                + list(gait.recording.unused_labels)
            )
        ),
        frames=gait.recording.frames,
        frames_per_second=round(gait.recording.frames / gait.seconds, 1),
        betas=tuple(round(float(b), 5) for b in gait.betas),
        stature_m=round(stature_m, 4),
        offset_mm={
            which: _rounded(np.mean([offset[label] for label in fitted if kind[label] == which]))
            if any(kind[label] == which for label in fitted)
            else None
            for which in ("anatomical", "technical")
        },
        faults=tuple(fault.as_dict() for fault in faults),
        joints=joints,
        parts=counted(gait.held.parts),
        bridged_frames=counted(stretches(gait.held.bridged)),
        left_out_frames=counted(gait.held.left_out),
        unobserved_joints=tuple(name for name, joint in joints.items() if joint["observed"] < UNOBSERVED),
    )


def frame_list(frames: Sequence[Sequence[int]]) -> str:
    """Stretches of frames, first and last of each, as a person reads them."""
    return ", ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in frames)


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 3)
