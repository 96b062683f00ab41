"""Simulated markers of a trial: on the skin of the body model, with placement errors, noise and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import MARKER_CENTRE_M
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint, joint_indices
from gait.marker_sets import MARKER_SETS
from gait.synthetic.trial import pose_tensors

PLUG_IN_GAIT_39 = MARKER_SETS["plug_in_gait"].recorded
"""Markers of the Plug-in Gait full-body set, in its own order."""


MIN_CLUSTER_WEIGHT = 0.7
"""Smallest skinning weight of the segment of a cluster marker."""


@dataclass(frozen=True)
class MeasurementErrors:
    """Sizes of the simulated measurement errors; with all sizes zero the markers lie exactly as in the layout.

    Each marker has a constant placement offset. Its length is drawn from a Rayleigh distribution of mean
    ``placement_m``, and its direction is mostly tangential to the skin. Technical markers are also shifted along their
    segment. The offset rotates with the marker's segment, which is the joint with the largest skinning weight at the
    marker. A subject has the same offsets in all trials.
    """

    placement_m: float = 0.010
    technical_along_m: float = 0.025  # standard deviation of the shift of technical markers along their segment
    noise_m: float = 0.001  # white noise, standard deviation per coordinate
    gap_fraction: float = 0.02  # of all samples
    gap_s: tuple[float, float] = (0.05, 0.3)  # minimum and maximum length of a gap


NO_ERRORS = MeasurementErrors(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class SimulatedMarkers:
    """Markers of one trial, in the coordinates of its ground truth: metres, y up."""

    labels: tuple[str, ...]  # (M,)
    positions_m: Vector  # (T, M, 3); NaN where a marker is not visible
    offsets_m: Vector  # (M, 3) placement offset in the segment's rest frame
    segments: NDArray[np.int64]  # (M,) joint whose rotation the offset follows


def draw_placement_offsets(
    body: Body,
    betas: NDArray[np.floating],
    layout: MarkerLayout,
    errors: MeasurementErrors,
    random: np.random.Generator,
) -> tuple[Vector, NDArray[np.int64]]:
    """Draw the placement offsets (M, 3), metres in the rest frame; return them and their segments (M,)."""
    with torch.inference_mode():
        vertices, joints = body.rest_body(torch.as_tensor(betas).to(body.v_template))
    rest, joint = vertices[0].double().cpu().numpy(), joints[0].double().cpu().numpy()
    corners = body.faces.cpu().numpy()[layout.face]  # (M, 3)
    weights = (body.weights.double().cpu().numpy()[corners] * layout.barycentric[..., None]).sum(axis=1)
    segments = weights.argmax(axis=1)
    for m, joint_centre in _joint_rows(body, layout):
        segments[m] = max(body.parents[joint_centre], 0)
    triangle = rest[corners]
    edge = triangle[:, 1] - triangle[:, 0]
    normal = np.cross(edge, triangle[:, 2] - triangle[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    first = edge / np.linalg.norm(edge, axis=1, keepdims=True)
    second = np.cross(normal, first)
    M = layout.num_markers
    g = random.standard_normal((M, 3)) * [1, 1, 0.3]
    direction = g[:, :1] * first + g[:, 1:2] * second + g[:, 2:] * normal
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = errors.placement_m * random.rayleigh(np.sqrt(2 / np.pi), size=(M, 1))
    offsets = length * direction
    shifts = errors.technical_along_m * np.clip(random.standard_normal(M), -2, 2)
    for m, kind in enumerate(layout.kinds):
        if kind == "technical":
            along = _long_axis(body, joint, int(segments[m]))
            along = along - normal[m] * (along @ normal[m])  # along the skin
            offsets[m] += shifts[m] * along / max(float(np.linalg.norm(along)), 1e-9)
    return offsets, segments


def add_cluster_markers(
    body: Body, layout: MarkerLayout, counts: Mapping[Joint, int], random: np.random.Generator
) -> MarkerLayout:
    """Return a layout with further markers, ``LEFT_KNEE_1`` …, at random on the skin that moves with some joints."""
    weights = body.face_weights.double().cpu().numpy()
    labels = [f"{joint.name}_{k + 1}" for joint, count in counts.items() for k in range(count)]
    faces = [
        random.choice(np.flatnonzero(weights[:, joint] > MIN_CLUSTER_WEIGHT), count) for joint, count in counts.items()
    ]
    return replace(
        layout,
        labels=(*layout.labels, *labels),
        face=np.concatenate([layout.face, *faces]),
        barycentric=np.concatenate([layout.barycentric, random.dirichlet(np.ones(3), len(labels))]),
        height_above_skin_m=np.concatenate([layout.height_above_skin_m, np.full(len(labels), MARKER_CENTRE_M)]),
        kinds=(*layout.kinds, *("technical" for _ in labels)),  # type: ignore[arg-type]
    )


def _long_axis(body: Body, rest_joints: Vector, segment: int) -> Vector:
    """Return the unit vector (3,) from a joint to its first child; for the trunk and for end joints, the vertical."""
    children = [j for j, parent in enumerate(body.parents) if parent == segment]
    if segment in (Joint.PELVIS, Joint.SPINE1, Joint.SPINE2, Joint.SPINE3) or not children:
        return np.array([0.0, 1.0, 0.0])
    line = rest_joints[children[0]] - rest_joints[segment]
    return line / np.linalg.norm(line)


def noise_free_markers(body: Body, truth: PoseSequence, layout: MarkerLayout) -> tuple[Vector, Vector]:
    """Return the markers (T, M, 3) on the posed mesh and the world rotations of all joints (T, J, 3, 3).

    Only the vertices of the marked faces are posed, which is faster and gives the same positions. Joint centres are at
    their joints.
    """
    corners = body.faces[torch.as_tensor(layout.face, device=body.device)]  # (M, 3)
    part = submesh(body, corners.reshape(-1))
    with torch.inference_mode():
        out = part(*pose_tensors(truth, part))
    triangle = out.vertices.double().cpu().numpy().reshape(truth.num_frames, -1, 3, 3)
    normal = np.cross(triangle[:, :, 1] - triangle[:, :, 0], triangle[:, :, 2] - triangle[:, :, 0])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    point = (triangle * layout.barycentric[:, :, None]).sum(axis=2) + layout.height_above_skin_m[:, None] * normal
    for m, joint in _joint_rows(body, layout):
        point[:, m] = out.joints[:, joint].double().cpu().numpy()
    return point, out.rotations.double().cpu().numpy()


def _joint_rows(body: Body, layout: MarkerLayout) -> list[tuple[int, int]]:
    """Return the row and the body's joint of each joint centre of a layout."""
    rows = joint_indices(body.num_joints)
    return [(layout.labels.index(label), rows[joint]) for label, joint in layout.joints.items()]


