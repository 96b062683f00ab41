"""TRC files of markers are read back, by a few lines of numpy and by this package's own reader.

OpenSim's reader needs eight fields in the header, and as many fields in each line, one empty field at its end aside.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gait.body.pose_sequence import PoseSequence
from gait.capture.formats.trc import read_trc
from gait.exporting import export_trial_folder
from gait.exporting.__main__ import Arguments, main
from gait.exporting.exporter import NotExportableError
from tests.exporting.conftest import FIRST_FRAME, SavedTrial


def test_markers_are_read_back(walk: SavedTrial, tmp_path: Path) -> None:
    (path,) = export_trial_folder(["trc"], walk.folder, tmp_path)
    assert path.name == "walk1.trc"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines[1].split("\t")) == len(lines[2].split("\t")) == 8
    assert {len(line.removesuffix("\t").split("\t")) for line in lines[5:]} == {2 + 3 * len(walk.labels)}
    assert tuple(lines[3].split("\t")[2::3]) == walk.labels
    columns = range(2 + 3 * len(walk.labels))
    table = np.genfromtxt(io.StringIO("\n".join(lines[5:])), delimiter="\t", usecols=columns)
    np.testing.assert_array_equal(table[:, 0], FIRST_FRAME + np.arange(walk.sequence.num_frames))
    np.testing.assert_allclose(table[:, 1], np.arange(walk.sequence.num_frames) / walk.sequence.rate_hz, atol=1e-5)
    positions = table[:, 2:].reshape(*walk.observed_m.shape)
    np.testing.assert_allclose(positions, 1e3 * walk.observed_m, atol=0.01)
    found = read_trc(path)
    assert (found.labels, found.unit, found.rate_hz) == (walk.labels, "mm", walk.sequence.rate_hz)
    np.testing.assert_allclose(found.positions, 1e3 * walk.observed_m, atol=0.01)


def test_poses_without_markers_are_refused_in_one_line(
    walk: SavedTrial, poses_only: Callable[[PoseSequence], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = poses_only(walk.sequence)
    with pytest.raises(NotExportableError, match="have no markers; joints_trc has"):
        export_trial_folder(["trc"], folder)
    assert main(Arguments(exporter="trc", folders=(folder,))) == 1
    assert capsys.readouterr().err.startswith(f"{folder}: not exported as trc: ")
