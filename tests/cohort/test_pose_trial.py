"""Trials that are poses of other tools: AMASS archives and CARE-PD pickles."""

import json
import pickle
import shutil

import numpy as np
import pytest
import torch

from gait.body.joint_status import JointStatus
from gait.body.model_file import load_body
from gait.capture.up_axis import UpAxis, rotation_to_y_up
from gait.cohort.cohort_file import read_cohort
from gait.cohort.fit_settings import FitSettings
from gait.motion.pose_files import read_poses
from gait.motion.trial_paths import read_fit_report
from gait.synthetic import make_subject, make_trial
from tests.helpers.body_files import RunsCode
from tests.helpers.fit_cohort import fit_cohort, run_script_here
from tests.helpers.fitting_cases import model_folder, open_body_as
from tests.helpers.foreign_files import smpl_walk, write_amass, write_care_pd


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Model folder with the open body, a female SMPL-H and a neutral SMPL-X model."""
    folder = model_folder(tmp_path_factory.mktemp("models") / "data")
    for kind, name in (("smplh", "SMPLH_FEMALE.npz"), ("smplx", "SMPLX_NEUTRAL.npz")):
        (folder / kind).mkdir()
        open_body_as(kind, folder / kind / name)
    return folder


@pytest.fixture(scope="module")
def walks(models):
    """A body and a short walk of it, for each family."""
    files = {"smplh": "SMPLH_FEMALE.npz", "smplx": "SMPLX_NEUTRAL.npz"}
    bodies = {kind: load_body(models / kind / name) for kind, name in files.items()}
    return {
        kind: (body, make_trial(body, make_subject(body, 3), seconds=1.0, seed=1).ground_truth)
        for kind, body in bodies.items()
    }


def fitted(folder, entries, models, **options):
    """Fit a cohort of these entries; return the outcomes and the save folder."""
    (folder / "cohort.json").write_text(json.dumps(entries), encoding="utf-8")
    settings = FitSettings(models, folder / "out", **{"figures": False, **options})
    return list(fit_cohort(read_cohort(folder / "cohort.json"), settings)), settings.save_folder


@pytest.mark.parametrize(
    ("kind", "gender", "rate_key"),
    [("smplh", np.bytes_("female"), "mocap_framerate"), ("smplx", "neutral", "mocap_frame_rate")],
)
def test_amass_on_its_body_has_the_joints_of_the_source(tmp_path, models, walks, kind, gender, rate_key):
    body, truth = walks[kind]
    rates = {"mocap_framerate": None, rate_key: 120.0}
    write_amass(tmp_path / "walk.npz", truth, body, gender, **rates)
    (outcome,), out = fitted(tmp_path, {"A": {"trials": ["walk.npz"], "healthy": True}}, models)
    assert (outcome.state, outcome.message) == ("fitted", "")
    sequence = read_poses(out / "healthy/A/walk")
    assert np.abs(sequence.joints_m - truth.joints_m).max() < 1e-5
    assert (sequence.rate_hz, sequence.model_type, sequence.model_file) == (120, kind, body.name)
    np.testing.assert_array_equal(sequence.joint_status, JointStatus.OBSERVED)
    again = body.posed_joints(
        *(torch.as_tensor(a) for a in (sequence.poses, sequence.betas, sequence.translation_m))
    ).numpy()
    np.testing.assert_allclose(again[:, :22], truth.joints_m, atol=1e-5)
    assert outcome.report.residual_mm["mean"] is None
    assert outcome.report.markers == {}


def test_amass_without_its_body_says_so_and_stands_on_the_floor(tmp_path, models, walks):
    body, truth = walks["smplh"]
    write_amass(tmp_path / "walk.npz", truth, body, "male")
    entries = {"A": {"trials": ["walk.npz"], "healthy": False}}
    (tmp_path / "cohort.json").write_text(json.dumps(entries), encoding="utf-8")
    done = run_script_here(tmp_path, "--cohort", "cohort.json", "--model_folder", models, "--save_folder", "out")
    assert done.returncode == 0, done.stderr
    line = (
        "AMASS poses on another body: they need a male SMPL-H model, which is not in the model folder; open_neutral.npz"
    )
    assert line in done.stdout
    folder = tmp_path / "out/sick/A/walk"
    assert read_fit_report(folder)["notes"][0].startswith(line)
    sequence, open_body = read_poses(folder), load_body(models / "SUPR/open_neutral.npz")
    assert sequence.model_file == "open_neutral.npz"
    relative = [each.joints_m - each.joints_m[:, :1] for each in (sequence, truth)]
    assert np.linalg.norm(relative[0] - relative[1], axis=-1).mean() < 0.05
    posed = open_body(*(torch.as_tensor(a) for a in (sequence.poses, sequence.betas, sequence.translation_m)))
    assert abs(np.quantile(posed.vertices[..., 1].amin(dim=1).numpy(), 0.1)) < 0.02


def test_pose_trials_are_done_again_when_their_model_arrives(tmp_path, models, walks):
    body, truth = walks["smplh"]
    write_amass(tmp_path / "walk.npz", truth, body)
    entries = {"A": {"trials": ["walk.npz"], "healthy": True}}
    bare = model_folder(tmp_path / "data")
    assert [fitted(tmp_path, entries, bare)[0][0].state for _ in range(2)] == ["fitted", "already finished"]
    shutil.copytree(models / "smplh", bare / "smplh")
    (outcome,), out = fitted(tmp_path, entries, bare)
    assert outcome.state == "fitted"
    assert np.abs(read_poses(out / "healthy/A/walk").joints_m - truth.joints_m).max() < 1e-5


@pytest.mark.parametrize("up", [UpAxis(0, -1, ""), UpAxis(1, 1, ""), UpAxis(2, 1, ""), UpAxis(2, -1, "")])
def test_care_pd_infers_up_from_the_body(tmp_path, models, walks, up):
    body, truth = walks["smplh"]
    walk = smpl_walk(truth, body, rotation_to_y_up(up).T)
    write_care_pd(tmp_path / "site.pkl", {"S1": {"w": walk}})
    (outcome,), out = fitted(tmp_path, {"A": {"trials": ["site.pkl#S1/w"], "healthy": True}}, models)
    assert outcome.state == "fitted"
    sequence = read_poses(out / "healthy/A/w")
    assert f"Up is {up.name} of the file" in read_fit_report(out / "healthy/A/w")["notes"][1]
    upright = (sequence.joints_m[:, 12] - sequence.joints_m[:, 0]) / np.linalg.norm(
        sequence.joints_m[:, 12] - sequence.joints_m[:, 0], axis=-1, keepdims=True
    )
    assert upright[:, 1].min() > 0.95
    travelled = [each.joints_m[-1, 0] - each.joints_m[0, 0] for each in (sequence, truth)]
    assert np.linalg.norm(travelled[0]) == pytest.approx(np.linalg.norm(travelled[1]), rel=0.02)


@pytest.fixture
def site(tmp_path, walks):
    """A CARE-PD file with three subjects and several walks."""
    body, truth = walks["smplh"]
    scores = {"S1": (0.0, 0), "S2": (np.int64(2), None), "S/3": (0, 1), "S4": (None,)}
    return write_care_pd(
        tmp_path / "site.pkl",
        {
            subject: {f"walk.{k}": smpl_walk(truth, body, UPDRS_GAIT=score) for k, score in enumerate(each)}
            for subject, each in scores.items()
        },
    )


def cohort(folder, **entries):
    path = folder / "cohort.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


RULE = {"field": "UPDRS_GAIT", "is": [0], "mixed": "sick", "missing": "skip"}


def test_care_pd_file_stands_for_its_subjects(tmp_path, site, models):
    path = cohort(tmp_path, site={"trials": ["site.pkl"], "healthy": RULE})
    subjects = read_cohort(path)
    assert [(each.name, each.healthy, len(each.trials)) for each in subjects] == [
        ("site_S1", True, 2),
        ("site_S2", False, 2),
        ("site_S_3", False, 2),
    ]
    settings = FitSettings(models, tmp_path / "out", figures=False)
    outcomes = list(fit_cohort(subjects, settings))
    assert [(each.subject, each.trial, each.state) for each in outcomes] == [
        (subject.name, walk, "fitted") for subject in subjects for walk in ("walk.0", "walk.1")
    ]
    assert read_poses(tmp_path / "out/sick/site_S_3/walk.1").num_frames == 100
    assert [each.state for each in fit_cohort(subjects, settings)] == ["already finished"] * 6


def test_care_pd_subject_and_walk_by_name(tmp_path, site):
    entries = {
        "P1": {"trials": ["site.pkl#S2"], "healthy": False},
        "P2": {"gaits": ["site.pkl#S1/walk.1", "other.c3d"], "healthy": True},
    }
    one, two = read_cohort(cohort(tmp_path, **entries))
    assert [str(trial.name) for trial in one.trials] == ["walk.0", "walk.1"]
    assert [trial.name for trial in two.trials] == ["walk.1", "other.c3d"]


def test_health_rule_by_table(tmp_path, site):
    (tmp_path / "groups.csv").write_text(
        "id;group\nS1;patient\nS2; control\nS4;patient\nP9;control\n", encoding="utf-8"
    )
    rule = {"table": "groups.csv", "subject": "id", "field": "group", "is": "control", "missing": "skip"}
    entries = {
        "site": {"trials": ["site.pkl"], "healthy": rule},
        "P9": {"trials": ["walk.c3d"], "healthy": rule},
    }
    found = {subject.name: subject.healthy for subject in read_cohort(cohort(tmp_path, **entries))}
    assert found == {"P9": True, "site_S1": False, "site_S2": True, "site_S4": False}


def without(rule, *keys, **changes):
    return {key: value for key, value in rule.items() if key not in keys} | changes


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({}, r'site\' lacks healthy; .*; say who is healthy: "healthy": \{"field": "UPDRS_GAIT", "is": \[0\]'),
        (
            {"healthy": without(RULE, "mixed")},
            r"'S/3' has several values of UPDRS_GAIT: 0, 1; .*\"mixed\": \"healthy\" or",
        ),
        ({"healthy": without(RULE, "missing")}, r"'S4' has no UPDRS_GAIT; say what that means, \"missing\""),
        ({"healthy": without(RULE, field="updrs")}, "the rules of 'healthy' skip every subject; correct them"),
        (
            {"healthy": without(RULE, "missing", field="updrs")},
            r"has no updrs \(its fields: UPDRS_GAIT, fps, medication",
        ),
        ({"healthy": without(RULE, "is")}, r"'healthy' needs 'field' and 'is'; for example"),
        ({"healthy": without(RULE, equals=0)}, r"'healthy' has the unknown key 'equals'"),
        ({"healthy": 0}, r"'healthy' must be true or false, or a rule, see docs/fitting.md, not 0"),
        ({"healthy": without(RULE, table="no.csv")}, r"the table no.csv of 'healthy' cannot be read"),
        ({"healthy": True, "trials": ["site.pkl", "a.c3d"]}, r"site.pkl has many subjects, so no other trial"),
        ({"healthy": True, "trials": ["site.pkl#S9"]}, r"no trial site.pkl#S9; the file has the subjects S1, S2"),
        ({"healthy": True, "trials": ["site.pkl#S1/w"]}, r"no trial site.pkl#S1/w; its walks: walk.0, walk.1"),
        ({"healthy": RULE, "trials": ["walk.c3d"]}, r"its trials have no field 'UPDRS_GAIT'; say true or false"),
    ],
)
def test_read_cohort_names_a_wrong_rule_in_one_line(tmp_path, site, monkeypatch, entry, line):
    monkeypatch.chdir(tmp_path)
    path = cohort(tmp_path, site={"trials": ["site.pkl"]} | entry)
    with pytest.raises(Exception, match=line) as caught:
        read_cohort(path)
    assert "\n" not in str(caught.value)


def test_hostile_pickle_is_refused_by_name_and_not_run(tmp_path, walks):
    body, truth = walks["smplh"]
    walk = smpl_walk(truth, body)
    canary = tmp_path / "canary"
    (tmp_path / "site.pkl").write_bytes(pickle.dumps({"S1": {"w": walk | {"other": RunsCode(f"touch {canary}")}}}))
    path = cohort(tmp_path, site={"trials": ["site.pkl"], "healthy": True})
    done = run_script_here(tmp_path, "--cohort", path)
    assert done.returncode == 2
    assert "site.pkl: its pickle uses posix.system, which is not an array: refused, nothing was run." in done.stderr
    assert not canary.exists()


BAD_AMASS = [
    ({"trans": None}, "lacks trans, which AMASS files have; it has betas, dmpls, gender"),
    ({"mocap_framerate": None}, "lacks mocap_frame_rate or mocap_framerate"),
    ({"mocap_framerate": 0.0}, "the frame rate must be one number from 1 to 10000 Hz"),
    ({"poses": np.zeros((100, 63))}, "poses has the shape (100, 63); (frames, numbers) with 72 (smpl), 156 (smplh)"),
    ({"trans": np.zeros((9, 3))}, "trans has the shape (9, 3); (100, 3) is needed"),
    ({"poses": np.full((100, 156), np.nan)}, "poses has values that are not finite"),
    ({"poses": np.array([RunsCode("true")])}, "poses its pickle uses posix.system"),
]


@pytest.mark.parametrize(("change", "line"), BAD_AMASS)
def test_damaged_amass_file_fails_alone_in_one_line(tmp_path, models, walks, change, line):
    body, truth = walks["smplh"]
    write_amass(tmp_path / "bad.npz", truth, body, **change)
    write_amass(tmp_path / "good.npz", truth, body)
    entries = {"A": {"trials": ["bad.npz", "good.npz"], "healthy": True}}
    (bad, good), _ = fitted(tmp_path, entries, models)
    assert (bad.state, good.state) == ("failed", "fitted")
    assert line in bad.message
    assert bad.message.startswith(str(tmp_path / "bad.npz"))
    assert "\n" not in bad.message


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda walk: walk.pop("trans"), "site.pkl#S1/w: lacks trans; it has pose, beta, fps"),
        (lambda walk: walk.update(pose=walk["pose"][:, :9]), "site.pkl#S1/w: poses has the shape (100, 9)"),
        (lambda walk: walk.update(trans=[[1.0], [1.0, 2.0]]), "site.pkl#S1/w: trans has rows of different lengths"),
        (lambda walk: walk.update(fps="fast", UPDRS_GAIT=10**400), "the frame rate must be numbers, not <U4"),
    ],
)
def test_damaged_care_pd_walk_fails_in_one_line(tmp_path, models, walks, change, line):
    body, truth = walks["smplh"]
    walk = smpl_walk(truth, body)
    change(walk)
    write_care_pd(tmp_path / "site.pkl", {"S1": {"w": walk}})
    (outcome,), _ = fitted(tmp_path, {"A": {"trials": ["site.pkl"], "healthy": True}}, models)
    assert (outcome.subject, outcome.trial, outcome.state) == ("A_S1", "w", "failed")
    assert line in outcome.message
