"""The findings of an explained walk: where its evidence is, and whether the walk deviates there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.explaining.evidence.explained_walk import ExplainedWalk
from gait.explaining.evidence.finding import Finding, Verdict
from gait.explaining.evidence.motions import Motion
from gait.explaining.evidence.norm_at_speed import BandsAtSpeed
from gait.explaining.evidence.phase_attribution import mean_attribution
from gait.explaining.evidence.relied_on import find_relied_on
from gait.explaining.evidence.verdicts import RESIDUAL_SDS, Observation, find_verdict, speed_explains
from gait.kinematics.gait_events import SIDES
from gait.kinematics.gait_phases import CyclePhase
from gait.kinematics.strides import finite_mean

EVIDENCE_SHOWN = 0.8
"""The motions with the most evidence that together have this share of it are stated,"""
MIN_SHARE, MAX_FINDINGS = 0.02, 12
"""if each has at least this share, 1.3 times what it were if 66 motions had the same; and at most so many."""
MAX_OTHERS = 6
"""Of real deviations of other motions, and of those that the network ignores, at most so many are stated."""


def find_findings(explained: ExplainedWalk) -> tuple[Finding, ...]:
    """Return the findings that the decision relies on, the largest evidence first, then further attribution.

    Real deviations of other motions follow, those with a negative share against the decision, and then ignored ones.
    """
    evidence, curves = _evidence(explained), _Curves(explained)
    if not evidence.listed:
        return ()

    narrow, wide = curves.step_down(evidence.relied_on), explained.controls.critical_value()
    found = [
        replace(curves.finding(m, phases, narrow, evidence), relied_on=True, probability_without=without)
        for (m, phases), without in zip(evidence.relied_on, evidence.without, strict=True)
    ]
    found += [curves.finding(m, phases, wide, evidence) for m, phases in evidence.listed[len(found) :]]
    others, ignored = [], []
    for m in {*range(len(explained.motions))} - {m for m, _ in evidence.listed}:
        deviating = [curves.finding(m, [p], wide, evidence) for p in curves.outside_phases(m, wide)]
        real = [each for each in deviating if each.verdict == Verdict.REAL_DEVIATION]
        left = [each for each in deviating if each.verdict == Verdict.IGNORED]
        others += [max(real, key=lambda each: abs(each.share))] if real else []
        ignored += [max(left, key=lambda each: abs(each.sds))] if left else []
    others.sort(key=lambda each: -abs(each.share))
    ignored.sort(key=lambda each: -abs(each.sds))
    return (*found, *others[:MAX_OTHERS], *ignored[:MAX_OTHERS])


def speed_predicts(explained: ExplainedWalk) -> bool:
    """Return whether the walking speed alone predicts the decision (``verdicts``)."""
    by_speed, speed = explained.controls.logit_by_speed, explained.walk.dimensionless_speed
    if by_speed is None or math.isnan(speed):
        return False
    return (
        speed_explains(by_speed.variance_explained, by_speed.variance_explained_by_label)
        and abs(explained.logit - by_speed.at(speed)) <= RESIDUAL_SDS * by_speed.residual_sd
    )


def critical_values(explained: ExplainedWalk, findings: Iterable[Finding]) -> dict[str, float]:
    """Return c of the band mean ± c · SD of each curve, as the verdicts of the walk's findings have it.

    Curves on which the decision relies have narrower bands than all that the network sees (``verdicts``).
    """
    narrow = {(each.joint, each.axis): each.band_sds for each in findings if each.relied_on}
    of_curves = {
        name: narrow[motion.joint, motion.axis]
        for motion in explained.motions
        if (motion.joint, motion.axis) in narrow
        for name in motion.curves
    }
    wide = explained.controls.critical_value()
    return {name: of_curves.get(name, wide) for name in explained.bands.mean_deg}


_Part = tuple[int, tuple[int, ...]]
"""A motion, and its phases in which it speaks for the decision."""


@dataclass(frozen=True, eq=False)
class _MotionEvidence:
    """How much evidence each motion has in each phase."""

    attribution: Vector  # (M, 7) logit units
    shares: Vector  # (M, 7) of the evidence for the decision; 0 without any
    motion_shares: Vector  # (M,) of the magnitude of all attribution
    listed: tuple[_Part, ...]  # motions with the most evidence, the largest first
    without: tuple[float, ...]  # P(sick) without the first of them, the first two, …: those that are relied on

    @property
    def relied_on(self) -> tuple[_Part, ...]:
        """Those of the listed motions on which the decision relies."""
        return self.listed[: len(self.without)]


def _evidence(explained: ExplainedWalk) -> _MotionEvidence:
    strides = {side: explained.walk.strides(side) for side in SIDES}
    windows = explained.trained.windows
    by_phase = np.array(
        [
            _sum_phases(
                mean_attribution(explained.attributions, motion, strides, windows), explained.phases[motion.side]
            )
            for motion in explained.motions
        ]
    )
    evidence = explained.sign * np.nan_to_num(by_phase)
    total, magnitude = evidence[evidence > 0].sum(), np.abs(evidence).sum()
    if not total > 0:
        return _MotionEvidence(by_phase, np.zeros_like(evidence), np.zeros(len(evidence)), (), ())
    shares = evidence / total
    own = np.maximum(shares, 0).sum(axis=1)
    order = [int(m) for m in np.argsort(-own)[:MAX_FINDINGS]]
    larger = np.concatenate([[0.0], np.cumsum(own[order])[:-1]])
    listed = tuple(
        (m, tuple(int(p) for p in np.flatnonzero(shares[m] > 0)))
        for m, sum_ in zip(order, larger, strict=True)
        if own[m] >= MIN_SHARE and sum_ < EVIDENCE_SHOWN
    )
    parts = [
        (explained.motions[m], [explained.phases[explained.motions[m].side][p] for p in phases]) for m, phases in listed
    ]
    without = find_relied_on(explained.trained, explained.walk.trial, parts, sick=explained.sign > 0)
    return _MotionEvidence(by_phase, shares, np.abs(evidence).sum(axis=1) / magnitude, listed, without)


def _sum_phases(values: Vector, phases: Sequence[CyclePhase]) -> Vector:
    """Return the sums over phases (7,) of the mean over networks and strides of values (K, n, 101); NaN if unknown."""
    mean = finite_mean(values.reshape(-1, values.shape[-1])) if values.size else np.full(values.shape[-1], np.nan)
    mean[-1] = np.nan  # 100 % is 0 % of the next stride
    sums = [mean[phase.percents] for phase in phases]
    return np.array([np.nansum(each) if np.isfinite(each).any() else np.nan for each in sums])


class _Curves:
    """The subject's mean curves beside the bands, and what a finding states of them."""

    def __init__(self, explained: ExplainedWalk) -> None:
        self._explained = explained
        self._means, self._errors = explained.walk.mean_curves(), explained.walk.mean_errors()
        self._speed_predicts = speed_predicts(explained)

    def step_down(self, parts: Sequence[_Part]) -> float:
        """Return c of the bands of motions in phases, narrowed as ``verdicts`` describes it."""
        motions, bands = self._explained.motions, self._explained.bands
        inside: dict[tuple[str, str], NDArray[np.bool_]] = {}
        for m, phases in parts:
            for name in motions[m].curves:
                mask = inside.setdefault((name, motions[m].side), np.zeros(101, dtype=bool))
                mask |= self._inside(motions[m], phases)
        left = {key: mask for key, mask in inside.items() if key in self._means and key[0] in bands.mean_deg}
        critical = math.inf
        while left:
            narrower = self._explained.controls.critical_value({name for name, _ in left})
            critical = min(critical, narrower)
            inner = {key: mask for key, mask in left.items() if not self._beyond(key, bands, critical)[mask].any()}
            if len(inner) == len(left):
                break
            left = inner
        return critical

    def outside_phases(self, m: int, critical: float) -> list[int]:
        """Return the indices of the phases in which a curve of a motion is outside its band, for c."""
        motion, bands = self._explained.motions[m], self._explained.bands
        keys = [(name, motion.side) for name in motion.curves]
        masks = [self._beyond(key, bands, critical) for key in keys if key in self._means and key[0] in bands.mean_deg]
        phases = self._explained.phases[motion.side]
        return [p for p, phase in enumerate(phases) if any(mask[phase.percents].any() for mask in masks)]

    def finding(self, m: int, phases: Sequence[int], critical: float, evidence: _MotionEvidence) -> Finding:
        """Return the finding of a motion in phases, with c of the bands."""
        motion, bands = self._explained.motions[m], self._explained.bands
        inside = self._inside(motion, phases)
        name = self._most_deviating(motion, inside)
        key = (name, motion.side)
        ordered = sorted(phases, key=lambda p: -abs(evidence.shares[m, p]))
        own = self._explained.phases[motion.side]
        phase = own[ordered[0]]
        value = norm = sd = error = sds = math.nan
        fraction, usual, outside, percent = 0.0, 0.0, 0.0, (phase.first_percent + phase.last_percent) // 2
        if name in bands.mean_deg and key in self._means:
            deviation = (self._means[key] - bands.mean_deg[name]) / np.maximum(bands.sd_deg[name], 1e-9)
            if np.isfinite(deviation[inside]).any():
                percent = int(np.nanargmax(np.where(inside, np.abs(deviation), np.nan)))
                phase = next(each for each in own if each.first_percent <= percent <= each.last_percent)
                sds, norm, sd = (float(v[percent]) for v in (deviation, bands.mean_deg[name], bands.sd_deg[name]))
            fraction = float(self._beyond(key, bands, critical)[inside].mean())
            usual = float(self._beyond(key, self._explained.usual, critical)[inside].mean())
        if key in self._means:
            value = float(self._means[key][percent])
            error = float(self._errors[key][percent]) if key in self._errors else math.nan
            if name in bands.mean_deg:
                low, high = bands.limits(name, critical)
                outside = float(max(value - high[percent], low[percent] - value, 0.0))
        share, motion_share = float(evidence.shares[m, list(phases)].sum()), float(evidence.motion_shares[m])
        verdict, reason = find_verdict(
            Observation(
                share, motion_share, value, norm, sd, error, fraction, usual, self._speed_predicts, critical, outside
            )
        )
        return Finding(
            joint=motion.joint,
            axis=motion.axis,
            motion=motion.name,
            side=motion.side,
            phase=phase.name,
            percents=(phase.first_percent, phase.last_percent),
            attribution=float(np.nansum(evidence.attribution[m, list(phases)])),
            share=share,
            angle=motion.angle if motion.axis is not None else name or None,
            value_deg=value,
            norm_deg=norm,
            norm_sd_deg=sd,
            error_deg=error,
            sds=sds,
            outside_fraction=fraction,
            percent=percent,
            frame=self._frame(motion.side, percent),
            verdict=verdict,
            reason=reason,
            band_sds=critical,
            outside_deg=outside,
            phases=tuple(own[p].name for p in ordered),
        )

    def _inside(self, motion: Motion, phases: Sequence[int]) -> NDArray[np.bool_]:
        """Return the percents of the cycle that are in phases of a motion, (101,)."""
        mask = np.zeros(101, dtype=bool)
        for p in phases:
            mask[self._explained.phases[motion.side][p].percents] = True
        return mask

    def _beyond(self, key: tuple[str, str], bands: BandsAtSpeed, critical: float) -> NDArray[np.bool_]:
        return bands.outside(key[0], self._means[key], self._errors.get(key, np.zeros(101)), critical)

    def _most_deviating(self, motion: Motion, inside: NDArray[np.bool_]) -> str:
        """Return the name of the curve of a motion that deviates most within a mask (101,); "" if it has none."""
        bands = self._explained.bands

        def size(name: str) -> float:
            key = (name, motion.side)
            if name not in bands.mean_deg or key not in self._means:
                return -1.0
            sds = (self._means[key] - bands.mean_deg[name])[inside] / np.maximum(bands.sd_deg[name][inside], 1e-9)
            return float(np.nanmax(np.abs(sds))) if np.isfinite(sds).any() else -1.0

        return max(motion.curves, key=size, default="")

    def _frame(self, side: str, percent: int) -> int:
        """Return the frame of the poses nearest to a percent of the middle stride of a side; 0 without a stride."""
        strides = self._explained.walk.strides(side)
        if not strides:
            return 0
        stride = strides[len(strides) // 2]
        frame = round(stride.start + (stride.end - stride.start) * percent / 100)
        return min(frame, self._explained.sequence.num_frames - 1)