def submesh(body: Body, vertices: torch.Tensor) -> Body:
    """Return the body reduced to these vertices (V',), in double precision; ``faces`` keeps the original indices."""
    return replace(
        body,
        v_template=body.v_template[vertices],
        shapedirs=body.shapedirs[vertices],
        posedirs=None if body.posedirs is None else body.posedirs[vertices],
        weights=body.weights[vertices],
    ).to(dtype=torch.float64)


def record_markers(
    body: Body,
    truth: PoseSequence,
    layout: MarkerLayout,
    errors: MeasurementErrors,
    *,
    subject_seed: int,
    trial_seed: int,
) -> SimulatedMarkers:
    """Simulate the recorded markers of a trial.

    The placement errors depend on ``subject_seed`` alone; noise and gaps depend on ``trial_seed`` too.
    """
    random = np.random.default_rng([subject_seed, 2])
    offsets, segments = draw_placement_offsets(body, truth.betas, layout, errors, random)
    points, rotations = noise_free_markers(body, truth, layout)
    points = points + np.einsum("tmij,mj->tmi", rotations[:, segments], offsets)
    random = np.random.default_rng([subject_seed, 3, trial_seed])
    points = points + errors.noise_m * random.standard_normal(points.shape)
    points[_draw_gaps(errors, points.shape[:2], truth.rate_hz, random)] = np.nan
    return SimulatedMarkers(layout.labels, points, offsets, segments)


def _draw_gaps(
    errors: MeasurementErrors, shape: tuple[int, int], rate_hz: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Draw gaps (T, M), True where a marker is hidden; of random length, on average ``gap_fraction`` of all samples."""
    T, M = shape
    hidden = np.zeros(shape, dtype=bool)
    if errors.gap_fraction <= 0:
        return hidden
    min_length, max_length = (max(1, round(s * rate_hz)) for s in errors.gap_s)
    num_gaps = random.poisson(errors.gap_fraction * T / (0.5 * (min_length + max_length)), size=M)
    for m, count in enumerate(num_gaps):
        for _ in range(count):
            length = int(random.integers(min_length, max_length + 1))
            start = int(random.integers(1 - length, T))
            hidden[max(start, 0) : start + length, m] = True
    return hidden
