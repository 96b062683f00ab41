"""Bodies, subjects, poses and synthetic trials for the tests of the fit."""

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
from gait.body.skeleton import joint_indices
from gait.capture.recording import Recording
from gait.fitting.joint_parametrization import Pose
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.reduced_body import reduce_body
from gait.synthetic import NO_ERRORS, make_subject, make_trial, record_markers, write_recording
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39
from tests.helpers.body_files import SMPL_PARENTS, python2_npy, random_model
from tests.helpers.paths import OPEN_BODY

torch.set_num_threads(1)  # tests run in parallel processes; more threads would only wait for each other


def random_body(folder, *, hinges=False, feature=PoseFeature.QUATERNION, seed=0, num_betas=6):
    """Return a test body of 75 joints and 40 vertices in double precision.

    Each vertex is attached to a joint and its neighbours. ``feature`` is the kind of its pose-corrective blend shapes;
    None for a body without them.
    """
    model = random_model(seed=seed, constrained=hinges)
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
    """Write the open body as a constrained SUPR file: knees and elbows are hinges, ankles double hinges."""
    with np.load(OPEN_BODY) as archive:
        faces, kintree = archive["f"], archive["kintree_table"]
    J = body.num_joints
    hinge, double = (4, 5, 18, 19), (7, 8)
    x, y, z = np.eye(3)
    axis = {4: [-x], 5: [-x], 18: [y], 19: [-y], 7: [-x, z], 8: [-x, z]}  # R is Rodrigues(axis, angle) transposed
    start = np.cumsum([0] + [1 if j in hinge else 2 if j in double else 3 for j in range(J)]).tolist()
    rows = [vector for j in (*hinge, *double) for vector in axis[j]]
    spherical = [j for j in range(J) if j not in axis]
    one = lambda parameters: [np.array([n]) for n in parameters]  # noqa: E731
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
    """Write the open body as a file of SMPL-X (toes merged into the feet) or SMPL-H (also the face into the head).

    Args:
        kind: smplx or smplh.
        path: ``.npz`` file to write.
        blend_m: size of smooth blend shapes of the skin near the body joints, metres per unit of the feature.
    """
    body = load_body(OPEN_BODY, dtype=torch.float64)
    kept = [int(joint) for joint in joint_indices(len(SMPL_PARENTS[kind]))]
    V, J = body.num_vertices, len(kept)
    nearest = list(range(body.num_joints))
    for j in range(body.num_joints):
        while nearest[j] not in kept:
            nearest[j] = body.parents[nearest[j]]
    weights = np.zeros((V, J))
    for j, joint in enumerate(nearest):
        weights[:, kept.index(joint)] += body.weights[:, j].numpy()
    with np.load(OPEN_BODY) as archive:
        shape = (body.num_joints, V)
        sparse = scipy.sparse.csr_matrix((archive["jreg_data"], archive["jreg_indices"], archive["jreg_indptr"]), shape)
        regressor = sparse[kept].toarray().astype(np.float32)
    rng = np.random.default_rng(0)
    directions = body.shapedirs.numpy().astype(np.float16)
    if kind == "smplx":
        expressions = rng.normal(0, 0.1, (V, 3, 100)).astype(
            np.float16
        )  # large, so that a fit with them would be noticed
        directions = np.concatenate([directions, np.zeros((V, 3, 250), np.float16), expressions], axis=2)
    posedirs = np.zeros((V, 3, 9 * (J - 1)), dtype=np.float16)
    if blend_m:
        centres = body.joint_template[:22].numpy()
        distance = np.linalg.norm(body.v_template.numpy()[:, None] - centres, axis=-1)
        from_joint = np.linalg.norm(centres[:, None] - centres[1:], axis=-1)  # weak far from a joint
        size = blend_m * np.maximum(np.exp(-((from_joint / 0.3) ** 2)), 0.1).repeat(9, axis=1)[:, None]
        blend_shapes = size * rng.normal(size=(22, 3, 9 * 21))
        posedirs[:, :, : 9 * 21] = np.einsum("vb,bcq->vcq", np.exp(-((distance / 0.15) ** 2)), blend_shapes)
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
    """Return a layout of random markers on a body."""
    rng = np.random.default_rng([seed, 1])
    return MarkerLayout(
        labels=tuple(f"M{m}" for m in range(count)),
        face=rng.integers(len(body.faces), size=count),
        barycentric=rng.dirichlet(np.ones(3), count),
        height_above_skin_m=rng.uniform(-distance_m, distance_m, count),
        kinds=("technical", "anatomical") * (count // 2) + ("technical",) * (count % 2),
        source="a test",
    )


def random_subject(body, layout, seed=0):
    """Return a subject of random shape, with random marker offsets of centimetres."""
    rng = np.random.default_rng([seed, 2])
    reduced_body = reduce_body(body, layout)
    return SubjectModel(
        reduced_body,
        torch.tensor(rng.normal(size=reduced_body.num_betas)),
        torch.tensor(rng.normal(0, 0.02, (len(reduced_body.marker_template), 3))),
    )


def pose_joint(body):
    """Return the joint (P,) that each pose parameter of a body rotates; -1 for none."""
    if body.constrained_tree is None:
        return np.arange(body.num_joints).repeat(3)
    return body.constrained_tree.pose_joint.numpy()


def random_pose_parameters(body, frames, seed=0, spread=0.6):
    """Return random pose parameters (T, P) and translations (T, 3); only the 22 body joints move, none by near 180°."""
    rng = np.random.default_rng([seed, 3])
    parameters = rng.normal(0, spread, (frames, body.num_pose))
    parameters[:, (pose_joint(body) < 0) | (pose_joint(body) >= 22)] = 0
    return torch.tensor(parameters), torch.tensor(rng.normal(size=(frames, 3)))


def pose_of(body, reduced_body, parameters, translation):
    """Convert pose parameters and translations to a ``Pose``."""
    rotations, _ = body.local_rotations(parameters.to(body.dtype))
    rotations = rotations[:, : reduced_body.num_joints].double()
    if reduced_body.hinges is None:
        return Pose(rotations, translation)
    angles = parameters[:, reduced_body.hinges.pose_index]
    angles = torch.where(
        torch.stack([reduced_body.hinges.hinged, reduced_body.hinges.double], -1), angles, torch.zeros_like(angles)
    )
    return Pose(rotations, translation, angles)


def random_pose(body, reduced_body, frames, seed=0, spread=0.6):
    """Return T random poses."""
    return pose_of(body, reduced_body, *random_pose_parameters(body, frames, seed, spread))


def short_trial(body, seed=1, seconds=1.2, **options):
    """Return a short synthetic trial."""
    return make_trial(body, make_subject(body, seed), seconds=seconds, **options)


def true_pose(body, reduced_body, truth):
    """Return the true poses of a synthetic trial, with fingers and toes at rest."""
    pose = torch.as_tensor(truth.poses).double()
    pose[:, 66:] = 0
    return pose_of(body, reduced_body, pose, torch.as_tensor(truth.translation_m).double())


def record_trial(body, trial, layout, errors=NO_ERRORS, labels=PLUG_IN_GAIT_39, trial_seed=None):
    """Return the recording of a synthetic trial, without writing a file."""
    seed = trial.seed if trial_seed is None else trial_seed
    tracks = record_markers(
        body, trial.ground_truth, layout.select(labels), errors, subject_seed=trial.subject.seed, trial_seed=seed
    )
    visible = np.isfinite(tracks.positions_m).all(-1)
    return Recording(Path(f"walk{seed}.c3d"), tracks.labels, tracks.positions_m, visible, trial.ground_truth.rate_hz)


def hide_samples(recording, hidden):
    """Return the recording with some further samples (T, M) not visible."""
    visible = recording.visible & ~hidden
    return replace(recording, visible=visible, positions_m=np.where(visible[..., None], recording.positions_m, np.nan))


def joint_angles_deg(rotations, joint):
    """Return the axis-angle components (T, 3) of one joint, degrees, from rotations (T, J, 3, 3)."""
    return np.degrees(matrix_to_axis_angle(torch.as_tensor(rotations[:, joint])).numpy())


SECRET = "Ottoline Quexbury 1931-02-29"
"""Name in SUBJECTS:NAMES of the test files, which must not occur in any output."""


def write_c3d(path, body, layout, trial, errors=None, prefix=""):
    """Write a synthetic trial as C3D, with ground truth and with a name in SUBJECTS:NAMES."""
    write_recording(trial, body, layout, path, errors=errors, prefix=prefix)
    c3d = ezc3d.c3d(str(path))
    c3d.add_parameter("SUBJECTS", "USED", [1])
    c3d.add_parameter("SUBJECTS", "NAMES", [SECRET])
    c3d.write(str(path))
    assert SECRET.encode() in path.read_bytes()
    return path


def model_folder(path):
    """Make a model folder like ``data/`` with the open body."""
    (path / "SUPR").mkdir(parents=True)
    (path / "SUPR" / OPEN_BODY.name).symlink_to(OPEN_BODY)
    return path


def file_contents(folder):
    """Yield (path, bytes) of every file in a folder, also of those in archives."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield path, path.read_bytes()
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    data = archive.read(name)
                    yield path / name, data
                    yield path / name, data.replace(b"\x00", b"")  # numpy stores text with four bytes per character
