"""The benchmark of causes: its persons, its permuted labels, and a run in miniature."""

import numpy as np
import pytest

from gait.body.model_file import load_body
from gait.synthetic import Variety, make_pathology
from tests.helpers.paths import OPEN_BODY


@pytest.fixture(scope="module")
def body():
    return load_body(OPEN_BODY)


@pytest.mark.parametrize("variety", [Variety(), None])
def test_persons_walk_at_one_pace_with_and_without_their_pathology(module, body, variety):
    persons = module("cause_persons")
    walks = list(persons.unseen_walks(body, 2, 1.5, persons.CohortSpec(3, variety), degrees=[0.3]))
    assert len(walks) == 2 * (len(persons.CONDITIONS) + 1)
    by_condition = {walk.subject.partition(".")[2]: walk for walk in walks[len(walks) // 2 :]}
    assert {name for name, walk in by_condition.items() if walk.sick} == {"with", "with_distracted", "degree_30"}
    assert by_condition["degree_30"].trial.pathology.severity == 0.3
    assert by_condition["degree_30"].trial.pathology.side == by_condition["with"].trial.pathology.side
    for sick, healthy in (("with", "paced"), ("with_distracted", "paced_distracted")):
        first, second = by_condition[sick].trial, by_condition[healthy].trial
        assert second.pathology is None
        assert first.pathology.name == "stiff_knee"
        assert second.pattern.stride_time_s == pytest.approx(first.pattern.stride_time_s)
        assert second.pattern.stride_length_m == pytest.approx(first.pattern.stride_length_m)
        assert first.subject.peculiarities == second.subject.peculiarities
    own = by_condition["own"].trial.pattern
    assert own.speed_m_s > by_condition["paced"].trial.pattern.speed_m_s
    slow_knee = np.ptp(by_condition["paced"].trial.pattern.left.knee_flexion.samples)
    if variety:  # walking slowly changes the angles of healthy persons
        assert slow_knee < np.ptp(own.left.knee_flexion.samples)


def test_controls_in_training_walk_once_more_at_another_pace(module, body):
    persons = module("cause_persons")
    own = list(persons.training_walks(body, 1, 1, 1, 1.5, persons.CohortSpec(4, Variety())))
    both = list(persons.training_walks(body, 1, 1, 1, 1.5, persons.CohortSpec(4, Variety(), (0.5, 0.6))))
    added = [walk for walk in both if walk.number == 2]
    assert [walk.subject for walk in added] == ["healthy_1", "healthy_2"]
    kept = [walk for walk in both if walk.number == 1]
    assert [(walk.subject, walk.sick) for walk in kept] == [(walk.subject, walk.sick) for walk in own]
    for first, second in zip(own, kept, strict=True):
        np.testing.assert_array_equal(first.trial.ground_truth.poses, second.trial.ground_truth.poses)
    for walk, slow in zip(own, added, strict=False):
        assert not slow.sick
        assert 0.5 <= slow.trial.pattern.speed_m_s / walk.trial.pattern.speed_m_s <= 0.6
        knee = [np.ptp(each.trial.pattern.left.knee_flexion.samples) for each in (slow, walk)]
        assert knee[0] < knee[1]  # joint angles change as in healthy slow walking


def test_distractors_leave_the_affected_joints_alone(module):
    persons = module("cause_persons")
    drop_foot = make_pathology("drop_foot", "right")
    drawn = [persons.draw_distractor(seed, drop_foot) for seed in range(40)]
    assert all(set(each.joints).isdisjoint(drop_foot.affected_joints) for each in drawn)
    assert len({each.name for each in drawn}) == 5  # not wide steps
    assert persons.draw_distractor(0, make_pathology("parkinsonian")).size >= 0.7


def test_permuted_labels_keep_the_sizes_and_the_subjects_of_the_evaluation(module, tmp_path):
    networks, persons = module("cause_networks"), module("cause_persons")
    for name in (*(f"healthy/healthy_{k}" for k in range(1, 11)), *(f"sick/crouch_{k}" for k in range(1, 9))):
        (tmp_path / "poses" / name / "walk1").mkdir(parents=True)
    kept = networks.evaluation_subjects(tmp_path / "poses")
    assert kept == ("healthy_10", "crouch_8")
    persons.permute_labels(tmp_path / "poses", tmp_path / "permuted", kept, 1)
    labels = {path.name: path.parent.name for path in (tmp_path / "permuted").glob("*/*")}
    assert sorted(labels.values()) == ["healthy"] * 10 + ["sick"] * 8
    assert (labels["healthy_10"], labels["crouch_8"]) == ("healthy", "sick")
    wrong = [name for name, label in labels.items() if (label == "sick") != name.startswith("crouch")]
    assert 4 <= len(wrong) <= 14
    assert all((tmp_path / "permuted" / labels[name] / name / "walk1").is_dir() for name in labels)


def test_mildest_degree_is_where_half_are_found(module):
    mildest = module("cause_summary").mildest_degree
    assert mildest([0.2, 0.4, 0.6], [0.0, 0.25, 0.75]) == pytest.approx(0.5)
    assert mildest([0.2, 0.4, 0.6], [0.6, 0.4, 0.9]) == pytest.approx(0.44)  # from there on, half are found
    assert mildest([0.2, 0.4], [0.5, 0.9]) == 0.2
    assert np.isnan(mildest([0.2, 0.4], [0.6, 0.4]))
    assert np.isnan(mildest([], []))


def test_problems_name_what_does_not_show_the_cause(module):
    summary = module("cause_summary")

    def located(**first):
        rankings = {name: {"first": {"value": value}} for name, value in first.items()}
        lead = {name: {"low": first["trained"] - value - 0.1} for name, value in first.items() if name != "trained"}
        return {**rankings, "lead": lead, "best_without_network": "deviation"}

    good = {
        "matched_auc": {"low": 0.9},
        "called_sick": {"paced": {"value": 0.1}, "with": {"value": 0.9}},
        "localization": located(trained=0.9, shuffled=0.3, permuted=0.3, deviation=0.5),
        "distracted": located(trained=0.9, shuffled=0.3, permuted=0.3, deviation=0.1),
        "deletion": {
            "trained": {"share_after_10_percent": {"low": 0.7, "high": 0.9}},
            "random": {"share_after_10_percent": {"low": 0.1, "high": 0.2}},
        },
    }
    assert summary.problems(good) == []
    bad = good | {
        "matched_auc": {"low": 0.45},
        "called_sick": {"paced": {"value": 0.6}, "with": {"value": 0.9}},
        "distracted": located(trained=0.3, shuffled=0.3, permuted=0.1, deviation=0.4),
        "deletion": {**good["deletion"], "trained": good["deletion"]["random"]},
    }
    lines = summary.problems(bad)
    assert [line.split()[0] for line in lines] == ["At", "Controls", "The", "A", "Deletion"]
    assert "called sick in 60%, patients in 90%" in lines[1]
    assert lines[2].endswith("networks with shuffled weights under distractors.")
    assert "deviation, does as well under distractors" in lines[3]


@pytest.mark.slow
def test_cause_quick(run, module):
    (found,) = run("cause", "--quick", "--seconds", 3)[0]["networks"].values()
    assert found["persons"] == 6
    assert found["persons_without_windows"] == 0
    for name in ("auc", "matched_auc", "brier", "matched_brier"):
        assert 0 <= found[name]["low"] <= found[name]["value"] <= found[name]["high"] <= 1, name
    assert set(found["called_sick"]) == {"with", "paced", "own", "with_distracted", "paced_distracted"}
    for part in ("localization", "distracted"):
        rankings = set(found[part]) - {"lead", "best_without_network", "by_pathology"}
        assert {"trained", "shuffled", "permuted", "chance", "deviation", "varying_deviation"} < rankings
        assert set(found[part]["trained"]) == set(module("localization").METRICS)
        assert set(found[part]["lead"]) == rankings - {"trained"}
        assert found[part]["best_without_network"] in rankings
        # Stiff knee and drop foot 1 joint, crouch 6, stance avoidance 4, lean of the trunk 3 of 22.
        assert found[part]["chance"]["first"]["value"] == pytest.approx((1 + 1 + 6 + 4 + 3) / 5 / 22, rel=1e-3)
    assert found["pairs"]["num_pairs"] > 0
    assert -1 <= found["agreement"]["value"] <= 1
    assert set(found["called_sick_by_degree"]["crouch"]) == {"0.5", "1"}
    assert set(found["mildest_degree"]) == set(found["called_sick_by_pathology"])
    assert found["problems"], "two epochs teach nothing"
    deletion = found["deletion"]
    assert deletion["persons"] == 0 or {"trained", "random", "deviation"} < set(deletion)
