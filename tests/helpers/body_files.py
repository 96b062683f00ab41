"""Random models of the SUPR and SMPL families, pickles as Python 2 wrote them, and a slow forward pass."""

import io
import os
import pickle
import struct
import sys
from types import ModuleType

import numpy as np
import scipy.sparse

SUPR_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
SUPR_PARENTS += [
    p for wrist, start in ((20, 25), (21, 40)) for f in range(5) for p in (wrist, start + 3 * f, start + 3 * f + 1)
]
SUPR_PARENTS += [p for foot, start in ((10, 55), (11, 65)) for toe in range(5) for p in (foot, start + 2 * toe)]
HAND_PARENTS = [-1] + [p for f in range(5) for p in (0, 3 * f + 1, 3 * f + 2)]

SMPL_PARENTS = {
    "smplx": SUPR_PARENTS[:55],
    "smplh": SUPR_PARENTS[:22] + [p if p < 22 else p - 3 for p in SUPR_PARENTS[25:55]],
    "smpl": [*SUPR_PARENTS[:22], 20, 21],
}
SMPL_SIZES = {"smplx": (10475, 20908), "smplh": (6890, 13776), "smpl": (6890, 13776)}
"""Numbers of vertices and triangles of the released models."""


class RunsCode:
    """An object whose pickle runs a shell command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def random_model(seed=0, num_joints=75, num_vertices=40, num_betas=60, sparse=False, constrained=False):
    """Return the dictionary of a SUPR model file."""
    rng = np.random.default_rng(seed)
    V, J = num_vertices, num_joints
    parents = SUPR_PARENTS if num_joints == 75 else HAND_PARENTS
    assert len(parents) == J
    regressor = np.zeros((3 * J, 3 * V + 1))
    rows = rng.dirichlet(np.ones(V) * 0.2, J)
    for c in range(3):
        regressor[c::3, c:-1:3] = rows
    regressor[:, -1] = rng.normal(0, 0.02, 3 * J)
    regressor[rng.random(regressor.shape) < 0.01] += (
        0.01  # the released regressor is a general matrix that mixes coordinates
    )
    model = {
        "v_template": rng.normal(0, 0.5, (V, 3)),
        "shapedirs": rng.normal(0, 0.02, (V, 3, num_betas)),
        "posedirs": rng.normal(0, 0.02, (V, 3, 4 * J)),
        "J_regressor": scipy.sparse.csc_matrix(regressor) if sparse else regressor,
        "weights": rng.dirichlet(np.ones(J) * 0.1, V),
        "kintree_table": np.array([[p % 2**32 for p in parents], range(J)], dtype=np.uint32),
        "f": np.array([rng.choice(V, 3, replace=False) for _ in range(60)], dtype=np.uint32),
    }
    if constrained:
        model["axis_meta"] = random_axis_meta(rng, J)
    return model


def random_axis_meta(rng, num_joints):
    """Return axis_meta with all three kinds of joint, and pose indices and axes in random order."""
    kinds = rng.permutation(np.resize(["spherical", "hinge", "double"], num_joints))
    counts = {"spherical": 3, "hinge": 1, "double": 2}
    num_pose = sum(counts[k] for k in kinds)
    free = rng.permutation(num_pose).tolist()
    own = {j: [free.pop() for _ in range(counts[k])] for j, k in enumerate(kinds)}
    by_kind = {k: [j for j in range(num_joints) if kinds[j] == k] for k in counts}
    num_axes = len(by_kind["hinge"]) + 2 * len(by_kind["double"])
    axes = rng.normal(size=(num_axes, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    axis_order = rng.permutation(num_axes).tolist()
    one = lambda numbers: [np.array([n]) for n in numbers]  # noqa: E731
    joint_order = by_kind["spherical"] + by_kind["hinge"] + by_kind["double"]
    h, d = len(by_kind["hinge"]), len(by_kind["double"])
    return {
        "num_pose": num_pose,
        "indx_spherical": [np.array(own[j]) for j in by_kind["spherical"]],
        "indx_hinge": one(own[j][0] for j in by_kind["hinge"]),
        "indx_hinge_axis": one(axis_order[:h]),
        "indx_double_hinge1": one(own[j][0] for j in by_kind["double"]),
        "indx_double_hinge1_axis": one(axis_order[h : h + d]),
        "indx_double_hinge2": one(own[j][1] for j in by_kind["double"]),
        "indx_double_hinge2_axis": one(axis_order[h + d :]),
        "axis": axes[None],
        "axis_indx": rng.permutation(num_axes),
        "reverse_indx": np.argsort(joint_order),
    }


def random_smpl(kind, seed=0, num_directions=None, full_size=False, sparse=False):
    """Return the dictionary of an SMPL-X, SMPL-H or SMPL file, with all keys of the released files.

    The default number of shape directions is as released: 400 in SMPL-X, of which the last 100 are expressions (first
    release: 20, of which 10), 16 in SMPL-H (10 in pickles), 10 in SMPL.
    """
    rng = np.random.default_rng(seed)
    V, F = SMPL_SIZES[kind] if full_size else (40, 60)
    parents = SMPL_PARENTS[kind]
    J, B = len(parents), num_directions or {"smplx": 400, "smplh": 16, "smpl": 10}[kind]
    regressor = np.zeros((J, V))
    for row in regressor:
        row[rng.choice(V, 20, replace=False)] = rng.dirichlet(np.ones(20))
    real = np.float32 if full_size else np.float64
    model = {
        "v_template": rng.normal(0, 0.5, (V, 3)),
        "shapedirs": real(0.02) * rng.standard_normal((V, 3, B), dtype=real),
        "posedirs": real(0.02) * rng.standard_normal((V, 3, 9 * (J - 1)), dtype=real),
        "J_regressor": scipy.sparse.csc_matrix(regressor) if sparse else regressor,
        "weights": rng.dirichlet(np.ones(J) * 0.1, V),
        "kintree_table": np.array([[p % 2**32 for p in parents], range(J)], dtype=np.int64),
        "f": rng.integers(V, size=(F, 3)).astype(np.uint32),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    if kind != "smpl":
        for side in "lr":
            model[f"hands_components{side}"] = rng.normal(size=(45, 45))
            model[f"hands_coeffs{side}"] = rng.normal(size=(20, 45))
            model[f"hands_mean{side}"] = rng.normal(size=45)
    if kind == "smplx":
        model |= {
            "lmk_faces_idx": rng.integers(F, size=51),
            "lmk_bary_coords": rng.dirichlet(np.ones(3), 51),
            "dynamic_lmk_faces_idx": rng.integers(F, size=(79, 17)),
            "dynamic_lmk_bary_coords": rng.dirichlet(np.ones(3), (79, 17)),
            "vt": rng.random((11313, 2)),
            "ft": rng.integers(11313, size=(F, 3)).astype(np.uint32),
            "joint2num": {"Pelvis": 0, "L_Hip": 1},
            "part2num": {"Global": 0, "L_Thigh": 1},
            "allow_pickle": True,
        }
    return model


class Ch:
    """Pickled as a chumpy variable."""

    def __init__(self, x):
        self._dirty_vars, self._itr, self._depends_on_deps, self.x = set(), None, {}, np.asarray(x)


class Select:
    """Pickled as a chumpy selection: all columns except the last of a larger array."""

    def __init__(self, chosen):
        padded = np.concatenate([chosen, chosen[..., :1] + 1], axis=-1)
        self.a = Ch(padded)
        self.idxs = np.arange(padded.size).reshape(padded.shape)[..., :-1].ravel()
        self.preferred_shape = chosen.shape


class add:  # noqa: N801
    """Pickled as a chumpy formula."""

    def __init__(self, a, b):
        self.a, self.b = Ch(a), Ch(b)


def chumpy_pickle(model):
    """Return a model file of 2015 to 2017: a Python 2 pickle in which some arrays are chumpy expressions."""
    variables = {key: Ch(model[key]) for key in ("v_template", "posedirs", "weights")}
    formulas = {"shapedirs": Select(model["shapedirs"]), "v_shaped": add(model["v_template"], 0)}
    modules = {"chumpy": (), "chumpy.ch": (Ch,), "chumpy.reordering": (Select,), "chumpy.ch_ops": (add,)}
    home = Ch.__module__
    try:
        for name, kinds in modules.items():
            sys.modules[name] = ModuleType(name)
            for kind in kinds:
                setattr(sys.modules[name], kind.__name__, kind)
                kind.__module__ = name
        return python2_pickle({**model, **variables, **formulas})
    finally:
        for name, kinds in modules.items():
            del sys.modules[name]
            for kind in kinds:
                kind.__module__ = home


class _Python2Pickler(pickle._Pickler):
    """Writes protocol 2 as Python 2 did: bytes and ASCII text as Python 2 strings."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_old_string(self, value):
        data = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[bytes] = save_old_string
    dispatch[str] = save_old_string


