"""The names of ``import gait``."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gait
from tests.helpers.paths import REPOSITORY


def test_import_gait_loads_no_library() -> None:
    program = "import sys, gait; print(*sorted({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


@pytest.mark.parametrize(
    "modules", ["shape_optimizer", "attention_viewer, gait.viewing.main_window", "gait.report.__main__"]
)
def test_commands_start_without_slow_libraries(modules: str) -> None:
    slow = {"torch", "scipy.interpolate", "scipy.stats", "matplotlib", "sklearn", "pandas"}
    program = f"import sys, {modules}; print(*sorted({slow} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert found.stdout.strip() == ""


def test_public_names_exist() -> None:
    assert set(gait.__all__) <= set(dir(gait))
    for name in gait.__all__:
        assert callable(getattr(gait, name))
    with pytest.raises(AttributeError, match="read_recording"):
        gait.read_recordings  # noqa: B018
