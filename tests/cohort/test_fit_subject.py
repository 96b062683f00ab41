"""Fit subjects in one process: saved results, errors and interruptions, constrained trees and priors."""

import json
import shutil
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.body.vposer import _expected_shapes
from gait.capture.read_recording import read_recording
from gait.cohort import save_trial as save_module
from gait.cohort.fit_settings import FitSettings, check_device, find_model
from gait.cohort.terminal_summary import format_summary
from gait.cohort.trial_folder import is_finished, trial_folder
from gait.errors import GaitError
from gait.files import atomic_write
from gait.marker_sets import MARKER_SETS
from gait.motion.pose_files import read_poses
from gait.motion.trial_paths import read_fit_report
from gait.synthetic import read_ground_truth
from gait.synthetic.inject_errors import write_z_up
from gait.viewing.offscreen_renderer import RenderingUnavailableError
from tests.helpers.fit_cohort import fit_cohort
from tests.helpers.fitting_cases import OPEN_BODY, constrained_open_body, model_folder


@pytest.fixture(scope="module")
def workspace(laboratory):
    """Folder with the recordings of anna; the tests add others."""
    return laboratory / "anna"


@pytest.fixture
def subject(subjects):
    return subjects[0]


@pytest.fixture
def one_trial(subject):
    return replace(subject, trials=subject.trials[:1])


@pytest.fixture(scope="module")
def fit_of_one_trial(laboratory, subjects):
    """Save folder with the fit of the first trial of anna alone; not to be changed."""
    settings = FitSettings(laboratory / "data", laboratory / "one_trial", figures=False)
    fitted(replace(subjects[0], trials=subjects[0].trials[:1]), settings)
    return settings.save_folder


@pytest.fixture
def with_one_trial(settings, fit_of_one_trial):
    """Settings with this fit in the save folder."""
    shutil.copytree(fit_of_one_trial, settings.save_folder)
    return settings


def fitted(subject, settings):
    """Fit one subject and return its outcomes; all trials must be fitted."""
    outcomes = list(fit_cohort([subject], settings))
    assert [(o.state, o.message) for o in outcomes] == [("fitted", "")] * len(outcomes)
    return outcomes


def files_below(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def raise_disk_full(*_, **__):
    raise OSError(28, "No space left on device")


# --- saved results ---------------------------------------------------------------------------------------------------


def test_trial_folder_and_report(subject, finished):
    settings = finished
    first, second = fit_cohort([subject], settings)
    assert (first.subject, first.trial, second.trial) == ("anna", "walk1", "walk2")
    for path, outcome in zip(subject.trials, (first, second), strict=True):
        folder = trial_folder(settings.save_folder, subject, path)
        assert folder == settings.save_folder / "healthy" / "anna" / path.stem
        assert read_fit_report(folder)["residual_mm"] == outcome.report.residual_mm
        assert read_fit_report(folder)["trial"] == path.stem
    sick = trial_folder(settings.save_folder, replace(subject, healthy=False), subject.trials[0])
    assert sick == settings.save_folder / "sick" / "anna" / "walk1"


def test_fit_subject_is_reproducible(one_trial, settings, fit_of_one_trial):
    fitted(one_trial, settings)
    for name in ("poses.npz", "residuals.npz"):
        folders = (fit_of_one_trial, settings.save_folder)
        first, second = ((folder / "healthy/anna/walk1" / name).read_bytes() for folder in folders)
        assert first == second


def test_finished_trials_contribute_to_the_shape_and_stay_unchanged(subject, finished):
    """A trial that is fitted later gets the same shape as in a common fit."""
    settings = finished
    before = files_below(settings.save_folder)
    second = settings.save_folder / "healthy/anna/walk2"
    poses = (second / "poses.npz").read_bytes()
    for path in second.iterdir():
        path.unlink()
    outcomes = list(fit_cohort([subject], settings))
    assert [o.state for o in outcomes] == ["already finished", "fitted"]
    after = files_below(settings.save_folder)
    assert (second / "poses.npz").read_bytes() == poses
    for path in before:
        if path.parent.name == "walk1":
            assert after[path] == before[path]


def test_is_finished(one_trial, with_one_trial):
    settings = with_one_trial
    (outcome,) = fit_cohort([one_trial], settings)
    folder = settings.save_folder / "healthy/anna/walk1"
    assert is_finished(folder)
    assert not is_finished(folder, ["pose_json"]), "JSON frames are missing"
    poses = (folder / "poses.npz").read_bytes()
    outcomes = list(fit_cohort([one_trial], replace(settings, export_as=("pose_json",))))
    assert [o.state for o in outcomes] == ["already finished"], "JSON frames are added without a fit"
    assert (folder / "poses.npz").read_bytes() == poses
    assert len(list(folder.glob("pose_*.json"))) == outcome.report.frames
    assert is_finished(folder, ["pose_json"])
    assert is_finished(folder)
    for name in ("fit_report.json", "poses.npz"):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert not is_finished(folder)
        (folder / name).write_bytes(content)
    assert not is_finished(folder.with_name("walk9"))


def test_added_recording_changes_the_common_shape(subject, with_one_trial):
    settings = with_one_trial
    folder = settings.save_folder / "healthy/anna"
    betas_before = read_poses(folder / "walk1").betas
    outcomes = fitted(subject, settings)
    first, second = (read_poses(folder / name).betas for name in ("walk1", "walk2"))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - betas_before).max() > 0
    assert [o.state for o in fit_cohort([subject], settings)] == ["already finished"] * 2
    assert outcomes[0].report == next(fit_cohort([subject], settings)).report, "the report is read from the file"


