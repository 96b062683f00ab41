"""Dear ImGui and ImPlot, imported when a window is first drawn.

imgui-bundle is used because pyimgui (``pip install imgui``) has no wheels for Python above 3.11 and is unmaintained. It
must be imported before glfw, so that both share one copy of GLFW.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gait.errors import GaitError

if TYPE_CHECKING:
    from imgui_bundle import imgui, implot

    __all__ = ["imgui", "implot"]


class WindowUnavailableError(GaitError):
    """No window can be shown on this machine or with this installation; rendering may still be possible."""


def __getattr__(name: str) -> Any:
    """Import ``imgui``, ``implot`` or ``glfw`` on first use.

    Raises:
        WindowUnavailableError: they are not installed, or a system library is missing.
    """
    if name not in ("imgui", "implot", "glfw"):
        raise AttributeError(name)
    module = globals()[name] = _load(name)
    return module


def fonts() -> tuple[Path, Path]:
    """Return the font files: regular, bold."""
    import imgui_bundle

    folder = Path(str(imgui_bundle.__file__)).parent / "assets" / "fonts" / "Roboto"
    return folder / "Roboto-Regular.ttf", folder / "Roboto-Bold.ttf"


def _load(name: str) -> ModuleType:
    try:
        import imgui_bundle

        if name == "glfw":
            import glfw

            return glfw
        module: ModuleType = getattr(imgui_bundle, name)
    except ImportError as error:
        raise WindowUnavailableError(
            f"No window without imgui-bundle and glfw ({' '.join(str(error).split())}); install them with: "
            "bash setup.sh, or .venv/bin/pip install -c constraints.txt -e '.[viewer]'; on Debian or Ubuntu they need: "
            "sudo apt-get install libx11-6 libxext6"
        ) from error
    return module
