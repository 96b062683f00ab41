"""The page of a decision's evidence: its numbers, links, painted curves, and what it does not state."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gait.body.body import Body
from gait.body.skeleton import Joint
from gait.explaining.evidence.finding import Evidence, TrialFaithfulness, Verdict
from gait.kinematics.strides import Stride
from gait.motion.inputs import INPUTS
from gait.report.evidence.concept_chart import concept_chart
from gait.report.evidence.curves import WalkCurves, chart_name, evidence_charts, scale_of
from gait.report.evidence.moments import Moment, _frames
from gait.report.evidence.page import EvidenceContent, evidence_page
from gait.report.evidence.sentences import faithfulness_sentence, speed_sentence
from gait.report.gait.svg_chart import _LEFT, _RIGHT, NormBand
from gait.viewing.colours import DivergingScale
from gait.viewing.png import png_bytes
from tests.helpers.browser import needs_browser, open_page
from tests.helpers.evidence_cases import UNOBSERVED, UNUSED, counterfactual, evidence, finding
from tests.helpers.explanation_cases import random_attribution

if TYPE_CHECKING:  # it may be missing
    from playwright.sync_api import Browser

CURVE = 30 + 30 * np.sin(np.linspace(0, 6, 101))
CURVES = WalkCurves(
    mean_deg={(name, side): CURVE for name in ("knee_flexion", "ankle_dorsiflexion") for side in ("left", "right")},
    error_deg={("knee_flexion", "left"): np.full(101, 0.6)},
    bands={"knee_flexion": NormBand(CURVE - 5, CURVE + 5)},
    foot_off={"left": 61.0, "right": 62.0},
    attribution={(Joint.LEFT_KNEE, 0): np.linspace(-0.004, 0.004, 101)},
)


class _Page(HTMLParser):
    """Ids, links and the text of cells of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.words += " "
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += data

    @property
    def text(self) -> str:
        return " ".join(self.words.split())


def page(content_of: Evidence, **more: object) -> _Page:
    return _Page(html(content_of, **more))


def html(content_of: Evidence, **more: object) -> str:
    charts = evidence_charts(content_of, CURVES, scale_of(content_of, CURVES))
    fields = {"network": "MLP", "method_title": "integrated gradients", "rate_hz": 100.0}
    fields |= {"curves": CURVES, "charts": charts}
    names = INPUTS["rotations"].axis_names
    return evidence_page(EvidenceContent(content_of, axis_names=names, **{**fields, **more}))  # type: ignore[arg-type]


def test_each_row_has_the_numbers_of_its_finding() -> None:
    text = page(evidence(finding(reason="−3.3 SD below the norm, P-1.", outside_deg=8.0), UNUSED, UNOBSERVED)).text
    assert "The network assigns this walk to the class sick: P(sick) 0.93 (0.5 is the border" in text
    row = (
        "1 Left knee flexion initial swing 62–75 %; 1.42 s 61 % for sick P(sick) 0.41 without it 38.1° ± 1.1° at 71 % "
        "58.0° ± 6.0° −3.3 SD −19.9° from the mean 8.0° outside the band real deviation −3.3 SD below the norm, P-1."
    )
    assert row in text
    assert "2 Right ankle dorsiflexion mid swing 75–87 %; 1.42 s – −12.3° ± 1.1° at 71 % 1.0° ± 4.0°" in text
    assert (
        "3 Left wrist flexion initial swing 62–75 %; 1.42 s most evidence in mid swing 20 % for sick – – – not observed"
        in text
    )
    without = (
        "With this motion as in the mean walk, in the phases in which it is evidence for sick, the network, run anew, "
        "has"
    )
    assert f"{without} P(sick) 0.41: the decision is another." in text
    assert text.index("1 Left knee flexion") < text.index("Other evidence and deviations") < text.index("2 Right ankle")
    assert "Real deviation: 1 finding, 61 % of the evidence." in text
    assert "Deviation that the network ignores: 1 finding." in text
    assert "no diagnosis" in text
    assert not re.search(r"\bnan\b|\binf\b|\bNone\b", text)