def test_changed_inputs_are_not_finished(one_trial, with_one_trial, tmp_path):
    settings = with_one_trial
    (outcome,) = fit_cohort([replace(one_trial, model_file="supr_missing.npy")], settings)
    assert outcome.state == "failed"
    assert "supr_missing.npy" in outcome.message
    (outcome,) = fit_cohort([replace(one_trial, marker_layout_file=tmp_path / "none.json")], settings)
    assert outcome.state == "failed"
    assert (settings.save_folder / "healthy/anna/walk1/poses.npz").is_file(), "earlier results are kept"


def test_changed_marker_set_is_fitted_again(one_trial, with_one_trial, tmp_path, monkeypatch):
    name, present = next(iter(MARKER_SETS.items()))
    changed = tmp_path / present.path.name
    changed.write_bytes(present.path.read_bytes() + b"# changed")
    (finished,) = fit_cohort([one_trial], with_one_trial)
    monkeypatch.setitem(MARKER_SETS, name, replace(present, path=changed))
    (again,) = fit_cohort([one_trial], with_one_trial)
    assert (finished.state, again.state) == ("already finished", "fitted")


def test_results_with_old_keys_are_finished(one_trial, with_one_trial):
    """A report with the keys of before they were renamed, of the same version of the fit."""
    settings = with_one_trial
    (outcome,) = fit_cohort([one_trial], settings)
    path = settings.save_folder / "healthy/anna/walk1/fit_report.json"
    old_keys = {
        **{"trial": "gait", "marker_layout_file": "constraint_file"},
        **{"segments": "parts", "gap_filled_frames": "bridged_frames", "excluded_frames": "left_out_frames"},
        **{"marker_errors": "faults", "placement_offset_mm": "offset_mm", "undetermined_joints": "unobserved_joints"},
    }
    content = json.loads(path.read_text(encoding="utf-8"))
    for values in (content, content["inputs"]):
        for new, old in old_keys.items():
            if new in values:
                values[old] = values.pop(new)
    del content["inputs"]["marker_sets"]
    content["inputs"]["suite"] = "0.1.0"
    path.write_text(json.dumps(content), encoding="utf-8")
    (again,) = fit_cohort([one_trial], settings)
    assert (again.state, again.report) == ("already finished", outcome.report)


