"""What the command lines of benchmarks have in common: ``--quick``, ``--json``, and which value counts."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def benchmark_parser(description: str, quick: str) -> argparse.ArgumentParser:
    """A parser with both flags. Flags that are added to it have no defaults: those are the arguments' own.

    Args:
        description: of the benchmark.
        quick: what ``--quick`` leaves out.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, help="write the JSON object into this file too")
    return parser


def values(parser: argparse.ArgumentParser, words: Sequence[str] | None, quick: Mapping[str, Any]) -> dict[str, Any]:
    """What the command line names goes before ``--quick``, and that before the defaults, which are not among them."""
    given = vars(parser.parse_args(words))
    known = dict(quick) if given.pop("quick") else {}
    named = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
    return known | {name: value for name, value in named.items() if value is not None}
