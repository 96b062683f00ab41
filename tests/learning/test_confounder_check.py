"""The leak check speaks up where the label can be told from how a recording was made, and not elsewhere."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gait.body.skeleton import NUM_BODY_JOINTS
from gait.capture import read_recording
from gait.learning import confounder_check as leaks
from gait.learning.confounder_check import ConfounderReport, leak_check
from gait.motion.dataset import AcquisitionInfo, Trial

MARKERS = tuple(f"M{k:02d}" for k in range(35))
JOINTS = np.zeros((1, NUM_BODY_JOINTS, 3), np.float32)
FACTORS = ("frame_rate", "marker_set", "recording_length", "missing_share", "height", "all_together")


def recorded(
    subject: str,
    sick: bool,
    gait: str = "walk1",
    rate_hz: float = 100.0,
    seconds: float = 4.0,
    missing: float = 0.01,
    markers: tuple[str, ...] = MARKERS,
    stature_m: float = 1.6,
) -> Trial:
    source = AcquisitionInfo(rate_hz, round(seconds * rate_hz), missing, markers, stature_m)
    return Trial(subject, gait, sick, JOINTS, 100.0, source, Path())


def alike(seed: int, sick: int = 20, healthy: int = 20, walks: int = 2) -> list[Trial]:
    """Sick and healthy people from one laboratory: whatever differs does so by chance."""
    random = np.random.default_rng(seed)
    gaits = []
    for label, count in ((True, sick), (False, healthy)):
        for k in range(count):
            height = random.normal(1.5, 0.15)
            worn = tuple(name for name in MARKERS if random.random() > 0.05)
            for walk in range(walks):
                gaits.append(
                    recorded(
                        f"P{k}",
                        label,
                        f"walk{walk}",
                        rate_hz=float(random.choice([50, 100, 120])),
                        seconds=float(random.uniform(2, 6)),
                        missing=float(random.exponential(0.02)),
                        markers=worn,
                        stature_m=float(height),
                    )
                )
    return gaits


def told(report: ConfounderReport) -> set[str]:
    assert tuple(report.factors) == FACTORS
    return {name for name, factor in report.factors.items() if factor.leaks}


def slow_area(unlike: NDArray[np.float64], sick: NDArray[np.bool_]) -> float:
    right = []
    for i in np.flatnonzero(sick):
        for j in np.flatnonzero(~sick):
            rest = [k for k in range(len(sick)) if k not in (i, j)]
            score = {
                who: np.mean([unlike[who, k] for k in rest if not sick[k]])
                - np.mean([unlike[who, k] for k in rest if sick[k]])
                for who in (i, j)
            }
            tie = abs(score[i] - score[j]) < 1e-9
            right.append(0.5 if tie else float(score[i] > score[j]))
    return float(np.mean(right))


@pytest.mark.parametrize(("persons", "ill"), [(4, 2), (7, 3), (12, 6)])
def test_the_area_is_that_of_every_pair_left_out(persons: int, ill: int) -> None:
    random = np.random.default_rng(persons)
    for _ in range(10):
        values = random.integers(0, 4, persons).astype(float)  # some alike
        unlike = abs(values[:, None] - values) + np.diag(random.random(persons))
        sick = random.permutation(np.arange(persons) < ill)
        assert leaks._area(unlike, sick) == pytest.approx(slow_area(unlike, sick))


def test_copies_of_a_person_say_nothing_about_that_person() -> None:
    random = np.random.default_rng(0)
    values, sick, times = random.random(6), np.array([1, 1, 1, 0, 0, 0], bool), np.array([2, 0, 1, 1, 1, 1])
    unlike = abs(values[:, None] - values)
    right, pairs = 0.0, 0
    for i in (0, 2):
        for j in (3, 4, 5):
            rest = np.repeat(np.arange(6), np.where(np.isin(np.arange(6), (i, j)), 0, times))
            well, ill = rest[~sick[rest]], rest[sick[rest]]
            of_i, of_j = (unlike[k, well].mean() - unlike[k, ill].mean() for k in (i, j))
            told_apart = 0.5 if abs(of_i - of_j) < 1e-9 else float(of_i > of_j)
            right, pairs = right + times[i] * times[j] * told_apart, pairs + times[i] * times[j]
    assert leaks._area(unlike, sick, times.astype(float)) == pytest.approx(right / pairs)
    assert math.isnan(leaks._area(unlike, sick, np.array([3.0, 0, 0, 1, 1, 1])))


def test_chance_is_a_half_and_is_called_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even with more values than persons, even for marker sets of which no two are the same."""
    monkeypatch.setattr(leaks, "_PERMUTATIONS", 99)
    areas: dict[str, list[float]] = {name: [] for name in FACTORS}
    p: dict[str, list[float]] = {name: [] for name in FACTORS}
    for seed in range(60):
        for name, factor in leak_check(alike(seed, 8, 8), resamples=2).factors.items():
            areas[name].append(factor.roc_auc.value)
            p[name].append(factor.p)
    for name in FACTORS:
        assert np.mean(areas[name]) == pytest.approx(0.5, abs=0.08), name
        assert np.mean(np.array(p[name]) <= 0.1) <= 0.25, name
        assert np.mean(p[name]) == pytest.approx(0.5, abs=0.12), name