def test_links_lead_to_charts_moments_and_the_walk_page() -> None:
    moment = Moment(142, (1,), png_bytes(np.zeros((4, 4, 3), np.uint8)))
    of = evidence(finding(), UNOBSERVED)
    for more in ({"moments": (moment,)}, {"moments": (moment,), "walk_page": "walk.html"}):
        found = page(of, **more)
        assert len(found.ids) == len(set(found.ids))
        inside = [link[1:] for link in found.links if link.startswith("#")]
        assert {"finding-1", chart_name("knee_flexion", "left")} <= set(inside)
        assert set(inside) <= set(found.ids)
    assert "walk.html#t=1.42" in found.links


def test_moment_is_where_the_joint_is_evidence_of_the_finding() -> None:
    values = np.zeros((200, 22), np.float32)
    values[66, Joint.LEFT_KNEE] = -0.9  # in the phase, for the other class
    values[170, Joint.LEFT_KNEE] = 0.3  # in the phase of the second stride
    values[30, Joint.LEFT_KNEE] = 0.8  # in another phase
    strides = [Stride("left", k + 1, 100.0 * k, 100.0 * (k + 1), 100.0) for k in range(2)]
    own = finding(percents=(62, 75), frame=66)
    frames = _frames([own], random_attribution(200, values=values), {"left": strides})
    assert frames == {170: (1,)}
    assert _frames([own], random_attribution(200, values=values), {}) == {}


def test_attribution_is_painted_in_the_colours_of_the_body() -> None:
    of = evidence()
    values = np.linspace(-0.004, 0.004, 101)
    values[40:44] = np.nan
    (row,) = evidence_charts(of, replace(CURVES, attribution={(Joint.LEFT_KNEE, 0): values}), DivergingScale(0.002))
    left, right = row.charts
    stops = re.findall(r'<stop offset="(\d+)%" stop-color="(#\w+)" stop-opacity="([\d.]+)"', left)
    ends = ["#" + bytes(colour).hex() for colour in DivergingScale(1.0).colours([-1.0, 1.0])]
    assert [int(percent) for percent, _, _ in stops] == list(range(0, 101, 2))
    for percent, colour, opacity in stops:
        value = values[int(percent)]
        if np.isnan(value):
            assert float(opacity) == 0
        else:
            assert colour == ends[int(value >= 0)]
            assert float(opacity) == pytest.approx(min(abs(value) / 0.002, 1), abs=0.006)
    assert f'x1="{_LEFT}" x2="{_RIGHT}"' in left
    assert "linearGradient" not in right, "its attribution is unknown"
    assert 'href="#finding-1"' in left
    assert 'href="#finding-1"' not in right


def test_counterfactual_is_stated_and_drawn_dashed(open_body: Body) -> None:
    of = evidence(counterfactual=counterfactual(open_body))
    text = page(of).text
    assert (
        "takes the decision across the border (P(sick) 0.93 → 0.41): left knee flexion in initial swing +13.9° "
        "(from 38.1° to 52.0° at 71 % of the cycle; norm at this speed 58.0° ± 6.0°)."
    ) in text
    assert "initial swing, 71 % 38.1° ± 1.1° 52.0° +13.9° 58.0° ± 6.0° 1.6°" in text  # 1.96 √2 · 0.58
    assert "slide by up to 4 mm" in text
    assert "Left knee flexion up to 10°" in text
    assert "No change within the limits of the body, alone, changes the decision: right elbow flexion." in text
    (row,) = evidence_charts(of, CURVES, DivergingScale(1.0))
    assert ['class="changed"' in chart for chart in row.charts] == [True, False]
    none = page(evidence(counterfactual=counterfactual(open_body, found=False))).text
    assert "No change within the limits of the body changes the decision." in none
    assert "Across the border" not in none


