"""A local Dask cluster for tests."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager


@contextmanager
def cluster(folder, package_path, threads):
    """Start a scheduler and one worker as separate processes; yield the address and the scheduler process."""
    import distributed

    file = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    quiet["env"] = {**os.environ, "PYTHONPATH": str(package_path)}
    words = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    processes = [subprocess.Popen([*words, "--no-dashboard", "--scheduler-file", str(file)], **quiet)]
    words = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file), "--no-dashboard"]
    processes.append(
        subprocess.Popen([*words, "--nthreads", threads, "--no-nanny", "--local-directory", str(folder)], **quiet)
    )
    try:
        until = time.monotonic() + 60
        while not (file.exists() and file.read_text(encoding="utf-8")) and time.monotonic() < until:
            time.sleep(0.1)
        address = json.loads(file.read_text(encoding="utf-8"))["address"]
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
        yield address, processes[0]
    finally:
        for process in processes:
            process.kill()  # a worker that ends by itself may wait for its scheduler; without a nanny it has no child
        for process in processes:
            process.wait(timeout=30)
