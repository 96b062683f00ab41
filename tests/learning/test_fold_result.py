"""Fold results on disk."""

from __future__ import annotations

import dataclasses
import math
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gait.errors import GaitError
from gait.learning.fold_result import FoldResult, read_result, read_results, save_result
from gait.learning.predictions import Predictions
from gait.motion.folds import Fold
from tests.helpers.learning_results import epochs, fold_result, fold_results, subject_labels


def same(first: object, second: object) -> bool:
    if isinstance(first, Predictions):
        return all(np.array_equal(getattr(first, f.name), getattr(second, f.name)) for f in dataclasses.fields(first))
    if isinstance(first, float) and isinstance(second, float):
        return first == second or (math.isnan(first) and math.isnan(second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, tuple) and isinstance(second, tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def test_save_result_and_read_result_are_lossless(tmp_path: Path) -> None:
    labels = subject_labels(3, 3)
    fold = Fold(1, 2, tuple(sorted(labels))[:4], tuple(sorted(labels))[4:])
    result = fold_result(fold, labels, epochs=epochs(2, undefined=True), validation=("healthy/H1",), timed_out=True)
    back = read_result(save_result(result, tmp_path / "new" / "folder"))
    thawed = pickle.loads(pickle.dumps(result))
    for field in dataclasses.fields(FoldResult):
        assert same(getattr(result, field.name), getattr(back, field.name)), field.name
        assert same(getattr(result, field.name), getattr(thawed, field.name)), field.name
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["result_transformer_fold1.npz"]


def test_read_result_reports_a_damaged_file_in_one_line(tmp_path: Path) -> None:
    path = save_result(fold_results()[0], tmp_path)
    whole = path.read_bytes()
    for damaged in (b"", b"not a zip", whole[: len(whole) // 2], whole[:-30]):
        path.write_bytes(damaged)
        with pytest.raises(
            GaitError, match=r"result_transformer_fold0\.npz: not the result of a fold.*train this fold again"
        ):
            read_result(path)
    np.savez(path, about=np.frombuffer(b'{"format_version": 99}', np.uint8))
    with pytest.raises(GaitError, match="newer version"):
        read_result(path)


def test_read_result_of_corrupted_bytes_raises_at_most_gait_error(tmp_path: Path) -> None:
    path = save_result(fold_results()[0], tmp_path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    random = np.random.default_rng(0)
    headers = np.flatnonzero(whole == ord("P"))  # they begin with it
    lines = []
    for _ in range(400):
        changed = whole.copy()
        place = int(random.integers(len(whole)) if random.random() < 0.5 else random.choice(headers))
        end = min(len(whole), place + int(random.integers(1, 40)))
        changed[place:end] = random.integers(0, 256, end - place)
        path.write_bytes(changed.tobytes())
        try:
            read_result(path)
        except GaitError as error:
            lines.append(str(error))
    assert len(lines) > 200
    assert all(line.startswith(f"{path}: not the result of a fold (") for line in lines)


def test_read_results_sorts_folds_of_one_network(tmp_path: Path) -> None:
    labels = subject_labels(12, 12)
    for index in (10, 2, 0):
        fold = Fold(index, 11, tuple(sorted(labels))[2:], tuple(sorted(labels))[:2])
        save_result(fold_result(fold, labels), tmp_path)
    save_result(fold_result(fold, labels, network="mlp"), tmp_path)
    (tmp_path / "result_transformer_fold3.npz.old").write_bytes(b"")
    results, lines = read_results(tmp_path, "transformer")
    assert [result.fold.index for result in results] == [0, 2, 10]
    assert lines == ()


def test_fold_result_imports_neither_matplotlib_nor_tensorboard() -> None:
    code = "import sys, gait.learning.fold_result; sys.exit(bool({'matplotlib', 'tensorboardX'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
