"""The open body is as its README states: SUPR's layout, a symmetric T-pose, human proportions."""

import numpy as np
import pytest
import scipy.sparse

from gait.body.skeleton import BODY_JOINTS, Joint, contralateral_joint
from tests.helpers.paths import OPEN_BODY

SIDED = ("ASI", "PSI", "KNE", "KNM", "ANK", "MED", "HEE", "TOE", "SHO", "ELB", "ELM", "WRA", "WRB", "FIN", "FHD", "BHD")
LANDMARKS = ["C7", "T10", "CLAV", "STRN", *(side + name for name in SIDED for side in "LR")]


@pytest.fixture(scope="module")
def data():
    with np.load(OPEN_BODY, allow_pickle=False) as npz:
        return dict(npz)


@pytest.fixture(scope="module")
def regressor(data):
    parts = (data["jreg_data"], data["jreg_indices"], data["jreg_indptr"])
    return scipy.sparse.csr_matrix(parts, (75, 13718)).astype(np.float64)


@pytest.fixture(scope="module")
def weights(data):
    parts = (data["weights_data"], data["weights_indices"], data["weights_indptr"])
    return scipy.sparse.csr_matrix(parts, (13718, 75)).toarray().astype(np.float64)


class BodyMeasurements:
    """Measurements of a body of one shape in the T-pose."""

    def __init__(self, data, regressor, **betas):
        shape = np.zeros(50)
        for direction, value in betas.items():
            shape[int(direction.removeprefix("b")) - 1] = value
        self.vertices = data["v_template"].astype(np.float64) + data["shapedirs"].astype(np.float64) @ shape
        self.joints = regressor @ self.vertices
        corners = self.vertices[data["f"][data["landmark_faces"]]]
        points = np.einsum("kcd,kc->kd", corners, data["landmark_bary"])
        self.landmarks = dict(zip(data["landmark_names"].tolist(), points, strict=True))
        self.floor = self.vertices[:, 1].min()
        self.stature = np.ptp(self.vertices[:, 1])

    def height(self, point):
        """Return the height of a joint or landmark above the floor relative to stature."""
        p = self.joints[point] if isinstance(point, Joint) else self.landmarks[point]
        return (p[1] - self.floor) / self.stature

    def distance(self, a, b):
        """Return the distance between two landmarks or two joints in metres."""
        p, q = ((self.joints[x] if isinstance(x, Joint) else self.landmarks[x]) for x in (a, b))
        return float(np.linalg.norm(p - q))


@pytest.fixture(scope="module")
def measured_body(data, regressor):
    return lambda **betas: BodyMeasurements(data, regressor, **betas)


def body_of_stature(measured_body, stature):
    """Return the body of a given stature along the first shape direction, found by bisection."""
    low, high = -3.0, 3.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if measured_body(b1=middle).stature < stature else (low, middle)
    return measured_body(b1=low)


def volume(vertices, faces):
    a, b, c = vertices[faces].transpose(1, 0, 2)
    return np.einsum("fi,fi->", a, np.cross(b, c)) / 6


def test_open_body_file_size_types_and_licence(data):
    assert OPEN_BODY.stat().st_size < 10_000_000
    assert str(data["licence"]) == "CC0-1.0"
    assert "MakeHuman" in str(data["origin"])
    assert "CC0" in str(data["origin"])
    assert all(array.dtype.kind in "fiuU" for array in data.values())


def test_open_body_array_shapes(data):
    assert data["v_template"].shape == (13718, 3)
    assert data["shapedirs"].shape == (13718, 3, 50)
    assert data["f"].shape == (27420, 3)
    assert data["f"].min() == 0
    assert data["f"].max() == 13717
    assert data["joint_names"].tolist() == [joint.name.lower() for joint in Joint]
    assert "posedirs" not in data
    assert all(np.isfinite(array).all() for array in data.values() if array.dtype.kind == "f")


def test_open_body_kinematic_tree(data):
    parent, child = data["kintree_table"]
    assert child.tolist() == list(range(75))
    assert parent[0] == 2**32 - 1
    assert all(0 <= p < c for p, c in zip(parent[1:], child[1:], strict=True))
    chain = [Joint.LEFT_TOE2_2, Joint.LEFT_TOE2_1, Joint.LEFT_FOOT, Joint.LEFT_ANKLE, Joint.LEFT_KNEE, Joint.LEFT_HIP]
    assert [parent[joint] for joint in chain] == [*chain[1:], Joint.PELVIS]
    for joint in Joint:
        if joint:
            assert contralateral_joint(Joint(parent[joint])) == parent[contralateral_joint(joint)]


