"""Reduce the errors of the joints' orientations in a trial to the size of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gait.arrays import Vector
from gait.body.anatomy import Anatomy
from gait.body.rotation_error import NUM_COMPONENTS, NUM_PARTS, AnatomyError, RotationError
from gait.body.skeleton import BODY_PARENTS, NUM_BODY_JOINTS

NUM_MODES = 4
"""Courses over time that are kept."""
NUM_LASTING = 128
"""Lasting errors that are kept. With 4 courses, 90 % of the standard errors of angles are exact to 7 %."""
MAX_MODE_SAMPLES = 64
"""Samples from which the modes are computed."""
MAX_LAG_S = 2.0
"""Residuals farther apart count as independent."""
WHITE_LAGS = 4
"""What the residuals of neighbouring frames have in common is slow noise, the rest is white."""
_ANATOMY_WEIGHT = 0.1
_RELATIVE_RIDGE = 1e-5
_SMALLEST_RAD = 1e-6


@dataclass(frozen=True, eq=False)
class OrientationErrors:
    """Expected errors of the orientations of all joints in S samples of a trial (``rotation_error``), radians."""

    lasting: NDArray[np.float32]  # (S, 66, L) for one standard deviation of each of L independent errors
    motion: NDArray[np.float32]  # (S, 66, 66) covariance
    noise: NDArray[np.float32]  # (S, 66, 66) covariance of noise, if all of it is slow
    white_noise: NDArray[np.float32]  # (S, 66, 66) the same if all of it is white
    parameters: NDArray[np.float32]  # (B + 3·M, L) shape and marker offsets for each of the L errors
    at_sample: Vector  # (T,) position of each frame among the samples


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
            shifts = _shifts_within_segments(anatomy, anatomy_error, mean.reshape(NUM_BODY_JOINTS, 3, L))
            gram += _ANATOMY_WEIGHT * (shifts.T @ shifts)
        combinations = np.linalg.eigh(gram)[1][:, ::-1][:, :K].astype(np.float32)  # (L, K) orthonormal
        scaled = [(lasting / size[:, None]) @ combinations]
        scaled += [_root(part[rows] / np.outer(size, size)) for part in parts[1:]]
        flat = np.concatenate(scaled, axis=2, dtype=np.float32).reshape(len(rows), -1)
        chosen = flat[some]
        value, vector = np.linalg.eigh(chosen @ chosen.T)
        strong = np.flatnonzero(value > 1e-6 * value[-1])[::-1][:NUM_MODES]
        modes = (vector[:, strong].T @ chosen) / np.sqrt(value[strong])[:, None]  # orthonormal rows
        course: NDArray[np.floating] = np.empty((S, len(modes)))
        course[rows] = flat @ modes.T
        course[~solved] = course[rows].mean(axis=0)
        modes = modes.reshape(len(modes), NUM_COMPONENTS, -1) * size[:, None]
    else:
        combinations = np.eye(L, K, dtype=np.float32)
        modes = np.concatenate([np.eye(NUM_COMPONENTS, n) for n in (K, NUM_COMPONENTS, NUM_COMPONENTS)], axis=1)[None]
        course = np.ones((S, 1))
    if anatomy_error is not None:
        changed: Mapping[str, NDArray[np.float32]] = {
            name: getattr(anatomy_error, name) @ combinations for name in ("joints_m", "landmarks_m", "fitted_m")
        }
        anatomy_error = replace(anatomy_error, **changed)
    return RotationError(
        at_sample=errors.at_sample.astype(np.float32),
        sigma=sigma,
        course=course.astype(np.float32),
        modes=modes.astype(np.float32),
        noise_correlation=correlation,
        anatomy=anatomy_error,
    )


def _shifts_within_segments(anatomy: Anatomy, error: AnatomyError, turns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the changes (N, L) of the vectors between any two points of a segment, each relative to its expected size.

    They turn with the errors (22, 3, L) of the orientations: so the error of an axis is small between points that
    markers determine, however uncertain the segment itself is.
    """
    rows = []
    for joint in range(NUM_BODY_JOINTS):
        ends = [joint, *(child for child, parent in enumerate(BODY_PARENTS) if parent == joint)]
        own = anatomy.moves_with == joint
        fitted = own & np.isfinite(error.fitted_m).all(axis=(1, 2))
        points = np.concatenate([anatomy.joints_m[ends], anatomy.landmarks_m[own], anatomy.fitted_m[fitted]])
        shift = np.concatenate([error.joints_m[ends], error.landmarks_m[own], error.fitted_m[fitted]])
        shift = shift + np.cross(turns[joint].T, (points - anatomy.joints_m[joint])[:, None]).swapaxes(1, 2)
        first, second = np.triu_indices(len(points), 1)
        rows.append((shift[first] - shift[second]).reshape(-1, shift.shape[2]))
    shifts = np.concatenate(rows)
    return np.asarray(shifts / np.linalg.norm(shifts, axis=1, keepdims=True).clip(1e-9), dtype=np.float32)


def _root(covariance: NDArray[np.floating]) -> Vector:
    """Return roots (S, n, n) of covariances, triangular ones if these exist."""
    padded = (covariance + covariance.swapaxes(1, 2)).astype(np.float64) / 2
    diagonal = np.einsum("scc->sc", padded)
    diagonal += _RELATIVE_RIDGE * (diagonal + diagonal.max(axis=1, keepdims=True)) + 1e-12
    try:
        return np.linalg.cholesky(padded).astype(np.float64)
    except np.linalg.LinAlgError:
        value, vector = np.linalg.eigh(padded)
        return np.asarray((vector * np.sqrt(value.clip(0))[:, None]) @ vector.swapaxes(1, 2), dtype=np.float64)


def residual_correlation(residual_m: NDArray[np.floating], rate_hz: float) -> NDArray[np.float32]:
    """Return the correlation of the residuals (T, M, 3) of two frames that are 0, 1, … frames apart.

    It is the mean over all markers, up to ``MAX_LAG_S``; residuals are NaN where a marker is not visible.
    """
    T = len(residual_m)
    lags = min(T, max(1, round(MAX_LAG_S * rate_hz)))
    flat = residual_m.reshape(T, -1)
    seen = np.isfinite(flat)
    with np.errstate(invalid="ignore"):
        mean_square = np.nansum(flat**2, axis=0) / seen.sum(axis=0).clip(1)
    values = np.where(seen, flat, 0) / np.sqrt(mean_square).clip(1e-9)
    length = 1 << int(T + lags - 1).bit_length()

    def correlate(series: Vector) -> Vector:
        spectrum = np.abs(np.fft.rfft(series, length, axis=0)) ** 2
        return np.fft.irfft(spectrum.sum(axis=1), length)[:lags]

    pairs = correlate(seen.astype(np.float64))
    correlation = correlate(values) / pairs.clip(0.5)
    correlation[pairs < 0.5] = 0
    return (correlation / max(correlation[0], 1e-9)).clip(-1, 1).astype(np.float32)
