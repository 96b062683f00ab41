"""The default pose prior, used without a learned prior (VPoser).

It consists of a Gaussian around relaxed standing, wide enough for walking, and of joint limits. Both apply to the
axis-angle vectors of the 22 body joints, relative to the T-pose. A limit on one component is therefore exact only if
the other two are near zero. This holds for hips, knees, ankles and spine while walking, and roughly for the shoulders.

Signs follow from the body's frame (facing +z, y up, left at +x). A rotation by a positive angle
  about x: moves a leg backward, trunk and head forward, the toes down. Hip flexion is −x, knee flexion +x,
           plantarflexion +x, spine flexion +x;
  about y: turns towards the subject's left. Internal rotation of the left leg is −y, flexion of the left elbow
           from the T-pose (palm down) is −y;
  about z: moves the left arm up and both legs towards the left. Abduction of the left leg is +z, a hanging left arm
           is −z.
The right side is the mirror image: equal x, opposite y and z.

Sources
  Limits: American Academy of Orthopaedic Surgeons 1965, Joint Motion: Method of Measuring and Recording; Boone and
  Azen 1979, Normal range of motion of joints in male subjects, J Bone Joint Surg 61-A:756; Kapandji, The Physiology of
  the Joints (tibial rotation, clavicle, spine). They are widened by about 10 to 20 degrees, and by more where patients
  exceed the normal range (knee hyperextension, dorsiflexion in crouch).
  Standard deviations: half to two thirds of a joint's range over a stride at natural cadence in Winter 1991, The
  Biomechanics and Motor Control of Human Gait, and Perry and Burnfield 2010, Gait Analysis (hip −10 to 30, knee 0 to
  60, ankle −20 to 10, elbow about 10 to 45 degrees). Normal walking then lies within two standard deviations of the
  mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import NUM_BODY_JOINTS, Joint

_Triple = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class PosePrior:
    """Mean, standard deviation and limits of the axis-angle vectors of the 22 body joints, radians, in Joint order.

    The root is unconstrained: mean zero, infinite standard deviation and limits.
    """

    mean: NDArray[np.float64]  # (22, 3) relaxed standing
    std: NDArray[np.float64]  # (22, 3) standard deviations while walking
    lower: NDArray[np.float64]  # (22, 3) lower anatomical limit
    upper: NDArray[np.float64]  # (22, 3) upper anatomical limit


@dataclass(frozen=True)
class _JointPriorRow:
    """The prior of one joint of the midline or the left side, degrees."""

    mean: _Triple
    std: _Triple
    lower: _Triple
    upper: _Triple


_FREE = _JointPriorRow((0, 0, 0), (np.inf,) * 3, (-np.inf,) * 3, (np.inf,) * 3)

# Each of the three spine joints has a third of the thoracolumbar range (AAOS: 80 flexion, 30 extension, 35 lateral
# bending, 45 rotation); neck and head each have half of the cervical range (45, 45, 45, 60).
_SPINE = _JointPriorRow((0, 0, 0), (6, 5, 5), (-20, -20, -18), (35, 20, 18))
_NECK = _JointPriorRow((0, 0, 0), (8, 8, 6), (-35, -40, -30), (35, 40, 30))

_MIDLINE_OR_LEFT = {
    "PELVIS": _FREE,
    "SPINE1": _SPINE,
    "SPINE2": _SPINE,
    "SPINE3": _SPINE,
    "NECK": _NECK,
    "HEAD": _NECK,
    # Flexion 120, extension 12 to 30; rotation 45 either way; abduction 45, adduction 25.
    "LEFT_HIP": _JointPriorRow((-5, 0, 0), (20, 10, 7), (-135, -60, -40), (35, 60, 60)),
    # Flexion 140 to 150; hyperextension; tibial rotation 30 to 40 in flexion; varus and valgus are only laxity.
    "LEFT_KNEE": _JointPriorRow((8, 0, 0), (28, 8, 4), (-20, -35, -15), (155, 35, 15)),
    # Plantarflexion 55, dorsiflexion 15 to 20; inversion 35 (−z on the left), eversion 20.
    "LEFT_ANKLE": _JointPriorRow((-3, 0, 0), (13, 8, 7), (-40, -30, -45), (70, 30, 30)),
    # Metatarsophalangeal joints: extension up to 70 at push-off, flexion 40.
    "LEFT_FOOT": _JointPriorRow((0, 0, 0), (13, 4, 4), (-80, -15, -15), (50, 15, 15)),
    # Clavicle: elevation 45, depression 10, protraction and retraction 30, axial rotation 30 (Kapandji).
    "LEFT_COLLAR": _JointPriorRow((0, 0, -5), (5, 6, 6), (-35, -35, -25), (35, 35, 50)),
    # Hanging arms are 15 degrees off the vertical. Range: up to overhead, 135 across the chest, 45 backward.
    "LEFT_SHOULDER": _JointPriorRow((0, 0, -70), (25, 25, 15), (-110, -140, -110), (110, 60, 110)),
    # Flexion 140 to 150 (−y on the left), no extension; x is pronation and supination, 75 to 80 each.
    "LEFT_ELBOW": _JointPriorRow((0, -20, 0), (20, 20, 4), (-95, -155, -15), (95, 10, 15)),
    # Flexion 75 to 80 (−z on the left, palm down), extension 70 to 75; radial deviation 20 (−y), ulnar 35.
    "LEFT_WRIST": _JointPriorRow((0, 0, 0), (12, 8, 12), (-50, -30, -90), (50, 45, 85)),
}


def _mirror_prior_row(row: _JointPriorRow) -> _JointPriorRow:
    """Return the right side's prior: mirroring along x keeps rotations about x and reverses those about y and z."""

    def flip(a: _Triple, b: _Triple) -> _Triple:  # x of a, negated y and z of b
        return (a[0], -b[1], -b[2])

    return _JointPriorRow(flip(row.mean, row.mean), row.std, flip(row.lower, row.upper), flip(row.upper, row.lower))


def default_pose_prior() -> PosePrior:
    """Return the default pose prior; sources and sign conventions are in the module's docstring."""
    rows = []
    for joint in list(Joint)[:NUM_BODY_JOINTS]:
        left = _MIDLINE_OR_LEFT.get(joint.name)
        rows.append(left or _mirror_prior_row(_MIDLINE_OR_LEFT[joint.name.replace("RIGHT_", "LEFT_")]))
    return PosePrior(
        mean=np.deg2rad([row.mean for row in rows]),
        std=np.deg2rad([row.std for row in rows]),
        lower=np.deg2rad([row.lower for row in rows]),
        upper=np.deg2rad([row.upper for row in rows]),
    )
