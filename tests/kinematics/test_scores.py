"""GVS, GPS and GDI of the published worked examples, and what they say about angles that are missing."""

from pathlib import Path

import numpy as np
import pytest

from gait.arrays import Vector
from gait.errors import GaitError
from gait.kinematics.gdi_reference import fit_gdi_reference
from gait.kinematics.norms import GDI_ANGLES, NormCurves, NormSource, read_angle_norm, read_gdi_reference
from gait.kinematics.scores import gait_deviation_index, gait_profile, split_by_speed
from gait.kinematics.speed_norm import ControlCurves
from tests.helpers.paths import REPOSITORY

WORKED_EXAMPLE = REPOSITORY.parent / "shared" / "reference" / "norms" / "worked_example.npz"
SIDED = [(angle, side) for side in ("left", "right") for angle in GDI_ANGLES]
SOURCE = NormSource("sheet", "calculator", "children", "Baker", "none")


@pytest.fixture(scope="module")
def example() -> dict[str, Vector]:
    if not WORKED_EXAMPLE.is_file():
        pytest.skip(f"no worked example: ../shared/reference/norms/{Path(WORKED_EXAMPLE).name} is missing")
    with np.load(WORKED_EXAMPLE) as file:
        return dict(file)


def schwartz(speed: float) -> NormCurves:
    found = read_angle_norm("schwartz2008").at_speed(speed)
    assert found is not None
    return found


def both_sides(norm: NormCurves) -> dict[tuple[str, str], Vector]:
    return {(angle, side): norm.mean_deg[angle] for angle, side in SIDED}


def test_gps_and_gvs_of_the_worked_example(example: dict[str, Vector]) -> None:
    mean = dict(zip(GDI_ANGLES, example["gps_control_mean"], strict=False))  # the right side's are the same
    norm = NormCurves(SOURCE, mean, mean, mean, mean, "one_sd")
    profile = gait_profile(dict(zip(SIDED, example["gps_subject"], strict=True)), norm)
    gps = [profile.gps_deg[side] for side in ("left", "right", "overall")]
    np.testing.assert_allclose(gps, example["gps_answer_left_right_overall"], atol=1e-6)
    difference = example["gps_subject"] - example["gps_control_mean"]
    for row, key in enumerate(SIDED):  # one percent after the other
        assert profile.gvs_deg[key] == pytest.approx((sum(d * d for d in difference[row]) / 51) ** 0.5, abs=1e-6)
    assert profile.missing == ()


def test_gdi_of_the_worked_example(example: dict[str, Vector]) -> None:
    curves = {
        (angle, "left"): row for angle, row in zip(GDI_ANGLES, example["gdi_subject"].reshape(9, 51), strict=True)
    }
    assert gait_deviation_index(curves, "left", read_gdi_reference()) == pytest.approx(example["gdi_answer"], abs=1e-6)
    assert np.isnan(gait_deviation_index(curves, "right", read_gdi_reference()))


def test_a_missing_angle_leaves_its_scores_out_and_is_named() -> None:
    norm = schwartz(0.43)
    curves = both_sides(norm) | {("hip_rotation", "left"): np.full(101, np.nan)}
    del curves["foot_progression", "right"]
    profile = gait_profile(curves, norm)
    assert profile.missing == (("hip_rotation", "left"), ("foot_progression", "right"))
    assert np.isnan(list(profile.gps_deg.values())).all()
    assert profile.gvs_deg["hip_flexion", "left"] == 0
    assert np.isnan(gait_deviation_index(curves, "left", read_gdi_reference()))


def test_the_split_says_what_speed_explains() -> None:
    norm = read_angle_norm("schwartz2008")
    curves = both_sides(schwartz(0.2))  # a child as the mean of very slow ones
    curves["knee_flexion", "left"] = curves["knee_flexion", "left"] + 6
    split = split_by_speed(curves, norm, 0.2)
    assert split is not None
    assert split.gps_beyond_deg["left"] == pytest.approx(6 / 3)  # one of nine angles
    assert split.gps_beyond_deg["right"] == pytest.approx(0, abs=1e-9)
    assert split.gps_explained_deg["right"] == pytest.approx(split.gps_total_deg["right"])
    assert split.gps_explained_deg["right"] > 4
    assert split.beyond.offset_deg["knee_flexion", "left"] == pytest.approx(6)
    assert split.beyond.gps_without_offsets_deg["left"] == pytest.approx(0, abs=1e-9)
    for key, offset in split.total.offset_deg.items():
        assert offset == pytest.approx(split.explained.offset_deg[key] + split.beyond.offset_deg[key])
    assert split_by_speed(curves, read_angle_norm("pinzone2014_centre1"), 0.2) is None


def real_curves() -> dict[str, list[ControlCurves]]:
    """Return real persons' curves; their speed is not known, so all have the same."""
    path = REPOSITORY.parent / "shared" / "curves" / "angle_curves.npz"
    if not path.is_file():
        pytest.skip("no curves of real persons: ../shared/curves is missing")
    with np.load(path) as file:
        names, curves = file["session"].tolist(), file["angles_deg"]
    persons = [
        ControlCurves(name, 0.4, dict(zip(SIDED, rows, strict=True))) for name, rows in zip(names, curves, strict=True)
    ]
    return {group: [p for p in persons if p.person.startswith(group)] for group in ("control", "parkinson")}


@pytest.mark.parametrize("published_features", [True, False])
def test_gdi_of_new_controls_against_own_controls_is_100_with_an_sd_of_10(published_features: bool) -> None:
    people = real_curves()
    reference = fit_gdi_reference(people["control"][::2], read_gdi_reference() if published_features else None)
    assert reference.source.persons == 21
    np.testing.assert_allclose(
        reference.features.T @ reference.features, np.eye(reference.features.shape[1]), atol=1e-9
    )

    def gdi(persons: list[ControlCurves]) -> Vector:
        return np.array(
            [gait_deviation_index(p.curves, side, reference) for p in persons for side in ("left", "right")]
        )

    new, sick = gdi(people["control"][1::2]), gdi(people["parkinson"])
    assert new.mean() == pytest.approx(100, abs=5)
    assert new.std() == pytest.approx(10, abs=4)
    assert sick.mean() < new.mean() - 5


def test_too_few_controls_are_no_gdi_reference() -> None:
    curves = both_sides(schwartz(0.43))
    with pytest.raises(GaitError, match="3 controls have all nine angles"):
        fit_gdi_reference([ControlCurves(str(k), 0.4, curves) for k in range(3)])
