"""The confounder check warns if the label can be predicted from the acquisition, and only then."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait.body.skeleton import BODY_JOINTS, NUM_BODY_JOINTS, Joint
from gait.capture.read_recording import read_recording
from gait.learning import confounder_check
from gait.learning.confounder_check import ConfounderReport, check_confounders
from gait.learning.fold_result import to_strict_json
from gait.motion.dataset import AcquisitionInfo, Trial
from tests.helpers.motion_cases import status_without

MARKERS = tuple(f"M{k:02d}" for k in range(35))
JOINTS = np.zeros((1, NUM_BODY_JOINTS, 3), np.float32)
FACTORS = ("frame_rate", "marker_set", "trial_duration", "missing_fraction", "height", "observed_joints", "combined")


def make_test_trial(
    subject: str,
    sick: bool,
    trial_name: str = "walk1",
    rate_hz: float = 100.0,
    seconds: float = 4.0,
    missing: float = 0.01,
    markers: tuple[str, ...] = MARKERS,
    stature_m: float = 1.6,
    unobserved: tuple[Joint, ...] = (),
) -> Trial:
    source = AcquisitionInfo(rate_hz, round(seconds * rate_hz), missing, markers, stature_m)
    return Trial(subject, trial_name, sick, JOINTS, 100.0, source, Path(), status_without(1, unobserved))


def make_similar_trials(seed: int, sick: int = 20, healthy: int = 20, walks: int = 2) -> list[Trial]:
    """Return trials of sick and healthy subjects from one laboratory; all differences are random."""
    random, of_joints = np.random.default_rng(seed), np.random.default_rng(1000 + seed)
    trials = []
    for label, count in ((True, sick), (False, healthy)):
        for k in range(count):
            unobserved = tuple(joint for joint in BODY_JOINTS if of_joints.random() < 0.2)
            height = random.normal(1.5, 0.15)
            markers_present = tuple(name for name in MARKERS if random.random() > 0.05)
            for walk in range(walks):
                trials.append(
                    make_test_trial(
                        f"P{k}",
                        label,
                        f"walk{walk}",
                        rate_hz=float(random.choice([50, 100, 120])),
                        seconds=float(random.uniform(2, 6)),
                        missing=float(random.exponential(0.02)),
                        markers=markers_present,
                        stature_m=float(height),
                        unobserved=unobserved,
                    )
                )
    return trials


def confounders(report: ConfounderReport) -> set[str]:
    assert tuple(report.factors) == FACTORS
    return {name for name, factor in report.factors.items() if factor.is_confounder}


def slow_leave_pair_out_auc(distances: NDArray[np.float64], sick: NDArray[np.bool_]) -> float:
    correct = []
    for i in np.flatnonzero(sick):
        for j in np.flatnonzero(~sick):
            rest = [k for k in range(len(sick)) if k not in (i, j)]
            score = {
                subject: np.mean([distances[subject, k] for k in rest if not sick[k]])
                - np.mean([distances[subject, k] for k in rest if sick[k]])
                for subject in (i, j)
            }
            tie = abs(score[i] - score[j]) < 1e-9
            correct.append(0.5 if tie else float(score[i] > score[j]))
    return float(np.mean(correct))


@pytest.mark.parametrize(("num_subjects", "num_sick"), [(4, 2), (7, 3), (12, 6)])
def test_leave_pair_out_auc_equals_a_slow_computation(
    num_subjects: int, num_sick: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(num_subjects)
    for _ in range(10):
        values = random.integers(0, 4, num_subjects).astype(float)  # with ties
        distances = abs(values[:, None] - values) + np.diag(random.random(num_subjects))
        sick = random.permutation(np.arange(num_subjects) < num_sick)
        labels = np.array([sick, sick[::-1], random.permutation(sick)])
        monkeypatch.setattr(confounder_check, "_MAX_PAIRS_AT_ONCE", 2 * num_sick * (num_subjects - num_sick))
        found = confounder_check._leave_pair_out_auc(distances, labels)  # in two parts
        assert found == pytest.approx([slow_leave_pair_out_auc(distances, label) for label in labels])


def test_leave_pair_out_auc_leaves_out_all_copies_of_a_subject() -> None:
    random = np.random.default_rng(0)
    values, sick, times = random.random(6), np.array([1, 1, 1, 0, 0, 0], bool), np.array([2, 0, 1, 1, 1, 1])
    distances = abs(values[:, None] - values)
    correct, pairs = 0.0, 0
    for i in (0, 2):
        for j in (3, 4, 5):
            rest = np.repeat(np.arange(6), np.where(np.isin(np.arange(6), (i, j)), 0, times))
            healthy_rest, sick_rest = rest[~sick[rest]], rest[sick[rest]]
            score_i, score_j = (distances[k, healthy_rest].mean() - distances[k, sick_rest].mean() for k in (i, j))
            correct_rank = 0.5 if abs(score_i - score_j) < 1e-9 else float(score_i > score_j)
            correct, pairs = correct + times[i] * times[j] * correct_rank, pairs + times[i] * times[j]
    drawn = np.array([times, [3, 0, 0, 1, 1, 1]], dtype=float)
    found = confounder_check._leave_pair_out_auc(distances, np.array([sick, sick]), drawn)
    assert found == pytest.approx([correct / pairs, math.nan], nan_ok=True)


def test_check_confounders_without_confounders_has_auc_one_half_and_uniform_p(monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds even for factors with a unique value per subject, and for marker sets that all differ."""
    monkeypatch.setattr(confounder_check, "_PERMUTATIONS", 99)
    areas: dict[str, list[float]] = {name: [] for name in FACTORS}
    p: dict[str, list[float]] = {name: [] for name in FACTORS}
    for seed in range(60):
        for name, factor in check_confounders(make_similar_trials(seed, 8, 8), resamples=2).factors.items():
            areas[name].append(factor.roc_auc.value)
            p[name].append(factor.p)
    for name in FACTORS:
        assert np.mean(areas[name]) == pytest.approx(0.5, abs=0.08), name
        assert np.mean(np.array(p[name]) <= 0.1) <= 0.25, name
        assert np.mean(p[name]) == pytest.approx(0.5, abs=0.12), name


