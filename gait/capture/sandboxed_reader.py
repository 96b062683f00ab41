"""The process in which files are parsed, so that a file that hangs, crashes or floods its parser hurts nobody.

ezc3d is C++ and does all three on some public files. One child parses file after file under a limit of time and
memory and hands over plain arrays; when a file kills it that file is named, and the next one gets a new child.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from gait.capture.raw_recording import RawRecording, check_points
from gait.capture.recording import Event
from gait.errors import GaitError

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows: the limit of time alone
    resource = None

# Honest files: ezc3d takes 13 bytes for each of the file, the text readers fewer, at 20 MB/s and more.
_SECONDS, _BYTES_A_SECOND = 8.0, 4 << 20
_MEMORY_BYTES, _MEMORY_A_BYTE = 1 << 30, 16
_SECONDS_TO_START = 120.0

_READY = b"ready"
_HEAD = struct.Struct("<QQ")  # bytes of the description, bytes of the positions
_MOST_DESCRIPTION = 256 << 20


def read_points(path: Path) -> RawRecording:
    """The points of a recording file, parsed in the reader process.

    Raises GaitError where the file cannot be read, is foreign, damaged, or stops its parser: no answer within
    8 s and 1 s for each 4 MB, more memory than 1 GB and 16 bytes for each of the file, or a crash.
    """
    return _reader.read(path)


class _Reader:
    """The child of this process, started with the first file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def read(self, path: Path) -> RawRecording:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
        seconds = _SECONDS + size / _BYTES_A_SECOND
        memory = _MEMORY_BYTES + _MEMORY_A_BYTE * size
        request = {"path": str(path), "folder": "", "seconds": seconds, "memory": memory}
        with contextlib.suppress(OSError):  # a folder that is gone: the path may still be whole
            request["folder"] = str(Path.cwd())
        with self._lock:
            try:
                return self._answer(path, request)
            except GaitError:
                raise
            except BaseException:  # Ctrl-C in the middle of an answer: what is left of it is nobody's
                self.stop()
                raise

    def _answer(self, path: Path, request: dict[str, Any]) -> RawRecording:
        child = self._asked(path, request)
        late = threading.Event()

        def stop_late() -> None:
            late.set()
            child.kill()

        with _clock(request["seconds"], stop_late):
            try:
                content, positions = _received(child.stdout)
            except (EOFError, ValueError):
                content = None
        if content is None:
            raise self._death(path, request, late.is_set())
        if content.get("last") or late.is_set():
            self.stop()
        if "error" in content:
            raise GaitError(content["error"])
        events = tuple(Event(**event) for event in content.pop("events"))
        for name in ("listed_outputs", "modeled_markers"):
            content[name] = frozenset(content[name])
        for name in ("labels", "event_subjects", "notes"):
            content[name] = tuple(content[name])
        return RawRecording(**content | {"path": path, "positions": positions, "events": events})

    def _asked(self, path: Path, request: dict[str, Any]) -> subprocess.Popen[bytes]:
        """The child, after the request was sent; a child that ended since the last file is replaced."""
        for attempt in range(2):
            if self._child is None or attempt:
                self.stop()
                self._child = _started(path)
            stdin = self._child.stdin
            assert stdin is not None
            try:
                stdin.write(json.dumps(request).encode("ascii") + b"\n")
                stdin.flush()
                return self._child
            except OSError:
                continue
        raise GaitError(f"{path}: cannot be read (the process that parses files ends at once); please report this.")

    def _death(self, path: Path, request: dict[str, Any], late: bool) -> GaitError:
        child = self._child
        self.stop()
        code = None if child is None else child.returncode
        if late:
            return GaitError(
                f"{path}: could not be read within {request['seconds']:.0f} s, its parser was stopped; "
                "the file is damaged, export it again."
            )
        how = f"exit code {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = signal.Signals(-code).name
        return GaitError(f"{path}: its parser crashed ({how}); the file is damaged, export it again.")

    def stop(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # what was not sent any more
                    stream.close()
        child.wait()

    def forget(self) -> None:
        """In a fork: the child belongs to the process that started it, and must see its end of the pipe close."""
        child, self._child = self._child, None
        self._lock = threading.Lock()
        if child is not None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    os.dup2(nowhere, stream.fileno(), inheritable=False)
            os.close(nowhere)
            child.returncode = 0  # not ours to wait for


def _started(path: Path) -> subprocess.Popen[bytes]:
    package = str(Path(__file__).resolve().parents[2])
    program = f"import sys; sys.path.insert(0, {package!r}); from {__name__} import serve; serve()"
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | one_thread,
        )
    except OSError as error:
        raise GaitError(f"{path}: cannot be read (no process can be started: {error.strerror}).") from error
    assert child.stdout is not None
    with _clock(_SECONDS_TO_START, child.kill):  # its libraries may come over a slow network
        ready = child.stdout.read(len(_READY))
    if ready != _READY:
        child.kill()
        child.communicate()
        raise GaitError(f"{path}: cannot be read (the process that parses files does not start); please report this.")
    return child


