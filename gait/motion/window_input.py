"""Definition of one kind of window input: an entry of ``gait.motion.inputs.INPUTS``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.joint_status import unobserved_joints
from gait.body.skeleton import BODY_JOINTS, Joint, display_name
from gait.errors import GaitError
from gait.motion.dataset import Trial

if TYPE_CHECKING:
    from torch import Tensor


def _unchanged(samples: Vector, reference: Vector | None) -> Vector:
    return samples


def _unchanged_status(status: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return status


@dataclass(frozen=True, kw_only=True)
class WindowInput:
    """What the networks see of a trial: three numbers per joint and frame, (L, 22, 3) per window."""

    name: str  # value of --input
    normalization: str  # as checkpoints and reports state it
    samples: Callable[[Trial, Vector], Vector]
    """From a trial and times (S,) in its frames: values (S, 22, 3), or quaternions (S, 22, 4)."""
    relative: Callable[[Vector, Vector | None], Vector] = _unchanged
    """From samples and the reference (22, K) of ``reference_of``: the values (S, 22, 3) of windows."""
    reference_of: Callable[[Sequence[Vector]], Vector] | None = None
    """From the samples of all controls in training: what ``relative`` needs, (22, K); if it needs something."""
    aligned_per_window: bool = False  # samples are joints in metres; each window is aligned with the common frame
    mirror_signs: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of the values of a mirror image, sides exchanged
    of_segments: bool = False  # the values of a joint belong to the segment that ends at it
    part_names: Sequence[str] = tuple(map(display_name, BODY_JOINTS))  # (22,) what each joint's values are of
    needs_rotations: bool = False  # of the joints, which trials of joint positions alone do not have
    deviation: float = 0.0  # default factor on the difference from the controls' mean window; 0: the values themselves
    offset: float = 0.0  # default standard deviation of the random offset of each joint and axis; 0: --joint_offset
    pace: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    """From windows (N, L, 22, 3), factors (N,) on the excursion of the legs, and uniform random numbers (N, 22), the
    windows at another pace; None if windows cannot be changed so."""
    observed: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] = _unchanged_status
    """From the ``JointStatus`` of the joints' positions (T, 22), that of the values of each joint."""
    axis_names: Sequence[Sequence[str]] = ()  # (22, 3) what each value of a joint measures; () if there is no name
    axis_angles: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """By the name of an axis without its side: the angle of ``joint_angles.ANGLES`` that shows the same motion, and its
    sign on the left side, +1 if both grow together. Axes whose motion no angle shows are absent."""
    to_degrees: Callable[[Vector], Vector] | None = None
    """From the values of windows, angles in degrees of the same shape; None if they are none."""
    rotates_against: Sequence[int | None] = ()
    """(22,) the joint against which each joint's value is a rotation, None: the walking frame; () if it is none."""
    order: int = 1  # in lists

    def unobserved_joints(self, trial: Trial) -> tuple[Joint, ...]:
        """Return the joints whose values markers determine in less than half of a trial's frames."""
        return unobserved_joints(None if trial.joint_status is None else self.observed(trial.joint_status))

    def reason_to_exclude(self, trial: Trial) -> str | None:
        """Return one line if this input cannot be made of a trial; None if it can."""
        if self.needs_rotations and trial.rotations is None:
            return (
                f"{trial.trial_id}: its poses have joint positions but no joint rotations; excluded, --input bones or "
                "published keeps it."
            )
        return None


@dataclass(frozen=True, eq=False)
class InputReference:
    """What the windows of an input are relative to, from the controls that a network is trained on."""

    rotations: Tensor | None = None  # (22, 4) mean quaternion of each joint, scalar last; None if the input has none
    mean_window: Tensor | None = None  # (L, 22, 3) controls' mean; None: windows are not compared with it
    factor: float = 1.0  # on the difference from the mean window

    def deviation(self, values: Tensor) -> Tensor:
        """Return what the network sees of windows (N, L, 22, 3)."""
        return values if self.mean_window is None else (values - self.mean_window.to(values)).mul_(self.factor)

    def as_dict(self) -> dict[str, Any]:
        """Return tensors and plain data, the inverse of ``from_dict``."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any], window_length: int) -> Self:
        """Return the reference in a checkpoint.

        Raises:
            GaitError: it has other shapes, or numbers that are not finite.
        """
        import torch  # takes seconds; the definitions of inputs do without it

        shapes = {"rotations": (22, 4), "mean_window": (window_length, 22, 3)}
        for name, shape in shapes.items():
            value = plain.get(name)
            if value is not None and not (
                isinstance(value, torch.Tensor) and value.shape == shape and bool(torch.isfinite(value).all())
            ):
                raise GaitError(f"damaged checkpoint: {name} of the reference is no tensor {shape} of finite numbers.")
        if not isinstance(plain.get("factor"), float | int):
            raise GaitError("damaged checkpoint: the reference has no factor.")
        return cls(plain.get("rotations"), plain.get("mean_window"), float(plain["factor"]))


def names_of_axes(terms: Mapping[str, Sequence[str]], joints: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return names such as "left knee flexion", (22, 3), from the terms of each part, "KNEE", of joints "LEFT_KNEE"."""
    named = []
    for joint in joints:
        side, _, part = joint.rpartition("_")
        named.append(tuple(" ".join(filter(None, (side.lower(), term))) for term in terms[part]))
    return tuple(named)
