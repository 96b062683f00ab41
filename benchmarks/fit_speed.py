"""python benchmarks/fit_speed.py --json fit_speed.json

Speed of the pose stage, compared with the fitting method of the original implementation on the same trial, body,
machine and threads, and the memory that a long recording needs. Prints one JSON object:

 * ``frames_per_second``: the pose stage alone, the median of several runs; ``calibration_s`` is the time for shape and
   marker offsets, which are estimated once per subject before it.
 * ``residual_mm`` of that fit, and ``converged_residual_mm`` of the same trial when every frame is solved to full
   convergence: the cost of stopping early.
 * ``compare_with_torch``: the pose stage with the solver of torch, in turn with the compiled one, and the distance of
   their joints; null where the compiled one was not built.
 * ``compare_with_opensim``: the pose stage on two recordings, compared with the inverse kinematics of OpenSim 4.6
   (full body, scaled and with markers placed by the static trial, on two cores of such a machine): ``speed_ratio`` and
   ``rms_ratio``. Ours also estimates marker offsets, so the residuals are not directly comparable.
 * ``cuda``: frames per second of the pose stage on a GPU, if there is one, and the difference of its joints from those
   on the CPU.
 * ``reference_frames_per_second``: the original method from its second frame on, which starts from the result of the
   first; ``reference_first_frame_s`` is the time for the first. ``ratio`` refers to this faster figure.
 * ``peak_memory_mb``: of a process that fits a long recording, in total.

Run it on an idle machine, because other load affects the two methods differently; ``load_average`` is the machine's at
the start.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from benchmark import BodyArguments, peak_memory_mb, run, run_in_new_process
from recorded_trials import ADULT_TRIAL, CAPTURES, captures_available, extend_recording
from reference_fit import fit_frames
from synthetic_subjects import NOT_OF_35, TYPICAL_ERRORS, drop_markers, simulate_trials

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture.read_recording import read_recording
from gait.capture.recording import Recording
from gait.cli.arguments import ArgumentError, argument
from gait.fitting import pose_trajectory
from gait.fitting.solver import native
from gait.fitting.solver.frame_data import SolverOptions
from gait.fitting.subject_fit import SubjectFit, fit_shape_and_poses

OPENSIM = {"healthy/HC033A/walk10.c3d": (33.0, 12.2), "cerebral_palsy/CP01/walk.c3d": (37.0, 9.6)}
"""Frames per second and RMS in mm of the inverse kinematics of OpenSim 4.6, measured once outside of this project."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    frames: int = argument(20_000, "frames of the recording on which speed is measured")
    runs: int = argument(5, "runs of the pose stage, of which the median counts")
    reference_frames: int = argument(4, "frames that are fitted with the original method")
    reference_timeout_s: float = argument(180.0, "time limit per frame of the original method, seconds")
    memory_frames: int = argument(20_000, "frames of the recording on which memory is measured")
    threads: int = argument(2, "threads of torch, for both methods")
    captures: Path = argument(CAPTURES, "folder of real recordings; without them a synthetic trial is used")

    def __post_init__(self) -> None:
        if self.reference_frames < 2:
            raise ArgumentError("--reference_frames: must be two or more, since the first does not count for speed")


QUICK = {"frames": 500, "runs": 1, "reference_frames": 2, "reference_timeout_s": 5.0, "memory_frames": 1000}


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model)
    trial = read_adult_trial(args.captures, body)
    long = extend_recording(trial, args.frames)
    ours = measure_pose_speed(long, body, args.runs)
    # It needs a body of its own: tensors that the fit cached in inference mode cannot be differentiated.
    reference = measure_reference_speed(trial, load_body(args.model), args.reference_frames, args.reference_timeout_s)
    return {
        **ours,
        **reference,
        "ratio": ours["frames_per_second"] / reference["reference_frames_per_second"],
        "compare_with_torch": compare_with_torch(long, body, args.runs),
        "compare_with_opensim": compare_with_opensim(args.captures, body, args.runs),
        "cuda": measure_cuda_speed(long, args),
        "peak_memory_mb": run_in_new_process(measure_fit_memory_mb, args),
        "markers": len(trial.labels),
        "trial": trial.path.name,
    }


def measure_pose_speed(recording: Recording, body: Body, runs: int) -> dict[str, Any]:
    """Fit a recording several times, after a short fit that starts the threads."""
    layout = plug_in_gait_layout(body)
    fit_shape_and_poses([extend_recording(recording, 100)], body, layout)
    subject_fits = [fit_shape_and_poses([recording], body, layout) for _ in range(runs)]
    rates = [recording.num_frames / subject_fit.trials[0].seconds for subject_fit in subject_fits]
    with solve_to_convergence():
        thorough = fit_shape_and_poses([extend_recording(recording, min(recording.num_frames, 1000))], body, layout)
    return {
        "frames_per_second": float(np.median(rates)),
        "frames_per_second_runs": rates,
        "residual_mm": mean_residual_mm(subject_fits[0]),
        "converged_residual_mm": mean_residual_mm(thorough),
        "calibration_s": float(np.median([subject_fit.seconds for subject_fit in subject_fits])),
    }


def mean_residual_mm(subject_fit: SubjectFit) -> float:
    """Return the mean residual of a subject's only recording, mm."""
    return 1e3 * float(np.nanmean(subject_fit.trials[0].residual_m))


