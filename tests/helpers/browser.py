"""Pages in Debian's Chromium, driven by real events; requests, errors and violations of the content policy are kept.

The driver is Playwright, which brings no browser here; the accessibility rules are those of axe-core.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

try:
    import axe_playwright_python
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment, unused-ignore]

CHROMIUM = shutil.which("chromium")
FIREFOX = shutil.which("firefox-esr")
SCREEN = shutil.which("xvfb-run")
MISSING = [
    description
    for description, found in (
        ("a browser (Debian's package chromium)", CHROMIUM),
        ("the Python packages playwright and axe-playwright-python", sync_playwright),
    )
    if not found
]
needs_browser = pytest.mark.skipif(bool(MISSING), reason=f"pages are opened in {', '.join(MISSING)}")
# Firefox draws WebGL only where there is a screen.
_NOT_FOUND = [package for package, found in (("firefox-esr", FIREFOX), ("xvfb", SCREEN)) if not found]
needs_firefox = pytest.mark.skipif(bool(_NOT_FOUND), reason=f"Debian's {' and '.join(_NOT_FOUND)} not found")

# Without these Chromium itself asks for updates and lists; no page makes it do so.
_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
_NO_WEBGL = ("--disable-gpu", "--disable-3d-apis")
Point = tuple[float, float]
_OWN_SCHEMES = ("data:", "blob:", "about:")  # content that is in the page itself
_SERIOUS = ("serious", "critical")
_WATCH_POLICY = """
window.__violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.__violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class WatchedPage:
    """An open page, and what it did."""

    page: Page
    context: BrowserContext
    requests: list[str] = field(default_factory=list)  # to anything but the page's own file
    errors: list[str] = field(default_factory=list)  # exceptions, and errors and warnings of the console

    def violations(self) -> list[str]:
        """Return the violations of the content policy, those of scripts that the page tried to run among them."""
        return list(self.page.evaluate("window.__violations"))

    def wait_until(self, expression: str) -> None:
        """Wait until a JavaScript expression is true, 60 s at most. The page's content policy cannot forbid it."""
        for _ in range(1200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"still not: {expression}")

    def accessibility_problems(self) -> list[str]:
        """Return the serious findings of axe-core, one line each."""
        rules = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
        self.page.evaluate(rules)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{each['id']}: {node['target']}: {node['failureSummary']}"
            for each in found["violations"]
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]

    def width_of_content(self) -> int:
        """Return the width that the page needs, CSS pixels; more than the window's where something is cut off."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))

    def drag_fingers(self, *paths: tuple[Point, Point], steps: int = 6) -> None:
        """Put fingers on a touch screen, move each from its start to its end and take them away."""
        touch = self.context.new_cdp_session(self.page)

        def send(kind: str, *points: Point) -> None:
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

        send("touchStart", *(start for start, _ in paths))
        for k in range(1, steps + 1):
            t = k / steps
            send("touchMove", *((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])) for a, b in paths))
        send("touchEnd")
        touch.detach()


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium, without a screen; WebGL is drawn by software."""
    assert CHROMIUM is not None
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=_QUIET)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def without_webgl(browser: Browser) -> Iterator[Browser]:
    """Start a second Chromium, which has no WebGL."""
    second = browser.browser_type.launch(executable_path=CHROMIUM, args=[*_QUIET, *_NO_WEBGL])
    try:
        yield second
    finally:
        second.close()


def _note(watched: WatchedPage, message: ConsoleMessage) -> None:
    # A screenshot reads the picture back, which the driver of software WebGL remarks as slow.
    if message.type in ("error", "warning") and "GL Driver Message" not in message.text:
        watched.errors.append(message.text)


@contextmanager
def open_page(
    browser: Browser, file: Path, *, address: str = "", size: tuple[int, int] = (1280, 720), **settings: Any
) -> Iterator[WatchedPage]:
    """Open a file in a browser; ``address`` is the rest of its address, such as "#t=1.2".

    ``settings`` are those of a Playwright context, such as ``has_touch`` or ``color_scheme``.
    """
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **settings)
    try:
        context.add_init_script(_WATCH_POLICY)
        page = context.new_page()
        watched = WatchedPage(page, context)
        own = file.resolve().as_uri()

        def request(each: Request) -> None:
            if each.url.partition("#")[0] != own and not each.url.startswith(_OWN_SCHEMES):
                watched.requests.append(each.url)

        context.on("request", request)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on("console", lambda message: _note(watched, message))
        page.goto(own + address, wait_until="load")
        yield watched
    finally:
        context.close()


def firefox_screenshot(file: Path, picture: Path, size: tuple[int, int]) -> Path:
    """Write a picture of a page, once it is loaded, as Firefox shows it."""
    assert FIREFOX is not None
    assert SCREEN is not None
    profile = picture.with_suffix(".profile")
    profile.mkdir()
    command = [SCREEN, "-a", FIREFOX, "--headless", "--no-remote", "--profile", str(profile), "--screenshot"]
    command += [str(picture), f"--window-size={size[0]},{size[1]}", file.resolve().as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return picture


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a module."""
    with open_browser() as opened:
        yield opened
