"""Fitted hips, knees and ankles beside those that the clinic's own model wrote into the recordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from fit_recorded_trials import FittedWalk
from numpy.typing import NDArray
from recorded_trials import CENTRES, SIDES, laboratory_centres

from gait.body.skeleton import Joint


@dataclass(frozen=True)
class SideComparison:
    """One leg over the frames of one walk in which the clinic's model has it."""

    walk: str
    side: str
    distance_m: NDArray[np.float64]  # (3, T) of hip, knee and ankle centres
    their_knee_deg: NDArray[np.float64]  # (T,)
    our_knee_deg: NDArray[np.float64]  # (T,)
    their_varus_deg: NDArray[np.float64]  # (T,) about their own knee axis, from the knee's centre to its marker
    our_varus_deg: NDArray[np.float64]  # (T,)


def compared_with_the_clinic(walks: Iterable[FittedWalk]) -> dict[str, Any] | None:
    """Knee angles and joint centres of all walks that have the clinic's; None where none has."""
    comparisons = [found for walk in walks for side in SIDES if (found := compare_side(walk, side)) is not None]
    if not comparisons:
        return None
    sides: dict[str, dict[str, Any]] = {}
    for one in comparisons:
        sides.setdefault(one.walk, {})[one.side] = {
            **knee_figures(one.our_knee_deg, one.their_knee_deg),
            "varus_range_deg": {"theirs": float(np.ptp(one.their_varus_deg)), "ours": float(np.ptp(one.our_varus_deg))},
            "varus_with_flexion": {
                "theirs": float(np.corrcoef(one.their_varus_deg, one.their_knee_deg)[0, 1]),
                "ours": float(np.corrcoef(one.our_varus_deg, one.our_knee_deg)[0, 1]),
            },
            "centres_mm": centre_figures(one.distance_m),
            "frames": len(one.our_knee_deg),
        }
    each = [figures for walk in sides.values() for figures in walk.values()]
    rmse = [figures["knee_rmse_deg"] for figures in each]
    correlation = [figures["knee_correlation"] for figures in each]
    pooled = knee_figures(
        np.concatenate([one.our_knee_deg for one in comparisons]),
        np.concatenate([one.their_knee_deg for one in comparisons]),
    )
    return {
        "knee_rmse_deg": {"pooled": pooled["knee_rmse_deg"], "mean": float(np.mean(rmse)), "worst": max(rmse)},
        "knee_correlation": {
            "pooled": pooled["knee_correlation"],
            "mean": float(np.mean(correlation)),
            "lowest": min(correlation),
        },
        "knee_bias_deg": pooled["knee_bias_deg"],
        "varus_range_deg": {
            whose: float(np.mean([figures["varus_range_deg"][whose] for figures in each]))
            for whose in ("theirs", "ours")
        },
        "centres_mm": centre_figures(np.concatenate([one.distance_m for one in comparisons], axis=1)),
        "sides": sides,
    }


def compare_side(walk: FittedWalk, side: str) -> SideComparison | None:
    """One leg of a walk; None where the clinic's model did not write it."""
    theirs = laboratory_centres(walk.gait.recording, side)
    if theirs is None:
        return None
    ours = np.stack([walk.gait.joints_m[:, Joint[f"{side}_{name}".upper()]] for name in CENTRES])
    marker = side[0].upper() + "KNE"
    if marker not in walk.gait.recording.labels:
        return None
    outside = walk.gait.recording.positions_m[:, walk.gait.recording.labels.index(marker)]
    there = np.isfinite(theirs).all(axis=(0, 2)) & np.isfinite(outside).all(axis=1)
    if there.sum() < 2:
        return None
    theirs, ours, outside = theirs[:, there], ours[:, there], outside[there]
    thigh = walk.gait.rotations[there, Joint.PELVIS] @ walk.gait.rotations[there, Joint[f"{side}_HIP".upper()]]
    lateral = thigh[..., 0] if side == "left" else -thigh[..., 0]
    return SideComparison(
        walk=walk.name,
        side=side,
        distance_m=np.linalg.norm(ours - theirs, axis=-1),
        their_knee_deg=knee_angle_deg(*theirs),
        our_knee_deg=knee_angle_deg(*ours),
        their_varus_deg=varus_deg(outside - theirs[1], *theirs),
        our_varus_deg=varus_deg(lateral, *ours),
    )


def knee_angle_deg(
    hip_m: NDArray[np.float64], knee_m: NDArray[np.float64], ankle_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """180° − ∠(hip, knee, ankle), (T,), of centres (T, 3): 0 when straight, never negative."""
    thigh, shank = hip_m - knee_m, ankle_m - knee_m
    across = np.linalg.norm(np.cross(thigh, shank), axis=-1)
    return 180 - np.degrees(np.arctan2(across, (thigh * shank).sum(axis=-1)))


def varus_deg(
    lateral: NDArray[np.float64], hip_m: NDArray[np.float64], knee_m: NDArray[np.float64], ankle_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far the shank leans towards the thigh's lateral direction (T, 3), (T,), of centres (T, 3).

    Of a knee it hardly changes. About an axis that is turned by φ, bending by θ shows as a lean of asin(sin φ · sin θ):
    varus that comes and goes with flexion tells of a wrong axis (Baker, Finney & Orr 1999, Hum. Mov. Sci. 18:655).
    """
    thigh = hip_m - knee_m
    thigh = thigh / np.linalg.norm(thigh, axis=-1, keepdims=True)
    across = lateral - (lateral * thigh).sum(axis=-1, keepdims=True) * thigh
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    shank = ankle_m - knee_m
    shank = shank / np.linalg.norm(shank, axis=-1, keepdims=True)
    return np.degrees(np.arcsin((shank * across).sum(axis=-1)))


def knee_figures(ours_deg: NDArray[np.float64], theirs_deg: NDArray[np.float64]) -> dict[str, float]:
    """How far two courses (T,) of an angle agree; the bias is ours less theirs."""
    difference = ours_deg - theirs_deg
    return {
        "knee_rmse_deg": float(np.sqrt((difference**2).mean())),
        "knee_bias_deg": float(difference.mean()),
        "knee_correlation": float(np.corrcoef(ours_deg, theirs_deg)[0, 1]),
    }


def centre_figures(distance_m: NDArray[np.float64]) -> dict[str, float]:
    """Mean distances in mm of hip, knee and ankle, from (3, T) metres."""
    return {name: 1e3 * float(row.mean()) for name, row in zip(CENTRES, distance_m, strict=True)}
