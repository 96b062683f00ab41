"""Imports within ``gait`` point along the flow of ``CONTRIBUTING.md``, and no modules import each other."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.paths import REPOSITORY

FLOW = (
    "files", "cli", "parallel", "marker_sets", "capture", "body", "fitting", "kinematics", "motion", "exporting",
    "learning", "explaining", "viewing", "report", "cohort", "synthetic",
)  # fmt: skip
"""Each of these packages imports only those before it; the single modules of ``gait`` import none of them."""


@cache
def imports_of_modules() -> dict[str, set[str]]:
    """The modules of ``gait`` that each module imports; without ``gait`` itself, which imports lazily."""
    files = {name_of(path): path for path in (REPOSITORY / "gait").rglob("*.py")}
    del files["gait"]
    return {name: set(imported_modules(path, set(files))) - {name} for name, path in files.items()}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(path: Path, modules: set[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from modules & {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from inner & modules or {node.module}


def test_imports_point_along_the_flow() -> None:
    rooms = {
        (module.split(".")[1], other.split(".")[1]) for module, used in imports_of_modules().items() for other in used
    }
    packages = {path.parent.name for path in (REPOSITORY / "gait").glob("*/__init__.py")}
    assert packages == set(FLOW)
    place = {room: number for number, room in enumerate(FLOW, 1)}
    assert {(room, other) for room, other in rooms if place.get(other, 0) > place.get(room, 0)} == set()
    assert {room for room, other in rooms if other == "synthetic"} == {"synthetic"}


def test_no_modules_import_each_other() -> None:
    try:
        TopologicalSorter(imports_of_modules()).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
