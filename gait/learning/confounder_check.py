"""Check whether the label can be predicted from confounders: the acquisition conditions of a trial.

If patients and controls were recorded in different laboratories, a network can classify them without learning anything
about gait, and no evaluation on such trials can reveal it. Therefore each factor is tested alone: a subject is
classified as sick if it is closer to the other sick subjects than to the other healthy ones. Each pair of a sick and a
healthy subject is ranked using all other subjects (leave-pair-out cross-validation; Airola et al. 2011, Comput. Stat.
Data Anal. 55:1828), so chance level is 0.5 even if every subject has a unique value; a subject never contributes to
its own score. Closeness is a mean distance, as in energy statistics (Székely & Rizzo 2013, J. Stat. Plan. Inference
143:1249); it is sensitive to differences in spread as well as in mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.skeleton import BODY_JOINTS, display_names
from gait.learning.metrics import MetricWithInterval, bootstrap_weights, with_interval
from gait.motion.dataset import Trial
from gait.multiple_tests import holm
from gait.text import join_words

SIGNIFICANCE_LEVEL = 0.01
"""Corrected p below which a factor with an AUC of at least ``MIN_AUC`` is a confounder."""

MIN_AUC = 0.7
SUGGESTIVE_P = 0.05
COMBINED = "combined"
_PERMUTATIONS = 999
_MAX_NAMED_MARKERS = 6  # in one message
_NO_EXCLUSIVE_MARKER = "no marker is on all subjects of one label and on none of the other"
_TIE = 1e-9
_MAX_PAIRS_AT_ONCE = 16_000
"""Pairs of a sick and a healthy subject whose scores are in memory at once, over all permutations or resamples."""


@dataclass(frozen=True)
class Confounder:
    """The test of one factor that should not predict the label."""

    roc_auc: MetricWithInterval  # over subjects, by leave-pair-out; NaN where the factor is unknown
    p: float  # of an AUC at least as large by chance
    p_corrected: float  # for the number of factors (Holm 1979)
    is_confounder: bool
    message: str  # one sentence


@dataclass(frozen=True)
class ConfounderReport:
    """The tests of all factors."""

    confounded: bool  # at least one factor is a confounder
    messages: tuple[str, ...]  # sentences; if confounded, the warning is the first one
    factors: Mapping[
        str, Confounder
    ]  # frame_rate, marker_set, trial_duration, missing_fraction, height, observed_joints, combined


def check_confounders(trials: Sequence[Trial], *, resamples: int = 1000, seed: int = 0) -> ConfounderReport:
    """Predict the label from each factor of the acquisition, and from all of them combined.

    A factor is a confounder if its AUC is at least ``MIN_AUC`` with a corrected p below ``SIGNIFICANCE_LEVEL``. The p
    comes from permutations of the subjects' labels; with few subjects, from all of them. If there are too few subjects
    to reach such a p, a factor is a confounder if it separates the labels perfectly and there is further evidence: an
    uncorrected p of at most ``SUGGESTIVE_P``, or a marker or frame rate that occurs with only one label.

    The trials are all those for training and evaluation; intervals come from bootstrap resamples of their subjects.
    """
    subjects = sorted({(trial.subject_id, trial.sick) for trial in trials})
    sick = np.array([is_sick for _, is_sick in subjects], dtype=bool)
    S, H = int(sick.sum()), int((~sick).sum())
    if min(S, H) < 2:
        message = f"The confounder check needs two subjects of each label; there are {S} sick and {H} healthy."
        return ConfounderReport(confounded=False, messages=(message,), factors={})
    index = {subject: k for k, (subject, _) in enumerate(subjects)}
    averaging = np.zeros((len(subjects), len(trials)))  # from trials to subjects
    averaging[[index[trial.subject_id] for trial in trials], range(len(trials))] = 1
    averaging /= averaging.sum(axis=1, keepdims=True)

    distances: dict[str, Vector] = {}
    for name, factor in _FACTORS.items():
        between_trials = factor.distances(trials)
        if between_trials is not None:
            distances[name] = averaging @ between_trials @ averaging.T
    if distances:
        scaled = [distance / (distance.mean() or 1) for distance in distances.values()]
        distances[COMBINED] = np.sum(scaled, axis=0)

    random = np.random.default_rng(seed)
    draws = bootstrap_weights([np.flatnonzero(sick), np.flatnonzero(~sick)], resamples, random)
    areas = {
        name: with_interval(
            float(_leave_pair_out_auc(distance, sick[None])[0]),
            _leave_pair_out_auc(distance, np.broadcast_to(sick, draws.shape), draws),
            min(S, H),
        )
        for name, distance in distances.items()
    }
    p = {name: _permutation_p(distance, sick, random) for name, distance in distances.items()}
    corrected = holm(p)
    # With equally many subjects of both labels, exchanging all labels gives the same AUC: hence the factor 2.
    too_few = 2 * len(distances) / math.comb(S + H, S) >= SIGNIFICANCE_LEVEL
    factors = {}
    for name in (*_FACTORS, COMBINED):
        area, p_corrected = areas.get(name, MetricWithInterval(math.nan)), corrected.get(name, math.nan)
        exclusive = _FACTORS[name].has_exclusive_values(trials) if name in _FACTORS else False
        strong = area.value >= MIN_AUC and p_corrected < SIGNIFICANCE_LEVEL
        suggestive = area.value == 1 and (exclusive or p[name] <= SUGGESTIVE_P)
        is_confounder = bool(strong or (too_few and suggestive))
        message = _factor_message(name, area, p_corrected, is_confounder, trials)
        factors[name] = Confounder(area, p.get(name, math.nan), p_corrected, is_confounder, message)
    confounded = any(factor.is_confounder for factor in factors.values())
    return ConfounderReport(confounded, _report_messages(factors, S, H, too_few), factors)


@dataclass(frozen=True)
class _Factor:
    """A factor of the acquisition: distance between trials, and description."""

    title: str
    distances: Callable[[Sequence[Trial]], Vector | None]  # (G, G); None if unknown for all trials
    describe: Callable[[Sequence[Trial]], str]  # typical values of the two labels, for a message
    has_exclusive_values: Callable[[Sequence[Trial]], bool] = lambda _: False  # a sign of two laboratories
    untested: str = "unknown for all trials"  # if there are no distances


def _numeric_factor(title: str, value: Callable[[Trial], float], template: str, scale: float = 1.0) -> _Factor:
    """Return a factor that compares the ranks of a number.

    Unknown values have distance 0 from each other, and the largest distance, 1, from known ones.
    """

    def distances(trials: Sequence[Trial]) -> Vector | None:
        values = np.array([value(trial) for trial in trials], dtype=np.float64)
        known = np.isfinite(values)
        if not known.any():
            return None
        ranks = np.zeros(len(values))
        ranks[known] = scipy.stats.rankdata(np.round(values[known], 6))
        rank_distance = np.abs(ranks[:, None] - ranks) / len(trials)
        return np.where(known[:, None] & known, rank_distance, np.not_equal.outer(known, known).astype(np.float64))

    def describe(trials: Sequence[Trial]) -> str:
        by_label = {
            label: [scale * v for trial in trials if trial.sick == sick and math.isfinite(v := value(trial))]
            for label, sick in (("sick", True), ("healthy", False))
        }
        return ", ".join(
            f"{label} {template.format(float(np.median(values)))}" if values else f"{label} unknown"
            for label, values in by_label.items()
        )

    return _Factor(title, distances, describe)


def _marker_distances(trials: Sequence[Trial]) -> Vector | None:
    """Return (G, G), for each pair of trials the fraction of their markers that only one of them has (Jaccard 1901)."""
    names = sorted({name for trial in trials for name in trial.acquisition.markers})
    if not names:
        return None
    present = np.array([[name in trial.acquisition.markers for name in names] for trial in trials], dtype=np.float64)
    both = present @ present.T
    either = present.sum(axis=1)[:, None] + present.sum(axis=1) - both
    return 1 - np.divide(both, either, out=np.ones_like(both), where=either > 0)


def _observation_distances(trials: Sequence[Trial]) -> Vector | None:
    """Return (G, G), for each pair of trials the number of joints that only one of them observes; None without any."""
    observed = np.array([[joint not in trial.unobserved_joints for joint in BODY_JOINTS] for trial in trials])
    distances = np.not_equal(observed[:, None], observed).sum(axis=2, dtype=np.float64)
    return distances if distances.any() else None


def _describe_unobserved_joints(trials: Sequence[Trial]) -> str:
    """Return the joints that the trials of each label do not observe."""
    found = []
    for label, own in _by_label(trials).items():
        joints = {joint for trial in own for joint in trial.unobserved_joints}
        lacking = sum(bool(trial.unobserved_joints) for trial in own)
        lacks = f"{display_names(joints)} not observed in {lacking} of {len(own)} trials"
        found.append(f"{label}: {lacks if joints else 'all observed'}")
    return "; ".join(found)


def _are_observed_joints_disjoint(trials: Sequence[Trial]) -> bool:
    sets = [{trial.unobserved_joints for trial in own} for own in _by_label(trials).values()]
    return sets[0].isdisjoint(sets[1])


def _by_label(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    return {
        label: [trial for trial in trials if trial.sick == sick] for label, sick in (("sick", True), ("healthy", False))
    }


def _describe_exclusive_markers(trials: Sequence[Trial]) -> str:
    """Return the markers that are in all trials of one label and in none of the other."""
    marker_sets = {label: [set(t.acquisition.markers) for t in own] for label, own in _by_label(trials).items()}
    found = []
    for label, other in (("sick", "healthy"), ("healthy", "sick")):
        if exclusive := sorted(set.intersection(*marker_sets[label]).difference(*marker_sets[other])):
            omitted = len(exclusive) - _MAX_NAMED_MARKERS
            more = f" and {omitted} more" if omitted > 0 else ""
            found.append(f"only {label}: {', '.join(exclusive[:_MAX_NAMED_MARKERS])}{more}")
    return "; ".join(found) or _NO_EXCLUSIVE_MARKER


def _are_frame_rates_disjoint(trials: Sequence[Trial]) -> bool:
    rates = [{trial.acquisition.rate_hz for trial in trials if trial.sick == sick} for sick in (True, False)]
    return rates[0].isdisjoint(rates[1])


_FACTORS: Mapping[str, _Factor] = {
    "frame_rate": replace(
        _numeric_factor("frame rate", lambda trial: trial.acquisition.rate_hz, "{:g} Hz"),
        has_exclusive_values=_are_frame_rates_disjoint,
    ),
    "marker_set": _Factor(
        "marker set",
        _marker_distances,
        _describe_exclusive_markers,
        has_exclusive_values=lambda trials: _describe_exclusive_markers(trials) != _NO_EXCLUSIVE_MARKER,
    ),
    "trial_duration": _numeric_factor(
        "trial duration", lambda trial: trial.acquisition.num_frames / trial.acquisition.rate_hz, "{:.1f} s"
    ),
    "missing_fraction": _numeric_factor(
        "fraction of missing marker samples", lambda trial: trial.acquisition.missing_fraction, "{:.1f} %", 100
    ),
    "height": _numeric_factor("height", lambda trial: trial.acquisition.stature_m, "{:.2f} m"),
    "observed_joints": _Factor(
        "observed joints",
        _observation_distances,
        _describe_unobserved_joints,
        has_exclusive_values=_are_observed_joints_disjoint,
        untested="the same in all trials",
    ),
}


def _leave_pair_out_auc(distances: Vector, sick: NDArray[np.bool_], times: Vector | None = None) -> Vector:
    """Return the areas under the ROC curve (N,) by leave-pair-out cross-validation, from distances (P, P).

    The score of a subject is its mean distance from the other healthy subjects minus its mean distance from the other
    sick ones; both subjects of the pair are left out of both means. A pair is ranked correctly if the sick subject has
    the higher score. A tie counts half. The labels (N, P) have equally many sick subjects in all rows. Subjects were
    drawn ``times`` (N, P), once if None; copies are left out, too. NaN where a label has no pair of subjects.
    """
    times = np.ones(sick.shape) if times is None else times
    pairs = int(sick[0].sum()) * int((~sick[0]).sum())
    rows = max(1, _MAX_PAIRS_AT_ONCE // max(pairs, 1))
    parts = range(0, len(sick), rows)
    return np.concatenate([_areas(distances, sick[k : k + rows], times[k : k + rows]) for k in parts])


def _areas(distances: Vector, sick: NDArray[np.bool_], times: Vector) -> Vector:
    """Return ``_leave_pair_out_auc``, with the scores of all N labels in memory."""
    N, own = len(sick), np.diag(distances)
    i, j = (np.nonzero(label)[1].reshape(N, -1) for label in (sick, ~sick))  # (N, S), (N, H)
    s, h = np.take_along_axis(times, i, 1), np.take_along_axis(times, j, 1)
    to_sick, to_healthy = (times * sick) @ distances, (times * ~sick) @ distances  # (N, P) sums over subjects
    other_sick, other_healthy = s.sum(1, keepdims=True) - s, h.sum(1, keepdims=True) - h
    # Of each pair, the difference of the scores is a mean over the other healthy subjects minus one over the sick.
    from_healthy = (
        np.take_along_axis(to_healthy, i, 1)[:, :, None] - (np.take_along_axis(to_healthy, j, 1) - own[j] * h)[:, None]
    )
    from_sick = (np.take_along_axis(to_sick, i, 1) - own[i] * s)[:, :, None] - np.take_along_axis(to_sick, j, 1)[
        :, None
    ]
    across = distances[i[:, :, None], j[:, None]]
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = (from_healthy - across * h[:, None]) / other_healthy[:, None]
        difference -= (from_sick + across * s[:, :, None]) / other_sick[:, :, None]
        s, h = s * (other_sick > 0), h * (other_healthy > 0)
        correct = 0.5 * (difference > -_TIE) + 0.5 * (difference >= _TIE)
        return np.asarray(np.einsum("ns,nsh,nh->n", s, correct, h) / (s.sum(1) * h.sum(1)))


def _permutation_p(distances: Vector, sick: NDArray[np.bool_], random: np.random.Generator) -> float:
    """Return the probability of an AUC at least as large if the labels are permuted; exact with few subjects."""

    def area(subjects: NDArray[np.int64], _: NDArray[np.int64], axis: int = -1) -> Any:
        chosen = np.moveaxis(subjects, axis, -1)
        labels = np.zeros((*chosen.shape[:-1], len(sick)), dtype=bool)
        np.put_along_axis(labels, chosen, values=True, axis=-1)
        return _leave_pair_out_auc(distances, labels.reshape(-1, len(sick))).reshape(chosen.shape[:-1])[()]

    samples = np.flatnonzero(sick), np.flatnonzero(~sick)
    return float(
        scipy.stats.permutation_test(
            samples, area, vectorized=True, n_resamples=_PERMUTATIONS, alternative="greater", rng=random
        ).pvalue
    )


def _title(name: str) -> str:
    return _FACTORS[name].title if name in _FACTORS else "all factors combined"


def _format_statistics(area: MetricWithInterval, p_corrected: float) -> str:
    interval = f", 95 % interval {area.low:.2f} to {area.high:.2f}" if area.low < area.high else ""
    return f"ROC AUC {area.value:.2f}{interval}, corrected p {p_corrected:.2g}"


def _factor_message(
    name: str, area: MetricWithInterval, p_corrected: float, is_confounder: bool, trials: Sequence[Trial]
) -> str:
    title = _title(name)
    if math.isnan(area.value):
        return f"{title}: {_FACTORS[name].untested if name in _FACTORS else 'unknown for all trials'}."
    values = f"; {_FACTORS[name].describe(trials)}" if name in _FACTORS else ""
    if is_confounder:
        statement = (
            "predicts the label" if p_corrected < SIGNIFICANCE_LEVEL else "separates the labels of these few subjects"
        )
    else:
        statement = (
            "may predict the label, or only by chance" if area.value >= MIN_AUC else "does not predict the label"
        )
    return f"{title}: {statement} ({_format_statistics(area, p_corrected)}){values}."


def _report_messages(factors: Mapping[str, Confounder], S: int, H: int, too_few: bool) -> tuple[str, ...]:
    known = {name: factor for name, factor in factors.items() if not math.isnan(factor.roc_auc.value)}
    single = [name for name in known if name in _FACTORS]
    if not known:
        return ("The confounder check has no data: neither fit reports nor marker counts are stored with the poses.",)
    confounders = [name for name in single if known[name].is_confounder]
    confounders.sort(key=lambda name: -known[name].roc_auc.value)
    if not any(factor.is_confounder for factor in known.values()):
        strongest = max(single, key=lambda name: known[name].roc_auc.value)
        area, p_corrected = known[strongest].roc_auc, known[strongest].p_corrected
        few = "; with so few subjects only a perfect separation would count" if too_few else ""
        negation = f"{'does' if len(single) == 1 else 'do'} not {'clearly ' if area.value >= MIN_AUC else ''}"
        return (
            f"Confounder check: {join_words([_title(name) for name in single])} {negation}predict the label "
            f"(strongest: {_title(strongest)}, {_format_statistics(area, p_corrected)}){few}.",
        )
    verb = "predicts" if len(confounders) == 1 else "predict"
    confounders = confounders or [COMBINED]
    names = join_words([_title(name) for name in confounders])
    messages = [
        f"The label is confounded: {names} alone {verb} it, without any information about gait.",
        *(known[name].message[0].upper() + known[name].message[1:] for name in confounders),
        "A network may have learned this instead of gait, and its metrics cannot show the difference: record patients "
        "and controls in the same way.",
    ]
    if too_few:
        messages.append(
            f"With {S} sick and {H} healthy subjects this may be chance or a difference between laboratories; the "
            "trials cannot show which."
        )
    return tuple(messages)
