"""The index of many walk pages: one row per trial, which its own script sorts and filters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import quote

from markupsafe import Markup

from gait.learning.metrics import THRESHOLD
from gait.report.walk_page.build import content_security_policy, read_web, render_web
from gait.text import format_probability
from gait.version import VERSION

_HEADS = {
    "subject": "Trial", "label": "Label", "network": "Network", "fold": "Fold", "p": "P(sick)",
    "verdict": "Verdict on the largest evidence", "deviation": "Largest deviation from the norm", "gps": "GPS, °",
    "residual": "Residual, mm",
}  # fmt: skip


@dataclass(frozen=True)
class IndexRow:
    """What the index says of one trial."""

    file: str  # of the page, relative to the index, with slashes
    subject: str
    trial: str
    label: str  # "healthy" or "sick"; "" if unknown
    network: str  # title; "" if all rows are of the same kind
    fold: int | None  # of the network that did not train on the subject
    probability: float  # P(sick); NaN if unknown
    verdict: str  # on the largest share of the evidence; "" without evidence
    deviation: str  # the largest deviation of a curve from the norm; "" if there is none
    gps_deg: float  # Gait Profile Score; NaN if unknown
    residual_mm: float  # of the fit; NaN if unknown

    @property
    def url(self) -> str:
        """The link to the page."""
        return quote(PurePosixPath(self.file).as_posix(), safe="/", errors="surrogateescape")

    @property
    def decision(self) -> str:
        """How the network decides: "sick" or "healthy"; "" if it does not."""
        if not math.isfinite(self.probability):
            return ""
        return "sick" if self.probability >= THRESHOLD else "healthy"

    @property
    def is_wrong(self) -> bool:
        """Whether the decision differs from the label."""
        return bool(self.label and self.decision and self.label != self.decision)


def index_page(rows: Sequence[IndexRow], title: str, norm: str, problems: Sequence[str] = ()) -> str:
    """Return the index as HTML; ``norm`` is the title of that of the GPS."""
    script, style = read_web("index/index.js"), "\n".join(read_web(name) for name in ("page.css", "index/index.css"))
    script = f'(() => {{\n"use strict";\n{script}}})();'
    return render_web(
        "index/index.html.jinja",
        title=title,
        rows=rows,
        norm=norm,
        problems=problems,
        generator=f"gait-suite {VERSION}",
        policy=Markup(content_security_policy(script, style)),
        style=Markup(style),
        script=Markup(script),
        number=_number,
        probability=format_probability,
        heads=_HEADS if any(row.network for row in rows) else {key: _HEADS[key] for key in _HEADS if key != "network"},
        choices={
            "label": sorted({row.label for row in rows if row.label}),
            "network": sorted({row.network for row in rows if row.network}),
            "verdict": sorted({row.verdict for row in rows if row.verdict}),
            "fold": sorted({str(row.fold) for row in rows if row.fold is not None}, key=int),
        },
    )


def _number(value: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"
