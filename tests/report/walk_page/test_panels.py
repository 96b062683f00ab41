"""The panels of a page in Chromium, by real mouse, keyboard and touch: everything goes to one time and one joint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gait.body.skeleton import HEAD_TO_FEET, Joint, display_name
from gait.explaining.methods import METHODS
from gait.explaining.trained_network import load_network
from gait.kinematics.norm_comparison import Deviation
from gait.kinematics.norms import read_norm
from gait.report.evidence.sentences import faithfulness_sentence
from gait.report.gait.svg_chart import PLOT
from gait.report.walk_page.answer import deviations, farthest, headline, how_sure
from gait.report.walk_page.build import build_page
from gait.report.walk_page.curve_section import CurveSection, curve_section
from gait.report.walk_page.walk_data import WalkPage
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.loaded_trial import load_trial
from tests.helpers.browser import WatchedPage, needs_browser, open_page, without_webgl
from tests.helpers.evidence_cases import UNOBSERVED, UNUSED, evidence, finding
from tests.helpers.explanation_cases import random_attribution, write_network
from tests.helpers.viewing_cases import BODIES, write_fitted_trial

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser

pytestmark = [needs_browser, pytest.mark.usefixtures("one_thread")]

HOSTILE = "<script>alert('x')</script>\"'& \U0001f6b6" + "w" * 300
KNEE_FRAME = 142
NOTE = "The subject walks more slowly than every control."


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> WalkPage:
    """A walk of several strides, explained by two methods except for the head, with findings."""
    folder = tmp_path_factory.mktemp("panels")
    trial = load_trial(write_fitted_trial(folder / "sick" / "P02" / "walk1", seconds=3.2, markers=0), BODIES)
    network = load_network(write_network(folder / "mlp.ckpt"))
    overlays = []
    for seed, name in enumerate(("lrp", "integrated_gradients")):
        attribution = random_attribution(trial.num_frames, seed=seed)
        attribution.values[:, Joint.HEAD] = np.nan
        overlays.append(AttributionOverlay(trial, network, METHODS[name], attribution, "A sentence on deletion."))
    found = evidence(finding(frame=KNEE_FRAME, reason=HOSTILE), UNUSED, UNOBSERVED, notes=(NOTE,))
    hostile = replace(trial, name=f"sick/P02/{HOSTILE}")
    return WalkPage(hostile, tuple(overlays), curves=curve_section(trial, read_norm("schwartz2008")), evidence=found)


@pytest.fixture(scope="module")
def file(walk: WalkPage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "walk.html"
    path.write_text(build_page(walk), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def opened(browser: Browser, file: Path) -> Iterator[WatchedPage]:
    """The page in a window; the tests use it one after another."""
    with open_page(browser, file) as page:
        page.wait_until("document.getElementById('time-map').hasAttribute('aria-valuetext')")
        yield page


def frame_of(opened: WatchedPage) -> int:
    return int(opened.page.locator("#frame").input_value())


def spoken(opened: WatchedPage) -> str:
    """Return what the map says of the current frame and joint."""
    return opened.page.locator("#time-map").get_attribute("aria-valuetext") or ""


def point(opened: WatchedPage, selector: str, across: float, down: float) -> tuple[float, float]:
    """Return a point in an element, by fractions of its width and height, in the window."""
    opened.page.locator(selector).scroll_into_view_if_needed()
    box = opened.page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def text(opened: WatchedPage, selector: str) -> str:
    return " ".join(opened.page.locator(selector).inner_text().split())


def test_nothing_is_requested_and_hostile_names_are_text(opened: WatchedPage, walk: WalkPage) -> None:
    assert opened.requests == opened.errors == opened.violations() == []
    assert HOSTILE in text(opened, "h1")
    assert HOSTILE in opened.page.title()
    assert HOSTILE in text(opened, "#findings")
    assert opened.page.locator("h1 script, td script").count() == 0
    assert opened.width_of_content() == 1280


def test_head_says_decision_place_and_trust(opened: WatchedPage, walk: WalkPage) -> None:
    probability = walk.overlays[0].attribution.trial_probability
    assert f"P(sick) {probability:.2f}" in text(opened, ".answer")
    assert (frame_of(opened), "left knee" in spoken(opened)) == (KNEE_FRAME, True)  # of the first finding
    assert "Recorded label: patient." in text(opened, ".answer")
    assert walk.overlays[0].attribution.largest_joints()[0] in text(opened, "#answer")
    assert faithfulness_sentence(evidence()) in text(opened, "#answer")
    assert NOTE in text(opened, "#answer")
    assert "1 finding, 61 % of the evidence: real deviation" in text(opened, "#answer")


def test_narrow_output_is_called_uncertain(walk: WalkPage) -> None:
    overlay = walk.overlays[0]
    for probability, word in ((0.55, "sick, narrowly"), (0.45, "healthy, narrowly"), (0.93, "sick")):
        windows = np.full_like(overlay.attribution.window_probability, probability)
        changed = replace(overlay, attribution=replace(overlay.attribution, window_probability=windows))
        assert f"to the class {word}: P(sick) {probability:.2f} " in headline(changed, "sick")
        sure = how_sure(changed, None, trained=False)
        assert ("close to the border" in sure) == ("narrowly" in word)


def test_table_of_curves_says_a_deviation_as_the_head_does(walk: WalkPage) -> None:
    assert walk.curves is not None
    assert walk.curves.reference is not None
    parts = ((60, 80, -19.9, 74), (90, 92, -3.0, 91))
    found = tuple(Deviation("knee_flexion", "left", *part, error_deg=0.0) for part in parts)
    section = replace(walk.curves, reference=replace(walk.curves.reference, deviations=found))
    (row,) = [row for row in section.rows() if row.beyond]
    (statement,) = deviations(section)
    assert row.beyond == (statement.text,)
    assert statement.text == (
        "left knee flexion: 19.9° below the norm's band at 74 % of its cycle; outside at 60–80 and 90–92 %"
    )
    assert list(farthest(section, is_uncertain=True)) == [
        "Farthest from the norm is left knee flexion: 19.9° below the norm's band at 74 % of its cycle.",
        "The decision is uncertain, see below.",
    ]
    assert not list(farthest(None, is_uncertain=False))


def test_click_on_a_finding_goes_to_its_time_and_joint(opened: WatchedPage) -> None:
    opened.page.get_by_role("button", name="Left knee flexion", exact=True).first.click()
    assert frame_of(opened) == KNEE_FRAME
    assert "left knee" in spoken(opened)
    selected = opened.page.locator(".chart-box.selected").evaluate_all("all => all.map(each => each.dataset.angle)")
    assert selected == ["knee_flexion", "knee_adduction", "knee_rotation"]
    heads = opened.page.locator("#findings th[scope=rowgroup]").all_inner_texts()
    assert heads == ["The decision relies on", "Other evidence and deviations"]
    rows = opened.page.locator("#findings tbody tr", has=opened.page.get_by_role("button"))
    assert rows.count() == 3
    assert "not used" in rows.nth(1).inner_text()
    assert "not observed" in rows.nth(2).inner_text()


def map_row(opened: WatchedPage, joint: Joint, across: float) -> tuple[float, float]:
    """Return a point in the row of a joint: the rows are as high as their labels, below two bars of stance."""
    rem = opened.page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    font = max(0.75 * rem, 11)
    row, top = np.ceil(1.16 * font), np.ceil(0.3 * font)
    down = top + 2 * row + 4 + row + (HEAD_TO_FEET.index(joint) + 0.5) * row
    opened.page.locator("#time-map").scroll_into_view_if_needed()
    box = opened.page.locator("#time-map").bounding_box()
    assert box is not None
    return box["x"] + across * box["width"], box["y"] + float(down)


def test_click_in_the_map_goes_to_time_and_joint(opened: WatchedPage, walk: WalkPage) -> None:
    opened.page.mouse.click(*map_row(opened, Joint.RIGHT_ANKLE, 0.6))
    first = frame_of(opened)
    assert spoken(opened).startswith(f"{first / walk.trial.rate_hz:.2f} s")
    assert display_name(Joint.RIGHT_ANKLE) in spoken(opened)
    value = 1000 * walk.overlays[0].values[first, Joint.RIGHT_ANKLE]
    assert f"{abs(value):.2g}"[:3] in spoken(opened)
    opened.page.mouse.click(*map_row(opened, Joint.HEAD, 0.9))
    assert frame_of(opened) > first
    assert "head: not explained" in spoken(opened)


def test_pointing_at_the_map_reads_a_value_and_changes_nothing(opened: WatchedPage) -> None:
    before = frame_of(opened)
    opened.page.mouse.move(*map_row(opened, Joint.LEFT_HIP, 0.4))
    assert "left hip" in text(opened, "#time-readout")
    assert frame_of(opened) == before
    opened.page.mouse.move(5, 5)
    assert "left hip" not in text(opened, "#time-readout")


def test_drag_over_the_map_moves_through_time(opened: WatchedPage) -> None:
    start, end = map_row(opened, Joint.LEFT_HIP, 0.4), map_row(opened, Joint.LEFT_HIP, 0.8)
    opened.page.mouse.move(*start)
    opened.page.mouse.down()
    opened.page.mouse.move(*end, steps=4)
    during = frame_of(opened)
    opened.page.mouse.up()
    assert during > 1.5 * 0.4 * 320 * 0.9


def test_arrow_keys_on_the_map(opened: WatchedPage) -> None:
    opened.page.locator("#time-map").focus()
    before = frame_of(opened)
    opened.page.keyboard.press("ArrowLeft")
    opened.page.keyboard.press("Shift+ArrowLeft")
    assert frame_of(opened) == before - 11
    opened.page.keyboard.press("ArrowDown")
    below = HEAD_TO_FEET[HEAD_TO_FEET.index(Joint.LEFT_HIP) + 1]
    assert display_name(below) in spoken(opened)
    opened.wait_until("document.getElementById('live').textContent.includes('s · P(sick)')")


def test_click_on_a_curve_goes_to_that_percent(opened: WatchedPage, walk: WalkPage) -> None:
    chart, curves = ".chart-box[data-angle=knee_flexion] svg", walk.curves
    assert curves is not None
    side = "left"
    left, right = (curves.analysis.curves.mean("knee_flexion", each) for each in ("left", "right"))
    percent = int(np.argmax(abs(left - right)))  # where a click is clearly nearer to one of them
    opened.page.mouse.click(*on_curve(opened, chart, curves, side, percent))
    frame = frame_of(opened)
    strides = curves.analysis.curves.strides[side]
    assert any(abs(stride.percent(frame) - percent) < 1.5 for stride in strides)
    assert "left knee" in spoken(opened)
    opened.page.mouse.move(*on_curve(opened, chart, curves, side, percent))
    mean = curves.analysis.curves.mean("knee_flexion", side)[percent]
    readout = text(opened, "#curve-readout")
    assert f"Knee flexion, left, {percent} % of the cycle: {mean:.1f}°" in readout
    assert "norm" in readout


def on_curve(opened: WatchedPage, chart: str, curves: CurveSection, side: str, percent: int) -> tuple[float, float]:
    left, top, right, bottom = PLOT
    box = opened.page.locator(".chart-box[data-angle=knee_flexion]")
    low, high = (float(box.get_attribute(f"data-{end}") or "nan") for end in ("low", "high"))
    degrees = float(curves.analysis.curves.mean("knee_flexion", side)[percent])
    x = left + percent / 100 * (right - left)
    y = bottom - (degrees - low) / (high - low) * (bottom - top)
    return point(opened, chart, x / 320, y / 222)


def test_method_switch_changes_map_table_and_key(opened: WatchedPage, walk: WalkPage) -> None:
    opened.page.locator("#time summary").click()
    for index, overlay in enumerate(walk.overlays):
        opened.page.locator("#method").select_option(str(index))
        table = opened.page.locator("#attribution-table table")
        assert overlay.method.title in table.locator("caption").inner_text()
        knee = table.locator("tr", has_text="left knee").locator("td").first.inner_text()
        mean = 1000 * np.nanmean(overlay.values[:, Joint.LEFT_KNEE])
        assert float(knee.replace("−", "-")) == pytest.approx(mean, abs=0.02)
        assert "not explained" in table.locator("tr", has_text="head").inner_text()


def test_colours_follow_the_switch(opened: WatchedPage) -> None:
    def ground() -> Any:
        return opened.page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = ground()
    opened.page.locator("#scheme").select_option("dark")
    assert ground() != light
    assert opened.accessibility_problems() == []
    opened.page.locator("#scheme").select_option("light")
    assert ground() == light
    assert opened.accessibility_problems() == []


def test_printed_page_has_picture_map_and_tables(opened: WatchedPage, file: Path) -> None:
    opened.page.emulate_media(media="print")
    try:
        assert opened.page.locator("#still img").is_visible()
        assert opened.page.locator("#time-map").is_visible()
        assert not opened.page.locator(".controls").is_visible()
        assert opened.page.pdf(format="A4").startswith(b"%PDF")
    finally:
        opened.page.emulate_media(media="screen")


def test_fingers_on_a_telephone(browser: Browser, file: Path) -> None:
    with open_page(browser, file, size=(400, 800), has_touch=True, is_mobile=True) as phone:
        phone.wait_until("document.getElementById('time-map').hasAttribute('aria-valuetext')")
        assert phone.width_of_content() == 400
        phone.page.touchscreen.tap(*map_row(phone, Joint.LEFT_KNEE, 0.7))
        assert frame_of(phone) > 100
        assert "left knee" in spoken(phone)
        assert phone.requests == phone.errors == phone.violations() == []


def test_tables_and_picture_without_webgl(browser: Browser, file: Path) -> None:
    with without_webgl(browser) as plain, open_page(plain, file) as page:
        page.wait_until("document.getElementById('time-map').hasAttribute('aria-valuetext')")
        assert page.page.locator("#still img").is_visible()
        assert "WebGL" in text(page, "#problem")
        page.page.mouse.click(*map_row(page, Joint.RIGHT_ANKLE, 0.6))
        assert "right ankle" in spoken(page)
        assert page.page.locator("#attribution-table table").count() == 1
