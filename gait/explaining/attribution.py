"""Attribution: the evidence that an explanation method assigns to each joint in each frame."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gait.arrays import true_runs
from gait.body.joint_status import explainable, unobserved_joints
from gait.body.skeleton import NUM_BODY_JOINTS, Joint, display_names
from gait.motion.inputs import INPUTS, PUBLISHED

if TYPE_CHECKING:
    from torch import Tensor

TARGET = "logit of sick"
"""The output that every method explains; above 0 the prediction is sick."""

MIN_COVERAGE = 0.5
"""Frames that fewer windows cover than this fraction of the largest number in their walk count in no rank or mean."""


@dataclass(frozen=True, eq=False)
class WindowAttribution:
    """Attribution of windows by one method."""

    values: Tensor  # (N, L, J) per frame and joint; in logit units if signed
    signed: bool  # positive is evidence for the sick class, negative for healthy; if False, values are magnitudes
    logits: Tensor  # (N,) the explained outputs
    unattributed: Tensor  # (N,) fraction of the logit assigned to no joint, 0 to 1; NaN if the method defines none
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    target: str = TARGET
    axis_values: Tensor | None = None  # (N, L, J, 3) the same by axis of a joint; None if the method has no axes
    members: tuple[WindowAttribution, ...] = ()  # of each network of an ensemble, whose mean this is


@dataclass(frozen=True, eq=False)
class TrialAttribution:
    """Attribution of a trial by one method, averaged over its overlapping windows."""

    # (T, 22) mean over the explained windows that cover a frame; NaN where none does, where a joint is not observed,
    # and for joints that the network leaves out
    values: NDArray[np.float32]
    probability: NDArray[np.float32]  # (T,) P(sick), mean over all windows that cover a frame
    first_frames: NDArray[np.int64]  # (W,) first frame of each window
    window_probability: NDArray[np.float32]  # (W,) P(sick)
    window_length: int  # frames
    rate_hz: float  # frame rate of the network and of all frames here
    signed: bool  # as in WindowAttribution
    unattributed: float  # mean over the explained windows, as in WindowAttribution
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    target: str = TARGET
    activity: NDArray[np.uint8] | None = None  # (T,) an ``Activity`` per frame; None: every frame is used as walking
    joint_status: NDArray[np.uint8] | None = None  # (T, 22) a ``JointStatus`` per joint; None if unknown
    left_out_joints: tuple[Joint, ...] = ()  # that the network does not use
    # (T, 22, 3) the values by axis of the network's input, whose sums they are; None if the method or input has no axes
    axis_values: NDArray[np.float32] | None = None
    axis_names: tuple[tuple[str, ...], ...] = ()  # (22, 3) such as "left knee flexion"; () without axis_values
    input: str = PUBLISHED  # of the network, one of ``INPUTS``
    window_logits: NDArray[np.float64] | None = None  # (W,) of ``window_probability``; None if read from a file
    members: tuple[TrialAttribution, ...] = ()  # of each network of an ensemble; () of one network or from a file

    @property
    def unobserved_joints(self) -> tuple[Joint, ...]:
        """The joints that markers observe in less than half of the frames; what they explain is nowhere stated."""
        return unobserved_joints(self.input_status)

    @property
    def unobserved_positions(self) -> tuple[Joint, ...]:
        """The joints whose positions markers observe in less than half of the frames, as gait events need them."""
        return unobserved_joints(self.joint_status)

    @property
    def input_status(self) -> NDArray[np.uint8] | None:
        """The ``JointStatus`` (T, 22) of what the network sees of a joint: its position, rotation or bone."""
        return input_status(self.input, self.joint_status)

    @property
    def explainable(self) -> NDArray[np.bool_]:
        """Mask (T, 22) of the joints that are observed and not left out."""
        return explainable_mask(len(self.values), self.input_status, self.left_out_joints)

    @property
    def ranks_evidence(self) -> bool:
        """True if joints are ranked by their evidence for the predicted class, not by magnitude."""
        return self.signed and self.input != PUBLISHED

    @property
    def _sign(self) -> float:
        return 1.0 if self.trial_probability >= 0.5 else -1.0

    @property
    def trial_probability(self) -> float:
        """P(sick) of the trial: the mean over all windows."""
        return float(np.mean(self.window_probability))

    def largest_joints(self, count: int = 3) -> tuple[str, ...]:
        """Return the names of the joints with the largest mean magnitude, or with the most evidence, largest first.

        Of the published input it is the magnitude. Of other inputs, whose windows are compared with the controls' mean,
        it is the evidence for the predicted class: what speaks for either class in turn is not large.
        """
        counts, values = self.counts, np.asarray(self.values, np.float64)
        values = values * self._sign if self.ranks_evidence else np.abs(values)
        size = values.sum(axis=0, where=counts) / np.maximum(counts.sum(axis=0), 1)
        ranked = [joint for joint in np.argsort(-size) if counts[:, joint].any()]
        return tuple(self.part_names[joint] for joint in ranked[:count])

    @property
    def part_names(self) -> tuple[str, ...]:
        """What the values of each joint are of, (22,): the joint, or the segment that ends at it."""
        return tuple(INPUTS[self.input].part_names)

    def largest_axes(self, count: int = 3) -> tuple[str, ...]:
        """Return the names of the axes with the most evidence for the predicted class; none without axes."""
        return tuple(self.axis_names[joint][axis] for joint, axis, _ in self.ranked_axes()[:count])

    def ranked_axes(self) -> tuple[tuple[int, int, float], ...]:
        """Return joint, axis and mean attribution, the most evidence for the predicted class first; () without axes.

        The mean is over the frames that count; joints that are not explained are omitted.
        """
        if self.axis_values is None:
            return ()
        counts = self.counts[..., None]
        total = np.asarray(self.axis_values, np.float64).sum(axis=0, where=counts)
        mean = total / np.maximum(counts.sum(axis=0), 1)
        explained = counts.any(axis=0).ravel()
        ranked = (divmod(int(index), 3) for index in np.argsort(-self._sign * mean, axis=None))
        return tuple((joint, axis, float(mean[joint, axis])) for joint, axis in ranked if explained[joint])

    @property
    def well_covered(self) -> NDArray[np.bool_]:
        """Mask (T,) of the frames covered by at least ``MIN_COVERAGE`` of the maximum number of windows in their walk.

        Frames near the ends of a walk are covered by few windows, and only by their edges; large values there are
        artefacts of window edges.
        """
        changes = np.zeros(len(self.values) + 1, np.int64)
        np.add.at(changes, self.first_frames, 1)
        np.add.at(changes, self.first_frames + self.window_length, -1)
        windows = changes.cumsum()[:-1]
        covered = np.zeros(len(windows), dtype=bool)
        for walk in true_runs(windows > 0):
            covered[walk] = windows[walk] >= MIN_COVERAGE * windows[walk].max()
        return covered

    @property
    def counts(self) -> NDArray[np.bool_]:
        """Mask (T, 22) of the values that count in ranks and means: explained, and ``well_covered``."""
        return np.isfinite(self.values) & self.well_covered[:, None]

    def cycle_inputs(
        self, joints_m: NDArray[np.floating]
    ) -> tuple[NDArray[np.float32], NDArray[np.floating], float, NDArray[np.uint8] | None]:
        """Return the arguments of ``average_gait_cycles`` and ``select_gait_phases``, given the joints (T, 22, 3)."""
        return self.counted_values, joints_m, self.rate_hz, self.joint_status

    @property
    def counted_values(self) -> NDArray[np.float32]:
        """The values (T, 22) that count in ranks and means, NaN elsewhere."""
        return np.where(self.counts, self.values, np.float32(np.nan))


def input_status(input: str, joint_status: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
    """Return the status (T, 22) of what an input, one of ``INPUTS``, takes of joints; None if unknown."""
    return None if joint_status is None else INPUTS[input].observed(joint_status)


def explainable_mask(
    num_frames: int, joint_status: NDArray[np.uint8] | None, left_out: Collection[Joint]
) -> NDArray[np.bool_]:
    """Return where joints are observed and not left out, (T, 22); everywhere if the status is unknown."""
    everywhere = np.ones((num_frames, NUM_BODY_JOINTS), dtype=bool)
    mask = everywhere if joint_status is None else explainable(joint_status)
    mask[:, list(left_out)] = False
    return mask


def observation_notes(attribution: TrialAttribution) -> tuple[str, ...]:
    """Return sentences on joints that are not observed or that the network leaves out; usually none."""
    unobserved, left_out = {*attribution.unobserved_joints}, {*attribution.left_out_joints}
    notes = []
    if unobserved:
        notes.append(f"Not observed by markers, so not explained: {display_names(unobserved)}.")
    if used := unobserved - left_out:
        notes.append(f"The network uses the pose prior's guess of {display_names(used)}; the prediction depends on it.")
    if others := left_out - unobserved:
        notes.append(f"Not used by this network: {display_names(others)}.")
    return tuple(notes)
