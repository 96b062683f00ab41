"""Fingerprints of results: what makes a saved result out of date, and what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gait.files.fingerprint import STAGE_VERSIONS, changed_inputs, file_sha256, fingerprint, hash_files
from gait.files.step_cache import StepCache, StepOutput


def test_changed_inputs_names_the_differences(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("a")

    def now(stride: int = 4) -> dict[str, object]:
        return fingerprint("fit", files=hash_files([source]), stride=stride, absent=None)

    saved = json.loads(json.dumps(now()))
    assert changed_inputs(saved, now()) == []
    assert changed_inputs(saved, now(stride=5)) == ["stride"]
    source.write_text("changed")
    assert changed_inputs(saved, now()) == ["files"]
    assert changed_inputs(None, now()) == sorted(now())
    assert file_sha256(tmp_path / "missing") is None


def test_changed_inputs_of_a_raised_stage_version(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = fingerprint("windows", "training", stride=4)
    monkeypatch.setitem(STAGE_VERSIONS, "fit", STAGE_VERSIONS["fit"] + 1)
    assert changed_inputs(saved, fingerprint("windows", "training", stride=4)) == []
    monkeypatch.setitem(STAGE_VERSIONS, "training", STAGE_VERSIONS["training"] + 1)
    assert changed_inputs(saved, fingerprint("windows", "training", stride=4)) == ["stages"]


@pytest.mark.parametrize("package_version", ["suite", "version"])
def test_changed_inputs_of_results_without_stages(package_version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for stage in STAGE_VERSIONS:
        monkeypatch.setitem(STAGE_VERSIONS, stage, 1)
    saved = {"person_number": 2, package_version: "0.1.0"}
    legacy_keys = {"person_number": "subject_index"}
    assert changed_inputs(saved, fingerprint("fit", subject_index=2), legacy_keys) == []
    monkeypatch.setitem(STAGE_VERSIONS, "fit", 2)
    assert changed_inputs(saved, fingerprint("fit", subject_index=2), legacy_keys) == ["stages"]


def test_changed_inputs_ignores_an_added_input_only_where_it_was_not_saved() -> None:
    saved, wanted = fingerprint("fit", stride=4), fingerprint("fit", stride=4, marker_sets={"a.toml": "1"})
    assert changed_inputs(saved, wanted, added=["marker_sets"]) == []
    assert changed_inputs(saved, wanted) == ["marker_sets"]
    assert changed_inputs({**saved, "marker_sets": {}}, wanted, added=["marker_sets"]) == ["marker_sets"]


def test_step_cache_returns_steps_of_the_same_inputs(tmp_path: Path) -> None:
    result = tmp_path / "result"
    result.write_text("b")
    inputs = fingerprint("page", stride=3)
    StepCache(tmp_path).store("draw", inputs, StepOutput({"number": 3}, ("a remark",)))
    assert StepCache(tmp_path).get("draw", inputs, [result]) == StepOutput({"number": 3}, ("a remark",))
    assert StepCache(tmp_path).get("write", inputs, [result]) is None
    assert StepCache(tmp_path).get("draw", inputs, [tmp_path / "gone"]) is None
    assert StepCache(tmp_path).get("draw", fingerprint("page", stride=4), [result]) is None
    for damaged in ("{", "[]", '{"draw": 3}', '{"draw": {"inputs": "x"}}'):
        (tmp_path / ".step_cache.json").write_text(damaged)
        assert StepCache(tmp_path).get("draw", inputs, [result]) is None
