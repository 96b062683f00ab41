"""Test that fit reports are read, also those with the keys and values of older versions."""

import json
from dataclasses import replace

import pytest

from gait.errors import GaitError
from gait.fitting.fit_report import FitReport, format_frame_runs

NEW = {
    "residual_mm": {"mean": 2.0, "rms": 2.5, "p95": 5.0, "max": 9.0, "max_frame_mean": 3.0},
    "markers": {"LKNE": {"mean_mm": 2.0, "visible": 1.0, "placement_offset_mm": 4.0, "kind": "anatomical"}},
    "worst_markers": ["LKNE"],
    "missing_markers": [],
    "unused_labels": [],
    "frames": 90,
    "frames_per_second": 900.0,
    "betas": [0.5],
    "stature_m": 1.7,
    "placement_offset_mm": {"anatomical": 4.0, "technical": None},
    "marker_errors": [
        {
            "kind": "label_swap",
            "marker": "LKNE",
            "other": "LTIB",
            "first_frame": 3,
            "last_frame": 9,
            "mean_error_mm": 85.3,
            "action": "excluded",
        }
    ],
    "joints": {"left_knee": {"sigma_mm": 5.0, "worst_mm": 9.0, "data_fraction": 0.9, "observed_fraction": 1.0}},
    "undetermined_joints": ["left_foot"],
    "segments": [[1, 40], [60, 90]],
    "gap_filled_frames": [[11, 12]],
    "excluded_frames": [[41, 59]],
    "warnings": ["The file states 100 frames; it has 90."],
    "rejected_tracks": [{"label": "U7", "reason": "not rigid", "segment": "left shank", "rigidity_mm": 51.0}],
    "segments_without_markers": ["head"],
    "solver": "native",
}
OLD_KEYS = {
    "marker_errors": "faults",
    "placement_offset_mm": "offset_mm",
    "mean_error_mm": "evidence_mm",
    "data_fraction": "observed",
    "undetermined_joints": "unobserved_joints",
    "segments": "parts",
    "gap_filled_frames": "bridged_frames",
    "excluded_frames": "left_out_frames",
}
OLD_KINDS = {
    "exchanged": "label_swap",
    "jumped": "jump",
    "stuck": "frozen",
    "slid": "drift",
    "fell": "detached",
    "ghost": "ghost",
    "all sides exchanged": "left_right_swap",
    "mirrored": "mirrored",
    "all sides exchanged or mirrored": "left_right_swap_or_mirrored",
    "wrong unit": "unit_mismatch",
}


def with_old_keys(content):
    if isinstance(content, dict):
        return {OLD_KEYS.get(key, key): with_old_keys(value) for key, value in content.items()}
    return [with_old_keys(value) for value in content] if isinstance(content, list) else content


def test_fit_report_is_read_as_written():
    report = FitReport.from_dict({**NEW, "notes": ["further keys are ignored"]})
    assert json.loads(json.dumps(report.as_dict())) == NEW


@pytest.mark.parametrize(("old_kind", "kind"), OLD_KINDS.items())
@pytest.mark.parametrize(("old_action", "action"), [("left out", "excluded"), ("corrected", "corrected")])
def test_fit_report_with_old_keys_is_read(old_kind, kind, old_action, action):
    old = with_old_keys(NEW)
    assert set(OLD_KEYS.values()) <= {*old, *old["faults"][0], *old["joints"]["left_knee"]}
    old["faults"][0] |= {"kind": old_kind, "action": old_action, "hint": "", "line": "as it was written"}
    (error,) = NEW["marker_errors"]
    expected = FitReport.from_dict({**NEW, "marker_errors": [{**error, "kind": kind, "action": action}]})
    report = FitReport.from_dict(old)
    in_fields = kind != "unit_mismatch"
    message = expected.marker_errors[0].message if in_fields else "as it was written"
    assert report.marker_errors[0].message == message
    (known,) = report.marker_errors
    assert replace(report, marker_errors=(replace(known, stored_message=""),)) == expected


def test_fit_report_without_a_key_is_rejected_by_name():
    with pytest.raises(GaitError, match=r"lacks segments; .*--overwrite"):
        FitReport.from_dict({key: value for key, value in NEW.items() if key != "segments"})


@pytest.mark.parametrize("key", ["warnings", "rejected_tracks", "segments_without_markers"])
def test_fit_report_without_an_added_key_is_read(key):
    assert getattr(FitReport.from_dict({name: value for name, value in NEW.items() if name != key}), key) == ()


def test_format_frame_runs():
    assert format_frame_runs([[1, 40], [52, 52]]) == "1-40, 52"
