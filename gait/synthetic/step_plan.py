"""Footprints of a trial: time and position of each stance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator

from gait.arrays import Vector
from gait.kinematics.gait_events import SIDES
from gait.synthetic.gait_pattern import GaitPattern
from gait.synthetic.normative_curves import FOOT_OFF

_STRIDES = 400  # different strides; longer trials repeat them
_PADDING_STRIDES = 2.0  # simulated before and after the recording, so that its ends have no boundary effects


@dataclass(frozen=True)
class Footprint:
    """Time and position of one stance."""

    initial_contact_s: float
    foot_off_s: float
    ankle_x_m: float  # of the ankle while the foot is flat, lateral positive
    ankle_z_m: float  # of the ankle while the foot is flat, forward
    heading_rad: float  # toe-out positive


@dataclass(frozen=True, eq=False)
class StepPlan:
    """Timing and footprints of one trial. Time 0 is the first recorded frame; T includes the padding around it."""

    time_s: Vector  # (T,)
    recorded: slice  # frames that are recorded
    phase: Vector  # (T,) of the left cycle, in cycles, unwrapped
    cycle: dict[str, Vector]  # by side (T,): phase of its cycle, warped so that foot off is at ``FOOT_OFF``
    footprints: dict[str, tuple[Footprint, ...]]  # by side, in temporal order
    forward_m: Vector  # (T,) position of a body that moves uniformly from footprint to footprint


def step_plan(pattern: GaitPattern, leg_length_m: float, seconds: float, rate_hz: float, seed: list[int]) -> StepPlan:
    """Plan the steps of a trial of ``seconds``, with stride-to-stride variability.

    Stride time varies by about 2 %, step length and width by about 1 cm (Hausdorff et al. 1996, J. Appl. Physiol.
    80:1448; Owings & Grabiner 2004, J. Biomech. 37:935). The same seed gives each stride the same variation, whatever
    the stride time.
    """
    stride = pattern.stride_time_s
    pad = int(np.ceil(_PADDING_STRIDES * stride * rate_hz))
    frames = round(seconds * rate_hz)
    time = (np.arange(frames + 2 * pad) - pad) / rate_hz
    random = np.random.default_rng(seed)
    scale = leg_length_m / 0.85
    begin = random.uniform()
    rhythm = smooth_noise(random, begin + time / stride, 0.8, 1)[:, 0]
    phase = np.cumsum(1 + 0.022 * rhythm) / (stride * rate_hz)
    phase += begin - phase[pad]
    sizes = np.array([0.008 * scale, 0.007 * scale, np.radians(0.8)])
    deviations = {side: sizes * random.standard_normal((_STRIDES, 3)) for side in SIDES}
    time_at = CubicSpline(phase, time)
    footprints: dict[str, tuple[Footprint, ...]] = {}
    cycles: dict[str, Vector] = {}
    for side, leg, delay, step_fraction in (
        ("left", pattern.left, 0.0, 0.0),
        ("right", pattern.right, pattern.right_delay, pattern.right_step_fraction),
    ):
        first, last = int(np.floor(phase[0])) - 1, int(np.ceil(phase[-1])) + 1
        prints = []
        for k in range(first, last + 1):
            contact, off = k + delay, k + delay + leg.stance_fraction
            length, width, heading = deviations[side][k % _STRIDES]
            if off < phase[0] or contact > phase[-1]:
                continue
            prints.append(
                Footprint(
                    initial_contact_s=float(time_at(contact)),
                    foot_off_s=float(time_at(off)),
                    ankle_x_m=pattern.step_width_m / 2 + width,
                    ankle_z_m=pattern.stride_length_m * (k + step_fraction) + length,
                    heading_rad=leg.toe_out_rad + heading,
                )
            )
        footprints[side] = tuple(prints)
        cycles[side] = warp_phase(phase - delay, leg.stance_fraction)
    return StepPlan(
        time_s=time,
        recorded=slice(pad, pad + frames),
        phase=phase,
        cycle=cycles,
        footprints=footprints,
        forward_m=pattern.stride_length_m * phase,
    )


def warp_phase(phase: Vector, stance_fraction: float) -> Vector:
    """Map phases (T,) so that foot off moves from ``stance_fraction`` to ``FOOT_OFF``, as in the normative curves."""
    whole = np.floor(phase)
    knots = np.array([stance_fraction - 1, 0, stance_fraction, 1, 1 + stance_fraction])
    values = np.array([FOOT_OFF - 1, 0, FOOT_OFF, 1, 1 + FOOT_OFF])
    return whole + PchipInterpolator(knots, values)(phase - whole)


def smooth_noise(random: np.random.Generator, phase: Vector, spacing: float, columns: int) -> Vector:
    """Draw smooth noise (T, columns) of about unit standard deviation.

    ``phase`` (T,) and ``spacing``, over which the noise changes, are in strides.
    """
    nodes = int(_STRIDES / spacing) + 1
    node_phases = spacing * (np.arange(nodes) - nodes // 2)
    values = random.standard_normal((nodes, columns))
    within = np.clip(phase, node_phases[0], node_phases[-1])
    return np.asarray(CubicSpline(node_phases, values, axis=0)(within), dtype=np.float64)