def test_open_body_weights_and_regressor_sum_to_1(weights, regressor):
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert weights.min() >= 0
    assert (weights.sum(0) > 0).all()
    np.testing.assert_allclose(regressor.sum(1), 1, atol=1e-5)
    assert np.abs(regressor.data).max() < 1  # no joint rests on the difference of large numbers


def test_open_body_t_pose(measured_body):
    body = measured_body()
    joints = body.joints
    assert body.landmarks["LASI"][2] > body.landmarks["LPSI"][2]  # facing +z
    assert joints[Joint.LEFT_SHOULDER, 0] > 0.1 > -0.1 > joints[Joint.RIGHT_SHOULDER, 0]
    assert joints[Joint.HEAD, 1] > joints[Joint.PELVIS, 1] > joints[Joint.LEFT_ANKLE, 1]
    arm = joints[[Joint.LEFT_SHOULDER, Joint.LEFT_ELBOW, Joint.LEFT_WRIST]]
    assert np.ptp(arm[:, 1:], axis=0).max() < 0.003
    leg = joints[[Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.LEFT_ANKLE]]
    assert np.ptp(leg[:, 2]) < 0.003  # a knee of 0 degrees is straight
    assert body.landmarks["LWRA"][2] > body.landmarks["LWRB"][2] + 0.03  # palms down, thumbs forward
    assert body.landmarks["LELB"][1] > body.landmarks["LELM"][1] + 0.05


def test_open_body_is_symmetric(measured_body, data):
    body = measured_body(b1=1.5, b2=-1, b7=2)
    flip = np.array([-1, 1, 1])
    for joint in Joint:
        np.testing.assert_allclose(body.joints[joint], body.joints[contralateral_joint(joint)] * flip, atol=2e-5)
    for name, point in body.landmarks.items():
        other = {"L": "R", "R": "L"}[name[0]] + name[1:] if name[0] in "LR" else name
        np.testing.assert_allclose(point, body.landmarks[other] * flip, atol=2e-4)
    assert volume(body.vertices, data["f"]) > 0


def test_open_body_landmarks(data, weights):
    assert sorted(data["landmark_names"].tolist()) == sorted(LANDMARKS)
    np.testing.assert_allclose(data["landmark_bary"].sum(1), 1, atol=1e-5)
    assert data["landmark_bary"].min() > -1e-5
    # A marker on bone goes with its segment, whatever the muscles beside it do.
    owner = {
        "LASI": "PELVIS", "LPSI": "PELVIS", "LHEE": "LEFT_ANKLE", "LTOE": "LEFT_ANKLE", "LFHD": "HEAD",
        "LANK": "LEFT_KNEE", "LMED": "LEFT_KNEE", "LSHO": "LEFT_COLLAR", "LELB": "LEFT_ELBOW", "CLAV": "SPINE3",
    }  # fmt: skip
    corner = data["f"][data["landmark_faces"]]
    for name, joint in owner.items():
        k = data["landmark_names"].tolist().index(name)
        fraction = data["landmark_bary"][k] @ weights[corner[k]]
        assert fraction[Joint[joint]] > 0.5, name


# Fractions of stature after Drillis & Contini 1966 and Winter 2009, with a margin for the mesh and for children.
HEIGHTS = {
    "LKNE": (0.265, 0.29), "LANK": (0.035, 0.047), "LASI": (0.52, 0.57), "C7": (0.81, 0.865), "CLAV": (0.78, 0.82),
    Joint.LEFT_HIP: (0.48, 0.53), Joint.LEFT_KNEE: (0.265, 0.29), Joint.LEFT_ANKLE: (0.038, 0.05),
    Joint.SPINE3: (0.71, 0.76), Joint.NECK: (0.81, 0.865), Joint.PELVIS: (0.51, 0.57),
}  # fmt: skip


@pytest.mark.parametrize("stature", [1.15, 1.40, 1.62, 1.78])
def test_open_body_proportions_at_all_statures(measured_body, data, stature):
    body = body_of_stature(measured_body, stature)
    for point, (low, high) in HEIGHTS.items():
        assert low <= body.height(point) <= high, point
    thigh, shank = (
        body.distance(a, b) / stature
        for a, b in ((Joint.LEFT_HIP, Joint.LEFT_KNEE), (Joint.LEFT_KNEE, Joint.LEFT_ANKLE))
    )
    assert 0.21 < thigh < 0.25
    assert 0.215 < shank < 0.25
    mass = 985 * volume(body.vertices, data["f"])
    assert 14 < mass / stature**2 < 27