def test_marker_layout_file_with_aliases(one_trial, settings, tmp_path):
    body = load_body(settings.model_folder / "SUPR" / "open_neutral.npz")
    layout = plug_in_gait_layout(body)
    aliases = {"LASI": "LASIS", "RASI": "rasi", "LKNE": "lkne"}

    def markers(names):
        rows = zip(layout.labels, layout.face, layout.barycentric, layout.height_above_skin_m, strict=True)
        return {
            names.get(label, label): {"faceId": int(f), "id": int(f), "baryCoords": b.tolist(), "distanceToSkin": d}
            for label, f, b, d in rows
        }

    file = tmp_path / "aliases.json"
    file.write_text(json.dumps({"C3DMarker": {"type": "C3DMarker", "Markers": markers(aliases)}}), encoding="utf-8")
    (outcome,) = fitted(replace(one_trial, marker_layout_file=file), settings)
    assert {"LASI", "RASI", "LKNE"} <= set(outcome.report.markers)
    duplicate = {**markers({}), **markers({"LASI": "LASIS"})}
    file.write_text(json.dumps({"C3DMarker": {"type": "C3DMarker", "Markers": duplicate}}), encoding="utf-8")
    (outcome,) = fit_cohort([replace(one_trial, marker_layout_file=file)], settings)
    assert outcome.state == "failed"
    assert "the same marker LASI" in outcome.message


def test_unexpected_error_is_one_message_and_cohort_continues(subject, one_trial, settings, monkeypatch):
    def fail(*_, **__):
        raise torch.linalg.LinAlgError("the factorization could not be completed")

    monkeypatch.setattr("gait.cohort.fit_subject.fit_recordings", fail)
    outcomes = list(fit_cohort([subject, replace(one_trial, name="berta")], settings))
    assert [o.state for o in outcomes] == ["failed"] * 3
    assert all("failed unexpectedly" in o.message and "\n" not in o.message for o in outcomes)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", None])
def test_read_fit_report_refuses_damaged_file(tmp_path, content):
    if content is not None:
        (tmp_path / "fit_report.json").write_bytes(content)
    with pytest.raises(GaitError, match=r"fit_report\.json.*--overwrite") as error:
        read_fit_report(tmp_path)
    assert "\n" not in str(error.value)


def test_subject_index_selects_the_subject(one_trial, settings, workspace):
    """With two subjects in one file, each gets the same poses as from a file with this subject only."""
    recordings = {"one": read_recording(workspace / "walk1.c3d"), "two": read_recording(workspace / "walk2.c3d")}

    def file(name, subjects):
        frames = {}
        for t in range(min(recording.num_frames for recording in recordings.values())):
            visible = {(prefix, m) for prefix in subjects for m in np.flatnonzero(recordings[prefix].visible[t])}
            frames[str(t)] = {
                f"{prefix}:{recordings[prefix].labels[m]}": recordings[prefix].positions_m[t, m].tolist()
                for prefix, m in sorted(visible)
            }
        path = workspace / f"{name}.json"
        path.write_text(json.dumps({"Frames": frames, "framerate": 100}), encoding="utf-8")
        return path

    def poses(path, number):
        subject = replace(one_trial, trials=(path,), subject_index=number)
        fitted(subject, settings)
        return (settings.save_folder / "healthy/anna" / path.stem / "poses.npz").read_bytes()

    together = file("together", ["one", "two"])
    for number, prefix in ((1, "one"), (2, "two")):
        assert poses(together, number) == poses(file(f"only_{prefix}", [prefix]), None)
    (outcome,) = fit_cohort([replace(one_trial, trials=(together,), subject_index=3)], settings)
    assert outcome.state == "failed"
    assert "together.json" in outcome.message


# --- marker errors ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swapped_labels(workspace):
    """The first trial with two labels swapped in 20 frames, in a file with frame numbers from 101."""
    recording = read_recording(workspace / "walk1.c3d")
    columns, rows = [recording.labels.index(name) for name in ("LSHO", "RSHO")], slice(20, 40)
    positions = recording.positions_m.copy()
    positions[rows, columns] = positions[rows, columns[::-1]]
    path = workspace / "swapped.trc"
    write_z_up(path, replace(recording, positions_m=positions, first_frame=101), 1000.0, "mm")
    return path


