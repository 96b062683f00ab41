import numpy as np
import pytest

from gait.capture.marker_heights import relative_marker_heights
from gait.capture.marker_names import (
    canonical_marker,
    canonical_markers,
    find_model_outputs,
    is_model_position,
    is_unlabelled,
    sanitize_marker_name,
    split_prefixes,
)
from gait.marker_sets import MARKERS


def test_canonical_marker_of_canonical_names():
    for name in MARKERS:
        assert canonical_marker(name) == canonical_marker(f" {name.lower()}  ") == name


def test_relative_marker_heights_of_all_canonical_markers():
    heights = dict(zip(MARKERS, relative_marker_heights(list(MARKERS)), strict=True))
    assert all(0 < height <= 1 for height in heights.values() if np.isfinite(height))
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
    ["L_FM1", "RMA", "LMA", "LMET", "Box1", "VSAC", "S01_LASI", "LTIP", "wand", "HEAD_X", "L", ""],
)
def test_canonical_marker_of_ambiguous_names_is_none(name: str):
    assert canonical_marker(name) is None


@pytest.mark.parametrize(
    ("written", "marker"),
    [
        *[("L.SHANK.UPPER.ANT", "LSHPA"), ("R_THIGH_PROX_POST", "RTHPP"), ("RXSHOULD", "RSHO"), ("LTH1", "LTH1")],
        *[("R.Thigh.Front", "RTHMA"), ("R.SH3", "RSH3"), ("RightUpperArm", "RUPA"), ("LFootMedial", "LNAVIC")],
        *[
            ("R.Knee.Med", "RKNM"),
            ("R.Ankle.Medial", "RMED"),
            ("LKneeOut", "LKNE"),
            ("R_Femur_Lateral_Epicondyle", "RKNE"),
        ],
        *[
            ("L_5TH_MET", "LMT5"),
            ("R_1ST_MET", "RMT1"),
            ("R_HEEL_LAT", "RHEELAT"),
            ("R.MT5", "RMT5"),
            ("Top.Head", "HTOP"),
        ],
        *[
            ("T8", "T8"),
            ("TH12", "T12"),
            ("L5", "LV5"),
            ("LV3", "LV3"),
            ("R_SCAP", "RSCA"),
            ("Left_Trochanter", "LGTR"),
        ],
        *[("Genou_G", "LKNE"), ("Knie_links_aussen", "LKNE"), ("ginocchio_dx", "RKNE"), ("Rodilla_Izq", "LKNE")],
        *[
            ("Cheville_D_int", "RMED"),
            ("Oberschenkel rechts 2", "RTH2"),
            ("Tobillo_Der_Lat", "RANK"),
            ("SIAS_D", "RASI"),
        ],
        *[("Enkel_links", "LANK"), ("Joelho_esq", "LKNE"), ("Épaule_D", "RSHO"), ("Ferse_re", "RHEE")],
    ],
)
def test_canonical_marker_of_names_that_are_parsed(written: str, marker: str):
    assert canonical_marker(written) == marker


def test_canonical_markers_of_parsed_names_that_mean_the_same_are_read_once():
    names = ["LASI", "Spina anterior superior links", "SIAS_G", "LTHIGH1", "L.Thigh.1"]
    assert canonical_markers(names) == {"LASI": "LASI", "LTHIGH1": "LTH1"}


def test_canonical_markers_of_l1_is_a_vertebra_only_without_a_right_one():
    assert canonical_markers(["C7", "L1"]) == {"C7": "C7", "L1": "LV1"}
    assert canonical_markers(["L1", "R1"]) == {}


def test_canonical_markers_of_a_set_in_use():
    assert canonical_markers(["VSAC", "RLMA"]) == {"VSAC": "SACR", "RLMA": "RANK"}


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
