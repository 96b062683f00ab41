"""The text of a page: one HTML file with everything in it, which may load nothing from anywhere.

The files of ``web`` are put into it as they are: styles ``*.css`` after that of the charts of all reports, scripts
``*.js``, and one script per panel in ``web/panels``. The Content-Security-Policy in its head names the hashes of its
one style and its one script; nothing else may run or be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader
from markupsafe import Markup

from gait.report.render import make_environment, png_url
from gait.report.walk_page.answer import answer_of, finding_rows
from gait.report.walk_page.array_store import ArrayStore
from gait.report.walk_page.still_picture import still_picture
from gait.report.walk_page.walk_data import WalkPage, walk_data
from gait.text import capitalize
from gait.viewing import shaders
from gait.viewing.panels.help_page import KEYS

_WEB = Path(__file__).parent / "web"
_TEMPLATES = Path(__file__).parents[1] / "templates"
_SCRIPTS = (
    "inflate.js", "data.js", "camera.js", "body.js", "renderer.js", "playback.js", "input.js", "controls.js", "main.js",
)  # fmt: skip
_SHADERS = {
    "surface": shaders.SURFACE, "disc": shaders.DISC, "shadow": shaders.SHADOW, "floor": shaders.FLOOR,
    "shadow_colour": shaders.SHADOW_COLOUR, "grid_colour": shaders.GRID_COLOUR, "hatch_px": shaders.HATCH_PX,
}  # fmt: skip
"""What ``renderer.js`` draws with as the window does."""
_NOT_ON_PAGES = ("O", "Ctrl Q", "mouse on heatmap")  # keys of the window
_MAP_KEYS = (
    ("mouse or finger on the map", "go to that time and select the joint; drag: move through time"),
    ("arrows on the map", "one frame back, forward (with Shift ten); joint above, below"),
    ("mouse or finger on a curve", "go to that percent of the gait cycle, and select the joint"),
)


def build_page(page: WalkPage, still: bytes | None = None) -> str:
    """Return the page; ``still`` is its ``still_picture`` if that is drawn already.

    Raises:
        GaitError: the poses hold no joint rotations, or the open body is missing.
    """
    store = ArrayStore()
    data = walk_data(page, store)
    script, style = _script(), _style()
    curves = page.curves
    has_strides = curves is not None and curves.has_strides
    return render_web(
        "page.html.jinja",
        data=data,
        policy=Markup(content_security_policy(script, style)),
        style=Markup(style),
        script=Markup(script),
        json=Markup(_json(data)),
        arrays=Markup(store.text),
        num_bytes=store.num_bytes,
        still=png_url(still or still_picture(page)),
        hatching=Markup((_TEMPLATES / "hatching.svg").read_text(encoding="utf-8")),
        answer=answer_of(page),
        findings=[] if page.evidence is None else list(finding_rows(page.evidence)),
        curves=curves,
        grids=curves.grids() if curves is not None and has_strides else (),
        curve_rows=curves.rows() if curves is not None and has_strides else (),
        keys=[*(row for row in KEYS if row[0] not in _NOT_ON_PAGES), *_MAP_KEYS],
    )


def content_security_policy(script: str, style: str) -> str:
    """Return the policy that allows this script, this style and pictures within the page, and nothing else."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _seconds(times: Sequence[float]) -> str:
    return ", ".join(f"{time:.2f}" for time in times) or "none"


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def read_web(name: str) -> str:
    """Return the text of a file of ``web``."""
    return (_WEB / name).read_text(encoding="utf-8")


def render_web(template: str, **context: Any) -> str:
    """Return what a template of ``web`` makes of its context; every value is escaped."""
    return _ENVIRONMENT.get_template(template).render(context)


def _script() -> str:
    files = [_WEB / name for name in _SCRIPTS] + sorted((_WEB / "panels").glob("*.js"))
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return f'(() => {{\n"use strict";\nconst SHADERS = {_json(_SHADERS)};\n{text}}})();'


def _style() -> str:
    files = [_TEMPLATES / "chart.css", *sorted(_WEB.glob("*.css"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _json(data: Any) -> str:
    """Return data as JSON that can stand within a script element: it holds no "<"."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


_ENVIRONMENT = make_environment(FileSystemLoader(_WEB))
_ENVIRONMENT.filters |= {"seconds": _seconds, "capitalized": capitalize}
