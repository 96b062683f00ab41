"""Can the label be told from what should not matter: how, where and of whom a recording was made?

If the ill were recorded in another laboratory than the healthy, a network can be right without having learnt anything
about gait, and no evaluation on such recordings can show it. So each of these factors is tried by itself:
a person is called sick who is more like the other sick persons in it than like the other healthy ones. Every pair of a
sick and a healthy person is judged by all the others (leave-pair-out; Airola et al. 2011, Comput. Stat. Data Anal.
55:1828), so that 0.5 is chance even for a factor with as many values as persons, and nobody says anything about
themselves. How unlike two persons are is a mean distance, as in the energy statistics of Székely & Rizzo 2013,
J. Stat. Plan. Inference 143:1249; it sees unlike spreads too, not unlike means alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from gait.learning.metrics import MetricWithInterval, estimate_of, none_if_undefined, person_draws
from gait.motion.dataset import Trial

Vector = NDArray[np.float64]

SIGNIFICANT = 0.01
"""A corrected p below which, with an area of ``STRONG`` or more, a factor leaks the label."""

STRONG = 0.7
SUGGESTIVE = 0.05
ALL_TOGETHER = "all_together"
_PERMUTATIONS = 999
_MOST_MARKERS = 6  # named in a line
_NO_OWN_MARKER = "no marker is on all of one label and on none of the other"
_SAME = 1e-9


@dataclass(frozen=True)
class Confounder:
    """One thing that should not matter."""

    name: str
    roc_auc: MetricWithInterval  # over persons, by leave-pair-out; NaN where nothing is known
    p: float  # of as large an area by chance
    p_corrected: float  # for the number of factors (Holm 1979)
    leaks: bool
    line: str  # a plain sentence

    def as_json(self) -> dict[str, Any]:
        """Plain data; None for what is not known."""
        return {
            "roc_auc": self.roc_auc.as_json(),
            "p": none_if_undefined(self.p),
            "p_corrected": none_if_undefined(self.p_corrected),
            "leaks": self.leaks,
            "line": self.line,
        }


@dataclass(frozen=True)
class ConfounderReport:
    """What the label can be told from, besides gait."""

    leaks: bool
    lines: tuple[str, ...]  # plain sentences, the warning first if there is one
    factors: Mapping[str, Confounder]  # frame_rate, marker_set, recording_length, missing_share, height, all_together

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        factors = {name: factor.as_json() for name, factor in self.factors.items()}
        return {"leaks": self.leaks, "lines": list(self.lines), "factors": factors}


def leak_check(gaits: Sequence[Trial], *, resamples: int = 1000, seed: int = 0) -> ConfounderReport:
    """Try to tell sick from healthy persons by each factor of how they were recorded, and by all together.

    A factor leaks if its area is at least ``STRONG`` with a corrected p below ``SIGNIFICANT`` (permutations of the
    persons' labels, all of them where they are few). Where there are too few persons for such a p, it leaks if it tells
    every sick person from every healthy one and there is more to it: a p of ``SUGGESTIVE``, uncorrected, or a
    marker or a frame rate that nobody of the other label has.

    Args:
        gaits: all recordings that are learnt from or evaluated on.
        resamples: of persons, for the intervals.
        seed: of resamples and permutations.
    """
    people = sorted({(gait.person, gait.sick) for gait in gaits})
    sick = np.array([is_sick for _, is_sick in people], dtype=bool)
    S, H = int(sick.sum()), int((~sick).sum())
    if min(S, H) < 2:
        line = f"The leak check needs two persons of each label; there are {S} sick and {H} healthy."
        return ConfounderReport(leaks=False, lines=(line,), factors={})
    order = {person: k for k, (person, _) in enumerate(people)}
    of_person = np.zeros((len(people), len(gaits)))
    of_person[[order[gait.person] for gait in gaits], range(len(gaits))] = 1
    of_person /= of_person.sum(axis=1, keepdims=True)

    unlike: dict[str, Vector] = {}
    for name, measure in _MEASURES.items():
        between = measure.distances(gaits)
        if between is not None:
            unlike[name] = of_person @ between @ of_person.T
    if unlike:
        scaled = [distance / (distance.mean() or 1) for distance in unlike.values()]
        unlike[ALL_TOGETHER] = np.sum(scaled, axis=0)

    random = np.random.default_rng(seed)
    others = _other_labels(sick, random)
    draws = person_draws([np.flatnonzero(sick), np.flatnonzero(~sick)], resamples, random)
    areas = {
        name: estimate_of(_area(distance, sick), np.array([_area(distance, sick, times) for times in draws]), min(S, H))
        for name, distance in unlike.items()
    }
    p = {name: _chance(distance, areas[name].value, others) for name, distance in unlike.items()}
    corrected = _holm(p)
    too_few = 2 * len(unlike) / others.possible >= SIGNIFICANT  # with as many of both, exchanged labels are as good
    factors = {}
    for name in (*_MEASURES, ALL_TOGETHER):
        area = areas.get(name, MetricWithInterval(math.nan))
        own = _MEASURES[name].nothing_shared(gaits) if name in _MEASURES else False
        strong = area.value >= STRONG and corrected[name] < SIGNIFICANT
        suggests = area.value == 1 and (own or p[name] <= SUGGESTIVE)
        leaks = bool(strong or (too_few and suggests))
        line = _line(name, area, corrected.get(name, math.nan), leaks, gaits)
        factors[name] = Confounder(name, area, p.get(name, math.nan), corrected.get(name, math.nan), leaks, line)
    lines = _lines(factors, S, H, too_few)
    return ConfounderReport(any(factor.leaks for factor in factors.values()), lines, factors)


@dataclass(frozen=True)
class _Measure:
    """How a factor is compared, and said."""

    words: str
    distances: Callable[[Sequence[Trial]], Vector | None]  # (G, G), None where nothing is known
    typical: Callable[[Sequence[Trial]], str]  # what the two labels have, for a sentence
    nothing_shared: Callable[[Sequence[Trial]], bool] = lambda _: False  # a sign of two laboratories


def _number(words: str, of: Callable[[Trial], float], shown: str, scale: float = 1.0) -> _Measure:
    """A number by its rank; unknown ones are like each other and as unlike the known ones as those can be."""

    def distances(gaits: Sequence[Trial]) -> Vector | None:
        values = np.array([of(gait) for gait in gaits], dtype=np.float64)
        known = np.isfinite(values)
        if not known.any():
            return None
        ranks = np.zeros(len(values))
        ranks[known] = rankdata(np.round(values[known], 6))
        apart = np.abs(ranks[:, None] - ranks) / len(gaits)
        return np.where(known[:, None] & known, apart, np.not_equal.outer(known, known).astype(np.float64))

    def typical(gaits: Sequence[Trial]) -> str:
        by_label = {
            label: [scale * v for gait in gaits if gait.sick == sick and math.isfinite(v := of(gait))]
            for label, sick in (("sick", True), ("healthy", False))
        }
        return ", ".join(
            f"{label} {shown.format(float(np.median(values)))}" if values else f"{label} not known"
            for label, values in by_label.items()
        )

    return _Measure(words, distances, typical)


def _marker_distances(gaits: Sequence[Trial]) -> Vector | None:
    """(G, G) of each two recordings' markers, the share that only one of them has (Jaccard 1901)."""
    names = sorted({name for gait in gaits for name in gait.source.markers})
    if not names:
        return None
    worn = np.array([[name in gait.source.markers for name in names] for gait in gaits], dtype=np.float64)
    both = worn @ worn.T
    either = worn.sum(axis=1)[:, None] + worn.sum(axis=1) - both
    return 1 - np.divide(both, either, out=np.ones_like(both), where=either > 0)


def _markers_of_one_label(gaits: Sequence[Trial]) -> str:
    sides: dict[str, list[set[str]]] = {
        label: [set(gait.source.markers) for gait in gaits if gait.sick == sick]
        for label, sick in (("sick", True), ("healthy", False))
    }
    said = []
    for label, other in (("sick", "healthy"), ("healthy", "sick")):
        if own := sorted(set.intersection(*sides[label]).difference(*sides[other])):
            more = f" and {len(own) - _MOST_MARKERS} more" if len(own) > _MOST_MARKERS else ""
            said.append(f"only the {label} wear {', '.join(own[:_MOST_MARKERS])}{more}")
    return "; ".join(said) or _NO_OWN_MARKER


def _rates_apart(gaits: Sequence[Trial]) -> bool:
    rates = [{gait.source.rate_hz for gait in gaits if gait.sick == sick} for sick in (True, False)]
    return rates[0].isdisjoint(rates[1])


_MEASURES: Mapping[str, _Measure] = {
    "frame_rate": replace(
        _number("frame rate", lambda gait: gait.source.rate_hz, "{:g} Hz"), nothing_shared=_rates_apart
    ),
    "marker_set": _Measure(
        "marker set",
        _marker_distances,
        _markers_of_one_label,
        nothing_shared=lambda gaits: _markers_of_one_label(gaits) != _NO_OWN_MARKER,
    ),
    "recording_length": _number("recording length", lambda gait: gait.source.frames / gait.source.rate_hz, "{:.1f} s"),
    "missing_share": _number("share of missing marker samples", lambda g: g.source.missing_share, "{:.1f} %", 100),
    "height": _number("height", lambda gait: gait.source.stature_m, "{:.2f} m"),
}


def _area(unlike: Vector, sick: NDArray[np.bool_], times: Vector | None = None) -> float:
    """Area under the ROC curve by leave-pair-out, of persons' distances (P, P).

    A sick and a healthy person are told apart rightly if the sick one has the higher score: the mean distance from the
    other healthy less that from the other sick persons, the pair itself in neither. A tie counts half.

    Args:
        unlike: (P, P) how unlike persons are.
        sick: (P,) their labels.
        times: (P,) how often each person was drawn; once if not given. No copy of the pair says anything about it.
    """
    own, across, others = unlike[np.ix_(sick, sick)], unlike[np.ix_(sick, ~sick)], unlike[np.ix_(~sick, ~sick)]
    times = np.ones(len(sick)) if times is None else times
    s, h = times[sick], times[~sick]
    other_sick, other_healthy = (s.sum() - s)[:, None], h.sum() - h
    with np.errstate(divide="ignore", invalid="ignore"):
        of_sick = ((across @ h)[:, None] - across * h) / other_healthy
        of_sick -= (own @ s - np.diag(own) * s)[:, None] / other_sick
        of_healthy = (others @ h - np.diag(others) * h) / other_healthy
        of_healthy = of_healthy - (s @ across - across * s[:, None]) / other_sick
        ahead = of_sick - of_healthy
    right = np.where(np.abs(ahead) < _SAME, 0.5, ahead > 0)
    pairs = np.outer(s, h) * ((other_sick > 0) & (other_healthy > 0))
    return float((right * pairs).sum() / pairs.sum()) if pairs.any() else math.nan


@dataclass(frozen=True)
class _OtherLabels:
    labels: tuple[NDArray[np.bool_], ...]  # of all persons (P,)
    possible: int
    all_of_them: bool  # the true ones are among them


def _other_labels(sick: NDArray[np.bool_], random: np.random.Generator) -> _OtherLabels:
    """Ways to give the labels to persons: all, or as many random ones as are affordable."""
    P, S = len(sick), int(sick.sum())
    possible = math.comb(P, S)
    if possible <= _PERMUTATIONS:
        labels = [np.isin(np.arange(P), chosen) for chosen in combinations(range(P), S)]
        return _OtherLabels(tuple(labels), possible, all_of_them=True)
    return _OtherLabels(tuple(random.permutation(sick) for _ in range(_PERMUTATIONS)), possible, all_of_them=False)


def _chance(unlike: Vector, area: float, others: _OtherLabels) -> float:
    """p of an area as large; of random permutations never 0 (Phipson & Smyth 2010)."""
    as_large = sum(_area(unlike, labels) >= area - _SAME for labels in others.labels)
    return as_large / others.possible if others.all_of_them else (as_large + 1) / (len(others.labels) + 1)


def _holm(p: Mapping[str, float]) -> dict[str, float]:
    """Corrected for as many tests (Holm 1979, Scand. J. Stat. 6:65)."""
    corrected: dict[str, float] = {}
    least = 0.0
    for k, name in enumerate(sorted(p, key=lambda name: p[name])):
        least = max(least, min(1.0, (len(p) - k) * p[name]))
        corrected[name] = least
    return corrected


def _words(name: str) -> str:
    return _MEASURES[name].words if name in _MEASURES else "all of these together"


def _figures(area: MetricWithInterval, p_corrected: float) -> str:
    interval = f", 95 % interval {area.low:.2f} to {area.high:.2f}" if area.low < area.high else ""
    return f"ROC AUC {area.value:.2f}{interval}, corrected p {p_corrected:.2g}"


def _line(name: str, area: MetricWithInterval, p_corrected: float, leaks: bool, gaits: Sequence[Trial]) -> str:
    words = _words(name)
    if math.isnan(area.value):
        return f"{words}: not known of any recording."
    typical = f"; {_MEASURES[name].typical(gaits)}" if name in _MEASURES else ""
    tells = "tells" if p_corrected < SIGNIFICANT else "tells these few persons apart"
    verdict = tells if leaks else "may tell, or it is chance" if area.value >= STRONG else "does not tell"
    return f"{words}: {verdict} ({_figures(area, p_corrected)}){typical}."


def _lines(factors: Mapping[str, Confounder], S: int, H: int, too_few: bool) -> tuple[str, ...]:
    known = [factor for factor in factors.values() if not math.isnan(factor.roc_auc.value)]
    single = [factor for factor in known if factor.name in _MEASURES]
    if not known:
        return ("The leak check found nothing to compare: neither reports nor marker counts lie beside the poses.",)
    telling = sorted((f for f in single if f.leaks), key=lambda f: -f.roc_auc.value)
    if not telling and not any(factor.leaks for factor in known):
        most = max(single, key=lambda factor: factor.roc_auc.value)
        few = "; with so few persons only a perfect distinction would count" if too_few else ""
        strength = "do not surely tell" if most.roc_auc.value >= STRONG else "do not tell"
        return (
            f"Leak check: {_listed([_words(f.name) for f in single])} {strength} sick from healthy persons "
            f"(the most: {_words(most.name)}, {_figures(most.roc_auc, most.p_corrected)}){few}.",
        )
    what = _listed([_words(f.name) for f in telling]) if telling else "how persons were recorded, all in all,"
    lines = [
        f"The label can be told without looking at the walk: {what} alone {'tell' if len(telling) > 1 else 'tells'} "
        "sick from healthy persons.",
        *(f"{factor.line[0].upper()}{factor.line[1:]}" for factor in (telling or known[-1:])),
        "A network may have learnt that instead of gait, and its figures do not show otherwise: what is needed are "
        "sick and healthy persons who were recorded alike.",
    ]
    if too_few:
        lines.append(
            f"With {S} sick and {H} healthy persons this may be chance, or the laboratory; "
            "the recordings cannot tell which."
        )
    return tuple(lines)


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
