"""Open the window of attention_viewer.py and print, as JSON, the times at which it first showed something.

``viewer_speed.py`` runs it: ``python benchmarks/viewer_start.py SECONDS_SINCE_1970 FLAG ...``. The window is closed
when the trial has been explained and checked. ``wall_s`` are the times of the first picture, from the given start, and
``processor_s`` the processor time of this process until then:

 * ``window``: of any picture; ``body``: with the body; ``progress``: with the explanation's progress;
 * ``ready``: with trial and network; ``colours``: with the attribution on the body; ``checked``: with the line on the
   deletion check.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import attention_viewer
from gait.cli.arguments import parse

WAIT_S = 120.0
"""The window is closed after this time at the latest."""

Times = dict[str, dict[str, float]]


def measure(started: float, argv: list[str]) -> Times:
    """Run the command with these flags; return the times."""
    arguments = parse(attention_viewer.Arguments, attention_viewer.__doc__ or "", argv)
    wall: dict[str, float] = {}
    processor: dict[str, float] = {}

    from gait.viewing import glfw_window, main_window  # as the command does next

    drawn: list[str] = []

    class Window(main_window.MainWindow):
        def draw(self, width: int, height: int, seconds: float, density: float = 1.0) -> None:
            super().draw(width, height, seconds, density)
            state = self._state
            job, overlay = state.jobs.current_job, state.overlay
            shown = {
                "window": True,
                "body": state.actor is not None and state.actor.trial.body is not None,
                "progress": job is not None and job.kind == "explain",
                "ready": state.actor is not None and state.network is not None,
                "colours": overlay is not None,
                "checked": overlay is not None and overlay.faithfulness_summary is not None,
            }
            drawn[:] = [name for name, is_shown in shown.items() if is_shown]

    swap_buffers = glfw_window.glfw.swap_buffers

    def swap(window: Any) -> None:
        swap_buffers(window)
        for name in drawn:
            wall.setdefault(name, time.time() - started)
            processor.setdefault(name, time.process_time())
        if "checked" in wall or time.time() - started > WAIT_S:
            glfw_window.glfw.set_window_should_close(window, True)

    main_window.MainWindow = Window  # type: ignore[misc]
    glfw_window.glfw.swap_buffers = swap
    attention_viewer.main(arguments)
    return {"wall_s": wall, "processor_s": processor}


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]), sys.argv[2:])))
