"""What is measured of each person with a pathology of known cause, and its metrics over all persons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cause_persons import APART, CONDITIONS, DISTRACTED, OWN, PACED, WITH, degree_name
from localization import (
    DEVIATION_RANKINGS,
    METRICS,
    Localization,
    best_ranking,
    localization_lead,
    localization_over_persons,
)

from gait.arrays import Vector
from gait.learning.matched_speed import matched_speed_auc, same_person_auc
from gait.learning.metrics import THRESHOLD, MetricWithInterval, mean_over_persons, ratio_over_persons
from gait.synthetic import PATHOLOGY_NAMES

FRACTION = 0.1
TRAINED, SHUFFLED, PERMUTED, CHANCE = "trained", "shuffled", "permuted", "chance"
_CONTROL_NETWORKS = {SHUFFLED: "networks with shuffled weights", PERMUTED: "networks trained on permuted labels"}
UNDEFINED = MetricWithInterval(float("nan"))
_DEGREE = "degree_"


@dataclass(frozen=True, eq=False)
class PersonResult:
    """What was measured of one person, by the networks of one seed."""

    seed: int
    pathology: str
    probability: Mapping[str, float]  # by condition
    speed: Mapping[str, float]
    localization: Mapping[str, Mapping[str, Localization]]  # by condition and ranking
    agreement: float  # rank correlation of two networks' scores; NaN without them
    # by order of the patches: sums over the person's windows of the whole fall, and of fall, rise and decisions that
    # flip after ``FRACTION``; NaN if no window is called sick
    deletion: Mapping[str, Vector] = field(default_factory=dict)  # (5,) the last is the number of windows


def summarize(results: Sequence[PersonResult]) -> dict[str, Any]:
    """Return the metrics of a network over all persons."""
    seeds = [result.seed for result in results]
    p = {name: np.array([result.probability[name] for result in results]) for name in CONDITIONS}
    speed = {name: np.array([result.speed[name] for result in results]) for name in (WITH, PACED)}
    pairs = matched_speed_auc(
        np.repeat([True, False], len(results)),
        np.concatenate([p[WITH], p[PACED]]),
        np.concatenate([speed[WITH], speed[PACED]]),
        fold=[*seeds, *seeds],
    )
    metrics = {
        "auc": plain(same_person_auc(p[WITH], p[OWN], group=seeds)),
        "matched_auc": plain(same_person_auc(p[WITH], p[PACED], group=seeds)),
        "distracted_matched_auc": plain(same_person_auc(p[DISTRACTED[WITH]], p[DISTRACTED[PACED]], group=seeds)),
        "pairs": {
            "auc": plain(pairs.auc),
            "speed_alone": plain(pairs.speed_alone),
            "num_pairs": pairs.num_pairs,
        },
        "called_sick": {name: plain(mean_over_persons(p[name] >= THRESHOLD)) for name in CONDITIONS},
        "called_sick_by_pathology": {
            name: plain(mean_over_persons(p[WITH][chosen] >= THRESHOLD)) for name, chosen in by_pathology(results)
        },
        "agreement": plain(mean_over_persons([result.agreement for result in results])),
        **summarize_degrees(results),
        "brier": plain(mean_over_persons(((1 - p[WITH]) ** 2 + p[OWN] ** 2) / 2)),
        "matched_brier": plain(mean_over_persons(((1 - p[WITH]) ** 2 + p[PACED] ** 2) / 2)),
        "localization": summarize_localization(results, WITH),
        "distracted": summarize_localization(results, DISTRACTED[WITH]),
        "deletion": summarize_deletion(results),
    }
    return {**metrics, "problems": problems(metrics)}


def problems(metrics: Mapping[str, Any]) -> list[str]:
    """Describe in sentences where a network, or its explanation, does not show the cause."""
    lines = []
    if not metrics["matched_auc"]["low"] > 0.5:
        lines.append("At matched speed the network may be no better than chance.")
    if metrics["called_sick"][PACED]["value"] >= 0.5 * metrics["called_sick"][WITH]["value"]:
        paced, found = (metrics["called_sick"][name]["value"] for name in (PACED, WITH))
        lines.append(f"Controls at a patient's pace are called sick in {paced:.0%}, patients in {found:.0%}.")
    for part, where in (("localization", ""), ("distracted", " under distractors")):
        if not (found := metrics[part]):
            continue
        for name in (SHUFFLED, PERMUTED):
            if name in found["lead"] and not found["lead"][name]["low"] > 0:
                lines.append(
                    f"The joint of the cause is not first more often than in {_CONTROL_NETWORKS[name]}{where}."
                )
        best = found["best_without_network"]
        if not found["lead"][best]["low"] > 0:
            own, other = (found[name]["first"]["value"] for name in (TRAINED, best))
            lines.append(
                f"A ranking without a network, {best}, does as well{where}: it has the joint of the cause first in "
                f"{other:.0%}, the network's explanation in {own:.0%}."
            )
    deletion = metrics["deletion"]
    if TRAINED in deletion:
        own, random = (deletion[name]["share_after_10_percent"] for name in (TRAINED, "random"))
        if not own["low"] > random["high"]:  # or undefined
            lines.append("Deletion in the order of the explanation is hardly better than in random order.")
    return lines


def summarize_degrees(results: Sequence[PersonResult]) -> dict[str, Any]:
    """Return how many persons are called sick at each severity, and the mildest at which half of them are."""
    names = sorted({each for result in results for each in result.probability if each.startswith(_DEGREE)})
    degrees = sorted(int(each.removeprefix(_DEGREE)) / 100 for each in names)
    called: dict[str, dict[str, Any]] = {}
    mildest = {}
    for name, chosen in by_pathology(results):
        p = {d: [results[k].probability.get(degree_name(d), np.nan) for k in chosen] for d in degrees}
        rates = {d: mean_over_persons([np.nan if np.isnan(v) else v >= THRESHOLD for v in own]) for d, own in p.items()}
        called[name] = {f"{degree:g}": plain(rate) for degree, rate in rates.items()}
        mildest[name] = mildest_degree(degrees, [rate.value for rate in rates.values()])
    return {"called_sick_by_degree": called, "mildest_degree": mildest}


def mildest_degree(degrees: Sequence[float], rates: Sequence[float]) -> float:
    """Return the lowest severity from which on at least half are called sick, between severities linearly; or NaN."""
    if not rates or not rates[-1] >= 0.5:
        return float("nan")
    last = max((index for index, rate in enumerate(rates) if not rate >= 0.5), default=None)
    if last is None:
        return degrees[0]
    low, high = rates[last], rates[last + 1]
    return degrees[last] + (degrees[last + 1] - degrees[last]) * (0.5 - low) / (high - low)


def by_pathology(results: Sequence[PersonResult]) -> Iterator[tuple[str, list[int]]]:
    """Yield each pathology with the indices of its persons."""
    for name in PATHOLOGY_NAMES:
        chosen = [index for index, result in enumerate(results) if result.pathology == name]
        if chosen:
            yield name, chosen


def summarize_localization(results: Sequence[PersonResult], condition: str) -> dict[str, Any]:
    """Return the localization by ranking, and the lead of the trained networks."""

    def rankings(keep: Callable[[PersonResult], bool]) -> dict[str, list[Localization]]:
        found: dict[str, list[Localization]] = {}
        for result in filter(keep, results):
            for name, one in result.localization[condition].items():
                found.setdefault(name, []).append(one)
        return found

    counted = rankings(lambda result: result.pathology not in APART)
    if not counted:
        return {}
    without_network = {name: counted[name] for name in DEVIATION_RANKINGS}
    return {
        **{name: {m: plain(v) for m, v in localization_over_persons(own).items()} for name, own in counted.items()},
        "lead": {
            name: plain(localization_lead(counted[TRAINED], own)["first"])
            for name, own in counted.items()
            if name != TRAINED
        },
        "best_without_network": best_ranking(without_network),
        "by_pathology": {
            name: {
                metric: plain(
                    mean_over_persons(
                        [getattr(results[index].localization[condition][TRAINED], metric) for index in chosen]
                    )
                )
                for metric in METRICS
            }
            for name, chosen in by_pathology(results)
        },
    }


def summarize_deletion(results: Sequence[PersonResult]) -> dict[str, Any]:
    """Return what deletion and insertion show, by order of the patches; sums over windows, drawn by person."""
    judged = [result.deletion for result in results if result.deletion]
    if not judged:
        return {"persons": 0}
    orders = {}
    for name in judged[0]:
        whole, fall, rise, flipped, count = np.array([own[name] for own in judged]).T
        defined = ratio_over_persons(whole, count).low > 0
        shares = [ratio_over_persons(each, whole) if defined else UNDEFINED for each in (fall, rise)]
        orders[name] = {
            "share_after_10_percent": plain(shares[0]),
            "insertion_share_after_10_percent": plain(shares[1]),
            "flipped_after_10_percent": plain(ratio_over_persons(flipped, count)),
        }
    return {"persons": len(judged), "whole_fall": plain(ratio_over_persons(whole, count)), **orders}


def plain(estimate: MetricWithInterval) -> dict[str, float]:
    """Return a metric as plain data."""
    return dict(vars(estimate))
