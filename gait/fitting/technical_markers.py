"""Find the technical markers among the tracks of a recording whose names no marker set has.

A track belongs to a segment of the body if it keeps its place in the frame of that segment, as the fit of the known
markers has it, while it moves in the frames of the others (Cappozzo et al. 1995, Clin. Biomech. 10:171: markers
anywhere on a segment can hold its pose, once their place is known). Its place on the skin comes from the recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.segments import segment_name
from gait.body.skeleton import NUM_BODY_JOINTS
from gait.capture.recording import Recording
from gait.errors import GaitError
from gait.fitting.marker_quality.marker_error import MarkerErrorKind
from gait.fitting.subject_fit import RejectedTrack, SubjectFit, TechnicalMarker, TrialFit
from gait.marker_sets import MARKERS

MIN_TRACK_S = 0.5
"""A track that is visible for less time, over all trials of the subject, is not judged."""
MAX_START_RIGIDITY_M = 0.040
"""Largest deviation (RMS) from the mean place in a segment's frame before the track takes part in the fit. It is large
as few known markers leave the segment's frame to the priors: 25 mm on a thigh without markers."""
MAX_RIGIDITY_M = 0.012
"""Largest distance (RMS) of a technical marker from its place in the fit in which it takes part."""
TIE_RATIO, TIE_M = 1.35, 0.003
"""Segments whose deviation is within this ratio and distance of the smallest one are not distinguished by movement."""
MAX_HEIGHT_M = 0.12
"""Largest distance from the skin: markers are on wands, other people and objects farther away."""
MAX_HEIGHT_UNDETERMINED_M = 0.05
"""Largest distance from the skin of a segment that no other marker determines: there is little else to judge by."""
DETERMINED_SIGMA_M, UNDETERMINED_SIGMA_M, MAX_RELATIVE_SIGMA = 0.012, 0.020, 3.0
"""Where the known markers determine both ends of a segment to within the first radius, they decide: the expected
residual of a technical marker is larger by this factor. Above the second radius it is that of the known markers. Skin
moves on the bone, for all markers of a segment alike, so many of them must not outvote a few on bony landmarks."""
MIN_DATA_FRACTION = 0.1
"""A segment is determined if the markers determine more than this fraction of its joint's rotation."""
NUM_NEAREST_FACES = 24
"""Number of faces with the nearest centres among which the nearest point of the skin is searched."""

_LEAVES_SEGMENT: frozenset[MarkerErrorKind] = frozenset(["drift", "detached", "label_swap"])
"""Errors that show of a technical marker that it was not rigid with its segment: it is left out and not accused."""


@dataclass(frozen=True)
class TechnicalMarkers:
    """Judged tracks of the recordings of one subject."""

    layout: MarkerLayout  # of the known markers, and one row per technical marker
    markers: tuple[TechnicalMarker, ...] = ()
    rejected: tuple[RejectedTrack, ...] = ()


def fit_with_technical_markers(
    fit: Callable[[MarkerLayout, SubjectFit | None], SubjectFit],
    layout: MarkerLayout,
    named: Mapping[str, int] | None = None,
) -> SubjectFit:
    """Fit the recordings of a subject to the markers of a layout, then again with the technical markers.

    These are tracks of unknown names that move with a segment, and ``named`` ones of the layout, of which the segment
    is known, but not the place. A track that turns out not to be rigid in the fit in which it takes part is left out
    again.

    Args:
        fit: fits the recordings to a layout, starting from another fit if there is one.
        layout: markers on the body.
        named: markers of the layout whose places come from the recordings, and their joints
            (``named_technical_markers``).
    """
    named = named or {}
    try:
        known = fit(layout.select([label for label in layout.labels if label not in named]) if named else layout, None)
    except GaitError:
        if not named:
            raise
        named, known = {}, fit(layout, None)
    if not unknown_labels(known.trials, known.layout):
        return known
    found = find_technical_markers(known, layout, named)
    joined = known
    while found.markers:
        joined = replace(fit(found.layout, joined), technical=found.markers, rejected_tracks=found.rejected)
        kept = _rigid_in_fit(joined, found)
        if len(kept.markers) == len(found.markers):
            return replace(joined, layout=layout, technical=kept.markers)
        found = kept
    return replace(known, layout=layout, rejected_tracks=found.rejected)


