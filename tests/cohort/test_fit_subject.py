"""From a cohort to folders, in one process: what is kept, what an accident leaves, other trees and priors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.body.vposer import _needed_shapes
from gait.capture import read_recording
from gait.cohort import fit_subject as rooms
from gait.cohort import trial_folder as folders
from gait.cohort.cohort_file import Subject
from gait.cohort.fit_settings import FitSettings, check_device, model_path
from gait.cohort.fit_subject import fit_cohort
from gait.cohort.terminal_summary import summary_lines
from gait.cohort.trial_folder import gait_folder, is_finished, read_report
from gait.errors import GaitError
from gait.files import atomic_write as whole_folder
from gait.motion.pose_files import read_poses
from gait.synthetic import MarkerErrors, make_person, make_walk, read_truth
from gait.synthetic.inject_errors import write_trc
from gait.viewing.offscreen_renderer import RenderingUnavailableError
from tests.helpers.fitting_cases import OPEN_BODY, constrained_open_body, model_folder, write_c3d

ERRORS = MarkerErrors(placement_m=0.005, technical_along_m=0.02, noise_m=0.001, gap_share=0.01)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory):
    """Models, and two walks of one person."""
    place = tmp_path_factory.mktemp("laboratory")
    model_folder(place / "data")
    body = load_body(OPEN_BODY)
    layout = plug_in_gait_layout(body)
    person = make_person(body, 21)
    for seed in (1, 2):
        write_c3d(place / f"walk{seed}.c3d", body, layout, make_walk(body, person, seconds=0.6, seed=seed), ERRORS)
    return place


@pytest.fixture
def subject(laboratory):
    return Subject("anna", (laboratory / "walk1.c3d", laboratory / "walk2.c3d"), healthy=True)


@pytest.fixture
def one_gait(subject):
    return replace(subject, gaits=subject.gaits[:1])


@pytest.fixture
def settings(laboratory, tmp_path):
    return FitSettings(laboratory / "data", tmp_path / "out", pictures=False)


def fitted(subject, settings):
    """Outcomes of one subject, all of them fitted."""
    outcomes = list(fit_cohort([subject], settings))
    assert [(o.state, o.line) for o in outcomes] == [("fitted", "")] * len(outcomes)
    return outcomes


def files_below(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(*_, **__):
    raise OSError(28, "No space left on device")


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_a_gaits_folder(subject, settings):
    (first, second) = fitted(subject, settings)
    assert (first.subject, first.gait, second.gait) == ("anna", "walk1", "walk2")
    for path, outcome in zip(subject.gaits, (first, second), strict=True):
        folder = gait_folder(settings.save_folder, subject, path)
        assert folder == settings.save_folder / "healthy" / "anna" / path.stem
        assert read_report(folder)["residual_mm"] == outcome.report.residual_mm
        assert read_report(folder)["gait"] == path.stem
    sick = gait_folder(settings.save_folder, replace(subject, healthy=False), subject.gaits[0])
    assert sick == settings.save_folder / "sick" / "anna" / "walk1"


def test_two_runs_write_the_same_poses(one_gait, settings, tmp_path):
    fitted(one_gait, settings)
    elsewhere = replace(settings, save_folder=tmp_path / "again")
    fitted(one_gait, elsewhere)
    for name in ("poses.npz", "residuals.npz"):
        first, second = ((s.save_folder / "healthy/anna/walk1" / name).read_bytes() for s in (settings, elsewhere))
        assert first == second


def test_finished_gaits_lend_their_markers_and_stay_as_they_are(subject, settings):
    """A gait that is fitted later gets the shape that it would have had at once."""
    fitted(subject, settings)
    before = files_below(settings.save_folder)
    second = settings.save_folder / "healthy/anna/walk2"
    poses = (second / "poses.npz").read_bytes()
    for path in second.iterdir():
        path.unlink()
    outcomes = list(fit_cohort([subject], settings))
    assert [o.state for o in outcomes] == ["finished before", "fitted"]
    after = files_below(settings.save_folder)
    assert (second / "poses.npz").read_bytes() == poses
    for path in before:
        if path.parent.name == "walk1":
            assert after[path] == before[path]


def test_what_counts_as_finished(one_gait, settings):
    (outcome,) = fitted(one_gait, settings)
    folder = settings.save_folder / "healthy/anna/walk1"
    assert is_finished(folder, "npz")
    assert not is_finished(folder, "json"), "frames are asked for and lack"
    poses = (folder / "poses.npz").read_bytes()
    outcomes = list(fit_cohort([one_gait], replace(settings, pose_format="json")))
    assert [o.state for o in outcomes] == ["finished before"], "frames are added without a fit"
    assert (folder / "poses.npz").read_bytes() == poses
    assert len(list(folder.glob("pose_*.json"))) == outcome.report.frames
    assert is_finished(folder, "json")
    assert is_finished(folder, "npz")
    for name in ("fit_report.json", "poses.npz"):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        assert not is_finished(folder, "npz")
        (folder / name).write_bytes(content)
    assert not is_finished(folder.with_name("walk9"), "npz")


def test_a_recording_added_later_gives_all_of_a_person_one_body_again(subject, one_gait, settings):
    fitted(one_gait, settings)
    folder = settings.save_folder / "healthy/anna"
    alone = read_poses(folder / "walk1").betas
    outcomes = fitted(subject, settings)
    first, second = (read_poses(folder / name).betas for name in ("walk1", "walk2"))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - alone).max() > 0
    assert [o.state for o in fit_cohort([subject], settings)] == ["finished before"] * 2
    assert outcomes[0].report == next(fit_cohort([subject], settings)).report, "the table is filled from the report"


def test_another_input_is_no_finished_gait(one_gait, settings, tmp_path):
    fitted(one_gait, settings)
    (outcome,) = fit_cohort([replace(one_gait, model_file="supr_nobody.npy")], settings)
    assert outcome.state == "failed"
    assert "supr_nobody.npy" in outcome.line
    (outcome,) = fit_cohort([replace(one_gait, constraint_file=tmp_path / "none.json")], settings)
    assert outcome.state == "failed"
    assert (settings.save_folder / "healthy/anna/walk1/poses.npz").is_file(), "what was finished stays"


def test_a_layout_may_use_a_laboratorys_own_spelling(one_gait, settings, tmp_path):
    body = load_body(settings.model_folder / "SUPR" / "open_neutral.npz")
    layout = plug_in_gait_layout(body)
    spelt = {"LASI": "LASIS", "RASI": "rasi", "LKNE": "lkne"}

    def markers(names):
        rows = zip(layout.labels, layout.face, layout.bary, layout.distance_m, strict=True)
        return {
            names.get(label, label): {"faceId": int(f), "id": int(f), "baryCoords": b.tolist(), "distanceToSkin": d}
            for label, f, b, d in rows
        }

    file = tmp_path / "spelt.json"
    file.write_text(json.dumps({"C3DMarker": {"type": "C3DMarker", "Markers": markers(spelt)}}), encoding="utf-8")
    (outcome,) = fitted(replace(one_gait, constraint_file=file), settings)
    assert {"LASI", "RASI", "LKNE"} <= set(outcome.report.markers)
    both = {**markers({}), **markers({"LASI": "LASIS"})}
    file.write_text(json.dumps({"C3DMarker": {"type": "C3DMarker", "Markers": both}}), encoding="utf-8")
    (outcome,) = fit_cohort([replace(one_gait, constraint_file=file)], settings)
    assert outcome.state == "failed"
    assert "both the marker LASI" in outcome.line


def test_a_fit_that_breaks_off_is_one_line_and_the_cohort_goes_on(subject, one_gait, settings, monkeypatch):
    def break_off(*_, **__):
        raise torch.linalg.LinAlgError("the factorization could not be completed")

    monkeypatch.setattr("gait.cohort.fit_subject.fit_checked", break_off)
    outcomes = list(fit_cohort([subject, replace(one_gait, name="berta")], settings))
    assert [o.state for o in outcomes] == ["failed"] * 3
    assert all("broke off" in o.line and "\n" not in o.line for o in outcomes)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", None])
def test_a_damaged_report_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "fit_report.json").write_bytes(content)
    with pytest.raises(GaitError, match=r"fit_report\.json.*--overwrite") as error:
        read_report(tmp_path)
    assert "\n" not in str(error.value)


def test_the_second_person_of_a_recording_can_be_meant(one_gait, settings, laboratory):
    """Two people in one file give each the poses that a file of that person alone gives."""
    walks = {"one": read_recording(laboratory / "walk1.c3d"), "two": read_recording(laboratory / "walk2.c3d")}

    def file(name, people):
        frames = {}
        for t in range(min(walk.frames for walk in walks.values())):
            seen = {(who, m) for who in people for m in np.flatnonzero(walks[who].visible[t])}
            frames[str(t)] = {
                f"{who}:{walks[who].labels[m]}": walks[who].positions_m[t, m].tolist() for who, m in sorted(seen)
            }
        path = laboratory / f"{name}.json"
        path.write_text(json.dumps({"Frames": frames, "framerate": 100}), encoding="utf-8")
        return path

    def poses(path, number):
        subject = replace(one_gait, gaits=(path,), person_number=number)
        fitted(subject, settings)
        return (settings.save_folder / "healthy/anna" / path.stem / "poses.npz").read_bytes()

    together = file("together", ["one", "two"])
    for number, who in ((1, "one"), (2, "two")):
        assert poses(together, number) == poses(file(f"alone_{who}", [who]), None)
    (outcome,) = fit_cohort([replace(one_gait, gaits=(together,), person_number=3)], settings)
    assert outcome.state == "failed"
    assert "together.json" in outcome.line


# --- bad data --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exchanged_names(laboratory):
    """The first walk with two names exchanged in twenty of its frames, in a file that counts them from 101."""
    recording = read_recording(laboratory / "walk1.c3d")
    both, rows = [recording.labels.index(name) for name in ("LSHO", "RSHO")], slice(20, 40)
    positions = recording.positions_m.copy()
    positions[rows, both] = positions[rows, both[::-1]]
    path = laboratory / "exchanged.trc"
    write_trc(path, replace(recording, positions_m=positions, first_frame=101), np.full(3, 1000.0), "mm")
    return path


def test_bad_data_is_a_line_at_the_end_and_in_the_report_and_repaired_when_asked(exchanged_names, one_gait, settings):
    subject = replace(one_gait, gaits=(exchanged_names,))
    told = "LSHO and RSHO exchanged, frames 121 to 140"
    for repair, action in ((False, "left out"), (True, "corrected")):
        settings = replace(settings, repair=repair)
        outcomes = fitted(subject, settings)  # with --repair anew, although the gait is finished without it
        (line,) = [line for line in summary_lines(outcomes, settings.save_folder) if line.startswith("bad data: ")]
        assert line.startswith(f"bad data: anna/exchanged: {told}, ")
        assert f" off: {action}" in line
        (fault,) = read_report(gait_folder(settings.save_folder, subject, exchanged_names))["faults"]
        assert (fault["kind"], {fault["marker"], fault["other"]}, fault["action"]) == (
            "exchanged",
            {"LSHO", "RSHO"},
            action,
        )
        assert (fault["first_frame"], fault["last_frame"]) == (121, 140)
    assert [o.state for o in fit_cohort([subject], settings)] == ["finished before"]


def test_a_mirrored_recording_fails_alone_without_repair(laboratory, subject, settings):
    recording = read_recording(laboratory / "walk2.c3d")
    path = laboratory / "mirrored.trc"
    write_trc(path, recording, np.array([-1000.0, 1000.0, 1000.0]), "mm")
    subject = replace(subject, gaits=(*subject.gaits[:1], path))
    good, bad = fit_cohort([subject], settings)
    assert (good.state, bad.state) == ("fitted", "failed")
    assert "mirrored.trc: mirrored, frames 1 to" in bad.line
    assert "--repair" in bad.line
    good, bad = fitted(subject, replace(settings, repair=True))
    assert [fault["kind"] for fault in bad.report.faults] == ["mirrored"]
    _, bad = fit_cohort([subject], settings)
    assert "still has an earlier run's results" in bad.line


# --- accidents -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["write_npz", "_write_residuals", "_replace"])
def test_a_full_disk_fails_the_gait_and_leaves_nothing_half_done(one_gait, settings, monkeypatch, step):
    monkeypatch.setattr(whole_folder if step == "_replace" else folders, step, refuse)
    (outcome,) = fit_cohort([one_gait], settings)
    assert outcome.state == "failed"
    assert "No space left" in outcome.line
    assert "\n" not in outcome.line
    assert not files_below(settings.save_folder)
    assert not list(settings.save_folder.rglob("walk1*"))
    assert not list(settings.save_folder.rglob(".*"))


@pytest.mark.parametrize("step", ["write_npz", "_write_residuals", "second rename"])
def test_an_accident_in_overwriting_leaves_the_old_results(one_gait, settings, monkeypatch, step):
    fitted(one_gait, settings)
    before = files_below(settings.save_folder)
    if step == "second rename":
        rename = Path.rename

        def fails(self, target):
            return refuse() if ".partial" in self.name else rename(self, target)

        monkeypatch.setattr(Path, "rename", fails)
    else:
        monkeypatch.setattr(folders, step, refuse)
    (outcome,) = fit_cohort([one_gait], replace(settings, overwrite=True))
    assert outcome.state == "failed"
    assert files_below(settings.save_folder) == before


def test_a_stop_in_the_middle_leaves_nothing_half_done(one_gait, settings, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "_write_residuals", stop)
    with pytest.raises(KeyboardInterrupt):
        list(fit_cohort([one_gait], settings))
    assert not files_below(settings.save_folder)
    assert not list(settings.save_folder.rglob("*walk1*"))


def test_one_gait_that_cannot_be_written_does_not_stop_the_other(subject, settings):
    """A file lies in the place of the first one's folder."""
    place = settings.save_folder / "healthy/anna/walk1"
    place.parent.mkdir(parents=True)
    place.write_text("mine\n", encoding="utf-8")
    first, second = fit_cohort([subject], settings)
    assert (settings.save_folder / "healthy/anna/walk2/poses.npz").is_file()
    assert second.state == "fitted"
    assert first.state == "failed"
    assert place.read_text(encoding="utf-8") == "mine\n"


