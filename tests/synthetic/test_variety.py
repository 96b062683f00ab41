"""The varied world: persons' own curves, slow walking, graded pathologies, and harmless peculiarities."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.kinematics.norms import NormCurves, read_angle_norm
from gait.synthetic import (
    PATHOLOGY_NAMES,
    PECULIARITY_NAMES,
    SyntheticSubject,
    Variety,
    draw_peculiarities,
    make_cohort,
    make_pathology,
    make_peculiarity,
    make_subject,
    make_trial,
    read_ground_truth,
    vary_subject,
)
from gait.synthetic.__main__ import main
from gait.synthetic.cohort import build_subject, parse_subject_name
from gait.synthetic.trial import make_pattern
from tests.helpers.paths import OPEN_BODY

pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def body() -> Body:
    return load_body(OPEN_BODY)


@cache
def varied(seed: int) -> SyntheticSubject:
    return vary_subject(make_subject(body(), seed, adult=True))


@cache
def adults() -> list[SyntheticSubject]:
    return [make_subject(body(), seed, adult=True) for seed in range(30)]


def rotations(
    subject: SyntheticSubject, name: str | None = None, severity: float = 1.0, seconds: float = 1.0
) -> NDArray[np.float64]:
    """Return the rotations relative to the parent (T, 22, 3, 3) of some seconds; the pelvis's without the heading."""
    pathology = make_pathology(name, None, severity) if name else None
    trial = make_trial(body(), subject, pathology, seconds=seconds, seed=1)
    local = trial.ground_truth.local_rotations
    assert local is not None
    heading = Rotation.from_euler("y", -trial.heading_rad).as_matrix()
    return np.concatenate([heading @ local[:, :1], local[:, 1:]], axis=1)