@contextmanager
def solve_to_convergence() -> Iterator[None]:
    """Solve every frame to full convergence within this context."""
    stages = ("COLD_START", "WARM_START", "SMOOTHED_PASS")
    usual = [getattr(pose_trajectory, stage) for stage in stages]
    for stage in stages:
        setattr(pose_trajectory, stage, SolverOptions(max_iterations=60, tolerance=1e-6))
    try:
        yield
    finally:
        for stage, effort in zip(stages, usual, strict=True):
            setattr(pose_trajectory, stage, effort)


def compare_with_torch(recording: Recording, body: Body, runs: int) -> dict[str, float] | None:
    """Measure the pose stage with both solvers in turn; None where the compiled one was not built."""
    if native.load_library() is None:
        return None
    layout = plug_in_gait_layout(body)
    seconds: dict[str, list[float]] = {"native": [], "torch": []}
    joints_m = {}
    for choice in (nullcontext(), patch.object(native, "load_library", return_value=None)) * runs:
        with choice:
            fit = fit_shape_and_poses([recording], body, layout).trials[0]
        seconds[fit.solver].append(fit.seconds)
        joints_m[fit.solver] = fit.joints_m
    distance = np.linalg.norm(joints_m["native"] - joints_m["torch"], axis=-1)
    frames_per_second = recording.num_frames / float(np.median(seconds["torch"]))
    return {
        "frames_per_second": frames_per_second,
        "ratio": recording.num_frames / float(np.median(seconds["native"])) / frames_per_second,
        "joint_difference_mm_max": 1e3 * float(distance.max()),
    }


def compare_with_opensim(captures: Path, body: Body, runs: int) -> dict[str, dict[str, float]]:
    """Measure the pose stage on the recordings on which OpenSim was measured; empty if they are not available."""
    layout = plug_in_gait_layout(body)
    found = {}
    for name, (rate, rms_mm) in OPENSIM.items():
        if not (captures / name).is_file():
            continue
        recording = read_recording(captures / name)
        fits = [fit_shape_and_poses([recording], body, layout).trials[0] for _ in range(runs)]
        frames_per_second = float(np.median([recording.num_frames / fit.seconds for fit in fits]))
        our_rms_mm = 1e3 * float(np.sqrt(np.nanmean(fits[0].residual_m ** 2)))
        found[name] = {
            "frames": recording.num_frames,
            "frames_per_second": frames_per_second,
            "rms_mm": our_rms_mm,
            "speed_ratio": frames_per_second / rate,
            "rms_ratio": our_rms_mm / rms_mm,
        }
    return found


def measure_cuda_speed(recording: Recording, args: Arguments) -> dict[str, float] | None:
    """Measure the pose stage on a GPU; None if there is none."""
    if not torch.cuda.is_available():
        return None
    body = load_body(args.model)
    cpu_fit = fit_shape_and_poses([recording], body, plug_in_gait_layout(body))
    gpu_body = body.to(device="cuda")
    layout = plug_in_gait_layout(body)
    fit_shape_and_poses([recording], gpu_body, layout)
    gpu_fits = [fit_shape_and_poses([recording], gpu_body, layout).trials[0] for _ in range(args.runs)]
    distance = np.linalg.norm(gpu_fits[0].joints_m - cpu_fit.trials[0].joints_m, axis=-1)
    return {
        "frames_per_second": float(np.median([recording.num_frames / gait.seconds for gait in gpu_fits])),
        "joint_difference_mm_mean": 1e3 * float(distance.mean()),
        "joint_difference_mm_max": 1e3 * float(distance.max()),
    }


def measure_reference_speed(recording: Recording, body: Body, frames: int, timeout_s: float) -> dict[str, Any]:
    """Run the original method on the first frames, one after another."""
    fitted = fit_frames(body, plug_in_gait_layout(body), recording, range(frames), timeout_s=timeout_s)
    # A frame after one that timed out starts far from its solution, which is not typical of the method.
    warm = [frame for before, frame in pairwise(fitted) if before.converged] or fitted[1:]
    iterations = sum(frame.iterations for frame in fitted)
    seconds = sum(frame.seconds for frame in fitted)
    return {
        "reference_frames_per_second": len(warm) / sum(frame.seconds for frame in warm),
        "reference_frames_per_second_with_first": len(fitted) / seconds,
        "reference_first_frame_s": fitted[0].seconds,
        "reference_residual_mm": 1e3 * float(np.mean([np.nanmean(frame.residual_m) for frame in warm])),
        "reference_iterations": [frame.iterations for frame in fitted],
        "reference_iteration_ms": 1e3 * seconds / iterations,
        "reference_frames_timed_out": sum(not frame.converged for frame in fitted),
    }


def measure_fit_memory_mb(args: Arguments) -> float:
    """Fit one long recording; return the peak memory of this process, libraries included."""
    torch.set_num_threads(args.threads)
    body = load_body(args.model)
    trial = extend_recording(read_adult_trial(args.captures, body), args.memory_frames)
    fit_shape_and_poses([trial], body, plug_in_gait_layout(body))
    return peak_memory_mb()


def read_adult_trial(captures: Path, body: Body) -> Recording:
    """Read the adult's trial, or simulate one with the same 35 markers if it is not available."""
    if captures_available(captures, "a synthetic trial is used instead"):
        return read_recording(captures / ADULT_TRIAL)
    with tempfile.TemporaryDirectory() as folder:
        (known,) = simulate_trials("healthy_1", body, TYPICAL_ERRORS, Path(folder), trials=1)
    return drop_markers(known.recording, NOT_OF_35)


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
