"""python benchmarks/smplx_agreement.py data/smplx/SMPLX_NEUTRAL.npz --json agreement.json

Agreement of SMPL-family bodies with the package smplx: the maximum distance of vertices and joints (``vertices_mm``,
``joints_mm``) over random poses and shapes of the same model file. Prints one JSON object.

Needs the package (``pip install -e '.[smplx]'``; its licence permits research only). The package executes code that a
pickle or an ``.npz`` contains, which this project never does: use it only with files that you trust.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from benchmark import BodyArguments, run
from torch import Tensor

from gait.body.body import Body
from gait.body.model_file import load_body
from gait.cli.arguments import argument
from gait.errors import GaitError

_HAND = 45  # axis-angle parameters of a hand


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    model: Path = argument(help="SMPL-X, SMPL-H or SMPL file", flag="model")
    poses: int = argument(8, "random poses")
    seed: int = argument(0, "seed of poses and shapes")


QUICK = {"poses": 2}


def main(args: Arguments) -> dict[str, Any]:
    body = load_body(args.model, num_betas=300)
    random = torch.Generator().manual_seed(args.seed)
    package = _package_model(args.model, body, args.poses)
    pose = 0.5 * torch.randn(args.poses, body.num_pose, generator=random)
    betas = torch.randn(args.poses, min(package.num_betas, body.num_betas), generator=random)
    translation = torch.randn(args.poses, 3, generator=random)
    with torch.inference_mode():
        ours = body(pose, betas, translation)
        theirs = package(betas=betas, transl=translation, **_named_parts(body, pose))

    def max_distance_mm(a: Tensor, b: Tensor) -> float:
        return 1e3 * float((a - b).norm(dim=-1).max())

    return {
        "model_type": body.model_type,
        "shape_parameters": betas.shape[1],
        "vertices_mm": max_distance_mm(ours.vertices, theirs.vertices),
        "joints_mm": max_distance_mm(ours.joints, theirs.joints[:, : body.num_joints]),
    }


def _package_model(path: Path, body: Body, poses: int) -> Any:
    """Load the package's model with full axis-angle hands, flat in the rest pose."""
    if body.model_type == "supr":
        raise GaitError(f"{path}: a model in SUPR layout, which the package smplx does not support.")
    try:
        import smplx
    except ImportError:
        raise GaitError("The package smplx is missing; pip install -e '.[smplx]'.") from None
    kinds = {"smplx": smplx.SMPLX, "smplh": smplx.SMPLH, "smpl": smplx.SMPL}
    hands = {} if body.model_type == "smpl" else {"use_pca": False, "flat_hand_mean": True}
    try:
        with redirect_stdout(sys.stderr):  # its warnings must not mix with the printed object
            return kinds[body.model_type](str(path), ext=path.suffix[1:], batch_size=poses, num_betas=300, **hands)
    except Exception as error:  # it raises errors of many types for incomplete files
        reason = " ".join(str(error).split())[:160]
        raise GaitError(f"{path}: the package smplx cannot read it ({type(error).__name__}: {reason}).") from error


def _named_parts(body: Body, pose: Tensor) -> dict[str, Tensor]:
    """Split a pose (T, 3·J) into the package's named parts."""
    if body.model_type == "smpl":
        return {"global_orient": pose[:, :3], "body_pose": pose[:, 3:]}
    parts = {
        "global_orient": pose[:, :3],
        "body_pose": pose[:, 3:66],
        "left_hand_pose": pose[:, -2 * _HAND : -_HAND],
        "right_hand_pose": pose[:, -_HAND:],
    }
    if body.model_type == "smplx":
        parts |= {"jaw_pose": pose[:, 66:69], "leye_pose": pose[:, 69:72], "reye_pose": pose[:, 72:75]}
    return parts


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