def change_deg(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean angle (22,) between rotations over the frames."""
    turned = Rotation.from_matrix((np.swapaxes(a, -1, -2) @ b).reshape(-1, 3, 3))
    return np.degrees(turned.magnitude()).reshape(len(a), -1).mean(axis=0)


@pytest.mark.parametrize("angle", ["hip_flexion", "knee_flexion", "ankle_dorsiflexion"])
def test_varied_subjects_differ_as_healthy_persons_do(angle: str) -> None:
    norm = read_angle_norm("pinzone2014_centre1").at_speed(None)
    assert isinstance(norm, NormCurves)
    published = np.sqrt((norm.sd_deg[angle] ** 2).mean())
    sds = []
    for people in (adults(), [vary_subject(subject) for subject in adults()]):
        curves = np.degrees([getattr(make_pattern(subject).left, angle).samples for subject in people])
        sds.append(np.sqrt(curves.var(axis=0, ddof=1).mean()))
    assert 0.5 * published < sds[1] < 1.2 * published  # with stance at the same phases in all; markers add to it
    assert sds[1] > 1.3 * sds[0]


@pytest.mark.parametrize("name", PATHOLOGY_NAMES)
def test_pathologies_of_varied_subjects_are_graded_to_zero(name: str) -> None:
    none, hardly, fully = rotations(varied(1)), rotations(varied(1), name, 0.002), rotations(varied(1), name)
    assert change_deg(none, hardly).max() < 0.15
    assert change_deg(none, fully).max() > 3


@pytest.mark.parametrize("name", PATHOLOGY_NAMES)
def test_affected_joints_change_at_least_half_as_much_as_the_first(name: str) -> None:
    subject, pathology = varied(1), make_pathology(name)
    pattern = make_pattern(subject, pathology)
    healthy = replace(subject.with_pace(pattern.stride_length_m, pattern.stride_time_s), style_speed=0.43)
    spine = [Joint.SPINE1, Joint.SPINE2, Joint.SPINE3]
    both = [rotations(healthy, seconds=1.5), rotations(subject, name, seconds=1.5)]
    for local in both:
        for above, joint in pairwise(spine):
            local[:, joint] = local[:, above] @ local[:, joint]
    turned = Rotation.from_matrix((np.swapaxes(both[0], -1, -2) @ both[1]).reshape(-1, 3, 3)).magnitude()
    change = np.sqrt((turned.reshape(-1, 22) ** 2).mean(axis=0))
    affected = np.isin(np.arange(22), pathology.affected_joints)
    # One subject differs from the mean of several, which the rule is about.
    assert change[affected].min() > 0.45 * change.max()
    assert change[~affected].max() < 0.55 * change.max()


def test_a_slow_pathological_walk_has_the_angles_of_slow_healthy_persons() -> None:
    subject, crouch = varied(1), make_pathology("crouch", None, 1.0)
    pattern, plain = (make_pattern(who, crouch) for who in (subject, replace(subject, individuality=None)))
    healthy = make_pattern(subject)
    ratio = pattern.speed_m_s / healthy.speed_m_s
    assert ratio == pytest.approx(plain.speed_m_s / make_pattern(replace(subject, individuality=None)).speed_m_s)
    slow = make_pattern(subject.at_own_pace(ratio))
    added = pattern.left.knee_flexion.samples - slow.left.knee_flexion.samples
    assert added[20] == pytest.approx(np.radians(30), abs=0.01)  # of crouch alone, in stance
    parkinsonian = make_pattern(subject, make_pathology("parkinsonian", None, 0.5))
    assert np.ptp(parkinsonian.left.knee_flexion.samples) == pytest.approx(
        0.75 * np.ptp(healthy.left.knee_flexion.samples)
    )


@pytest.mark.parametrize("name", PECULIARITY_NAMES)
def test_peculiarities_change_their_own_joints(name: str) -> None:
    peculiarity = make_peculiarity(name, "right")
    change = change_deg(rotations(varied(2)), rotations(replace(varied(2), peculiarities=(peculiarity,))))
    own = list(peculiarity.joints)
    assert change[own].min() > 2
    others = [joint for joint in Joint if joint < 22 and joint not in own]
    assert change[others].max() < 0.5 * change[own].max()
    if name != "wide_steps":
        assert change[others].max() < 1e-3
        left = change_deg(
            rotations(varied(2)), rotations(replace(varied(2), peculiarities=(make_peculiarity(name, "left"),)))
        )
        assert np.allclose(left[list(make_peculiarity(name, "left").joints)], change[own], atol=25)


def test_peculiarities_are_as_frequent_in_both_labels_and_can_be_drawn_anew() -> None:
    specs = [parse_subject_name(f"{what}_{k}", 0, Variety()) for what in ("healthy", "crouch") for k in range(300)]
    drawn = [draw_peculiarities(spec.seed) for spec in specs]
    shares = [np.mean([len(each) for each in half]) / len(PECULIARITY_NAMES) for half in (drawn[:300], drawn[300:])]
    assert shares == pytest.approx([0.25, 0.25], abs=0.05)
    assert draw_peculiarities(1) == draw_peculiarities(1)
    assert any(draw_peculiarities(spec.seed, draw=1) != draw_peculiarities(spec.seed) for spec in specs[:5])
    everything = draw_peculiarities(1, share=1.0)
    assert tuple(each.name for each in everything) == PECULIARITY_NAMES
    waving = everything[PECULIARITY_NAMES.index("waving_hand")]
    assert draw_peculiarities(1, share=1.0, names=("waving_hand",)) == (waving,)
    again = build_subject(replace(specs[0], variety=Variety(peculiarity_draw=1, peculiarity_share=1.0)), body())
    assert make_pattern(again).left.knee_flexion.samples == pytest.approx(
        make_pattern(build_subject(specs[0], body())).left.knee_flexion.samples
    )
    assert {each.name for each in again.peculiarities} == set(PECULIARITY_NAMES)


@pytest.mark.parametrize(
    ("name", "side", "size", "problem"),
    [("limp", "left", 1, "bent_arm"), ("bent_arm", "both", 1, "left or right"), ("bent_arm", "left", 2, "0 to 1")],
)
def test_make_peculiarity_names_what_is_wrong(name: str, side: str, size: float, problem: str) -> None:
    with pytest.raises(GaitError, match=problem):
        make_peculiarity(name, side, size)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"severity": (0.5, 1.2)}, "severity 0.5 to 1.2: must rise within 0 to 1"),
        ({"control_pace": (0.1, 1.0)}, "control pace 0.1 to 1: must rise within 0.35 to 1.5"),
        ({"peculiarities": ("limp",)}, "Unknown peculiarity 'limp'; available: bent_arm"),
    ],
)
def test_variety_names_what_is_impossible(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(GaitError, match=problem):
        Variety(**wrong)


def test_the_command_writes_varied_subjects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cohort = tmp_path / "cohort.json"
    cohort.write_text('{"crouch_1": {"trials": ["walk1.c3d"], "healthy": false}}', encoding="utf-8")
    words = ["--cohort", str(cohort), "--model_folder", str(OPEN_BODY.parents[1]), "--severity", "0.1", "0.2"]
    with pytest.raises(SystemExit):
        main(words)
    assert "need --variety" in capsys.readouterr().err
    assert main([*words, "--variety"]) == 0
    truth = read_ground_truth(tmp_path / "walk1.c3d").extra
    assert 0.1 < truth["severity"] < 0.2
    assert "peculiarities" in truth


def test_make_cohort_with_variety(tmp_path: Path) -> None:
    variety = Variety(severity=(0.0, 0.4), control_pace=(0.5, 0.6), peculiarity_share=1.0)
    path = make_cohort(tmp_path, 1, 1, 1, seconds=1, variety=variety, body=body())
    healthy, sick = (
        read_ground_truth(read.parent / read.name) for read in sorted((tmp_path / "recordings").glob("*/walk1.c3d"))
    )
    assert path.exists()
    assert set(healthy.extra["peculiarities"]) == set(sick.extra["peculiarities"]) == set(PECULIARITY_NAMES)
    assert healthy.extra["dimensionless_speed"] < 0.33
    assert sick.extra["pathology"] == "parkinsonian"
    assert 0 < sick.extra["severity"] < 0.4
    plain = make_cohort(tmp_path / "plain", 1, 0, 1, seconds=1, body=body())
    assert "peculiarities" not in read_ground_truth(next(plain.parent.glob("recordings/*/walk1.c3d"))).extra
