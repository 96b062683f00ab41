"""Attribution summed to what clinicians name: knee in swing, push-off, arm swing, trunk sway, asymmetry, speed.

Each has the part of the logit that a stride has of it, with a 95 % interval over the trial's strides and the networks
of an ensemble. Their variances add, with Student's t of Welch & Satterthwaite's degrees of freedom (Satterthwaite 1946,
Biometrics Bull. 2:110). The interval says nothing of networks of other training cohorts. Concepts overlap: they don't
add up to the logit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.arrays import Vector
from gait.explaining.attribution import TrialAttribution
from gait.explaining.evidence.controls import LogitBySpeed
from gait.explaining.evidence.finding import Concept
from gait.explaining.evidence.motions import Motion, part_of
from gait.explaining.evidence.phase_attribution import mean_attribution
from gait.explaining.trained_network import TrainedNetwork
from gait.kinematics.gait_phases import PHASE_NAMES, CyclePhase
from gait.kinematics.strides import Stride
from gait.learning.ensemble import members_of
from gait.motion.dataset import Trial
from gait.motion.windows import WindowDataset

_SWING = PHASE_NAMES[4:]


@dataclass(frozen=True)
class ConceptDefinition:
    """Which motions in which phases a concept is the sum of."""

    name: str
    title: str
    parts: tuple[str, ...]  # joints without side
    axes: tuple[int, ...]  # of the network's input; all count of inputs without axes
    phases: tuple[str, ...] = PHASE_NAMES
    by_side: bool = False  # whether there is one concept per side
    needs_axes: bool = False  # whether inputs without axes cannot show it


CONCEPTS = (
    ConceptDefinition("knee_swing", "knee in swing", ("KNEE",), (0, 1, 2), _SWING, True),
    ConceptDefinition("knee_stance", "knee in stance", ("KNEE",), (0, 1, 2), PHASE_NAMES[:4], True),
    ConceptDefinition("ankle_push_off", "ankle push-off", ("ANKLE", "FOOT"), (0,), PHASE_NAMES[2:4], True),
    ConceptDefinition("ankle_swing", "ankle in swing", ("ANKLE", "FOOT"), (0,), _SWING, True),
    ConceptDefinition("arm_swing", "arm swing", ("COLLAR", "SHOULDER", "ELBOW"), (0, 1, 2), by_side=True),
    ConceptDefinition("trunk_sway", "trunk sway", ("SPINE1", "SPINE2", "SPINE3"), (2,), needs_axes=True),
    ConceptDefinition("trunk_posture", "trunk flexion", ("SPINE1", "SPINE2", "SPINE3"), (0,), needs_axes=True),
    ConceptDefinition("step_width", "step width, by hip adduction", ("HIP",), (2,), needs_axes=True),
)
"""Concepts by joint and phase."""


def find_concepts(
    trained: TrainedNetwork,
    trial: Trial,
    motions: Sequence[Motion],
    attributions: Sequence[TrialAttribution],
    strides: Mapping[str, Sequence[Stride]],
    phases: Mapping[str, Sequence[CyclePhase]],
    by_speed: LogitBySpeed | None,
    speed: float,
) -> tuple[Concept, ...]:
    """Return the concepts of a trial; ``by_speed`` is the cohort's logit by speed, ``speed`` the subject's."""
    found = []
    for definition in CONCEPTS:
        own = [motion for motion in motions if part_of(motion.joint) in definition.parts]
        own = [motion for motion in own if motion.axis is None or motion.axis in definition.axes]
        if definition.needs_axes and any(motion.axis is None for motion in own):
            continue
        for side in ("left", "right") if definition.by_side else ("",):
            chosen = [motion for motion in own if not side or motion.side == side]
            values = _sum_over_strides(chosen, attributions, strides, phases, definition.phases, trained.windows)
            title = f"{side} {definition.title}".strip()
            found.append(_concept(f"{definition.name}_{side}".strip("_"), title, values))
    found.append(_concept("asymmetry", "asymmetry of the sides", asymmetry(trained, trial)))
    if by_speed is not None and math.isfinite(speed):
        found.append(Concept("speed", "Walking speed alone", by_speed.at(speed), *by_speed.interval(speed), None))
    return tuple(concept for concept in found if math.isfinite(concept.value))


def _sum_over_strides(
    motions: Sequence[Motion],
    attributions: Sequence[TrialAttribution],
    strides: Mapping[str, Sequence[Stride]],
    phases: Mapping[str, Sequence[CyclePhase]],
    names: Sequence[str],
    windows: str,
) -> Vector:
    """Return the sums (K, n) by network and stride; with motions of both sides, the strides are taken in pairs."""
    total: Vector | None = None
    for motion in motions:
        values = mean_attribution(attributions, motion, strides, windows)
        inside = np.zeros(101, dtype=bool)
        for phase in phases[motion.side]:
            inside[phase.percents] = phase.name in names
        inside[-1] = False  # 100 % is 0 % of the next stride
        own = values[:, :, inside].sum(axis=2)
        own = own[:, np.isfinite(own).all(axis=0)]
        if total is None:
            total = own
        else:
            count = min(total.shape[1], own.shape[1])
            total = total[:, :count] + own[:, :count]
    return np.empty((len(attributions), 0)) if total is None else total


def asymmetry(trained: TrainedNetwork, trial: Trial) -> Vector:
    """Return by how much the logit is above that of the walk with both sides made equal, (K, n), by pair of steps.

    Windows that begin with the right foot are mirrored, so that the window of a pair's mean has the mean of both sides.
    The difference is between the pair's mean logit and the logit of its mean window.
    """
    windows = WindowDataset(
        [trial],
        trained.window_length,
        mirror=True,  # of windows of ``frames``; those of ``cycles`` are
        left_out=trained.left_out_joints,
        input=trained.input.name,
        windows=trained.windows,
        reference=trained.reference,
    )
    first = {side: _contacts(windows, trial, side) for side in ("left", "right")}
    pairs = [
        (int(index), int(first["right"][1][nearest]))
        for index, frame in zip(first["left"][1], first["left"][0], strict=True)
        if len(first["right"][0])
        for nearest in [int(np.argmin(np.abs(first["right"][0] - frame)))]
    ]
    if not pairs:
        return np.empty((1, 0))
    left, right = (windows.batch(torch.tensor([pair[k] for pair in pairs])) for k in (0, 1))

    def logits(network: torch.nn.Module, seen: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.as_tensor(network(seen)).double()

    return np.stack(
        [
            (0.5 * (logits(m, left) + logits(m, right)) - logits(m, 0.5 * (left + right))).numpy()
            for m in members_of(trained.network)
        ]
    )


def _contacts(windows: WindowDataset, trial: Trial, side: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return frames and indices of the windows that begin at contacts of a side, those of the right one mirrored."""
    frames = windows.first_frame.numpy()
    chosen = windows.is_mirrored.numpy() == (side == "right")
    events = np.rint(np.asarray(trial.events.initial_contacts[side]))
    near = np.abs(frames[:, None] - events).min(axis=1) <= 1 if len(events) else np.zeros(len(frames), dtype=bool)
    indices = np.flatnonzero(chosen & near)
    return frames[indices], indices


def _concept(name: str, title: str, values: Vector) -> Concept:
    """Return a concept from values (K, n) by network and stride; NaN if there are none."""
    if not values.size:
        return Concept(name, title, math.nan, math.nan, math.nan, None)
    by_network, by_stride = values.mean(axis=1), values.mean(axis=0)
    parts = [own.var(ddof=1) / len(own) for own in (by_network, by_stride) if len(own) > 1]
    freedoms = [len(own) - 1 for own in (by_network, by_stride) if len(own) > 1]
    value, half = float(values.mean()), math.nan
    if parts and sum(parts) > 0:
        freedom = sum(parts) ** 2 / sum(part**2 / own for part, own in zip(parts, freedoms, strict=True))
        half = float(scipy.stats.t.ppf(0.975, freedom) * math.sqrt(sum(parts)))
    agree = None if len(by_network) < 2 else bool((np.sign(by_network) == np.sign(value)).all())
    return Concept(name, title[0].upper() + title[1:], value, value - half, value + half, agree)
