"""The evidence beside an explanation of one trial: findings with verdicts, faithfulness and concepts."""

from __future__ import annotations

import math
from collections.abc import Callable

from gait.explaining.attribution import observation_notes
from gait.explaining.evidence.concepts import find_concepts
from gait.explaining.evidence.explained_walk import ExplainedWalk
from gait.explaining.evidence.find_findings import find_findings
from gait.explaining.evidence.finding import Counterfactual, Evidence
from gait.explaining.evidence.trial_faithfulness import measure_trial_faithfulness
from gait.explaining.options import ExplainOptions
from gait.kinematics.gait_events import SIDES

FindCounterfactual = Callable[[ExplainedWalk], Counterfactual]


def compute_evidence(
    explained: ExplainedWalk, options: ExplainOptions, *, find_counterfactual: FindCounterfactual | None = None
) -> Evidence:
    """Return the evidence beside the network's decision on an explained walk."""
    walk, controls = explained.walk, explained.controls
    speed, by_speed = walk.dimensionless_speed, controls.logit_by_speed
    method = explained.attributions[0].method
    notes = [*controls.notes, *observation_notes(explained.attributions[0])]
    notes += [explained.bands.note] if explained.bands.note else []
    return Evidence(
        subject=walk.trial.subject_id,
        trial=walk.trial.trial_name,
        method=method,
        logit=explained.logit,
        probability=explained.probability,
        norm=controls.title,
        dimensionless_speed=speed,
        speed_logit=math.nan if by_speed is None or math.isnan(speed) else by_speed.at(speed),
        speed_variance=math.nan if by_speed is None else by_speed.variance_explained,
        label_variance=math.nan if by_speed is None else by_speed.variance_explained_by_label,
        findings=find_findings(explained),
        faithfulness=measure_trial_faithfulness(explained.trained, walk.trial, speed, controls, method, options.rule),
        concepts=find_concepts(
            explained.trained,
            walk.trial,
            explained.motions,
            explained.attributions,
            {side: walk.strides(side) for side in SIDES},
            explained.phases,
            by_speed,
            speed,
        ),
        counterfactual=None if find_counterfactual is None else find_counterfactual(explained),
        notes=tuple(notes),
    )
