"""Parse recording files in a child process, so that a file that hangs or crashes its parser cannot stop the program.

ezc3d is written in C++; on some public files it hangs, crashes or uses up the memory. One child process parses one file
after another with limits of time and memory, and returns plain arrays. If a file ends the child, the error names that
file, and the next file gets a new child.

A process pool does not serve here: it cannot stop a worker that hangs, does not say which signal ended one, runs the
caller's main script again in a spawned worker, and unpickles what a worker sends, whose memory a damaged file may have
overwritten. A new child per file would add 0.3 s to each.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import json
import math
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
from numpy.typing import NDArray

from gait.capture.formats import file_format
from gait.capture.raw_recording import RawForcePlate, RawRecording, check_raw_recording
from gait.capture.recording import GaitEvent
from gait.constants import LIBRARY_THREADS
from gait.errors import GaitError

resource: ModuleType | None
try:
    import resource
except ImportError:  # Windows: only the time limit applies
    resource = None

# On intact files ezc3d uses 13 bytes of memory per byte of file, the text readers less, at 20 MB/s or more.
_MIN_TIMEOUT_S, _MIN_BYTES_PER_S = 8.0, 4 << 20
_MEMORY_BYTES, _MEMORY_PER_FILE_BYTE = 1 << 30, 16
_START_TIMEOUT_S = 120.0

_READY = b"ready"
_HEADER = struct.Struct("<QQ")  # bytes of the description, bytes of the arrays
_MAX_DESCRIPTION_BYTES = 256 << 20
_PLATE_ARRAYS = ("corners", "origin", "force_n", "moment")  # of a ``RawForcePlate``


def read_raw_recording(path: Path) -> RawRecording:
    """Read the points of a recording file in the child process.

    Raises:
        GaitError: the file cannot be read, is damaged or of another format, or its parser crashes or exceeds a limit:
            8 s plus 1 s per 4 MB of the file, 1 GB of memory plus 16 bytes per byte of the file. If the format has a
            second parser, that parser fails as well.
    """
    return _reader.read(path)


def start_reader() -> None:
    """Start the child process, so that it is ready for the first file; it need not be called."""
    _reader.start()


class _ParserStoppedError(GaitError):
    """The parser crashed, or exceeded a limit of time or memory."""


class _SandboxedReader:
    """Child process that parses files; it is started with the first file."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._ready = False

    def start(self) -> None:
        with self._lock, contextlib.suppress(OSError):  # the first file reports it
            if self._child is None:
                self._child, self._ready = _start_child(), False

    def read(self, path: Path) -> RawRecording:
        try:
            size = path.stat().st_size
        except OSError as error:
            raise GaitError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
        timeout_s = _MIN_TIMEOUT_S + size / _MIN_BYTES_PER_S
        memory = _MEMORY_BYTES + _MEMORY_PER_FILE_BYTE * size
        request = {"path": str(path), "folder": "", "timeout_s": timeout_s, "memory": memory}
        with contextlib.suppress(OSError):  # the working directory was removed: an absolute path still works
            request["folder"] = str(Path.cwd())
        known = file_format(path)
        with self._lock:
            try:
                return self._request(path, request)
            except _ParserStoppedError as error:
                if known is None or known.read_after_crash is None:
                    raise
                again = request | {"after_crash": True, "timeout_s": timeout_s / 4}
                try:
                    return self._request(path, again)
                except _ParserStoppedError:
                    raise error from None
            except GaitError:
                raise
            except BaseException:  # Ctrl-C during a reply: the rest of it must not be read as the next reply
                self.stop()
                raise

    def _request(self, path: Path, request: dict[str, Any]) -> RawRecording:
        child = self._send(path, request)
        timed_out = threading.Event()

        def stop_child() -> None:
            timed_out.set()
            child.kill()

        with _timer(request["timeout_s"], stop_child):
            try:
                content, arrays = _read_reply(child.stdout)
            except (EOFError, ValueError):
                content = None
        if content is None:
            raise self._crash_error(path, request, timed_out.is_set())
        if content.get("last") or timed_out.is_set():
            self.stop()
        if "error" in content:
            raise (_ParserStoppedError if content.get("last") else GaitError)(content["error"])
        events = tuple(GaitEvent(**event) for event in content.pop("events"))
        for name in ("listed_outputs", "modeled_markers"):
            content[name] = frozenset(content[name])
        for name in ("labels", "event_subjects", "notes", "warnings"):
            content[name] = tuple(content[name])
        positions, *of_plates = arrays
        number = len(_PLATE_ARRAYS)
        plates = tuple(
            RawForcePlate(**plate | dict(zip(_PLATE_ARRAYS, of_plates[k * number : (k + 1) * number], strict=True)))
            for k, plate in enumerate(content.pop("force_plates"))
        )
        return RawRecording(
            **content | {"path": path, "positions": positions, "events": events, "force_plates": plates}
        )

    def _send(self, path: Path, request: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Send the request and return the child; a child that ended since the last file is replaced."""
        for attempt in range(2):
            if self._child is None or attempt:
                self.stop()
                try:
                    self._child, self._ready = _start_child(), False
                except OSError as error:
                    problem = f"cannot be read (no process can be started: {error.strerror})"
                    raise GaitError(f"{path}: {problem}.") from error
            if not self._ready:
                self._await_ready(path, self._child)
            stdin = self._child.stdin
            assert stdin is not None
            try:
                stdin.write(json.dumps(request).encode("ascii") + b"\n")
                stdin.flush()
                return self._child
            except OSError:
                continue
        raise GaitError(f"{path}: cannot be read (the process that parses files ends immediately); please report this.")

    def _await_ready(self, path: Path, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        with _timer(_START_TIMEOUT_S, child.kill):  # its libraries may be on a slow network drive
            self._ready = child.stdout.read(len(_READY)) == _READY
        if not self._ready:
            self.stop()
            problem = "cannot be read (the process that parses files does not start); please report this"
            raise GaitError(f"{path}: {problem}.")

    def _crash_error(self, path: Path, request: dict[str, Any], timed_out: bool) -> _ParserStoppedError:
        child = self._child
        self.stop()
        code = None if child is None else child.returncode
        if timed_out:
            limit = f"could not be read within {request['timeout_s']:.0f} s, its parser was stopped"
            return _ParserStoppedError(f"{path}: {limit}; the file is damaged, export it again.")
        reason = f"exit code {code}"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                reason = signal.Signals(-code).name
        return _ParserStoppedError(f"{path}: its parser crashed ({reason}); the file is damaged, export it again.")

    def stop(self) -> None:
        """End the child process, if there is one."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):  # unsent data
                    stream.close()
        child.wait()

    def detach(self) -> None:
        """Detach from the child after a fork, so that the child sees the end of its input when the parent closes it."""
        child, self._child = self._child, None
        self._lock = threading.Lock()
        if child is not None:
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (child.stdin, child.stdout):
                if stream is not None:
                    os.dup2(null, stream.fileno(), inheritable=False)
            os.close(null)
            child.returncode = 0  # the parent waits for it


def _start_child() -> subprocess.Popen[bytes]:
    package = str(Path(__file__).resolve().parents[2])
    program = f"import sys; sys.path.insert(0, {package!r}); from {__name__} import serve; serve()"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | dict.fromkeys(LIBRARY_THREADS, "1"),
    )