def python2_pickle(value):
    """Return a Python 2 pickle with the module names of that time."""
    body = io.BytesIO()
    _Python2Pickler(body, protocol=2).dump(value)
    data = body.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")
    return data.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n").replace(
        b"cscipy.sparse._csr\n", b"cscipy.sparse.csr\n"
    )


def python2_npy(model):
    """Return ``numpy.save(model)`` of Python 2 with the module names of that time."""
    array = np.empty((), dtype=object)
    array[()] = model
    data = python2_pickle(array)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": ()})
    return head.getvalue() + data


def _cross_matrix(a):
    return np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])


def slow_rotation(a):
    """Return the matrix of one axis-angle vector by Rodrigues' formula."""
    angle = np.linalg.norm(a)
    if angle == 0:
        return np.eye(3)
    K = _cross_matrix(a / angle)
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def slow_feature(a):
    """Return (sin(θ/2)·u, cos(θ/2) − 1) of one axis-angle vector."""
    angle = np.linalg.norm(a)
    axis = a / angle if angle else np.zeros(3)
    return np.append(np.sin(angle / 2) * axis, np.cos(angle / 2) - 1)


def slow_product(p, q):
    """Return the Hamilton product of two quaternions (x, y, z, w), component by component."""
    (a, b, c, d), (e, f, g, h) = p, q
    return np.array(
        [
            d * e + a * h + b * g - c * f,
            d * f - a * g + b * h + c * e,
            d * g + a * f - b * e + c * h,
            d * h - a * e - b * f - c * g,
        ]
    )


