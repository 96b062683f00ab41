"""Explanations on disk: everything comes back, nothing needs pickle, damage is one plain line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint
from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.explaining.attribution_files import (
    SavedAttribution,
    read_explanation,
    write_cycles,
    write_explanation,
    write_frames,
)
from gait.kinematics.gait_cycle import gait_cycles
from tests.helpers.explanation_cases import importance
from tests.helpers.motion_cases import stick_walker


def explanation(said: TrialAttribution | None = None) -> SavedAttribution:
    return SavedAttribution(
        gait="sick/Süß ☂/walk1/part2",
        importance=importance() if said is None else said,
        network="mlp.ckpt",
        network_sha256="ab" * 32,
        arguments={"command": "attention_viewer.py --gait x", "stride": 4, "rule": None},
        versions={"gait": "0.1.0"},
    )


@pytest.mark.parametrize("signed", [True, False])
def test_everything_comes_back(tmp_path: Path, signed: bool) -> None:
    said = importance(signed=signed)
    said.values[:5] = np.nan
    before = explanation(said)
    after = read_explanation(write_explanation(tmp_path / "new" / "folder", before))
    for name in ("values", "probability", "first_frames", "window_probability"):
        found, wanted = getattr(after.importance, name), getattr(said, name)
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype
    for name in ("window_length", "rate_hz", "signed", "method", "settings", "target"):
        assert getattr(after.importance, name) == getattr(said, name)
    assert after.importance.absorbed == said.absorbed or not signed
    assert np.isnan(after.importance.absorbed) == (not signed)
    for name in ("gait", "network", "network_sha256", "arguments", "versions"):
        assert getattr(after, name) == getattr(before, name)


def test_numpy_alone_reads_it_without_pickle(tmp_path: Path) -> None:
    path = write_explanation(tmp_path, explanation())
    with np.load(path, allow_pickle=False) as data:
        content = {key: data[key] for key in data.files}
    assert content["values"].shape == (120, NUM_BODY_JOINTS)
    assert list(content["joints"]) == [joint.name for joint in BODY_JOINTS]
    assert str(content["method"]) == "lrp"
    assert json.loads(str(content["settings"]))["rule"] == "epsilon"


def rewritten(path: Path, **changes: object) -> Path:
    """The same file with other or without some entries."""
    with np.load(path, allow_pickle=False) as data:
        content: dict[str, object] = {key: data[key] for key in data.files} | changes
    np.savez(path, allow_pickle=True, **{key: value for key, value in content.items() if value is not None})  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": None}, "no explanation"),
        ({"format_version": np.int64(99)}, "newer suite"),
        ({"values": None}, "no values in it"),
        ({"values": np.zeros((120, 21), np.float32)}, "different lengths"),
        ({"values": np.zeros((7, 22), np.float32)}, "different lengths"),
        ({"window_probability": np.zeros(3, np.float32)}, "different lengths"),
        ({"probability": np.array(["a"] * 120)}, "numbers"),
        ({"joints": np.array(["head"])}, "joints"),
        ({"settings": np.str_("[1]")}, "settings"),
        ({"settings": np.str_("{")}, "damaged"),
        ({"rate_hz": np.str_("fast")}, "damaged"),
    ],
)
def test_damage_is_one_line_with_the_file(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = rewritten(write_explanation(tmp_path, explanation()), **changes)
    with pytest.raises(GaitError, match=said) as caught:
        read_explanation(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_cut_off_or_missing_is_one_line(tmp_path: Path) -> None:
    path = write_explanation(tmp_path, explanation())
    path.write_bytes(path.read_bytes()[:2000])
    for one in (path, tmp_path / "nothing.npz"):
        with pytest.raises(GaitError, match=one.name):
            read_explanation(one)


def test_what_was_there_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_explanation(tmp_path, explanation())
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(GaitError, match="No space left"):
        write_explanation(tmp_path, explanation(importance(seed=1)))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_a_frame_and_empty_cells_where_nothing_is_explained(tmp_path: Path) -> None:
    said = importance(50)
    said.values[10] = np.nan
    table = rows(write_frames(tmp_path, said))
    assert len(table) == 50
    assert table[3]["seconds"] == "0.0300"
    assert float(table[3]["left knee"]) == pytest.approx(said.values[3, Joint.LEFT_KNEE], rel=1e-5)
    assert float(table[7]["probability of sick"]) == pytest.approx(said.probability[7], rel=1e-5)
    assert len(table[0]) == 3 + NUM_BODY_JOINTS
    assert table[10]["left knee"] == table[10]["head"] == ""


def test_the_table_of_cycles_has_a_row_a_percent_of_either_foot(tmp_path: Path) -> None:
    walker = stick_walker(400)
    said = importance(400)
    cycles = gait_cycles(said.values, walker, 100.0)
    table = rows(write_cycles(tmp_path, cycles))
    assert [row["foot"] for row in table] == ["left"] * 101 + ["right"] * 101
    assert [int(row["percent"]) for row in table[:101]] == list(range(101))
    row = table[101 + 30]
    assert int(row["cycles"]) == cycles["right"].cycles > 0
    assert float(row["knee flexion (deg)"]) == pytest.approx(cycles["right"].knee_deg[30], rel=1e-4)
    assert float(row["left wrist"]) == pytest.approx(cycles["right"].importance[30, Joint.LEFT_WRIST], rel=1e-4)
