"""Text as it is shown: sorted naturally, without control characters, cut to a length; numbers and counts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

MAX_NAMES = 10
"""Number of names that one message lists."""


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Return a sort key that puts "P2" before "P10"."""
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name))


def printable(text: str) -> str:
    """Replace each character that cannot be shown (control codes, text direction marks, broken bytes) by "□"."""
    return "".join(c if c.isprintable() else "□" for c in text)


def truncate(name: str, max_length: int) -> str:
    """Return the printable name, its middle replaced by "…" if it is longer than ``max_length`` characters."""
    name = printable(name)
    if len(name) <= max_length:
        return name
    end = (max_length - 1) // 2
    return f"{name[: max_length - 1 - end]}…{name[-end:]}"


def join_words(words: Sequence[str], conjunction: str = "and") -> str:
    """Return words as one phrase, such as "a, b and c"; an empty text for none."""
    return f" {conjunction} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def join_names(names: Sequence[str]) -> str:
    """Return the first ``MAX_NAMES`` names with commas, and how many more there are."""
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def capitalize(text: str) -> str:
    """Return a text with a capital at its start; the rest stays."""
    return text[:1].upper() + text[1:]


def pluralize(number: int, noun: str) -> str:
    """Return for example ``1 subject``, ``12 subjects`` or ``1,205 windows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_number(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """Return a number with a true minus sign, without sign if it is rounded to zero; "–" if it is unknown."""
    if not math.isfinite(value):
        return "–"
    value = round(value, digits) + 0.0  # no negative zero
    text = f"{value:+.{digits}f}" if signed and value else f"{value:.{digits}f}"
    return text.replace("-", "−")


def with_true_minus(text: str) -> str:
    """Return a text with true minus signs before its numbers, and none before a zero."""
    text = re.sub(r"(?<![\w-])[-−](?=0(?:\.0+)?(?!\.?\d))", "", text)
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


def format_probability(value: float) -> str:
    """Return a probability with two digits, never exactly 0 or 1."""
    return "> 0.99" if value > 0.99 else "< 0.01" if value < 0.01 else f"{value:.2f}"
