"""Fitted hip, knee and ankle centres against the Plug-in Gait outputs in the recordings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from fit_recorded_trials import FittedTrial
from numpy.typing import NDArray
from recorded_trials import CENTRES, SIDES, laboratory_centres

from gait.body.skeleton import Joint


@dataclass(frozen=True)
class SideComparison:
    """One leg over the frames of one trial for which the recording contains Plug-in Gait joint centres."""

    trial: str
    side: str
    distance_m: NDArray[np.float64]  # (3, T) of hip, knee and ankle centres
    reference_knee_deg: NDArray[np.float64]  # (T,)
    fitted_knee_deg: NDArray[np.float64]  # (T,)
    reference_varus_deg: NDArray[np.float64]  # (T,) relative to the axis from the knee centre to the knee marker
    fitted_varus_deg: NDArray[np.float64]  # (T,)


def compare_with_plug_in_gait(trials: Iterable[FittedTrial]) -> dict[str, Any] | None:
    """Compare knee angles and joint centres of all trials that contain Plug-in Gait's; None if there is none."""
    comparisons = [found for trial in trials for side in SIDES if (found := compare_side(trial, side)) is not None]
    if not comparisons:
        return None
    sides: dict[str, dict[str, Any]] = {}
    for one in comparisons:
        sides.setdefault(one.trial, {})[one.side] = {
            **knee_metrics(one.fitted_knee_deg, one.reference_knee_deg),
            "varus_range_deg": {
                "plug_in_gait": float(np.ptp(one.reference_varus_deg)),
                "fitted": float(np.ptp(one.fitted_varus_deg)),
            },
            "varus_with_flexion": {
                "plug_in_gait": float(np.corrcoef(one.reference_varus_deg, one.reference_knee_deg)[0, 1]),
                "fitted": float(np.corrcoef(one.fitted_varus_deg, one.fitted_knee_deg)[0, 1]),
            },
            "centres_mm": centre_metrics(one.distance_m),
            "frames": len(one.fitted_knee_deg),
        }
    each = [metrics for trial in sides.values() for metrics in trial.values()]
    rmse = [metrics["knee_rmse_deg"] for metrics in each]
    correlation = [metrics["knee_correlation"] for metrics in each]
    pooled = knee_metrics(
        np.concatenate([one.fitted_knee_deg for one in comparisons]),
        np.concatenate([one.reference_knee_deg for one in comparisons]),
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
            source: float(np.mean([metrics["varus_range_deg"][source] for metrics in each]))
            for source in ("plug_in_gait", "fitted")
        },
        "centres_mm": centre_metrics(np.concatenate([one.distance_m for one in comparisons], axis=1)),
        "sides": sides,
    }


def compare_side(trial: FittedTrial, side: str) -> SideComparison | None:
    """Compare one leg of a trial; None if the recording has no Plug-in Gait centres of it."""
    fit, recording = trial.trial_fit, trial.trial_fit.recording
    reference, marker = laboratory_centres(recording, side), side[0].upper() + "KNE"
    if reference is None or marker not in recording.labels:
        return None
    fitted = np.stack([fit.joints_m[:, Joint[f"{side}_{name}".upper()]] for name in CENTRES])
    outside = recording.positions_m[:, recording.labels.index(marker)]
    common = np.isfinite(reference).all(axis=(0, 2)) & np.isfinite(outside).all(axis=1)
    if common.sum() < 2:
        return None
    reference, fitted, outside = reference[:, common], fitted[:, common], outside[common]
    thigh = fit.rotations[common, Joint.PELVIS] @ fit.rotations[common, Joint[f"{side}_HIP".upper()]]
    lateral = thigh[..., 0] if side == "left" else -thigh[..., 0]
    return SideComparison(
        trial=trial.name,
        side=side,
        distance_m=np.linalg.norm(fitted - reference, axis=-1),
        reference_knee_deg=knee_angle_deg(*reference),
        fitted_knee_deg=knee_angle_deg(*fitted),
        reference_varus_deg=varus_deg(outside - reference[1], *reference),
        fitted_varus_deg=varus_deg(lateral, *fitted),
    )


def knee_angle_deg(
    hip_m: NDArray[np.float64], knee_m: NDArray[np.float64], ankle_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the included knee angle 180° − ∠(hip, knee, ankle), (T,), of centres (T, 3): 0 when straight, unsigned."""
    thigh, shank = hip_m - knee_m, ankle_m - knee_m
    across = np.linalg.norm(np.cross(thigh, shank), axis=-1)
    return 180 - np.degrees(np.arctan2(across, (thigh * shank).sum(axis=-1)))


def varus_deg(
    lateral: NDArray[np.float64], hip_m: NDArray[np.float64], knee_m: NDArray[np.float64], ankle_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the inclination (T,) of the shank towards the thigh's lateral direction (T, 3), of centres (T, 3).

    A real knee's varus angle hardly changes. With a flexion axis rotated by φ, flexion by θ causes an apparent varus of
    asin(sin φ · sin θ), so varus that varies with flexion indicates a wrong axis (Baker, Finney & Orr 1999, Hum. Mov.
    Sci. 18:655).
    """
    thigh, shank = _normalize(hip_m - knee_m), _normalize(ankle_m - knee_m)
    across = _normalize(lateral - (lateral * thigh).sum(axis=-1, keepdims=True) * thigh)
    return np.degrees(np.arcsin((shank * across).sum(axis=-1)))


def _normalize(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def knee_metrics(fitted_deg: NDArray[np.float64], reference_deg: NDArray[np.float64]) -> dict[str, float]:
    """Compare two curves (T,) of the knee angle; the bias is fitted minus reference."""
    difference = fitted_deg - reference_deg
    return {
        "knee_rmse_deg": float(np.sqrt((difference**2).mean())),
        "knee_bias_deg": float(difference.mean()),
        "knee_correlation": float(np.corrcoef(fitted_deg, reference_deg)[0, 1]),
    }


def centre_metrics(distance_m: NDArray[np.float64]) -> dict[str, float]:
    """Return the mean distances in mm of hip, knee and ankle, from (3, T) metres."""
    return {name: 1e3 * float(row.mean()) for name, row in zip(CENTRES, distance_m, strict=True)}