def named_technical_markers(body: Body, layout: MarkerLayout, recordings: Sequence[Recording]) -> dict[str, int]:
    """Return the recorded technical markers whose places the layout does not know, and the joints of their segments.

    A name such as "thigh 2" gives the segment, not the place. None are returned if a recording has too few others.
    """
    recorded = [set(recording.labels) & set(layout.labels) for recording in recordings]
    if any(len(labels - layout.approximate) < layout.min_shared_markers for labels in recorded):
        return {}
    joints = body.face_weights[torch.as_tensor(layout.face, device=body.device)].argmax(dim=1).tolist()
    wanted = layout.approximate & set().union(*recorded)
    return {label: joint for label, joint in zip(layout.labels, joints, strict=True) if label in wanted}


def _segments_beside(joint: int, parents: Sequence[int]) -> set[int]:
    """Return a joint, its parent and its children."""
    return {joint, parents[joint], *(j for j, parent in enumerate(parents) if parent == joint)}


def _rigid_in_fit(fit: SubjectFit, found: TechnicalMarkers) -> TechnicalMarkers:
    """Return the technical markers with their rigidity in the fit, without those that are not rigid."""
    kept: list[TechnicalMarker] = []
    rejected = list(found.rejected)
    drifting = {error.marker for trial in fit.trials for error in trial.marker_errors if error.kind in _LEAVES_SEGMENT}
    for marker in found.markers:
        square = [
            trial.residual_m[:, trial.labels.index(marker.label)] ** 2
            for trial in fit.trials
            if marker.label in trial.labels
        ]
        every = np.concatenate(square)
        rigidity = float(np.sqrt(np.nanmean(every))) if np.isfinite(every).any() else np.inf
        if rigidity > MAX_RIGIDITY_M or marker.label in drifting:
            rejected.append(RejectedTrack(marker.label, "not rigid in the fit", marker.segment, rigidity))
        else:
            kept.append(replace(marker, rigidity_m=rigidity))
    left_out = {track.label for track in rejected}
    layout = found.layout.select([label for label in found.layout.labels if label not in left_out])
    return TechnicalMarkers(layout, tuple(kept), tuple(rejected))


def find_technical_markers(
    fit: SubjectFit, layout: MarkerLayout | None = None, named: Mapping[str, int] | None = None
) -> TechnicalMarkers:
    """Return the layout of a fit with the technical markers among the other tracks of its recordings.

    ``layout`` has the rows of the ``named`` ones, which are taken where the recordings don't show the place.
    """
    named = named or {}
    frames = [_SegmentFrames.from_fit(trial) for trial in fit.trials]
    skin = {id(trial): _RestSkin.from_fit(trial) for trial in fit.trials}
    markers: list[TechnicalMarker] = []
    rejected: list[RejectedTrack] = []
    rows: list[_SkinPoint] = []
    for label in unknown_labels(fit.trials, fit.layout):
        tracks = [(k, each) for k, trial in enumerate(frames) if (each := trial.track(label)) is not None]
        found = _judge_track(
            label, [frames[k] for k, _ in tracks], [each for _, each in tracks], skin, named.get(label)
        )
        if isinstance(found, RejectedTrack) and layout is not None and label in named:
            markers.append(TechnicalMarker(label, segment_name(named[label]), found.rigidity_m or 0.0))
            rows.append(_row_of(layout, label))
        elif isinstance(found, RejectedTrack):
            rejected.append(found)
        else:
            markers.append(found[0])
            rows.append(found[1])
    layout = _with_rows(fit.layout, [marker.label for marker in markers], rows)
    return TechnicalMarkers(layout, tuple(markers), tuple(rejected))


def unknown_labels(trials: Iterable[TrialFit], layout: MarkerLayout) -> list[str]:
    """Return the labels of the recordings that the layout lacks, in their order, without joint centres."""
    known = {*layout.labels, *(marker.name for marker in MARKERS.values() if marker.kind == "joint_centre")}
    return list(dict.fromkeys(label for trial in trials for label in trial.recording.labels if label not in known))


