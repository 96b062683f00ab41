"""Read ``constraints.json`` of 3D Body Twin: marker layouts and joint limits for one body model."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.body import Body
from gait.body.marker_layout import MarkerLayout, marker_kind
from gait.body.skeleton import NUM_JOINTS
from gait.errors import GaitError
from gait.files.read_json import read_json
from gait.marker_sets import MARKER_BY_ALIAS
from gait.marker_sets.marker_set import HEIGHT_GROUPS

MARKER_TYPES = ("C3DMarker", "JSONMarker", "OsimMarker")

_FACE_COUNT_KEYS = ("numFaces", "faceCount", "n_faces", "F")
_TWIN_FACES = 20908
"""Number of faces of the mesh of SUPR and SMPL-X, which 3D Body Twin uses."""
_MAX_DISTANCE_M = 0.5
_MAX_NUMBER = 1e300  # whole numbers in JSON can exceed the range of a float


@dataclass(frozen=True, eq=False)
class AngleBounds:
    """Limits of pose parameters, radians."""

    indices: NDArray[np.int64]  # (K,) index of the pose parameter
    lower: NDArray[np.float64]  # (K,)
    upper: NDArray[np.float64]  # (K,)


@dataclass(frozen=True, eq=False)
class Constraints:
    """The supported content of one constraints file."""

    path: Path
    layouts: tuple[MarkerLayout, ...]
    angle_bounds: AngleBounds
    unused: tuple[str, ...]  # names and types of the unsupported constraints
    mesh_known: bool  # whether the file states that its layouts are for the body's mesh, or the mesh is SUPR's

    def layout_for(self, labels: Iterable[str]) -> MarkerLayout:
        """Return the layout that shares most labels with a recording; among equals, the one with fewest other markers.

        Raises GaitError with both sets of labels if no layout shares ``min_shared_markers``.
        """
        recorded = list(labels)
        if not self.layouts:
            raise GaitError(f"{self.path}: no marker constraint ({', '.join(MARKER_TYPES)}) in it.")
        known = set(recorded)
        shared = [len(known.intersection(layout.labels)) for layout in self.layouts]
        best = max(range(len(shared)), key=lambda i: (shared[i], -self.layouts[i].num_markers))
        layout = self.layouts[best]
        if shared[best] < layout.min_shared_markers:
            sets = "; ".join(f"{each.source} has {', '.join(each.labels)}" for each in self.layouts)
            sets = f"the recording has {', '.join(recorded) or 'no markers'}; {sets}"
            raise GaitError(f"{self.path}: no marker constraint fits the recording; {sets}.")
        return layout


def _finite(value: Any, what: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_NUMBER:
        return float(value)
    raise GaitError(f"{what} is {json.dumps(value)[:40]}, not a finite number.")


def _index(value: Any, what: str, limit: int, of: str) -> int:
    number = _finite(value, what)
    if number != int(number) or not 0 <= number < limit:
        raise GaitError(f"{what} is {number:g}, outside 0 to {limit - 1}, the {of}.")
    return int(number)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise GaitError(f"{what} is missing or not a list.")
    return value


def _check_face_count(holder: Mapping[str, Any], where: str, body: Body) -> bool:
    """Return whether an object states its number of mesh faces; raise GaitError if the body has another number."""
    stated = False
    for key in _FACE_COUNT_KEYS:
        count = holder.get(key)
        stated = stated or isinstance(count, int)
        if count is not None and not isinstance(count, Mapping) and count != len(body.faces):
            counts = f"{json.dumps(count)[:40]} faces ({key}), but {body.name} has {len(body.faces)}"
            raise GaitError(f"{where}: made on a mesh of {counts}; use that body model, or no marker_layout_file.")
    return stated


def _is_layout(constraint: Any) -> bool:
    return isinstance(constraint, Mapping) and constraint.get("type") in MARKER_TYPES


def _layout(name: str, constraint: Mapping[str, Any], body: Body, path: Path) -> MarkerLayout:
    where = f"{path}: {name}"
    markers = constraint.get("Markers")
    if not isinstance(markers, Mapping) or not markers:
        raise GaitError(f"{where}: Markers is missing or empty.")
    faces, barys, distances = [], [], []
    for label, marker in markers.items():
        this = f"{where}: marker {label}"
        if not isinstance(marker, Mapping):
            raise GaitError(f"{this} is not an object with faceId, baryCoords and distanceToSkin.")
        of = f"faces of {body.name}; the file was made on another mesh"
        faces.append(_index(marker.get("faceId"), f"{this}: faceId", len(body.faces), of))
        bary = [_finite(b, f"{this}: baryCoords") for b in _list(marker.get("baryCoords"), f"{this}: baryCoords")]
        if len(bary) != 3:
            raise GaitError(f"{this}: baryCoords has {len(bary)} numbers, expected 3.")
        if not abs(sum(bary) - 1) <= 1e-3 or min(bary) < -1e-3:
            raise GaitError(f"{this}: baryCoords {bary} are not weights that sum to 1.")
        barys.append(bary)
        distance = _finite(marker.get("distanceToSkin"), f"{this}: distanceToSkin")
        if abs(distance) > _MAX_DISTANCE_M:
            raise GaitError(f"{this}: distanceToSkin is {distance:g}; in metres that is too far for a marker.")
        distances.append(distance)
    labels = tuple(str(label).strip() for label in markers)
    if len(set(labels)) != len(labels):
        raise GaitError(f"{where}: a marker is named twice.")
    if "" in labels:
        raise GaitError(f"{where}: a marker has no name.")
    layout = MarkerLayout(
        labels=labels,
        face=np.array(faces, dtype=np.int64),
        barycentric=np.array(barys),
        height_above_skin_m=np.array(distances),
        kinds=tuple(marker_kind(label) for label in labels),
        source=f"{path.name}: {name}",
    )
    _check_plausible(layout, body, where)
    return layout


def _check_plausible(layout: MarkerLayout, body: Body, where: str) -> None:
    """Raise GaitError if the positions of markers of known sets on the body are implausible.

    Such a layout was made for another mesh, whose face ids are often in range. On the right mesh left markers are at
    +x, and head, shoulders, hips, knees and ankles follow each other from top to bottom.
    """
    faces = body.faces.cpu().numpy()[layout.face]
    corners = body.v_template.detach().cpu().numpy()[faces]
    point = dict(zip(layout.labels, np.einsum("mk,mkc->mc", layout.barycentric, corners), strict=True))
    known = {name: MARKER_BY_ALIAS[name] for name in layout.labels if name in MARKER_BY_ALIAS}
    sided = [name for name, marker in known.items() if marker.side]
    wrong = [name for name in sided if (point[name][0] if known[name].side == "left" else -point[name][0]) < -0.01]
    groups = [[name for name in sided if known[name].group == group] for group in HEIGHT_GROUPS]
    heights = [float(np.median([point[n][1] for n in group])) for group in groups if group]
    scattered = len(wrong) > max(1, 0.1 * len(sided))
    if scattered or any(below > above for above, below in pairwise(heights)):
        which = f"{', '.join(wrong)} would be on the wrong side" if wrong else "head and feet would be mixed up"
        raise GaitError(f"{where}: on {body.name} {which}; its faceIds are those of another mesh.")


def _bounds(name: str, constraint: Mapping[str, Any], body: Body, path: Path) -> list[tuple[int, float, float]]:
    where = f"{path}: {name}"
    columns = []
    for key in ("joints", "lbounds", "upbounds"):
        value = constraint.get(key)
        columns.append([value] if isinstance(value, int | float) else _list(value, f"{where}: {key}"))
    if len({len(column) for column in columns}) != 1:
        sizes = " and ".join(str(len(column)) for column in columns)
        raise GaitError(f"{where}: joints, lbounds and upbounds have {sizes} entries; they must be equally long.")
    # Files for SUPR also serve SMPL-X, which has the same mesh but no toe joints.
    num_parameters = max(body.num_pose, 3 * NUM_JOINTS) if body.model_type == "smplx" else body.num_pose
    bounds = []
    for index, lower, upper in zip(*columns, strict=True):
        parameter = _index(index, f"{where}: joints", num_parameters, f"pose parameters of {body.name}")
        low, high = _finite(lower, f"{where}: lbounds"), _finite(upper, f"{where}: upbounds")
        if low > high:
            raise GaitError(f"{where}: pose parameter {parameter} has lbound {low:g} above upbound {high:g}.")
        if parameter < body.num_pose:
            bounds.append((parameter, low, high))
    return bounds


def read_constraints(path: str | Path, body: Body) -> Constraints:
    """Read the marker layouts and angle bounds of a constraints file and check them against ``body``.

    Raises GaitError, naming file, constraint and marker, if the file is not a constraints file, a number is missing or
    not finite, a list has a wrong length, an index is out of range, or a layout belongs to another mesh (its face count
    differs, a faceId is out of range, or the positions of markers of known sets are implausible).
    """
    path = Path(path)
    content = read_json(path, "constraints file")
    if not isinstance(content, dict):
        raise GaitError(f"{path}: contains a {type(content).__name__}, not an object of constraints.")
    mesh_known = _check_face_count(content, str(path), body) or len(body.faces) == _TWIN_FACES
    stated = [_check_face_count(part, f"{path}: {name}", body) for name, part in content.items() if _is_layout(part)]
    layouts: list[MarkerLayout] = []
    bounds: list[tuple[int, float, float]] = []
    unused: list[str] = []
    for name, constraint in content.items():
        if name in _FACE_COUNT_KEYS and not isinstance(constraint, Mapping):
            continue
        kind = constraint.get("type") if isinstance(constraint, Mapping) else None
        if _is_layout(constraint):
            layouts.append(_layout(name, constraint, body, path))
        elif kind == "Angle":
            bounds.extend(_bounds(name, constraint, body, path))
        else:
            unused.append(f"{name} ({kind})" if isinstance(kind, str) else name)
    table = np.array(bounds, dtype=np.float64).reshape(-1, 3)
    return Constraints(
        path=path,
        layouts=tuple(layouts),
        angle_bounds=AngleBounds(table[:, 0].astype(np.int64), table[:, 1], table[:, 2]),
        unused=tuple(unused),
        mesh_known=mesh_known or all(stated),
    )
