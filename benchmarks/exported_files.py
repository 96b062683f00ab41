"""python benchmarks/exported_files.py --poses ./optimized_poses

Export fitted trials as C3D, TRC and glTF, and read the files with the packages c3d and pygltflib and, for TRC, numpy:
largest differences from what was fitted, and seconds per trial and format. Prints one JSON object; --quick takes one
trial.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import c3d
import numpy as np
import torch
from benchmark import BenchmarkArguments, run
from glb_reader import read_scene
from numpy.typing import NDArray

from gait.body.model_file import load_body
from gait.body.open_body import OPEN_BODY
from gait.body.pose_sequence import PoseSequence
from gait.body.skeleton import BODY_JOINTS
from gait.cli.arguments import argument
from gait.exporting import EXPORTERS, segment_name
from gait.exporting.c3d import joint_centre_label
from gait.exporting.exporter import FittedTrial, TrialMarkers
from gait.kinematics.event_sources import choose_events
from gait.kinematics.gait_events import SIDES
from gait.kinematics.joint_angles import compute_joint_angles
from gait.motion.pose_files import read_poses
from gait.motion.trial_paths import parse_segment_number

NUM_FRAMES = 10
"""Frames in which the skin is compared."""
FORMATS = ("c3d", "gltf", "trc")
LIMITS = {"mm": 0.1, "degrees": 0.01, "ms": 1.0}
QUICK = {"trials": 1}


@dataclass(frozen=True, kw_only=True)
class Arguments(BenchmarkArguments):
    poses: Path = argument(help="save folder with fits", metavar="DIR")
    trials: int | None = argument(None, "compare so many pose sequences at most (default: all)")


Differences = dict[str, list[float]]


def compare_c3d(path: Path, trial: FittedTrial, markers: TrialMarkers | None, found: Differences) -> None:
    """Add the differences of markers, joint centres (mm), angles (degrees) and events (ms) in a C3D file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there are no analog data
        reader = c3d.Reader(io.BytesIO(path.read_bytes()))
        frames = np.stack([points for _, points, _ in reader.read_frames()]).astype(np.float64)
    frames[frames[..., 3] < 0, :3] = np.nan
    points = {label.strip(): frames[:, row, :3] for row, label in enumerate(reader.point_labels)}
    if markers is not None:
        read = np.stack([points[label] for label in markers.labels], axis=1)
        found["markers in C3D, mm"].append(_largest(read[..., [1, 2, 0]], 1e3 * markers.observed_m))
    read = np.stack([points[joint_centre_label(joint.name)] for joint in BODY_JOINTS], axis=1)
    found["joint centres in C3D, mm"].append(_largest(read[..., [1, 2, 0]], 1e3 * trial.observed_joints_m))
    angles = compute_joint_angles(trial.sequence)
    for angle in angles.definitions:
        for side in SIDES:
            expected = angles[angle.name, side]
            if np.isfinite(expected).any():
                read = points[f"{side[0].upper()}{angle.output}"][:, angle.component]
                found["angles in C3D, degrees"].append(_largest(read, expected))
    events = choose_events(trial.sequence)
    frames_of_events = [
        *(frame for side in SIDES for frame in events.initial_contacts[side]),
        *(frame for side in SIDES for frame in events.foot_offs[side]),
    ]
    expected = np.sort(np.array(frames_of_events)) + trial.sequence.first_frame - 1
    if len(expected):
        minutes, seconds = reader.get("EVENT:TIMES").float_array.T.astype(np.float64)
        read = 60 * minutes + seconds
        found["events in C3D, ms"].append(_largest(1e3 * read, 1e3 * expected / trial.sequence.rate_hz))


def compare_trc(path: Path, markers: TrialMarkers, found: Differences) -> None:
    """Add the differences of the markers in a TRC file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    columns = range(2 + 3 * len(markers.labels))
    table = np.genfromtxt(io.StringIO("\n".join(lines[5:])), delimiter="\t", usecols=columns)
    found["markers in TRC, mm"].append(
        _largest(table[:, 2:].reshape(markers.observed_m.shape), 1e3 * markers.observed_m)
    )


def compare_glb(path: Path, sequence: PoseSequence, found: Differences) -> None:
    """Add the distances of the skin in a GLB file from that of the fitted body."""
    scene, body = read_scene(path), load_body()
    frames = np.linspace(0, sequence.num_frames - 1, NUM_FRAMES).astype(int)
    arguments = (sequence.poses[frames], sequence.betas, sequence.translation_m[frames])
    with torch.inference_mode():
        vertices = body(*(torch.as_tensor(values) for values in arguments)).vertices.numpy()
    for frame, expected in zip(frames, vertices, strict=True):
        found["skin in glTF, mm"].append(1e3 * float(np.linalg.norm(scene.skin(frame) - expected, axis=1).max()))


def _largest(read: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Return the largest difference; infinity if other values are missing."""
    if not np.array_equal(np.isnan(read), np.isnan(expected)):
        return np.inf
    return float(np.nanmax(np.abs(read - expected), initial=0.0))


def main(args: Arguments) -> dict[str, Any]:
    """Return the largest differences over all trials."""
    found: Differences = defaultdict(list)
    seconds: Differences = defaultdict(list)
    segments = sorted(path.parent for path in args.poses.rglob("poses.npz"))[: args.trials]
    for segment in segments:
        folder = segment if parse_segment_number(segment) is None else segment.parent
        trial = FittedTrial(segment_name(folder, segment), folder, read_poses(segment))
        markers = trial.markers_in_sequence()
        with tempfile.TemporaryDirectory() as output:
            target = Path(output)
            paths = {name: EXPORTERS[name].path(target, trial.name) for name in FORMATS}
            for name in FORMATS if markers is not None else FORMATS[:-1]:
                begin = time.perf_counter()
                EXPORTERS[name].write(trial, paths[name])
                seconds[name].append(time.perf_counter() - begin)
            compare_c3d(paths["c3d"], trial, markers, found)
            if Path(trial.sequence.model_file).name == OPEN_BODY:
                compare_glb(paths["gltf"], trial.sequence, found)
            if markers is not None:
                compare_trc(paths["trc"], markers, found)
    return {
        "pose_sequences": len(segments),
        "largest_differences": {name: max(values) for name, values in found.items()},
        "seconds_per_trial": {name: float(np.mean(values)) for name, values in seconds.items()},
        "failures": [name for name, values in found.items() if max(values) > LIMITS[name.rpartition(", ")[2]]],
    }


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
