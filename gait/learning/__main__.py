"""Train any registered network: ``python -m gait.learning NAME``; ``--help`` lists the names."""

import sys
from importlib import import_module

if __name__ == "__main__":
    # The command also writes the report, and `report` may not be imported by `learning`.
    sys.exit(import_module("gait.report.training.command").main())