@pytest.mark.parametrize("seed", range(3))
def test_check_confounders_does_not_warn_about_similar_acquisitions(seed: int) -> None:
    report = check_confounders(make_similar_trials(seed), resamples=20)
    assert not report.confounded
    assert not confounders(report)
    assert len(report.messages) == 1
    assert report.messages[0].startswith("Confounder check: frame rate, marker set, trial duration")


CONFOUNDED_BY = {
    "frame_rate": lambda g, r: {"rate_hz": float(r.choice([50, 250])) if g.sick else 100.0},
    "marker_set": lambda g, r: {"markers": (*MARKERS[:30], *(("SACR",) if g.sick else ("LPSI", "RPSI")))},
    "trial_duration": lambda g, r: {"seconds": r.uniform(2, 4) if g.sick else r.uniform(3, 6)},
    "missing_fraction": lambda g, r: {"missing": r.uniform(0, 0.2) if g.sick else 0.0},
    "height": lambda g, r: {"stature_m": r.normal(1.3, 0.1) if g.sick else r.normal(1.5, 0.1)},
}


@pytest.mark.parametrize("factor", CONFOUNDED_BY)
def test_check_confounders_names_each_confounder(factor: str) -> None:
    """Cases such as two laboratories, or children and adults; frame rates differ in spread but not in mean."""
    random = np.random.default_rng(3)
    trials = [
        make_test_trial(t.subject, t.sick, t.trial_name, **CONFOUNDED_BY[factor](t, random))
        for t in make_similar_trials(0, 12, 15, 1)
    ]
    report = check_confounders(trials, resamples=50)
    assert report.confounded
    assert confounders(report) - {"combined"} == {factor}
    assert report.factors[factor].roc_auc.value > 0.8
    assert report.factors[factor].roc_auc.low > 0.5
    title = {"missing_fraction": "fraction of missing marker samples"}.get(factor, factor.replace("_", " "))
    assert report.messages[0] == (
        f"The label is confounded: {title} alone predicts it, without any information about gait."
    )
    assert report.messages[1].lower().startswith(f"{title}: predicts the label (roc auc")
    assert "instead of gait" in report.messages[2]
    json.dumps(to_strict_json(report), allow_nan=False)


def test_confounder_messages_describe_both_labels() -> None:
    random = np.random.default_rng(3)
    trials = [
        make_test_trial(
            g.subject,
            g.sick,
            g.trial_name,
            **CONFOUNDED_BY["marker_set"](g, random) | CONFOUNDED_BY["height"](g, random),
        )
        for g in make_similar_trials(0, 12, 15, 1)
    ]
    report = check_confounders(trials, resamples=5)
    assert "only sick: SACR; only healthy: LPSI, RPSI" in report.factors["marker_set"].message
    assert "sick 1.27 m, healthy 1.48 m" in report.factors["height"].message
    assert report.messages[0].startswith("The label is confounded: marker set and height alone predict it")


def test_a_factor_that_is_unknown_for_one_label_is_a_confounder() -> None:
    """For example, patients who were fitted elsewhere and have no reports."""
    trials = [
        make_test_trial(g.subject, g.sick, g.trial_name, stature_m=math.nan if g.sick else g.acquisition.stature_m)
        for g in make_similar_trials(1, 12, 12, 1)
    ]
    report = check_confounders(trials, resamples=5)
    assert "height" in confounders(report)
    assert "sick unknown, healthy 1." in report.factors["height"].message


def test_check_confounders_reports_unknown_factors() -> None:
    trials = [
        make_test_trial(g.subject, g.sick, g.trial_name, missing=math.nan, markers=(), stature_m=math.nan)
        for g in make_similar_trials(1, 8, 8, 1)
    ]
    report = check_confounders(trials, resamples=5)
    assert not report.confounded
    assert report.factors["height"].message == "height: unknown for all trials."
    assert to_strict_json(report)["factors"]["height"]["p"] is None
    assert report.messages[0].startswith("Confounder check: frame rate and trial duration do not predict the label")


