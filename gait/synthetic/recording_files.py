"""A walk on disk: the recording as C3D, as a laboratory writes it, and the truth beside it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import ezc3d
import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39, MarkerErrors, MarkerTracks, record_markers
from gait.synthetic.walk import GaitEvent, Walk

_FIELDS = ("poses", "betas", "translation_m", "joints_m")


def truth_path(recording: Path) -> Path:
    """Where the truth of a recording lies: ``walk1.c3d`` has ``walk1_truth.npz`` beside it."""
    return recording.with_name(f"{recording.stem}_truth.npz")


def write_walk(
    walk: Walk,
    body: Body,
    layout: MarkerLayout,
    path: Path,
    *,
    errors: MarkerErrors | None = None,
    prefix: str = "",
) -> MarkerTracks:
    """Write a C3D file and the truth beside it; both whole or not at all. Returns the markers as recorded.

    Args:
        walk: what was walked.
        body: the model it was walked with.
        layout: of that body; its Plug-in Gait 39 are recorded.
        path: of the C3D file; folders are made.
        errors: of the markers; the default ones if not given.
        prefix: of all labels ("Subject" gives ``Subject:LASI``); none if empty.
    """
    tracks = record_markers(
        body,
        walk.truth,
        layout.select(PLUG_IN_GAIT_39),
        errors or MarkerErrors(),
        person_seed=walk.person.seed,
        walk_seed=walk.seed,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_truth(truth_path(path), walk, tracks)
    _write_c3d(path, tracks, walk.truth.rate_hz, walk.events, prefix)
    return tracks


def _write_c3d(path: Path, tracks: MarkerTracks, rate_hz: float, events: tuple[GaitEvent, ...], prefix: str) -> None:
    """Millimetres, z up: the suite's (y, z, x) are the laboratory's (z, x, y)."""
    T, M = tracks.positions_m.shape[:2]
    seen = np.isfinite(tracks.positions_m[..., 0])
    z_up_mm = 1000 * tracks.positions_m[..., [2, 0, 1]]
    points = np.zeros((4, M, T))
    points[:3] = np.where(seen[..., None], z_up_mm, 0.0).transpose(2, 1, 0)
    points[3] = 1
    c3d = ezc3d.c3d()
    c3d["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    c3d["parameters"]["POINT"]["RATE"]["value"] = [rate_hz]
    c3d["parameters"]["POINT"]["LABELS"]["value"] = [
        f"{prefix}:{label}" if prefix else label for label in tracks.labels
    ]
    c3d["data"]["points"] = points
    c3d["data"]["meta_points"] = {
        "residuals": np.where(seen, 0.0, -1.0).T.reshape(1, M, T),
        "camera_masks": np.zeros((7, M, T), dtype=bool),
    }
    if events:
        seconds = np.array([event.time_s for event in events])
        c3d.add_parameter("EVENT", "USED", [len(events)])
        c3d.add_parameter("EVENT", "CONTEXTS", [event.side.capitalize() for event in events])
        c3d.add_parameter("EVENT", "LABELS", [event.label for event in events])
        c3d.add_parameter("EVENT", "SUBJECTS", [prefix or "Subject" for _ in events])
        c3d.add_parameter("EVENT", "TIMES", np.stack([seconds // 60, seconds % 60]))
    part = path.with_name(f".{path.stem}.part.c3d")
    c3d.write(str(part))
    part.replace(path)


def _write_truth(path: Path, walk: Walk, tracks: MarkerTracks) -> None:
    truth, what = walk.truth, walk.disorder
    part = path.with_name(f".{path.stem}.part.npz")
    np.savez_compressed(
        part,
        **{name: getattr(truth, name) for name in _FIELDS},
        rate_hz=np.float64(truth.rate_hz),
        model_file=np.str_(truth.model_file),
        model_sha256=np.str_(truth.model_sha256),
        gender=np.str_(truth.gender),
        event_label=np.array([event.label for event in walk.events], dtype=np.str_),
        event_side=np.array([event.side for event in walk.events], dtype=np.str_),
        event_time_s=np.array([event.time_s for event in walk.events], dtype=np.float64),
        disorder=np.str_(what.name if what else ""),
        disorder_side=np.str_(what.side if what else ""),
        severity=np.float64(what.severity if what else 0.0),
        disorder_joints=np.array(what.joints if what else (), dtype=np.int64),
        disorder_carried=np.array(what.carried if what else (), dtype=np.int64),
        marker_labels=np.array(tracks.labels, dtype=np.str_),
        marker_offsets_m=tracks.offsets_m,
        marker_segments=tracks.segments,
        person_seed=np.int64(walk.person.seed),
        walk_seed=np.int64(walk.seed),
    )
    part.replace(path)


def read_truth(path: str | Path) -> PoseSequence:
    """The true poses of a recording, in the frame that ``gait.capture.read_recording`` gives its markers in.

    Args:
        path: of the recording, or of the truth beside it.

    Events (``event_label``, ``event_side``, ``event_time_s``), the disorder and the markers' offsets stand in the
    sequence's ``extra``, arrays by name.

    Raises:
        GaitError: there is no such file, or it is none of these.
    """
    path = Path(path)
    path = truth_path(path) if path.suffix.lower() == ".c3d" else path
    try:
        with np.load(path, allow_pickle=False) as archive:
            data: dict[str, NDArray] = {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise GaitError(f"{path}: there is no such file; truth is written beside a synthetic recording.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise GaitError(f"{path}: damaged or no npz file ({error}); write the recording again.") from error
    if missing := sorted({*_FIELDS, "rate_hz", "model_file"} - data.keys()):
        raise GaitError(f"{path}: lacks {', '.join(missing)}; it has {', '.join(sorted(data))}.")
    poses, betas, translation, joints = (data.pop(name) for name in _FIELDS)
    return PoseSequence(
        poses=poses,
        betas=betas,
        translation_m=translation,
        joints_m=joints,
        rate_hz=float(data.pop("rate_hz")),
        model_file=str(data.pop("model_file")),
        model_sha256=str(data.pop("model_sha256", "")),
        gender=str(data.pop("gender", "neutral")),
        extra=data,
    )
