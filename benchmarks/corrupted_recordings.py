"""python benchmarks/corrupted_recordings.py --json corrupted_recordings.json

Reads 200 honest C3D and TRC files of synthetic subjects, and real C3D files from ``../shared/captures`` if available,
each corrupted outside its points in every way of ``recording_corruptions.py``. A failure is a file that is refused, or
whose points, labels or rate differ from the honest file's over the frames that it holds. The honest C3D files have all
number formats; where ezc3d reads one, both readers must find the same points.
"""

from __future__ import annotations

import copy
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ezc3d
import numpy as np
from benchmark import BodyArguments, run
from numpy.typing import NDArray
from recorded_trials import CAPTURES
from recording_corruptions import C3D_CORRUPTIONS, LONG_RECORDINGS, TRC_CORRUPTIONS, Corrupted
from recording_writer import DEC, INTEL, SGI, C3dContent, TrcContent

from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.capture.marker_heights import visible_mask
from gait.capture.parse_c3d import parse_c3d
from gait.capture.sandboxed_reader import read_raw_recording
from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.synthetic.subject import make_subject
from gait.synthetic.trial import make_trial
from gait.synthetic.virtual_markers import PLUG_IN_GAIT_39, MeasurementErrors, record_markers

_NUM_SUBJECTS = 10
_NUM_FRAMES = 40
_RATE_TOLERANCE = 1e-3  # of a rate that follows from a time column; of a stated one: equal as floats of 4 bytes
_FORMATS = tuple((processor, scale) for processor in (INTEL, DEC, SGI) for scale in (-1.0, 0.1, -0.01, 0.05))
_RATES = ((100.0, 0.0), (120.0, 0.0), (23.976, 0.0), (150.001, 3000.0), (50.0, 0.0), (59.94, 0.0), (250.0, 0.0))
"""Camera rates, and analog rates that are no multiple of them."""


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    files: int = argument(200, "number of honest synthetic files, half of them C3D")
    seed: int = argument(0, "seed of the corruptions")
    captures: Path = argument(CAPTURES, "folder of real recordings; without it only synthetic files are corrupted")


QUICK = {"files": 14, "captures": Path("none")}


