"""Read the cohort file: subjects, recordings of their trials, and whether they are healthy."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from gait.body.open_body import OPEN_BODY
from gait.capture.pose_format import Field, Member, PoseFormat, TrialPath
from gait.capture.pose_formats import collection_format, folder_name, member_path, parse_trial_path, trial_name
from gait.cohort.health_rule import RULE_EXAMPLE, TABLE_EXAMPLE, HealthRule, parse_health_rule
from gait.errors import GaitError
from gait.files.read_json import read_json
from gait.text import join_names

_REQUIRED_KEYS = ("trials", "healthy")
_OPTIONAL_KEYS = ("marker_layout_file", "constrained_model", "model_file", "subject_index")
_OLD_KEYS = {"gaits": "trials", "constraint_file": "marker_layout_file", "person_number": "subject_index"}
"""Keys of older cohort files, which are still read."""
_MAX_NAME_BYTES = 200  # file systems allow 255, and results get suffixes

T = TypeVar("T")


@dataclass(frozen=True)
class Subject:
    """One subject of a cohort and the settings of its fit."""

    name: str  # valid as a folder name
    trials: tuple[Path, ...]  # recordings, one per trial, with unique stems; a file need not exist
    healthy: bool
    marker_layout_file: Path | None = None  # None: markers are placed on the body by their names
    constrained_model: bool = False  # use the constrained tree (hinge joints), if the model file has one
    model_file: str = OPEN_BODY
    subject_index: int | None = None  # in files with several subjects, from 1; None: the one with most markers


def read_cohort(path: str | Path) -> tuple[Subject, ...]:
    """Read the subjects of a cohort file, sorted by name.

    Paths in the file are relative to the working directory, or else to the cohort file. A recording that exists in
    neither place is no error here: only the fit of that trial will fail. An entry that names a file with many subjects
    (CARE-PD's) stands for all of them, each called ``<entry>_<subject>``.

    Raises:
        GaitError: the file is missing or not JSON, or an entry is incomplete, of a wrong type, duplicated, or would
            write outside its own folder.
    """
    path = Path(path)
    subjects = [subject for name, entry in _read_entries(path) for subject in _parse_entry(path, name, entry)]
    if not subjects:
        raise GaitError(f"{path}: the rules of 'healthy' skip every subject; correct them.")
    _check_unique(path, "subjects", [subject.name for subject in subjects])
    return tuple(sorted(subjects, key=lambda subject: subject.name))


class _JsonObject(list[tuple[str, Any]]):
    """JSON object as a list of pairs, which preserves duplicate keys."""


def _read_entries(path: Path) -> list[tuple[str, _JsonObject]]:
    content = read_json(path, "cohort file", object_pairs_hook=_JsonObject)
    if not isinstance(content, _JsonObject):
        raise GaitError(f'{path}: must be an object of subjects, {{"<subject>": {{"trials": [...], ...}}, ...}}.')
    if not content:
        raise GaitError(f'{path}: has no subject; add one, {{"<subject>": {{"trials": [...], "healthy": true}}}}.')
    for name, entry in content:
        if not isinstance(entry, _JsonObject):
            required = ", ".join(_REQUIRED_KEYS)
            raise GaitError(f"{path}: subject {name!r} must be an object with {required}, not {_describe(entry)}.")
    return list(content)


def _parse_entry(path: Path, name: str, entry: _JsonObject) -> list[Subject]:
    where = f"{path}: subject {name!r}"
    unsafe = any(character in "/\\" or not character.isprintable() for character in name)
    if unsafe or name.strip() != name or name in ("", ".", "..") or len(name.encode()) > _MAX_NAME_BYTES:
        raise GaitError(f"{where} cannot be the name of a folder; use letters, digits, '-' and '_'.")
    _check_unique(path, f"keys of subject {name!r}", [key for key, _ in entry])
    values = _with_new_keys(where, dict(entry))
    missing = [key for key in _REQUIRED_KEYS if key not in values]
    if missing:
        keys = f"its keys are: {', '.join(values) or 'none'}; required: {', '.join(_REQUIRED_KEYS)}"
        said = (
            f"; say who is healthy: {RULE_EXAMPLE}, {TABLE_EXAMPLE}, or true or false" if missing == ["healthy"] else ""
        )
        raise GaitError(f"{where} lacks {', '.join(missing)}; {keys}{said}.")
    known = (*_REQUIRED_KEYS, *_OPTIONAL_KEYS)
    for key in values.keys() - set(known):
        unused = [k for k in (*known, *_OLD_KEYS) if _OLD_KEYS.get(k, k) not in values]
        if similar := difflib.get_close_matches(key.lower(), unused, n=1, cutoff=0.8):
            meant = _OLD_KEYS.get(similar[0], similar[0])
            raise GaitError(f"{where} has the unknown key {key!r}; rename it to {meant!r}, or remove it.")
    healthy = _parse_healthy(where, path, values["healthy"])
    subject = Subject(
        name=name,
        trials=_parse_trials(where, path, values["trials"]),
        healthy=healthy is True,
        marker_layout_file=_parse_marker_layout_file(where, path, values.get("marker_layout_file")),
        constrained_model=_check_type(
            where, "constrained_model", values.get("constrained_model", False), bool, "true or false"
        ),
        model_file=_check_type(where, "model_file", values.get("model_file", OPEN_BODY), str, "a file name"),
        subject_index=_parse_subject_index(where, values.get("subject_index")),
    )
    return _expand(where, subject, None if isinstance(healthy, bool) else healthy)


def _parse_healthy(where: str, path: Path, value: Any) -> bool | HealthRule:
    if not isinstance(value, _JsonObject):
        return _check_type(where, "healthy", value, bool, "true or false, or a rule, see docs/fitting.md")
    rule = dict(value)
    table = rule.get("table")
    return parse_health_rule(
        where,
        rule,
        None if table is None else _resolve(where, Path(_check_type(where, "table", table, str, "a CSV file")), path),
    )


def _expand(where: str, subject: Subject, rule: HealthRule | None) -> list[Subject]:
    """Return the subjects of an entry, each with its trials and label: several if it names a file of many subjects."""
    collections = {path: known for path in subject.trials if (known := collection_format(path))}
    if not collections:
        if rule is None:
            return [subject]
        if rule.table is None:
            raise GaitError(f"{where}: its trials have no field {rule.field!r}; say true or false, or {TABLE_EXAMPLE}.")
        healthy = rule.is_healthy(where, subject.name, [])
        return [] if healthy is None else [replace(subject, healthy=healthy)]
    members = {path: _members(where, path, known) for path, known in collections.items()}
    found: dict[str, list[Path]] = {}
    fields: dict[str, tuple[str, list[Mapping[str, Field]]]] = {}
    for path in subject.trials:
        wanted = parse_trial_path(path)
        if path in members and not wanted.subject and len(collections) < len(subject.trials):
            raise GaitError(
                f"{where}: {path} has many subjects, so no other trial can stand beside it; name one, {path}#subject."
            )
        for member in members.get(path, ()):
            name = subject.name if wanted.subject else f"{subject.name}_{folder_name(member.subject)}"
            found.setdefault(name, []).append(member_path(TrialPath(wanted.file, member.subject, member.walk)))
            fields.setdefault(name, (member.subject, []))[1].append(member.fields)
        if path not in members:
            found.setdefault(subject.name, []).append(path)
    expanded = []
    for name, trials in found.items():
        healthy = subject.healthy if rule is None else rule.is_healthy(where, *fields[name])
        if healthy is not None:
            _check_trials(where, trials)
            expanded.append(replace(subject, name=name, trials=tuple(trials), healthy=healthy))
    return expanded


def _members(where: str, path: Path, known: PoseFormat) -> list[Member]:
    """Return the trials that a path into a file of many subjects names: all, those of a subject, or one."""
    wanted = parse_trial_path(path)
    assert known.members is not None
    every = known.members(wanted.file)
    chosen = [member for member in every if wanted.subject in ("", member.subject) and wanted.walk in ("", member.walk)]
    if not chosen:
        subjects = list(dict.fromkeys(member.subject for member in every))
        walks = [member.walk for member in every if member.subject == wanted.subject]
        there = f"its walks: {join_names(walks)}" if walks else f"the file has the subjects {join_names(subjects)}"
        raise GaitError(f"{where}: no trial {path}; {there}.")
    return chosen


def _with_new_keys(where: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` with each old key replaced by its new one."""
    for old, new in _OLD_KEYS.items():
        if old in values and new in values:
            raise GaitError(f"{where} has both {new!r} and {old!r}, the old name of the same key; remove {old!r}.")
    return {_OLD_KEYS.get(key, key): value for key, value in values.items()}


def _parse_trials(where: str, path: Path, value: Any) -> tuple[Path, ...]:
    if isinstance(value, _JsonObject) or not isinstance(value, list):
        raise GaitError(f"{where}: 'trials' must be a list of file names, not {_describe(value)}.")
    if not value:
        raise GaitError(f"{where}: 'trials' is empty; name a recording, or remove the subject.")
    trials = [Path(_check_type(where, "trials", trial, str, "a list of file names")) for trial in value]
    _check_trials(where, trials)
    return tuple(_resolve(where, trial, path) for trial in trials)


def _check_trials(where: str, trials: Sequence[Path]) -> None:
    """Raise GaitError if two trials would be saved in one folder."""
    by_folder: dict[str, Path] = {}
    for trial in trials:
        other = by_folder.setdefault(trial_name(trial).casefold(), trial)
        if other is not trial:
            both = f"the trials {other} and {trial} would both be saved in the folder {trial_name(trial)!r}"
            raise GaitError(f"{where}: {both}; rename one.")


def _parse_marker_layout_file(where: str, path: Path, value: Any) -> Path | None:
    if value is None or value == "":
        return None
    return _resolve(where, Path(_check_type(where, "marker_layout_file", value, str, "a file name")), path)


def _parse_subject_index(where: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31):
        raise GaitError(f"{where}: 'subject_index' must be an integer from 1, not {_describe(value)}.")
    return value


def _resolve(where: str, file: Path, cohort: Path) -> Path:
    """Return ``file`` relative to the working directory, else to the cohort file, else unchanged."""
    beside_cohort, on_disk = cohort.parent / file, parse_trial_path(file).file
    try:
        if "\0" in str(file):
            raise ValueError("a NUL")
        os.fsencode(file)
        return beside_cohort if not on_disk.exists() and (cohort.parent / on_disk).exists() else file
    except (OSError, ValueError) as error:
        raise GaitError(f"{where}: {str(file)[:80]!r} cannot be the name of a file.") from error


def _check_type(where: str, key: str, value: Any, kind: type[T], expected: str) -> T:
    if not isinstance(value, kind) or value == "":
        raise GaitError(f"{where}: {key!r} must be {expected}, not {_describe(value)}.")
    return value


def _describe(value: Any) -> str:
    if isinstance(value, _JsonObject):
        return "an object"
    return {list: "a list", type(None): "null"}.get(type(value), json.dumps(value)[:40])


def _check_unique(path: Path, what: str, names: list[str]) -> None:
    """Raise GaitError if two names differ in case only or not at all: many file systems give them one folder."""
    first: dict[str, str] = {}
    for name in names:
        if name.casefold() in first:
            raise GaitError(f"{path}: two {what} are called {first[name.casefold()]!r} and {name!r}; rename one.")
        first[name.casefold()] = name
