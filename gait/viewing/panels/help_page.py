"""The help page: keys, and the meaning of the colours."""

from __future__ import annotations

from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.widgets import MUTED, Widgets
from gait.viewing.viewer_state import ViewerState

KEYS = (
    ("W, S", "move the camera forward, back"),
    ("A, D", "move the camera left, right"),
    ("R, F", "move the camera up, down"),
    ("Q, E", "turn the camera left, right"),
    ("mouse on the body", "left button: orbit; right button: move the camera; wheel: zoom"),
    ("click a joint", "select it: its attribution and its angle appear beside the heatmap"),
    ("B", "show the whole body"),
    ("space", "play, pause"),
    (",  and  .", "one frame back, forward"),
    ("Home, End", "first, last frame"),
    ("L", "loop"),
    ("G", "grid on the floor"),
    (
        "mouse on heatmap",
        "click: go to that time and select the joint; wheel: zoom; right button: move; double click: whole trial",
    ),
    ("O", "open a trial, a network or a folder of trials; or drop it on the window"),
    ("H", "this page"),
    ("Ctrl Q", "close the window"),
    ("Escape", "close this page or the file browser"),
)
READING = (
    "The network classifies windows of one or two seconds. For each window it gives a logit: above 0 it predicts sick, "
    "below 0 healthy; the farther from 0, the more certain. The attribution shows how much each joint contributes to "
    "the logit at each time.",
    "Heatmap: one row per joint, time runs to the right. Bars above it: stance, from initial contact to foot off. "
    "Curve below it: P(sick) per frame, averaged over all windows that contain the frame.",
    "Orange: evidence for sick. Blue: evidence for healthy. Nearly white: little contribution. Unit: logit × 1000. "
    "Attention has no sign: violet is low, yellow is high, in 1/1000 of the total attention. Grey: not explained. "
    "Hatched: not observed by markers, or not used by the network.",
    "The attribution explains the network, not the patient. It is not a diagnosis.",
)


def help_page(widgets: Widgets, state: ViewerState, width: float, height: float) -> None:
    """Draw the help page in the middle of a window of this size, while it is open."""
    if not state.help:
        return
    with widgets.dialog("Help###help", (720, 590), (width, height)) as (visible, state.help):
        widgets.record_rect("Help page")
        if visible:
            _draw_contents(widgets)


def _draw_contents(widgets: Widgets) -> None:
    widgets.heading("Keys")
    for key, action in KEYS:
        imgui.text(key)
        imgui.same_line(widgets.length(150))
        widgets.text(action, MUTED)
    widgets.heading("Reading the colours")
    for paragraph in READING:
        widgets.text(paragraph)
        imgui.spacing()
