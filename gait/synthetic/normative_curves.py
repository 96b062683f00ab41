"""Joint angles of healthy adults over the gait cycle, as smooth periodic curves.

Each table below holds (percent of the cycle, degrees) at control points, from one initial contact to the next of the
same side, with foot off at 61 %. The values were read by this project from the mean curves printed in

* D. A. Winter 1991, The Biomechanics and Motor Control of Human Gait, 2nd ed. (sagittal hip, knee, ankle, foot),
* J. Perry & J. M. Burnfield 2010, Gait Analysis: Normal and Pathological Function, 2nd ed. (pelvis, trunk, arms),
* M. P. Kadaba, H. K. Ramakrishnan & M. E. Wootten 1990, J. Orthop. Res. 8:383 (pelvis and hip in three planes),
* G. Bovi et al. 2011, Gait & Posture 33:6 (adults and children),

and rounded to one degree. Their change with speed follows M. H. Schwartz, A. Rozumalski & J. P. Trost 2008,
J. Biomech. 41:1639: ranges decrease at slower speeds; the timing hardly changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from gait.arrays import Vector

FOOT_OFF = 0.61
"""Phase of foot off in the tables, as a fraction of the cycle."""
PHASES = np.arange(100) / 100
"""Phases of the samples of most curves, in cycles."""
ADULT_SPEED = 0.43
"""Dimensionless walking speed, the root of the Froude number, at which the tables hold."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One joint angle over the gait cycle, interpolated by a periodic cubic spline."""

    samples: Vector  # (N,) radians at phases 0, 1/N, ..., (N-1)/N

    def at(self, phase: ArrayLike) -> Vector:
        """Return radians at phases of any shape, in cycles; the curve repeats every cycle."""
        closed = np.append(self.samples, self.samples[0])
        spline = CubicSpline(np.linspace(0, 1, len(closed)), closed, bc_type="periodic")
        return np.asarray(spline(np.mod(phase, 1.0)), dtype=np.float64)

    @property
    def mean(self) -> float:
        """Mean over the cycle, radians."""
        return float(self.samples.mean())

    @property
    def phases(self) -> Vector:
        """(N,) phases of the samples, in cycles."""
        return np.arange(len(self.samples)) / len(self.samples)

    def scale_excursion(self, factor: float) -> Curve:
        """Multiply the excursion about the mean by ``factor``."""
        return Curve(self.mean + factor * (self.samples - self.mean))

    def offset(self, radians: float | Vector) -> Curve:
        """Add a constant, or values (N,) at the curve's own phases."""
        return Curve(self.samples + radians)


def curve(table_deg: str, samples: int = 100) -> Curve:
    """Interpolate control points ``"percent:degrees percent:degrees ..."`` by a periodic cubic spline."""
    points = np.array([[float(x) for x in point.split(":")] for point in table_deg.split()])
    phase, degrees = points[:, 0] / 100, points[:, 1]
    spline = CubicSpline(np.append(phase, phase[0] + 1), np.append(degrees, degrees[0]), bc_type="periodic")
    return Curve(np.radians(spline(np.arange(samples) / samples)))


HIP_FLEXION = curve("0:34 6:33 12:29 20:21 30:10 40:0 48:-7 53:-9 59:-5 65:4 72:17 80:29 87:35 94:35.5")
"""Thigh against pelvis, flexion positive (Kadaba 1990; Winter 1991)."""

HIP_ADDUCTION = curve("0:0 6:2 14:5 25:4.5 38:3 50:1 58:-4 65:-6 75:-5 88:-2")
"""Thigh against pelvis in the frontal plane (Kadaba 1990)."""

HIP_ROTATION = curve("0:-2 15:2 30:3 50:2 62:-3 80:-2")
"""Thigh about its long axis, internal positive (Kadaba 1990)."""

KNEE_FLEXION = curve(
    "0:5 5:10 10:16.5 15:19 20:18 28:12 36:7 42:5.5 47:9 50:13 54:22 60:40 66:55 72:61 77:58 84:40 91:16 96:6"
)
"""Shank against thigh (Winter 1991; Perry & Burnfield 2010)."""

ANKLE_DORSIFLEXION = curve(
    "0:0 4:-4 8:-5.5 14:-1 22:4 32:7.5 42:10.5 47:10.5 52:5 57:-7 62:-16.5 66:-15 72:-7 79:0 86:1.5 94:1"
)
"""Foot against shank, 0 at a right angle (Winter 1991; Kadaba 1990)."""

FOOT_PITCH_STANCE = curve(
    "0:19 3:13 6:4.5 9:0.3 14:0 22:0 30:-0.5 36:-2 42:-6.5 46:-11 50:-18 53:-27 "
    "56:-39 59:-53 62:-65 66:-70 72:-62 80:-34 88:2 95:20"
)
"""Sole against the floor, toes up positive (Winter 1991, foot segment angle); used in stance only."""

PELVIS_TILT = curve("0:10.5 12:9.5 25:10.5 37:10 50:10.5 62:9.5 75:10.5 87:10")
"""Anterior tilt of the plane through the four iliac spines (Kadaba 1990)."""

PELVIS_OBLIQUITY = curve("0:0 8:3.5 15:4.2 25:2.5 38:1 50:0 58:-3.5 65:-4.2 75:-2.5 88:-1")
"""Ipsilateral side up positive (Kadaba 1990)."""

PELVIS_ROTATION = curve("0:4.5 12:4 25:0 38:-3 50:-4.5 62:-4 75:0 88:3")
"""Ipsilateral side forward positive (Kadaba 1990)."""

TRUNK_FLEXION = curve("0:3.5 12:4 25:3 37:2.5 50:3.5 62:4 75:3 87:2.5")
"""Thorax against the vertical, forward positive (Perry & Burnfield 2010)."""

TRUNK_LEAN = curve("0:0 15:1.6 30:1.2 50:0 65:-1.6 80:-1.2")
"""Thorax against the vertical, towards the ipsilateral side positive (Perry & Burnfield 2010)."""

TRUNK_ROTATION = curve("0:-4 25:0 50:4 75:0")
"""Thorax in space, ipsilateral side forward positive; opposite to the pelvis (Perry & Burnfield 2010)."""

SHOULDER_FLEXION = curve("0:-20 10:-18 25:-7 40:6 50:11 60:8 75:-5 90:-17")
"""Upper arm against thorax, forward positive; the arm swings with the contralateral leg (Perry & Burnfield 2010)."""

ELBOW_FLEXION = curve("0:15 15:16 30:22 45:30 52:32 62:29 80:20 92:16")
"""Forearm against upper arm, in phase with the forward swing of the arm (Perry & Burnfield 2010)."""
