"""Reduce the errors of the joints' orientations in a trial to the size of a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from gait.arrays import Vector, true_runs
from gait.body.anatomy import Anatomy
from gait.body.rotation_error import NUM_COMPONENTS, NUM_PARTS, AnatomyError, RotationError
from gait.body.skeleton import BODY_PARENTS, NUM_BODY_JOINTS

NUM_MODES = 3
"""Time series that are kept."""
NUM_LASTING = 128
"""Lasting errors that are kept.

With 3 series and samples 0.5 s apart, 90 % of the standard errors of angles in single frames are within 11 % of those
with 4 series and samples 0.25 s apart, of which they are 0.5 % more on average (RMS)."""
MAX_MODE_SAMPLES = 64
"""Samples from which the modes are computed."""
MAX_LAG_S = 2.0
"""Residuals farther apart count as independent."""
WHITE_LAGS = 4
"""What the residuals of neighbouring frames have in common is slow noise, the rest is white."""
_ANATOMY_WEIGHT = 0.1
_RELATIVE_RIDGE = 1e-5
_SMALLEST_RAD = 1e-6
_SMALLEST_M = 1e-6


@dataclass(frozen=True, eq=False)
class OrientationErrors:
    """Expected errors of the orientations of all joints in S samples of a trial (``rotation_error``), radians."""

    lasting: NDArray[np.float32]  # (S, 66, L) for one standard deviation of each of L independent errors
    motion: NDArray[np.float32]  # (S, 66, 66) covariance
    noise: NDArray[np.float32]  # (S, 66, 66) covariance of noise, if all of it is slow
    white_noise: NDArray[np.float32]  # (S, 66, 66) the same if all of it is white
    parameters: NDArray[np.float32]  # (B + 3·M, L) shape and marker offsets for each of the L errors
    at_sample: Vector  # (T,) position of each frame among the samples

    def with_neighbours(self, turned_rad: Vector, spacing: int) -> OrientationErrors:
        """Return the errors with samples of their own for frames that were solved together with their neighbours.

        There, the errors of each component are those of the frame alone, scaled to the deviation ``turned_rad`` (T, 66)
        that its neighbours leave, together with the error in the best frames, where these are smaller. The deviation is
        NaN in the other frames; samples are at most ``spacing`` frames apart.
        """
        of_parts = np.einsum("scc->sc", self.motion) + np.einsum("scc->sc", self.noise)
        variance = np.einsum("scl,scl->sc", self.lasting, self.lasting) + of_parts
        samples, factors, at_sample = [np.arange(len(variance))], [np.ones_like(variance)], self.at_sample.copy()
        for run in true_runs(np.asarray(np.isfinite(turned_rad).all(axis=1))):
            frames = np.arange(run.start, run.stop)
            number = 1 + math.ceil((len(frames) - 1) / max(spacing, 1))
            chosen = np.linspace(run.start, run.stop - 1, number).round().astype(np.int64)
            at_sample[run] = sum(map(len, samples)) + np.interp(frames, chosen, np.arange(number))
            samples.append(self.at_sample[chosen].round().astype(np.int64))
            together = turned_rad[chosen] ** 2 + np.fmin.reduce(variance)
            factors.append(np.sqrt(np.minimum(1.0, together / variance[samples[-1]])))
        rows, factor = np.concatenate(samples), np.concatenate(factors, dtype=np.float32)[..., None]
        motion, noise, white = (
            each[rows] * factor * factor.swapaxes(1, 2) for each in (self.motion, self.noise, self.white_noise)
        )
        return replace(
            self,
            lasting=self.lasting[rows] * factor,
            motion=motion,
            noise=noise,
            white_noise=white,
            at_sample=at_sample,
        )


def reduce_errors(
    errors: OrientationErrors,
    residual_m: NDArray[np.floating],
    rate_hz: float,
    unsolved_rad: float,
    anatomy: Anatomy | None,
    anatomy_error: AnatomyError | None,
) -> RotationError:
    """Return the errors of a trial in the form of its pose file.

    Args:
        errors: those of the trial.
        residual_m: (T, M, 3) of the markers; NaN where not visible.
        rate_hz: frames per second.
        unsolved_rad: standard deviation in samples that are not finite.
        anatomy: of the subject.
        anatomy_error: its change with each of the L errors.
    """
    correlation = residual_correlation(residual_m, rate_hz)
    white = 1 - float(correlation[1:WHITE_LAGS].mean()) if len(correlation) >= WHITE_LAGS else 0.0
    noise = (1 - white) * errors.noise + white * errors.white_noise
    parts = (errors.lasting, errors.motion, noise)
    solved = np.all([np.isfinite(part).all(axis=(1, 2)) for part in parts], axis=0)
    S, L = len(errors.lasting), errors.lasting.shape[2]
    rows = np.flatnonzero(solved)
    sigma = np.zeros((S, NUM_PARTS, NUM_COMPONENTS), dtype=np.float32)
    sigma[~solved, 0] = unsolved_rad
    lasting = errors.lasting[rows]
    sigma[rows, 0] = np.sqrt(np.einsum("scl,scl->sc", lasting, lasting))
    for part in (1, 2):
        sigma[rows, part] = np.sqrt(np.einsum("scc->sc", parts[part][rows]).clip(0))
    K = min(NUM_LASTING, L)
    if len(rows):
        some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MAX_MODE_SAMPLES)).round().astype(int))
        size = np.sqrt((sigma[rows[some]] ** 2).sum(axis=1).mean(axis=0)).clip(_SMALLEST_RAD)
        mean = lasting.mean(axis=0)
        important = mean / size[:, None]
        gram = important.T @ important
        if anatomy is not None and anatomy_error is not None:
            turns = mean.reshape(NUM_BODY_JOINTS, 3, L)
            gram += _ANATOMY_WEIGHT * _gram_of_shifts(anatomy, anatomy_error, turns)
        combinations = torch.linalg.eigh(torch.as_tensor(gram))[1].flip(1)[:, :K].numpy()  # (L, K) orthonormal
        scaled = [lasting / size[:, None]]
        scaled += [_root(part[rows] / (size[:, None] * size)) for part in parts[1:]]
        flat = np.concatenate(scaled, axis=2, dtype=np.float32).reshape(len(rows), -1)
        chosen = flat[some]
        value, vector = np.linalg.eigh(chosen @ chosen.T)
        strong = np.flatnonzero(value > 1e-6 * value[-1])[::-1][:NUM_MODES]
        modes = (vector[:, strong].T @ chosen) / np.sqrt(value[strong])[:, None]  # orthonormal rows
        series: NDArray[np.floating] = np.empty((S, len(modes)))
        series[rows] = flat @ modes.T
        series[~solved] = series[rows].mean(axis=0)
        modes = modes.reshape(len(modes), NUM_COMPONENTS, -1) * size[:, None]
        modes = np.concatenate([modes[..., :L] @ combinations, modes[..., L:]], axis=2)
    else:
        combinations = np.eye(L, K, dtype=np.float32)
        modes = np.concatenate([np.eye(NUM_COMPONENTS, n) for n in (K, NUM_COMPONENTS, NUM_COMPONENTS)], axis=1)[None]
        series = np.ones((S, 1))
    if anatomy_error is not None:
        changed: Mapping[str, NDArray[np.float32]] = {
            name: getattr(anatomy_error, name) @ combinations for name in ("joints_m", "landmarks_m", "fitted_m")
        }
        anatomy_error = replace(anatomy_error, **changed)
    return RotationError(
        at_sample=errors.at_sample.astype(np.float32),
        sigma=sigma,
        series=series.astype(np.float32),
        modes=modes.astype(np.float32),
        noise_correlation=correlation,
        anatomy=anatomy_error,
    )


def _gram_of_shifts(anatomy: Anatomy, error: AnatomyError, turns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ΣΔᵀ·Δ (L, L) over the changes Δ of the vectors between any two points of a segment.

    Each coordinate of each vector counts relative to the expected size of its change. The vectors turn with the errors
    (22, 3, L) of the orientations: so the error of an axis is small between points that markers determine, however
    uncertain the segment itself is.
    """
    parents = np.array(BODY_PARENTS)
    children = np.flatnonzero(parents >= 0)
    known = np.isfinite(error.fitted_m).all(axis=(1, 2))
    own, fitted = anatomy.moves_with.astype(np.int64), anatomy.moves_with[known].astype(np.int64)
    segment = np.concatenate([np.arange(NUM_BODY_JOINTS), parents[children], own, fitted])  # (P,) of each point
    at_rest = [anatomy.joints_m, anatomy.joints_m[children], anatomy.landmarks_m, anatomy.fitted_m[known]]
    shifts = [error.joints_m, error.joints_m[children], error.landmarks_m, error.fitted_m[known]]
    # places and changes relative to the joint of the segment
    away = (np.concatenate(at_rest) - anatomy.joints_m[segment]).astype(np.float32).T[..., None]  # (3, P, 1)
    shift = (np.concatenate(shifts) - error.joints_m[segment]).swapaxes(0, 1)  # (3, P, L)
    (x, y, z), (dx, dy, dz) = turns[segment].swapaxes(0, 1), away
    shift = shift + np.stack([y * dz - z * dy, z * dx - x * dz, x * dy - y * dx])
    product = shift @ shift.swapaxes(1, 2)  # (3, P, P)
    size = np.einsum("xpp->xp", product)
    square = size[:, :, None] + size[:, None] - 2 * product  # of each change
    counted = (segment[:, None] == segment) & (square > _SMALLEST_M**2)
    weight = np.divide(1.0, square, out=np.zeros_like(square), where=counted)
    laplacian = -weight
    np.einsum("xpp->xp", laplacian)[:] += weight.sum(axis=2)
    L = shift.shape[2]
    return np.asarray(shift.reshape(-1, L).T @ (laplacian @ shift).reshape(-1, L), dtype=np.float32)


