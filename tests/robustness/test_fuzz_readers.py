"""The fuzzing benchmark with a few files, and that it recognizes failures."""

import pytest

from gait.errors import GaitError


def test_fuzz_readers_passes_on_damaged_files(run, tmp_path):
    words = ["--captures", tmp_path / "nowhere", "--files", 100, "--seed", 7, "--workers", 1]
    result, log = run("fuzz_readers", *words)
    assert (result["passed"], result["tried"], result["failures"]) == (100, 100, [])
    assert result["rejected"] > result["read"] > 10
    assert len(result["by_kind"]) == 7
    assert 100 < result["peak_memory_mb"] < 2000
    assert "no real recordings found" in log


def test_fuzz_readers_repeats_one_file(run, tmp_path):
    result, log = run("fuzz_readers", "--captures", tmp_path / "nowhere", "--only", 5, "--seed", 7)
    assert result["tried"] == 1
    assert "Outcome(number=5, kind='" in log


class Kind:
    """A kind of file with a given reader, for testing its outcome."""

    def __init__(self, read, wrong=""):
        self.read = read
        self.check = lambda *_: wrong


def raising(error):
    def read(path):
        raise error(path)

    return read


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (Kind(lambda path: 1), "read"),
        (Kind(raising(lambda path: GaitError(f"{path}: is damaged."))), "rejected"),
        (Kind(raising(lambda path: GaitError("is damaged."))), "a message without the file's name"),
        (Kind(raising(lambda path: GaitError(f"{path}: TypeError; please report this."))), "an internal error"),
        (Kind(raising(lambda path: GaitError(f"{path}: Alonso Quijano 1605 is damaged."))), "a subject's name"),
        (Kind(raising(lambda path: ValueError("x"))), "ValueError instead of a GaitError"),
        (Kind(lambda path: ["Alonso Quijano 1605"]), "a subject's name"),
        (Kind(lambda path: 1, "other positions"), "a wrong result"),
    ],
)
def test_fuzz_readers_outcomes(module, tmp_path, kind, state):
    assert module("fuzz_readers").read_and_check(kind, tmp_path / "file", b"")[0] == state
