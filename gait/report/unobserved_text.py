"""What the markers of a trial do not observe, in few words: "knees ± 30 mm: no marker on either shank"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gait.body.joint_status import MAX_OBSERVED_SIGMA_M, MIN_OBSERVED_FRACTION
from gait.body.segments import MEETING_SEGMENTS
from gait.body.skeleton import HEAD_TO_FEET, Joint, display_names
from gait.fitting.fit_report import FitReport
from gait.text import join_words

_PARTS = {
    "head": ("HEAD",), "trunk": ("SPINE2", "SPINE3", "NECK", "COLLAR"), "lower spine": ("SPINE1",),
    "arm": ("SHOULDER", "ELBOW", "WRIST"), "pelvis": ("PELVIS", "HIP"), "leg": ("KNEE", "ANKLE", "FOOT"),
}  # fmt: skip
"""Joints that are named together, by the name of the part of the body if it has all of them."""
_LIMBS = {"arm": ("upper arm", "forearm", "hand"), "leg": ("thigh", "shank", "foot")}


def describe_unobserved(report: FitReport) -> str:
    """Return what the markers do not observe in most frames, and why; empty if they observe all joints.

    Inferred joints are named with their uncertainty, in which about two thirds of their errors are. Of joint
    centres that cameras estimate, the uncertainty itself is the reason.
    """
    centres = any(marker.get("kind") == "joint_centre" for marker in report.markers.values())
    least_mm = 0.0 if centres else 1e3 * MAX_OBSERVED_SIGMA_M
    weak = [joint for joint in HEAD_TO_FEET if _fraction(report, joint, "observed") < MIN_OBSERVED_FRACTION]
    unknown = [joint for joint in weak if _fraction(report, joint, "not_observed") >= MIN_OBSERVED_FRACTION]
    empty = report.segments_without_markers
    texts = []
    bare = []  # parts of the body without any marker
    for joints in _grouped(unknown):
        names, reason = _joint_names(joints), _reason(joints, empty)
        if reason in (f"the {names}", f"either {names[:-1]}"):
            bare.append(names)
        else:
            texts.append(f"{names}: no marker on {reason}" if reason else names)
    if bare:
        texts.insert(0, f"{join_words(bare, 'and')}: no markers")
    for joints in _grouped([joint for joint in weak if joint not in unknown]):
        sigma_mm = max(least_mm, *(report.joints[joint.name.lower()]["sigma_mm"] for joint in joints))
        names, reason = f"{_joint_names(joints)} ± {5 * round(sigma_mm / 5):.0f} mm", _reason(joints, empty)
        texts.append(f"{names}: no marker on {reason}" if reason and not centres else names)
    return "; ".join(texts)


def _fraction(report: FitReport, joint: Joint, status: str) -> float:
    """Return the fraction of the frames in which a joint has a status; observed in reports that do not tell."""
    fractions: Mapping[str, Any] = report.joints.get(joint.name.lower(), {})
    return float(fractions.get(f"{status}_fraction", 1.0 if status == "observed" else 0.0))


def _grouped(joints: Sequence[Joint]) -> list[list[Joint]]:
    """Group joints by the part of the body; a limb whose other side lacks other joints is a group of its own."""
    groups: list[list[Joint]] = []
    for names in _PARTS.values():
        sides: dict[str, list[Joint]] = {}
        for joint in joints:
            side, _, name = joint.name.rpartition("_")
            if name in names:
                sides.setdefault(side, []).append(joint)
        left, right = sides.get("LEFT", []), sides.get("RIGHT", [])
        if [joint.name[5:] for joint in left] == [joint.name[6:] for joint in right]:
            groups.append([*sides.get("", []), *left, *right])
        else:
            groups += [[*sides.get("", []), *left], right]
    return [group for group in groups if group]


def _joint_names(joints: Sequence[Joint]) -> str:
    names = {joint.name.removeprefix("LEFT_").removeprefix("RIGHT_") for joint in joints}
    sides = {joint.name.partition("_")[0].lower() for joint in joints} & {"left", "right"}
    part = next((part for part, whole in _PARTS.items() if len(whole) > 2 and names == set(whole)), None)
    if part is None:
        return display_names(joints)
    return part if part == "trunk" else f"{part}s" if len(sides) == 2 else f"{sides.pop()} {part}"


def _reason(joints: Sequence[Joint], empty_segments: Sequence[str]) -> str:
    """Return the segments without markers that meet at some joints, such as "either shank"; "" if there are none."""
    sides: dict[str, list[str]] = {}
    for joint in joints:
        proximal, distal = MEETING_SEGMENTS[joint]
        from_trunk = proximal in ("trunk", "pelvis") and distal in empty_segments
        for segment in (distal,) if from_trunk else (proximal, distal):
            if segment in empty_segments:
                side, _, name = segment.partition(" ")
                which, noun = (side, name) if side in ("left", "right") else ("", segment)
                if which not in sides.setdefault(noun, []):
                    sides[noun].append(which)
    for limb, parts in _LIMBS.items():
        of_parts = [sides[part] for part in parts if part in sides]
        if len(of_parts) == len(parts) and all(each == of_parts[0] for each in of_parts):
            sides = {noun: each for noun, each in sides.items() if noun not in parts} | {limb: of_parts[0]}
    nouns: dict[str, list[str]] = {}
    for noun, each in sides.items():
        nouns.setdefault("either" if len(each) == 2 else f"the {each[0]}".rstrip(), []).append(noun)
    return join_words([f"{which} {join_words(each, 'or')}" for which, each in nouns.items()], "or")
