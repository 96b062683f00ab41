"""The index of many pages: its size, and sorting and filtering by real clicks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from gait.report.walk_page.index_page import IndexRow, index_page
from tests.helpers.browser import needs_browser, open_page

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser

HOSTILE = "<script>alert('x')</script>\"'& \U0001f6b6" + "w" * 300
VERDICTS = ("real deviation", "looks where nothing deviates", "")
DEVIATION = "left ankle dorsiflexion: 19.9° below the norm (plantarflexion) at 73 % of its cycle, 95 % error ± 3.5°"


def row(number: int, **changes: object) -> IndexRow:
    sick = number % 2 == 1
    fields: dict[str, object] = {
        "file": f"{'sick' if sick else 'healthy'}/P{number}/walk1.html", "subject": f"P{number}", "trial": "walk1",
        "label": "sick" if sick else "healthy", "network": "", "fold": number % 3,
        "probability": (number * 37 % 100) / 100, "verdict": VERDICTS[number % 3],
        "deviation": DEVIATION if sick else "", "gps_deg": 5 + number * 7 % 11,
        "residual_mm": math.nan if number == 4 else 2 + number / 100,
    }  # fmt: skip
    return IndexRow(**{**fields, **changes})  # type: ignore[arg-type]


def test_two_hundred_trials_take_less_than_200_kb() -> None:
    text = index_page([row(number) for number in range(200)], "200 walks", "Schwartz 2008, by walking speed")
    assert len(text.encode()) < 200_000
    assert text.count("<tr>") + text.count("<tr class=wrong>") == 201


@needs_browser
def test_rows_are_sorted_and_filtered(browser: Browser, tmp_path: Path) -> None:
    rows = [row(number, network=("MLP", "transformer")[number // 4]) for number in range(8)]
    rows.append(row(8, subject=HOSTILE, file=f"{HOSTILE}.html", network="MLP"))
    (tmp_path / "index.html").write_text(index_page(rows, HOSTILE, "a norm", [HOSTILE]), encoding="utf-8")
    with open_page(browser, tmp_path / "index.html", size=(400, 800)) as opened:
        page = opened.page

        def column(number: int) -> list[str]:
            shown = page.locator("tbody tr:visible").all()
            return [" ".join(each.locator("th, td").nth(number).inner_text().split()) for each in shown]

        assert HOSTILE in column(0)[-1]
        assert unquote(page.locator("tbody a").last.get_attribute("href") or "") == f"{HOSTILE}.html"
        page.get_by_role("button", name="GPS").click()
        scores = [float(text) for text in column(7)]
        assert scores == sorted(scores)
        page.get_by_role("button", name="Residual").click()
        page.get_by_role("button", name="Residual").click()
        assert column(8)[-1] == "–", "what is unknown is last"
        known = [float(text) for text in column(8)[:-1]]
        assert known == sorted(known, reverse=True)
        page.locator("select[data-column=label]").select_option("sick")
        assert set(column(1)) == {"sick"}
        page.locator("select[data-column=fold]").select_option("1")
        page.locator("select[data-column=network]").select_option("transformer")
        page.locator("select[data-column=verdict]").select_option(VERDICTS[1])
        assert (column(2), column(3), column(5)) == (["transformer"], ["1"], [VERDICTS[1]])
        assert page.locator("#count").inner_text() == "1 of 9 pages"
        page.get_by_role("button", name="Reset").click()
        page.locator("#count", has_text="9 of 9 pages").wait_for()
        page.locator("input[data-least=gps]").fill("9.5")
        page.locator("input[data-most=residual]").fill("2.05")
        fits = [each for each in rows if each.gps_deg >= 9.5 and each.residual_mm <= 2.05]
        assert fits
        assert sorted(text.split()[0] for text in column(0)) == sorted(each.subject for each in fits)
        page.get_by_role("button", name="Reset").click()
        page.locator("#count", has_text="9 of 9 pages").wait_for()
        page.locator("#wrong").check()
        shown = column(4)
        assert shown
        assert all("wrong" in text for text in shown)
        page.locator("#wrong").uncheck()
        page.locator("#search").fill("p3")
        assert [text.split()[0] for text in column(0)] == ["P3"]
        assert opened.requests == opened.errors == opened.violations() == []
        assert opened.accessibility_problems() == []
        assert opened.width_of_content() == 400
