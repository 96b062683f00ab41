"""Test the sentence about what the markers of a trial do not observe."""

from __future__ import annotations

import pytest

from gait.body.skeleton import BODY_JOINTS
from gait.fitting.fit_report import FitReport
from gait.report.unobserved_text import describe_unobserved

LEGS = ("KNEE", "ANKLE", "FOOT")
ARMS = ("SHOULDER", "ELBOW", "WRIST")
ARM_SEGMENTS = ("upper arm", "forearm", "hand")
TRUNK = ("SPINE2", "SPINE3", "NECK", "LEFT_COLLAR", "RIGHT_COLLAR")


def both(*names: str) -> list[str]:
    return [f"{side}{name}" for name in names for side in ("LEFT_", "RIGHT_")]


def report(unknown: list[str] = [], inferred: dict[str, float] = {}, empty: list[str] = []) -> FitReport:  # noqa: B006
    """Return a report in which some joints are not observed, others inferred with an uncertainty in mm."""
    joints = {}
    for joint in BODY_JOINTS:
        observed = joint.name not in unknown and joint.name not in inferred
        joints[joint.name.lower()] = {
            "sigma_mm": inferred.get(joint.name, 8.0),
            "observed_fraction": 0.9 if observed else 0.1,
            "not_observed_fraction": 0.9 if joint.name in unknown else 0.05,
        }
    return FitReport(
        residual_mm={}, markers={}, worst_markers=(), missing_markers=(), unused_labels=(), frames=1,
        frames_per_second=1.0, betas=(), stature_m=1.7, placement_offset_mm={}, marker_errors=(), joints=joints,
        undetermined_joints=(), segments=(), gap_filled_frames=(), excluded_frames=(),
        segments_without_markers=tuple(empty),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (report(), ""),
        (report(empty=["left upper arm", "right upper arm"]), ""),
        (
            report(inferred={"LEFT_KNEE": 27.0, "RIGHT_KNEE": 31.2}, empty=["left shank", "right shank"]),
            "knees ± 30 mm: no marker on either shank",
        ),
        (
            report(["LEFT_ANKLE", "LEFT_FOOT"], empty=["left foot"]),
            "left ankle and left forefoot: no marker on the left foot",
        ),
        (report(["HEAD"], empty=["head"]), "head: no markers"),
        (
            report(
                ["HEAD", *TRUNK, *both(*ARMS)],
                {"SPINE1": 12.0},
                ["trunk", "head", *(f"{side} {part}" for side in ("left", "right") for part in ARM_SEGMENTS)],
            ),
            "head, trunk and arms: no markers; lower spine ± 25 mm: no marker on the trunk",
        ),
        (
            report(both("ELBOW", "WRIST"), empty=["left forearm", "left hand", "right forearm", "right hand"]),
            "elbows and wrists: no marker on either forearm or hand",
        ),
        (
            report([f"LEFT_{name}" for name in LEGS] + ["RIGHT_FOOT"], empty=["left thigh", "left shank", "left foot"]),
            "left leg: no markers; right forefoot",
        ),
        (report(inferred={"LEFT_FOOT": 33.0, "RIGHT_FOOT": 36.0}), "forefeet ± 35 mm"),
    ],
)  # fmt: skip
def test_describe_unobserved(found: FitReport, text: str) -> None:
    assert describe_unobserved(found) == text


def test_describe_unobserved_of_a_report_of_an_earlier_version_is_empty() -> None:
    old = report()
    assert describe_unobserved(FitReport.from_dict({**old.as_dict(), "joints": {"head": {"sigma_mm": 60.0}}})) == ""
