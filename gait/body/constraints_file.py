"""``constraints.json`` of 3D Body Twin: marker layouts and joint limits for one body."""

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
from gait.body.marker_layout import ANATOMICAL_MARKERS, TECHNICAL_MARKERS, MarkerLayout, marker_kind
from gait.body.skeleton import NUM_JOINTS
from gait.errors import GaitError

MARKER_TYPES = ("C3DMarker", "JSONMarker", "OsimMarker")

_MAX_BYTES = 16 << 20
_FACE_COUNT_KEYS = ("numFaces", "faceCount", "n_faces", "F")
_TWIN_FACES = 20908
"""Of the mesh of SUPR and SMPL-X, which 3D Body Twin's files are made on."""
_MAX_DISTANCE_M = 0.5
_LARGEST = 1e300  # JSON's whole numbers have no end, a float's do
_HEIGHTS = (("FHD", "BHD"), ("SHO",), ("ASI", "PSI"), ("KNE",), ("ANK",))
"""Plug-in Gait names from the head down."""


@dataclass(frozen=True, eq=False)
class AngleBounds:
    """Limits of single pose numbers, radians."""

    indices: NDArray[np.int64]  # (K,) pose numbers
    lower: NDArray[np.float64]  # (K,)
    upper: NDArray[np.float64]  # (K,)


@dataclass(frozen=True, eq=False)
class Constraints:
    """What the suite uses of one constraints file."""

    path: Path
    layouts: tuple[MarkerLayout, ...]
    angle_bounds: AngleBounds
    unused: tuple[str, ...]  # names of the constraints not used yet, with their type
    mesh_known: bool  # the file says that its layouts are for the body's mesh, or that is SUPR's and SMPL-X's

    def layout_for(self, labels: Iterable[str]) -> MarkerLayout:
        """The layout that shares most labels with a recording's; of equals, the one with fewer others.

        Raises GaitError with both sets of labels if no layout shares ``fewest_shared``.
        """
        recorded = list(labels)
        if not self.layouts:
            raise GaitError(f"{self.path}: no marker constraint ({', '.join(MARKER_TYPES)}) in it.")
        known = set(recorded)
        shared = [len(known.intersection(layout.labels)) for layout in self.layouts]
        best = max(range(len(shared)), key=lambda i: (shared[i], -self.layouts[i].num_markers))
        layout = self.layouts[best]
        if shared[best] < layout.fewest_shared:
            sets = "; ".join(f"{each.source} has {', '.join(each.labels)}" for each in self.layouts)
            raise GaitError(
                f"{self.path}: no marker constraint fits the recording; the recording has "
                f"{', '.join(recorded) or 'no markers'}; {sets}."
            )
        return layout


