"""Cohorts of synthetic subjects: the cohort file and its recordings."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.body.open_body import OPEN_BODY
from gait.errors import GaitError
from gait.synthetic.pathologies import FORMER_NAMES, PATHOLOGY_NAMES, UNILATERAL, Pathology, make_pathology
from gait.synthetic.peculiarities import PECULIARITY_NAMES, draw_peculiarities
from gait.synthetic.peculiarities import SHARE as PECULIARITY_SHARE
from gait.synthetic.recording_files import ground_truth_path, write_recording
from gait.synthetic.subject import SyntheticSubject, make_subject, vary_subject
from gait.synthetic.trial import make_trial

_ADULTS_ONLY = ("parkinsonian",)
_NAME = re.compile(
    rf"(?P<what>healthy|{'|'.join((*PATHOLOGY_NAMES, *FORMER_NAMES))})(?:_(?P<side>left|right))?(?:_(?P<number>\d+))?"
)
_SEEDED_NAMES = {new: former for former, new in FORMER_NAMES.items()}


SEVERITIES = (0.6, 1.0)
"""Range of the severity of pathologies."""

CONTROL_PACES = (0.35, 1.5)
"""Limits of a healthy subject's speed as a factor on its own."""


@dataclass(frozen=True)
class Variety:
    """A varied world, in which subjects differ as real persons do and healthy ones can walk slowly.

    Each subject has its own curves (``individuality``) and may have harmless peculiarities, whatever its label.
    """

    severity: tuple[float, float] = SEVERITIES  # range of the severity of pathologies; from 0: none
    control_pace: tuple[float, float] = (1.0, 1.0)  # range of healthy subjects' speed, as a factor on their own
    peculiarity_share: float = PECULIARITY_SHARE  # probability of each peculiarity
    peculiarity_draw: int = 0  # another number gives the same subjects other peculiarities
    peculiarities: tuple[str, ...] = PECULIARITY_NAMES  # kinds among which they are drawn

    def __post_init__(self) -> None:
        """Raise a GaitError if a range or a name is impossible."""
        for what, (low, high), limits in (
            ("severity", self.severity, (0.0, 1.0)),
            ("control pace", self.control_pace, CONTROL_PACES),
            ("share of peculiarities", (self.peculiarity_share, self.peculiarity_share), (0.0, 1.0)),
        ):
            if not limits[0] <= low <= high <= limits[1]:
                asked = f"{low:g} to {high:g}" if low != high else f"{low:g}"
                raise GaitError(f"{what} {asked}: must rise within {limits[0]:g} to {limits[1]:g}.")
        if unknown := [name for name in self.peculiarities if name not in PECULIARITY_NAMES]:
            raise GaitError(f"Unknown peculiarity {unknown[0]!r}; available: {', '.join(PECULIARITY_NAMES)}.")


@dataclass(frozen=True)
class SubjectSpec:
    """One synthetic subject of a cohort, fully determined by its name and the cohort's seed."""

    name: str
    seed: int
    pathology: Pathology | None
    variety: Variety | None = None


