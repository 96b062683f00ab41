"""Bodies, poses and walks that the fitting's tests share."""

import zipfile
from dataclasses import replace
from pathlib import Path

import ezc3d
import numpy as np
import scipy.sparse
import torch

from gait.body.marker_layout import MarkerLayout
from gait.body.model_file import load_body
from gait.body.rotations import PoseFeature, matrix_to_axis_angle
from gait.body.skeleton import joint_rows
from gait.capture import Recording
from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.reduced_body import marker_skin
from gait.synthetic import NO_ERRORS, make_person, make_walk, record_markers, write_walk
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39
from tests.helpers.body_files import SMPL_PARENTS, python2_npy, random_model
from tests.helpers.paths import OPEN_BODY

torch.set_num_threads(1)  # test runners work side by side; with more threads each they only wait for one another


def random_body(folder, *, hinges=False, feature=PoseFeature.QUATERNION, seed=0, num_betas=6):
    """A test body of 75 joints and 40 vertices, double precision; a vertex hangs on a joint and its neighbours.

    Its pose-corrective blend shapes are of this kind of feature; None for a body without them.
    """
    model = random_model(seed=seed, hinges=hinges)
    parents = np.where(model["kintree_table"][0] > 75, 75, model["kintree_table"][0]).astype(int)
    near = np.eye(76, dtype=bool)
    near[np.arange(75), parents] = near[parents, np.arange(75)] = True
    near = near[:75, :75][model["weights"].argmax(axis=1)]
    weights = np.where(near & (model["weights"] >= 0.02 * near.sum(axis=1, keepdims=True) / 75), model["weights"], 0)
    model["weights"] = weights / weights.sum(axis=1, keepdims=True)
    if feature is None:
        model["posedirs"] = np.zeros_like(model["posedirs"])
    path = folder / f"supr_{seed}_{hinges}.npy"
    path.write_bytes(python2_npy(model))
    body = load_body(path, num_betas=num_betas, constrained=hinges, dtype=torch.float64)
    if feature is PoseFeature.MATRIX:
        posedirs = 0.02 * np.random.default_rng([seed, 4]).normal(size=(body.num_vertices, 3, 9 * body.num_joints))
        body = replace(body, posedirs=torch.tensor(posedirs), feature=feature)
    return body


def constrained_open_body(path, body):
    """The open body's arrays as a constrained SUPR file: knees and elbows hinges, ankles double hinges."""
    with np.load(OPEN_BODY) as archive:
        faces, kintree = archive["f"], archive["kintree_table"]
    J = body.num_joints
    hinge, double = (4, 5, 18, 19), (7, 8)
    x, y, z = np.eye(3)
    axis = {4: [-x], 5: [-x], 18: [y], 19: [-y], 7: [-x, z], 8: [-x, z]}  # R is Rodrigues(axis, angle) transposed
    start = np.cumsum([0] + [1 if j in hinge else 2 if j in double else 3 for j in range(J)]).tolist()
    rows = [vector for j in (*hinge, *double) for vector in axis[j]]
    spherical = [j for j in range(J) if j not in axis]
    one = lambda numbers: [np.array([n]) for n in numbers]  # noqa: E731
    regressor = np.zeros((3 * J, 3 * body.num_vertices + 1))
    with np.load(OPEN_BODY) as archive:
        data, columns, first = archive["jreg_data"], archive["jreg_indices"], archive["jreg_indptr"]
        for j in range(J):
            for c in range(3):
                regressor[3 * j + c, 3 * columns[first[j] : first[j + 1]] + c] = data[first[j] : first[j + 1]]
    model = {
        "v_template": body.v_template.numpy(),
        "shapedirs": body.shapedirs.numpy(),
        "posedirs": np.zeros((body.num_vertices, 3, 4 * J), dtype=np.float32),
        "J_regressor": scipy.sparse.csc_matrix(regressor),
        "weights": body.weights.numpy(),
        "kintree_table": kintree.astype(np.uint32),
        "f": faces.astype(np.uint32),
        "axis_meta": {
            "num_pose": start[-1],
            "indx_spherical": [np.arange(start[j], start[j] + 3) for j in spherical],
            "indx_hinge": one(start[j] for j in hinge),
            "indx_hinge_axis": one(range(4)),
            "indx_double_hinge1": one(start[j] for j in double),
            "indx_double_hinge1_axis": one([4, 6]),
            "indx_double_hinge2": one(start[j] + 1 for j in double),
            "indx_double_hinge2_axis": one([5, 7]),
            "axis": np.array(rows)[None],
            "axis_indx": np.arange(len(rows)),
            "reverse_indx": np.argsort([*spherical, *hinge, *double]),
        },
    }
    path.write_bytes(python2_npy(model))
    return path


