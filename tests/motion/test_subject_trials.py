"""Fitted trials of subjects on disk, and their analysis."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.motion.pose_npz import write_npz
from gait.motion.subject_trials import analyse_subject_folder, find_subject_folders, read_subject_trials
from gait.synthetic import make_subject, make_trial
from tests.helpers.paths import OPEN_BODY

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def walk() -> PoseSequence:
    body = load_body(OPEN_BODY)
    return make_trial(body, make_subject(body, 3, adult=True), None, seconds=3.0, seed=1).ground_truth


def save(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_npz(folder, walk())


def test_analyse_subject_folder_reads_trials_and_segments(tmp_path: Path) -> None:
    save(tmp_path / "sick" / "P02" / "walk1")
    (tmp_path / "sick" / "P02" / "walk1" / "fit_report.json").write_text(json.dumps({"residual_mm": {"mean": 2.5}}))
    save(tmp_path / "sick" / "P02" / "walk2" / "segment1")
    save(tmp_path / "sick" / "P02" / "walk2" / "segment2")
    save(tmp_path / "healthy" / "C01" / "walk")
    (tmp_path / "healthy" / "C02").mkdir()
    (tmp_path / "healthy" / ".part").mkdir()
    folders = find_subject_folders(tmp_path)
    assert [folder.name for folder in folders] == ["C01", "P02"]
    assert find_subject_folders(tmp_path / "sick") == find_subject_folders(folders[1]) == folders[1:]
    found = analyse_subject_folder(folders[1])
    assert found.subject == "sick/P02"
    assert [trial.trial for trial in found.trials] == ["walk1", "walk2/segment1", "walk2/segment2"]
    residuals = [trial.quality.residual_mean_mm for trial in found.trials]
    np.testing.assert_array_equal(residuals, [2.5, np.nan, np.nan])
    strides = found.trials[0].curves.strides["left"]
    assert len(found.curves.strides["left"]) == 3 * len(strides) > 0
    assert strides[0].name == "walk1, left stride 1"
    (only,) = read_subject_trials(folders[0])
    assert (only.subject, only.name, only.folder) == ("healthy/C01", "walk", tmp_path / "healthy" / "C01" / "walk")


def test_find_subject_folders_without_trials(tmp_path: Path) -> None:
    with pytest.raises(GaitError, match="no such folder"):
        find_subject_folders(tmp_path / "none")
    (tmp_path / "healthy" / "C01").mkdir(parents=True)
    for folder in ("healthy", "sick"):
        with pytest.raises(GaitError, match="no fitted trial in it; name the folder of a subject"):
            analyse_subject_folder(tmp_path / folder)
    with pytest.raises(GaitError, match="no fitted trial in it"):
        find_subject_folders(tmp_path)
