"""The skin under the markers against the whole body's forward pass."""

import numpy as np
import pytest
import torch

from gait.body.marker_layout import MarkerLayout
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.rotations import PoseFeature
from gait.fitting.joint_parametrization import pose_numbers
from gait.fitting.marker_kinematics import SubjectModel, marker_motion
from gait.fitting.reduced_body import marker_skin
from tests.helpers.body_files import python2_npy, random_model
from tests.helpers.fitting_cases import (
    OPEN_BODY,
    pose_of,
    random_body,
    random_layout,
    random_numbers,
    random_pose,
    random_wearer,
    short_walk,
    walk_pose,
)

BEND_M = 0.0025
"""How far the bend of one triangle in walking moves a marker 9 mm off the mean body; measured: 1.6 mm at the ankle,
0.13 mm on average."""
SHAPE_M = 0.006
"""How far somebody's shape moves it besides, by turning the triangle: the same in every frame, so that placement takes
it up. Measured over five shapes: 3.7 mm at most."""


@pytest.fixture(scope="module")
def open_body():
    return load_body(OPEN_BODY, dtype=torch.float64)


@pytest.fixture(scope="module")
def walk(open_body):
    return short_walk(open_body, seed=5)


def worn(skin, betas):
    return SubjectModel(skin, torch.as_tensor(betas).double(), skin.point.new_zeros(skin.num_markers, 3))


def on_the_mesh(body, layout, out):
    """Virtual markers as ``formats.md`` has them: on the posed face, along its unit normal, one at a time."""
    markers = np.zeros((len(out.vertices), layout.num_markers, 3))
    for t, vertices in enumerate(out.vertices.numpy()):
        for m in range(layout.num_markers):
            a, b, c = vertices[body.faces[layout.face[m]].numpy()]
            normal = np.cross(b - a, c - a)
            point = layout.bary[m] @ np.stack([a, b, c])
            markers[t, m] = point + layout.distance_m[m] * normal / np.linalg.norm(normal)
    return markers


def on_vertices(body, count=25, seed=0):
    """A layout of markers without distance, each on a corner of a triangle."""
    layout = random_layout(body, count, seed)
    corner = np.eye(3)[np.random.default_rng(seed).integers(3, size=count)]
    return MarkerLayout(layout.labels, layout.face, corner, np.zeros(count), layout.kinds, layout.source), corner


@pytest.mark.parametrize("feature", [None, *PoseFeature])
@pytest.mark.parametrize("hinges", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_markers_on_vertices_are_the_posed_vertices(tmp_path, hinges, feature, seed):
    body = random_body(tmp_path, hinges=hinges, feature=feature, seed=seed)
    layout, corner = on_vertices(body, seed=seed)
    skin = marker_skin(body, layout)
    numbers, translation = random_numbers(body, 4, seed)
    betas = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    out = body(numbers, betas, translation)
    motion = marker_motion(worn(skin, betas), pose_of(body, skin, numbers, translation))
    vertex = body.faces.numpy()[layout.face, corner.argmax(axis=1)]
    np.testing.assert_allclose(motion.markers, out.vertices[:, vertex], atol=1e-9)
    np.testing.assert_allclose(motion.joints, out.joints[:, :22], atol=1e-9)
    np.testing.assert_allclose(motion.world, out.rotations[:, :22], atol=1e-9)


def test_markers_on_vertices_of_a_hand(tmp_path):
    """Bodies of fewer joints than 22 turn all that they have."""
    model = random_model(num_joints=16)
    model["weights"] = np.where(model["weights"] < 0.02, 0, model["weights"])
    model["weights"] /= model["weights"].sum(axis=1, keepdims=True)
    path = tmp_path / "hand.npy"
    path.write_bytes(python2_npy(model))
    body = load_body(path, dtype=torch.float64)
    layout, corner = on_vertices(body)
    numbers, translation = random_numbers(body, 2)
    skin = marker_skin(body, layout)
    motion = marker_motion(worn(skin, torch.zeros(50)), pose_of(body, skin, numbers, translation))
    vertex = body.faces.numpy()[layout.face, corner.argmax(axis=1)]
    out = body(numbers, torch.zeros(50, dtype=torch.float64), translation)
    np.testing.assert_allclose(motion.markers, out.vertices[:, vertex], atol=1e-9)


def apart_m(body, layout, skin, truth, betas):
    """(T, M) from the skin's markers to the mesh's, in some frames of a walk."""
    pose = walk_pose(body, skin, truth)[slice(0, None, 6)]
    betas = torch.as_tensor(betas).double()
    out = body(pose_numbers(body, pose, skin.hinges), betas, pose.translation)
    motion = marker_motion(worn(skin, betas), pose)
    np.testing.assert_allclose(motion.joints, out.joints[:, :22], atol=1e-9)
    return np.linalg.norm(motion.markers.numpy() - on_the_mesh(body, layout, out), axis=-1)


def test_markers_of_a_walking_body_are_the_meshes_within_the_bend_of_a_triangle(open_body, walk):
    layout = plug_in_gait_layout(open_body)
    skin = marker_skin(open_body, layout)
    apart = apart_m(open_body, layout, skin, walk.truth, np.zeros(50))
    assert apart.max() < BEND_M
    assert apart.mean() < BEND_M / 10
    shaped = apart_m(open_body, layout, skin, walk.truth, walk.truth.betas)
    assert shaped.max() < SHAPE_M
    assert np.ptp(shaped, axis=0).max() < BEND_M, "what the shape does stays the same from frame to frame"


def test_markers_at_rest_are_the_meshes(open_body):
    layout = plug_in_gait_layout(open_body)
    skin = marker_skin(open_body, layout)
    numbers, still = torch.zeros(1, open_body.num_pose, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
    betas = torch.zeros(50, dtype=torch.float64)
    motion = marker_motion(worn(skin, betas), pose_of(open_body, skin, numbers, still))
    mesh = on_the_mesh(open_body, layout, open_body(numbers, betas))
    np.testing.assert_allclose(motion.markers, mesh, atol=1e-4)  # the last 1e-4 of the skinning weights is left out


def test_offsets_turn_with_the_skin(tmp_path):
    """An offset moves the marker by the skinning-weighted mean of its carriers' rotations of it."""
    body = random_body(tmp_path)
    layout = random_layout(body, 8)
    wearer = random_wearer(body, layout)
    pose = random_pose(body, wearer.skin, 3)
    bare = marker_motion(SubjectModel(wearer.skin, wearer.betas, torch.zeros_like(wearer.offset)), pose)
    motion = marker_motion(wearer, pose)
    skin = wearer.skin
    for t in range(3):
        for m in range(8):
            carried = zip(skin.carriers[m].tolist(), skin.carrier_weight[m].tolist(), strict=True)
            turned = sum(weight * motion.world[t, j] @ wearer.offset[m] for j, weight in carried)
            np.testing.assert_allclose(motion.markers[t, m] - bare.markers[t, m], turned, atol=1e-12)


def test_offsets_frame_by_frame(tmp_path):
    body = random_body(tmp_path)
    wearer = random_wearer(body, random_layout(body, 8))
    pose = random_pose(body, wearer.skin, 3)
    offset = torch.randn(3, 8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.03
    together = marker_motion(SubjectModel(wearer.skin, wearer.betas, offset), pose).markers
    for t in range(3):
        alone = marker_motion(SubjectModel(wearer.skin, wearer.betas, offset[t]), pose[slice(t, t + 1)]).markers
        np.testing.assert_allclose(together[t], alone[0], atol=1e-12)


def test_selected_markers_move_as_before(tmp_path):
    body = random_body(tmp_path)
    wearer = random_wearer(body, random_layout(body, 10))
    rows = torch.tensor([7, 2, 3])
    pose = random_pose(body, wearer.skin, 2)
    fewer = SubjectModel(wearer.skin.select(rows), wearer.betas, wearer.offset[rows])
    assert fewer.skin.labels == ("M7", "M2", "M3")
    expected = marker_motion(wearer, pose).markers[:, rows]
    np.testing.assert_allclose(marker_motion(fewer, pose).markers, expected, atol=1e-12)


@pytest.mark.parametrize("hinges", [False, True])
def test_pose_numbers_are_the_bodys_own(tmp_path, hinges):
    """What the solver found is given back as numbers that pose the body just so."""
    body = random_body(tmp_path, hinges=hinges)
    skin = marker_skin(body, random_layout(body, 6))
    numbers, translation = random_numbers(body, 5, spread=0.5)
    pose = pose_of(body, skin, numbers, translation)
    np.testing.assert_allclose(pose_numbers(body, pose, skin.hinges), numbers, atol=1e-9)
