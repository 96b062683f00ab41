"""What networks can see of a window: each module here that defines ``INPUT``; ``docs/training.md`` describes them."""

from __future__ import annotations

from collections.abc import Mapping

from gait.motion.window_input import WindowInput
from gait.registry import discover

INPUTS: Mapping[str, WindowInput] = discover(__name__, "INPUT")
PUBLISHED = "published"
"""The input of the original implementation, the default."""