def test_where_nothing_can_be_drawn_the_fit_is_there_and_a_line_says_so(one_gait, settings, monkeypatch):
    def no_drawing(**_):
        raise RenderingUnavailableError("no EGL here.")

    monkeypatch.setattr(rooms, "fit_picture", no_drawing)
    (outcome,) = fit_cohort([one_gait], replace(settings, pictures=True))
    assert (outcome.state, outcome.line) == ("fitted", "no EGL here.")
    assert {path.name for path in (settings.save_folder / "healthy/anna/walk1").iterdir()} == {
        *("poses.npz", "fit_report.json", "residuals.npz")
    }
    assert summary_lines([outcome], settings.save_folder)[-1] == "no EGL here."


def test_recordings_that_cannot_be_read_or_fitted_fail_alone(subject, settings, laboratory):
    """Each kind of refusal beside a good recording of the same person."""
    (laboratory / "damaged.c3d").write_bytes((laboratory / "walk1.c3d").read_bytes()[:2000])
    boxes = {f"BOX{k}": [k, 1.0, 2.0] for k in range(8)}
    foreign = {"Frames": {str(t): boxes for t in range(9)}, "framerate": 50}
    (laboratory / "foreign.json").write_text(json.dumps(foreign), encoding="utf-8")
    paths = tuple(laboratory / name for name in ("damaged.c3d", "foreign.json", "absent.c3d", "walk1.c3d"))
    outcomes = list(fit_cohort([replace(subject, gaits=paths)], settings))
    assert [o.state for o in outcomes] == ["failed", "failed", "failed", "fitted"]
    for path, outcome in zip(paths[:3], outcomes, strict=False):
        assert path.name in outcome.line
        assert "\n" not in outcome.line
        assert outcome.report is None
    assert "BOX3" in outcomes[1].line
    assert "LASI" in outcomes[1].line


