"""The benchmark of real persons' curves: folds, ridge regression, ranges of controls, and a run in miniature."""

import numpy as np
import pytest

from gait.kinematics.norms import GDI_ANGLES, read_angle_norm


def synthetic_sessions(controls=4, patients=4, seed=0):
    """Draw names and curves (N, 18, 101) of the file's form; patients have a shorter range of the hips."""
    random = np.random.default_rng(seed)
    mean = read_angle_norm("pinzone2014_centre1").at_speed(None).mean_deg
    percent = np.linspace(0, 100, 101)
    norm = np.array([np.interp(percent, np.linspace(0, 100, len(mean[a])), mean[a]) for a in GDI_ANGLES] * 2)
    names = [f"parkinson_{k + 1:02}_{m}" for k in range(patients) for m in ("off", "on")]
    names += [f"control_{k + 25:02}" for k in range(controls)]
    curves = norm + random.normal(0, 1.5, (len(names), 18, 1))
    hips = [3, 12]
    curves[: 2 * patients, hips] = 12 + 0.7 * (curves[: 2 * patients, hips] - 12)
    return names, curves


@pytest.fixture
def sessions(module):
    persons = module("curve_persons")
    return [persons.Session(name, own) for name, own in zip(*synthetic_sessions(), strict=True)]


def test_sessions_know_person_label_and_medication(sessions):
    patient, control = sessions[1], sessions[-1]
    assert (patient.person, patient.medication, patient.sick, patient.label) == ("parkinson_01", "on", True, "sick")
    assert (control.person, control.medication, control.sick, control.young) == ("control_28", "", False, False)
    assert patient.by_channel["pelvis_tilt", "right"] is not None


def test_folds_divide_persons_and_differ_between_divisions(module):
    sick = {f"{'sick' if k % 3 == 0 else 'healthy'}/{k:02}": k % 3 == 0 for k in range(20)}
    divide = module("real_curves").divide
    folds = list(divide(sick, 4, [0, 0]))
    assert sorted(name for fold in folds for name in fold.evaluation) == sorted(sick)
    for fold in folds:
        assert not set(fold.training) & set(fold.evaluation)
        assert len(fold.training) + len(fold.evaluation) == len(sick)
        assert 1 <= sum(sick[name] for name in fold.evaluation) <= 2
    assert [f.evaluation for f in divide(sick, 4, [0, 1])] != [f.evaluation for f in folds]


def test_ridge_judges_persons_whom_it_has_not_seen(module, sessions):
    scores_of = module("curve_scores")
    curves = np.array([session.curves_deg for session in sessions])
    scores = scores_of.ridge_scores(sessions, curves)
    assert all((scores[session.name] > 0) == session.sick for session in sessions)
    moved = curves.copy()
    moved[0] += 30  # both sessions of a person are left out together
    assert scores_of.ridge_scores(sessions, moved)[sessions[1].name] == pytest.approx(scores[sessions[1].name])
    gap = curves.copy()
    gap[3, 0, 5] = np.nan
    assert sessions[3].name not in scores_of.ridge_scores(sessions, gap)


def test_person_weights_are_the_same_for_labels_and_persons(module):
    weights = module("curve_scores").person_weights(np.array(["a", "a", "b", "c"]), np.array([True, True, True, False]))
    assert weights.tolist() == [0.25, 0.25, 0.5, 1.0]


def test_deviations_exceed_the_range_of_other_controls(module):
    scores_of, persons = module("curve_scores"), module("curve_persons")
    names, curves = synthetic_sessions(controls=18, seed=1)
    sessions = [persons.Session(name, own) for name, own in zip(names, curves, strict=True)]
    found = scores_of.deviations(sessions, curves)
    assert all("hip_flexion" in found[session.name] for session in sessions if session.sick)
    share = np.mean([len(found[session.name]) / len(GDI_ANGLES) for session in sessions if not session.sick])
    assert share < 0.15


def test_counts_have_wilsons_interval(module):
    found = module("curve_scores").count(9, 22)
    assert found == pytest.approx({"count": 9, "of": 22, "value": 9 / 22, "low": 0.2325, "high": 0.6127}, abs=2e-3)


def test_without_curves_it_says_so(run, tmp_path):
    result, _ = run("real_curves", "--quick", "--curves", tmp_path / "none.npz")
    assert result["skipped"] == ["none.npz: not there; there are no real persons' curves to play"]


def test_real_curves_quick(run, tmp_path):
    names, curves = synthetic_sessions(2, 2)
    np.savez(tmp_path / "curves.npz", angles_deg=curves.astype(np.float32), session=np.array(names))
    result, _ = run("real_curves", "--quick", "--curves", tmp_path / "curves.npz")
    assert result["persons"] == {"healthy": 2, "sick": 2}
    assert result["walks"]["with_fitted_strides"] == 6
    group = result["groups"]["older"]
    assert set(group["classifiers"]) == {"ridge_curves", "ridge_fitted", "mlp_cause", "speed"}
    assert group["classifiers"]["ridge_curves"]["both"]["auc"]["value"] == 1
    assert group["classifiers"]["mlp_cause"]["called_sick"]["controls"]["of"] == 2
    assert -1 <= group["agreement"]["mlp_cause"]["patients"]["value"] <= 1
    assert group["evidence"]["mlp_cause"]["hip flexion"]["off"]["relied_on"]["of"] == 2
    assert result["features"]["hip_range"]["curves"]["off_minus_older_controls"]["value"] < -5
