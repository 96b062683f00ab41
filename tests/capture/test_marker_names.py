import pytest

from gait.capture.marker_heights import relative_marker_heights
from gait.capture.marker_names import (
    canonical_marker,
    find_model_outputs,
    is_model_position,
    is_unlabelled,
    sanitize_marker_name,
    split_prefixes,
)
from gait.marker_sets import MARKERS


def test_canonical_marker_of_canonical_names():
    assert len(MARKERS) == len(set(MARKERS)) == 44
    for name in MARKERS:
        assert canonical_marker(name) == canonical_marker(f" {name.lower()}  ") == name


def test_relative_marker_heights_of_all_canonical_markers():
    heights = dict(zip(MARKERS, relative_marker_heights(MARKERS), strict=True))
    assert all(0 < height < 1 for height in heights.values())
    assert heights["LFHD"] > heights["C7"] > heights["LASI"] > heights["LKNE"] > heights["LANK"] > heights["LTOE"]


@pytest.mark.parametrize(
    ("written", "marker"),
    [
        *[
            ("LASIS", "LASI"),
            ("L_IAS", "LASI"),
            ("R.ASIS", "RASI"),
            ("Left ASIS", "LASI"),
            ("ASIS_L", "LASI"),
        ],
        *[("l_ips", "LPSI"), ("RPSIS", "RPSI"), ("L_FLE", "LKNE"), ("L_FME", "LKNM"), ("R.Knee", "RKNE")],
        *[("L_FAL", "LANK"), ("L_TAM", "LMED"), ("L_FCC", "LHEE"), ("RCAL", "RHEE"), ("LeftHeel", "LHEE")],
        *[("LMMA", "LMED"), ("LLM", "LANK"), ("LMM", "LMED"), ("RLMA", "RANK"), ("RMMAL", "RMED")],
        *[("LKNEM", "LKNM"), ("LMKNE", "LKNM"), ("LANKM", "LMED"), ("LLFC", "LKNE"), ("LMFC", "LKNM")],
        *[
            ("CV7", "C7"),
            ("C_7", "C7"),
            ("TV10", "T10"),
            ("SXS", "STRN"),
            ("SACRUM", "SACR"),
            ("SACR", "SACR"),
        ],
        *[("L_HDF", "LFHD"), ("R_UHE", "RWRB"), ("R_RSP", "RWRA"), ("L_HM2", "LFIN"), ("L_SAJ", "LSHO")],
    ],
)
def test_canonical_marker_of_aliases(written: str, marker: str):
    assert canonical_marker(written) == marker


@pytest.mark.parametrize(
    "name",
    ["LTH1", "R.Clavicle", "T8", "R.Wrist", "L_FM1", "RMA", "LMA", "LMET", "Box1", "R_SCAP", "VSAC", ""],
)
def test_canonical_marker_of_ambiguous_names_is_none(name: str):
    assert canonical_marker(name) is None


def test_sanitize_marker_name():
    assert sanitize_marker_name(" r.th1 ") == "R.TH1"
    assert sanitize_marker_name("left wand") == "LEFT_WAND"


@pytest.mark.parametrize("name", ["*12", "C_7", "C_LASI", "unlabeled_3", "Unlabelled 12", "", "  ", "0", "uname*3"])
def test_is_unlabelled(name: str):
    assert is_unlabelled(name)


@pytest.mark.parametrize("name", ["C7", "CLAV", "LASI", "T10", "Under1"])
def test_is_unlabelled_is_false_for_markers(name: str):
    assert not is_unlabelled(name)


def test_split_prefixes_at_the_last_colon():
    names = split_prefixes(["Anna: B:LASI ", "LASI", "Box:P1"])
    assert [(n.prefix, n.name) for n in names] == [("Anna: B", "LASI"), ("", "LASI"), ("Box", "P1")]


def test_split_prefixes_at_underscore_needs_several_known_markers():
    labels = ["S01_LASI", "S01_RASI", "S01_LPSI", "S01_RPSI", "S01_wand", "L_IAS", "L_WAND1"]
    names = split_prefixes(labels)
    assert [n.name for n in names] == ["LASI", "RASI", "LPSI", "RPSI", "wand", "L_IAS", "L_WAND1"]
    assert [n.name for n in split_prefixes(labels[:3])] == labels[:3]


def test_split_prefixes_keeps_side_letters():
    labels = ["L_ASIS", "L_PSIS", "L_KNEE", "L_ANKLE", "L_HEEL", "R.TH1"]
    assert [n.name for n in split_prefixes(labels)] == labels


def test_find_model_outputs_by_pattern():
    outputs = [
        *[
            "LHipAngles",
            "RViconKneeMoment",
            "LNormalisedGRF",
            "CentreOfMass",
            "LKJC",
            "RHJCHarrington",
            "LAbsAnkleAngle",
        ],
        *[
            "PELO",
            "PELA",
            "PELL",
            "PELP",
            "LFEP",
            "HEAD_X",
            "HEAD_Y",
            "HEAD_Z",
            "midASIS",
            "projLKAX",
            "fp0corner2",
        ],
        *["LFemurProjections", "LArchHeightIndex", "LFOF0", "LTIB1"],
    ]
    markers = ["LASI", "LTIP", "LWRA", "HC", "OT", "LTOE", "Mid1", "MIDBACK", "LWAND_X"]
    assert find_model_outputs([*outputs, *markers]) == frozenset(outputs)


def test_find_model_outputs_with_ambiguous_names_need_others_of_their_group():
    assert not find_model_outputs(["LTIB1", "LTIB2", "LTIP", "PELVIS_X", "LHO"])
    assert find_model_outputs(["LTIO", "LTIP"]) == {"LTIO", "LTIP"}
    assert find_model_outputs(["LHO", "LSJC", "HC"]) == {"LHO", "LSJC", "HC"}


def test_find_model_outputs_listed_in_the_file():
    assert find_model_outputs(["LHPA", "LASI"], frozenset({"LHPA"})) == {"LHPA"}


def test_is_model_position():
    for name in ("LHJC", "LFEP", "LFEO", "LKJC", "LTIO", "RAJC", "PELO", "CentreOfMass"):
        assert is_model_position(name)
    for name in ("LFEA", "LHipAngles", "PELP", "LKneeMoment"):
        assert not is_model_position(name)
