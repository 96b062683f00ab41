"""The compiled form of the solver (``native_solver.c``), many times faster than that of torch, where it was built.

It solves on the CPU: ``native_solver`` decides. ``setup.py`` builds it where there is a C compiler, and leaves it out
elsewhere. The poses of both agree to micrometres.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gait.fitting.joint_parametrization import MAX_STEP_RAD, Pose
from gait.fitting.marker_kinematics import SubjectModel
from gait.fitting.objective_terms import JointPrior, SoftPoseTarget, marker_scales
from gait.fitting.reduced_body import descendant_matrix
from gait.fitting.residual_scales import ResidualScales
from gait.fitting.solver import quaternions
from gait.fitting.solver.frame_data import ObservedMarkers, SolverOptions, SolverResult
from gait.fitting.solver.kinematic_blocks import split_kinematic_tree

SOURCE = Path(__file__).with_name("native_solver.c")  # not in a wheel
LIBRARY = Path(__file__).with_name("_native_solver.compiled")


@cache
def load_library() -> ctypes.CDLL | None:
    """Return the compiled solver, or None where it was not built, or from another version of its source."""
    if not LIBRARY.is_file():
        return None
    try:
        compiled = ctypes.CDLL(str(LIBRARY))  # its functions run without the lock of the interpreter
        compiled.source_checksum.restype = ctypes.c_uint32
        if SOURCE.is_file() and compiled.source_checksum() != zlib.crc32(SOURCE.read_bytes()):
            return None
    except (OSError, AttributeError):
        return None
    return compiled


def native_solver(subject: SubjectModel, prior: JointPrior, scales: ResidualScales) -> NativeSolver | None:
    """Return the compiled solver of a subject, or None where torch must solve."""
    body = subject.reduced_body
    on_cpu = body.marker_template.device.type == "cpu"
    return NativeSolver(subject, prior, scales) if on_cpu and load_library() is not None else None


@dataclass(frozen=True)
class NativeLinearization:
    """Objective of T frames, its derivatives in the D = 3·J + 3 pose parameters, and the damped step."""

    cost: NDArray[np.float64]  # (T,)
    gradient: NDArray[np.float32]  # (T, D)
    curvature: NDArray[np.float32]  # (T, D, D); zero between limbs
    step: NDArray[np.float32]  # (T, D)
    gain: NDArray[np.float32]  # (T,) decrease of the objective predicted by the quadratic model


class NativeSolver:
    """The objective of one subject, that of ``BatchedNormalEquations``, for the compiled solver."""

    def __init__(self, subject: SubjectModel, prior: JointPrior, scales: ResidualScales) -> None:
        body = subject.reduced_body
        weights, parent = body.skinning_weights.numpy(), np.array(body.parents)
        rest_joints, rest_markers = subject.rest_joints.numpy(), subject.rest_markers.numpy()
        marker, joint = np.nonzero(weights)
        blocks = split_kinematic_tree(body.parents, body.skinning_weights)
        limb, copy_scale = blocks.limb.numpy(), blocks.limb_scale.numpy()
        in_limb, is_copy = limb < body.num_joints, copy_scale > 0
        sigma_m, robust_m = (np.broadcast_to(each, body.num_markers) for each in marker_scales(body, scales))
        self.num_joints, self.has_hinges = body.num_joints, body.hinges is not None
        arrays: dict[str, NDArray[Any]] = {
            "parent": _int32(parent),
            "bone": _float64(rest_joints - np.where(parent[:, None] < 0, 0.0, rest_joints[parent])),
            "term_start": _starts(np.bincount(marker, minlength=body.num_markers)),
            "term_joint": _int32(joint),
            "term_weight": _float64(weights[marker, joint]),
            "term_place": _float64(weights[marker, joint, None] * (rest_markers[marker] - rest_joints[joint])),
            "is_below": descendant_matrix(body.parents).numpy().astype(np.uint8),
            "limb_start": _starts(in_limb.sum(axis=1)),
            "limb_joint": _int32(limb[in_limb]),
            "trunk_joint": _int32(blocks.trunk),
            "copy_start": _starts(is_copy.sum(axis=1)),
            "copy_marker": _int32(blocks.markers.numpy()[is_copy]),
            "copy_scale": _float32(copy_scale[is_copy]),
            "precision": _float32(1 / sigma_m**2),
            "robust_m": _float32(robust_m),
            "mean_inverse": _float32(quaternions.inverse(quaternions.from_matrices(prior.mean)).T),
            "prior_precision": _float32(prior.precision),
            "lower": _float32(prior.lower),
            "upper": _float32(prior.upper),
        }
        if body.marker_posedirs is not None:
            arrays["posedirs"] = _float32(body.marker_posedirs)
        if body.hinges is not None:
            arrays |= {
                "hinged": body.hinges.hinged.numpy().astype(np.uint8),
                "first_axis": _float64(body.hinges.first_axis),
                "second_axis": _float64(body.hinges.second_axis),
            }
            if prior.angle_lower is not None and prior.angle_upper is not None:
                arrays |= {
                    "angle_lower": _float32(prior.angle_lower[:, :2]),
                    "angle_upper": _float32(prior.angle_upper[:, :2]),
                }
        self._subject = _Subject(
            num_joints=body.num_joints,
            num_markers=body.num_markers,
            num_limbs=len(limb),
            num_trunk=len(blocks.trunk),
            limit_precision=prior.limit_precision,
            num_features=0 if body.marker_posedirs is None else body.marker_posedirs.shape[-1],
            **_addresses(arrays),
        )
        self._arrays = arrays  # keeps the memory to which the subject points

    def solve(
        self, start: Pose, observation: ObservedMarkers, targets: Sequence[SoftPoseTarget], options: SolverOptions
    ) -> SolverResult:
        """Minimize the objective of every frame, as ``solve_poses`` does."""
        T, J = start.num_frames, self.num_joints
        arrays: dict[str, NDArray[Any]] = {
            "rotations": np.empty((T, J, 3, 3)),
            "translation": np.empty((T, 3)),
            "cost": np.empty(T),
            "iterations": np.empty(T, dtype=np.int64),
        }
        if self.has_hinges:
            arrays["angles"] = np.empty((T, J, 2))
        if options.marker_curvature:
            arrays["start_curvature"] = np.empty((T, J + 1, 3, 3), dtype=np.float32)
        self._solve("solve_frames", start, observation, targets, options, _Result(**_addresses(arrays)))
        found = {name: torch.from_numpy(values) for name, values in arrays.items()}
        pose = Pose(found["rotations"], found["translation"], found.get("angles"))
        return SolverResult(pose, found["cost"], found["iterations"], found.get("start_curvature"))

    def markers_and_joints(self, pose: Pose) -> tuple[Tensor, Tensor]:
        """Return the virtual markers (T, M, 3) and the joints (T, J, 3) at given poses, metres."""
        T = pose.num_frames
        markers, joints = np.empty((T, self._subject.num_markers, 3)), np.empty((T, self.num_joints, 3))
        frames = self._frames(pose)
        places = _addresses({"markers": markers, "joints": joints})
        _call(
            "place_frames",
            ctypes.byref(self._subject),
            ctypes.byref(_Frames(num_frames=T, **_addresses(frames))),
            *map(ctypes.c_void_p, places.values()),
        )
        return torch.from_numpy(markers), torch.from_numpy(joints)

    def linearize(
        self, pose: Pose, observation: ObservedMarkers, targets: Sequence[SoftPoseTarget], options: SolverOptions
    ) -> NativeLinearization:
        """Return the objective at given poses, its derivatives, and the step with the damping of the options."""
        T, D = pose.num_frames, 3 * self.num_joints + 3
        step, gradient, curvature = (np.empty((T, *size), dtype=np.float32) for size in ((D,), (D,), (D, D)))
        found = NativeLinearization(np.empty(T), gradient, curvature, step, np.empty(T, dtype=np.float32))
        self._solve("linearize_frames", pose, observation, targets, options, _Linearization(**_addresses(vars(found))))
        return found

    def _frames(self, pose: Pose) -> dict[str, NDArray[Any]]:
        """Return the arrays of poses."""
        arrays = {"rotations": pose.rotations, "translation": pose.translation}
        if self.has_hinges and pose.angles is not None:
            arrays["angles"] = pose.angles
        return {name: _float64(values) for name, values in arrays.items()}

    def _solve(
        self,
        function: str,
        pose: Pose,
        observation: ObservedMarkers,
        targets: Sequence[SoftPoseTarget],
        options: SolverOptions,
        result: ctypes.Structure,
    ) -> None:
        """Call a function of the compiled solver for some frames."""
        frames = self._frames(pose) | {
            "markers": _float64(observation.markers),
            "visible": np.ascontiguousarray(observation.visible.numpy()).view(np.uint8),
        }
        drawn = [{name: _float64(values) for name, values in vars(target).items()} for target in targets]
        effort = _Options(
            options.max_iterations, options.reuse_factors, options.tolerance, options.damping, MAX_STEP_RAD
        )
        _call(
            function,
            ctypes.byref(self._subject),
            ctypes.byref(_Frames(num_frames=pose.num_frames, **_addresses(frames))),
            (_Target * len(drawn))(*(_Target(**_addresses(each)) for each in drawn)),
            len(drawn),
            ctypes.byref(effort),
            ctypes.byref(result),
        )


def _call(function: str, *arguments: Any) -> None:
    """Call a function of the compiled solver."""
    compiled = load_library()
    assert compiled is not None
    if getattr(compiled, function)(*arguments):
        raise MemoryError


# --- structures of native_solver.c, field by field -------------------------------------------------------------------


def _pointers(*names: str) -> list[tuple[str, Any]]:
    return [(name, ctypes.c_void_p) for name in names]


class _Subject(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("num_joints", "num_markers", "num_limbs", "num_trunk")),
        *_pointers("parent", "bone", "term_start", "term_joint", "term_weight", "term_place", "is_below"),
        *_pointers("limb_start", "limb_joint", "trunk_joint", "copy_start", "copy_marker", "copy_scale"),
        *_pointers("precision", "robust_m", "mean_inverse", "prior_precision", "lower", "upper"),
        ("limit_precision", ctypes.c_float),
        ("num_features", ctypes.c_int32),
        *_pointers("posedirs", "hinged", "first_axis", "second_axis", "angle_lower", "angle_upper"),
    )


class _Frames(ctypes.Structure):
    _fields_ = (
        ("num_frames", ctypes.c_int64),
        *_pointers("rotations", "translation", "angles", "markers", "visible"),
    )


class _Target(ctypes.Structure):
    _fields_ = _pointers("rotations", "translation", "rotation_precision", "translation_precision")


class _Options(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int32) for name in ("max_iterations", "reuse_factors")),
        *((name, ctypes.c_float) for name in ("tolerance", "damping", "max_step_rad")),
    )


class _Result(ctypes.Structure):
    _fields_ = _pointers("rotations", "translation", "angles", "cost", "iterations", "start_curvature")


class _Linearization(ctypes.Structure):
    _fields_ = _pointers("cost", "gradient", "curvature", "step", "gain")


def _addresses(arrays: dict[str, NDArray[Any]]) -> dict[str, int]:
    """Return where the arrays lie in memory."""
    return {name: values.ctypes.data for name, values in arrays.items()}


def _starts(counts: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return where each of N groups begins in a list of all their members, and last its length (N + 1,)."""
    return _int32(np.r_[0, np.cumsum(counts)])


def _int32(values: Tensor | NDArray[Any]) -> NDArray[np.int32]:
    return np.ascontiguousarray(values, dtype=np.int32)


def _float32(values: Tensor | NDArray[Any]) -> NDArray[np.float32]:
    return np.ascontiguousarray(values, dtype=np.float32)


def _float64(values: Tensor | NDArray[Any]) -> NDArray[np.float64]:
    return np.ascontiguousarray(values, dtype=np.float64)