def test_a_recording_that_holds_no_body_does_not_take_the_persons_others_with_it(subject, settings, laboratory):
    """Known labels, but all markers at one point in every frame: it alone cannot be fitted."""
    labels = ("LASI", "RASI", "LPSI", "RPSI", "LKNE", "RKNE", "LANK", "RANK")
    still = {"Frames": {str(t): {name: [0.0, 1.0, 0.0] for name in labels} for t in range(9)}, "framerate": 50}
    (laboratory / "point.json").write_text(json.dumps(still), encoding="utf-8")
    paths = (laboratory / "point.json", laboratory / "walk1.c3d")
    point, walk = fit_cohort([replace(subject, gaits=paths)], settings)
    assert point.state == "failed"
    assert "point.json" in point.line
    assert walk.state == "fitted"


def test_a_persons_errors_are_each_of_that_persons_gaits(subject, settings):
    nobody = replace(subject, name="bert", model_file="supr_nobody.npy")
    outcomes = list(fit_cohort([nobody, replace(subject, gaits=subject.gaits[:1])], settings))
    assert [(o.subject, o.state) for o in outcomes] == [("bert", "failed"), ("bert", "failed"), ("anna", "fitted")]
    for outcome in outcomes[:2]:
        assert "supr_nobody.npy" in outcome.line
        assert "open_neutral.npz" in outcome.line


