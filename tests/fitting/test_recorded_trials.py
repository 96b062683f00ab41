"""Test fits of recorded trials: residuals, plausible motion, and agreement with Plug-in Gait."""

import importlib

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.skeleton import Joint
from gait.capture.read_recording import read_recording
from gait.errors import GaitError
from gait.fitting.subject_fit import fit_shape_and_poses
from gait.motion.resampling import resample
from tests.helpers.motion_cases import align_windows
from tests.helpers.paths import REPOSITORY

pytestmark = [pytest.mark.captures, pytest.mark.slow]


@pytest.fixture(scope="module")
def benchmark():
    """Import a module of the benchmarks by name, as their scripts do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(REPOSITORY / "benchmarks")
        yield importlib.import_module


@pytest.fixture(scope="module")
def trials(captures, benchmark, body):
    """All walking trials, each fitted together with all trials of its subject."""
    subjects = benchmark("recorded_trials").recorded_subjects(captures)
    return benchmark("fit_recorded_trials").fit_trials(subjects, captures, body)


def test_all_trials_are_present(trials):
    assert {trial.name for trial in trials} == {
        "healthy/HC002D/walk06.c3d",
        "healthy/HC030A/walk05.c3d",
        "healthy/HC033A/walk10.c3d",
        "healthy/HC036A/turn23.c3d",
        "healthy/HC036A/walk10.c3d",
        "cerebral_palsy/CP01/walk.c3d",
        "cerebral_palsy/CP02/walk08_pre.C3D",
        "cerebral_palsy/CP02/walk10_pre.C3D",
        "cerebral_palsy/CP02/walk08_post.C3D",
        "formats/pig35_adult_walk.c3d",
    }


def test_residuals_and_marker_offsets_are_small(trials, benchmark):
    """Mean residual at most 6 mm, no frame above 15 mm, offsets of anatomical markers at most 15 mm."""
    for trial in trials:
        metrics = benchmark("fit_recorded_trials").trial_metrics(trial)
        assert metrics["residual_mm"] <= 6, trial.name
        assert metrics["max_frame_mean_mm"] <= 15, trial.name
        assert metrics["offset_mm"] <= 15, trial.name


def test_knees_and_elbows_do_not_hyperextend(trials, benchmark):
    for trial in trials:
        assert benchmark("fit_recorded_trials").hyperextended_fraction(trial.trial_fit.rotations) == {
            "knees": 0,
            "elbows": 0,
        }, trial.name


def test_joint_speed_is_plausible(trials):
    """The fastest joint of a walking subject is the foot in swing, at most 8 m/s."""
    for trial in trials:
        speed = np.linalg.norm(np.diff(trial.trial_fit.joints_m, axis=0), axis=-1) * trial.trial_fit.recording.rate_hz
        assert speed.max() < 8, trial.name


def test_knee_angles_agree_with_plug_in_gait(trials, benchmark):
    """Compare the included knee angle of hip, knee and ankle centres with that of Plug-in Gait's centres."""
    compared = benchmark("joint_centres_vs_plug_in_gait").compare_with_plug_in_gait(trials)
    assert len(compared["sides"]) >= 7
    assert compared["knee_correlation"]["pooled"] >= 0.99
    assert compared["knee_rmse_deg"]["pooled"] <= 5
    assert all(distance < 30 for distance in compared["centres_mm"].values())


def test_joint_angles_agree_with_plug_in_gait(trials, benchmark):
    """Medians over the legs of the straight walks; agreement of all trials is in docs/benchmarks.md."""
    rows = benchmark("angles_vs_plug_in_gait").compare_angles(trials)
    legs = {
        name: [row for row in rows if row.name == name and "turn" not in row.trial] for name in {r.name for r in rows}
    }
    assert len(legs["knee_flexion"]) == 18
    for name, with_offset, without in (
        ("pelvis_tilt", 2, 1), ("pelvis_obliquity", 2, 1), ("pelvis_rotation", 2, 1), ("hip_flexion", 4, 1.8),
        ("hip_adduction", 2.2, 1.2), ("hip_rotation", 14, 3.8), ("knee_flexion", 3.2, 2), ("knee_rotation", 10, 3),
        ("ankle_dorsiflexion", 3.2, 1.8), ("ankle_rotation", 9, 3.8), ("foot_progression", 3, 1.5),
        ("thorax_tilt", 2, 0.7), ("spine_flexion", 2, 1.5), ("head_tilt", 8, 0.7), ("shoulder_flexion", 12, 2.2),
    ):  # fmt: skip
        assert np.median([row.rmse_deg for row in legs[name]]) < with_offset, name
        assert np.median([row.rmse_without_offset_deg for row in legs[name]]) < without, name
        assert np.median([row.correlation for row in legs[name]]) > 0.8, name


