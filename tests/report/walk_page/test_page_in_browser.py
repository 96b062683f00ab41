"""The page in Chromium: what is drawn at which time, and every way of moving it."""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt

from gait.explaining.methods import METHODS
from gait.explaining.trained_network import load_network
from gait.report import walk_page
from gait.report.walk_page.export import write_page
from gait.report.walk_page.walk_data import WalkPage
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.loaded_trial import load_trial
from tests.helpers.browser import WatchedPage, firefox_screenshot, needs_browser, needs_firefox, open_page
from tests.helpers.explanation_cases import random_attribution, write_network
from tests.helpers.viewing_cases import BODIES, write_fitted_trial

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser

pytestmark = needs_browser

WEB = Path(walk_page.__file__).parent / "web"
READY = "#body[data-frame]"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    trial = load_trial(write_fitted_trial(folder / "sick" / "P02" / "walk1"), BODIES)
    network = load_network(write_network(folder / "mlp.ckpt"))
    overlays = tuple(
        AttributionOverlay(trial, network, METHODS[name], random_attribution(trial.num_frames, seed=seed), None)
        for seed, name in enumerate(("lrp", "gradient_input"))
    )
    write_page(folder / "page.html", WalkPage(trial, overlays, beside=trial))
    return folder / "page.html"


@pytest.fixture
def opened(browser: Browser, page_file: Path) -> Iterator[WatchedPage]:
    with open_page(browser, page_file, address="#t=0.5") as page:
        page.page.wait_for_selector(READY)
        yield page
        assert page.requests == page.violations() == []
        assert page.errors == []


def frame(opened: WatchedPage) -> int:
    return int(opened.page.get_attribute("#body", "data-frame") or -1)


def picture(opened: WatchedPage) -> NDArray[np.int64]:
    opened.page.wait_for_selector("#picture:not([hidden])")
    return rgb(Image.open(io.BytesIO(opened.page.locator("#view").screenshot())))


def changed(before: NDArray[np.int64], opened: WatchedPage) -> bool:
    """Return whether the body is another one by now."""
    opened.page.wait_for_timeout(120)
    return bool((np.abs(picture(opened) - before).max(axis=2) > 20).sum() > 50)


def settled_picture(opened: WatchedPage) -> NDArray[np.int64]:
    """Return the picture once it stays the same: a body at rest is drawn a second time, more finely."""
    for _ in range(20):
        shown = picture(opened)
        if not changed(shown, opened):
            return shown
    raise AssertionError("the picture goes on changing")


def test_address_names_the_moment(opened: WatchedPage) -> None:
    assert frame(opened) == 50
    assert opened.page.inner_text("#clock") == "0.50 s, frame 51"
    colours = picture(opened).reshape(-1, 3)
    assert (colours.max(axis=1) - colours.min(axis=1) > 40).any()  # of the attribution; all else is nearly grey
    opened.page.evaluate("location.hash = '#t=1'")
    opened.page.wait_for_selector("#body[data-frame='100']")


def test_keys_play_and_step_as_in_the_window(opened: WatchedPage) -> None:
    keyboard = opened.page.keyboard
    for key, expected in ((".", 51), (",", 50), ("Home", 0), ("End", 159)):
        keyboard.press(key)
        opened.page.wait_for_selector(f"#body[data-frame='{expected}']")
    keyboard.press(" ")  # from the beginning, at the end
    opened.wait_until("Number(document.getElementById('body').dataset.frame) < 100")
    assert opened.page.inner_text("#play") == "Pause"
    keyboard.press(" ")
    stopped = frame(opened)
    opened.page.wait_for_timeout(200)
    assert abs(frame(opened) - stopped) <= 1
    assert opened.page.is_checked("#loop")
    keyboard.press("l")
    assert not opened.page.is_checked("#loop")
    keyboard.press("h")
    assert opened.page.is_visible("#help")
    keyboard.press("Escape")
    assert not opened.page.is_visible("#help")
    before = picture(opened)
    keyboard.down("d")
    opened.page.wait_for_timeout(300)
    keyboard.up("d")
    assert changed(before, opened)
    keyboard.press("b")
    opened.page.wait_for_timeout(100)
    assert not changed(before, opened)