@contextlib.contextmanager
def _timer(timeout_s: float, on_timeout: Callable[[], None]) -> Iterator[None]:
    """Call ``on_timeout`` if the body of the ``with`` statement takes longer than ``timeout_s``."""
    timer = threading.Timer(timeout_s, on_timeout)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read_reply(stream: IO[bytes] | None) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
    """Read the description and the arrays of one reply; raise EOFError if it is incomplete."""
    assert stream is not None
    length, count = _HEADER.unpack(_read_exactly(stream, _HEADER.size))
    if length > _MAX_DESCRIPTION_BYTES:
        raise ValueError("invalid reply of the child process")
    content = json.loads(_read_exactly(stream, length))
    shapes = content.pop("shapes")
    sizes = [math.prod(shape) for shape in shapes]
    numbers = np.empty(sum(sizes), dtype=np.float64)
    if numbers.nbytes != count:
        raise ValueError("invalid reply of the child process")
    view, done = numbers.data.cast("B") if count else memoryview(b""), 0
    while done < count:
        got = stream.readinto(view[done:])  # type: ignore[attr-defined]
        if not got:
            raise EOFError
        done += got
    parts = np.split(numbers, np.cumsum(sizes)[:-1])
    return content, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _read_exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


_reader = _SandboxedReader()
atexit.register(_reader.stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reader.detach)