def test_pages_without_parts_do_not_mention_them() -> None:
    bare = evidence(concepts=(), speed_logit=float("nan"), faithfulness=TrialFaithfulness(0.0, np.nan, np.nan, np.nan))
    found = page(replace(bare, findings=()), charts=())
    assert "There is no finding" in found.text
    assert "Nothing was measured of whether the network uses" in found.text
    for absent in (
        "What would change",
        "Evidence by clinical feature",
        "Curves",
        "The body at",
        "From the walking speed alone",
    ):
        assert absent not in found.text
    escaped = evidence_page(EvidenceContent(replace(bare, subject="sick/P<b>"), "MLP", "LRP", 100.0))
    assert "P<b>" not in escaped


def test_speed_is_stated_with_how_far_it_predicts() -> None:
    stated = speed_sentence(evidence())
    assert (
        "(0.41, dimensionless), an output (logit) of +0.80 is expected (class sick); that of this walk is +2.60."
        in stated
    )
    few = "not enough to call this a decision by speed alone."
    assert stated.endswith(f"speed explains 31 % of the output's variance, the label 62 %: {few}")
    assert speed_sentence(evidence(speed_variance=0.6)).endswith(
        "speed explains 60 % of the output's variance, the label 62 %."
    )
    assert "explains 0 %" in speed_sentence(evidence(speed_variance=-0.2))
    assert "explains" not in speed_sentence(evidence(speed_variance=float("nan")))


def test_concept_bars_have_the_side_of_their_sign() -> None:
    chart = concept_chart(evidence().concepts)
    bars = re.findall(r'<rect class="bar (\w+)( doubtful)?" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', chart)
    middle = float(re.findall(r'class="zero" d="M([\d.]+)', chart)[0])
    (knee, _, x, width), (arm, doubtful, other_x, other_width) = bars
    assert (knee, arm, doubtful) == ("sick", "healthy", " doubtful")
    assert float(x) == middle
    assert float(other_x) + float(other_width) == pytest.approx(middle, abs=0.2)
    assert float(width) / float(other_width) == pytest.approx(4, rel=0.01)
    assert "Arm swing *" in chart


def test_verdict_words_are_all_explained() -> None:
    of = evidence(*(finding(verdict=verdict) for verdict in Verdict))
    text = page(of).text
    for verdict in Verdict:
        assert text.count(verdict.value.capitalize()) >= 2, verdict


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_can_be_read_on_a_phone(browser: Browser, tmp_path: Path, open_body: Body, scheme: str) -> None:
    moment = Moment(142, (1,), png_bytes(np.zeros((4, 4, 3), np.uint8)))
    of = evidence(finding(), UNUSED, UNOBSERVED, counterfactual=counterfactual(open_body), notes=("A note.",))
    (tmp_path / "evidence.html").write_text(html(of, moments=(moment,), changed=moment), encoding="utf-8")
    with open_page(browser, tmp_path / "evidence.html", size=(400, 800), color_scheme=scheme) as opened:
        assert opened.requests == opened.errors == opened.accessibility_problems() == []
        assert opened.width_of_content() == 400


def test_faithfulness_is_judged_by_the_falls_of_the_output() -> None:
    fine = faithfulness_sentence(evidence(faithfulness=TrialFaithfulness(1.9, 3.7, 0.14, 0.5)))
    assert "ranks first lowers the network's output for sick (logit) by 7.0; a random tenth lowers it by 0.3" in fine
    assert fine.endswith("lowers it by 0.9: the explanation names what the network uses.")
    bad = faithfulness_sentence(evidence(probability=0.2, faithfulness=TrialFaithfulness(1.9, -0.1, 0.14, 0.5)))
    assert "raises the network's output for healthy (logit) by 0.2" in bad
    assert bad.endswith("the explanation does not name what the network uses, so do not rely on it.")
