"""What the tests of pages would notice: requests, errors, violations of the content policy, and what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers.browser import needs_browser, open_page

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser

pytestmark = needs_browser

_POLICY = "<meta http-equiv='Content-Security-Policy' content=\"script-src 'none'; img-src http:\">"
_PAGE = """<!DOCTYPE html><html lang="en"><head><title>A page</title>{head}</head>
<body><main><h1>A page</h1>{body}</main></body></html>"""


def page_with(folder: Path, *, head: str = "", body: str = "") -> Path:
    file = folder / "page.html"
    file.write_text(_PAGE.format(head=head, body=body), encoding="utf-8")
    return file


def test_nothing_is_found_on_a_plain_page(browser: Browser, tmp_path: Path) -> None:
    with open_page(browser, page_with(tmp_path, body="<p>text</p>")) as opened:
        assert opened.requests == opened.errors == opened.violations() == opened.accessibility_problems() == []
        assert opened.width_of_content() == 1280


def test_requests_errors_violations_and_cut_text_are_found(browser: Browser, tmp_path: Path) -> None:
    body = "<script>document.title = 1</script><img src='http://127.0.0.1:9/x.png'><p style='width:3000px'>text</p>"
    with open_page(browser, page_with(tmp_path, head=_POLICY, body=body)) as opened:
        assert opened.requests == ["http://127.0.0.1:9/x.png"]
        assert any("Content Security Policy" in error for error in opened.errors)
        assert opened.violations() == ["script-src-elem inline"]
        assert any(line.startswith("image-alt") for line in opened.accessibility_problems())
        assert opened.width_of_content() >= 3000
    with open_page(browser, page_with(tmp_path, body="<script>throw new Error('oh')</script>")) as opened:
        assert opened.errors == ["oh"]


def test_a_finger_scrolls(browser: Browser, tmp_path: Path) -> None:
    file = page_with(tmp_path, head="<meta name='viewport' content='width=device-width'>", body="<p>a</p>" * 100)
    with open_page(browser, file, size=(400, 800), has_touch=True, is_mobile=True) as opened:
        opened.drag_fingers(((200, 600), (200, 200)), steps=10)
        opened.page.wait_for_function("window.scrollY > 100")
