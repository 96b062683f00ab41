"""Trial and subject ids from folders of poses."""

from __future__ import annotations

from pathlib import Path

import pytest

from gait.motion.trial_paths import parse_segment_number, parse_subject_id, parse_trial_id


@pytest.mark.parametrize(
    ("folder", "trial_id", "subject_id"),
    [
        ("out/sick/P02/walk1", "sick/P02/walk1", "sick/P02"),
        ("out/healthy/P02/walk1/segment2", "healthy/P02/walk1/segment2", "healthy/P02"),
        ("out/healthy/P02/walk1/part2", "healthy/P02/walk1/part2", "healthy/P02"),
        ("out/P02/walk1", "P02/walk1", "P02"),
        ("out/P02/walk1/segment2", "P02/walk1/segment2", "P02"),
        ("out/healthy/P02/segments", "healthy/P02/segments", "healthy/P02"),
        ("/walk1", "walk1", "walk1"),
    ],
)
def test_parse_trial_id_and_parse_subject_id(tmp_path: Path, folder: str, trial_id: str, subject_id: str) -> None:
    assert parse_trial_id(tmp_path / folder) == trial_id
    assert parse_subject_id(tmp_path / folder) == subject_id


@pytest.mark.parametrize(
    ("name", "number"),
    [("segment1", 1), ("segment10", 10), ("part3", 3), ("segment", None), ("segments1", None), ("part1b", None)],
)
def test_parse_segment_number(name: str, number: int | None) -> None:
    assert parse_segment_number(Path("walk1") / name) == number