def open_body_as(kind, path, blend_m=0.0):
    """The open body as a file of SMPL-X (its toes go with the feet) or SMPL-H (its face with the head besides).

    Args:
        kind: smplx or smplh.
        path: of the ``.npz`` to write.
        blend_m: how far smooth blend shapes of the body joints move the skin near them, metres a unit of feature.
    """
    body = load_body(OPEN_BODY, dtype=torch.float64)
    kept = [int(joint) for joint in joint_rows(len(SMPL_PARENTS[kind]))]
    V, J = body.num_vertices, len(kept)
    nearest = list(range(body.num_joints))
    for j in range(body.num_joints):
        while nearest[j] not in kept:
            nearest[j] = body.parents[nearest[j]]
    weights = np.zeros((V, J))
    for j, carrier in enumerate(nearest):
        weights[:, kept.index(carrier)] += body.weights[:, j].numpy()
    with np.load(OPEN_BODY) as archive:
        shape = (body.num_joints, V)
        sparse = scipy.sparse.csr_matrix((archive["jreg_data"], archive["jreg_indices"], archive["jreg_indptr"]), shape)
        regressor = sparse[kept].toarray().astype(np.float32)
    rng = np.random.default_rng(0)
    directions = body.shapedirs.numpy().astype(np.float16)
    if kind == "smplx":
        expressions = rng.normal(0, 0.1, (V, 3, 100)).astype(np.float16)  # large, so that a fit by them would be seen
        directions = np.concatenate([directions, np.zeros((V, 3, 250), np.float16), expressions], axis=2)
    posedirs = np.zeros((V, 3, 9 * (J - 1)), dtype=np.float16)
    if blend_m:
        centres = body.joint_template[:22].numpy()
        apart = np.linalg.norm(body.v_template.numpy()[:, None] - centres, axis=-1)
        from_joint = np.linalg.norm(centres[:, None] - centres[1:], axis=-1)  # far from a joint its bend shows little
        size = blend_m * np.maximum(np.exp(-((from_joint / 0.3) ** 2)), 0.1).repeat(9, axis=1)[:, None]
        bends = size * rng.normal(size=(22, 3, 9 * 21))
        posedirs[:, :, : 9 * 21] = np.einsum("vb,bcq->vcq", np.exp(-((apart / 0.15) ** 2)), bends)
    np.savez(
        path,
        v_template=body.v_template.numpy(),
        shapedirs=directions[..., :16] if kind == "smplh" else directions,
        posedirs=posedirs,
        J_regressor=regressor,
        weights=weights,
        kintree_table=np.array([[p % 2**32 for p in SMPL_PARENTS[kind]], range(J)]),
        f=body.faces.numpy().astype(np.uint32),
    )
    return path