def _finite(value: Any, what: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST:
        return float(value)
    raise GaitError(f"{what} is {json.dumps(value)[:40]}, not a finite number.")


def _index(value: Any, what: str, limit: int, of: str) -> int:
    number = _finite(value, what)
    if number != int(number) or not 0 <= number < limit:
        raise GaitError(f"{what} is {number:g}, outside 0 to {limit - 1}, the {of}.")
    return int(number)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise GaitError(f"{what} is missing or no list.")
    return value


def _check_face_count(holder: Mapping[str, Any], where: str, body: Body) -> bool:
    """Whether an object says how many faces its mesh has; a GaitError if the body has another number."""
    said = False
    for key in _FACE_COUNT_KEYS:
        count = holder.get(key)
        said = said or isinstance(count, int)
        if count is not None and not isinstance(count, Mapping) and count != len(body.faces):
            raise GaitError(
                f"{where}: made on a mesh of {json.dumps(count)[:40]} faces ({key}), but {body.name} "
                f"has {len(body.faces)}; use the body it was made on, or have the markers placed without it."
            )
    return said


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
            raise GaitError(f"{this} is no object with faceId, baryCoords and distanceToSkin.")
        of = f"faces of {body.name}; the file was made on another mesh"
        faces.append(_index(marker.get("faceId"), f"{this}: faceId", len(body.faces), of))
        bary = [_finite(b, f"{this}: baryCoords") for b in _list(marker.get("baryCoords"), f"{this}: baryCoords")]
        if len(bary) != 3:
            raise GaitError(f"{this}: baryCoords has {len(bary)} numbers, needed are 3.")
        if not abs(sum(bary) - 1) <= 1e-3 or min(bary) < -1e-3:
            raise GaitError(f"{this}: baryCoords {bary} are no weights that sum to 1.")
        barys.append(bary)
        distance = _finite(marker.get("distanceToSkin"), f"{this}: distanceToSkin")
        if abs(distance) > _MAX_DISTANCE_M:
            raise GaitError(f"{this}: distanceToSkin is {distance:g}; in metres that is no marker.")
        distances.append(distance)
    labels = tuple(str(label).strip() for label in markers)
    if len(set(labels)) != len(labels):
        raise GaitError(f"{where}: a marker is named twice.")
    if "" in labels:
        raise GaitError(f"{where}: a marker has no name.")
    layout = MarkerLayout(
        labels=labels,
        face=np.array(faces, dtype=np.int64),
        bary=np.array(barys),
        distance_m=np.array(distances),
        kinds=tuple(marker_kind(label) for label in labels),
        source=f"{path.name}: {name}",
    )
    _check_plausible(layout, body, where)
    return layout


def _check_plausible(layout: MarkerLayout, body: Body, where: str) -> None:
    """Refuse a layout whose Plug-in Gait names are scattered over the body: its face ids are another mesh's.

    Face ids of another mesh are often in range, and nothing else in a file tells. On the right mesh markers
    named left are at +x, and heads are above shoulders above hips above knees above ankles.
    """
    faces = body.faces.cpu().numpy()[layout.face]
    corners = body.v_template.detach().cpu().numpy()[faces]
    point = dict(zip(layout.labels, np.einsum("mk,mkc->mc", layout.bary, corners), strict=True))
    sided = [name for name in layout.labels if name[0] in "LR" and name in ANATOMICAL_MARKERS | TECHNICAL_MARKERS]
    wrong = [name for name in sided if (point[name][0] if name[0] == "L" else -point[name][0]) < -0.01]
    groups = [[n for n in sided if n[1:] in names] for names in _HEIGHTS]
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
        raise GaitError(f"{where}: joints, lbounds and upbounds have {sizes} entries, needed are equally many.")
    # SMPL-X shares SUPR's mesh, and so its files, but not the toes that these may bound.
    numbers = max(body.num_pose, 3 * NUM_JOINTS) if body.model_type == "smplx" else body.num_pose
    bounds = []
    for index, lower, upper in zip(*columns, strict=True):
        pose_number = _index(index, f"{where}: joints", numbers, f"pose numbers of {body.name}")
        low, high = _finite(lower, f"{where}: lbounds"), _finite(upper, f"{where}: upbounds")
        if low > high:
            raise GaitError(f"{where}: pose number {pose_number} has lbound {low:g} above upbound {high:g}.")
        if pose_number < body.num_pose:
            bounds.append((pose_number, low, high))
    return bounds


def _parsed(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise GaitError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, so no constraints file.")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise GaitError(f"{path}: no such file.") from None
    except OSError as error:
        raise GaitError(f"{path}: cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise GaitError(f"{path}: no JSON ({reason}).") from None
    if not isinstance(content, dict):
        raise GaitError(f"{path}: holds a {type(content).__name__}, not an object of constraints.")
    return content


def read_constraints(path: str | Path, body: Body) -> Constraints:
    """The marker layouts and angle bounds of a constraints file, checked against the body they are for.

    Raises GaitError, one line with file, constraint and marker, if the file is no such file, a number is
    missing or not finite, a list has another length than needed, an index is out of range, or a layout
    belongs to another mesh (a recorded face count that differs, a faceId out of range, Plug-in Gait names
    scattered over the body).
    """
    path = Path(path)
    content = _parsed(path)
    mesh_known = _check_face_count(content, str(path), body) or len(body.faces) == _TWIN_FACES
    said = [_check_face_count(part, f"{path}: {name}", body) for name, part in content.items() if _is_layout(part)]
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
        mesh_known=mesh_known or all(said),
    )
