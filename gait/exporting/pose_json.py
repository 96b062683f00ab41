"""One ``pose_00000.json`` per frame, as the original implementation writes."""

from __future__ import annotations

import json
from pathlib import Path

from gait.body.pose_sequence import PoseSequence
from gait.exporting.exporter import Exporter


def write_json_frames(folder: Path, sequence: PoseSequence) -> list[Path]:
    """Write shape, pose and translation of each frame into a folder, and return the paths."""
    betas = [sequence.betas.astype(float).tolist()]
    paths = []
    for frame, (pose, translation) in enumerate(zip(sequence.poses, sequence.translation_m, strict=True)):
        content = {
            "betas": betas,
            "pose": [pose.astype(float).tolist()],
            "translation": [translation.astype(float).tolist()],
        }
        paths.append(folder / f"pose_{frame:05d}.json")
        paths[-1].write_text(json.dumps(content), encoding="utf-8")
    return paths


EXPORTER = Exporter(
    name="pose_json",
    title="one JSON file per frame, as the original implementation",
    suffix="pose_*.json",
    write=lambda trial, folder: write_json_frames(folder, trial.sequence),
)
