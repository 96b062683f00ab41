"""What a laboratory would record of a walk: markers on the skin, not quite where they should be, seen with gaps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint
from gait.synthetic.walk import pose_tensors

Vector = NDArray[np.float64]

# fmt: off
PLUG_IN_GAIT_39 = (
    "LFHD", "RFHD", "LBHD", "RBHD", "C7", "T10", "CLAV", "STRN", "RBAK", "LSHO", "LUPA",
    "LELB", "LFRM", "LWRA", "LWRB", "LFIN", "RSHO", "RUPA", "RELB", "RFRM", "RWRA", "RWRB",
    "RFIN", "LASI", "RASI", "LPSI", "RPSI", "LTHI", "LKNE", "LTIB", "LANK", "LHEE", "LTOE",
    "RTHI", "RKNE", "RTIB", "RANK", "RHEE", "RTOE",
)
# fmt: on
"""The markers of Plug-in Gait's full body, in its own order."""


@dataclass(frozen=True)
class MarkerErrors:
    """How real markers differ from the layout's places; all zero gives the layout's places exactly.

    ``placement_m`` is the mean length of a marker's constant offset: its length is drawn from a Rayleigh
    distribution of that mean, its direction lies mostly in the skin. Technical markers are moved along their
    segment besides. The offset is fixed in the segment (the joint whose skinning weight is largest under the
    marker) and turns with it; it is one person's, the same in all of that person's walks.
    """

    placement_m: float = 0.010
    technical_along_m: float = 0.025  # standard deviation; 0 puts technical markers where the layout says
    noise_m: float = 0.001  # white, standard deviation of each coordinate
    gap_share: float = 0.02  # of all samples
    gap_s: tuple[float, float] = (0.05, 0.3)  # shortest and longest gap


NO_ERRORS = MarkerErrors(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class MarkerTracks:
    """Markers of one walk, in the walk's frame: metres, y up."""

    labels: tuple[str, ...]  # (M,)
    positions_m: Vector  # (T, M, 3); NaN where a marker was not seen
    offsets_m: Vector  # (M, 3) of the marker in its segment's rest frame
    segments: NDArray[np.int64]  # (M,) joints that the offsets turn with


def placement_offsets(
    body: Body, betas: NDArray[np.floating], layout: MarkerLayout, errors: MarkerErrors, random: np.random.Generator
) -> tuple[Vector, NDArray[np.int64]]:
    """Offsets (M, 3) in the rest frame, metres, and the segments (M,) they are fixed in."""
    with torch.inference_mode():
        vertices, joints = body.shaped(torch.as_tensor(betas).to(body.v_template))
    rest, joint = vertices[0].double().cpu().numpy(), joints[0].double().cpu().numpy()
    corners = body.faces.cpu().numpy()[layout.face]  # (M, 3)
    weights = (body.weights.double().cpu().numpy()[corners] * layout.bary[..., None]).sum(axis=1)
    segments = weights.argmax(axis=1)
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


def _long_axis(body: Body, rest_joints: Vector, segment: int) -> Vector:
    """(3,) unit vector from a joint to its child; up where it has none, or is of the trunk."""
    children = [j for j, parent in enumerate(body.parents) if parent == segment]
    if segment in (Joint.PELVIS, Joint.SPINE1, Joint.SPINE2, Joint.SPINE3) or not children:
        return np.array([0.0, 1.0, 0.0])
    line = rest_joints[children[0]] - rest_joints[segment]
    return line / np.linalg.norm(line)


def exact_markers(body: Body, truth: PoseSequence, layout: MarkerLayout) -> tuple[Vector, Vector]:
    """Virtual markers (T, M, 3) of the posed mesh, and world rotations of all joints (T, J, 3, 3).

    Only the vertices under the markers are posed, by the whole body's own formulas.
    """
    corners = body.faces[torch.as_tensor(layout.face, device=body.device)]  # (M, 3)
    part = part_of(body, corners.reshape(-1))
    with torch.inference_mode():
        out = part(*pose_tensors(truth, part))
    triangle = out.vertices.double().cpu().numpy().reshape(truth.frames, -1, 3, 3)
    normal = np.cross(triangle[:, :, 1] - triangle[:, :, 0], triangle[:, :, 2] - triangle[:, :, 0])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    point = (triangle * layout.bary[:, :, None]).sum(axis=2)
    return point + layout.distance_m[:, None] * normal, out.rotations.double().cpu().numpy()


def part_of(body: Body, vertices: torch.Tensor) -> Body:
    """The same body with these vertices (V',) alone, in double precision; its faces are those of the whole."""
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
    errors: MarkerErrors,
    *,
    person_seed: int,
    walk_seed: int,
) -> MarkerTracks:
    """The markers of one walk with placement errors of the person, noise and gaps of the walk."""
    offsets, segments = placement_offsets(body, truth.betas, layout, errors, np.random.default_rng([person_seed, 2]))
    points, rotations = exact_markers(body, truth, layout)
    points = points + np.einsum("tmij,mj->tmi", rotations[:, segments], offsets)
    random = np.random.default_rng([person_seed, 3, walk_seed])
    points = points + errors.noise_m * random.standard_normal(points.shape)
    points[_gaps(errors, points.shape[:2], truth.rate_hz, random)] = np.nan
    return MarkerTracks(layout.labels, points, offsets, segments)


def _gaps(
    errors: MarkerErrors, shape: tuple[int, int], rate_hz: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """(T, M) True where a marker is not seen: runs of random length, ``gap_share`` of all samples on average."""
    T, M = shape
    hidden = np.zeros(shape, dtype=bool)
    if errors.gap_share <= 0:
        return hidden
    shortest, longest = (max(1, round(s * rate_hz)) for s in errors.gap_s)
    runs = random.poisson(errors.gap_share * T / (0.5 * (shortest + longest)), size=M)
    for m, count in enumerate(runs):
        for _ in range(count):
            length = int(random.integers(shortest, longest + 1))
            start = int(random.integers(1 - length, T))
            hidden[max(start, 0) : start + length, m] = True
    return hidden