def test_child_recorded_years_apart_has_two_shapes(trials):
    """CP02 before and after treatment; the static trial belongs to the first session."""
    subject_fit = next(trial.subject_fit for trial in trials if "CP02" in trial.name)
    names = [{subject_fit.trials[r].recording.path.stem for r in group} for group in subject_fit.shape_groups]
    assert {"walk08_post"} in names
    assert {"static", "walk08_pre", "walk10_pre"} in names


@pytest.fixture(scope="module")
def formats(captures, body):
    """The fit of each file of other laboratories, or the error message."""
    layout = plug_in_gait_layout(body)
    fits = {}
    for path in sorted((captures / "formats").iterdir()):
        try:
            (fits[path.name],) = fit_shape_and_poses([read_recording(path)], body, layout).trials
        except GaitError as error:
            fits[path.name] = str(error)
    return fits


def test_every_format_is_fitted_or_rejected_by_name(formats):
    """Stairs, treadmills, leg markers alone, half of the samples missing; two files have no markers of a body."""
    rejected = {name for name, fit in formats.items() if isinstance(fit, str)}
    assert rejected == {"dec_int.c3d", "pc_real.c3d"}
    for name, fit in formats.items():
        if name in rejected:
            assert name in fit
            continue
        assert np.isfinite(fit.joints_m).all(), name
        assert np.nanmean(fit.residual_m) < 0.008, name


@pytest.mark.parametrize("length", [64, 128])
def test_all_trials_are_aligned_to_the_common_frame(trials, formats, length):
    """Upright, facing +x, left on −z, in every window: also a turn, stairs, a treadmill, and static trials."""
    fits = [(trial.name, trial.trial_fit) for trial in trials]
    fits += [(name, fit) for name, fit in formats.items() if not isinstance(fit, str)]
    for name, fit in fits:
        joints = resample(fit.joints_m[:, :22].astype(np.float32), fit.recording.rate_hz, 100.0)
        if len(joints) < length:
            continue
        for window in align_windows(torch.from_numpy(np.stack(sliding(joints, length, step=8)))).numpy():
            head, pelvis = window[:, Joint.HEAD], window[:, Joint.PELVIS]
            left, right = window[:, [Joint.LEFT_ANKLE, Joint.LEFT_HIP]], window[:, [Joint.RIGHT_ANKLE, Joint.RIGHT_HIP]]
            assert (head[:, 1] > np.maximum(left[:, 0, 1], right[:, 0, 1]) + 0.5).all(), name
            np.testing.assert_allclose(pelvis[0], 0, atol=1e-6, err_msg=name)
            displacement = pelvis[-1, [0, 2]]
            progresses = np.hypot(*displacement) > 0.3
            assert not progresses or (displacement[0] > 0 and abs(displacement[1]) < 1e-4), name
            facing = np.cross([0, 1, 0], (right - left)[:, 1].mean(axis=0))
            assert np.degrees(np.abs(np.arctan2(facing[2], facing[0]))) < 25, name
            toes = window[:, [Joint.LEFT_FOOT, Joint.RIGHT_FOOT]] - window[:, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE]]
            sides = np.cross(toes.mean(axis=1), [0, 1, 0]) * (right - left)[:, 1]
            assert (sides.sum(axis=1) > 0).all(), f"{name}: mirrored"
            # During a turn the legs may cross.
            if "turn" not in name:
                assert left[:, 0, 2].mean() < right[:, 0, 2].mean(), name


def sliding(joints, length, step):
    return [joints[first : first + length] for first in range(0, len(joints) - length + 1, step)]
