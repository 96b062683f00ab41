"""python benchmarks/walk_page.py --json walk_page.json

The page of one trial (``attention_viewer.py --export_page``) in real browsers: a synthetic trial of 1,000 frames with
three methods on an untrained network, in Debian's Chromium without a screen and without a graphics card. Prints one
JSON object:

 * ``file_mb``, ``write_s`` (after the explanation) and ``write_cpu_s``;
 * ``first_picture_s`` from opening the file to the first picture of the body; ``frames_per_second`` during playback,
   each with another frame of the trial, ``picture`` of that many pixels, and ``cpu_ms_per_frame``, the processor time
   of all the browser's processes, which other programs do not change;
 * ``against_window``: the page's picture beside that of the window with the same camera, at five moments. ``skin_px``
   is the largest distance of a pixel of the body in one picture from the body in the other. ``colour`` is the
   difference on the body, CIE 1976 ΔE of sRGB under D65; ``colour_within_px`` the same if each pixel may be compared
   with its eight neighbours too, as at edges within the body; ``floor`` is the 99th percentile beside the body, of grid
   and shadow;
 * ``firefox``: pictures of Firefox and Chromium at two moments that the address names. ``drawn_px`` is the largest
   distance of anything drawn in one (body, grid, shadow) from what is drawn in the other, ``colour`` the difference
   within; null without Firefox;
 * ``webkit``: pictures of WebKitGTK, whose engine is Safari's, and Chromium at the same moments, as ``against_window``;
   null without WebKitGTK;
 * ``requests``: of the page to anywhere, of which there must be none.

It needs Chromium (Debian: chromium), playwright (``pip install 'gait-suite[test]'``), and for ``firefox`` Debian's
firefox-esr and xvfb: Firefox has no WebGL without a screen; for ``webkit`` Debian's webkit2gtk-driver and xvfb.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from benchmark import BodyArguments, run
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt
from untrained_trial import write_untrained_trial
from webkit_browser import find_webkit, open_webkit

from gait.cli.arguments import argument
from gait.errors import GaitError
from gait.explaining.methods import METHODS
from gait.explaining.options import ExplainOptions
from gait.report.walk_page.export import write_page
from gait.report.walk_page.walk_data import WalkPage
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.build_scene import BACKGROUND
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.offscreen_renderer import shared_renderer
from gait.viewing.viewer_state import ViewerState

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_METHODS = ("lrp", "gradient_input", "occlusion")
_SWITCHES = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
_FAINT, _STRONG = 4, 14  # differences from the background, 0..255
_MARGIN_PX = 8  # of the picture of the body in a page, whose corners are round
_PICTURE = "document.getElementById('picture').toDataURL()"
_SETTLED = "#picture:not([hidden])"  # the picture is complete
_HIDE = "document.getElementById('picture').hidden = true;"  # with a change: it shows again once that is drawn
_SAME_SIZE = """
  Object.assign(document.getElementById("view").style, { flex: "none", width: "550px", height: "500px" });
  document.getElementById("floor-layer").click();
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "b", bubbles: true }));
"""  # browsers lay the page out differently; the key shows the whole body
_COUNT_FRAMES = """(seconds) => new Promise((done) => {
  const canvas = document.getElementById("body");
  let count = 0;
  new MutationObserver((changes) => { count += changes.length; })
    .observe(canvas, { attributes: true, attributeFilter: ["data-frame"] });
  const start = performance.now();
  setTimeout(() => done([count, (performance.now() - start) / 1000]), 1000 * seconds);
})"""

RgbImage = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Arguments(BodyArguments):
    frames: int = argument(1000, "frames of the trial, at 100 Hz")
    playing_s: float = argument(4.0, "seconds of playback in which pictures are counted")
    moments: int = argument(5, "moments at which pictures are compared")
    pictures: Path | None = argument(None, "folder for the compared pictures")


QUICK = {"frames": 160, "playing_s": 0.5, "moments": 1}


def main(args: Arguments) -> dict[str, Any]:
    with TemporaryDirectory() as made:
        folder = Path(made)
        backend, network = _prepare(folder, args)
        trial = backend.load_trial(folder / "sick" / "P01" / "walk1")
        overlays = tuple(
            AttributionOverlay(
                trial, network, METHODS[name], backend.explain(network, trial, name, lambda done, count: None), None
            )
            for name in _METHODS
        )
        file, page = folder / "page.html", WalkPage(trial, overlays)
        wall, cpu = time.perf_counter(), time.process_time()
        write_page(file, page)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        state = ViewerState(backend)
        try:
            state.open_trial(trial.folder)
            state.jobs.wait()
            state.overlay = overlays[0]
            with _chromium() as browser:
                result = {
                    "file_mb": file.stat().st_size / 1e6,
                    "write_s": wall,
                    "write_cpu_s": cpu,
                    **_measure_speed(browser, file, args.playing_s),
                    "against_window": _compare_with_window(browser, file, state, args),
                    "firefox": _compare_with_firefox(browser, file, folder, trial.duration_s, args),
                    "webkit": _compare_with_webkit(browser, file, trial.duration_s, args),
                }
        finally:
            state.close()
        return {**result, "frames": trial.num_frames, "methods": list(_METHODS)}


def _prepare(folder: Path, args: Arguments) -> tuple[FileBackend, Any]:
    """Write a synthetic trial; return the source of trials and an untrained network."""
    _, network = write_untrained_trial(folder, args.model, args.frames / 100)
    backend = FileBackend(BodyModelLocator(args.model.parent, args.model.name), options=ExplainOptions(stride=8))
    return backend, backend.load_network(network)


@contextmanager
def _chromium() -> Iterator[Browser]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise GaitError("playwright is missing; pip install 'gait-suite[test]'") from None
    path = shutil.which("chromium")
    if path is None:
        raise GaitError("chromium is missing; on Debian: apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(_SWITCHES))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def _opened(browser: Browser, file: Path, address: str = "", height: int = 720) -> Iterator[tuple[Page, list[str]]]:
    """Open a page, and wait for its first picture; yield it with its requests to anywhere."""
    page = browser.new_page(viewport={"width": 1280, "height": height})
    own, requests = file.as_uri(), []

    def request(url: str) -> None:
        if url.partition("#")[0] != own and not url.startswith("data:"):
            requests.append(url)

    page.on("request", lambda each: request(each.url))
    page.goto(own + address)
    page.wait_for_selector("#body[data-frame]")
    try:
        yield page, requests
    finally:
        page.close()


def _cpu_seconds() -> float:
    """Return the processor time of all processes below this one, in which the browser computes and draws."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        parents[int(entry.parent.name)], used[int(entry.parent.name)] = (
            int(fields[1]),
            int(fields[11]) + int(fields[12]),
        )

    def is_below(process: int) -> bool:
        while process in parents:
            process = parents[process]
            if process == os.getpid():
                return True
        return False

    return sum(ticks for process, ticks in used.items() if is_below(process)) / os.sysconf("SC_CLK_TCK")


