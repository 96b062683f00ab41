"""Every key, and how to read the colours."""

from __future__ import annotations

from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.widgets import FAINT, FIXED, Controls
from gait.viewing.viewer_state import ViewerState

KEYS = (
    ("W, S", "move the view ahead, back"),
    ("A, D", "to the left, to the right"),
    ("R, F", "up, down"),
    ("Q, E", "turn the view to the left, to the right"),
    ("mouse on the body", "left button: go round the body; right button: move the view; wheel: nearer, farther"),
    ("click a joint", "choose it: its importance and its angle appear beside the map"),
    ("B", "look at the whole body again"),
    ("space", "play, pause"),
    (",  and  .", "one frame back, on"),
    ("Home, End", "first, last frame"),
    ("L", "loop: begin again at the end"),
    ("G", "grid on the floor"),
    (
        "mouse on the map",
        "click: go to that moment and joint; wheel: zoom in time; right button: move; double click: all",
    ),
    ("O", "open a walk, a network, a folder of walks; or drop it on the window"),
    ("H", "this page"),
    ("Ctrl Q", "close the window"),
    ("Escape", "close this page, or what is open over the window"),
)
READING = (
    "The network sees a second or two of the walk at a time, a window, and gives it a score: above 0 it says sick, "
    "below 0 healthy, and the farther from 0 the surer it is. The explanation tells which joints, at which moments, "
    "that score came from.",
    "In the map each row is a joint, and time runs to the right. Bars above it: stance, from heel strike to toe off. "
    "Below it: how probable the network finds sick at each moment, from all windows that hold it.",
    "Orange speaks for sick, blue for healthy, nearly white did not matter; numbers are thousandths of the score. "
    "Attention has no for and against: from violet (hardly looked at) to yellow (looked at much), in thousandths of "
    "all attention. Grey: no explanation covers these frames.",
    "It explains the network, not the patient. Nothing here is a diagnosis.",
)


def help_page(controls: Controls, session: ViewerState, width: float, height: float) -> None:
    """In the middle of a window of this size, while it is wanted."""
    if not session.help:
        return
    size = (min(controls.length(720), width * 0.94), min(controls.length(590), height * 0.94))
    imgui.set_next_window_pos(((width - size[0]) / 2, (height - size[1]) / 2))
    imgui.set_next_window_size(size)
    imgui.set_next_window_focus()
    visible, stays = imgui.begin("Help###help", True, FIXED)
    session.help = bool(stays)
    controls.noted("Help page")
    if visible:
        controls.heading("Keys")
        for key, what in KEYS:
            imgui.text(key)
            imgui.same_line(controls.length(150))
            controls.line(what, FAINT)
        controls.heading("Reading the colours")
        for paragraph in READING:
            controls.line(paragraph)
            imgui.spacing()
    imgui.end()
