"""What a room's docstring says is in it."""

import importlib
import pkgutil
import re

import pytest


@pytest.mark.parametrize(
    "room", ["gait.explaining", "gait.learning", "gait.motion", "gait.report", "gait.viewing", "gait.viewing.panels"]
)
def test_a_room_names_each_of_its_modules_once(room: str) -> None:
    package = importlib.import_module(room)
    named = re.findall(r"``(\w+)``", package.__doc__ or "")
    assert sorted(named) == sorted(module.name for module in pkgutil.iter_modules(package.__path__))