def _measure_speed(browser: Browser, file: Path, playing_s: float) -> dict[str, Any]:
    with _opened(browser, file) as (page, requests):
        first = page.evaluate("performance.getEntriesByName('first picture')[0].startTime")
        page.click("#play")
        page.wait_for_timeout(500)  # shaders and buffers are warm
        cpu = _cpu_seconds()
        count, seconds = page.evaluate(_COUNT_FRAMES, playing_s)
        cpu = _cpu_seconds() - cpu
        size = page.evaluate("['width', 'height'].map((side) => document.getElementById('body')[side])")
        return {
            "first_picture_s": first / 1000,
            "frames_per_second": count / seconds,
            "cpu_ms_per_frame": 1000 * cpu / max(count, 1),
            "picture": size,
            "requests": requests,
        }


def _compare_with_window(browser: Browser, file: Path, state: ViewerState, args: Arguments) -> list[dict[str, Any]]:
    rows = []
    for frame in np.linspace(0, state.num_frames - 1, args.moments).round().astype(int).tolist():
        seconds = frame / state.actor.trial.rate_hz  # type: ignore[union-attr]
        with _opened(browser, file, f"#t={seconds}") as (page, _):
            page.wait_for_selector(f"#body[data-frame='{frame}']")
            page.wait_for_selector(_SETTLED)
            floor = _image(page.evaluate(_PICTURE))
            page.evaluate(_HIDE + "document.getElementById('floor-layer').click();")
            page.wait_for_selector(_SETTLED)
            plain = _image(page.evaluate(_PICTURE))
        height, width = plain.shape[:2]
        state.seek(0)
        state.view_whole_body()
        state.seek(frame)
        ours = {}
        for visible in (True, False):
            state.layers.floor = visible
            ours[visible] = shared_renderer().draw(state.scene(), state.camera, width, height)
        beside = ~(_is_body(plain) | _is_body(ours[False]))
        row = {"frame": frame, **_differences(plain, ours[False])}
        rows.append({**row, "floor": float(np.percentile(_delta_e(floor, ours[True])[beside], 99))})
        _keep(args.pictures, {f"page_{frame}": floor, f"window_{frame}": ours[True]})
    return rows


