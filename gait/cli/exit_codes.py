"""Exit codes of the scripts, and the one-line messages that they end with."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

from gait.errors import GaitError

EXIT_INTERRUPTED = 130
"""Exit code after an interruption: Ctrl-C, or the SIGTERM of a cluster or of a system shutdown."""


_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # clusters, and systems that shut down, send the latter


def run_main(main: Callable[[], int], interrupted: str) -> int:
    """Run a script's main function and return its exit code, or 2 after a GaitError and 130 after an interruption.

    Errors become one line on stderr; ``interrupted`` is the line for an interruption that ``main`` did not handle.
    """
    before = {stop: signal.signal(stop, _raise_interrupt) for stop in _STOP_SIGNALS}
    try:
        return main()
    except GaitError as error:
        if str(error):  # empty if another process prints it
            print_err(str(error))
        return 2
    except KeyboardInterrupt:
        print_err(interrupted)
        return EXIT_INTERRUPTED
    finally:
        for stop, handler in before.items():
            signal.signal(stop, handler)


def print_err(line: str) -> None:
    """Print a line to stderr and flush it."""
    print(line, file=sys.stderr, flush=True)


def _raise_interrupt(*_: object) -> None:
    for stop in _STOP_SIGNALS:
        signal.signal(stop, signal.SIG_IGN)  # a second signal would interrupt the cleanup that the first one began
    raise KeyboardInterrupt