def _root(covariance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return roots (S, n, n) of covariances, triangular ones if these exist."""
    padded = (covariance + covariance.swapaxes(1, 2)) / 2
    diagonal = np.einsum("scc->sc", padded)
    diagonal += _RELATIVE_RIDGE * (diagonal + diagonal.max(axis=1, keepdims=True)) + 1e-12
    try:
        return np.linalg.cholesky(padded)
    except np.linalg.LinAlgError:
        value, vector = np.linalg.eigh(padded)
        return np.asarray((vector * np.sqrt(value.clip(0))[:, None]) @ vector.swapaxes(1, 2), dtype=np.float32)


def residual_correlation(residual_m: NDArray[np.floating], rate_hz: float) -> NDArray[np.float32]:
    """Return the correlation of the residuals (T, M, 3) of two frames that are 0, 1, … frames apart.

    It is the mean over all markers, up to ``MAX_LAG_S``; residuals are NaN where a marker is not visible.
    """
    T = len(residual_m)
    lags = min(T, max(1, round(MAX_LAG_S * rate_hz)))
    values = residual_m.astype(np.float32)  # (T, M, 3)
    seen = np.asarray(np.isfinite(values).all(axis=2))
    values = np.where(seen[..., None], values, np.float32(0))
    mean_square = (values**2).sum(axis=0) / seen.sum(axis=0).clip(1)[:, None]
    values = np.asarray(values / np.sqrt(mean_square).clip(1e-9), dtype=np.float32)
    length = next_fast_len(T + lags, real=True)

    def correlate(series: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return Σ over all series of the products of values 0, 1, … frames apart."""
        spectrum = rfft(series, length, axis=0)
        return irfft((spectrum.real**2 + spectrum.imag**2).sum(axis=1), length)[:lags]

    pairs = 3 * correlate(seen.astype(np.float32))
    correlation = correlate(np.reshape(values, (T, -1))) / pairs.clip(0.5)
    correlation[pairs < 0.5] = 0
    return np.asarray((correlation / max(correlation[0], 1e-9)).clip(-1, 1), dtype=np.float32)