@contextlib.contextmanager
def _clock(seconds: float, then: Callable[[], None]) -> Iterator[None]:
    """Does something if what is done within takes longer."""
    timer = threading.Timer(seconds, then)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _received(stream: IO[bytes] | None) -> tuple[dict[str, Any], np.ndarray[Any, np.dtype[np.float64]]]:
    """Description and positions (T, P, 3) of one answer; EOFError where it breaks off."""
    assert stream is not None
    length, count = _HEAD.unpack(_exactly(stream, _HEAD.size))
    if length > _MOST_DESCRIPTION:
        raise ValueError("no answer of the reader process")
    content = json.loads(_exactly(stream, length))
    positions = np.empty(content.pop("shape"), dtype=np.float64)
    if positions.nbytes != count:
        raise ValueError("no answer of the reader process")
    view, done = positions.data.cast("B") if count else memoryview(b""), 0
    while done < count:
        got = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        done += got
    return content, positions


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


_reader = _Reader()
atexit.register(_reader.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reader.forget)


# ------------------------------------------------------------------------------------------ in the child


def serve() -> None:
    """Parse what is asked for on standard input, until it closes: then whoever asked is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes our input
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    answers = os.fdopen(os.dup(1), "wb")
    for stream in (1, 2):  # parsers print
        os.dup2(nowhere, stream)
    watch = os.fdopen(nowhere, "wb")
    anywhere = Path(sys.executable).anchor
    import gait.capture.file_formats  # noqa: F401  (not while a file's clock runs)

    answers.write(_READY)
    answers.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # The parent stops us in time; a second later we do so ourselves, should the parent be gone.
        faulthandler.dump_traceback_later(request["seconds"] + 1.0, exit=True, file=watch)
        with contextlib.suppress(OSError):
            os.chdir(request["folder"])
        content, positions = _parsed(Path(request["path"]), request["memory"])
        os.chdir(anywhere)
        description = json.dumps(content | {"shape": positions.shape}).encode("ascii")
        answers.write(_HEAD.pack(len(description), positions.nbytes))
        answers.write(description)
        answers.write(positions.data.cast("B") if positions.size else b"")
        answers.flush()
        faulthandler.cancel_dump_traceback_later()
    os._exit(0)


def _parsed(path: Path, memory: int) -> tuple[dict[str, Any], np.ndarray[Any, np.dtype[np.float64]]]:
    """Description and positions of a file; the description alone holds "error" where it cannot be read."""
    from gait.capture.file_formats import READERS

    nothing = np.empty((0, 0, 3))
    try:
        with _address_space(memory):
            raw = READERS[path.suffix.lower()](path)
            check_points(raw)
    except GaitError as error:
        return {"error": str(error)}, nothing
    except MemoryError:  # whatever was half done may be in a bad state: this child ends
        line = f"{path}: needs more than {memory >> 20} MB of memory to be read; the file is damaged, export it again."
        return {"error": line, "last": True}, nothing
    except Exception as error:
        line = f"{path}: cannot be read ({type(error).__name__}: {error}); please report this."
        return {"error": line}, nothing
    content = {field.name: getattr(raw, field.name) for field in fields(raw) if field.name not in ("path", "positions")}
    for name in ("listed_outputs", "modeled_markers"):
        content[name] = sorted(content[name])
    content["events"] = [asdict(event) for event in raw.events]
    return content, np.ascontiguousarray(raw.positions)


@contextlib.contextmanager
def _address_space(more: int) -> Iterator[None]:
    """Let this process grow by ``more`` bytes, where the system can limit that."""
    if resource is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):  # systems that know the limit but do not keep it
        limits = [_address_space_used() + more, *(limit for limit in before if limit != resource.RLIM_INFINITY)]
        resource.setrlimit(resource.RLIMIT_AS, (min(limits), before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, before)


def _address_space_used() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return 1 << 30
    return pages * os.sysconf("SC_PAGE_SIZE")