@pytest.mark.parametrize("stature", [1.15, 1.40, 1.62, 1.78])
def test_open_body_joints_are_between_their_landmarks(measured_body, stature):
    body = body_of_stature(measured_body, stature)
    mark = body.landmarks
    for joint, a, b in (
        (Joint.LEFT_KNEE, "LKNE", "LKNM"),
        (Joint.LEFT_ANKLE, "LANK", "LMED"),
        (Joint.LEFT_ELBOW, "LELB", "LELM"),
        (Joint.LEFT_WRIST, "LWRA", "LWRB"),
    ):
        assert np.linalg.norm((mark[a] + mark[b]) / 2 - body.joints[joint]) < 0.004, joint

    # Hips: forward and sideways after Davis et al. 1991, upward after Harrington et al. 2007; the regressor from
    # the skin is 14 mm off at most.
    front, back = (mark["LASI"] + mark["RASI"]) / 2, (mark["LPSI"] + mark["RPSI"]) / 2
    width, leg = body.distance("LASI", "RASI"), body.distance("LASI", "LMED")
    forward = (front - back) / np.linalg.norm(front - back)
    up = np.cross(forward, [1, 0, 0])
    up *= np.sign(up[1])
    c, trochanter = 0.115 * leg - 0.0153, 0.1288 * leg - 0.04856
    ahead = c * np.cos(0.5) * np.sin(0.314) - trochanter * np.cos(0.314)
    hip = front + ahead * forward + (-0.30 * width - 0.0109) * up + [width / 2 - c * np.sin(0.5), 0, 0]
    assert np.linalg.norm(hip - body.joints[Joint.LEFT_HIP]) < 0.014


def test_open_body_widths_of_an_adult(measured_body):
    body = body_of_stature(measured_body, 1.72)
    for a, b, low, high in (
        ("LASI", "RASI", 0.22, 0.26),
        ("LPSI", "RPSI", 0.08, 0.10),
        ("LKNE", "LKNM", 0.095, 0.115),
        ("LANK", "LMED", 0.062, 0.075),
        ("LWRA", "LWRB", 0.05, 0.065),
        (Joint.LEFT_HIP, Joint.RIGHT_HIP, 0.155, 0.185),
        (Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, 0.32, 0.40),
    ):
        assert low < body.distance(a, b) < high, (a, b)


def test_open_body_first_shape_direction_is_stature(measured_body):
    statures = [measured_body(b1=b).stature for b in (-3, -1.5, 0, 1.5, 3)]
    assert np.all(np.diff(statures) > 0.2)
    assert 1.50 < statures[2] < 1.70
    child, adult = measured_body(b1=-2.7), measured_body(b1=0.6)
    assert 1.05 < child.stature < 1.15
    assert 1.68 < adult.stature < 1.80

    def head(body):
        return (body.vertices[:, 1].max() - body.joints[Joint.HEAD, 1]) / body.stature

    assert head(child) > 1.15 * head(adult)  # a child's head is large and its legs are short
    assert child.height(Joint.LEFT_HIP) < adult.height(Joint.LEFT_HIP)


def test_open_body_shape_directions_have_unit_deviation(data):
    """Random standard normal shapes reproduce the population; the first directions have the largest effect."""
    directions = data["shapedirs"].astype(np.float64)
    size = np.sqrt((directions**2).sum((0, 1)))
    assert size[0] > size[1] > size[2] > size[3] > size[4:].max()
    rng = np.random.default_rng(0)
    template = data["v_template"].astype(np.float64)
    statures = [np.ptp((template + directions @ rng.normal(size=50))[:, 1]) for _ in range(100)]
    assert 0.16 < np.std(statures) < 0.25  # the population of children and adults: 0.20 m
    assert 0.9 < min(statures) < max(statures) < 2.25
    rounding = 0.5 * np.spacing(np.abs(data["shapedirs"])).astype(np.float64)
    assert 3 * np.sqrt((rounding**2).sum((1, 2))).max() < 2e-4  # float16 changes less than 0.2 mm


def test_open_body_joints_are_inside_the_skin(measured_body, data, weights):
    """Every body joint has skin in front, behind, left and right of it, and skin or its parent above and below."""
    body = measured_body()
    for joint in BODY_JOINTS:
        near = weights[:, [joint, max(0, data["kintree_table"][0][joint]) % 2**32 % 75]].sum(1) > 0.2
        skin = body.vertices[near] - body.joints[joint]
        for axis in (0, 1, 2):
            assert skin[:, axis].min() < 0 < skin[:, axis].max(), (joint, axis)