def slow_local(model, pose, constrained):
    """Return local rotation matrices and pose features, joint by joint."""
    J = model["weights"].shape[1]
    if not constrained:
        parts = [pose[3 * j : 3 * j + 3] for j in range(J)]
        return [slow_rotation(a) for a in parts], [slow_feature(a) for a in parts]
    meta = model["axis_meta"]
    axes = meta["axis"][:, meta["axis_indx"], :][0]

    def hinges(key):
        return [pose[int(i[0])] * axes[int(k[0])] for i, k in zip(meta[key], meta[f"{key}_axis"], strict=True)]

    matrices, features = [], []
    for index in meta["indx_spherical"]:
        matrices.append(slow_rotation(pose[index]))
        features.append(slow_feature(pose[index]))
    for a in hinges("indx_hinge"):
        matrices.append(slow_rotation(a).T)
        features.append(slow_feature(a))
    for a, b in zip(hinges("indx_double_hinge1"), hinges("indx_double_hinge2"), strict=True):
        matrices.append(slow_rotation(a).T @ slow_rotation(b).T)
        features.append(slow_product(slow_feature(b), slow_feature(a)))
    order = meta["reverse_indx"]
    return [matrices[i] for i in order], [features[i] for i in order]


def slow_body(model, pose, betas, translation, constrained=False):
    """Return vertices (V, 3) and joints (J, 3) of one pose, by loops over the steps of the format description.

    A regressor of shape (J, V) identifies a model of the SMPL family, whose pose features are rotation matrices.
    """
    V, J = model["weights"].shape
    shaped = model["v_template"].copy()
    for k, beta in enumerate(betas):
        shaped += model["shapedirs"][:, :, k] * beta
    regressor = model["J_regressor"]
    regressor = regressor.toarray() if scipy.sparse.issparse(regressor) else regressor
    smpl = len(regressor) == J
    joints = regressor @ shaped if smpl else (regressor @ np.append(shaped.reshape(-1), 1)).reshape(J, 3)
    matrices, features = slow_local(model, pose, constrained)
    if smpl:
        features = [(R - np.eye(3)).reshape(9) for R in matrices[1:]]
    posed = shaped + model["posedirs"] @ np.concatenate(features)
    parents = [int(p) for p in model["kintree_table"][0]]
    world = []
    for j in range(J):
        local = np.eye(4)
        local[:3, :3] = matrices[j]
        inside = 0 <= parents[j] < J
        local[:3, 3] = joints[j] - (joints[parents[j]] if inside else 0)
        world.append(world[parents[j]] @ local if inside else local)
    out = np.zeros((V, 3))
    for v in range(V):
        for j in range(J):
            moved = world[j][:3, :3] @ (posed[v] - joints[j]) + world[j][:3, 3]
            out[v] += model["weights"][v, j] * moved
    return out + translation, np.array([w[:3, 3] for w in world]) + translation
