"""The text of a page: one HTML file with everything in it, which may load nothing from anywhere.

The files of ``web`` are put into it as they are: styles ``*.css``, scripts ``*.js``, and one script per panel in
``web/panels``. The Content-Security-Policy in its head names the hashes of its one style and its one script; nothing
else may run or be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gait.report.render import finalize
from gait.report.walk_page.array_store import ArrayStore
from gait.report.walk_page.still_picture import still_picture
from gait.report.walk_page.walk_data import WalkPage, walk_data
from gait.viewing.panels.help_page import KEYS

_WEB = Path(__file__).parent / "web"
_SCRIPTS = ("data.js", "camera.js", "body.js", "renderer.js", "playback.js", "input.js", "controls.js", "main.js")
_NOT_ON_PAGES = ("O", "Ctrl Q")  # keys of the window


def build_page(page: WalkPage) -> str:
    """Return the page.

    Raises:
        NotExportableError: the poses hold no joint rotations.
        GaitError: the open body is missing.
    """
    store = ArrayStore()
    data = walk_data(page, store)
    script, style = _script(), _style()
    return _ENVIRONMENT.get_template("page.html.jinja").render(
        data=data,
        policy=Markup(content_security_policy(script, style)),
        style=Markup(style),
        script=Markup(script),
        json=Markup(_json(data)),
        arrays=Markup(store.text),
        still="data:image/png;base64," + base64.b64encode(still_picture(page)).decode("ascii"),
        keys=[row for row in KEYS if row[0] not in _NOT_ON_PAGES],
    )


def content_security_policy(script: str, style: str) -> str:
    """Return the policy that allows this script, this style and pictures within the page, and nothing else."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _script() -> str:
    files = [_WEB / name for name in _SCRIPTS] + sorted((_WEB / "panels").glob("*.js"))
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return f'(() => {{\n"use strict";\n{text}}})();'


def _style() -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(_WEB.glob("**/*.css")))


def _json(data: Any) -> str:
    """Return data as JSON that can stand within a script element: it holds no "<"."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_WEB),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=finalize,
    trim_blocks=True,
    lstrip_blocks=True,
)