@pytest.mark.parametrize("seed", range(3))
def test_people_who_were_recorded_alike_raise_no_alarm(seed: int) -> None:
    report = leak_check(alike(seed), resamples=20)
    assert not report.leaks
    assert not told(report)
    assert len(report.lines) == 1
    assert report.lines[0].startswith("Leak check: frame rate, marker set, recording length")


LEAKS = {
    "frame_rate": lambda g, r: {"rate_hz": float(r.choice([50, 250])) if g.sick else 100.0},
    "marker_set": lambda g, r: {"markers": (*MARKERS[:30], *(("SACR",) if g.sick else ("LPSI", "RPSI")))},
    "recording_length": lambda g, r: {"seconds": r.uniform(2, 4) if g.sick else r.uniform(3, 6)},
    "missing_share": lambda g, r: {"missing": r.uniform(0, 0.2) if g.sick else 0.0},
    "height": lambda g, r: {"stature_m": r.normal(1.3, 0.1) if g.sick else r.normal(1.5, 0.1)},
}


@pytest.mark.parametrize("factor", LEAKS)
def test_each_leak_is_told_by_its_name(factor: str) -> None:
    """Two laboratories, children against adults and so on; of frame rates, unlike spreads with a like middle."""
    random = np.random.default_rng(3)
    gaits = [
        recorded(gait.subject, gait.sick, gait.gait, **LEAKS[factor](gait, random)) for gait in alike(0, 12, 15, 1)
    ]
    report = leak_check(gaits, resamples=50)
    assert report.leaks
    assert told(report) - {"all_together"} == {factor}
    assert report.factors[factor].roc_auc.value > 0.8
    assert report.factors[factor].roc_auc.low > 0.5
    words = {"missing_share": "share of missing marker samples"}.get(factor, factor.replace("_", " "))
    assert report.lines[0] == (
        f"The label can be told without looking at the walk: {words} alone tells sick from healthy persons."
    )
    assert report.lines[1].lower().startswith(f"{words}: tells (roc auc")
    assert "instead of gait" in report.lines[2]
    json.dumps(report.as_json(), allow_nan=False)


def test_a_sentence_names_what_each_label_has() -> None:
    random = np.random.default_rng(3)
    gaits = [
        recorded(g.subject, g.sick, g.gait, **LEAKS["marker_set"](g, random) | LEAKS["height"](g, random))
        for g in alike(0, 12, 15, 1)
    ]
    report = leak_check(gaits, resamples=5)
    assert "only the sick wear SACR; only the healthy wear LPSI, RPSI" in report.factors["marker_set"].line
    assert "sick 1.27 m, healthy 1.48 m" in report.factors["height"].line
    assert report.lines[0].endswith("marker set and height alone tell sick from healthy persons.")


def test_what_is_known_of_one_label_only_tells_the_label() -> None:
    """As where the ill were fitted elsewhere and came without reports."""
    gaits = [
        recorded(g.subject, g.sick, g.gait, stature_m=math.nan if g.sick else g.source.stature_m)
        for g in alike(1, 12, 12, 1)
    ]
    report = leak_check(gaits, resamples=5)
    assert "height" in told(report)
    assert "sick not known, healthy 1." in report.factors["height"].line


