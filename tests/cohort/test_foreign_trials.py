"""A trial of every foreign kind of poses through fit, windows, explanation and figure."""

import json

import numpy as np
import pytest
import torch

from gait.body.joint_status import JointStatus
from gait.body.model_file import load_body
from gait.body.skeleton import MIRROR_PAIRS, Joint
from gait.explaining.attribution_files import FIGURE_FILE
from gait.explaining.export_trial import export_trial
from gait.explaining.options import ExplainOptions
from gait.explaining.trained_network import load_network
from gait.exporting.joints_trc import write_trc
from gait.motion.pose_files import read_poses
from gait.motion.read_dataset import read_dataset
from gait.motion.trial_paths import FIT_FIGURE_FILE, read_fit_report
from gait.motion.windows import WindowDataset
from gait.report.run.fit_summary import read_cohort_fits
from gait.report.write_explanation_figures import write_explanation_figures
from gait.synthetic import make_subject, make_trial
from gait.viewing.loaded_trial import BodyModelLocator, load_trial
from tests.helpers.explanation_cases import WINDOW, write_network
from tests.helpers.fit_cohort import run_script_here
from tests.helpers.fitting_cases import model_folder, open_body_as
from tests.helpers.foreign_files import COCO, HALPE, keypoints, smpl_walk, write_amass, write_care_pd

NOISE_M = 0.015
"""Error of the keypoints."""

