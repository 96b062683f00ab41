"""How a script ends: with which exit code, and with which line that a person reads."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from gait.errors import GaitError

STOPPED = 130
"""Exit code after Ctrl-C, and after what a cluster or a system that shuts down sends."""


def exit_code(act: Callable[[], int], stopped: str) -> int:
    """What ``act`` gives; 2 and one line where nothing can be started; 130 and one line where somebody stops it.

    Args:
        act: all that the script does.
        stopped: what is said where it is stopped and has not said so itself.
    """
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        return act()
    except GaitError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say(stopped)
        return STOPPED
    finally:
        signal.signal(signal.SIGTERM, before)


def say(line: str) -> None:
    """A line beside the results, at once."""
    print(line, file=sys.stderr, flush=True)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt
