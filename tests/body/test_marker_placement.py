"""Plug-in Gait markers on body models: at their landmarks, symmetric, on the skin."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gait.body.marker_placement import MARKER_CENTRE_M, _cast_ray, _RestBody, _Rule, plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39
from tests.helpers.body_files import python2_npy, random_model
from tests.helpers.fitting_cases import OPEN_BODY

MEDIAL = ("LKNM", "RKNM", "LMED", "RMED")
ONE_SIDED = {"RBAK", "C7", "T10", "CLAV", "STRN", "SACR"}
ASYMMETRIC = {side + name for side in "LR" for name in ("UPA", "FRM", "THI", "TIB")}
"""Left and right at different heights by design, so that cameras can distinguish them."""
OVER_CLOTHES_OR_SPINE = {"STRN": 0.045, "T10": 0.045}


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY, dtype=torch.float64)


@pytest.fixture(scope="module")
def layout(body):
    return plug_in_gait_layout(body)


def on_the_skin(body, layout, vertices=None):
    """Return the skin points (3,) under the markers, by label."""
    vertices = body.v_template.numpy() if vertices is None else vertices
    corners = vertices[body.faces.numpy()[layout.face]]
    return dict(zip(layout.labels, np.einsum("mk,mkc->mc", layout.barycentric, corners), strict=True))


def landmark(body, name, vertices=None):
    vertices = body.v_template.numpy() if vertices is None else vertices
    face, bary = body.landmarks[name]
    return np.array(bary) @ vertices[body.faces.numpy()[face]]


def test_plug_in_gait_layout_has_all_markers(layout):
    assert set(layout.labels) == {*PLUG_IN_GAIT_39, "SACR", *MEDIAL}
    assert len(layout.labels) == len(set(layout.labels))
    np.testing.assert_allclose(layout.barycentric.sum(axis=1), 1)
    assert layout.barycentric.min() >= 0
    assert (layout.height_above_skin_m == MARKER_CENTRE_M).all()
    technical = {m for m, kind in zip(layout.labels, layout.kinds, strict=True) if kind == "technical"}
    assert technical == {*ASYMMETRIC, "RBAK"}
    assert OPEN_BODY.name in layout.source


def test_plug_in_gait_layout_is_symmetric(body, layout):
    point = on_the_skin(body, layout)
    for name in layout.labels:
        if name in ONE_SIDED:
            continue
        assert (point[name][0] > 0.01) == (name[0] == "L"), name
        if name[0] == "L":
            across = point["R" + name[1:]] * [-1, 1, 1]
            apart = np.linalg.norm(point[name] - across)
            assert (apart > 0.02) if name in ASYMMETRIC else (apart < 0.005), name
    for name in ONE_SIDED - {"RBAK"}:
        assert abs(point[name][0]) < 0.005, name
    assert point["RBAK"][0] < -0.04


def test_plug_in_gait_layout_is_at_the_landmarks_of_the_body(body, layout):
    point = on_the_skin(body, layout)
    anatomical = [name for name, kind in zip(layout.labels, layout.kinds, strict=True) if kind == "anatomical"]
    compared = [name for name in anatomical if name in body.landmarks]
    assert len(compared) >= 34
    for name in compared:
        apart = np.linalg.norm(point[name] - landmark(body, name))
        assert apart < OVER_CLOTHES_OR_SPINE.get(name, 0.025), f"{name}: {1e3 * apart:.0f} mm"


@pytest.mark.parametrize("size", [-2.5, 2.0], ids=["child", "tall"])
def test_plug_in_gait_layout_stays_at_the_landmarks_of_other_shapes(body, layout, size):
    """Markers are placed on the mean body and move with the skin of a small and a large one."""
    with torch.inference_mode():
        vertices = body.rest_body(torch.tensor([size], dtype=torch.float64))[0][0].numpy()
    point = on_the_skin(body, layout, vertices)
    for name in set(body.landmarks) & set(layout.labels) - {"STRN", "T10"}:
        assert np.linalg.norm(point[name] - landmark(body, name, vertices)) < 0.032, name


def test_plug_in_gait_layout_technical_markers_are_on_their_segments(body, layout):
    point = on_the_skin(body, layout)
    joints = body.joint_template.numpy()
    ends = {"UPA": ("SHOULDER", "ELBOW"), "FRM": ("ELBOW", "WRIST"), "THI": ("HIP", "KNEE"), "TIB": ("KNEE", "ANKLE")}
    for side, word in (("L", "LEFT"), ("R", "RIGHT")):
        for name, (above, below) in ends.items():
            a, b = joints[Joint[f"{word}_{above}"]], joints[Joint[f"{word}_{below}"]]
            fraction = (point[side + name] - a) @ (b - a) / ((b - a) @ (b - a))
            off = np.linalg.norm(point[side + name] - a - fraction * (b - a))
            assert 0.3 < fraction < 0.75, side + name
            assert 0.015 < off < 0.14, side + name


def test_plug_in_gait_layout_order_of_heights_and_depths(body, layout):
    point = on_the_skin(body, layout)
    for side in "LR":
        heights = [point[side + name][1] for name in ("FHD", "SHO", "PSI", "THI", "KNE", "TIB", "ANK", "TOE")]
        assert heights == sorted(heights, reverse=True)
        for front, back in (("FHD", "BHD"), ("ASI", "PSI"), ("WRA", "WRB"), ("TOE", "HEE"), ("TOE", "ANK")):
            assert point[side + front][2] > point[side + back][2] + 0.03
        for outer, inner in (("KNE", "KNM"), ("ANK", "MED")):
            assert abs(point[side + outer][0]) > abs(point[side + inner][0]) + 0.03
    assert point["C7"][1] > point["T10"][1] > point["SACR"][1]
    assert point["CLAV"][1] > point["STRN"][1]
    assert min(point["CLAV"][2], point["STRN"][2]) > max(point["C7"][2], point["T10"][2])
    sacrum = (point["LPSI"] + point["RPSI"]) / 2
    assert np.linalg.norm(point["SACR"] - sacrum) < 0.03


# --- other bodies ----------------------------------------------------------------------------------------------------


def without_joints(body, count):
    """Return the body with only its first joints; a removed joint's weights go to its nearest remaining ancestor."""
    nearest = list(range(body.num_joints))
    for j in range(count, body.num_joints):
        nearest[j] = nearest[body.parents[j]]
    weights = torch.zeros(body.num_vertices, count, dtype=body.dtype)
    weights.index_add_(1, torch.tensor(nearest), body.weights)
    return replace(
        body,
        name=f"with_{count}_joints.npy",
        weights=weights,
        joint_template=body.joint_template[:count],
        joint_shapedirs=body.joint_shapedirs[:count],
        parents=body.parents[:count],
    )


@pytest.mark.parametrize("count", [22, 55], ids=["neither_fingers_nor_toes", "no_toes"])
def test_plug_in_gait_layout_without_toes_or_fingers(body, layout, count):
    fewer = without_joints(body, count)
    point, before = on_the_skin(fewer, plug_in_gait_layout(fewer)), on_the_skin(body, layout)
    assert set(point) == set(before)
    for name in point:
        moved = {"TOE": 0.06, "FIN": 0.06}.get(name[1:], 0.01)
        assert np.linalg.norm(point[name] - before[name]) < moved, name


@pytest.mark.parametrize("factor", [0.6, 1.25])
def test_plug_in_gait_layout_scales_with_the_body(body, layout, factor):
    scaled = replace(body, v_template=factor * body.v_template, joint_template=factor * body.joint_template)
    point, before = on_the_skin(scaled, plug_in_gait_layout(scaled)), on_the_skin(body, layout)
    for name in point:
        allowed = 0.016 if name[1:] == "SHO" else 0.004
        assert np.linalg.norm(point[name] - factor * before[name]) < allowed, name


def test_plug_in_gait_layout_is_translation_invariant(body, layout):
    """Released models have their origin at the pelvis or on the floor."""
    shift = torch.tensor([0.0, 1.3, 0.05], dtype=torch.float64)
    moved = replace(body, v_template=body.v_template + shift, joint_template=body.joint_template + shift)
    point, before = on_the_skin(moved, plug_in_gait_layout(moved)), on_the_skin(body, layout)
    for name in point:
        np.testing.assert_allclose(point[name], before[name] + shift.numpy(), atol=1e-6)


def test_plug_in_gait_layout_refuses_a_hand_model(tmp_path):
    path = tmp_path / "supr_hand.npy"
    path.write_bytes(python2_npy(random_model(num_joints=16)))
    with pytest.raises(GaitError) as refused:
        plug_in_gait_layout(load_body(path))
    line = str(refused.value)
    assert "\n" not in line
    assert "supr_hand.npy" in line
    assert "22" in line
    assert "16" in line
    assert "marker_layout_file" in line


def test_plug_in_gait_layout_names_the_marker_without_skin(tmp_path):
    path = tmp_path / "supr_cloud.npy"
    path.write_bytes(python2_npy(random_model(num_joints=75)))
    with pytest.raises(GaitError) as refused:
        plug_in_gait_layout(load_body(path))
    assert "\n" not in str(refused.value)
    assert "supr_cloud.npy" in str(refused.value)


def test_plug_in_gait_layout_refuses_inverted_faces(body):
    turned = replace(body, faces=body.faces[:, [0, 2, 1]])
    with pytest.raises(GaitError, match="no skin for marker"):
        plug_in_gait_layout(turned)


# --- casting rays ----------------------------------------------------------------------------------------------------


def slow_hit(origin, direction, vertices, faces, allowed):
    """Return the last hit of a ray, found per triangle by solving for the two edges and the distance."""
    best = (0.0, -1, np.zeros(3))
    for f in allowed:
        a, b, c = vertices[faces[f]]
        try:
            u, v, distance = np.linalg.solve(np.stack([b - a, c - a, -direction], axis=1), origin - a)
        except np.linalg.LinAlgError:
            continue
        outward = np.cross(b - a, c - a) @ direction > 0
        if min(u, v, 1 - u - v) >= -1e-9 and distance > best[0] and outward:
            best = (distance, f, np.array([1 - u - v, u, v]))
    return best


def test_cast_ray_equals_slow_solution(body):
    vertices, faces = body.v_template.numpy(), body.faces.numpy()
    fraction = body.weights.numpy()[faces].mean(axis=1)
    joints, rest = body.joint_template.numpy(), _RestBody(body)
    own = [Joint.LEFT_KNEE, Joint.LEFT_ANKLE, Joint.LEFT_HIP]
    allowed = np.flatnonzero(fraction[:, own].sum(axis=1) > 0.5)
    near = allowed[np.linalg.norm(vertices[faces[allowed]].mean(axis=1) - joints[Joint.LEFT_KNEE], axis=1) < 0.2]
    for direction in Rotation.random(12, random_state=0).as_matrix()[:, 0]:
        direction = direction * [1, 0.3, 1]
        direction /= np.linalg.norm(direction)
        rule = _Rule("X", joints[Joint.LEFT_KNEE], 3 * direction, ("LEFT_KNEE", "LEFT_ANKLE", "LEFT_HIP"))
        face, bary = _cast_ray(rule, rest)
        distance, expected, weights = slow_hit(rule.origin, direction, vertices, faces, near)
        point = bary @ vertices[faces[face]]
        np.testing.assert_allclose(point, rule.origin + distance * direction, atol=1e-7)
        np.testing.assert_allclose(point, weights @ vertices[faces[expected]], atol=1e-7)
