"""WebKitGTK, whose engine is that of Safari, driven by WebDriver. It needs Debian's webkit2gtk-driver and xvfb."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

_TIMEOUT_S = 60.0


def find_webkit() -> list[str] | None:
    """Return the command that starts WebKit's driver on a virtual screen; None if a part of it is not installed."""
    screen, driver = shutil.which("xvfb-run"), shutil.which("WebKitWebDriver")
    return None if screen is None or driver is None or not _browsers() else [screen, "-a", driver]


def _browsers() -> list[Path]:
    return sorted(Path("/usr").glob("lib*/**/webkit2gtk-4.*/MiniBrowser"))


class WebKitBrowser:
    """One window."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/session"
        options = {"binary": str(_browsers()[-1]), "args": ["--automation"]}
        wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
        self._url += "/" + self._send("POST", "", wanted)["sessionId"]
        self._send("POST", "/window/rect", {"width": 1280, "height": 800})

    def open(self, url: str) -> None:
        """Open an address; another fragment of the same file is loaded anew, too."""
        for each in ("about:blank", url):
            self._send("POST", "/url", {"url": each})

    def run(self, script: str) -> Any:
        """Run the body of a JavaScript function in the page; return what it returns."""
        return self._send("POST", "/execute/sync", {"script": script, "args": []})

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + _TIMEOUT_S
        while not self.run(f"return Boolean({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(f"still not: {expression}")
            time.sleep(0.1)

    def close(self) -> None:
        """Close the window."""
        self._send("DELETE", "", None)

    def _send(self, method: str, path: str, content: object) -> Any:
        data = None if content is None else json.dumps(content).encode()
        request = Request(self._url + path, data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=_TIMEOUT_S) as answer:
            return json.load(answer)["value"]


@contextmanager
def open_webkit(command: list[str]) -> Iterator[WebKitBrowser]:
    """Start the command of ``find_webkit``, which draws WebGL by software; stop it at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = dict(os.environ, LIBGL_ALWAYS_SOFTWARE="1", GDK_BACKEND="x11")
    driver = subprocess.Popen(
        [*command, f"--port={port}"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        browser = _connect(port)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        os.killpg(driver.pid, signal.SIGTERM)  # the screen, too
        driver.wait()


def _connect(port: int) -> WebKitBrowser:
    end = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return WebKitBrowser(port)
        except URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