def parse_subject_name(name: str, seed: int = 0, variety: Variety | None = None) -> SubjectSpec:
    """Parse a subject name such as ``healthy_1``, ``crouch`` or ``stiff_knee_left_3``.

    The severity of a pathology is drawn between 0.6 and 1, or in the range of ``variety``.

    Raises:
        GaitError: the name does not have this form.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        form = "then _left or _right if the pathology is unilateral, then a number (stiff_knee_left_2)"
        names = ", ".join(PATHOLOGY_NAMES)
        raise GaitError(f"{name!r}: not the name of a synthetic subject; it must be healthy or {names}, {form}.")
    pathology_name = FORMER_NAMES.get(match["what"], match["what"])
    # A renamed pathology keeps its former seeds, so that its subjects stay the same.
    seeded_name = name.replace(pathology_name, _SEEDED_NAMES.get(pathology_name, pathology_name), 1)
    subject_seed = zlib.crc32(f"{seed}/{seeded_name}".encode())
    pathology = None
    if pathology_name != "healthy":
        severity = float(
            np.random.default_rng([subject_seed, 4]).uniform(*(variety.severity if variety else SEVERITIES))
        )
        pathology = make_pathology(pathology_name, match["side"], severity)  # type: ignore[arg-type]
    elif match["side"]:
        raise GaitError(f"{name!r}: healthy subjects have no side; leave out _{match['side']}.")
    return SubjectSpec(name, subject_seed, pathology, variety)


def build_subject(spec: SubjectSpec, body: Body) -> SyntheticSubject:
    """Build the subject: an adult if the pathology occurs in adults only, otherwise of any age."""
    adults_only = spec.pathology is not None and spec.pathology.name in _ADULTS_ONLY
    subject = make_subject(body, spec.seed, adult=True if adults_only else None)
    variety = spec.variety
    if variety is None:
        return subject
    drawn = draw_peculiarities(
        spec.seed, draw=variety.peculiarity_draw, share=variety.peculiarity_share, names=variety.peculiarities
    )
    subject = replace(vary_subject(subject), peculiarities=drawn)
    if spec.pathology is None and variety.control_pace != (1, 1):
        subject = subject.at_own_pace(float(np.random.default_rng([spec.seed, 9]).uniform(*variety.control_pace)))
    return subject


def pathological_subjects(count: int, seed: int = 0, variety: Variety | None = None) -> tuple[SubjectSpec, ...]:
    """Return ``count`` subjects that cycle through the pathologies, unilateral ones alternating left and right."""
    return tuple(parse_subject_name(_pathological_subject_name(k), seed, variety) for k in range(count))


def write_recordings(
    cohort: Path,
    *,
    body: Body,
    seed: int = 0,
    overwrite: bool = False,
    seconds: float | None = None,
    variety: Variety | None = None,
) -> Iterator[Path]:
    """Write all recordings listed in a cohort file of synthetic subjects; yield each path once it is written.

    Paths are relative to the cohort file. Recordings that exist already together with their ground truth are skipped
    unless ``overwrite``. All trials last ``seconds``; by default each has its own length of 4 to 5 seconds. With
    ``variety`` subjects differ as real persons do.

    Raises:
        GaitError: the file is not a cohort file of synthetic subjects.
    """
    layout = plug_in_gait_layout(body)
    for name, recordings in _read_trials(cohort).items():
        spec = parse_subject_name(name, seed, variety)
        subject = None
        for number, recording in enumerate(recordings, 1):
            path = cohort.parent / recording
            if not overwrite and path.exists() and ground_truth_path(path).exists():
                continue
            subject = subject or build_subject(spec, body)
            length = seconds or 4.0 + float(np.random.default_rng([spec.seed, 5, number]).uniform(0, 1))
            trial = make_trial(body, subject, spec.pathology, seconds=length, seed=number)
            write_recording(trial, body, layout, path, prefix=_label_prefix(spec))
            yield path


def _label_prefix(spec: SubjectSpec) -> str:
    """Return the prefix of the marker labels: half of the subjects have one, as in recordings of some laboratories."""
    return "Subject" if spec.seed % 2 else ""


def _read_trials(cohort: Path) -> dict[str, list[str]]:
    """Return the recordings of each subject of a cohort file, by name."""
    try:
        content = json.loads(cohort.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GaitError(f"{cohort}: not a cohort file ({error}).") from error
    entries: Iterable[tuple[str, Any]] = content.items() if isinstance(content, dict) else ()
    # "gaits" is the old name of the key
    trials: dict[str, Any] = {
        name: entry.get("trials", entry.get("gaits", [])) for name, entry in entries if isinstance(entry, dict)
    }
    if not isinstance(content, dict) or len(trials) < len(content) or not all(trials.values()):
        raise GaitError(f"{cohort}: not a cohort file; every subject needs 'trials', a list of recordings.")
    return trials


def cohort_content(names: list[str], num_trials: int, folder: str) -> dict[str, Any]:
    """Return the content of a cohort file; the recordings are ``<folder>/<name>/walk1.c3d`` and so on."""
    return {
        name: {
            "trials": [f"{folder}/{name}/walk{k}.c3d" for k in range(1, num_trials + 1)],
            "healthy": parse_subject_name(name).pathology is None,
            "constrained_model": False,
            "model_file": OPEN_BODY,
        }
        for name in names
    }


def make_cohort(
    folder: str | Path,
    healthy: int = 20,
    sick: int = 20,
    num_trials: int = 2,
    seed: int = 0,
    *,
    seconds: float | None = None,
    variety: Variety | None = None,
    body: Body | None = None,
    model_folder: str | Path = "data",
) -> Path:
    """Write a cohort file and its recordings into a folder; return the file, ``<folder>/cohort.json``.

    Existing recordings are kept.

    Args:
        folder: output folder; created if needed.
        healthy: number of healthy subjects.
        sick: number of subjects with a pathology, see ``pathological_subjects``.
        num_trials: trials per subject.
        seed: another seed gives other subjects.
        seconds: length of all trials; 4 to 5 seconds, different for each trial, if None.
        variety: how far subjects differ; None: as in earlier versions, less than real persons.
        body: body model; loaded from ``model_folder`` if not given.
        model_folder: folder that contains ``SUPR/open_neutral.npz``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"healthy_{k + 1}" for k in range(healthy)] + [spec.name for spec in pathological_subjects(sick, seed)]
    path = folder / "cohort.json"
    path.write_text(json.dumps(cohort_content(names, num_trials, "recordings"), indent=2) + "\n", encoding="utf-8")
    body = body or load_body(Path(model_folder) / "SUPR" / OPEN_BODY)
    for _ in write_recordings(path, body=body, seed=seed, seconds=seconds, variety=variety):
        pass
    return path


def _pathological_subject_name(k: int) -> str:
    pathology, cycle = PATHOLOGY_NAMES[k % len(PATHOLOGY_NAMES)], k // len(PATHOLOGY_NAMES)
    side = ("_left", "_right")[(k + cycle) % 2] if pathology in UNILATERAL else ""
    return f"{pathology}{side}_{cycle + 1}"