def test_marker_error_is_reported_and_corrected_on_request(swapped_labels, one_trial, settings):
    subject = replace(one_trial, trials=(swapped_labels,))
    error_text = "label swap of LSHO and RSHO, frames 121 to 140"
    for repair, action in ((False, "excluded"), (True, "corrected")):
        settings = replace(settings, repair=repair)
        outcomes = fitted(subject, settings)  # the second time because the inputs differ: repair
        (line,) = [line for line in format_summary(outcomes, settings.save_folder) if line.startswith("marker error: ")]
        assert line.startswith(f"marker error: anna/swapped: {error_text}, ")
        assert f" mm: {action}" in line
        (error,) = read_fit_report(trial_folder(settings.save_folder, subject, swapped_labels))["marker_errors"]
        assert (error["kind"], {error["marker"], error["other"]}, error["action"]) == (
            "label_swap",
            {"LSHO", "RSHO"},
            action,
        )
        assert (error["first_frame"], error["last_frame"]) == (121, 140)
    assert [o.state for o in fit_cohort([subject], settings)] == ["already finished"]


def test_mirrored_recording_fails_without_repair(workspace, subject, settings):
    recording = read_recording(workspace / "walk2.c3d")
    path = workspace / "mirrored.trc"
    write_z_up(path, recording, np.array([-1000.0, 1000.0, 1000.0]), "mm")
    subject = replace(subject, trials=(*subject.trials[:1], path))
    good, bad = fit_cohort([subject], settings)
    assert (good.state, bad.state) == ("fitted", "failed")
    assert "mirrored.trc: mirrored data, frames 1 to" in bad.message
    assert "--repair" in bad.message
    good, bad = fitted(subject, replace(settings, repair=True))
    assert [error.kind for error in bad.report.marker_errors] == ["mirrored"]
    _, bad = fit_cohort([subject], settings)
    assert "still has the results of an earlier run" in bad.message


# --- errors and interruptions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["write_npz", "_write_residuals", "_replace"])
def test_full_disk_fails_the_trial_and_leaves_no_files(one_trial, settings, monkeypatch, step):
    monkeypatch.setattr(atomic_write if step == "_replace" else save_module, step, raise_disk_full)
    (outcome,) = fit_cohort([one_trial], settings)
    assert outcome.state == "failed"
    assert "No space left" in outcome.message
    assert "\n" not in outcome.message
    assert not files_below(settings.save_folder)
    assert not list(settings.save_folder.rglob("walk1*"))
    assert not list(settings.save_folder.rglob(".*"))


@pytest.mark.parametrize("step", ["write_npz", "_write_residuals", "second rename"])
def test_error_during_overwrite_keeps_old_results(one_trial, with_one_trial, monkeypatch, step):
    settings = with_one_trial
    before = files_below(settings.save_folder)
    if step == "second rename":
        rename = Path.rename

        def fails(self, target):
            return raise_disk_full() if ".partial" in self.name else rename(self, target)

        monkeypatch.setattr(Path, "rename", fails)
    else:
        monkeypatch.setattr(save_module, step, raise_disk_full)
    (outcome,) = fit_cohort([one_trial], replace(settings, overwrite=True))
    assert outcome.state == "failed"
    assert files_below(settings.save_folder) == before


