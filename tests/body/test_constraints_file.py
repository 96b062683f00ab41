"""constraints.json: layouts and bounds, choice of the layout, and error messages for wrong entries."""

import copy
import json

import numpy as np
import pytest

from gait.body.constraints_file import read_constraints
from gait.body.marker_layout import MarkerLayout
from gait.body.model_file import load_body
from gait.errors import GaitError
from tests.helpers.body_files import python2_npy, random_model, random_smpl
from tests.helpers.paths import OPEN_BODY


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    path = tmp_path_factory.mktemp("body") / "supr_test.npy"
    path.write_bytes(python2_npy(random_model()))
    return load_body(path)


def marker(face=3, distance=0.0095):
    return {"faceId": face, "baryCoords": [0.2, 0.3, 0.5], "distanceToSkin": distance, "id": 1}


def markers(labels):
    return {label: marker(i) for i, label in enumerate(labels)}


LEGS = [f"leg{i}" for i in range(8)]
WHOLE = LEGS + [f"trunk{i}" for i in range(8)]
FILE = {
    "whole": {"type": "OsimMarker", "Markers": markers(WHOLE)},
    "legs": {"type": "C3DMarker", "Markers": markers(LEGS)},
    "few": {"type": "JSONMarker", "Markers": markers(["LTHI", " C7 ", "a", "b"])},
    "knees": {"type": "Angle", "joints": [12, 15], "lbounds": [-0.1, -0.2], "upbounds": [2.0, 2.1]},
    "one": {"type": "Angle", "joints": 5, "lbounds": -1, "upbounds": 1},
    "height": {"type": "Distance", "vertIds": [0] * 6, "target": 1.8},
    "waist": {"type": "Circumference"},
    "mass": {"type": "Volume"},
    "shape": {"type": "Beta", "betaSigma": 2},
    "version": 3,
}


def written(tmp_path, content):
    path = tmp_path / "constraints.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_read_constraints_layouts_and_angle_bounds(tmp_path, body):
    path = written(tmp_path, FILE)
    found = read_constraints(path, body)
    assert [layout.source for layout in found.layouts] == [f"constraints.json: {n}" for n in ("whole", "legs", "few")]
    few = found.layouts[2]
    assert few.labels == ("LTHI", "C7", "a", "b")
    assert few.kinds == ("technical", "anatomical", "technical", "technical")
    np.testing.assert_array_equal(few.face, [0, 1, 2, 3])
    np.testing.assert_array_equal(few.barycentric, [[0.2, 0.3, 0.5]] * 4)
    np.testing.assert_array_equal(few.height_above_skin_m, [0.0095] * 4)
    np.testing.assert_array_equal(found.angle_bounds.indices, [12, 15, 5])
    np.testing.assert_array_equal(found.angle_bounds.lower, [-0.1, -0.2, -1])
    np.testing.assert_array_equal(found.angle_bounds.upper, [2.0, 2.1, 1])
    assert found.unused == (
        "height (Distance)", "waist (Circumference)", "mass (Volume)", "shape (Beta)", "version"
    )  # fmt: skip


def test_read_constraints_without_markers_or_angles(tmp_path, body):
    found = read_constraints(written(tmp_path, {}), body)
    assert found.layouts == ()
    assert found.angle_bounds.indices.shape == (0,)
    with pytest.raises(GaitError, match="no marker constraint"):
        found.layout_for(WHOLE)


def test_layout_for_chooses_the_best_match(tmp_path, body):
    found = read_constraints(written(tmp_path, FILE), body)
    assert found.layout_for(WHOLE).source.endswith("whole")
    assert found.layout_for(LEGS).source.endswith("legs")
    assert found.layout_for(["b", "a", "C7", "other"]).source.endswith("few")
    assert found.layout_for([*WHOLE[:3], *WHOLE[9:12]]).source.endswith("whole")
    for few in (["b", "a"], ["leg1", "leg2", "leg3", "leg4"], []):
        with pytest.raises(GaitError) as caught:
            found.layout_for(few)
        line = str(caught.value)
        assert "no marker constraint fits the recording; the recording has " + (", ".join(few) or "no markers") in line
        assert "constraints.json: few has LTHI, C7, a, b" in line
        assert "\n" not in line


def test_marker_layout_select_keeps_the_given_order(tmp_path, body):
    layout = read_constraints(written(tmp_path, FILE), body).layouts[2].select(["b", "LTHI"])
    assert isinstance(layout, MarkerLayout)
    assert layout.labels == ("b", "LTHI")
    assert layout.num_markers == 2
    np.testing.assert_array_equal(layout.face, [3, 0])
    assert layout.barycentric.shape == (2, 3)
    with pytest.raises(GaitError, match=r"constraints.json: few: no marker named C9; it has b, LTHI\."):
        layout.select(["LTHI", "C9"])