def test_model_files_are_looked_for_and_those_there_listed(tmp_path):
    settings = FitSettings(tmp_path, tmp_path / "out")
    with pytest.raises(GaitError, match="it has no body model"):
        model_path(settings, "supr_male.npy")
    (tmp_path / "SUPR").mkdir()
    for name in ("supr_b.npy", "open_a.npz", "README.md"):
        (tmp_path / "SUPR" / name).touch()
    assert model_path(settings, "supr_b.npy") == tmp_path / "SUPR" / "supr_b.npy"
    with pytest.raises(GaitError, match=r"it has open_a\.npz, supr_b\.npy\."):
        model_path(settings, "supr_male.npy")
    for place in ("smplx/SMPLX_NEUTRAL.npz", "smplh/SMPLH_male.pkl", "smplh/male/model.npz"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).touch()
        named = place if "model" in place else Path(place).name
        assert model_path(settings, named) == tmp_path / place
    with pytest.raises(GaitError) as caught:
        model_path(settings, "SMPLX_MALE.npz")
    assert str(caught.value) == (
        f"{tmp_path}: no body model SMPLX_MALE.npz in its folders SUPR, smplx, smplh; "
        "it has SMPLH_male.pkl, SMPLX_NEUTRAL.npz, open_a.npz, smplh/male/model.npz, supr_b.npy."
    )