def test_interruption_during_write_leaves_no_files(one_trial, settings, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(save_module, "_write_residuals", stop)
    with pytest.raises(KeyboardInterrupt):
        list(fit_cohort([one_trial], settings))
    assert not files_below(settings.save_folder)
    assert not list(settings.save_folder.rglob("*walk1*"))


def test_trial_that_cannot_be_written_does_not_stop_the_other(subject, settings):
    """A file exists at the path of the first trial's folder."""
    file = settings.save_folder / "healthy/anna/walk1"
    file.parent.mkdir(parents=True)
    file.write_text("mine\n", encoding="utf-8")
    first, second = fit_cohort([subject], settings)
    assert (settings.save_folder / "healthy/anna/walk2/poses.npz").is_file()
    assert second.state == "fitted"
    assert first.state == "failed"
    assert file.read_text(encoding="utf-8") == "mine\n"


def test_fit_without_rendering_is_saved_with_a_warning(one_trial, settings, monkeypatch):
    def no_drawing(_):
        raise RenderingUnavailableError("no EGL here.")

    monkeypatch.setattr(save_module, "draw_fit_figure", no_drawing)
    (outcome,) = fit_cohort([one_trial], replace(settings, figures=True))
    assert (outcome.state, outcome.message) == ("fitted", "no EGL here.")
    assert {path.name for path in (settings.save_folder / "healthy/anna/walk1").iterdir()} == {
        *("poses.npz", "fit_report.json", "residuals.npz")
    }
    assert format_summary([outcome], settings.save_folder)[-1] == "no EGL here."


def test_unusable_recordings_fail_and_others_are_fitted(subject, settings, workspace):
    """Each kind of error beside a good recording of the same subject."""
    (workspace / "damaged.c3d").write_bytes((workspace / "walk1.c3d").read_bytes()[:2000])
    boxes = {f"BOX{k}": [k, 1.0, 2.0] for k in range(8)}
    foreign = {"Frames": {str(t): boxes for t in range(9)}, "framerate": 50}
    (workspace / "foreign.json").write_text(json.dumps(foreign), encoding="utf-8")
    paths = tuple(workspace / name for name in ("damaged.c3d", "foreign.json", "absent.c3d", "walk1.c3d"))
    outcomes = list(fit_cohort([replace(subject, trials=paths)], settings))
    assert [o.state for o in outcomes] == ["failed", "failed", "failed", "fitted"]
    for path, outcome in zip(paths[:3], outcomes, strict=False):
        assert path.name in outcome.message
        assert "\n" not in outcome.message
        assert outcome.report is None
    assert "BOX3" in outcomes[1].message
    assert "LASI" in outcomes[1].message


def test_recording_with_insufficient_markers_fails_and_others_are_fitted(subject, settings, workspace):
    """A recording with all markers at one point cannot be fitted."""
    labels = ("LASI", "RASI", "LPSI", "RPSI", "LKNE", "RKNE", "LANK", "RANK")
    still = {"Frames": {str(t): {name: [0.0, 1.0, 0.0] for name in labels} for t in range(9)}, "framerate": 50}
    (workspace / "point.json").write_text(json.dumps(still), encoding="utf-8")
    paths = (workspace / "point.json", workspace / "walk1.c3d")
    point, good = fit_cohort([replace(subject, trials=paths)], settings)
    assert point.state == "failed"
    assert "point.json" in point.message
    assert good.state == "fitted"


def test_error_of_a_subject_is_reported_for_each_trial(subject, settings):
    no_model = replace(subject, name="bert", model_file="supr_missing.npy")
    outcomes = list(fit_cohort([no_model, replace(subject, trials=subject.trials[:1])], settings))
    assert [(o.subject, o.state) for o in outcomes] == [("bert", "failed"), ("bert", "failed"), ("anna", "fitted")]
    for outcome in outcomes[:2]:
        assert "supr_missing.npy" in outcome.message
        assert "open_neutral.npz" in outcome.message


def test_find_model_returns_path_or_lists_available_models(tmp_path):
    settings = FitSettings(tmp_path, tmp_path / "out")
    with pytest.raises(GaitError, match="it has no body model"):
        find_model(settings, "supr_male.npy")
    (tmp_path / "SUPR").mkdir()
    for name in ("supr_b.npy", "open_a.npz", "README.md"):
        (tmp_path / "SUPR" / name).touch()
    assert find_model(settings, "supr_b.npy") == tmp_path / "SUPR" / "supr_b.npy"
    with pytest.raises(GaitError, match=r"it has open_a\.npz, supr_b\.npy\."):
        find_model(settings, "supr_male.npy")
    for file in ("smplx/SMPLX_NEUTRAL.npz", "smplh/SMPLH_male.pkl", "smplh/male/model.npz"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
        name = file if "model" in file else Path(file).name
        assert find_model(settings, name) == tmp_path / file
    with pytest.raises(GaitError) as caught:
        find_model(settings, "SMPLX_MALE.npz")
    assert str(caught.value) == (
        f"{tmp_path}: no body model SMPLX_MALE.npz in its folders SUPR, smplx, smplh; "
        "it has SMPLH_male.pkl, SMPLX_NEUTRAL.npz, open_a.npz, smplh/male/model.npz, supr_b.npy."
    )


def test_check_device():
    check_device("cpu")
    with pytest.raises(GaitError, match=r"tpu.*cpu"):
        check_device("tpu")


# --- marker layout files ---------------------------------------------------------------------------------------------


def constraints(workspace, name, **more):
    layout = plug_in_gait_layout(load_body(OPEN_BODY))
    markers = {
        label: {"id": m, "faceId": int(face), "baryCoords": bary.tolist(), "distanceToSkin": float(distance)}
        for m, (label, face, bary, distance) in enumerate(
            zip(layout.labels, layout.face, layout.barycentric, layout.height_above_skin_m, strict=True)
        )
    }
    path = workspace / name
    path.write_text(json.dumps({"Lab": {"type": "C3DMarker", "Markers": markers}, **more}), encoding="utf-8")
    return path


def test_marker_layout_file_places_markers_and_unused_entries_are_noted(
    one_trial, settings, workspace, fit_of_one_trial
):
    file = constraints(workspace, "constraints.json", Waist={"type": "Circumference", "target": 0.8})
    fitted(replace(one_trial, marker_layout_file=file), settings)
    folders = [folder / "healthy/anna/walk1" for folder in (settings.save_folder, fit_of_one_trial)]
    with_file, without = map(read_fit_report, folders)
    assert "constraints.json: Lab" in with_file["layout"]
    assert any("Waist" in note and "not used" in note for note in with_file["notes"])
    assert any("does not state its mesh" in note for note in with_file["notes"])
    assert with_file["residual_mm"]["mean"] == pytest.approx(without["residual_mm"]["mean"], abs=0.01)
    a, b = (read_poses(folder).joints_m for folder in folders)
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_marker_layout_file_with_joint_limits_only(one_trial, settings, workspace):
    knee = 3 * Joint.LEFT_KNEE
    file = workspace / "angles.json"
    bound = {"type": "Angle", "joints": [knee], "lbounds": [-0.1], "upbounds": [0.2]}
    file.write_text(json.dumps({"Knee": bound}), encoding="utf-8")
    fitted(replace(one_trial, marker_layout_file=file), settings)
    folder = settings.save_folder / "healthy/anna/walk1"
    assert "Plug-in Gait markers on open_neutral.npz" in read_fit_report(folder)["layout"]
    assert read_poses(folder).poses[:, knee].max() < 0.4


def test_marker_layout_file_of_another_mesh_is_refused(one_trial, settings, workspace):
    file = constraints(workspace, "smplx.json", numFaces=20908)
    (outcome,) = fit_cohort([replace(one_trial, marker_layout_file=file)], settings)
    assert outcome.state == "failed"
    assert "20908" in outcome.message
    assert not list(settings.save_folder.rglob("*"))


# --- constrained trees and priors ------------------------------------------------------------------------------------


def test_constrained_model_uses_the_constrained_tree(one_trial, settings, workspace, tmp_path):
    models = tmp_path / "models"
    (models / "SUPR").mkdir(parents=True)
    path = constrained_open_body(models / "SUPR" / "supr_open_constrained.npy", load_body(OPEN_BODY))
    constrained = replace(one_trial, model_file=path.name, constrained_model=True)
    (outcome,) = fitted(constrained, replace(settings, model_folder=models))
    assert outcome.report.residual_mm["mean"] < 6
    body = load_body(path, constrained=True)
    read = read_poses(settings.save_folder / "healthy/anna/walk1")
    assert read.constrained
    assert read.model_file == path.name
    assert read.poses.shape == (read.num_frames, body.num_pose)
    assert body.num_pose == 225 - 4 * 2 - 2 * 1
    with torch.inference_mode():
        joints = body.posed_joints(*map(torch.as_tensor, (read.poses, read.betas, read.translation_m)))[:, :22]
    np.testing.assert_allclose(read.joints_m, joints.numpy(), atol=1e-4)
    truth = read_ground_truth(workspace / "walk1.c3d")
    assert np.linalg.norm(read.joints_m - truth.joints_m, axis=-1).mean() < 0.015
    free = replace(one_trial, model_file=path.name)
    fitted(free, replace(settings, model_folder=models, save_folder=tmp_path / "free"))
    assert read_poses(tmp_path / "free/healthy/anna/walk1").poses.shape[1] == 225


def test_constrained_model_without_constrained_tree(one_trial, settings):
    fitted(replace(one_trial, constrained_model=True), settings)
    read = read_poses(settings.save_folder / "healthy/anna/walk1")
    assert not read.constrained
    assert read.poses.shape[1] == 225


def vposer_folder(models, content=None):
    """Write a VPoser with random weights to the folder of the licensed one."""
    generator = torch.Generator().manual_seed(0)
    state = {
        f"vp_model.{key}": torch.rand(shape, generator=generator) * 0.1 + (1.0 if "running_var" in key else 0.0)
        for key, shape in _expected_shapes(512, 32).items()
    }
    snapshots = models / "VPoser" / "snapshots"
    snapshots.mkdir(parents=True)
    (models / "VPoser" / "V02_05.yaml").write_text("model_params: {num_neurons: 512, latentD: 32}\n", encoding="utf-8")
    path = snapshots / "V02_05_epoch=13.ckpt"
    torch.save({"state_dict": state}, path)
    if content is not None:
        path.write_bytes(content)


def test_learned_prior_is_used_and_noted(one_trial, settings, fit_of_one_trial, tmp_path):
    models = model_folder(tmp_path / "models")
    vposer_folder(models)
    fitted(one_trial, replace(settings, model_folder=models))
    with_prior, without = (folder / "healthy/anna/walk1" for folder in (settings.save_folder, fit_of_one_trial))
    assert "Learned pose prior: V02_05_epoch=13.ckpt." in read_fit_report(with_prior)["notes"]
    assert not any("prior" in note for note in read_fit_report(without)["notes"])
    assert (with_prior / "poses.npz").read_bytes() != (without / "poses.npz").read_bytes()
    assert read_fit_report(with_prior)["residual_mm"]["mean"] < 20


def test_damaged_learned_prior_fails_the_trials(one_trial, settings, tmp_path):
    models = model_folder(tmp_path / "models")
    vposer_folder(models, content=b"no checkpoint")
    (outcome,) = fit_cohort([one_trial], replace(settings, model_folder=models))
    assert outcome.state == "failed"
    assert "V02_05_epoch=13.ckpt" in outcome.message


# --- summary ---------------------------------------------------------------------------------------------------------


def test_format_summary_counts_and_lists_failures(subject, settings, workspace):
    outcomes = list(
        fit_cohort([replace(subject, trials=(workspace / "absent.c3d", workspace / "walk1.c3d"))], settings)
    )
    outcomes += list(fit_cohort([replace(subject, trials=(workspace / "walk1.c3d",))], settings))
    lines = format_summary(outcomes, settings.save_folder)
    assert len({line.index(word) for line, word in zip(lines[1:4], ("absent", "walk1", "walk1"), strict=True)}) == 1
    assert lines[1].endswith("failed")
    assert lines[3].endswith("already finished")
    assert "1 fitted, 1 already finished, 1 failed" in lines[5]
    assert lines[6].startswith("failed: anna/absent: ")
    assert all(line == line.rstrip() for line in lines)


def test_format_summary_prints_the_warnings_of_a_recording(subject, settings, workspace, tmp_path):
    data = bytearray((workspace / "walk1.c3d").read_bytes())
    struct.pack_into("<f", data, 20, 50.0)
    (tmp_path / "walk1.c3d").write_bytes(data)
    changed = replace(subject, trials=(tmp_path / "walk1.c3d",))
    line = "warning: anna/walk1: The header states 50 frames per second, the parameters 100, which is used."
    for state in ("fitted", "already finished"):
        (outcome,) = fit_cohort([changed], settings)
        assert outcome.state == state
        assert line in format_summary([outcome], settings.save_folder)


def test_format_summary_warns_of_high_residual(one_trial, with_one_trial, tmp_path):
    (outcome,) = fit_cohort([one_trial], with_one_trial)
    assert not any(line.startswith("high residual") for line in format_summary([outcome], tmp_path))
    large = replace(outcome.report, residual_mm={**outcome.report.residual_mm, "mean": 14.0})
    warnings = [x for x in format_summary([replace(outcome, report=large)], tmp_path) if x.startswith("high residual")]
    assert len(warnings) == 1
    assert outcome.report.worst_markers[0] in warnings[0]