# SMPL-X has the same mesh as SUPR, with 20908 triangles; SMPL-H has another one with 13776.
SMPLX_FILES = {
    "counted": {"numFaces": 20908, "layout": {"type": "C3DMarker", "Markers": markers(LEGS)}},
    "counted within": {"layout": {"type": "C3DMarker", "numFaces": 20908, "Markers": markers(LEGS)}},
    "uncounted": {"layout": {"type": "C3DMarker", "Markers": markers(LEGS)}},
    "beyond": {"layout": {"type": "C3DMarker", "Markers": {**markers(LEGS), "chin": marker(20000)}}},
}
REFUSED_BY_SMPLH = {
    "counted": "made on a mesh of 20908 faces (numFaces), but SMPLH_male.npz has 13776",
    "counted within": "layout: made on a mesh of 20908 faces (numFaces), but SMPLH_male.npz has 13776",
    "uncounted": None,
    "beyond": "layout: marker chin: faceId is 20000, outside 0 to 13775, the faces of SMPLH_male.npz; the file was",
}


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """Random models with the sizes of the released ones."""
    bodies = {}
    for kind, name in (("smplx", "SMPLX_MALE.npz"), ("smplh", "SMPLH_male.npz")):
        model = random_smpl(kind, num_directions=10, full_size=True)
        del model["posedirs"]
        path = tmp_path_factory.mktemp(kind) / name
        np.savez(path, **model)
        bodies[kind] = load_body(path)
    return bodies


@pytest.mark.parametrize("name", SMPLX_FILES)
def test_read_constraints_checks_the_mesh(tmp_path, full_size, name):
    path = written(tmp_path, SMPLX_FILES[name])
    found = read_constraints(path, full_size["smplx"])
    assert found.mesh_known
    assert found.layouts[0].labels == tuple(SMPLX_FILES[name]["layout"]["Markers"])
    line = REFUSED_BY_SMPLH[name]
    if line is None:
        assert not read_constraints(path, full_size["smplh"]).mesh_known
        return
    with pytest.raises(GaitError) as caught:
        read_constraints(path, full_size["smplh"])
    assert line in str(caught.value)


def test_read_constraints_ignores_toe_bounds_for_smplx(tmp_path, full_size):
    bound = {"type": "Angle", "joints": [12, 3 * 55, 3 * 74 + 2], "lbounds": [-1, 0, 0], "upbounds": [1, 0, 0]}
    path = written(tmp_path, {"joints": bound})
    np.testing.assert_array_equal(read_constraints(path, full_size["smplx"]).angle_bounds.indices, [12])
    with pytest.raises(GaitError, match="joints is 165, outside 0 to 155, the pose parameters of SMPLH_male"):
        read_constraints(path, full_size["smplh"])
    bound["joints"][2] = 3 * 75
    with pytest.raises(GaitError, match="joints is 225, outside 0 to 224, the pose parameters of SMPLX_MALE"):
        read_constraints(written(tmp_path, {"joints": bound}), full_size["smplx"])


def with_marker(**fields):
    def change(content):
        content["legs"]["Markers"]["leg2"].update(fields)

    return change


def with_entry(name, **fields):
    return lambda content: content[name].update(fields)


