"""Attribution files: round trip without pickle; damage raises a GaitError of one line; old keys are read."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
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
from gait.kinematics.gait_cycle import average_gait_cycles
from gait.kinematics.walking import Activity
from gait.motion.inputs import INPUTS
from tests.helpers.explanation_cases import random_attribution
from tests.helpers.motion_cases import status_without, stick_figure


def saved_attribution(attribution: TrialAttribution | None = None) -> SavedAttribution:
    return SavedAttribution(
        trial_id="sick/Süß ☂/walk1/segment2",
        attribution=random_attribution() if attribution is None else attribution,
        network="mlp.ckpt",
        network_sha256="ab" * 32,
        arguments={"command": "attention_viewer.py --gait x", "stride": 4, "rule": None},
        versions={"gait": "0.1.0"},
    )


@pytest.mark.parametrize("signed", [True, False])
def test_write_explanation_round_trip(tmp_path: Path, signed: bool) -> None:
    attribution = random_attribution(signed=signed)
    attribution.values[:5] = np.nan
    before = saved_attribution(attribution)
    after = read_explanation(write_explanation(tmp_path / "new" / "folder", before))
    for name in ("values", "probability", "first_frames", "window_probability"):
        found, wanted = getattr(after.attribution, name), getattr(attribution, name)
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype
    for name in ("window_length", "rate_hz", "signed", "method", "settings", "target"):
        assert getattr(after.attribution, name) == getattr(attribution, name)
    assert after.attribution.unattributed == attribution.unattributed or not signed
    assert np.isnan(after.attribution.unattributed) == (not signed)
    for name in ("trial_id", "network", "network_sha256", "arguments", "versions"):
        assert getattr(after, name) == getattr(before, name)


UNOBSERVED = (Joint.LEFT_ANKLE, Joint.LEFT_FOOT)


def attribution_without_foot(frames: int = 120) -> TrialAttribution:
    """Return the attribution of a trial that does not observe the left foot, nor the head in ten frames."""
    status = status_without(frames, UNOBSERVED)
    status[:10, Joint.HEAD] = 0
    changes = {"joint_status": status, "left_out_joints": (Joint.RIGHT_WRIST,)}
    attribution = random_attribution(frames, **changes)
    attribution.values[~attribution.explainable] = np.nan
    return attribution


def test_write_explanation_keeps_what_is_not_observed(tmp_path: Path) -> None:
    before = attribution_without_foot()
    after = read_explanation(write_explanation(tmp_path, saved_attribution(before))).attribution
    np.testing.assert_array_equal(after.joint_status, before.joint_status)
    assert (after.unobserved_joints, after.left_out_joints) == (UNOBSERVED, (Joint.RIGHT_WRIST,))
    np.testing.assert_array_equal(after.explainable, before.explainable)
    path = rewrite(tmp_path / "explanation.npz", joint_status=None, left_out_joints=None)  # as in earlier versions
    assert read_explanation(path).attribution.explainable.all()


def test_files_keep_the_activity(tmp_path: Path) -> None:
    activity = np.repeat(np.array([Activity.STANDING, Activity.WALKING], np.uint8), 60)
    before = random_attribution(120, activity=activity)
    path = write_explanation(tmp_path, saved_attribution(before))
    np.testing.assert_array_equal(read_explanation(path).attribution.activity, activity)
    assert [row["activity"] for row in rows(write_frames(tmp_path, before))] == ["standing"] * 60 + ["walking"] * 60
    for wrong in (activity[:5], activity.astype(float), activity + 9):
        with pytest.raises(GaitError, match="activity"):
            read_explanation(rewrite(path, activity=wrong))


def test_tables_mark_what_is_not_observed(tmp_path: Path) -> None:
    attribution = attribution_without_foot(400)
    table = rows(write_frames(tmp_path, attribution))
    assert {row["not_observed"] for row in table[10:]} == {"left_ankle left_foot"}
    assert {row["not_observed"] for row in table[:10]} == {"left_ankle left_foot head"}
    assert {row[name] for row in table for name in ("left_ankle", "left_foot", "right_wrist")} == {""}
    assert (table[9]["head"], table[9]["left_knee"] != "", table[10]["head"] != "") == ("", True, True)
    cycles = average_gait_cycles(*attribution.cycle_inputs(stick_figure(400)))
    table = rows(write_cycles(tmp_path, attribution, cycles))
    assert {row["not_observed"] for row in table} == {"left_ankle left_foot"}
    assert {row["left_foot"] for row in table} == {""}
    by_side = {side: {row["num_cycles"] for row in table if row["side"] == side} for side in ("left", "right")}
    assert by_side["left"] == {"0"}, "initial contacts of a foot that is not observed are not stated"
    assert by_side["right"] != {"0"}
    assert all(row["right_knee"] for row in table if row["side"] == "right")


def test_write_explanation_needs_no_pickle(tmp_path: Path) -> None:
    path = write_explanation(tmp_path, saved_attribution())
    with np.load(path, allow_pickle=False) as data:
        content = {key: data[key] for key in data.files}
    assert content["attribution"].shape == (120, NUM_BODY_JOINTS)
    assert list(content["joints"]) == [joint.name for joint in BODY_JOINTS]
    assert str(content["method"]) == "lrp"
    assert json.loads(str(content["settings"]))["rule"] == "epsilon"


def rewrite(path: Path, **changes: object) -> Path:
    """Replace entries of a file, or remove those that are None."""
    with np.load(path, allow_pickle=False) as data:
        content: dict[str, object] = {key: data[key] for key in data.files} | changes
    np.savez(path, allow_pickle=True, **{key: value for key, value in content.items() if value is not None})  # type: ignore[arg-type]
    return path


def test_read_explanation_accepts_keys_of_earlier_versions(tmp_path: Path) -> None:
    """Format version 1 had the keys ``gait``, ``values`` and ``absorbed``."""
    before = saved_attribution()
    path = write_explanation(tmp_path, before)
    with np.load(path, allow_pickle=False) as data:
        old = {"gait": data["trial_id"], "values": data["attribution"], "absorbed": data["unattributed"]}
    rewrite(path, **old, trial_id=None, attribution=None, unattributed=None, format_version=np.int64(1))
    after = read_explanation(path)
    assert after.trial_id == before.trial_id
    assert after.attribution.unattributed == before.attribution.unattributed
    np.testing.assert_array_equal(after.attribution.values, before.attribution.values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "not an explanation"),
        ({"joint_status": np.zeros((3, 22), np.uint8)}, "joint_status"),
        ({"left_out_joints": np.array(["TAIL"])}, "TAIL"),
        ({"format_version": np.int64(99)}, "newer version"),
        ({"attribution": None}, "no attribution in it"),
        ({"attribution": np.zeros((120, 21), np.float32)}, "different lengths"),
        ({"attribution": np.zeros((7, 22), np.float32)}, "different lengths"),
        ({"window_probability": np.zeros(3, np.float32)}, "different lengths"),
        ({"probability": np.array(["a"] * 120)}, "numbers"),
        ({"joints": np.array(["head"])}, "joints"),
        ({"settings": np.str_("[1]")}, "settings"),
        ({"settings": np.str_("{")}, "damaged"),
        ({"rate_hz": np.str_("fast")}, "damaged"),
    ],
)
def test_read_explanation_raises_for_damage(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = rewrite(write_explanation(tmp_path, saved_attribution()), **changes)
    with pytest.raises(GaitError, match=message) as caught:
        read_explanation(path)
    assert str(path) in str(caught.value)


def test_read_explanation_raises_for_truncated_or_missing_file(tmp_path: Path) -> None:
    path = write_explanation(tmp_path, saved_attribution())
    path.write_bytes(path.read_bytes()[:2000])
    for one in (path, tmp_path / "nothing.npz"):
        with pytest.raises(GaitError, match=one.name):
            read_explanation(one)


def test_write_explanation_keeps_the_old_file_on_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_explanation(tmp_path, saved_attribution())
    before = path.read_bytes()

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", disk_full)
    with pytest.raises(GaitError, match="No space left"):
        write_explanation(tmp_path, saved_attribution(random_attribution(seed=1)))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_write_frames_has_one_row_per_frame(tmp_path: Path) -> None:
    attribution = random_attribution(50)
    attribution.values[10] = np.nan
    table = rows(write_frames(tmp_path, attribution))
    assert len(table) == 50
    assert table[3]["time_s"] == "0.0300"
    assert float(table[3]["left_knee"]) == pytest.approx(attribution.values[3, Joint.LEFT_KNEE], rel=1e-5)
    assert float(table[7]["probability_sick"]) == pytest.approx(attribution.probability[7], rel=1e-5)
    assert len(table[0]) == 3 + NUM_BODY_JOINTS + 3
    assert [row["well_covered"] for row in table] == [str(int(covered)) for covered in attribution.well_covered]
    assert {row["activity"] for row in table} == {""}
    assert table[10]["left_knee"] == table[10]["head"] == ""


def test_write_cycles_has_one_row_per_side_and_percent(tmp_path: Path) -> None:
    joints = stick_figure(400)
    attribution = random_attribution(400)
    cycles = average_gait_cycles(attribution.values, joints, 100.0)
    table = rows(write_cycles(tmp_path, attribution, cycles))
    assert [row["side"] for row in table] == ["left"] * 101 + ["right"] * 101
    assert [int(row["percent"]) for row in table[:101]] == list(range(101))
    row = table[101 + 30]
    assert int(row["num_cycles"]) == cycles["right"].num_cycles > 0
    assert float(row["knee_flexion_deg"]) == pytest.approx(cycles["right"].knee_deg[30], rel=1e-4)
    assert float(row["left_wrist"]) == pytest.approx(cycles["right"].values[30, Joint.LEFT_WRIST], rel=1e-4)


def test_write_explanation_keeps_axes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    axes = random.normal(size=(120, 22, 3)).astype(np.float32)
    axes[:, Joint.LEFT_KNEE, 1] += 2
    names = tuple(tuple(f"{joint} {axis}" for axis in "xyz") for joint in range(22))
    changes = {"input": "bones", "axis_values": axes, "axis_names": names}
    before = random_attribution(**changes, window_probability=np.full(23, 0.9, np.float32), values=axes.sum(2))
    path = write_explanation(tmp_path, saved_attribution(before))
    after = read_explanation(path).attribution
    np.testing.assert_array_equal(after.axis_values, axes)
    assert (after.input, after.axis_names) == ("bones", names)
    assert after.largest_axes(1) == (f"{int(Joint.LEFT_KNEE)} y",)
    assert after.largest_joints(1) == ("left thigh",)
    healthy = replace(after, window_probability=1 - after.window_probability)
    assert healthy.largest_axes(66)[-1] == after.largest_axes(1)[0]
    for name, value in (("input", np.str_("angles")), ("axis_values", axes[:-1]), ("axis_names", np.array(["a"]))):
        np.savez(path, **(dict(np.load(path)) | {name: value}))
        with pytest.raises(GaitError, match="damaged explanation"):
            read_explanation(path)
        write_explanation(tmp_path, saved_attribution(before))


def test_bones_are_named_by_their_segments() -> None:
    values = np.zeros((120, 22), np.float32)
    values[:, Joint.LEFT_KNEE] = 1
    sick = np.full(23, 0.9, np.float32)
    names = {kind: random_attribution(values=values, window_probability=sick, input=kind) for kind in INPUTS}
    assert {kind: found.largest_joints(1) for kind, found in names.items()} == {
        "published": ("left knee",), "rotations": ("left knee",), "bones": ("left thigh",)
    }  # fmt: skip
