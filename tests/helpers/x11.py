"""X11 clients for tests: drop files on a window (XDND protocol, version 5, freedesktop.org), close it, set resources.

They use libX11 directly, because xdotool moves only the mouse and cannot drag files.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from ctypes import POINTER, Structure, Union, byref, c_char_p, c_int, c_long, c_ulong, c_void_p
from pathlib import Path

_VERSION = 5
_SELECTION_REQUEST, _SELECTION_NOTIFY, _CLIENT_MESSAGE = 30, 31, 33  # event types, X.h
_REPLACE = 0  # mode of XChangeProperty
_EVENT_HEAD = [("type", c_int), ("serial", c_ulong), ("send_event", c_int), ("display", c_void_p)]


class _ClientMessage(Structure):
    _fields_ = (*_EVENT_HEAD, ("window", c_ulong), ("kind", c_ulong), ("format", c_int), ("data", c_long * 5))


class _SelectionRequest(Structure):
    _fields_ = (
        *_EVENT_HEAD, ("owner", c_ulong), ("requestor", c_ulong), ("selection", c_ulong), ("target", c_ulong),
        ("property", c_ulong), ("time", c_ulong),
    )  # fmt: skip


class _Selection(Structure):
    _fields_ = (
        *_EVENT_HEAD, ("requestor", c_ulong), ("selection", c_ulong), ("target", c_ulong), ("property", c_ulong),
        ("time", c_ulong),
    )  # fmt: skip


class _Event(Union):
    _fields_ = (
        ("type", c_int), ("message", _ClientMessage), ("request", _SelectionRequest), ("selection", _Selection),
        ("padding", c_long * 24),
    )  # fmt: skip


def drop(display: str, window: int, position: tuple[int, int], *files: Path, seconds: float = 10.0) -> bool:
    """Drag files to a position of the screen covered by ``window`` and drop them; return whether it accepted them."""
    x = _library()
    server = x.XOpenDisplay(display.encode())
    assert server, f"no X server at {display}"
    try:
        return _drop(x, server, window, position, "".join(f"{file.as_uri()}\r\n" for file in files).encode(), seconds)
    finally:
        x.XCloseDisplay(server)


def _drop(x: ctypes.CDLL, server: int, window: int, position: tuple[int, int], uris: bytes, seconds: float) -> bool:
    def atom(name: str) -> int:
        return int(x.XInternAtom(server, name.encode(), 0))

    own = x.XCreateSimpleWindow(server, x.XDefaultRootWindow(server), 0, 0, 1, 1, 0, 0, 0)
    x.XSetSelectionOwner(server, atom("XdndSelection"), own, 0)

    def send(kind: str, *data: int) -> None:
        event = _Event()
        event.message.type, event.message.window, event.message.kind = _CLIENT_MESSAGE, window, atom(kind)
        event.message.format, event.message.data = 32, (c_long * 5)(own, *data)
        assert x.XSendEvent(server, window, 0, 0, byref(event))
        x.XFlush(server)

    def wait_for(kind: str) -> _ClientMessage:
        """Wait for a reply of the window; meanwhile send it the dragged files if it requests them."""
        end, event = time.monotonic() + seconds, _Event()
        while time.monotonic() < end:
            if not x.XPending(server):
                time.sleep(0.01)
                continue
            x.XNextEvent(server, byref(event))
            if event.type == _SELECTION_REQUEST:
                _send_uris(x, server, event.request, uris)
            elif event.type == _CLIENT_MESSAGE and event.message.kind == atom(kind):
                return event.message
        raise AssertionError(f"no {kind} came")

    send("XdndEnter", _VERSION << 24, atom("text/uri-list"), 0, 0)
    send("XdndPosition", 0, position[0] << 16 | position[1], 0, atom("XdndActionCopy"))
    if not wait_for("XdndStatus").data[1] & 1:
        send("XdndLeave", 0, 0, 0, 0)
        return False
    send("XdndDrop", 0, 0, 0, 0)
    # By the protocol, bit 0 means acceptance; GLFW 3.5 writes the number of received bytes there.
    return bool(wait_for("XdndFinished").data[1])


def _send_uris(x: ctypes.CDLL, server: int, request: _SelectionRequest, uris: bytes) -> None:
    x.XChangeProperty(server, request.requestor, request.property, request.target, 8, _REPLACE, uris, len(uris))
    reply = _Event()
    reply.selection.type = _SELECTION_NOTIFY
    for name in ("requestor", "selection", "target", "property", "time"):
        setattr(reply.selection, name, getattr(request, name))
    x.XSendEvent(server, request.requestor, 0, 0, byref(reply))
    x.XFlush(server)


def close_window(display: str, window: int) -> None:
    """Send the message of a window manager when the close button is pressed."""
    x = _library()
    server = x.XOpenDisplay(display.encode())
    assert server, f"no X server at {display}"
    event = _Event()
    event.message.type, event.message.window, event.message.format = _CLIENT_MESSAGE, window, 32
    event.message.kind = x.XInternAtom(server, b"WM_PROTOCOLS", 0)
    event.message.data = (c_long * 5)(x.XInternAtom(server, b"WM_DELETE_WINDOW", 0), 0)
    assert x.XSendEvent(server, window, 0, 0, byref(event))
    x.XSync(server, 0)
    x.XCloseDisplay(server)


def set_resources(display: str, resources: str) -> None:
    """Set X resources on the root window as xrdb does, such as "Xft.dpi: 192"."""
    x = _library()
    server = x.XOpenDisplay(display.encode())
    assert server, f"no X server at {display}"
    name, string = (x.XInternAtom(server, word, 0) for word in (b"RESOURCE_MANAGER", b"STRING"))
    value = resources.encode()
    x.XChangeProperty(server, x.XDefaultRootWindow(server), name, string, 8, _REPLACE, value, len(value))
    x.XSync(server, 0)
    x.XSetCloseDownMode(server, 1)  # keep the property after this client disconnects
    x.XCloseDisplay(server)


def _library() -> ctypes.CDLL:
    x = ctypes.CDLL("libX11.so.6")

    def declare(function: Callable[..., object], result: object, *arguments: object) -> None:
        function.restype, function.argtypes = result, arguments  # type: ignore[attr-defined]

    declare(x.XOpenDisplay, c_void_p, c_char_p)
    declare(x.XCloseDisplay, c_int, c_void_p)
    declare(x.XDefaultRootWindow, c_ulong, c_void_p)
    declare(x.XInternAtom, c_ulong, c_void_p, c_char_p, c_int)
    declare(x.XCreateSimpleWindow, c_ulong, c_void_p, c_ulong, c_int, c_int, c_int, c_int, c_int, c_ulong, c_ulong)
    declare(x.XSetSelectionOwner, c_int, c_void_p, c_ulong, c_ulong, c_ulong)
    declare(x.XSendEvent, c_int, c_void_p, c_ulong, c_int, c_long, POINTER(_Event))
    declare(x.XPending, c_int, c_void_p)
    declare(x.XNextEvent, c_int, c_void_p, POINTER(_Event))
    declare(x.XChangeProperty, c_int, c_void_p, c_ulong, c_ulong, c_ulong, c_int, c_int, c_char_p, c_int)
    declare(x.XFlush, c_int, c_void_p)
    declare(x.XSync, c_int, c_void_p, c_int)
    declare(x.XSetCloseDownMode, c_int, c_void_p, c_int)
    return x
