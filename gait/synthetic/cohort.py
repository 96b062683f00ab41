"""Cohorts of synthetic walkers: a cohort file and its recordings."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gait.body.body import Body
from gait.body.marker_placement import plug_in_gait_layout
from gait.body.model_file import load_body
from gait.errors import GaitError
from gait.synthetic.pathologies import DISORDER_NAMES, ONE_SIDED, Pathology, disorder
from gait.synthetic.recording_files import truth_path, write_walk
from gait.synthetic.subject import Person, make_person
from gait.synthetic.walk import make_walk

MODEL_FILE = "open_neutral.npz"
_ADULTS_ONLY = ("parkinsonian",)
_NAME = re.compile(
    r"(?P<what>healthy|" + "|".join(DISORDER_NAMES) + r")(?:_(?P<side>left|right))?(?:_(?P<number>\d+))?"
)


@dataclass(frozen=True)
class Walker:
    """One synthetic person of a cohort: the name says everything, together with the cohort's seed."""

    name: str
    seed: int
    disorder: Pathology | None


def walker(name: str, seed: int = 0) -> Walker:
    """The walker of a name such as ``healthy_1``, ``crouch`` or ``stiff_knee_left_3``.

    The ill are between moderately and severely so. Raises GaitError for a name that says nothing.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise GaitError(
            f"{name!r} names no synthetic walker; names are healthy or {', '.join(DISORDER_NAMES)}, "
            "then _left or _right where one side is meant, then a number (stiff_knee_left_2)."
        )
    own_seed = zlib.crc32(f"{seed}/{name}".encode())
    what = None
    if match["what"] != "healthy":
        severity = float(np.random.default_rng([own_seed, 4]).uniform(0.6, 1.0))
        what = disorder(match["what"], match["side"], severity)  # type: ignore[arg-type]
    elif match["side"]:
        raise GaitError(f"{name!r}: the healthy have no side.")
    return Walker(name, own_seed, what)


def walking_person(who: Walker, body: Body) -> Person:
    """The person of a walker: an adult where only adults have the disorder."""
    adults_only = who.disorder is not None and who.disorder.name in _ADULTS_ONLY
    return make_person(body, who.seed, adult=True if adults_only else None)


def ill_walkers(count: int, seed: int = 0) -> tuple[Walker, ...]:
    """So many ill walkers, the disorders in turn, one-sided ones left and right alternately."""
    return tuple(walker(_ill_name(k), seed) for k in range(count))


def write_recordings(cohort: Path, *, body: Body, seed: int = 0, overwrite: bool = False) -> Iterator[Path]:
    """Write every recording that a cohort file of synthetic walkers names; yields the paths as they are written.

    Paths are relative to the cohort file. What is there already, with its truth, is left alone unless
    ``overwrite``. Raises GaitError for a file that is no cohort of synthetic walkers.
    """
    layout = plug_in_gait_layout(body)
    for name, entry in _entries(cohort).items():
        who = walker(name, seed)
        person = None
        for number, gait in enumerate(entry["gaits"], 1):
            path = cohort.parent / gait
            if not overwrite and path.exists() and truth_path(path).exists():
                continue
            person = person or walking_person(who, body)
            seconds = 4.0 + float(np.random.default_rng([who.seed, 5, number]).uniform(0, 1))
            walk = make_walk(body, person, who.disorder, seconds=seconds, seed=number)
            write_walk(walk, body, layout, path, prefix=_prefix(who))
            yield path


def _prefix(who: Walker) -> str:
    """Some laboratories put the subject before every label: half of the walkers were recorded there."""
    return "Subject" if who.seed % 2 else ""


def _entries(cohort: Path) -> dict[str, Any]:
    try:
        content = json.loads(cohort.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GaitError(f"{cohort}: no cohort file ({error}).") from error
    if not isinstance(content, dict) or not all(isinstance(e, dict) and e.get("gaits") for e in content.values()):
        raise GaitError(f"{cohort}: no cohort file; every subject needs gaits.")
    return content


def cohort_content(names: list[str], walks: int, folder: str) -> dict[str, Any]:
    """The cohort file's content for these walkers; recordings are ``<folder>/<name>/walk1.c3d`` and so on."""
    return {
        name: {
            "gaits": [f"{folder}/{name}/walk{k}.c3d" for k in range(1, walks + 1)],
            "healthy": walker(name).disorder is None,
            "constrained_model": False,
            "model_file": MODEL_FILE,
        }
        for name in names
    }


def make_cohort(
    folder: str | Path,
    healthy: int = 20,
    ill: int = 20,
    walks: int = 2,
    seed: int = 0,
    *,
    body: Body | None = None,
    model_folder: str | Path = "data",
) -> Path:
    """Write a cohort file and its recordings into a folder; returns the file, ``<folder>/cohort.json``.

    The ill have the disorders in turn, one-sided ones left and right alternately. Recordings that are there
    already are kept. ``body`` is loaded from ``model_folder`` if not given.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"healthy_{k + 1}" for k in range(healthy)] + [who.name for who in ill_walkers(ill, seed)]
    path = folder / "cohort.json"
    path.write_text(json.dumps(cohort_content(names, walks, "recordings"), indent=2) + "\n", encoding="utf-8")
    body = body or load_body(Path(model_folder) / "SUPR" / MODEL_FILE)
    for _ in write_recordings(path, body=body, seed=seed):
        pass
    return path


def _ill_name(k: int) -> str:
    kind, turn = DISORDER_NAMES[k % len(DISORDER_NAMES)], k // len(DISORDER_NAMES)
    side = ("_left", "_right")[(k + turn) % 2] if kind in ONE_SIDED else ""
    return f"{kind}{side}_{turn + 1}"
