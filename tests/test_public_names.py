"""The names of ``import gait``."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gait


def test_import_gait_loads_no_library() -> None:
    program = "import sys, gait; print(*sorted({'torch', 'numpy', 'scipy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_public_names_exist() -> None:
    assert set(gait.__all__) <= set(dir(gait))
    for name in gait.__all__:
        assert callable(getattr(gait, name))
    with pytest.raises(AttributeError, match="read_recording"):
        gait.read_recordings  # noqa: B018