@dataclass(frozen=True)
class _SegmentFrames:
    """The frames of the segments of a fitted trial."""

    trial: TrialFit
    world: Vector  # (T, J, 3, 3)
    valid: NDArray[np.bool_]  # (T,)

    @classmethod
    def from_fit(cls, trial: TrialFit) -> _SegmentFrames:
        world = trial.rotations.copy()
        for j in range(1, world.shape[1]):
            world[:, j] = world[:, trial.body.parents[j]] @ world[:, j]
        return cls(trial, world, trial.valid_frames.valid)

    def track(self, label: str) -> _LocalTrack | None:
        """Return the places of a track in the segments' frames; None if it is never visible."""
        labels = self.trial.recording.labels
        if label not in labels:
            return None
        position = self.trial.recording.positions_m[:, labels.index(label)]
        rows = np.flatnonzero(np.isfinite(position).all(axis=1) & self.valid)
        if not len(rows):
            return None
        local = np.einsum("tjki,tjk->tji", self.world[rows], position[rows, None] - self.trial.joints_m[rows])
        return _LocalTrack(rows, np.concatenate([local, position[rows, None]], axis=1))


@dataclass(frozen=True)
class _LocalTrack:
    """Places of a track in the frames of the segments, and last in that of the laboratory."""

    rows: NDArray[np.intp]  # (N,) frames
    local_m: Vector  # (N, J + 1, 3)

    @property
    def square_deviation(self) -> Vector:
        """Sum of the squared distances from the mean place (J + 1,)."""
        return np.asarray(((self.local_m - self.local_m.mean(axis=0)) ** 2).sum(axis=(0, 2)))


def _judge_track(
    label: str,
    frames: Sequence[_SegmentFrames],
    tracks: Sequence[_LocalTrack],
    skin: dict[int, _RestSkin],
    named: int | None,
) -> RejectedTrack | tuple[TechnicalMarker, _SkinPoint]:
    """Decide with which segment a track moves; ``named`` is the joint of the segment that its name states."""
    seconds = sum(len(t.rows) / f.trial.recording.rate_hz for f, t in zip(frames, tracks, strict=True))
    if seconds < MIN_TRACK_S:
        return RejectedTrack(label, "few frames")
    count = sum(len(track.rows) for track in tracks)
    deviation = np.sqrt(sum(track.square_deviation for track in tracks) / count)  # (J + 1,)
    if named is not None:  # the name excludes the other segments, and the laboratory
        beside = _segments_beside(named, frames[0].trial.body.parents)
        deviation[[j not in beside for j in range(len(deviation))]] = np.inf
    best = int(deviation[:-1].argmin())
    rigidity, segment = float(deviation[best]), segment_name(best)
    tied = deviation <= TIE_RATIO * rigidity + TIE_M
    if rigidity > MAX_START_RIGIDITY_M:
        return RejectedTrack(label, "not rigid", segment, rigidity)
    if tied[-1]:
        return RejectedTrack(label, "no movement", segment, rigidity)
    points = {}
    for j in np.flatnonzero(tied[:-1]).tolist():
        f, t = min(zip(frames, tracks, strict=True), key=lambda pair: _sigma(pair[0], pair[1], j))
        rest = skin[id(f.trial)]
        points[j] = rest.nearest_point(rest.joints[j] + np.median(t.local_m[:, j], axis=0), j)
    joint = min(points, key=lambda j: abs(points[j].distance_m))
    determined = max(
        f.trial.uncertainty.data_fraction[t.rows, joint].mean() for f, t in zip(frames, tracks, strict=True)
    )
    limit = MAX_HEIGHT_UNDETERMINED_M if determined < MIN_DATA_FRACTION else MAX_HEIGHT_M
    if points[joint].distance_m > limit:
        return RejectedTrack(label, "off the skin", segment_name(joint), float(deviation[joint]))
    sigma = max(_sigma(f, t, joint) for f, t in zip(frames, tracks, strict=True))
    return (
        TechnicalMarker(label, segment_name(joint), float(deviation[joint])),
        replace(points[joint], relative_sigma=_relative_sigma(sigma)),
    )


def _relative_sigma(sigma_m: float) -> float:
    """Return the factor on the expected residual of a marker, from the expected error of its segment's ends."""
    return float(np.interp(sigma_m, (DETERMINED_SIGMA_M, UNDETERMINED_SIGMA_M), (MAX_RELATIVE_SIGMA, 1.0)))


def _sigma(frames: _SegmentFrames, track: _LocalTrack, joint: int) -> float:
    """Return the expected error of the two ends of a segment in the frames of a track, metres."""
    parents = frames.trial.body.parents[:NUM_BODY_JOINTS]
    ends = [joint, next((j for j, parent in enumerate(parents) if parent == joint), joint)]
    return float(frames.trial.uncertainty.sigma_m[track.rows][:, ends].mean())