KINDS = {
    "amass": "healthy/amass/amass",
    "care_pd": "sick/clinic_S7/walk",
    "humanml3d": "sick/humanml3d/humanml3d",
    "joints": "healthy/joints/joints",
    "coco": "healthy/coco/coco",
    "halpe": "sick/halpe/halpe",
}
"""Folder of the one trial of each kind."""


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """Folder with foreign trials of one walk, their cohort file, and their fits in ``fitted``; and the true walk."""
    folder = tmp_path_factory.mktemp("foreign")
    data = model_folder(folder / "data")
    (data / "smplh").mkdir()
    body = load_body(open_body_as("smplh", data / "smplh" / "SMPLH_FEMALE.npz"))
    walk = make_trial(body, make_subject(body, 4), seconds=2.0, seed=2, rate_hz=50.0).ground_truth
    write_amass(folder / "amass.npz", walk, body)
    write_care_pd(folder / "clinic.pkl", {"S7": {"walk": smpl_walk(walk, body, UPDRS_GAIT=2)}})
    np.save(folder / "humanml3d.npy", walk.joints_m)
    np.savez(folder / "joints.npz", joints=walk.joints_m, mocap_frame_rate=50.0)
    for name, points in (("coco", COCO), ("halpe", HALPE)):
        write_trc(folder / f"{name}.trc", points, 1e3 * keypoints(walk, body, points, NOISE_M), 50.0)
    suffixes = {"amass": "npz", "humanml3d": "npy", "joints": "npz", "coco": "trc", "halpe": "trc"}
    files = {name: f"{name}.{suffix}" for name, suffix in suffixes.items()}
    entries = {name: {"trials": [file], "healthy": KINDS[name].startswith("healthy")} for name, file in files.items()}
    entries["clinic"] = {"trials": ["clinic.pkl"], "healthy": {"field": "UPDRS_GAIT", "is": [0]}}
    (folder / "cohort.json").write_text(json.dumps(entries), encoding="utf-8")
    done = run_script_here(folder, "--cohort", "cohort.json", "--save_folder", "fitted", "--workers", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, walk, done.stdout


def trial_folder(laboratory, kind):
    return laboratory[0] / "fitted" / KINDS[kind]


def error_mm(laboratory, kind, *, relative=False):
    """Return the distance of each joint from the truth, (T, 22); optionally relative to the pelvis."""
    joints = [read_poses(trial_folder(laboratory, kind)).joints_m, laboratory[1].joints_m]
    if relative:
        joints = [each - each[:, :1] for each in joints]
    return 1e3 * np.linalg.norm(joints[0] - joints[1], axis=-1)


@pytest.mark.parametrize("kind", KINDS)
def test_foreign_trial_through_windows_explanation_and_figure(laboratory, tmp_path, kind):
    folder = trial_folder(laboratory, kind)
    dataset = read_dataset(laboratory[0] / "fitted", rate_hz=20.0, min_frames=WINDOW)
    (trial,) = (trial for trial in dataset.trials if trial.trial_id == KINDS[kind])
    windows = WindowDataset([trial], WINDOW, mirror=True)
    assert len(windows) > 1
    assert windows.batch(torch.arange(2)).isfinite().all()

    network = load_network(write_network(tmp_path / "mlp.ckpt", frame_rate_hz=20.0))
    export = export_trial(network, folder, tmp_path / "out", ExplainOptions())
    assert export.problems == ()
    (attribution,) = export.segments[0].attributions.values()
    assert np.isfinite(attribution.values).any()
    bodies = BodyModelLocator(laboratory[0] / "data" / "SUPR")
    assert write_explanation_figures(export, bodies) == ()
    assert next((tmp_path / "out").rglob(FIGURE_FILE)).stat().st_size > 10_000
    assert (folder / FIT_FIGURE_FILE).stat().st_size > 10_000

    shown = load_trial(folder, bodies)
    assert shown.notes == ()
    assert shown.body is not None


def test_foreign_trials_are_in_the_summary_of_fits(laboratory):
    found = read_cohort_fits(laboratory[0] / "fitted")
    assert {trial.name for trial in found.trials} == set(KINDS.values())
    assert found.problems == ()
    assert np.isfinite(found.mean_mm)
    assert "6 fitted, 0 already finished, 0 failed" in laboratory[2]
    (coco,) = (line for line in laboratory[2].splitlines() if line.startswith("coco"))
    assert "forefeet: no marker on either foot" in coco
    assert coco.count("no marker") == 1  # joints with keypoints of their own are only uncertain


def test_amass_and_joints_have_the_truth(laboratory):
    assert error_mm(laboratory, "amass").max() < 0.01
    assert error_mm(laboratory, "care_pd", relative=True).mean() < 50  # another shape
    for kind in ("humanml3d", "joints"):
        assert error_mm(laboratory, kind).mean() < 8


@pytest.mark.parametrize(("kind", "unseen"), [("coco", [Joint.LEFT_FOOT, Joint.RIGHT_FOOT]), ("halpe", [])])
def test_keypoints_give_joints_within_their_noise_and_claim_no_others(laboratory, kind, unseen):
    named = [*MIRROR_PAIRS[0], *MIRROR_PAIRS[1], *MIRROR_PAIRS[2], Joint.LEFT_ELBOW, Joint.LEFT_WRIST]
    error = error_mm(laboratory, kind)
    assert error[:, named].mean() < 1e3 * NOISE_M
    status = read_poses(trial_folder(laboratory, kind)).joint_status
    assert (status[:, unseen] == JointStatus.NOT_OBSERVED).all()
    assert (status[:, named] != JointStatus.NOT_OBSERVED).all()
    said = status == JointStatus.OBSERVED
    assert (error[said] <= 30).mean() > 0.99
    report = read_fit_report(trial_folder(laboratory, kind))
    assert report["marker_errors"] == []
    assert report["residual_mm"]["mean"] < 1e3 * NOISE_M


def test_formats_that_cannot_hold_a_trial_are_said_once_and_stop_nothing(laboratory):
    formats = ["--export_as", "trc", "joints_csv", "amass"]
    done = run_script_here(
        laboratory[0], "--cohort", "cohort.json", "--save_folder", "fitted", "--workers", 1, *formats
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 fitted, 6 already finished, 0 failed" in done.stdout
    assert done.stdout.count("not exported as trc: these poses of another tool have no markers") == 1
    assert done.stdout.count("not exported as amass: AMASS files hold poses and shapes of SMPL-H and SMPL-X") == 1
    for kind in KINDS:
        folder = trial_folder(laboratory, kind)
        assert (folder / f"{folder.name}_joints.csv").is_file()
        assert (folder / f"{folder.name}.trc").is_file() == (kind not in ("amass", "care_pd"))
        assert (folder / f"{folder.name}_amass.npz").is_file() == (kind == "amass")
