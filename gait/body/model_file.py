"""Read body model files: SUPR, SMPL-X, SMPL-H, SMPL, and the open body of this package.

The kind of a file is recognized by its arrays, not by its name. Files of the SMPL family (Loper et al. 2015, ACM Trans.
Graph. 34:248; Romero et al. 2017, ACM Trans. Graph. 36:245; Pavlakos et al. 2019, CVPR) differ from SUPR files in three
points:

* ``J_regressor`` (J, V) regresses joints from vertices;
* ``posedirs`` (V, 3, 9·(J − 1)) multiply the rotation matrices of all joints except the root;
* the last ``shapedirs`` of SMPL-X are facial expressions.

The mean poses and principal components of the hands are not used: a pose is the axis-angle of every joint, zero for
flat hands (``flat_hand_mean=True``, ``use_pca=False`` in the package smplx).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from numpy.typing import NDArray

from gait.body.body import Body, Landmark
from gait.body.constrained_tree import read_constrained_tree
from gait.body.open_body import OPEN_BODY, default_model_folder
from gait.body.rotations import PoseFeature
from gait.errors import GaitError
from gait.files.safe_pickle import ChumpyExpression, read_array_dict

_MAX_ARRAY_BYTES = 256 << 20  # in double precision; the largest arrays of SMPL-X have 100 MB
_MAX_VALUE = 1e10
_SMPLX_JOINTS = 55
_SMPLX_SHAPES = 300  # followed by 100 expressions
_SMPLX_1_0_SHAPES = 10  # of the first release, followed by 10 expressions


class _Content:
    """The arrays of one file, with checks of their shapes and values."""

    def __init__(self, path: Path, arrays: Mapping[str, Any]):
        self.path = path
        self.arrays = arrays

    def __contains__(self, key: str) -> bool:
        return key in self.arrays

    def error(self, text: str) -> GaitError:
        return GaitError(f"{self.path}: {text}.")

    def raw(self, key: str) -> Any:
        """Return an entry as an array or sparse matrix, unchecked."""
        if key not in self.arrays:
            keys = ", ".join(sorted(self.arrays)) or "nothing"
            raise self.error(f"no {key}, so this is not a body model of the SUPR or SMPL family; it has {keys}")
        value = self.arrays[key]
        if isinstance(value, ChumpyExpression):
            raise self.error(f"{key} is a formula ({value.name}) that only chumpy can evaluate; save it as an array")
        return value if scipy.sparse.issparse(value) else np.asarray(value)

    def checked(self, key: str, expected: tuple[int | str, ...]) -> Any:
        """Return a numeric entry of the expected shape, in which a letter stands for any size except 0."""
        value = self.raw(key)
        fits = len(value.shape) == len(expected) and all(
            size == want if isinstance(want, int) else size > 0
            for size, want in zip(value.shape, expected, strict=True)
        )
        if not fits:
            raise self.error(f"{key} has shape {tuple(value.shape)}, expected ({', '.join(map(str, expected))})")
        if value.dtype.kind not in "biuf":
            raise self.error(f"{key} has type {value.dtype}, not numbers")
        if math.prod(value.shape) * 8 > _MAX_ARRAY_BYTES:
            raise self.error(f"{key} has shape {tuple(value.shape)}, too large for a body model")
        numbers = value.data if scipy.sparse.issparse(value) else value
        if value.dtype.kind == "f" and not np.isfinite(numbers).all():
            raise self.error(f"{key} has values that are not finite")
        largest = float(np.abs(numbers).max(initial=0)) if value.dtype.kind == "f" else 0.0
        if largest > _MAX_VALUE:
            raise self.error(f"{key} has values up to {largest:.0e}, too large for a body model")
        return value

    def floats(self, key: str, *expected: int | str) -> NDArray[np.float64]:
        value = self.checked(key, expected)
        dense = value.toarray() if scipy.sparse.issparse(value) else value
        return np.asarray(dense, dtype=np.float64)

    def indices(self, key: str, *expected: int | str, limit: int) -> NDArray[np.int64]:
        value = self.floats(key, *expected)
        if not (np.all(value >= 0) and np.all(value < limit) and np.all(value == np.floor(value))):
            raise self.error(f"{key} has an index outside 0 to {limit - 1}")
        return value.astype(np.int64)

    def csr(self, prefix: str, rows: int, columns: int) -> scipy.sparse.csr_matrix:
        """Return the sparse matrix stored as ``<prefix>_data``, ``_indices`` and ``_indptr``."""
        data = self.floats(f"{prefix}_data", "N")
        index = self.indices(f"{prefix}_indices", len(data), limit=columns)
        starts = self.indices(f"{prefix}_indptr", rows + 1, limit=len(data) + 1)
        if starts[0] != 0 or starts[-1] != len(data) or np.any(np.diff(starts) < 0):
            raise self.error(f"{prefix}_indptr does not divide {len(data)} entries into {rows} rows")
        return scipy.sparse.csr_matrix((data, index, starts), shape=(rows, columns))


def _tree(content: _Content) -> tuple[int, ...]:
    """Return the parent of each joint, -1 for the root."""
    table = content.floats("kintree_table", 2, "J")
    ids = table[1].tolist()
    if len(set(ids)) != len(ids):
        raise content.error("kintree_table names a joint twice")
    column = {joint: i for i, joint in enumerate(ids)}
    parents = tuple(column.get(parent, -1) for parent in table[0].tolist())
    if parents.count(-1) != 1:
        raise content.error(f"kintree_table has {parents.count(-1)} joints without a parent, expected one")
    return parents


def _tree_levels(content: _Content, parents: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """Return the joints of each depth below the root, beginning with the root's children."""
    above = {parents.index(-1)}
    levels, reached = [], 1
    while above:
        level = [j for j, parent in enumerate(parents) if parent in above]
        if level:
            levels.append(torch.tensor(level))
        reached += len(level)
        above = set(level)
    if reached != len(parents):
        raise content.error("kintree_table has a cycle")
    return tuple(levels)


