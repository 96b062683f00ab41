"""What folders of poses are called, and whose they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gait.motion.trial_paths import gait_name, person_of


@pytest.mark.parametrize(
    ("folder", "name", "person"),
    [
        ("out/sick/P02/walk1", "sick/P02/walk1", "sick/P02"),
        ("out/healthy/P02/walk1/part2", "healthy/P02/walk1/part2", "healthy/P02"),
        ("out/P02/walk1", "P02/walk1", "P02"),
        ("out/P02/walk1/part2", "P02/walk1/part2", "P02"),
        ("out/healthy/P02/parts", "healthy/P02/parts", "healthy/P02"),
        ("/walk1", "walk1", "walk1"),
    ],
)
def test_a_gait_is_called_by_its_label_person_and_walk(tmp_path: Path, folder: str, name: str, person: str) -> None:
    assert gait_name(tmp_path / folder) == name
    assert person_of(tmp_path / folder) == person
