"""What is found of one decision of a network: findings with a verdict each, concepts, and a counterfactual."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gait.arrays import Vector
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import Joint


class Verdict(StrEnum):
    """What a finding comes to, by the rules of ``verdicts``."""

    REAL_DEVIATION = "real deviation"
    NO_DEVIATION = "looks where nothing deviates"
    IGNORED = "deviation that the network ignores"
    SPEED = "speed"
    NOT_OBSERVED = "not observed"
    NO_NORM = "no norm for it"


@dataclass(frozen=True)
class Finding:
    """One motion of one joint: its attribution in phases of the gait cycle, and whether the walk deviates there."""

    joint: Joint
    axis: int | None  # of the network's input, 0 to 2; None if the input has no axes of rotation
    motion: str  # "left knee flexion"; without axes the name of the joint or segment
    side: str  # "left" or "right": whose gait cycle the percents are of
    phase: str  # "initial swing": that of the value below
    percents: tuple[int, int]  # first and last percent of that phase
    attribution: float  # logit units, summed over ``phases``; positive is evidence for the sick class
    share: float  # of the evidence for the decision; negative: it speaks against the decision
    angle: str | None  # name in ``gait.kinematics.joint_angles.ANGLES``; None if none describes the motion
    value_deg: float  # of the subject's mean curve, where it deviates most within ``phases``; NaN if not observed
    norm_deg: float  # mean of the norm there, at the subject's walking speed; NaN without a norm
    norm_sd_deg: float
    error_deg: float  # standard error of the mean curve there
    sds: float  # (value − norm) / SD
    outside_fraction: float  # of ``phases`` beyond the norm's band by more than the error
    percent: int  # of the cycle, where the value is
    frame: int  # of the trial, nearest to that percent of its middle stride; where a click goes
    verdict: Verdict
    reason: str = ""  # the rule behind the verdict, with its numbers, one sentence
    band_sds: float = math.nan  # c of the norm's band, mean ± c · SD
    outside_deg: float = 0.0  # by how much the value is outside the band; 0 inside it
    relied_on: bool = False  # whether it is one of those without which the decision would be another (``relied_on``)
    probability_without: float = math.nan  # P(sick) without this finding and those before; NaN if it is not relied on
    phases: tuple[str, ...] = ()  # to which attribution and share belong, that with the most evidence first


@dataclass(frozen=True)
class TrialFaithfulness:
    """Deletion on the windows of this trial: share of the logit's whole fall after a tenth of the patches.

    Patches are replaced by those of controls at the same phase and nearest pace.
    """

    whole_fall: float  # of the logit of the predicted class
    share: float  # in the order of this explanation; NaN if the whole fall is 0
    random_share: float  # in random order, mean
    randomized_share: float  # in the order of the same method on the network with randomized weights, mean


@dataclass(frozen=True)
class Concept:
    """Attribution summed to what clinicians name, such as knee in swing; with an interval over strides and networks."""

    name: str  # "knee_swing_left"
    title: str  # "Left knee in swing"
    value: float  # logit units; positive is evidence for the sick class
    low: float  # 95 % interval
    high: float
    networks_agree: bool | None  # whether networks of several folds have the same sign; None if there is only one


@dataclass(frozen=True)
class CurveChange:
    """The change of one joint angle in a counterfactual, where it is largest."""

    joint: Joint
    axis: int  # of the network's input
    motion: str  # "left knee flexion"
    angle: str | None  # name in ``ANGLES``; None if none describes the motion
    side: str
    phase: str
    percent: int  # of the cycle of ``side``
    from_deg: float  # of the subject's mean curve there
    to_deg: float
    norm_deg: float  # mean of the norm there, at the subject's walking speed; NaN without a norm
    norm_sd_deg: float
    error_deg: float  # standard error of the mean curve there
    follows: bool = False  # not sought: a joint of the legs that gives way so that the feet stay on the floor

    @property
    def change_deg(self) -> float:
        """The change, degrees."""
        return self.to_deg - self.from_deg


@dataclass(frozen=True, eq=False)
class CounterfactualWalk:
    """The subject's walk after a change of its joint angles, and what the network makes of it."""

    probability: float  # P(sick) by a fresh forward pass of the changed walk
    changes: tuple[CurveChange, ...]  # the one with the largest effect on the logit first; those that follow last
    sequence: PoseSequence  # the changed walk, as long as the trial, at its rate
    curves_deg: Mapping[tuple[str, str], Vector]  # mean curves of its angles by (angle, side), (101,)
    foot_slide_mm: float  # horizontal distance that the stance feet move more than in the trial, at most
    within_limits: bool  # whether no joint is beyond the limits of the body


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """What would change the decision."""

    probability: float  # P(sick) of the trial
    boundary: (
        CounterfactualWalk | None
    )  # the smallest change after which the decision is another; None if there is none
    median: CounterfactualWalk | None  # the same direction, up to the median logit of the controls in training
    reason: str = ""  # why there is none, one sentence
    # by (joint, axis): degrees up to which a change leaves the decision; infinite: beyond the limits of the body
    blind_spots_deg: Mapping[tuple[Joint, int], float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence beside one network's decision on one trial."""

    subject: str  # "sick/P02"
    trial: str
    method: str
    logit: float  # mean over the trial's windows
    probability: float  # P(sick), mean over the trial's windows
    norm: str  # title of the norm; "" without one
    dimensionless_speed: float  # of the subject; NaN if unknown
    speed_logit: float  # the part of the logit that speed alone predicts; NaN if unknown
    findings: tuple[Finding, ...]  # those that are relied on first, ignored deviations last
    faithfulness: TrialFaithfulness
    concepts: tuple[Concept, ...] = ()
    counterfactual: Counterfactual | None = None  # None if it was not sought
    notes: tuple[str, ...] = ()  # one sentence each, on what is missing or limits the evidence
    # what of the variance of the cohort's logits speed and label explain, each person left out (R²); NaN if unknown
    speed_variance: float = math.nan
    label_variance: float = math.nan
