"""python -m gait.report --poses demo_out/optimized_poses --trained demo_out/trained_mlp --export demo_out

Report a complete run on one page: marker residuals of the fits, classification results of each network, attributions by
joint and gait phase, and a video of a control and a patient side by side.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from gait.cli.arguments import parse
from gait.cli.exit_codes import print_err, run_main
from gait.report.run.build import RunSettings, build_run_report


def main(argv: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 if the page is complete, 1 if it lists missing parts, 2 if there is nothing to report."""
    settings = parse(RunSettings, __doc__ or "", argv, prog="python -m gait.report")
    return run_main(lambda: _build(settings), "Interrupted; files already written are complete.")


def _build(settings: RunSettings) -> int:
    start = time.perf_counter()
    result = build_run_report(settings, lambda line: print(line, flush=True))
    for line in result.problems:
        print_err(f"missing: {line}")
    if result.commands:
        print(f"Open a trial in the viewer: {result.commands[-1]}")
    print(f"{result.page}: run report, in {time.perf_counter() - start:.0f} s")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