BROKEN = [
    (with_marker(faceId=60), "legs: marker leg2: faceId is 60, outside 0 to 59, the faces of supr_test.npy;"),
    (with_marker(faceId=-1), "legs: marker leg2: faceId is -1, outside 0 to 59"),
    (with_marker(faceId=1.5), "legs: marker leg2: faceId is 1.5, outside"),
    (with_marker(faceId="7"), 'legs: marker leg2: faceId is "7", not a finite number.'),
    (with_marker(faceId=None), "legs: marker leg2: faceId is null, not a finite number."),
    (with_marker(baryCoords=[0.2, 0.3]), "legs: marker leg2: baryCoords has 2 numbers, expected 3."),
    (with_marker(baryCoords=[0.2, 0.3, 0.4]), "legs: marker leg2: baryCoords [0.2, 0.3, 0.4] are not"),
    (with_marker(baryCoords=[2, -0.5, -0.5]), "legs: marker leg2: baryCoords [2.0, -0.5, -0.5] are"),
    (with_marker(baryCoords=[0.2, 0.8, float("nan")]), "legs: marker leg2: baryCoords is NaN, not a"),
    (with_marker(baryCoords=3), "legs: marker leg2: baryCoords is missing or not a list."),
    (with_marker(distanceToSkin=float("inf")), "legs: marker leg2: distanceToSkin is Infinity, not a finite"),
    (with_marker(distanceToSkin=9.5), "legs: marker leg2: distanceToSkin is 9.5; in metres"),
    (with_entry("legs", Markers={}), "legs: Markers is missing or empty."),
    (with_entry("legs", Markers={"a": 3}), "legs: marker a is not an object with faceId, baryCoords and"),
    (with_entry("legs", Markers=markers(["a", "a "])), "legs: a marker is named twice."),
    (with_entry("legs", numFaces=20908), "legs: made on a mesh of 20908 faces (numFaces), but supr_test"),
    (lambda content: content.update(F=20908), "made on a mesh of 20908 faces (F), but supr_test.npy has 60;"),
    (with_entry("knees", joints=[12]), "knees: joints, lbounds and upbounds have 1 and 2 and 2 entries"),
    (with_entry("knees", joints=[12, 225]), "knees: joints is 225, outside 0 to 224, the pose parameters"),
    (with_entry("knees", lbounds=None), "knees: lbounds is missing or not a list."),
    (with_entry("knees", upbounds=[-1, 1]), "knees: pose parameter 12 has lbound -0.1 above upbound -1."),
    (with_entry("knees", upbounds=[1, "x"]), 'knees: upbounds is "x", not a finite number.'),
]  # fmt: skip


@pytest.mark.parametrize(("change", "line"), BROKEN)
def test_read_constraints_names_the_wrong_entry(tmp_path, body, change, line):
    content = copy.deepcopy(FILE)
    change(content)
    path = written(tmp_path, content)
    with pytest.raises(GaitError) as caught:
        read_constraints(path, body)
    assert str(caught.value).startswith(f"{path}: {line}")
    assert "\n" not in str(caught.value)


def test_read_constraints_accepts_the_right_face_count(tmp_path, body):
    content = {**FILE, "numFaces": 60, "F": {"type": "Beta"}}
    assert read_constraints(written(tmp_path, content), body).unused[-1] == "F (Beta)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", ", line 1, column 2: is not JSON ("),
        ("[1, 2]", ": contains a list, not an object of constraints."),
        ("[" * 100000, ": is not a constraints file (nested too deeply)."),
        ("\0\0", ", line 1, column 1: is not JSON ("),
    ],
)
def test_read_constraints_refuses_other_files(tmp_path, body, text, line):
    path = written(tmp_path, text)
    with pytest.raises(GaitError) as caught:
        read_constraints(path, body)
    assert str(caught.value).startswith(f"{path}{line}")
    with pytest.raises(GaitError, match=r"nothing.json: the constraints file cannot be read"):
        read_constraints(tmp_path / "nothing.json", body)


@pytest.mark.skipif(not OPEN_BODY.exists(), reason="the open body is missing in this checkout")
def test_read_constraints_refuses_implausible_marker_positions(tmp_path):
    body = load_body(OPEN_BODY, num_betas=0)
    centres = body.v_template[body.faces].mean(1).numpy()
    positions = {
        "FHD": (0.07, 1.75, 0.1),
        "SHO": (0.15, 1.45, 0),
        "ASI": (0.12, 0.95, 0.1),
        "KNE": (0.15, 0.5, 0),
    }
    labels = {s + n: (x if s == "L" else -x, y, z) for s in "LR" for n, (x, y, z) in positions.items()}
    floor = centres[:, 1].min()
    nearest = {k: int(np.linalg.norm(centres - [x, y + floor, z], axis=1).argmin()) for k, (x, y, z) in labels.items()}

    def read(faces):
        content = {"own": {"type": "C3DMarker", "Markers": {k: marker(f) for k, f in faces.items()}}}
        return read_constraints(written(tmp_path, content), body)

    assert len(read(nearest).layouts[0].labels) == 8
    swapped = {("R" if k[0] == "L" else "L") + k[1:]: f for k, f in nearest.items()}
    with pytest.raises(GaitError, match=r"on open_neutral.npz .*LFHD.* would be on the wrong side; its faceIds are"):
        read(swapped)
    upside_down = dict(zip(nearest, [nearest[s + n] for s in "LR" for n in ("KNE", "ASI", "SHO", "FHD")], strict=True))
    with pytest.raises(GaitError, match="head and feet would be mixed up; its faceIds are those of another mesh"):
        read(upside_down)
