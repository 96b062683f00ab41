"""When and where the feet touch the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from gait.synthetic.gait_pattern import GaitPattern
from gait.synthetic.normative_curves import TOE_OFF

Vector = NDArray[np.float64]

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


def step_plan(
    pattern: GaitPattern, leg_length_m: float, seconds: float, rate_hz: float, random: np.random.Generator
) -> StepPlan:
    """Steps for a recording of ``seconds``, with natural variation from stride to stride.

    Stride time varies by about 2 %, step length and width by about 1 cm (Hausdorff et al. 1996, J. Appl. Physiol.
    80:1448; Owings & Grabiner 2004, J. Biomech. 37:935).
    """
    stride = pattern.stride_time_s
    pad = int(np.ceil(_PADDING_STRIDES * stride * rate_hz))
    frames = round(seconds * rate_hz)
    time = (np.arange(frames + 2 * pad) - pad) / rate_hz
    rhythm = _slow_noise(random, len(time), 0.9 * stride * rate_hz)
    phase = np.cumsum(1 + 0.018 * rhythm) / (stride * rate_hz)
    phase += random.uniform() - phase[pad]
    when = CubicSpline(phase, time)
    scale = leg_length_m / 0.85
    footprints = {}
    cycles = {}
    for side, leg, delay, share in (
        ("left", pattern.left, 0.0, 0.0),
        ("right", pattern.right, pattern.right_delay, pattern.right_step_share),
    ):
        first, last = int(np.floor(phase[0])) - 1, int(np.ceil(phase[-1])) + 1
        prints = []
        for k in range(first, last + 1):
            strike, off = k + delay, k + delay + leg.stance_share
            length, width, heading = random.normal(0, [0.008 * scale, 0.007 * scale, np.radians(0.8)])
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


def slow_noise(random: np.random.Generator, frames: int, width_frames: float, columns: int = 1) -> Vector:
    """(frames, columns) noise of unit deviation that changes over about ``width_frames``."""
    return np.stack([_slow_noise(random, frames, width_frames) for _ in range(columns)], axis=1)


def _slow_noise(random: np.random.Generator, frames: int, width_frames: float) -> Vector:
    margin = int(4 * width_frames) + 1
    white = random.standard_normal(frames + 2 * margin)
    smooth = gaussian_filter1d(white, width_frames / 2)[margin : margin + frames]
    # What a Gaussian of this width leaves of white noise: 1 / (2 √π σ) of its variance.
    return smooth * np.sqrt(2 * np.sqrt(np.pi) * width_frames / 2)
