"""Marker sets as data: what the loader accepts, what it refuses, and what two sets may share."""

from pathlib import Path

import pytest

from gait.errors import GaitError
from gait.marker_sets import MARKER_BY_ALIAS, MARKER_SETS, MARKERS, closest_set, marker_pairs, set_of_recording
from gait.marker_sets.marker_set import merge_marker_sets, read_marker_set

SKIN = '[skin]\nleg = ["{side}_KNEE"]\n'
KNEE = (
    '[[marker]]\nname = "{side}OUT"\naliases = ["KNEEOUT"]\nkind = "anatomical"\nheight = 0.28\ngroup = "knee"\n'
    'ray = {start = "{side}_KNEE", fraction = [0.1, 0.2], direction = [0, 1, -0.25], skin = ["leg"]}\n'
)
MIDLINE = '[[marker]]\nname = "MID"\nkind = "technical"\n'


def marker_set(folder, text, name="lab.toml"):
    path = Path(folder) / name
    path.write_text(text, encoding="utf-8")
    return read_marker_set(path)


def test_read_marker_set_expands_pairs(tmp_path):
    lab = marker_set(tmp_path, f'title = "Lab"\n{SKIN}{KNEE}{MIDLINE}')
    middle, left, right = lab.markers
    assert lab.recorded == ("MID", "LOUT", "ROUT")
    assert (middle.side, middle.contralateral, middle.ray, middle.height) == ("", "", None, None)
    assert (left.side, left.contralateral, left.aliases) == ("left", "ROUT", ("LKNEEOUT",))
    assert (left.ray.start, left.ray.skin, left.ray.fraction) == ("LEFT_KNEE", ("LEFT_KNEE",), 0.1)
    assert (right.ray.start, right.ray.fraction, right.ray.direction) == ("RIGHT_KNEE", 0.2, (0, 1, -0.25))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "anatomical"', 'kind = "bony"', "kind must be one of anatomical, technical, joint_centre, not 'bony'"),
        ('kind = "anatomical"\n', "", "kind is missing"),
        ("height = 0.28", 'height = "knee"', "height must be a number"),
        ("height = 0.28", "hight = 0.28", "unknown hight; known: name"),
        ('"{side}OUT"', '"{side}Out"', "upper case"),
        ('skin = ["leg"]', 'skin = ["tail"]', "has no tail; it has neck"),
        ("[0, 1, -0.25]", "[0, 1]", "direction must be three numbers"),
        ("[0, 1, -0.25]", '"sideways"', "direction must be up, front"),
        ('start = "{side}_KNEE"', 'towards = "{side}_KNEE"', "start is missing"),
        ('aliases = ["KNEEOUT"]', 'aliases = "KNEEOUT"', "aliases must be a list"),
        ('title = "Lab"', "", "needs a title"),
        ('title = "Lab"', "title = ", "cannot be read"),
        ('title = "Lab"', 'title = "Lab"\nrecorded = ["LKNE"]', "'recorded' names LKNE"),
        ('title = "Lab"', 'title = "Lab"\nindicators = ["Nose"]', "'indicators' names Nose"),
        ('title = "Lab"', 'title = "Lab"\nnames = {LKNIE = 3}', r"\[names\] must be a table"),
        ("height = 0.28", 'joint = "{side}_KNEE"', "only a marker of kind joint_centre"),
    ],
)
def test_read_marker_set_names_the_error(tmp_path, old, new, message):
    text = f'title = "Lab"\n{SKIN}{KNEE}'
    assert old in text
    with pytest.raises(GaitError, match=message) as refused:
        marker_set(tmp_path, text.replace(old, new))
    assert "lab.toml" in str(refused.value)


def test_merge_marker_sets_shares_equal_markers_and_refuses_different_ones(tmp_path):
    text = f'title = "Lab"\n{SKIN}{KNEE}'
    one = marker_set(tmp_path, text, "one.toml")
    same = marker_set(tmp_path, text.replace("KNEEOUT", "GENU"), "same.toml")
    merged = merge_marker_sets([one, same])
    assert merged["LOUT"].aliases == ("LKNEEOUT", "LGENU")
    other = marker_set(tmp_path, text.replace("[0.1, 0.2]", "0.3"), "other.toml")
    with pytest.raises(GaitError, match=r"one\.toml and other\.toml describe the marker LOUT differently"):
        merge_marker_sets([one, other])
    renamed = marker_set(tmp_path, text.replace("{side}OUT", "{side}GENU"), "renamed.toml")
    with pytest.raises(GaitError, match=r"one\.toml and renamed\.toml: LKNEEOUT is an alias of both LOUT and LGENU"):
        merge_marker_sets([one, renamed])


def test_read_marker_set_expands_own_names(tmp_path):
    text = 'title = "Lab"\nindicators = ["{l|R}_out"]\n[names]\n"{l|R}_out" = "{side}OUT"\nmid = "MID"\n'
    lab = marker_set(tmp_path, text)
    assert dict(lab.names) == {"mid": "MID", "l_out": "LOUT", "R_out": "ROUT"}
    assert lab.recorded == ("MID", "LOUT", "ROUT")
    assert lab.indicators == {"LOUT", "ROUT"}
    assert lab.own_name("ROUT") == "R_out"
    with pytest.raises(GaitError, match=r"lab\.toml: mid = MID, but no marker set has a marker MID"):
        merge_marker_sets([lab])


def test_joint_centres_are_declared(tmp_path):
    text = 'title = "Lab"\nmarker = [{name = "{side}KC", kind = "joint_centre", joint = "{side}_KNEE"}]\n'
    left, right = marker_set(tmp_path, text).markers
    assert (left.joint, right.joint, left.ray) == ("LEFT_KNEE", "RIGHT_KNEE", None)


def test_closest_set_has_most_of_the_markers_and_fewest_others():
    lower_body = [name for name in MARKER_SETS["plug_in_gait"].recorded if MARKERS[name].group != "head"]
    assert closest_set(lower_body) is MARKER_SETS["plug_in_gait"]
    davis = MARKER_SETS["davis_bts"]
    assert set_of_recording([davis.own_name(name) for name in davis.recorded], davis.recorded) is davis
    assert set_of_recording(lower_body, lower_body) is MARKER_SETS["plug_in_gait"]


def test_marker_sets_hold_plug_in_gait():
    assert MARKER_SETS["plug_in_gait"].title == "Plug-in Gait"
    assert len(MARKER_SETS["plug_in_gait"].recorded) == 39
    assert MARKER_BY_ALIAS["LIAS"] is MARKERS["LASI"]
    assert all(
        MARKERS[marker.contralateral].contralateral == marker.name
        for marker in MARKERS.values()
        if marker.contralateral
    )
    assert marker_pairs(["RKNE", "LKNE", "LANK", "C7"], ("knee", "ankle")) == [("LKNE", "RKNE")]
