"""Hand-filled evidence on a decision, whose every number a test knows."""

from __future__ import annotations

from typing import Any

import numpy as np

from gait.body.skeleton import Joint
from gait.explaining.evidence.finding import (
    Concept,
    Counterfactual,
    CounterfactualWalk,
    CurveChange,
    Evidence,
    Finding,
    TrialFaithfulness,
    Verdict,
)
from gait.synthetic import make_subject, make_trial

KNEE: dict[str, Any] = {
    "joint": Joint.LEFT_KNEE, "axis": 0, "motion": "left knee flexion", "side": "left", "phase": "initial swing",
    "percents": (62, 75), "attribution": 1.4, "share": 0.61, "angle": "knee_flexion", "value_deg": 38.12,
    "norm_deg": 58.04, "norm_sd_deg": 6.03, "error_deg": 0.58, "sds": -3.3, "outside_fraction": 0.8, "percent": 71,
    "frame": 142, "verdict": Verdict.REAL_DEVIATION, "reason": "3.3 SD below the norm.",
    "relied_on": True, "probability_without": 0.41, "phases": ("initial swing", "mid swing"),
}  # fmt: skip


def finding(**changes: Any) -> Finding:
    """Return a finding on the left knee, with changes."""
    return Finding(**{**KNEE, **changes})


UNUSED = finding(
    joint=Joint.RIGHT_ANKLE, motion="right ankle dorsiflexion", side="right", phase="mid swing", percents=(75, 87),
    attribution=0.01, share=0.004, angle="ankle_dorsiflexion", value_deg=-12.3, norm_deg=1.0, norm_sd_deg=4.0,
    sds=-3.3, verdict=Verdict.IGNORED, reason="", relied_on=False, probability_without=np.nan, phases=("mid swing",),
)  # fmt: skip
UNOBSERVED = finding(
    joint=Joint.LEFT_WRIST, motion="left wrist flexion", angle=None, value_deg=np.nan, norm_deg=np.nan, share=0.2,
    norm_sd_deg=np.nan, error_deg=np.nan, sds=np.nan, verdict=Verdict.NOT_OBSERVED, reason="", relied_on=False,
    probability_without=np.nan, phases=("mid swing", "initial swing"),
)  # fmt: skip


def counterfactual(body: Any, *, found: bool = True) -> Counterfactual:
    """Return a counterfactual that bends the left knee by 13.9° more, or none; its walk is any walk of a body."""
    if not found:
        return Counterfactual(0.93, None, None, "No change within the limits of the body changes the decision.")
    change = CurveChange(
        Joint.LEFT_KNEE, 0, "left knee flexion", "knee_flexion", "left", "initial swing", 71, 38.12, 52.02, 58.04, 6.03,
        0.58,
    )  # fmt: skip
    sequence = make_trial(body, make_subject(body, 1), None, seconds=0.3, seed=1).ground_truth
    curves = {("knee_flexion", "left"): np.linspace(0, 52, 101)}
    walk = CounterfactualWalk(0.41, (change,), sequence, curves, 4.4, True)
    blind = {(Joint.LEFT_KNEE, 0): 9.6, (Joint.RIGHT_ELBOW, 1): float("inf")}
    return Counterfactual(0.93, walk, None, blind_spots_deg=blind)


def evidence(*findings: Finding, **changes: Any) -> Evidence:
    """Return the evidence of a patient called sick; of one finding on the knee unless others are given."""
    fields: dict[str, Any] = {
        "subject": "sick/P02", "trial": "walk1", "method": "integrated_gradients", "logit": 2.6, "probability": 0.93,
        "norm": "Controls", "dimensionless_speed": 0.41, "speed_logit": 0.8, "speed_variance": 0.31,
        "label_variance": 0.62, "findings": findings or (finding(),),
        "faithfulness": TrialFaithfulness(5.2, 0.62, 0.11, 0.14),
        "concepts": (
            Concept("knee_swing_left", "Left knee in swing", 1.2, 0.9, 1.5, True),
            Concept("arm_swing", "Arm swing", -0.3, -0.5, -0.1, False),
        ),
    }  # fmt: skip
    return Evidence(**{**fields, **changes})
