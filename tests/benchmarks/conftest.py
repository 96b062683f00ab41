"""Fixtures of the tests of benchmarks."""

from tests.helpers.benchmark_runs import module, run, scripts_in_process

__all__ = ["module", "run", "scripts_in_process"]
