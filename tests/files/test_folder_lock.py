"""Locks of results folders: exclusive, ended with their process, and optional on file systems without locks."""

from __future__ import annotations

import errno
import os

import pytest
from filelock import _unix

from gait.files.folder_lock import LockedError, folder_lock


def test_folder_lock_is_exclusive_and_ends(tmp_path):
    folder = tmp_path / "healthy" / "anna"
    with folder_lock(folder) as locked:
        assert locked
        with pytest.raises(LockedError, match=rf"anna: another run \(process {os.getpid()}"), folder_lock(folder):
            pass
        with folder_lock(folder.with_name("bert")) as other:
            assert other
    assert not list(tmp_path.rglob("*"))
    folder.with_name(".anna.lock").parent.mkdir()
    folder.with_name(".anna.lock").write_text("process 1 on a computer after a power cut", encoding="utf-8")
    with folder_lock(folder) as locked:
        assert locked, "a lock file without a process is no lock"
    assert not list(tmp_path.rglob("*"))


def test_folder_lock_ignores_lock_on_removed_file(tmp_path, monkeypatch):
    """The owner removes its lock file: a run that had opened the file before has a lock that no other run can see."""
    folder, flock, times = tmp_path / "anna", _unix.lock_fd_nonblocking, []

    def removed_first(descriptor):
        if not times:
            folder.with_name(".anna.lock").unlink()
        times.append(descriptor)
        return flock(descriptor)

    monkeypatch.setattr(_unix, "lock_fd_nonblocking", removed_first)
    with folder_lock(folder) as locked:
        assert locked
        with pytest.raises(LockedError), folder_lock(folder):
            pass
    assert len(times) == 3


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_folder_lock_on_file_system_without_locks(tmp_path, monkeypatch, number):
    def no_locks(*_):
        raise OSError(number, "No locks available")

    monkeypatch.setattr(_unix, "lock_fd_nonblocking", no_locks)
    with folder_lock(tmp_path / "anna") as locked:
        assert not locked
