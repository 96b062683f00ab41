"""Test how the cores of a computer are divided among processes."""

import os

from gait.parallel.process_pool import CoreAllocation, allocate_cores


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
