"""What poses people take: the built-in prior for when no learned one (VPoser) is installed.

A Gaussian around relaxed standing, wide enough for walking, and limits of the joints. Both are for the free
tree's axis-angle numbers of the 22 body joints, relative to the T-pose, so a limit on one axis is exact
only where the others are near zero. That is so in hips, knees, ankles and spine while walking, and roughly
so in the shoulders.

Signs follow from the body's frame (facing +z, y up, left at +x). Turning by a positive angle
  about x: a leg backward, the trunk and head forward, the toes down. Hip flexion is −x, knee flexion +x,
           plantarflexion +x, spine flexion +x;
  about y: everything towards the person's left. Internal rotation of the left leg is −y;
           flexion of the left elbow from the T-pose (palm down) is −y;
  about z: the left arm up, both legs towards the left. Abduction of the left leg is +z, an arm hanging on
  the left −z.
The right side is the mirror image: the same x, opposite y and z.

Sources
  Ranges: American Academy of Orthopaedic Surgeons 1965, Joint Motion: Method of Measuring and Recording;
  Boone and Azen 1979, Normal range of motion of joints in male subjects, J Bone Joint Surg 61-A:756;
  Kapandji, The Physiology of the Joints (tibial rotation, collar bone, spine). The limits here are rounded
  outwards by about 10 to 20 degrees, and more where patients go further than the healthy (knee
  hyperextension, dorsiflexion in crouch). Deviations: half to two thirds of a joint's range over a stride
  at natural cadence in Winter 1991, The Biomechanics and Motor Control of Human Gait, and Perry and
  Burnfield 2010, Gait Analysis (hip −10 to 30, knee 0 to 60, ankle −20 to 10, elbow about 10 to 45
  degrees), so that normal walking lies within two deviations of the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import NUM_BODY_JOINTS, Joint

_Triple = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class PosePrior:
    """Mean, spread and limits of the 22 body joints' axis-angle numbers, radians, in the order of Joint.

    The root is free: infinite deviation and limits, mean zero.
    """

    mean: NDArray[np.float64]  # (22, 3) relaxed standing
    std: NDArray[np.float64]  # (22, 3) standard deviations while walking
    lower: NDArray[np.float64]  # (22, 3) smallest anatomical value
    upper: NDArray[np.float64]  # (22, 3) largest anatomical value


@dataclass(frozen=True)
class _Row:
    """Degrees, for a joint of the midline or of the left side."""

    mean: _Triple
    std: _Triple
    lower: _Triple
    upper: _Triple


_FREE = _Row((0, 0, 0), (np.inf,) * 3, (-np.inf,) * 3, (np.inf,) * 3)

# A third of the thoracolumbar spine's range in each of its joints (AAOS: 80 flexion, 30 extension, 35
# sideways, 45 rotation), half of the cervical spine's (45, 45, 45, 60) in neck and head.
_SPINE = _Row((0, 0, 0), (6, 5, 5), (-20, -20, -18), (35, 20, 18))
_NECK = _Row((0, 0, 0), (8, 8, 6), (-35, -40, -30), (35, 40, 30))

_MIDLINE_OR_LEFT = {
    "PELVIS": _FREE,
    "SPINE1": _SPINE,
    "SPINE2": _SPINE,
    "SPINE3": _SPINE,
    "NECK": _NECK,
    "HEAD": _NECK,
    # Flexion 120, extension 12 to 30; rotation 45 either way; abduction 45, adduction 25.
    "LEFT_HIP": _Row((-5, 0, 0), (20, 10, 7), (-135, -60, -40), (35, 60, 60)),
    # Flexion 140 to 150; hyperextension; tibial rotation 30 to 40 when bent; varus and valgus are slack only.
    "LEFT_KNEE": _Row((8, 0, 0), (28, 8, 4), (-20, -35, -15), (155, 35, 15)),
    # Plantarflexion 55, dorsiflexion 15 to 20; inversion 35 (−z on the left), eversion 20.
    "LEFT_ANKLE": _Row((-3, 0, 0), (13, 8, 7), (-40, -30, -45), (70, 30, 30)),
    # The ball of the foot: extension up to 70 at push-off, flexion 40.
    "LEFT_FOOT": _Row((0, 0, 0), (13, 4, 4), (-80, -15, -15), (50, 15, 15)),
    # The collar bone: elevation 45, depression 10, 30 forward and back, axial rotation 30 (Kapandji).
    "LEFT_COLLAR": _Row((0, 0, -5), (5, 6, 6), (-35, -35, -25), (35, 35, 50)),
    # Hanging arms stand 15 degrees off the vertical. Up to overhead, 135 across the chest, 45 backward.
    "LEFT_SHOULDER": _Row((0, 0, -70), (25, 25, 15), (-110, -140, -110), (110, 60, 110)),
    # Flexion 140 to 150 (−y on the left), no extension; x is the turning of the forearm, 75 to 80 either way.
    "LEFT_ELBOW": _Row((0, -20, 0), (20, 20, 4), (-95, -155, -15), (95, 10, 15)),
    # Flexion 75 to 80 (−z on the left, palm down), extension 70 to 75; radial deviation 20 (−y), ulnar 35.
    "LEFT_WRIST": _Row((0, 0, 0), (12, 8, 12), (-50, -30, -90), (50, 45, 85)),
}


def _mirrored(row: _Row) -> _Row:
    """The right side's row: reflection in x keeps turns about x and reverses those about y and z."""

    def flip(a: _Triple, b: _Triple) -> _Triple:  # y and z of b, negated, take the place of those of a
        return (a[0], -b[1], -b[2])

    return _Row(flip(row.mean, row.mean), row.std, flip(row.lower, row.upper), flip(row.upper, row.lower))


def natural_pose_prior() -> PosePrior:
    """The built-in prior; sources and signs in this module's docstring."""
    rows = []
    for joint in list(Joint)[:NUM_BODY_JOINTS]:
        left = _MIDLINE_OR_LEFT.get(joint.name)
        rows.append(left or _mirrored(_MIDLINE_OR_LEFT[joint.name.replace("RIGHT_", "LEFT_")]))
    return PosePrior(
        mean=np.deg2rad([row.mean for row in rows]),
        std=np.deg2rad([row.std for row in rows]),
        lower=np.deg2rad([row.lower for row in rows]),
        upper=np.deg2rad([row.upper for row in rows]),
    )
