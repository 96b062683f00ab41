"""Fixtures that run a benchmark."""

from tests.helpers.benchmark_runs import module, run

__all__ = ["module", "run"]