def test_a_device_is_there_or_named_beside_those_that_are():
    check_device("cpu")
    with pytest.raises(GaitError, match=r"tpu.*cpu"):
        check_device("tpu")


# --- constraints files -----------------------------------------------------------------------------------------------


def constraints(laboratory, name, **more):
    layout = plug_in_gait_layout(load_body(OPEN_BODY))
    markers = {
        label: {"id": m, "faceId": int(face), "baryCoords": bary.tolist(), "distanceToSkin": float(distance)}
        for m, (label, face, bary, distance) in enumerate(
            zip(layout.labels, layout.face, layout.bary, layout.distance_m, strict=True)
        )
    }
    path = laboratory / name
    path.write_text(json.dumps({"Lab": {"type": "C3DMarker", "Markers": markers}, **more}), encoding="utf-8")
    return path


def test_a_constraints_file_places_the_markers_and_what_is_not_used_is_noted(one_gait, settings, laboratory, tmp_path):
    file = constraints(laboratory, "constraints.json", Waist={"type": "Circumference", "target": 0.8})
    fitted(replace(one_gait, constraint_file=file), settings)
    fitted(one_gait, replace(settings, save_folder=tmp_path / "without"))
    with_file, without = (read_report(tmp_path / name / "healthy/anna/walk1") for name in ("out", "without"))
    assert "constraints.json: Lab" in with_file["layout"]
    assert any("Waist" in note and "not used" in note for note in with_file["notes"])
    assert any("does not say what mesh" in note for note in with_file["notes"])
    assert with_file["residual_mm"]["mean"] == pytest.approx(without["residual_mm"]["mean"], abs=0.01)
    a, b = (read_poses(tmp_path / name / "healthy/anna/walk1").joints_m for name in ("out", "without"))
    np.testing.assert_allclose(a, b, atol=1e-3)


