"""Test that folders are written atomically, and that remains of a killed run are removed or restored."""

import shutil

import pytest

from gait.errors import GaitError
from gait.files.atomic_write import atomic_directory, remove_stale_temporaries


def test_remove_stale_temporaries_restores_old_folders(tmp_path):
    names = (".walk1.partial-0a1b", ".walk1.old-0a1b", ".walk2.partial-77", ".walk.3.old-9f", "walk2", ".mine")
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "poses.npz").write_text(name, encoding="utf-8")
    shutil.copytree(tmp_path / "walk2", tmp_path / ".walk2.old-3")
    remove_stale_temporaries(tmp_path)
    assert {path.name: (path / "poses.npz").read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        "walk1": ".walk1.old-0a1b",
        "walk.3": ".walk.3.old-9f",
        "walk2": "walk2",
        ".mine": ".mine",
    }
    remove_stale_temporaries(tmp_path / "absent")


def test_atomic_directory_keeps_old_folder_after_error(tmp_path):
    folder = tmp_path / "walk1"
    folder.mkdir()
    (folder / "mine").touch()

    def on_a_full_disk():
        with atomic_directory(folder) as partial:
            partial.mkdir()
            raise OSError(28, "No space left on device")

    with pytest.raises(GaitError, match="walk1: cannot be written"):
        on_a_full_disk()
    assert [path.name for path in tmp_path.rglob("*")] == ["walk1", "mine"]