def test_check_confounders_warns_about_few_subjects_from_two_laboratories() -> None:
    """With six subjects no p can be small; the warning says that the difference is complete and may be chance."""
    trials = [make_test_trial(f"S{k}", True, markers=MARKERS[: 33 - k]) for k in range(2)]
    trials += [make_test_trial(f"H{k}", False, markers=(*MARKERS[: 33 - k], "SACR", "T2", "RARM")) for k in range(4)]
    report = check_confounders(trials)
    assert confounders(report) >= {"marker_set"}
    assert report.factors["marker_set"].p >= 1 / 15
    assert report.messages[-1].startswith("With 2 sick and 4 healthy subjects this may be chance")
    assert "interval" not in report.messages[1]
    assert report.messages[1].startswith(
        "Marker set: separates the labels of these few subjects (ROC AUC 1.00, corrected p"
    )
    rates = [make_test_trial(f"P{k}", k < 2, rate_hz=120.0 if k < 2 else 100.0) for k in range(5)]
    assert "frame_rate" in confounders(check_confounders(rates))


def test_check_confounders_requires_that_a_perfect_separation_is_unlikely() -> None:
    """Two short and four long trials can occur by chance; four short and four long ones hardly."""
    for sick, healthy, is_confounder in ((2, 4, False), (4, 4, True)):
        trials = [make_test_trial(f"P{k}", k < sick, seconds=3.0 + k) for k in range(sick + healthy)]
        factor = check_confounders(trials, resamples=5).factors["trial_duration"]
        assert factor.roc_auc.value == 1
        assert factor.is_confounder == is_confounder
        assert ("may predict the label, or only by chance" in factor.message) != is_confounder


def test_check_confounders_accepts_equal_acquisitions() -> None:
    assert not check_confounders([make_test_trial(f"P{k}", k < 2) for k in range(6)]).confounded


def test_check_confounders_weights_each_subject_equally() -> None:
    """Copies of a subject's only trial change nothing."""
    trials = make_similar_trials(2, 8, 8, 1)
    copies = [replace(trial, trial_name=f"copy{k}") for trial in trials[:3] for k in range(5)]
    once, often = (check_confounders(some, resamples=2).factors["marker_set"] for some in (trials, [*trials, *copies]))
    assert often.roc_auc.value == once.roc_auc.value
    assert often.p == once.p


def test_check_confounders_needs_two_subjects_of_each_label() -> None:
    report = check_confounders([make_test_trial("A", True), make_test_trial("B", False), make_test_trial("C", False)])
    assert not report.confounded
    assert report.messages == (
        "The confounder check needs two subjects of each label; there are 1 sick and 2 healthy.",
    )
    assert to_strict_json(report)["factors"] == {}


def test_check_confounders_depends_on_the_seed_only() -> None:
    assert check_confounders(make_similar_trials(4), resamples=20, seed=1) == check_confounders(
        make_similar_trials(4), resamples=20, seed=1
    )


@pytest.mark.captures
def test_check_confounders_on_recordings_from_two_laboratories(captures: Path) -> None:
    """Recorded healthy children and children with cerebral palsy, from different laboratories."""
    trials = []
    for folder, sick in (("healthy", False), ("cerebral_palsy", True)):
        for path in sorted((captures / folder).rglob("*.[cC]3[dD]")):
            if path.stem.startswith("static"):
                continue
            recording = read_recording(path)
            missing = 1 - float(recording.visible.mean())
            trials.append(
                make_test_trial(
                    path.parent.name,
                    sick,
                    path.stem,
                    recording.rate_hz,
                    recording.duration_s,
                    missing,
                    recording.labels,
                    math.nan,
                )
            )
    report = check_confounders(trials)
    assert report.confounded
    assert "marker_set" in confounders(report)
    assert "marker set" in report.messages[0]
    assert not any(trial.subject in line for trial in trials for line in report.messages)


def test_check_confounders_finds_joints_that_only_one_label_observes() -> None:
    trials = make_similar_trials(3)
    arms = (Joint.LEFT_WRIST, Joint.RIGHT_WRIST)
    by_label = [
        replace(trial, joint_status=status_without(1, arms if trial.sick and trial.subject != "P0" else ()))
        for trial in trials
    ]
    found = check_confounders(by_label)
    assert "observed_joints" in confounders(found)
    expected = "sick: wrists not observed in 38 of 40 trials; healthy: all observed"
    assert expected in found.factors["observed_joints"].message
    assert "observed joints" in found.messages[0]

    alternating = [
        replace(trial, joint_status=status_without(1, arms if int(trial.subject[1:]) % 2 else ())) for trial in trials
    ]
    assert not confounders(check_confounders(alternating))

    same = check_confounders([replace(trial, joint_status=status_without(1, arms)) for trial in trials])
    assert same.factors["observed_joints"].message == "observed joints: the same in all trials."
    none = check_confounders([replace(trial, joint_status=None) for trial in trials])
    assert to_strict_json(none) == to_strict_json(same)