def test_angles_alone_leave_the_placement_to_the_suite(one_gait, settings, laboratory):
    knee = 3 * Joint.LEFT_KNEE
    file = laboratory / "angles.json"
    bound = {"type": "Angle", "joints": [knee], "lbounds": [-0.1], "upbounds": [0.2]}
    file.write_text(json.dumps({"Knee": bound}), encoding="utf-8")
    fitted(replace(one_gait, constraint_file=file), settings)
    folder = settings.save_folder / "healthy/anna/walk1"
    assert "placed on open_neutral.npz" in read_report(folder)["layout"]
    assert read_poses(folder).poses[:, knee].max() < 0.4


def test_a_layout_of_another_mesh_is_refused(one_gait, settings, laboratory):
    file = constraints(laboratory, "smplx.json", numFaces=20908)
    (outcome,) = fit_cohort([replace(one_gait, constraint_file=file)], settings)
    assert outcome.state == "failed"
    assert "20908" in outcome.line
    assert not list(settings.save_folder.rglob("*"))


# --- other trees and priors ------------------------------------------------------------------------------------------


def test_a_hinge_tree_is_fitted_where_it_is_asked_for(one_gait, settings, laboratory, tmp_path):
    models = tmp_path / "models"
    (models / "SUPR").mkdir(parents=True)
    path = constrained_open_body(models / "SUPR" / "supr_open_constrained.npy", load_body(OPEN_BODY))
    hinged = replace(one_gait, model_file=path.name, constrained_model=True)
    (outcome,) = fitted(hinged, replace(settings, model_folder=models))
    assert outcome.report.residual_mm["mean"] < 6
    body = load_body(path, constrained=True)
    read = read_poses(settings.save_folder / "healthy/anna/walk1")
    assert read.constrained
    assert read.model_file == path.name
    assert read.poses.shape == (read.frames, body.num_pose)
    assert body.num_pose == 225 - 4 * 2 - 2 * 1
    with torch.inference_mode():
        joints = body.posed_joints(*map(torch.as_tensor, (read.poses, read.betas, read.translation_m)))[:, :22]
    np.testing.assert_allclose(read.joints_m, joints.numpy(), atol=1e-4)
    truth = read_truth(laboratory / "walk1.c3d")
    assert np.linalg.norm(read.joints_m - truth.joints_m, axis=-1).mean() < 0.015
    free = replace(one_gait, model_file=path.name)
    fitted(free, replace(settings, model_folder=models, save_folder=tmp_path / "free"))
    assert read_poses(tmp_path / "free/healthy/anna/walk1").poses.shape[1] == 225