def test_mouse_orbits_moves_zooms_and_selects(opened: WatchedPage) -> None:
    mouse, box = opened.page.mouse, opened.page.locator("#body").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for button in ("left", "right"):
        before = picture(opened)
        mouse.move(*middle)
        mouse.down(button=button)  # type: ignore[arg-type]
        mouse.move(middle[0] + 60, middle[1] + 20, steps=4)
        mouse.up(button=button)  # type: ignore[arg-type]
        assert changed(before, opened)
    before = picture(opened)
    mouse.wheel(0, -300)
    assert changed(before, opened)
    opened.page.uncheck("#beside-layer")  # else the middle is between the bodies
    opened.page.keyboard.press("b")
    mouse.click(middle[0], middle[1] - 0.06 * box["height"])  # the middle is a little below the pelvis
    assert "pelvis" in opened.page.inner_text("#time-readout")
    selected = (np.abs(picture(opened) - [200, 0, 140]).max(axis=2) < 60).sum()
    mouse.click(box["x"] + 20, box["y"] + 20)
    assert "pelvis" not in opened.page.inner_text("#time-readout")
    assert selected > (np.abs(settled_picture(opened) - [200, 0, 140]).max(axis=2) < 60).sum() + 20


def test_fingers_orbit_and_zoom(browser: Browser, page_file: Path) -> None:
    with open_page(browser, page_file, size=(400, 800), has_touch=True, is_mobile=True) as opened:
        opened.page.wait_for_selector(READY)
        opened.page.locator("#body").scroll_into_view_if_needed()
        box = opened.page.locator("#body").bounding_box()
        assert box is not None
        before, middle = picture(opened), (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        opened.drag_fingers((middle, (middle[0] + 80, middle[1])))
        assert changed(before, opened)

        def size() -> int:
            inside = settled_picture(opened)[8:-8, 8:-8]  # of the outline of what has the focus
            return int((beside_ground(inside) > 40).sum())

        small = size()
        paths = [((middle[0], middle[1] + side * 25), (middle[0], middle[1] + side * 50)) for side in (-1, 1)]
        opened.drag_fingers(*paths)
        assert size() > 1.5 * small


def test_controls_choose_what_is_drawn(opened: WatchedPage) -> None:
    page = opened.page
    for box in ("#floor-layer", "#skeleton-layer", "#path-layer", "#beside-layer"):
        before = picture(opened)
        page.set_checked(box, not page.is_checked(box))
        assert changed(before, opened), box
    before = picture(opened)
    page.select_option("#method", "1")
    assert changed(before, opened)
    page.select_option("#speed", "2")
    page.locator("#frame").fill("20")
    page.wait_for_selector("#body[data-frame='20']")
    page.click("#forward")
    page.click("#forward")
    page.click("#back")
    page.wait_for_selector("#body[data-frame='21']")
    page.uncheck("#loop")
    page.click("#play")
    page.wait_for_selector("#body[data-frame='159']")
    assert page.inner_text("#play") == "Play"  # it stops at the end
    page.click("#show-help")
    page.get_by_role("button", name="Close").click()
    assert not page.is_visible("#help")


def test_buttons_show_the_body_from_the_front_and_from_both_sides(opened: WatchedPage) -> None:
    page, drawn = opened.page, {}
    page.uncheck("#beside-layer")
    page.uncheck("#floor-layer")
    for name in ("left side", "front", "right side"):
        page.get_by_role("button", name=name).click()
        drawn[name] = beside_ground(settled_picture(opened)[8:-8, 8:-8]) > 8  # the corners are round
    both = drawn["left side"], drawn["right side"][:, ::-1]
    assert (both[0] & both[1]).sum() > 0.85 * (both[0] | both[1]).sum(), "nearly mirror images"
    rows, columns = np.nonzero(drawn["left side"])
    feet = columns[rows > rows.min() + 0.97 * np.ptp(rows)]
    shank = columns[(rows > rows.min() + 0.85 * np.ptp(rows)) & (rows < rows.min() + 0.9 * np.ptp(rows))]
    assert shank.min() - feet.min() > feet.max() - shank.max(), "the toes point to the left"


@needs_firefox
def test_firefox_draws_two_moments_as_chromium_does(browser: Browser, page_file: Path, tmp_path: Path) -> None:
    size, both = (1280, 720), tmp_path / "both.html"
    frames = [f'<iframe scrolling="no" src="{page_file.as_uri()}#t={seconds}"></iframe>' for seconds in (0.5, 1.2)]
    style = f"body {{margin: 0; display: flex}} iframe {{border: 0; width: {size[0]}px; height: {size[1]}px}}"
    both.write_text(f"<!DOCTYPE html><title>Two moments</title><style>{style}</style>{''.join(frames)}")
    window = (2 * size[0], size[1])
    with open_page(browser, both, size=window) as opened:
        for frame in opened.page.frames[1:]:
            frame.wait_for_selector("#picture:not([hidden])")
        views = [frame.locator("#view").bounding_box() for frame in opened.page.frames[1:]]
        theirs = rgb(Image.open(io.BytesIO(opened.page.screenshot())))
    ours = rgb(Image.open(firefox_screenshot(both, tmp_path / "firefox.png", window)))
    drawn = []
    for view in views:
        assert view is not None
        x, y, width, height = (round(view[side]) for side in ("x", "y", "width", "height"))
        inside = slice(y + 8, y + height - 8), slice(x + 8, x + width - 8)  # the corners are round
        one, other = ours[inside], theirs[inside]
        assert max(drawn_distance_px(one, other), drawn_distance_px(other, one)) <= 3
        body = (beside_ground(one) > 40) & (beside_ground(other) > 40)
        assert body.sum() > 5000
        assert np.percentile(np.abs(one - other).max(axis=2)[body], 99) <= 8  # of 255
        drawn.append(one)
    assert drawn_distance_px(*drawn) > 10  # these are two moments


def rgb(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image.convert("RGB")).astype(int)


def beside_ground(image: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return by how much a picture of the body differs from its ground, of 255: (height, width)."""
    return np.abs(image - image[0, 0]).max(axis=2)  # type: ignore[no-any-return, unused-ignore]


def drawn_distance_px(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the largest distance of what is drawn clearly in one picture from what is drawn in another."""
    return float(distance_transform_edt(beside_ground(other) <= 4)[beside_ground(one) > 14].max())


def test_names_of_scripts_are_unique() -> None:
    names = [
        name
        for file in WEB.rglob("*.js")
        for name in re.findall(r"^(?:function|const|let|class) +(\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(names) == sorted(set(names))  # all scripts of a page are one; a second function replaces the first


def test_scripts_and_styles_need_no_browser_newer_than_safari_15() -> None:
    """Scripts are of ES2020; ``:has`` and ``accent-color`` (Safari 15.4) only make a page nicer."""
    later = r"""
        \?\?= | \|\|= | &&= | \d_\d | \(\?<[=!] | static\ \{ | \bawait\b  # ES2021 and later
        | \.(replaceAll|at|findLast|findLastIndex|toSorted|toReversed|toSpliced|with|groupBy)\(
        | \b(hasOwn|structuredClone|WeakRef|Promise\.any|OffscreenCanvas|DecompressionStream|checkVisibility)\b
        | @(layer|container|scope|property)\b | color-mix | \b\d+[dsl]v[hw]\b | :(is|where)\( | &\s*[.:{]  # styles
    """
    files = [file for kind in ("*.js", "*.css") for file in WEB.rglob(kind)]
    assert len(files) > 15
    found = {file.name: re.findall(later, file.read_text(encoding="utf-8"), re.VERBOSE) for file in files}
    assert {name: words for name, words in found.items() if words} == {}


def test_arrays_are_decompressed_as_zlib_does(browser: Browser) -> None:
    random = np.random.default_rng(0)
    walk = np.cumsum(random.integers(-3, 4, 60_000)).astype("<i2").tobytes()
    page = browser.new_page()
    page.evaluate((WEB / "inflate.js").read_text(encoding="utf-8") + ";window.inflate = inflate;0")
    run = """([packed, size]) => {
      const bytes = inflate(Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0)), size);
      return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    }"""
    for data in (walk, b"abc" * 5, b"", random.bytes(70_000), bytes(100_000)):
        for level in (0, 1, 9):
            packed = base64.b64encode(zlib.compress(data, level)).decode()
            assert base64.b64decode(page.evaluate(run, [packed, len(data)])) == data
    page.close()
