"""The mutation run in miniature, and that it notices what must not be."""

import importlib
import json
import subprocess
import sys

import pytest

from gait.errors import GaitError
from tests.helpers.paths import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"


@pytest.fixture
def mutations(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("mutations")


def run(folder, *words):
    command = [
        sys.executable,
        str(BENCHMARKS / "mutations.py"),
        "--captures",
        str(folder / "nowhere"),
        *map(str, words),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout), done.stderr


def test_damaged_files_are_refused_or_read_right(tmp_path):
    result, told = run(tmp_path, "--files", 100, "--seed", 7, "--workers", 1)
    assert (result["passed"], result["tried"], result["failures"]) == (100, 100, [])
    assert result["refused"] > result["read"] > 10
    assert len(result["by_kind"]) == 11
    assert 100 < result["peak_memory_mb"] < 2000
    assert "no real recordings there" in told


def test_one_file_is_repeated_alone(tmp_path):
    result, told = run(tmp_path, "--only", 5, "--seed", 7)
    assert result["tried"] == 1
    assert "Outcome(number=5, kind='" in told


class Kind:
    """A kind of file whose reader does what no reader may."""

    def __init__(self, read, wrong=""):
        self.read = read
        self.wrong = lambda *_: wrong


def gives(error):
    def read(path):
        raise error(path)

    return read


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        (Kind(lambda path: 1), "read"),
        (Kind(gives(lambda path: GaitError(f"{path}: is damaged."))), "refused"),
        (Kind(gives(lambda path: GaitError("is damaged."))), "a line without the file's name"),
        (Kind(gives(lambda path: GaitError(f"{path}: TypeError; please report this."))), "an error of ours"),
        (Kind(gives(lambda path: GaitError(f"{path}: Alonso Quijano 1605 is damaged."))), "a person's name"),
        (Kind(gives(lambda path: ValueError("x"))), "ValueError instead of a GaitError"),
        (Kind(lambda path: ["Alonso Quijano 1605"]), "a person's name"),
        (Kind(lambda path: 1, "other positions"), "a wrong read"),
    ],
)
def test_what_counts_as_a_failure(mutations, tmp_path, kind, state):
    assert mutations.judged(kind, tmp_path / "file", b"")[0] == state
