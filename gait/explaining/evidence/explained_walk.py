"""One trial as the network decides it, with what its evidence is computed from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gait.body.pose_sequence import PoseSequence
from gait.errors import GaitError
from gait.explaining.attribution import TrialAttribution
from gait.explaining.evidence.controls import Cohort, Controls
from gait.explaining.evidence.measured_walk import MeasuredWalk, measure_walk
from gait.explaining.evidence.motions import Motion, motions_of
from gait.explaining.evidence.norm_at_speed import BandsAtSpeed, bands_at_speed
from gait.explaining.explain_trial import explain_trial
from gait.explaining.options import ExplainOptions
from gait.explaining.prepare_trial import prepare_trial
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.gait_events import SIDES
from gait.kinematics.gait_phases import CyclePhase, gait_phases
from gait.motion.pose_files import read_poses


@dataclass(frozen=True, eq=False)
class ExplainedWalk:
    """One trial as the network decides it, with what its evidence is computed from."""

    trained: TrainedNetwork
    walk: MeasuredWalk
    sequence: PoseSequence  # at the rate of the recording
    controls: Controls
    bands: BandsAtSpeed  # at the subject's speed
    usual: BandsAtSpeed  # at the controls' usual speed
    motions: tuple[Motion, ...]
    attributions: tuple[TrialAttribution, ...]  # of each network of an ensemble
    phases: Mapping[str, tuple[CyclePhase, ...]]  # by side
    logit: float  # mean over windows
    probability: float

    @property
    def sign(self) -> float:
        """1 if the decision is sick, else -1."""
        return 1.0 if self.probability >= 0.5 else -1.0


def explain_walk(
    trained: TrainedNetwork,
    trial_folder: Path,
    cohort: Cohort,
    options: ExplainOptions,
    sequence: PoseSequence | None = None,
    attribution: TrialAttribution | None = None,
) -> ExplainedWalk:
    """Read and explain a trial, or a segment of a split trial.

    Args:
        trained: the network.
        trial_folder: of the poses.
        cohort: of ``read_cohort``; the subject's own trials are left out of it.
        options: method, rule and stride.
        sequence: the poses of the folder if they are read already.
        attribution: that of ``explain_trial`` for the same trial, network and options; it is computed if it is None or
            was read from a file.

    Raises:
        GaitError: the trial cannot be read or explained, or has no stride.
    """
    sequence = read_poses(trial_folder) if sequence is None else sequence
    trial = prepare_trial(trial_folder, sequence, trained, keep_standing=options.keep_standing)
    walk = measure_walk(trained, trial, sequence)
    if not any(walk.strides(side) for side in SIDES):
        raise GaitError(f"{trial_folder}: has no straight stride to compare with a norm; evidence needs one.")
    if attribution is None or attribution.window_logits is None:
        attribution = explain_trial(trained, trial, options.method, rule=options.rule, stride=options.stride)
    assert attribution.window_logits is not None
    controls = cohort.without(trial.subject_id)
    typical = controls.norm.typical_speed
    return ExplainedWalk(
        trained=trained,
        walk=walk,
        sequence=sequence,
        controls=controls,
        bands=bands_at_speed(controls.norm, walk.dimensionless_speed, controls.errors_deg),
        usual=bands_at_speed(controls.norm, math.nan if typical is None else typical, controls.errors_deg),
        motions=motions_of(trained.input, trained.left_out_joints),
        attributions=attribution.members or (attribution,),
        phases={side: gait_phases(walk.strides(side)) for side in SIDES},
        logit=float(attribution.window_logits.mean()),
        probability=attribution.trial_probability,
    )