# ------------------------------------------------------------------------------------------ child process


def serve() -> None:
    """Parse the files requested on standard input until it closes, which means that the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C and closes our input
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    null = os.open(os.devnull, os.O_RDWR)
    replies = os.fdopen(os.dup(1), "wb")
    for stream in (1, 2):  # parsers may print
        os.dup2(null, stream)
    null_stream = os.fdopen(null, "wb")
    root = Path(sys.executable).anchor
    with contextlib.suppress(ImportError):  # before the limit of memory holds
        import ezc3d  # noqa: F401
    replies.write(_READY)
    replies.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # The parent stops this process at the timeout; if the parent has ended, the process stops itself 1 s later.
        faulthandler.dump_traceback_later(request["timeout_s"] + 1.0, exit=True, file=null_stream)
        with contextlib.suppress(OSError):
            os.chdir(request["folder"])
        content, arrays = _parse(Path(request["path"]), request["memory"], "after_crash" in request)
        os.chdir(root)
        description = json.dumps(content | {"shapes": [array.shape for array in arrays]}).encode("ascii")
        replies.write(_HEADER.pack(len(description), sum(array.nbytes for array in arrays)))
        replies.write(description)
        for array in arrays:
            replies.write(array.data.cast("B") if array.size else b"")
        replies.flush()
        faulthandler.cancel_dump_traceback_later()
    os._exit(0)


def _parse(path: Path, memory: int, after_crash: bool) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
    """Return description and arrays of a file; if it cannot be read, the description has the key "error"."""
    nothing = [np.empty((0, 0, 3))]
    try:
        with _memory_limit(memory):
            known = file_format(path)
            if known is None:
                raise GaitError(f"{path}: is not a recording.")
            read = known.read_after_crash if after_crash else known.read
            assert read is not None
            raw = read(path)
            check_raw_recording(raw)
    except GaitError as error:
        return {"error": str(error)}, nothing
    except MemoryError:  # the parser may be in an undefined state, so this child ends
        needed = f"needs more than {memory >> 20} MB of memory to be read"
        return {"error": f"{path}: {needed}; the file is damaged, export it again.", "last": True}, nothing
    except Exception as error:
        return {"error": f"{path}: cannot be read ({type(error).__name__}: {error}); please report this."}, nothing
    content = {field.name: getattr(raw, field.name) for field in fields(raw) if field.name not in ("path", "positions")}
    for name in ("listed_outputs", "modeled_markers"):
        content[name] = sorted(content[name])
    content["events"] = [asdict(event) for event in raw.events]
    plates = [{field.name: getattr(plate, field.name) for field in fields(plate)} for plate in raw.force_plates]
    arrays = [raw.positions, *(plate.pop(name) for plate in plates for name in _PLATE_ARRAYS)]
    content["force_plates"] = plates
    return content, [np.ascontiguousarray(array, dtype=np.float64) for array in arrays]


@contextlib.contextmanager
def _memory_limit(extra_bytes: int) -> Iterator[None]:
    """Limit the growth of this process to ``extra_bytes``, if the system supports it."""
    if resource is None:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(ValueError, OSError):  # some systems have the limit but do not enforce it
        limits = [_address_space_used() + extra_bytes, *(limit for limit in before if limit != resource.RLIM_INFINITY)]
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
