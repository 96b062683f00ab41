"""Small random bodies in SUPR's layout, written as Python 2 wrote them; and a slow forward pass."""

import io
import pickle
import struct

import numpy as np
import scipy.sparse

SUPR_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
SUPR_PARENTS += [
    p for wrist, start in ((20, 25), (21, 40)) for f in range(5) for p in (wrist, start + 3 * f, start + 3 * f + 1)
]
SUPR_PARENTS += [p for foot, start in ((10, 55), (11, 65)) for toe in range(5) for p in (foot, start + 2 * toe)]
HAND_PARENTS = [-1] + [p for f in range(5) for p in (0, 3 * f + 1, 3 * f + 2)]


def random_model(seed=0, num_joints=75, num_vertices=40, num_betas=60, sparse=False, hinges=False):
    """The dictionary of a model file."""
    rng = np.random.default_rng(seed)
    V, J = num_vertices, num_joints
    parents = SUPR_PARENTS if num_joints == 75 else HAND_PARENTS
    assert len(parents) == J
    regressor = np.zeros((3 * J, 3 * V + 1))
    rows = rng.dirichlet(np.ones(V) * 0.2, J)
    for c in range(3):
        regressor[c::3, c:-1:3] = rows
    regressor[:, -1] = rng.normal(0, 0.02, 3 * J)
    regressor[rng.random(regressor.shape) < 0.01] += 0.01  # the released one mixes coordinates: it is a general matrix
    model = {
        "v_template": rng.normal(0, 0.5, (V, 3)),
        "shapedirs": rng.normal(0, 0.02, (V, 3, num_betas)),
        "posedirs": rng.normal(0, 0.02, (V, 3, 4 * J)),
        "J_regressor": scipy.sparse.csc_matrix(regressor) if sparse else regressor,
        "weights": rng.dirichlet(np.ones(J) * 0.1, V),
        "kintree_table": np.array([[p % 2**32 for p in parents], range(J)], dtype=np.uint32),
        "f": np.array([rng.choice(V, 3, replace=False) for _ in range(60)], dtype=np.uint32),
    }
    if hinges:
        model["axis_meta"] = random_axis_meta(rng, J)
    return model


def random_axis_meta(rng, num_joints):
    """A hinge tree with all three kinds of joint, the pose indices and the axes in no particular order."""
    kinds = rng.permutation(np.resize(["spherical", "hinge", "double"], num_joints))
    counts = {"spherical": 3, "hinge": 1, "double": 2}
    num_pose = sum(counts[k] for k in kinds)
    free = rng.permutation(num_pose).tolist()
    own = {j: [free.pop() for _ in range(counts[k])] for j, k in enumerate(kinds)}
    by_kind = {k: [j for j in range(num_joints) if kinds[j] == k] for k in counts}
    num_axes = len(by_kind["hinge"]) + 2 * len(by_kind["double"])
    axes = rng.normal(size=(num_axes, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    places = rng.permutation(num_axes).tolist()
    one = lambda numbers: [np.array([n]) for n in numbers]  # noqa: E731
    joint_order = by_kind["spherical"] + by_kind["hinge"] + by_kind["double"]
    h, d = len(by_kind["hinge"]), len(by_kind["double"])
    return {
        "num_pose": num_pose,
        "indx_spherical": [np.array(own[j]) for j in by_kind["spherical"]],
        "indx_hinge": one(own[j][0] for j in by_kind["hinge"]),
        "indx_hinge_axis": one(places[:h]),
        "indx_double_hinge1": one(own[j][0] for j in by_kind["double"]),
        "indx_double_hinge1_axis": one(places[h : h + d]),
        "indx_double_hinge2": one(own[j][1] for j in by_kind["double"]),
        "indx_double_hinge2_axis": one(places[h + d :]),
        "axis": axes[None],
        "axis_indx": rng.permutation(num_axes),
        "reverse_indx": np.argsort(joint_order),
    }


class _Python2Pickler(pickle._Pickler):
    """Writes protocol 2 as Python 2 did: bytes and ASCII text both as the old string."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012

    def save_old_string(self, value):
        data = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + struct.pack("<i", len(data)) + data)
        self.memoize(value)

    dispatch[bytes] = save_old_string
    dispatch[str] = save_old_string


def python2_npy(model):
    """The bytes of ``numpy.save(model)`` by Python 2 with the module names of its day."""
    body = io.BytesIO()
    array = np.empty((), dtype=object)
    array[()] = model
    _Python2Pickler(body, protocol=2).dump(array)
    data = body.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")
    data = data.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n").replace(
        b"cscipy.sparse._csr\n", b"cscipy.sparse.csr\n"
    )
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": ()})
    return head.getvalue() + data


def _cross_matrix(a):
    return np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])


def slow_rotation(a):
    """Rodrigues' formula for one axis-angle vector."""
    angle = np.linalg.norm(a)
    if angle == 0:
        return np.eye(3)
    K = _cross_matrix(a / angle)
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


def slow_feature(a):
    """(sin(θ/2)·u, cos(θ/2) − 1) for one axis-angle vector."""
    angle = np.linalg.norm(a)
    axis = a / angle if angle else np.zeros(3)
    return np.append(np.sin(angle / 2) * axis, np.cos(angle / 2) - 1)


def slow_product(p, q):
    """Hamilton product of two (x, y, z, w), component by component."""
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
    """Matrices and features joint by joint."""
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
    """Vertices (V, 3) and joints (J, 3) of one pose, by the steps of the format's description, in loops."""
    V, J = model["weights"].shape
    shaped = model["v_template"].copy()
    for k, beta in enumerate(betas):
        shaped += model["shapedirs"][:, :, k] * beta
    regressor = model["J_regressor"]
    regressor = regressor.toarray() if scipy.sparse.issparse(regressor) else regressor
    joints = (regressor @ np.append(shaped.reshape(-1), 1)).reshape(J, 3)
    matrices, features = slow_local(model, pose, constrained)
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