def random_layout(body, count=20, seed=0, distance_m=0.02):
    """Markers anywhere on a body."""
    rng = np.random.default_rng([seed, 1])
    return MarkerLayout(
        labels=tuple(f"M{m}" for m in range(count)),
        face=rng.integers(len(body.faces), size=count),
        bary=rng.dirichlet(np.ones(3), count),
        distance_m=rng.uniform(-distance_m, distance_m, count),
        kinds=("technical", "anatomical") * (count // 2) + ("technical",) * (count % 2),
        source="a test",
    )


def random_wearer(body, layout, seed=0):
    """Somebody of any shape whose markers are displaced by centimetres."""
    rng = np.random.default_rng([seed, 2])
    skin = marker_skin(body, layout)
    return SubjectModel(
        skin, torch.tensor(rng.normal(size=skin.num_betas)), torch.tensor(rng.normal(0, 0.02, (len(skin.point), 3)))
    )


def random_numbers(body, frames, seed=0, spread=0.6):
    """Pose numbers (T, P), every joint beyond the 22 at rest and none near a half turn; translations (T, 3)."""
    rng = np.random.default_rng([seed, 3])
    numbers = rng.normal(0, spread, (frames, body.num_pose))
    numbers[:, (body.pose_joint < 0).numpy() | (body.pose_joint >= 22).numpy()] = 0
    return torch.tensor(numbers), torch.tensor(rng.normal(size=(frames, 3)))


def pose_of(body, skin, numbers, translation):
    """The solver's form of pose numbers."""
    rotations, _ = body.local_rotations(numbers.to(body.dtype))
    rotations = rotations[:, : skin.num_joints].double()
    if skin.hinges is None:
        return Pose(rotations, translation)
    angles = numbers[:, skin.hinges.number]
    angles = torch.where(torch.stack([skin.hinges.hinged, skin.hinges.double], -1), angles, torch.zeros_like(angles))
    return Pose(rotations, translation, angles)


def random_pose(body, skin, frames, seed=0, spread=0.6):
    """T frames of anything."""
    return pose_of(body, skin, *random_numbers(body, frames, seed, spread))


def short_walk(body, seed=1, seconds=1.2, **options):
    """A synthetic walk."""
    return make_walk(body, make_person(body, seed), seconds=seconds, **options)


def walk_pose(body, skin, truth):
    """The true pose of a synthetic walk, fingers and toes at rest."""
    pose = torch.as_tensor(truth.poses).double()
    pose[:, 66:] = 0
    return pose_of(body, skin, pose, torch.as_tensor(truth.translation_m).double())


def recorded(body, walk, layout, errors=NO_ERRORS, labels=PLUG_IN_GAIT_39, walk_seed=None):
    """A walk's markers as a recording that was never a file."""
    seed = walk.seed if walk_seed is None else walk_seed
    tracks = record_markers(
        body, walk.truth, layout.select(labels), errors, person_seed=walk.person.seed, walk_seed=seed
    )
    visible = np.isfinite(tracks.positions_m).all(-1)
    return Recording(Path(f"walk{seed}.c3d"), tracks.labels, tracks.positions_m, visible, walk.truth.rate_hz)


def unseen_where(recording, hidden):
    """The same recording with these samples (T, M) lost too."""
    visible = recording.visible & ~hidden
    return replace(recording, visible=visible, positions_m=np.where(visible[..., None], recording.positions_m, np.nan))


def degrees(rotations, joint):
    """(T, 3) axis-angle numbers of one joint of (T, J, 3, 3)."""
    return np.degrees(matrix_to_axis_angle(torch.as_tensor(rotations[:, joint])).numpy())


SECRET = "Ottoline Quexbury 1931-02-29"
"""Stands in SUBJECTS:NAMES of the tests' files, and must stand nowhere else."""


def write_c3d(path, body, layout, walk, errors=None, prefix=""):
    """A walk as C3D with the truth beside it, and a person's name where laboratories have it."""
    write_walk(walk, body, layout, path, errors=errors, prefix=prefix)
    c3d = ezc3d.c3d(str(path))
    c3d.add_parameter("SUBJECTS", "USED", [1])
    c3d.add_parameter("SUBJECTS", "NAMES", [SECRET])
    c3d.write(str(path))
    assert SECRET.encode() in path.read_bytes()
    return path


def model_folder(path):
    """A folder as ``data/`` is, with the open body in it."""
    (path / "SUPR").mkdir(parents=True)
    (path / "SUPR" / OPEN_BODY.name).symlink_to(OPEN_BODY)
    return path


def texts_of(folder):
    """(path, bytes) of every file below, archives unpacked."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path, path.read_bytes()
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    data = archive.read(name)
                    yield path / name, data
                    yield path / name, data.replace(b"\x00", b"")  # numpy's text has four bytes a letter
