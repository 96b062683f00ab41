"""The page in a frame of another page, as a notebook shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gait
from tests.helpers.browser import needs_browser, open_page
from tests.helpers.explanation_cases import write_network
from tests.helpers.paths import REPOSITORY
from tests.helpers.viewing_cases import write_fitted_trial

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser

pytestmark = pytest.mark.usefixtures("one_thread")


@needs_browser
def test_a_cell_shows_the_page(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    trial = write_fitted_trial(tmp_path / "sick" / "P02" / "walk1", markers=0)
    network = write_network(tmp_path / "mlp.ckpt")
    shown = gait.show(trial, network=network, method="lrp", evidence=False)
    assert shown.problems == ()
    cell = tmp_path / "notebook.html"
    cell.write_text(f"<!DOCTYPE html><title>Notebook</title>{shown._repr_html_()}", encoding="utf-8")
    with open_page(browser, cell) as opened:
        frame = opened.page.frame_locator("iframe")
        frame.locator("#forward").click()
        opened.page.wait_for_timeout(600)  # the page names its time in the address after a while, where it has one
        assert frame.locator("#frame").input_value() == "1"
        assert frame.locator("h1").inner_text() == "sick/P02/walk1"
        assert opened.requests == opened.errors == []
    shown.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == shown.html
    assert "MB" in repr(shown)