def test_a_file_without_a_hinge_tree_is_fitted_free(one_gait, settings):
    fitted(replace(one_gait, constrained_model=True), settings)
    read = read_poses(settings.save_folder / "healthy/anna/walk1")
    assert not read.constrained
    assert read.poses.shape[1] == 225


def vposer_folder(models, content=None):
    """A VPoser of random weights where a user would have put the licensed one."""
    generator = torch.Generator().manual_seed(0)
    state = {
        f"vp_model.{key}": torch.rand(shape, generator=generator) * 0.1 + (1.0 if "running_var" in key else 0.0)
        for key, shape in _needed_shapes(512, 32).items()
    }
    snapshots = models / "VPoser" / "snapshots"
    snapshots.mkdir(parents=True)
    (models / "VPoser" / "V02_05.yaml").write_text("model_params: {num_neurons: 512, latentD: 32}\n", encoding="utf-8")
    path = snapshots / "V02_05_epoch=13.ckpt"
    torch.save({"state_dict": state}, path)
    if content is not None:
        path.write_bytes(content)


def test_a_learned_prior_in_its_folder_is_used_and_noted(one_gait, settings, tmp_path):
    models = model_folder(tmp_path / "models")
    vposer_folder(models)
    fitted(one_gait, replace(settings, model_folder=models))
    fitted(one_gait, replace(settings, save_folder=tmp_path / "without"))
    leant, plain = (tmp_path / name / "healthy/anna/walk1" for name in ("out", "without"))
    assert "Learned pose prior: V02_05_epoch=13.ckpt." in read_report(leant)["notes"]
    assert not any("prior" in note for note in read_report(plain)["notes"])
    assert (leant / "poses.npz").read_bytes() != (plain / "poses.npz").read_bytes()
    assert read_report(leant)["residual_mm"]["mean"] < 20


def test_a_damaged_learned_prior_is_one_line_of_each_gait(one_gait, settings, tmp_path):
    models = model_folder(tmp_path / "models")
    vposer_folder(models, content=b"no checkpoint")
    (outcome,) = fit_cohort([one_gait], replace(settings, model_folder=models))
    assert outcome.state == "failed"
    assert "V02_05_epoch=13.ckpt" in outcome.line


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_closing_table_counts_and_repeats_what_failed(subject, settings, laboratory):
    outcomes = list(
        fit_cohort([replace(subject, gaits=(laboratory / "absent.c3d", laboratory / "walk1.c3d"))], settings)
    )
    outcomes += list(fit_cohort([replace(subject, gaits=(laboratory / "walk1.c3d",))], settings))
    lines = summary_lines(outcomes, settings.save_folder)
    assert len({line.index(word) for line, word in zip(lines[1:4], ("absent", "walk1", "walk1"), strict=True)}) == 1
    assert lines[1].endswith("failed")
    assert lines[3].endswith("finished before")
    assert "1 fitted, 1 finished before, 1 failed" in lines[5]
    assert lines[6].startswith("failed: anna/absent: ")
    assert all(line == line.rstrip() for line in lines)


def test_a_recording_that_no_body_wears_is_called_doubtful(one_gait, settings, tmp_path):
    (outcome,) = fitted(one_gait, settings)
    assert not any(line.startswith("doubtful") for line in summary_lines([outcome], tmp_path))
    far = replace(outcome.report, residual_mm={**outcome.report.residual_mm, "mean": 14.0})
    doubt = [x for x in summary_lines([replace(outcome, report=far)], tmp_path) if x.startswith("doubtful")]
    assert len(doubt) == 1
    assert outcome.report.worst_markers[0] in doubt[0]
