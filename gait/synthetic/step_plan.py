"""When and where the feet touch the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from gait.synthetic.gait_pattern import GaitPattern
from gait.synthetic.leg_kinematics import SIDES
from gait.synthetic.normative_curves import TOE_OFF

Vector = NDArray[np.float64]

_STRIDES = 400  # as many different ones; longer walks repeat them
_PADDING_STRIDES = 2.0  # before and after the recording, so that its ends are like its middle


@dataclass(frozen=True)
class Footprint:
    """One stance of one foot."""

    strike_s: float
    toe_off_s: float
    ankle_x_m: float  # to the foot's own outside, where the ankle stands while the foot is flat
    ankle_z_m: float  # forwards
    heading_rad: float  # toes to the outside


@dataclass(frozen=True, eq=False)
class StepPlan:
    """The rhythm of one walk. Time 0 is the first frame of the recording; there are steps before and after it."""

    time_s: Vector  # (T,) of all frames, those before and after the recording too
    recorded: slice  # the recording's own frames
    phase: Vector  # (T,) of the left cycle, unwrapped
    cycle: dict[str, Vector]  # by side (T,): phase of the side's cycle, warped to have toe-off at ``TOE_OFF``
    footprints: dict[str, tuple[Footprint, ...]]  # by side, in time
    forward_m: Vector  # (T,) of a body moving evenly from footprint to footprint


def step_plan(pattern: GaitPattern, leg_length_m: float, seconds: float, rate_hz: float, seed: list[int]) -> StepPlan:
    """Steps for a recording of ``seconds``, with natural variation from stride to stride.

    The same seed gives the same strides the same variation, however long they take.

    Stride time varies by about 2 %, step length and width by about 1 cm (Hausdorff et al. 1996, J. Appl. Physiol.
    80:1448; Owings & Grabiner 2004, J. Biomech. 37:935).
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
    when = CubicSpline(phase, time)
    footprints: dict[str, tuple[Footprint, ...]] = {}
    cycles: dict[str, Vector] = {}
    for side, leg, delay, share in (
        ("left", pattern.left, 0.0, 0.0),
        ("right", pattern.right, pattern.right_delay, pattern.right_step_share),
    ):
        first, last = int(np.floor(phase[0])) - 1, int(np.ceil(phase[-1])) + 1
        prints = []
        for k in range(first, last + 1):
            strike, off = k + delay, k + delay + leg.stance_share
            length, width, heading = deviations[side][k % _STRIDES]
            if off < phase[0] or strike > phase[-1]:
                continue
            prints.append(
                Footprint(
                    strike_s=float(when(strike)),
                    toe_off_s=float(when(off)),
                    ankle_x_m=pattern.step_width_m / 2 + width,
                    ankle_z_m=pattern.stride_length_m * (k + share) + length,
                    heading_rad=leg.toe_out_rad + heading,
                )
            )
        footprints[side] = tuple(prints)
        cycles[side] = warped(phase - delay, leg.stance_share)
    return StepPlan(
        time_s=time,
        recorded=slice(pad, pad + frames),
        phase=phase,
        cycle=cycles,
        footprints=footprints,
        forward_m=pattern.stride_length_m * phase,
    )


def warped(phase: Vector, stance_share: float) -> Vector:
    """Phases at which normative curves are read, of phases (T,) of a cycle with toe-off at ``stance_share``."""
    whole = np.floor(phase)
    knots = np.array([stance_share - 1, 0, stance_share, 1, 1 + stance_share])
    values = np.array([TOE_OFF - 1, 0, TOE_OFF, 1, 1 + TOE_OFF])
    return whole + PchipInterpolator(knots, values)(phase - whole)


def smooth_noise(random: np.random.Generator, phase: Vector, spacing: float, columns: int) -> Vector:
    """(T, columns) noise of about unit deviation at phases (T,) in strides; it changes over about ``spacing``."""
    nodes = int(_STRIDES / spacing) + 1
    places = spacing * (np.arange(nodes) - nodes // 2)
    values = random.standard_normal((nodes, columns))
    within = np.clip(phase, places[0], places[-1])
    return np.asarray(CubicSpline(places, values, axis=0)(within), dtype=np.float64)
