"""Fixtures that import the benchmarks and run them in this process."""

import contextlib
import importlib
import io
import json
import runpy
import time

import pytest

from tests.helpers.paths import REPOSITORY


@pytest.fixture
def module(monkeypatch):
    """Import a benchmark module by name, as the scripts do."""
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    return importlib.import_module


@pytest.fixture
def run(module, tmp_path, capsys):
    """Run a benchmark's command line in this process; return its result and what it printed to stderr."""

    def run_benchmark(name, *words, code=0):
        benchmark, file = module(name), tmp_path / f"{name}.json"
        line = [*map(str, words), "--json", str(file)]
        found = benchmark.run(benchmark.main, benchmark.Arguments, benchmark.__doc__, benchmark.QUICK, line)
        printed = capsys.readouterr()
        assert found == code, printed.err
        if code == 2:
            return None, printed.err
        assert json.loads(printed.out) == json.loads(file.read_text(encoding="utf-8"))
        return json.loads(printed.out), printed.err

    return run_benchmark


@pytest.fixture
def scripts_in_process(module, monkeypatch):
    """Let the benchmarks that only need the results of scripts run them in this process, without their imports."""

    def run_script(command):
        began = time.monotonic()
        monkeypatch.setattr("sys.argv", command[1:])
        with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
            runpy.run_path(command[1], run_name="__main__")
        assert not ended.value.code
        return time.monotonic() - began

    monkeypatch.setattr(module("classification"), "run_script", run_script)
