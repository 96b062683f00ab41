"""Run tasks on an existing Dask cluster.

This package must be installed on the scheduler and the workers. The workers must see the input files and the save
folder under the same paths as this computer, since each worker writes its results itself. No other module imports
``distributed`` (the extra ``dask``).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gait.errors import GaitError
from gait.files.atomic_write import write_error
from gait.files.fingerprint import STAGE_VERSIONS
from gait.files.folder_lock import LockedError
from gait.parallel.task_queue import Crashed, Finished, Locked, Task
from gait.version import VERSION

if TYPE_CHECKING:
    from distributed import Client, Future

CODE_VERSION = f"{VERSION} {STAGE_VERSIONS}"
"""Versions of the package and of its algorithms, which the workers must have, too."""
CONNECT_S = 10
"""Timeout of the connection to the scheduler."""
_POLL_S = 0.1  # between checks of the futures


def run_on_worker(task: Task, token: Path, version: str) -> list[Any] | Locked:
    """Run a task with absolute paths on a worker of the cluster and return its results.

    The main process has created the file ``token`` in the save folder, to check that the worker sees the folder;
    ``version`` is its ``CODE_VERSION``.
    """
    if version != CODE_VERSION:
        raise GaitError(f"a worker has gait {CODE_VERSION}, this command {version}; install the same version.")
    if not token.is_file():
        raise GaitError(f"{token.parent}: a worker does not see this folder; the cluster must share it.")
    try:
        return list(task.run())
    except LockedError as error:
        return Locked(str(error))


class DaskExecutor:
    """Executor that owns the connection to a Dask scheduler; a context manager that cancels open tasks on exit."""

    max_attempts = 1  # the scheduler itself moves a task whose worker dies to another worker
    slots = 1_000_000  # the scheduler limits how many tasks run at the same time

    def __init__(self, save_folder: Path, address: str, log: Callable[[str], None]):
        """Connect to the scheduler at an address such as tcp://10.0.0.5:8786; the workers must see the save folder.

        Raises:
            GaitError: ``distributed`` is not installed, or no scheduler answers at the address.
        """
        self._save_folder = save_folder.resolve()
        self._client = _client(address)
        self._address = address
        self._running: dict[Future, Task] = {}
        self._token = self._save_folder / f".shared-{secrets.token_hex(8)}"
        if not self._client.scheduler_info()["workers"]:
            log(f"{address}: no worker is connected yet; waiting for the first.")

    def __enter__(self) -> DaskExecutor:
        try:
            self._token.touch()
        except OSError as error:
            raise write_error(self._save_folder, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # the cluster may have ended
            self._client.cancel(list(self._running))
            self._client.close()
        self._token.unlink(missing_ok=True)

    def submit(self, task: Task) -> None:
        """Send a task to the cluster."""
        future = self._client.submit(run_on_worker, task.absolute(), self._token, CODE_VERSION, pure=False)
        self._running[future] = task

    def poll(self, seconds: float) -> list[tuple[Task, Any]]:
        """Return new (task, result) pairs; wait up to ``seconds`` for the first.

        Raises:
            GaitError: the connection to the scheduler is lost.
        """
        until = time.monotonic() + seconds
        while not (done := [future for future in self._running if future.done()]):
            if time.monotonic() >= until:
                break
            time.sleep(_POLL_S)
        return [pair for future in done for pair in self._results(future, self._running.pop(future))]

    def _results(self, future: Future, task: Task) -> list[tuple[Task, Any]]:
        if future.status == "finished":
            result = future.result()
            if isinstance(result, Locked):
                return [(task, result)]
            return [*((task, one) for one in result), (task, Finished())]
        if future.status in ("cancelled", "lost"):  # of all futures when the client has lost its scheduler
            raise GaitError(f"{self._address}: the Dask scheduler has ended; run the same command again to continue.")
        error = future.exception()
        if type(error) is RuntimeError and error.__cause__ is not None:  # the scheduler could not unpickle the task
            error = error.__cause__
        reason = " ".join(str(error).split())
        if type(error).__name__ == "KilledWorker":
            message = "several workers were killed during this task; they may need more memory"
        elif isinstance(error, GaitError):
            message = reason
        elif isinstance(error, ImportError) or "No module named" in reason:
            message = f"the cluster cannot import gait ({reason}); install the same version there"
        else:
            message = f"the task failed unexpectedly on the cluster ({type(error).__name__}: {reason})"
        return [(task, Crashed(message.rstrip(".")))]


def _client(address: str) -> Client:
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port, parse_address
        from distributed.comm.registry import get_backend
    except ImportError as error:
        raise GaitError(
            f'--scheduler needs the package distributed ({error}); install it with: pip install "gait-suite[dask]"'
        ) from error
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):  # they log lost connections at length
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        get_backend(parse_address(address)[0])  # for an invalid address the client would wait for its timeout
        if not 0 < get_address_host_port(address)[1] < 1 << 16:
            raise ValueError("no such port")
    except ValueError as error:
        raise GaitError(f"--scheduler {address}: no address ({error}), such as tcp://10.0.0.5:8786.") from error
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"--scheduler {address}: no Dask scheduler answers there ({reason}).") from error
