"""The evidence beside the map: one row per finding; a click goes to its moment and selects its joint."""

from __future__ import annotations

import math

from gait.explaining.evidence.finding import Counterfactual, Evidence, Finding, Verdict
from gait.text import format_probability
from gait.viewing.colours import Colour
from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.widgets import HEALTHY, INK, MUTED, SICK, Widgets, rgba
from gait.viewing.viewer_state import ViewerState

_COLUMNS = (("Motion", 3.0), ("Share", 1.0), ("Walk, norm", 1.7), ("Diff.", 1.1), ("Verdict", 2.2))
"""Heads and relative widths."""
_COLOURS: dict[Verdict, Colour] = {Verdict.REAL_DEVIATION: SICK, Verdict.NOT_OBSERVED: MUTED}
_FLAGS = (
    imgui.TableFlags_.row_bg.value | imgui.TableFlags_.borders_inner_h.value | imgui.TableFlags_.scroll_y.value
    | imgui.TableFlags_.sizing_stretch_prop.value | imgui.TableFlags_.no_saved_settings.value
)  # fmt: skip


def evidence_panel(widgets: Widgets, state: ViewerState) -> None:
    """Draw the table of findings at ImGui's cursor, and below it what would change the decision."""
    evidence = state.evidence
    if evidence is None:
        return
    lines = _lines_below(evidence)
    room = imgui.get_content_region_avail()
    below = sum(imgui.calc_text_size(line, wrap_width=room.x).y for line in lines)
    below += (len(lines) + 1) * imgui.get_style().item_spacing.y
    if evidence.counterfactual is not None and evidence.counterfactual.boundary is not None:
        below += imgui.get_frame_height_with_spacing()
    below = min(below, 0.45 * room.y)
    if imgui.begin_table("findings", len(_COLUMNS), _FLAGS, (0.0, room.y - below)):
        imgui.table_setup_scroll_freeze(0, 1)
        for head, width in _COLUMNS:
            imgui.table_setup_column(head, imgui.TableColumnFlags_.width_stretch.value, width)
        imgui.table_headers_row()
        if evidence.findings and evidence.findings[0].relied_on:
            _heading("Relied on")
        for number, finding in enumerate(evidence.findings):
            if number and evidence.findings[number - 1].relied_on and not finding.relied_on:
                _heading("Others")
            _row(widgets, state, number, finding)
        imgui.end_table()
    widgets.record_rect("Findings")
    if imgui.begin_child("below", (0.0, 0.0)):
        for line in lines:
            widgets.text(line, MUTED)
        _counterfactual(widgets, state, evidence.counterfactual)
    imgui.end_child()


def _heading(text: str) -> None:
    imgui.table_next_row()
    imgui.table_next_column()
    imgui.text_colored(rgba(MUTED), text)


def _row(widgets: Widgets, state: ViewerState, number: int, finding: Finding) -> None:
    imgui.table_next_row()
    imgui.table_next_column()
    height = 2 * imgui.get_text_line_height()
    flags = imgui.SelectableFlags_.span_all_columns.value
    before = imgui.get_cursor_pos()
    pressed, _ = imgui.selectable(f"##finding {number}", state.finding == number, flags, (0.0, height))
    widgets.record_rect(f"Finding {number + 1}")
    if imgui.is_item_hovered():
        imgui.set_tooltip(_tip(finding))
    if pressed:
        state.select_finding(number)
    imgui.set_cursor_pos(before)
    _cell(f"{number + 1}  {finding.motion}", f"{finding.phase}, {finding.percents[0]}-{finding.percents[1]} %")
    imgui.table_next_column()
    used = finding.verdict != Verdict.IGNORED
    label = "sick" if finding.attribution > 0 else "healthy"
    _cell(
        f"{100 * finding.share:.0f} %" if used else "-",
        f"for {label}" if used else "",
        second=SICK if finding.attribution > 0 else HEALTHY,
    )
    imgui.table_next_column()
    _cell(format_deg(finding.value_deg, finding.error_deg), format_deg(finding.norm_deg, finding.norm_sd_deg))
    imgui.table_next_column()
    known = math.isfinite(finding.sds)
    _cell(f"{finding.sds:+.1f} SD" if known else "-", f"{finding.value_deg - finding.norm_deg:+.1f}°" if known else "")
    imgui.table_next_column()
    imgui.push_text_wrap_pos(0.0)
    imgui.text_colored(rgba(_COLOURS.get(finding.verdict, INK)), finding.verdict.value)
    imgui.pop_text_wrap_pos()


def _cell(first: str, second_line: str, *, second: Colour = MUTED) -> None:
    imgui.text_colored(rgba(INK), first)
    if second_line:
        imgui.text_colored(rgba(second), second_line)


def _tip(finding: Finding) -> str:
    return f"{finding.verdict.value}\n{finding.reason}" if finding.reason else finding.verdict.value


def _lines_below(evidence: Evidence) -> list[str]:
    against = f"Against: {evidence.norm}." if evidence.norm else "There is no norm."
    lines = [f"{against} ± of the walk: standard error; ± of the norm: SD at this speed. No finding is a diagnosis."]
    counterfactual = evidence.counterfactual
    if counterfactual is not None and counterfactual.boundary is None and counterfactual.reason:
        lines.append(counterfactual.reason)
    return lines


def _counterfactual(widgets: Widgets, state: ViewerState, counterfactual: Counterfactual | None) -> None:
    walk = None if counterfactual is None else counterfactual.boundary
    if walk is None:
        return
    changes = ", ".join(f"{change.motion} {change.change_deg:+.0f}°" for change in walk.changes[:2])
    shown = state.shows_changed_walk
    if widgets.button(
        "Hide the changed walk" if shown else f"Show the changed walk: P(sick) {format_probability(walk.probability)}",
        f"the smallest change after which the network decides otherwise: {changes}",
        name="Changed walk",
    ):
        if shown:
            state.close_comparison()
        else:
            state.show_changed_walk()


def format_deg(value: float, error: float) -> str:
    """Return "38.1 ± 0.6°"; "-" of an unknown value."""
    if not math.isfinite(value):
        return "-"
    return f"{value:.1f} ± {error:.1f}°" if math.isfinite(error) else f"{value:.1f}°"
