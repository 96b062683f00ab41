import pytest

from gait.capture.marker_heights import marker_levels
from gait.capture.marker_names import (
    CANONICAL_MARKERS,
    canonical_marker,
    is_model_position,
    is_unlabelled,
    model_outputs,
    own_marker,
    split_prefixes,
)


def test_canonical_names_stand_for_themselves():
    assert len(CANONICAL_MARKERS) == len(set(CANONICAL_MARKERS)) == 44
    for name in CANONICAL_MARKERS:
        assert canonical_marker(name) == canonical_marker(f" {name.lower()}  ") == name


def test_every_canonical_marker_has_a_level():
    levels = dict(zip(CANONICAL_MARKERS, marker_levels(CANONICAL_MARKERS), strict=True))
    assert all(0 < level < 1 for level in levels.values())
    assert levels["LFHD"] > levels["C7"] > levels["LASI"] > levels["LKNE"] > levels["LANK"] > levels["LTOE"]


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
def test_other_names_of_one_spot(written: str, marker: str):
    assert canonical_marker(written) == marker


@pytest.mark.parametrize(
    "name",
    ["LTH1", "R.Clavicle", "T8", "R.Wrist", "L_FM1", "RMA", "LMA", "LMET", "Box1", "R_SCAP", "VSAC", ""],
)
def test_ambiguous_names_are_left_alone(name: str):
    assert canonical_marker(name) is None


def test_own_names_are_cleaned():
    assert own_marker(" r.th1 ") == "R.TH1"
    assert own_marker("left wand") == "LEFT_WAND"


@pytest.mark.parametrize("name", ["*12", "C_7", "C_LASI", "unlabeled_3", "Unlabelled 12", "", "  ", "0", "uname*3"])
def test_unlabelled(name: str):
    assert is_unlabelled(name)


@pytest.mark.parametrize("name", ["C7", "CLAV", "LASI", "T10", "Under1"])
def test_labelled(name: str):
    assert not is_unlabelled(name)


def test_prefix_ends_at_the_last_colon():
    names = split_prefixes(["Anna: B:LASI ", "LASI", "Box:P1"])
    assert [(n.prefix, n.name) for n in names] == [("Anna: B", "LASI"), ("", "LASI"), ("Box", "P1")]


def test_underscore_prefix_needs_several_known_markers():
    labels = ["S01_LASI", "S01_RASI", "S01_LPSI", "S01_RPSI", "S01_wand", "L_IAS", "L_WAND1"]
    names = split_prefixes(labels)
    assert [n.name for n in names] == ["LASI", "RASI", "LPSI", "RPSI", "wand", "L_IAS", "L_WAND1"]
    assert [n.name for n in split_prefixes(labels[:3])] == labels[:3]


def test_side_letters_are_no_prefixes():
    labels = ["L_ASIS", "L_PSIS", "L_KNEE", "L_ANKLE", "L_HEEL", "R.TH1"]
    assert [n.name for n in split_prefixes(labels)] == labels


def test_model_outputs_by_pattern():
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
    assert model_outputs([*outputs, *markers]) == frozenset(outputs)


def test_names_that_markers_share_need_their_siblings():
    assert not model_outputs(["LTIB1", "LTIB2", "LTIP", "PELVIS_X", "LHO"])
    assert model_outputs(["LTIO", "LTIP"]) == {"LTIO", "LTIP"}
    assert model_outputs(["LHO", "LSJC", "HC"]) == {"LHO", "LSJC", "HC"}


def test_the_file_s_own_lists_count():
    assert model_outputs(["LHPA", "LASI"], frozenset({"LHPA"})) == {"LHPA"}


def test_positions_among_the_outputs():
    for name in ("LHJC", "LFEP", "LFEO", "LKJC", "LTIO", "RAJC", "PELO", "CentreOfMass"):
        assert is_model_position(name)
    for name in ("LFEA", "LHipAngles", "PELP", "LKneeMoment"):
        assert not is_model_position(name)