def test_what_is_known_of_nobody_is_said() -> None:
    gaits = [
        recorded(g.subject, g.sick, g.gait, missing=math.nan, markers=(), stature_m=math.nan) for g in alike(1, 8, 8, 1)
    ]
    report = leak_check(gaits, resamples=5)
    assert not report.leaks
    assert report.factors["height"].line == "height: not known of any recording."
    assert report.as_json()["factors"]["height"]["p"] is None
    assert report.lines[0].startswith("Leak check: frame rate and recording length do not tell")


def test_few_persons_from_two_laboratories_raise_it_too() -> None:
    """No p can be small with six persons; that they differ in all is said, and that it may be chance."""
    gaits = [recorded(f"S{k}", True, markers=MARKERS[: 33 - k]) for k in range(2)]
    gaits += [recorded(f"H{k}", False, markers=(*MARKERS[: 33 - k], "SACR", "T2", "RARM")) for k in range(4)]
    report = leak_check(gaits)
    assert told(report) >= {"marker_set"}
    assert report.factors["marker_set"].p >= 1 / 15
    assert report.lines[-1].startswith("With 2 sick and 4 healthy persons this may be chance")
    assert "interval" not in report.lines[1]
    assert report.lines[1].startswith("Marker set: tells these few persons apart (ROC AUC 1.00, corrected p")
    rates = [recorded(f"P{k}", k < 2, rate_hz=120.0 if k < 2 else 100.0) for k in range(5)]
    assert "frame_rate" in told(leak_check(rates))


def test_of_few_persons_a_perfect_order_must_be_unlikely() -> None:
    """Two long recordings and four short ones come by chance; four long and four short hardly."""
    for sick, healthy, leaks_it in ((2, 4, False), (4, 4, True)):
        gaits = [recorded(f"P{k}", k < sick, seconds=3.0 + k) for k in range(sick + healthy)]
        factor = leak_check(gaits, resamples=5).factors["recording_length"]
        assert factor.roc_auc.value == 1
        assert factor.leaks == leaks_it
        assert ("may tell, or it is chance" in factor.line) != leaks_it


def test_recordings_that_are_all_alike_do_not_leak() -> None:
    assert not leak_check([recorded(f"P{k}", k < 2) for k in range(6)]).leaks


def test_persons_count_not_their_recordings() -> None:
    """Copies of a person's only recording change nothing."""
    gaits = alike(2, 8, 8, 1)
    copies = [replace(gait, gait=f"copy{k}") for gait in gaits[:3] for k in range(5)]
    once, often = (leak_check(some, resamples=2).factors["marker_set"] for some in (gaits, [*gaits, *copies]))
    assert often.roc_auc.value == once.roc_auc.value
    assert often.p == once.p


def test_one_person_of_a_label_cannot_be_checked() -> None:
    report = leak_check([recorded("A", True), recorded("B", False), recorded("C", False)])
    assert not report.leaks
    assert report.lines == ("The leak check needs two persons of each label; there are 1 sick and 2 healthy.",)
    assert report.as_json()["factors"] == {}


def test_the_seed_decides() -> None:
    assert leak_check(alike(4), resamples=20, seed=1) == leak_check(alike(4), resamples=20, seed=1)


@pytest.mark.captures
def test_real_recordings_from_two_laboratories(captures: Path) -> None:
    """Healthy and ill children of other laboratories, with the markers as recorded."""
    gaits = []
    for folder, sick in (("healthy", False), ("cerebral_palsy", True)):
        for path in sorted((captures / folder).rglob("*.[cC]3[dD]")):
            if path.stem.startswith("static"):
                continue
            recording = read_recording(path)
            missing = 1 - float(recording.visible.mean())
            gaits.append(
                recorded(
                    path.parent.name,
                    sick,
                    path.stem,
                    recording.rate_hz,
                    recording.seconds,
                    missing,
                    recording.labels,
                    math.nan,
                )
            )
    report = leak_check(gaits)
    assert report.leaks
    assert "marker_set" in told(report)
    assert "marker set" in report.lines[0]
    assert not any(gait.subject in line for gait in gaits for line in report.lines)
