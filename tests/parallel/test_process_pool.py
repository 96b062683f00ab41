"""Test how the cores of a computer are divided among processes, and what happens while their libraries are imported."""

import itertools
import os
import subprocess
import sys
import threading
import time

import pytest

from gait.parallel.preload import PRELOAD_VARIABLE
from gait.parallel.process_pool import CoreAllocation, _prepare, allocate_cores
from tests.helpers.paths import REPOSITORY


def test_allocate_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert allocate_cores(3, 2) == CoreAllocation(2, 4)
    assert allocate_cores(3, 20) == CoreAllocation(3, 2)
    assert allocate_cores(20, 20) == CoreAllocation(20, 1)
    assert allocate_cores(1, None) == CoreAllocation(1, 8)
    assert allocate_cores(20, None, "cuda") == CoreAllocation(1, 8)
    everything = allocate_cores(1000, None)
    assert everything.workers <= 8
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert allocate_cores(3, 2) == CoreAllocation(2, 4)
    assert allocate_cores(1000, None).workers <= 2


def test_prepare_ends_when_the_worker_is_ready():
    two_are_read = threading.Event()

    def read_ahead(task):
        for files in itertools.count(1):
            yield f"{task}, {files} files"
            if files == 2:
                two_are_read.set()

    with _prepare(read_ahead, "subject") as found:
        assert two_are_read.wait(10)
    assert found[:3] == ["subject", "subject, 1 files", "subject, 2 files"]
    length = len(found)
    time.sleep(0.05)
    assert len(found) == length


def test_prepare_passes_the_task_without_read_ahead():
    with _prepare(None, "subject") as found:
        pass
    assert found == ["subject"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked from a server process")
def test_preload_imports_the_module_without_garbage_collection():
    program = (
        "import gc, sys, gait.parallel.preload; print('decimal' in sys.modules, gc.isenabled(), gc.get_freeze_count())"
    )
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    words = [subprocess.run([sys.executable, "-c", program], env=env | more, capture_output=True, text=True, check=True)
             .stdout.split() for more in ({PRELOAD_VARIABLE: f"decimal {os.getpid()}"}, {})]  # fmt: skip
    assert words[0][:2] == ["True", "True"]
    assert int(words[0][2]) > 1000
    assert words[1][1:] == ["True", "0"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="workers are forked from a server process")
def test_preload_ends_with_its_parent_during_the_import(tmp_path):
    (tmp_path / "endless.py").write_text("import time\nwhile True: time.sleep(0.1)\n", encoding="utf-8")
    server = [sys.executable, "-c", "import gait.parallel.preload"]
    parent = f"""import os, subprocess
os.environ[{PRELOAD_VARIABLE!r}] = f"endless {{os.getpid()}}"
print(subprocess.Popen({server}).pid)"""
    env = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{tmp_path}"}
    with subprocess.Popen([sys.executable, "-c", parent], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.stdout.read() == "", "the server has the same output, which ends with it"
