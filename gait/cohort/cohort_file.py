"""The cohort file: which subjects there are, their gaits, whether they are healthy."""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gait.errors import GaitError

_NEEDED = ("gaits", "healthy")
_OPTIONAL = ("constraint_file", "constrained_model", "model_file", "person_number")
_DEFAULT_MODEL = "open_neutral.npz"
_MOST_BYTES = 16 << 20
_LONGEST_NAME = 200  # bytes; file systems take 255, and results get suffixes

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """One person of a cohort."""

    name: str  # safe as the name of a folder
    gaits: tuple[Path, ...]  # recordings, their stems all different; a file need not exist
    healthy: bool
    constraint_file: Path | None = None  # None: markers are placed on the body by their names
    constrained_model: bool = False  # hinge tree, where the model file has one
    model_file: str = _DEFAULT_MODEL
    person_number: int | None = None  # in recordings of several persons, from 1; None: whoever has most markers


def read_cohort(path: str | Path) -> tuple[Subject, ...]:
    """The subjects of a cohort file, sorted by name.

    Paths in it are relative to the working directory, as published, or else to the cohort file; one that
    exists in neither place stays as written, for its own gait to fail on. Raises GaitError where the file is
    missing or no JSON, or an entry is incomplete, mistyped, doubled, or would write outside its own folder.
    """
    path = Path(path)
    subjects = [_subject(path, name, entry) for name, entry in _entries(path)]
    _refuse_doubles(path, "subjects", [subject.name for subject in subjects])
    return tuple(sorted(subjects, key=lambda subject: subject.name))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a key given twice is not lost."""


def _entries(path: Path) -> list[tuple[str, _Pairs]]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise GaitError(f"{path}: larger than {_MOST_BYTES >> 20} MiB, so no cohort file.")
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_Pairs)
    except OSError as error:
        raise GaitError(f"{path}: the cohort file cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise GaitError(f"{path}: is no text (byte {error.start} is not UTF-8); save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise GaitError(f"{path}, line {error.lineno}, column {error.colno}: is no JSON ({error.msg}).") from error
    except RecursionError as error:
        raise GaitError(f"{path}: is no cohort file (nested too deeply).") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise GaitError(f"{path}: is no cohort file (a number in it is too long).") from error
    if not isinstance(content, _Pairs):
        raise GaitError(f'{path}: must be an object of subjects, {{"<subject>": {{"gaits": [...], ...}}, ...}}.')
    if not content:
        raise GaitError(f'{path}: names no subject; add one, {{"<subject>": {{"gaits": [...], "healthy": true}}}}.')
    for name, entry in content:
        if not isinstance(entry, _Pairs):
            raise GaitError(
                f"{path}: subject {name!r} must be an object with {', '.join(_NEEDED)}, not {_kind(entry)}."
            )
    return list(content)


def _subject(path: Path, name: str, entry: _Pairs) -> Subject:
    where = f"{path}: subject {name!r}"
    unsafe = any(character in "/\\" or not character.isprintable() for character in name)
    if unsafe or name.strip() != name or name in ("", ".", "..") or len(name.encode()) > _LONGEST_NAME:
        raise GaitError(f"{where} cannot be the name of a folder; use letters, digits, '-' and '_'.")
    _refuse_doubles(path, f"keys of subject {name!r}", [key for key, _ in entry])
    values = dict(entry)
    missing = [key for key in _NEEDED if key not in values]
    if missing:
        there = ", ".join(values) or "none"
        raise GaitError(f"{where} lacks {', '.join(missing)}; its keys are: {there}; needed: {', '.join(_NEEDED)}.")
    known = (*_NEEDED, *_OPTIONAL)
    for key in values.keys() - set(known):
        if meant := difflib.get_close_matches(key.lower(), [k for k in known if k not in values], n=1, cutoff=0.8):
            raise GaitError(f"{where} has a key {key!r}; {meant[0]!r} is meant, or leave it out.")
    return Subject(
        name=name,
        gaits=_gaits(where, path, values["gaits"]),
        healthy=_typed(where, "healthy", values["healthy"], bool, "true or false"),
        constraint_file=_constraint_file(where, path, values.get("constraint_file")),
        constrained_model=_typed(
            where, "constrained_model", values.get("constrained_model", False), bool, "true or false"
        ),
        model_file=_typed(where, "model_file", values.get("model_file", _DEFAULT_MODEL), str, "a file name"),
        person_number=_person_number(where, values.get("person_number")),
    )


def _gaits(where: str, path: Path, value: Any) -> tuple[Path, ...]:
    if isinstance(value, _Pairs) or not isinstance(value, list):
        raise GaitError(f"{where}: 'gaits' must be a list of file names, not {_kind(value)}.")
    if not value:
        raise GaitError(f"{where}: 'gaits' is empty; name a recording, or take the subject out.")
    gaits = [Path(_typed(where, "gaits", gait, str, "a list of file names")) for gait in value]
    by_folder: dict[str, Path] = {}
    for gait in gaits:
        other = by_folder.setdefault(gait.stem.casefold(), gait)
        if other is not gait:
            raise GaitError(
                f"{where}: the gaits {other} and {gait} would both be written to the folder {gait.stem!r}; rename one."
            )
    return tuple(_resolved(where, gait, path) for gait in gaits)


def _constraint_file(where: str, path: Path, value: Any) -> Path | None:
    if value is None or value == "":
        return None
    return _resolved(where, Path(_typed(where, "constraint_file", value, str, "a file name")), path)


def _person_number(where: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31):
        raise GaitError(f"{where}: 'person_number' must be a whole number from 1 on, not {_kind(value)}.")
    return value


def _resolved(where: str, file: Path, cohort: Path) -> Path:
    """``file`` from the working directory, else beside the cohort file, else as written."""
    beside = cohort.parent / file
    try:
        if "\0" in str(file):
            raise ValueError("a NUL")
        os.fsencode(file)
        return beside if not file.exists() and beside.exists() else file
    except (OSError, ValueError) as error:
        raise GaitError(f"{where}: {str(file)[:80]!r} cannot be the name of a file.") from error


def _typed(where: str, key: str, value: Any, kind: type[T], what: str) -> T:
    if not isinstance(value, kind) or value == "":
        raise GaitError(f"{where}: {key!r} must be {what}, not {_kind(value)}.")
    return value


def _kind(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "an object"
    return {list: "a list", type(None): "null"}.get(type(value), json.dumps(value)[:40])


def _refuse_doubles(path: Path, what: str, names: list[str]) -> None:
    """Refuse names that are the same, or differ by case only: many file systems give them one folder."""
    first: dict[str, str] = {}
    for name in names:
        if name.casefold() in first:
            raise GaitError(f"{path}: two {what} are called {first[name.casefold()]!r} and {name!r}; rename one.")
        first[name.casefold()] = name
