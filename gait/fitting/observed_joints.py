"""Which joints the markers of each frame observe: a rule on uncertainty, and on where the visible markers lie.

The uncertainty of a joint comes from the fit's own assumptions: the pose prior narrows the spine and the neck, and the
body model has the proportions of the subject. So a small uncertainty alone does not show that markers hold a joint. In
addition, visible markers must lie on both segments that meet at the joint, or beside it, and be enough to tell on which
side of them the joint is. A joint at the end of a segment whose rotation comes from the prior alone is not observed,
however narrow the prior is: a head without markers moves with the trunk. ``benchmarks/joint_status.py`` measures the
rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gait.body.joint_status import MAX_INFERRED_SIGMA_M, MAX_OBSERVED_SIGMA_M, JointStatus
from gait.body.segments import MEETING_SEGMENTS, SEGMENTS, segment_weights
from gait.body.skeleton import NUM_BODY_JOINTS, Joint
from gait.marker_sets.marker_set import MarkerKind

if TYPE_CHECKING:  # reports are built and read without loading torch
    from gait.fitting.joint_uncertainty import JointUncertainty

MAX_HOLDING_RESIDUAL_M = 0.03
"""A marker that is farther from its place on the body does not hold a joint."""
MAX_HOLDING_RESIDUAL_OF_CENTRES_M = 0.06
"""The same of joint centres that cameras without markers estimate."""
MAX_OBSERVED_SIGMA_OF_CENTRES_M = 0.0167
"""Uncertainty of an observed joint among joint centres. Their errors are random and not mostly those of placement: with
this radius of 68 %, 99 % are within 30 mm (quantiles 1.87 and 3.37 of the χ distribution of three dimensions)."""
MIN_SEGMENT_WEIGHT = 0.2
"""A marker lies on the segments that move it with at least this weight."""
MAX_BESIDE_M = 0.08
"""A marker within this distance of a joint lies beside it: on the skin of the joint, of a body of any size."""
MIN_TRUNK_MARKERS, MIN_LIMB_MARKERS = 3, 2
"""Number of markers on the two segments that meet at a joint, or beside it: fewer leave open on which side of them the
joint is. Limbs with a marker beside the joint need one less, because the joints at their other end hold them too. With
two markers far from it, as on elbow and hand, a wrist may turn about the line through them."""
MIN_ROTATION_FRACTION = 0.2
"""Fraction of the rotation of a segment that markers must determine, so that the joint at its end can be inferred."""
MAX_OWN_CENTRE_M = 0.03
"""A joint centre within this distance of a joint is that of the joint."""
_SPINE = [Joint.SPINE1, Joint.SPINE2, Joint.SPINE3]
_NUM_DISTANCE_FRAMES = 12
"""Frames of a trial in which the distances of markers and joints are measured; they hardly change."""
_MEETING_COLUMNS = [[SEGMENTS.index(pair[side]) for pair in MEETING_SEGMENTS] for side in range(2)]
_MIN_MARKERS = np.array(
    [MIN_TRUNK_MARKERS if pair[0] in ("pelvis", "trunk") else MIN_LIMB_MARKERS for pair in MEETING_SEGMENTS]
)


def markers_on_segments(skinning_weights: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return which markers lie on which segments, (M, S), from their skinning weights (M, 22)."""
    return segment_weights(skinning_weights) >= MIN_SEGMENT_WEIGHT