def _is_smpl_family(content: _Content, num_vertices: int, num_joints: int) -> bool:
    """Return whether joints are regressed as in SMPL; False for SUPR and the open body."""
    if "jreg_data" in content:
        return False
    shape = tuple(content.raw("J_regressor").shape)
    smpl, supr = (num_joints, num_vertices), (3 * num_joints, 3 * num_vertices + 1)
    if shape not in (smpl, supr):
        raise content.error(f"J_regressor has shape {shape}, expected {smpl} as in SMPL, or {supr} as in SUPR")
    return shape == smpl


def _shape_directions(content: _Content, num_vertices: int, limit: int) -> NDArray[np.float64]:
    """Return the first ``limit`` shape directions (V, 3, B)."""
    directions = np.asarray(content.checked("shapedirs", (num_vertices, 3, "B"))[:, :, :limit], dtype=np.float64)
    if "shapedirs_scale" in content:
        directions *= content.floats("shapedirs_scale", content.raw("shapedirs").shape[2])[:limit]
    return directions


def _rest_joints(
    content: _Content, template: NDArray[np.float64], directions: NDArray[np.float64], num_joints: int, smpl: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the joints of the mean body (J, 3) and their shape directions (J, 3, B)."""
    V, _, B = directions.shape
    J = num_joints
    if smpl or "jreg_data" in content:
        regressor = content.checked("J_regressor", (J, V)) if smpl else content.csr("jreg", J, V)
        return regressor @ template, (regressor @ directions.reshape(V, 3 * B)).reshape(J, 3, B)
    general = content.checked("J_regressor", (3 * J, 3 * V + 1))
    bias = np.asarray(general[:, [-1]].toarray() if scipy.sparse.issparse(general) else general[:, [-1]])
    linear = general[:, :-1]
    joints = (linear @ template.reshape(3 * V, 1) + bias).reshape(J, 3)
    return joints, (linear @ directions.reshape(3 * V, B)).reshape(J, 3, B)


def _pose_directions(
    content: _Content, num_vertices: int, num_joints: int, feature: PoseFeature, dtype: torch.dtype
) -> torch.Tensor | None:
    """Return the pose blend shapes (V, 3, F·J), or None if all are zero; SMPL files lack the root's, which are zero."""
    if "posedirs" not in content:
        return None
    missing = feature if feature is PoseFeature.MATRIX else 0
    stored = content.checked("posedirs", (num_vertices, 3, feature * num_joints - missing))
    if not np.any(stored):
        return None
    directions = torch.zeros(num_vertices, 3, feature * num_joints, dtype=dtype)
    directions[:, :, missing:] = torch.from_numpy(np.ascontiguousarray(stored))
    return directions


def _landmarks(content: _Content, num_faces: int) -> dict[str, Landmark]:
    if "landmark_names" not in content:
        return {}
    names = content.raw("landmark_names")
    if names.ndim != 1 or names.dtype.kind != "U":
        raise content.error("landmark_names is not a list of names")
    face = content.indices("landmark_faces", len(names), limit=num_faces)
    bary = content.floats("landmark_bary", len(names), 3)
    if not np.allclose(bary.sum(1), 1, atol=1e-3):
        raise content.error("landmark_bary has weights that do not sum to 1")
    points = [(float(a), float(b), float(c)) for a, b, c in bary]
    return dict(zip(names.tolist(), zip(face.tolist(), points, strict=True), strict=True))


def load_body(
    path: str | Path | None = None,
    *,
    num_betas: int = 50,
    constrained: bool = False,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Body:
    """Read a body model file of the SUPR or SMPL family: ``.npy``, ``.npz`` or ``.pkl``.

    All sizes come from the file, so models of hands, heads and feet can be read as well.

    Args:
        path: of the file; of the open body if None.
        num_betas: number of shape parameters to keep; all if the file has fewer (SMPL-H: 10 or 16; SMPL-X: 10 or 300).
        constrained: read the constrained tree; if the file has none (no ``axis_meta``), ``body.constrained_tree`` is
            None.
        device: of the tensors.
        dtype: of the float tensors.

    Raises:
        GaitError: the file is missing, damaged or contains code, or an array has an unexpected shape.
    """
    path = default_model_folder() / "SUPR" / OPEN_BODY if path is None else Path(path)
    if num_betas < 0:
        raise GaitError(f"num_betas is {num_betas}; it cannot be negative.")
    content = _Content(path, read_array_dict(path))
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()

    template = content.floats("v_template", "V", 3)
    V = len(template)
    parents = _tree(content)
    J = len(parents)
    tree_levels = _tree_levels(content, parents)
    smpl = _is_smpl_family(content, V, J)
    if smpl and parents[0] != -1:
        raise content.error("kintree_table does not begin with the joint without a parent, as in SMPL")
    if smpl and J == _SMPLX_JOINTS:
        all_directions = content.raw("shapedirs").shape[-1]
        num_betas = min(num_betas, _SMPLX_SHAPES if all_directions > _SMPLX_SHAPES else _SMPLX_1_0_SHAPES)
    directions = _shape_directions(content, V, num_betas)
    faces = content.indices("f", "F", 3, limit=V)

    sparse = "weights_data" in content
    weights = content.csr("weights", V, J).toarray() if sparse else content.floats("weights", V, J)
    if not np.allclose(weights.sum(1), 1, atol=1e-2):
        raise content.error("weights has a vertex whose skinning weights do not sum to 1")

    joint_template, joint_directions = _rest_joints(content, template, directions, J, smpl)
    feature = PoseFeature.MATRIX if smpl else PoseFeature.QUATERNION
    constrained_tree = None
    if constrained and content.arrays.get("axis_meta") is not None:
        constrained_tree = read_constrained_tree(content.arrays["axis_meta"], J, str(path))

    body = Body(
        name="/".join(path.parts[-3:]) if path.stem == "model" else path.name,
        sha256=sha256,
        v_template=torch.from_numpy(template),
        shapedirs=torch.from_numpy(directions),
        posedirs=_pose_directions(content, V, J, feature, dtype),
        weights=torch.from_numpy(weights),
        joint_template=torch.from_numpy(joint_template),
        joint_shapedirs=torch.from_numpy(joint_directions),
        parents=parents,
        faces=torch.from_numpy(faces),
        tree_levels=tree_levels,
        feature=feature,
        constrained_tree=constrained_tree,
        landmarks=_landmarks(content, len(faces)),
    )
    return body.to(device=device, dtype=dtype)
