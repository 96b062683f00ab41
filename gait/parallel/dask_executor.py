"""A Dask cluster that the laboratory already has, working on tasks.

Its scheduler and workers need this suite installed, and see what the tasks read and the save folder under the same
paths: results are written where a task is done. Of ``distributed`` (the extra ``dask``) nothing is
loaded elsewhere.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gait
from gait.errors import GaitError
from gait.files.atomic_write import unwritable
from gait.parallel.task_queue import Crashed, Finished, Locked, LockedError, Task

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 10
"""How long an address may take to answer."""
_LOOK_S = 0.1  # how often futures are looked at


def task_there(task: Task, token: Path, version: str) -> list[Any] | Locked:
    """Do a task, on a worker of the cluster; its results.

    Args:
        task: with absolute paths.
        token: a file that the command has made in the save folder.
        version: of the command's own gait.
    """
    if version != gait.__version__:
        raise GaitError(f"a worker has gait {gait.__version__}, this command {version}; install the same there.")
    if not token.is_file():
        raise GaitError(f"{token.parent}: a worker does not see this folder; the cluster must share it.")
    try:
        return list(task.run())
    except LockedError as taken:
        return Locked(str(taken))


class DaskExecutor:
    """Owns the connection to a Dask scheduler; a context manager, at whose end what has not begun is taken back."""

    tries = 1  # the scheduler itself tries a task whose worker dies on others
    places = 1_000_000  # it knows how many can run at a time

    def __init__(self, save_folder: Path, address: str, tell: Callable[[str], None]):
        """Connect.

        Args:
            save_folder: where the tasks write; the workers must see it.
            address: the scheduler's, such as tcp://10.0.0.5:8786.
            tell: takes a line for the user.

        Raises:
            GaitError: ``distributed`` is not installed, or no scheduler answers at the address.
        """
        self._save_folder = save_folder.resolve()
        self._client = _client(address)
        self._address = address
        self._running: dict[Future, Task] = {}
        self._token = self._save_folder / f".shared-{secrets.token_hex(8)}"
        if not self._client.scheduler_info()["workers"]:
            tell(f"{address}: no worker is there yet; waiting for the first.")

    def __enter__(self) -> DaskExecutor:
        try:
            self._token.touch()
        except OSError as error:
            raise unwritable(self._save_folder, error) from error
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):  # the cluster may be gone by now
            self._client.cancel(list(self._running))
            self._client.close()
        self._token.unlink(missing_ok=True)

    def begin(self, task: Task) -> None:
        """Hand a task over to the cluster."""
        future = self._client.submit(task_there, task.absolute(), self._token, gait.__version__, pure=False)
        self._running[future] = task

    def news(self, seconds: float) -> list[tuple[Task, Any]]:
        """What has happened since; waits for something up to so many seconds.

        Raises:
            GaitError: the scheduler is gone.
        """
        until = time.monotonic() + seconds
        while not (done := [future for future in self._running if future.done()]):
            if time.monotonic() >= until:
                break
            time.sleep(_LOOK_S)
        return [news for future in done for news in self._news_of(future, self._running.pop(future))]

    def _news_of(self, future: Future, task: Task) -> list[tuple[Task, Any]]:
        if future.status == "finished":
            result = future.result()
            if isinstance(result, Locked):
                return [(task, result)]
            return [*((task, one) for one in result), (task, Finished())]
        if future.status in ("cancelled", "lost"):  # what a client that has lost its scheduler makes of all
            raise GaitError(f"{self._address}: the Dask scheduler is gone; the same command goes on from here.")
        error = future.exception()
        if type(error) is RuntimeError and error.__cause__ is not None:  # the scheduler's, about what it cannot load
            error = error.__cause__
        what = " ".join(str(error).split())
        if type(error).__name__ == "KilledWorker":
            line = "the workers that were at it were killed, one after the other; did their memory run out?"
        elif isinstance(error, GaitError):
            line = what
        elif isinstance(error, ImportError) or "No module named" in what:
            line = f"the cluster cannot load the suite ({what}); install it there as here"
        else:
            line = f"the task broke off on the cluster ({type(error).__name__}: {what})"
        return [(task, Crashed(line.rstrip(".")))]


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
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):  # they tell of lost connections at length
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        get_backend(parse_address(address)[0])  # the client would try an address that is none for long
        if not 0 < get_address_host_port(address)[1] < 1 << 16:
            raise ValueError("no such port")
    except ValueError as error:
        raise GaitError(f"--scheduler {address}: is no address ({error}); one is like tcp://10.0.0.5:8786.") from error
    try:
        return Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        what = " ".join(str(error).split())[:160] or type(error).__name__
        raise GaitError(f"--scheduler {address}: no Dask scheduler answers there ({what}).") from error
