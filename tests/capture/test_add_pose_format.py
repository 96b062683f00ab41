"""Add the format of poses of docs/add_pose_format.md as one new file, and save a trial of that format."""

import json

import numpy as np

from gait.body.model_file import load_body
from gait.motion.pose_files import read_poses
from gait.synthetic import make_subject, make_trial
from tests.helpers.checkout import add_example, copy_checkout, run_each_in
from tests.helpers.fitting_cases import OPEN_BODY
from tests.helpers.foreign_files import smpl_walk


def test_added_pose_format_is_read_and_saved(tmp_path):
    checkout = copy_checkout(tmp_path / "copy")
    add_example("add_pose_format.md", checkout)
    body = load_body(OPEN_BODY)
    truth = make_trial(body, make_subject(body, 1), None, seconds=1.0, seed=1, rate_hz=30.0).ground_truth
    walk = smpl_walk(truth, body, np.eye(3))
    np.savetxt(checkout / "walk1.csv", np.hstack([walk["trans"], walk["pose"]]), delimiter=",")
    (checkout / "cohort.json").write_text(json.dumps({"P1": {"trials": ["walk1.csv"], "healthy": True}}))

    command = [
        "shape_optimizer.py",
        "--cohort",
        "cohort.json",
        "--model_folder",
        "data",
        "--save_folder",
        "out",
        "--no_pictures",
    ]
    (printed,) = run_each_in(checkout, command)
    assert "SMPL CSV poses on another body: they need a neutral SMPL model" in printed
    sequence = read_poses(checkout / "out/healthy/P1/walk1")
    relative = [each.joints_m - each.joints_m[:, :1] for each in (sequence, truth)]
    assert np.linalg.norm(relative[0] - relative[1], axis=-1).mean() < 0.05
