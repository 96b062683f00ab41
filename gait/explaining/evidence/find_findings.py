"""The findings of an explained walk: where its evidence is, and whether the walk deviates there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.explaining.evidence.explained_walk import ExplainedWalk
from gait.explaining.evidence.finding import Finding, Verdict
from gait.explaining.evidence.motions import Motion
from gait.explaining.evidence.norm_at_speed import BandsAtSpeed
from gait.explaining.evidence.phase_attribution import mean_attribution
from gait.explaining.evidence.verdicts import RESIDUAL_SDS, Observation, find_verdict, speed_explains
from gait.kinematics.gait_events import SIDES
from gait.kinematics.gait_phases import CyclePhase
from gait.kinematics.strides import finite_mean

EVIDENCE_SHOWN = 0.8
"""The findings with the most evidence that together have this share of it are stated,"""
MIN_SHARE, MAX_FINDINGS = 0.02, 12
"""if each has at least this share, about ten times what it were if 66 motions had the same in seven phases; and at most
so many."""
MAX_OTHERS = 6
"""Of real deviations of other motions, and of those that the network ignores, at most so many are stated."""


def find_findings(explained: ExplainedWalk) -> tuple[Finding, ...]:
    """Return the findings that the decision relies on, the largest evidence first.

    Real deviations of other motions follow, those with a negative share against the decision, and then ignored ones.
    """
    each_share = _shares(explained)
    if not each_share.shares.any():
        return ()
    by_phase, shares, motion_shares = each_share.attribution, each_share.shares, each_share.motion_shares
    chosen, curves = each_share.chosen, _Curves(explained)

    def finding(m: int, p: int, critical: float) -> Finding:
        return curves.finding(m, p, critical, by_phase[m, p], shares[m, p], motion_shares[m])

    critical = curves.step_down(chosen)
    found = [finding(m, p, critical) for m, p in chosen]
    critical = explained.controls.critical_value()
    others, ignored = [], []
    for m in {*range(len(explained.motions))} - {m for m, _ in chosen}:
        deviating = [finding(m, p, critical) for p in curves.outside_phases(m, critical)]
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


def critical_values(explained: ExplainedWalk) -> dict[str, float]:
    """Return c of the band mean ± c · SD of each curve, as the verdicts have it.

    Curves on which the decision relies have narrower bands than all that the network sees (``verdicts``).
    """
    chosen = _shares(explained).chosen
    own, others = _Curves(explained).step_down(chosen), explained.controls.critical_value()
    names = {name for m, _ in chosen for name in explained.motions[m].curves}
    return {name: own if name in names else others for name in explained.bands.mean_deg}


@dataclass(frozen=True, eq=False)
class _Shares:
    """How much evidence each motion has in each phase."""

    attribution: Vector  # (M, 7) logit units
    shares: Vector  # (M, 7) of the evidence for the decision; 0 without any
    motion_shares: Vector  # (M,) of the magnitude of all attribution
    chosen: tuple[tuple[int, int], ...]  # motion and phase of the findings with the most evidence, the largest first


def _shares(explained: ExplainedWalk) -> _Shares:
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
        return _Shares(by_phase, np.zeros_like(evidence), np.zeros(len(evidence)), ())
    shares = evidence / total
    order = [divmod(int(k), shares.shape[1]) for k in np.argsort(-shares, axis=None)[:MAX_FINDINGS]]
    larger = np.concatenate([[0.0], np.cumsum([shares[each] for each in order])[:-1]])
    chosen = tuple(
        each for each, sum_ in zip(order, larger, strict=True) if shares[each] >= MIN_SHARE and sum_ < EVIDENCE_SHOWN
    )
    return _Shares(by_phase, shares, np.abs(evidence).sum(axis=1) / magnitude, chosen)


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

    def step_down(self, chosen: Sequence[tuple[int, int]]) -> float:
        """Return c of the bands of motions in phases, narrowed as ``verdicts`` describes it."""
        motions, bands, phases = self._explained.motions, self._explained.bands, self._explained.phases
        inside: dict[tuple[str, str], NDArray[np.bool_]] = {}
        for m, p in chosen:
            for name in motions[m].curves:
                mask = inside.setdefault((name, motions[m].side), np.zeros(101, dtype=bool))
                mask[phases[motions[m].side][p].percents] = True
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

    def finding(
        self, m: int, p: int, critical: float, attribution: float, share: float, motion_share: float
    ) -> Finding:
        """Return the finding of a motion in a phase, with c of the bands."""
        motion, bands = self._explained.motions[m], self._explained.bands
        phase = self._explained.phases[motion.side][p]
        name = self._most_deviating(motion, phase)
        key = (name, motion.side)
        inside = phase.percents
        value = norm = sd = error = sds = math.nan
        fraction, usual, outside, percent = 0.0, 0.0, 0.0, (phase.first_percent + phase.last_percent) // 2
        if name in bands.mean_deg and key in self._means:
            deviation = (self._means[key] - bands.mean_deg[name]) / np.maximum(bands.sd_deg[name], 1e-9)
            if np.isfinite(deviation[inside]).any():
                percent = phase.first_percent + int(np.nanargmax(np.abs(deviation[inside])))
                sds, norm, sd = (float(v[percent]) for v in (deviation, bands.mean_deg[name], bands.sd_deg[name]))
            fraction = float(self._beyond(key, bands, critical)[inside].mean())
            usual = float(self._beyond(key, self._explained.usual, critical)[inside].mean())
        if key in self._means:
            value = float(self._means[key][percent])
            error = float(self._errors[key][percent]) if key in self._errors else math.nan
            if name in bands.mean_deg:
                low, high = bands.limits(name, critical)
                outside = float(max(value - high[percent], low[percent] - value, 0.0))
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
            attribution=float(attribution),
            share=float(share),
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
        )

    def _beyond(self, key: tuple[str, str], bands: BandsAtSpeed, critical: float) -> NDArray[np.bool_]:
        return bands.outside(key[0], self._means[key], self._errors.get(key, np.zeros(101)), critical)

    def _most_deviating(self, motion: Motion, phase: CyclePhase) -> str:
        """Return the name of the curve of a motion that deviates most within a phase; "" if it has none."""
        bands, inside = self._explained.bands, phase.percents

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