def main(args: Arguments) -> dict[str, Any]:
    failures: list[dict[str, Any]] = []
    tried: Counter[str] = Counter()
    walks = synthetic_positions(args.model)
    c3d = [make_c3d(k, walks[k % len(walks)]) for k in range(args.files // 2)]
    trc = [make_trc(k, walks[k % len(walks)]) for k in range(args.files - args.files // 2)]
    real = (
        [from_recorded(path) for path in sorted(args.captures.rglob("*.[cC]3[dD]"))] if args.captures.is_dir() else []
    )
    with tempfile.TemporaryDirectory() as folder:
        for kind, name, corrupted in _corruptions([*c3d, *real], trc, args.seed):
            path = Path(folder) / f"walk{kind}"
            path.write_bytes(corrupted.data)
            tried[name] += 1
            if wrong := check(path, corrupted):
                failures.append({"corruption": name, "file": sum(tried.values()), "wrong": wrong})
        agree = [readers_agree(Path(folder) / "walk.c3d", content) for content in [*c3d, *real]]
    return {
        "honest_files": {"c3d": len(c3d), "trc": len(trc), "recorded": len(real)},
        "read": sum(tried.values()),
        "equal": sum(tried.values()) - len(failures),
        "by_corruption": dict(tried),
        "read_by_both_readers": sum(each is not None for each in agree),
        "both_readers_equal": sum(each is True for each in agree),
        "failures": [*failures[:50], *(["the two readers differ"] if False in agree else [])],
    }


def _corruptions(c3d: list[C3dContent], trc: list[TrcContent], seed: int) -> Iterator[tuple[str, str, Corrupted]]:
    """Yield suffix, name of the corruption, and the file, for each honest file and corruption."""
    for suffix, contents, kinds in ((".c3d", c3d, C3D_CORRUPTIONS), (".trc", trc, TRC_CORRUPTIONS)):
        for k, content in enumerate(contents):
            for corrupt in (honest, *kinds):
                rng = random.Random(f"{seed} {suffix} {k} {corrupt.__name__}")
                yield suffix, corrupt.__name__, corrupt(rng, copy.deepcopy(content))
    for long in LONG_RECORDINGS:
        for processor, scale in ((INTEL, -1.0), (DEC, 0.1)):
            yield ".c3d", long.__name__, long(make_long_c3d(processor, scale))


def honest(_rng: random.Random, content: C3dContent | TrcContent) -> Corrupted:
    """Return the file as it is."""
    return Corrupted(content.to_bytes(), tuple(content.labels), content.expected(), content.rate_hz)


def check(path: Path, corrupted: Corrupted) -> str:
    """Read a corrupted file; return what is wrong, "" if nothing is."""
    try:
        raw = read_raw_recording(path)
    except GaitError as error:
        return str(error).removeprefix(str(path))
    found, expected = (each.positions[:, np.array([*map(bool, each.labels)])] for each in (raw, corrupted))
    if [*filter(None, raw.labels)] != [*filter(None, corrupted.labels)]:
        return "other labels"
    if found.shape != expected.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    if not np.array_equal(found, expected, equal_nan=True):
        return f"{np.mean(found != expected):.0%} of the coordinates differ or are missing"
    follows_from_times = any("the time column" in text for text in raw.warnings)
    tolerance = _RATE_TOLERANCE * corrupted.rate_hz if follows_from_times else 0.0
    if abs(raw.rate_hz - corrupted.rate_hz) > max(tolerance, 1e-6 * corrupted.rate_hz):
        return f"rate {raw.rate_hz:g} instead of {corrupted.rate_hz:g}"
    return ""


def readers_agree(path: Path, content: C3dContent) -> bool | None:
    """Return True if ezc3d and our own reader find the same points; None if the file is not for ezc3d, or refused."""
    path.write_bytes(content.to_bytes())
    if not parse_c3d(path).regular:
        return None
    try:
        points = ezc3d.c3d(str(path))["data"]["points"][:3]
    except Exception:  # from C++
        return None
    positions = parse_c3d(path).positions()
    return np.array_equal(np.moveaxis(points, 0, -1).swapaxes(0, 1), positions, equal_nan=True)


# ------------------------------------------------------------------------------------------ honest files


def synthetic_positions(model: Path) -> list[tuple[list[str], NDArray[np.float64]]]:
    """Return labels and positions (T, M, 3) in mm, z up, with gaps, of a walk of each synthetic subject."""
    body = load_body(model)
    layout = plug_in_gait_layout(body).select(PLUG_IN_GAIT_39)
    walks = []
    for seed in range(_NUM_SUBJECTS):
        trial = make_trial(body, make_subject(body, seed), seconds=_NUM_FRAMES / 100.0 + 0.05, seed=seed)
        errors = MeasurementErrors(gap_fraction=0.05)
        markers = record_markers(body, trial.ground_truth, layout, errors, subject_seed=seed, trial_seed=seed)
        positions = 1000.0 * markers.positions_m[:_NUM_FRAMES][..., [2, 0, 1]]
        walks.append((list(markers.labels), positions))
    return walks


def make_c3d(number: int, walk: tuple[list[str], NDArray[np.float64]]) -> C3dContent:
    """Make a C3D file; number format, rates, channels and first frame follow from its number."""
    labels, positions = walk
    processor, scale = _FORMATS[number % len(_FORMATS)]
    rate_hz, analog_rate_hz = _RATES[number % len(_RATES)]
    return C3dContent(
        labels=list(labels),
        positions=positions.astype(np.float32),
        rate_hz=float(np.float32(rate_hz)),
        channels=(2, 6, 1, 12)[number % 4],
        samples=20 if analog_rate_hz else (1, 10, 4)[number % 3],
        analog_rate_hz=analog_rate_hz,
        processor=processor,
        scale=scale,
        first_frame=1 + 137 * (number % 5),
        seed=number,
    )


def make_long_c3d(processor: int, scale: float) -> C3dContent:
    """Make a C3D file of three points and 66,000 frames."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0.0, 0.05, (66_000, 3, 3)).cumsum(axis=0)
    positions = rng.uniform(200.0, 1500.0, (1, 3, 3)) + steps
    return C3dContent(["LASI", "RASI", "SACR"], positions.astype(np.float32), 100.0, processor=processor, scale=scale)


def make_trc(number: int, walk: tuple[list[str], NDArray[np.float64]]) -> TrcContent:
    """Make a TRC file; its rate follows from its number."""
    labels, positions = walk
    return TrcContent(list(labels), positions.copy(), _RATES[number % len(_RATES)][0])


def from_recorded(path: Path) -> C3dContent:
    """Describe the points of a real file as a C3D file with two analog channels."""
    raw = read_raw_recording(path)
    visible = visible_mask(raw.positions)
    first = int(np.clip(visible.sum(axis=1).argmax(), 0, max(len(visible) - _NUM_FRAMES, 0)))
    kept = slice(first, first + _NUM_FRAMES)
    seen = np.flatnonzero(visible[kept].any(axis=0))[:120]  # POINT:LABELS has at most 255
    positions = raw.positions[kept, seen].astype(np.float32)
    labels = [f"P{k}" for k in range(positions.shape[1])]  # prefixes may be names
    return C3dContent(labels, positions, float(np.float32(raw.rate_hz)), 2, 10, first_frame=max(raw.first_frame, 1))


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
