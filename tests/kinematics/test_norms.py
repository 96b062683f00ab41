"""Norms: those in data/norms are what their sources say, a user's file is read, and wrong ones are named."""

from pathlib import Path

import numpy as np
import pytest

from gait.errors import GaitError
from gait.kinematics.norms import (
    GDI_ANGLES,
    ParameterNorm,
    norm_names,
    read_angle_norm,
    read_gdi_reference,
    read_norm,
)

ROWS = [f"knee_flexion,{percent},{30 + percent / 10},2" for percent in range(0, 101, 5)]


def write_norm(folder: Path, rows: list[str], toml: str = "") -> Path:
    path = folder / "my_norm.csv"
    path.write_text("\n".join(["angle,percent,mean_deg,sd_deg", *rows]), encoding="utf-8")
    words = {"kind": "angles", "title": "Mine", "of_whom": "ten adults", "source": "my laboratory", "licence": "none"}
    text = "\n".join(f'{key} = "{value}"' for key, value in words.items()) + "\npersons = 10\n" + toml
    path.with_suffix(".toml").write_text(text, encoding="utf-8")
    return path


def test_every_norm_of_the_suite_names_its_source_and_licence() -> None:
    for name in norm_names():
        source = read_norm(name).source
        assert source.source
        assert source.licence


def test_schwartz_2008_gives_the_band_of_a_speed() -> None:
    norm = read_angle_norm("schwartz2008")
    slow, free = norm.at_speed(0.3), norm.at_speed(0.43)
    assert slow is not None
    assert free is not None
    assert set(GDI_ANGLES) <= set(slow.mean_deg)
    assert slow.speed_range == (0.227, 0.363)
    assert free.mean_deg["knee_flexion"].max() > slow.mean_deg["knee_flexion"].max() + 3
    np.testing.assert_allclose(free.high_deg["hip_flexion"] - free.mean_deg["hip_flexion"], free.sd_deg["hip_flexion"])
    assert norm.at_speed(None) is None


def test_foot_progression_of_all_angle_norms_is_external_so_negative() -> None:
    for name in ("schwartz2008", "pinzone2014_centre1", "pinzone2014_centre2"):
        band = read_angle_norm(name).at_speed(0.43)
        assert band is not None
        assert -15 < band.mean_deg["foot_progression"].mean() < -5


def test_spatiotemporal_ranges_of_a_person() -> None:
    norm = read_norm("spatiotemporal_by_age")
    assert isinstance(norm, ParameterNorm)
    found = norm.of_person("female", 75.5)
    assert (found["cadence"].low, found["cadence"].high, found["cadence"].unit) == (101, 127, "steps/min")
    assert norm.of_person("male", 25, "slow")["stride_length"].speed_m_s is not None
    assert norm.of_person("male", 100) == {}


def test_a_users_norm_is_interpolated_to_101_points(tmp_path: Path) -> None:
    norm = read_angle_norm(write_norm(tmp_path, ROWS))
    band = norm.at_speed(None)
    assert band is not None
    assert band.persons == 10
    assert norm.speed_range is None
    np.testing.assert_allclose(band.mean_deg["knee_flexion"], 30 + np.arange(101) / 10, atol=1e-9)


def test_a_norm_dropped_into_data_norms_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "norms").mkdir(parents=True)
    write_norm(tmp_path / "data" / "norms", ROWS)
    monkeypatch.chdir(tmp_path)
    assert read_norm("my_norm").source.title == "Mine"


@pytest.mark.parametrize(
    ("rows", "toml", "problem"),
    [
        (ROWS[:-1], "", "0 to 95 %"),
        (["knee,0,1,2", *ROWS], "", "line 2: angle is 'knee'; write one of pelvis_tilt"),
        ([*ROWS, "knee_flexion,50,x,2"], "", "line 23: mean_deg is 'x'"),
        ([*ROWS[:-1], "knee_flexion,100,4,-1"], "", "sd_deg is -1"),
        ([], "", "no rows"),
        (ROWS, "changes = 3", "changes is 3"),
        (ROWS, "title = ", "is not TOML"),
    ],
)
def test_a_wrong_norm_is_named(tmp_path: Path, rows: list[str], toml: str, problem: str) -> None:
    with pytest.raises(GaitError, match=problem):
        read_norm(write_norm(tmp_path, rows, toml))


def test_a_norm_that_is_missing_or_of_another_kind_is_named() -> None:
    with pytest.raises(GaitError, match="schwartz2008"):
        read_norm("schwarz")
    with pytest.raises(GaitError, match="no angle curves"):
        read_angle_norm("gdi2008")
    with pytest.raises(GaitError, match="no features"):
        read_gdi_reference("schwartz2008")
