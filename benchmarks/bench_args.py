"""Flags that all benchmarks share: ``--quick`` and ``--json``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def benchmark_parser(description: str, quick: str) -> argparse.ArgumentParser:
    """Create a parser with both flags; add further flags without defaults, which belong to the dataclass.

    Args:
        description: of the benchmark.
        quick: help text of ``--quick``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, help="write the JSON object into this file too")
    return parser


def values(parser: argparse.ArgumentParser, words: Sequence[str] | None, quick: Mapping[str, Any]) -> dict[str, Any]:
    """Parse a command line into keyword arguments: flags that are given override the values of ``--quick``."""
    given = vars(parser.parse_args(words))
    known = dict(quick) if given.pop("quick") else {}
    named = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return known | {name: value for name, value in named.items() if value is not None}