@dataclass(frozen=True)
class _SkinPoint:
    """A point on the skin and the height of a marker above it."""

    face: int
    barycentric: Vector  # (3,)
    height_m: float
    distance_m: float
    relative_sigma: float = 1.0  # factor on the expected residual


@dataclass(frozen=True)
class _RestSkin:
    """The skin of a subject in the rest pose."""

    joints: Vector  # (J, 3) metres
    corners: Vector  # (F, 3, 3) vertices of the faces
    face_joint: NDArray[np.intp]  # (F,) joint with the largest skinning weight

    @classmethod
    def from_fit(cls, trial: TrialFit) -> _RestSkin:
        body = trial.body
        with torch.inference_mode():
            vertices, joints = body.rest_body(torch.as_tensor(trial.betas).to(body.v_template))
        faces = body.faces.cpu().numpy()
        corners = vertices[0].double().cpu().numpy()[faces]
        return cls(joints[0].double().cpu().numpy(), corners, body.face_weights.argmax(dim=1).cpu().numpy())

    @cached_property
    def centres(self) -> Vector:
        """Centres of the faces (F, 3)."""
        return np.asarray(self.corners.mean(axis=1))

    def nearest_point(self, point: Vector, joint: int) -> _SkinPoint:
        """Return the nearest point on the skin of a segment to a point (3,)."""
        faces = np.flatnonzero(self.face_joint == joint)
        near = faces[np.argsort(((self.centres[faces] - point) ** 2).sum(axis=1))[:NUM_NEAREST_FACES]]
        barycentric = nearest_barycentric(point, self.corners[near])
        on_skin = np.einsum("fk,fkc->fc", barycentric, self.corners[near])
        distance = np.linalg.norm(point - on_skin, axis=1)
        best = int(distance.argmin())
        a, b, c = self.corners[near[best]]
        normal = np.cross(b - a, c - a)
        height = float((point - on_skin[best]) @ normal / np.linalg.norm(normal))
        return _SkinPoint(int(near[best]), barycentric[best], height, float(distance[best]))


def nearest_barycentric(point: Vector, triangles: Vector) -> Vector:
    """Return the barycentric weights (F, 3) of the points of some triangles (F, 3, 3) that are nearest to a point (3,).

    The projection onto the plane if it is inside, else the nearest point of the three edges.
    """
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    candidates = []
    for first, second in ((0, 1), (1, 2), (2, 0)):
        start, edge = triangles[:, first], triangles[:, second] - triangles[:, first]
        t = np.clip(((point - start) * edge).sum(axis=1) / (edge**2).sum(axis=1).clip(1e-18), 0, 1)
        weights = np.zeros((len(triangles), 3))
        weights[:, first], weights[:, second] = 1 - t, t
        candidates.append(weights)
    normal = np.cross(b - a, c - a)
    square = (normal**2).sum(axis=1).clip(1e-24)
    u = (np.cross(c - b, point - b) * normal).sum(axis=1) / square
    v = (np.cross(a - c, point - c) * normal).sum(axis=1) / square
    inside = (u >= 0) & (v >= 0) & (u + v <= 1)
    plane = np.where(inside[:, None], np.stack([u, v, 1 - u - v], axis=1), candidates[0])
    options = np.stack([*candidates, plane])  # (4, F, 3)
    distance = np.linalg.norm(np.einsum("ofk,fkc->ofc", options, triangles) - point, axis=-1)
    return options[distance.argmin(axis=0), np.arange(len(triangles))]


def _row_of(layout: MarkerLayout, label: str) -> _SkinPoint:
    row = layout.labels.index(label)
    height = float(layout.height_above_skin_m[row])
    return _SkinPoint(int(layout.face[row]), layout.barycentric[row], height, abs(height))


def _with_rows(layout: MarkerLayout, labels: Sequence[str], points: Sequence[_SkinPoint]) -> MarkerLayout:
    """Return a layout with further technical markers whose places come from recordings."""
    if not labels:
        return layout
    return replace(
        layout,
        labels=(*layout.labels, *labels),
        face=np.concatenate([layout.face, [point.face for point in points]]),
        barycentric=np.concatenate([layout.barycentric, [point.barycentric for point in points]]),
        height_above_skin_m=np.concatenate([layout.height_above_skin_m, [point.height_m for point in points]]),
        kinds=(*layout.kinds, *("technical" for _ in points)),  # type: ignore[arg-type]
        solved={**layout.solved, **dict(zip(labels, (point.relative_sigma for point in points), strict=True))},
    )
