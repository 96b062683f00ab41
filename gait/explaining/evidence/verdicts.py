"""The verdict of a finding, by stated rules.

In this order:

* *not observed*: no marker determines the motion.
* *no norm*: the norm does not have this motion.
* A deviation is real where the subject's mean curve is outside the norm's band at the subject's walking speed, widened
  by what its error has beyond the controls' (``norm_at_speed.BandsAtSpeed.outside``). The bands of all motions on which
  a decision relies hold all these curves of a new person like the controls with a probability of 95 %. Once a curve is
  outside, the bands of the others need not hold it: they are narrowed step by step, which keeps the probability that
  any verdict is wrong (Westfall & Young 1993, Resampling-Based Multiple Testing, ch. 2). The network chooses these
  curves, though, and rather those that deviate, which makes wrong verdicts more frequent than that. The bands hold over
  the whole cycle, since the network chooses the phase, too: bands of the chosen phases alone called more deviations
  real, but just as much more in healthy persons. The bands of ignored deviations hold all curves that the network sees.
* Of a real deviation: *real deviation*, or *deviation that the network ignores*, if the share of the
  magnitude of all attribution, over all phases of the motion, is at most ``IGNORED_SHARE``.
* *speed*: at the controls' usual speed the curve would be outside their band by the same rule; or the walking speed
  alone predicts the decision, which then needs no deviation beyond the speed, even where there is one. It does if a
  monotone curve of the logit by speed explains more than ``MIN_SPEED_VARIANCE`` of the logit's variance between the
  persons of the cohort, that is more than all else together; if it explains no less than their label, but for
  ``EQUAL_VARIANCE``, since patients walk slowly, so that speed explains a part of any good network's logits; and if the
  subject's logit is within ``RESIDUAL_SDS`` standard deviations of the persons' about the curve. Each person's logit is
  predicted from the others', as a curve follows the few persons to whom it is fitted.
* *looks where nothing deviates* otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gait.explaining.evidence.finding import Verdict
from gait.kinematics.norm_comparison import ERROR_FACTOR
from gait.text import with_true_minus

IGNORED_SHARE = 0.01
"""A motion with no more is ignored: if all 66 motions had the same magnitude, each had 1/66."""
MIN_SPEED_VARIANCE, EQUAL_VARIANCE, RESIDUAL_SDS = 0.5, 0.05, 2.0
UNUSUAL_SDS = 2.0
"""A difference of so many SD is called unusual: about one in twenty healthy persons has it in one value of a curve."""


@dataclass(frozen=True)
class Observation:
    """The numbers from which a verdict follows."""

    share: float  # of the evidence for the decision, in the phase; negative: against it
    motion_share: float  # of the magnitude of all attribution, of the motion over all phases
    value_deg: float  # NaN if not observed
    norm_deg: float  # NaN without a norm
    norm_sd_deg: float
    error_deg: float  # standard error; NaN if unknown
    outside_fraction: float  # of the phase beyond the band at the subject's speed by more than the error
    outside_fraction_usual: float  # the same beyond the band at the controls' usual speed
    speed_predicts: bool  # whether the walking speed alone predicts the decision
    band_sds: float = np.nan  # c of the band, mean ± c · SD
    outside_deg: float = 0.0  # by how much the value is outside the band


def speed_explains(speed_variance: float, label_variance: float) -> bool:
    """Return whether walking speed explains enough of the logits' variance (R², of persons left out) to decide alone.

    Beside it stands what the label explains.
    """
    return speed_variance > MIN_SPEED_VARIANCE and speed_variance > label_variance - EQUAL_VARIANCE


def find_verdict(observed: Observation) -> tuple[Verdict, str]:
    """Return the verdict and the rule behind it, one sentence with its numbers."""
    if not np.isfinite(observed.value_deg):
        return Verdict.NOT_OBSERVED, "No marker determines this motion in the strides of this trial."
    if not np.isfinite(observed.norm_deg):
        return Verdict.NO_NORM, "The norm does not have this motion."
    sds = (observed.value_deg - observed.norm_deg) / observed.norm_sd_deg
    numbers = (
        f"{observed.value_deg:.1f}° against {observed.norm_deg:.1f}° ± {observed.norm_sd_deg:.1f}° ({sds:+.1f} SD), "
    )
    error = ERROR_FACTOR * observed.error_deg
    numbers += f"95 % error ± {error:.1f}°" if np.isfinite(error) else "error unknown"
    return verdict_of(observed, sds, with_true_minus(numbers))


def verdict_of(observed: Observation, sds: float, numbers: str) -> tuple[Verdict, str]:
    """Return the verdict on a motion that is observed and in the norm; ``numbers`` are those of the sentence."""
    band = f"the controls' band (± {observed.band_sds:.1f} SD)" if np.isfinite(observed.band_sds) else "the band"
    if observed.outside_fraction > 0:
        by = f" by {observed.outside_deg:.1f}°" if observed.outside_deg > 0 else ""
        where = f"Outside {band}{by}, in {100 * observed.outside_fraction:.0f} % of its phases: {numbers}"
        if observed.motion_share <= IGNORED_SHARE:
            return Verdict.IGNORED, f"{where}; the motion has {100 * observed.motion_share:.1f} % of the attribution."
        if observed.speed_predicts:
            return Verdict.SPEED, f"{where}; but the walking speed alone predicts the decision."
        against = "; it speaks against the decision" if observed.share < 0 else ""
        return Verdict.REAL_DEVIATION, f"{where}{against}."
    if observed.outside_fraction_usual > 0:
        return Verdict.SPEED, f"Outside the band at the controls' usual speed, inside it at this speed: {numbers}."
    if observed.speed_predicts:
        return Verdict.SPEED, f"Inside {band}: {numbers}; the walking speed alone predicts the decision."
    unusual = " Unusual, but not shown to deviate." if abs(sds) >= UNUSUAL_SDS else ""
    widened = ", which the error of the fit widens" if abs(sds) > observed.band_sds else ""
    return Verdict.NO_DEVIATION, f"Inside {band}{widened} at this speed: {numbers}.{unusual}"
