"""AMASS files are read back by numpy with the published keys, and by this package's own reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.pose_sequence import PoseSequence
from gait.capture.pose_formats import read_foreign_poses
from gait.exporting import export_trial_folder
from gait.exporting.exporter import NotExportableError
from gait.motion.foreign_poses import to_pose_sequence
from gait.synthetic import make_subject, make_trial
from tests.exporting.conftest import SavedTrial
from tests.helpers.fitting_cases import open_body_as

KEYS = {
    "smplh": {
        "trans": (60, 3), "gender": (), "mocap_framerate": (), "betas": (16,), "dmpls": (60, 8), "poses": (60, 156),
    },
    "smplx": {
        "gender": (), "surface_model_type": (), "mocap_frame_rate": (), "mocap_time_length": (), "trans": (60, 3),
        "poses": (60, 165), "betas": (16,), "num_betas": (), "root_orient": (60, 3), "pose_body": (60, 63),
        "pose_hand": (60, 90), "pose_jaw": (60, 3), "pose_eye": (60, 6),
    },
}  # fmt: skip
"""Keys and shapes of AMASS's releases; those of its markers and soft tissue parameters of SMPL-X are left out."""


@pytest.mark.parametrize("kind", KEYS)
def test_another_reader_gets_the_same_joints_with_z_up(
    kind: str, tmp_path: Path, poses_only: Callable[[PoseSequence], Path]
) -> None:
    body = load_body(open_body_as(kind, tmp_path / f"{kind.upper()}_FEMALE.npz"), dtype=torch.float64)
    walk = make_trial(body, make_subject(body, 4), seconds=1.2, seed=2, rate_hz=50.0).ground_truth
    (path,) = export_trial_folder(["amass"], poses_only(walk))
    assert path.name == "walk1_amass.npz"
    with np.load(path, allow_pickle=False) as archive:
        content = {key: archive[key] for key in archive.files}
    found = {key: value.shape for key, value in content.items()}
    assert found == {**KEYS[kind], "betas": (max(16, len(walk.betas)),)}
    assert content["gender"] == "female"
    assert content.get("mocap_framerate", content.get("mocap_frame_rate")) == 50.0
    joints = _joints(body, content)
    np.testing.assert_allclose(joints[..., [1, 2, 0]], walk.joints_m, atol=1e-5)
    if kind == "smplx":
        parts = ("root_orient", "pose_body", "pose_jaw", "pose_eye", "pose_hand")
        np.testing.assert_array_equal(np.concatenate([content[part] for part in parts], axis=1), content["poses"])
        assert content["num_betas"] == len(content["betas"])

    back, notes = to_pose_sequence(read_foreign_poses(path), body)
    np.testing.assert_allclose(back.joints_m, walk.joints_m, atol=1e-5)
    assert not any("not observed" in note for note in notes)


def _joints(body: Body, content: dict[str, np.ndarray]) -> np.ndarray:
    """Return the joints (T, 22, 3) of a body of this release in a file's poses and axes."""
    betas = content["betas"][: body.num_betas]
    assert not content["betas"][body.num_betas :].any()
    arguments = (torch.as_tensor(values) for values in (content["poses"], betas, content["trans"]))
    return body.posed_joints(*arguments)[:, :22].numpy()


def test_fits_of_other_bodies_are_refused(walk: SavedTrial) -> None:
    with pytest.raises(NotExportableError, match=r"SMPL-H and SMPL-X; open_neutral\.npz is another body"):
        export_trial_folder(["amass"], walk.folder)