def _compare_with_firefox(
    browser: Browser, file: Path, folder: Path, duration_s: float, args: Arguments
) -> list[dict[str, Any]] | None:
    firefox, screen = shutil.which("firefox-esr"), shutil.which("xvfb-run")
    if args.quick or firefox is None or screen is None:
        return None
    rows = []
    for number, seconds in enumerate(_two_moments(duration_s)):
        address, picture, profile = f"#t={seconds:.2f}", folder / f"firefox{number}.png", folder / f"profile{number}"
        profile.mkdir()
        with _opened(browser, file, address) as (page, _):
            box = page.locator("#view").bounding_box()
            theirs = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        command = [screen, "-a", firefox, "--headless", "--no-remote", "--profile", str(profile)]
        subprocess.run(
            [*command, "--window-size=1280,720", f"--screenshot={picture}", file.as_uri() + address],
            check=True, capture_output=True, timeout=180,
        )  # fmt: skip
        own = np.asarray(Image.open(picture).convert("RGB"))
        assert box is not None
        rows_of = slice(round(box["y"]) + _MARGIN_PX, min(round(box["y"] + box["height"]), 720) - _MARGIN_PX)
        columns = slice(round(box["x"]) + _MARGIN_PX, round(box["x"] + box["width"]) - _MARGIN_PX)
        one, other = own[rows_of, columns], theirs[rows_of, columns]
        distance = max(_drawn_distance(one, other), _drawn_distance(other, one))
        both = _beside_background(one, _STRONG) & _beside_background(other, _STRONG)
        colour = _percentiles(_delta_e(one, other)[both])
        rows.append({"address": address, "drawn_px": distance, "colour": colour})
        _keep(args.pictures, {f"firefox_{number}": own, f"chromium_{number}": theirs})
    return rows


def _compare_with_webkit(
    browser: Browser, file: Path, duration_s: float, args: Arguments
) -> list[dict[str, Any]] | None:
    command = find_webkit()
    if args.quick or command is None:
        return None
    rows = []
    settled = f"document.querySelector({_SETTLED!r})"
    with open_webkit(command) as webkit:
        for number, seconds in enumerate(_two_moments(duration_s)):
            address = f"#t={seconds:.2f}"
            with _opened(browser, file, address) as (page, _):
                page.wait_for_selector(_SETTLED)
                page.evaluate(_HIDE + _SAME_SIZE + "0")
                page.wait_for_selector(_SETTLED)
                theirs = _image(page.evaluate(_PICTURE))
            webkit.open(file.as_uri() + address)
            webkit.wait_for(settled)
            webkit.run(_HIDE + _SAME_SIZE)
            webkit.wait_for(settled)
            own = _image(webkit.run(f"return {_PICTURE}"))
            rows.append({"address": address, **_differences(own, theirs)})
            _keep(args.pictures, {f"webkit_{number}": own, f"chromium_beside_webkit_{number}": theirs})
    return rows


def _two_moments(duration_s: float) -> tuple[float, float]:
    """Return the seconds at which browsers are compared."""
    return 0.25 * duration_s, 0.6 * duration_s


def _drawn_distance(one: RgbImage, other: RgbImage) -> float:
    """Return the largest distance, in pixels, of what is drawn clearly in one picture from what is drawn in another."""
    return float(distance_transform_edt(~_beside_background(other, _FAINT))[_beside_background(one, _STRONG)].max())


def _differences(one: RgbImage, other: RgbImage) -> dict[str, Any]:
    """Return the distance of bodies in two pictures, pixels, and of their colours."""
    bodies = _is_body(one), _is_body(other)
    if not (bodies[0].any() and bodies[1].any()):
        raise GaitError("there is no body in a picture")
    skin = max(float(distance_transform_edt(~b)[a].max()) for a, b in (bodies, bodies[::-1]))
    both = distance_transform_edt(bodies[0] & bodies[1]) > 1.5
    exact = _delta_e(one, other)
    near = np.min([_delta_e(one, np.roll(other, (y, x), (0, 1))) for y in (-1, 0, 1) for x in (-1, 0, 1)], axis=0)
    return {"skin_px": skin, "colour": _percentiles(exact[both]), "colour_within_px": _percentiles(near[both])}


def _percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    names = {"median": 50, "95 %": 95, "99 %": 99, "99.9 %": 99.9, "largest": 100}
    return {name: float(np.percentile(values, percent)) for name, percent in names.items()}


def _is_body(image: RgbImage) -> NDArray[np.bool_]:
    """Return where a picture without floor shows a body: (height, width)."""
    inside = np.zeros(image.shape[:2], dtype=bool)
    inside[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX] = True
    return inside & _beside_background(image, 1)


def _beside_background(image: RgbImage, level: int) -> NDArray[np.bool_]:
    """Return where a picture differs from the background by more than a level, 0..255: (height, width)."""
    return np.asarray(np.abs(image.astype(int) - BACKGROUND).max(axis=2) > level)


def _delta_e(one: RgbImage, other: RgbImage) -> NDArray[np.float64]:
    """Return the CIE 1976 colour difference of two pictures per pixel."""
    return np.asarray(np.linalg.norm(_lab(one) - _lab(other), axis=-1))


def _lab(image: RgbImage) -> NDArray[np.float64]:
    """Convert sRGB, 0..255, to CIELAB under D65 (IEC 61966-2-1; CIE 15:2004)."""
    c = image / 255.0
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _image(address: str) -> RgbImage:
    """Return the picture (height, width, 3) of a data address."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def _keep(folder: Path | None, pictures: Mapping[str, RgbImage]) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            Image.fromarray(picture).save(folder / f"{name}.png")


if __name__ == "__main__":
    sys.exit(run(main, Arguments, __doc__, QUICK))
