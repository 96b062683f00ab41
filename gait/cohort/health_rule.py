"""Who is healthy, said by the user: a rule on a field of the trials in a file, or on a column of a table.

A score is not a diagnosis: no value, also not 0, means healthy unless the cohort file says so.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gait.capture.pose_format import Field
from gait.errors import GaitError
from gait.text import join_names

RULE_EXAMPLE = '"healthy": {"field": "UPDRS_GAIT", "is": [0], "missing": "skip", "mixed": "sick"}'
TABLE_EXAMPLE = '"healthy": {"table": "groups.csv", "subject": "id", "field": "group", "is": ["control"]}'

_Answer = Literal["", "healthy", "sick", "skip"]
_ANSWERS = ("healthy", "sick", "skip")
_KEYS = ("field", "is", "table", "subject", "missing", "mixed")


@dataclass(frozen=True)
class HealthRule:
    """A subject is healthy if the field has one of the values in all of its trials, or rows of the table."""

    field: str
    healthy_values: tuple[Field, ...]
    table: Path | None = None  # CSV with one row per subject; None: the field is one of the trials
    subject_column: str = "subject"  # of the table
    missing: _Answer = ""  # a subject none of whose trials has a value; "": an error
    mixed: _Answer = ""  # a subject with healthy values and others; "": an error

    def is_healthy(self, where: str, subject: str, trials: Sequence[Mapping[str, Field]]) -> bool | None:
        """Return whether a subject with the fields of these trials is healthy; None if it is to be skipped.

        Raises:
            GaitError: the table cannot be read, or the rule does not say what a missing or a mixed value means.
        """
        rows = (
            trials if self.table is None else _read_table(where, self.table, self.subject_column, self.field, subject)
        )
        values = [row.get(self.field) for row in rows]
        known = [value for value in values if value is not None and value != ""]
        healthy = {_normalized(value) for value in self.healthy_values}
        found = {_normalized(value) in healthy for value in known}
        if not known:
            return self._answer(where, subject, "missing", f"has no {self.field}{self._keys(trials)}")
        if len(found) > 1:
            shown = join_names(sorted({f"{value:g}" if isinstance(value, float) else str(value) for value in known}))
            return self._answer(where, subject, "mixed", f"has several values of {self.field}: {shown}")
        return found.pop()

    def _answer(self, where: str, subject: str, key: Literal["missing", "mixed"], problem: str) -> bool | None:
        answer = getattr(self, key)
        if not answer:
            choices = " or ".join(f'"{each}"' for each in _ANSWERS)
            raise GaitError(f'{where}: {subject!r} {problem}; say what that means, "{key}": {choices}, in "healthy".')
        return None if answer == "skip" else answer == "healthy"

    def _keys(self, trials: Sequence[Mapping[str, Field]]) -> str:
        if self.table is not None:
            return f" in {self.table}"
        keys = sorted({key for trial in trials for key in trial})
        return "" if self.field in keys else f" (its fields: {join_names(keys) or 'none'})"


def parse_health_rule(where: str, values: Mapping[str, Any], table: Path | None) -> HealthRule:
    """Build the rule of a cohort file's object ``healthy``; ``table`` is its resolved table.

    Raises:
        GaitError: a key is missing, unknown, or of a wrong type.
    """
    problem = ""
    allowed = values.get("is")
    allowed = allowed if isinstance(allowed, list) else [allowed]
    if unknown := [key for key in values if key not in _KEYS]:
        problem = f"has the unknown key {unknown[0]!r}"
    elif not isinstance(values.get("field"), str) or "is" not in values:
        problem = "needs 'field' and 'is'"
    elif not allowed or not all(isinstance(value, str | int | float) for value in allowed):
        problem = "needs in 'is' the value that means healthy, or a list of them"
    elif not all(values.get(key, "skip") in _ANSWERS for key in ("missing", "mixed")):
        problem = f"needs one of {', '.join(_ANSWERS)} in 'missing' and 'mixed'"
    elif not isinstance(values.get("subject", ""), str):
        problem = "needs in 'subject' the name of a column"
    if problem:
        raise GaitError(f"{where}: 'healthy' {problem}; for example {RULE_EXAMPLE} or {TABLE_EXAMPLE}.")
    return HealthRule(
        field=values["field"],
        healthy_values=tuple(allowed),
        table=table,
        subject_column=values.get("subject", "subject"),
        missing=values.get("missing", ""),
        mixed=values.get("mixed", ""),
    )


def _read_table(where: str, path: Path, subject_column: str, field: str, subject: str) -> list[dict[str, Field]]:
    """Return the rows of a subject in a CSV table."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            start = stream.readline()
            stream.seek(0)
            separator = max(",;\t", key=start.count)
            table = csv.DictReader(stream, delimiter=separator)
            columns = list(table.fieldnames or ())
            rows = [row for row in table if (row.get(subject_column) or "").strip() == subject]
    except (OSError, UnicodeError, csv.Error) as error:
        raise GaitError(f"{where}: the table {path} of 'healthy' cannot be read ({error}).") from error
    if missing := [name for name in (subject_column, field) if name not in columns]:
        found = f"no column {missing[0]!r}; its columns: {join_names(columns) or 'none'}"
        raise GaitError(f"{where}: the table {path} of 'healthy' has {found}.")
    return [{field: (row.get(field) or "").strip() or None} for row in rows]


def _normalized(value: Field) -> Field:
    """Return a number as float, also one in text; other text without surrounding blanks."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return value.strip() if isinstance(value, str) else value