def observed_joints(
    uncertainty: JointUncertainty,
    skinning_weights: NDArray[np.floating],
    parents: tuple[int, ...],
    virtual_m: NDArray[np.floating],
    joints_m: NDArray[np.floating],
    residual_m: NDArray[np.floating],
    gap_filled: NDArray[np.bool_],
    kinds: Sequence[MarkerKind] = (),
) -> NDArray[np.uint8]:
    """Return the ``JointStatus`` of each body joint in each frame, (T, 22).

    Args:
        uncertainty: of the J joints of the fit.
        skinning_weights: (M, J) of the markers.
        parents: (J,) parent of each joint, -1 for the root.
        virtual_m: (T, M, 3) markers on the fitted body.
        joints_m: (T, J, 3) fitted joints.
        residual_m: (T, M) distance to the observed markers; NaN where not visible or not used.
        gap_filled: (T,) frames whose pose comes from their neighbours.
        kinds: (M,) of the markers; by default none is a joint centre.
    """
    J = NUM_BODY_JOINTS
    sigma, of_frame = uncertainty.sigma_m[:, :J], uncertainty.sigma_single_frame_m[:, :J]
    centre = np.array([kind == "joint_centre" for kind in kinds]) if kinds else np.zeros(residual_m.shape[1], bool)
    limit = np.where(centre, MAX_HOLDING_RESIDUAL_OF_CENTRES_M, MAX_HOLDING_RESIDUAL_M)
    holds = np.nan_to_num(residual_m, nan=np.inf) <= limit  # (T, M)
    sample = np.unique(np.linspace(0, len(holds) - 1, _NUM_DISTANCE_FRAMES).round().astype(int))
    distance = np.linalg.norm(virtual_m[sample, :, None] - joints_m[sample, None, :J], axis=-1)
    is_beside = np.median(distance, axis=0) <= MAX_BESIDE_M  # (M, J)
    on_segment = markers_on_segments(skinning_weights[:, :J])  # (M, S)
    on_proximal, on_distal = (on_segment[:, column] for column in _MEETING_COLUMNS)
    number = np.where(centre, MIN_TRUNK_MARKERS, 1) * holds  # (T, M) a joint centre is enough alone
    beside, proximal, distal, around = (
        _count_markers(number, of) for of in (is_beside, on_proximal, on_distal, is_beside | on_proximal | on_distal)
    )
    on_both = (proximal > 0) & (distal > 0) & (around >= MIN_TRUNK_MARKERS)
    held = on_both | ((beside > 0) & (around >= _MIN_MARKERS))
    max_sigma = MAX_OBSERVED_SIGMA_OF_CENTRES_M if centre.any() else MAX_OBSERVED_SIGMA_M
    above = [max(parent, 0) for parent in parents[:J]]
    rotates = uncertainty.data_fraction[:, above] >= MIN_ROTATION_FRACTION
    known = (of_frame <= MAX_INFERRED_SIGMA_M) & (held | rotates)
    observed = known & held & (of_frame <= max_sigma)
    if centre.any():  # hips and shoulders do not show how the spine between them bends
        own = _count_markers(holds, np.median(distance, axis=0) <= MAX_OWN_CENTRE_M) > 0
        observed[:, _SPINE] &= own[:, _SPINE]
    status = (known.astype(np.uint8) + observed).astype(np.uint8)  # by the markers of the frame itself
    solved_with_others = gap_filled[:, None] | (sigma < of_frame)
    bridged = np.minimum(_status_of_neighbours(status, solved_with_others & ~observed), JointStatus.INFERRED)
    bridged[~solved_with_others | (sigma > MAX_INFERRED_SIGMA_M)] = JointStatus.NOT_OBSERVED
    return np.maximum(status, bridged).astype(np.uint8)


def _count_markers(number: NDArray[np.generic], of: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the sum (T, N) of the numbers (T, M) of the markers that belong to each column of ``of`` (M, N)."""
    return number.astype(np.float32) @ of.astype(np.float32)


def _status_of_neighbours(status: NDArray[np.uint8], skipped: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the lower status of the frames before and after each run of ``skipped`` frames, both (T, J).

    At an end of the trial it is that of the other side.
    """
    T = len(status)
    at = np.arange(T)[:, None]
    before = np.maximum.accumulate(np.where(skipped, -1, at), axis=0)
    after = np.minimum.accumulate(np.where(skipped, T, at)[::-1], axis=0)[::-1]
    before, after = np.where(before < 0, after, before), np.where(after == T, before, after)
    before, after = (np.where((rows < 0) | (rows == T), at, rows) for rows in (before, after))
    return np.minimum(np.take_along_axis(status, before, 0), np.take_along_axis(status, after, 0))
