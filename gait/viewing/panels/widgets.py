"""Buttons, sliders and texts, and the rectangle of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gait.text import format_probability
from gait.viewing.colours import Colour
from gait.viewing.lazy_imgui import imgui

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the window."""

INK: Colour = (38, 42, 48)
MUTED: Colour = (104, 110, 118)
SICK: Colour = (171, 84, 40)
HEALTHY: Colour = (34, 98, 168)
ERROR: Colour = (186, 26, 26)

_FIXED = imgui.WindowFlags_.no_collapse.value | imgui.WindowFlags_.no_resize.value | imgui.WindowFlags_.no_move.value


def rgba(colour: Colour, opacity: float = 1.0) -> tuple[float, float, float, float]:
    """Convert a colour to ImGui's format."""
    return colour[0] / 255, colour[1] / 255, colour[2] / 255, opacity


def pack_colour(colour: Colour, opacity: float = 1.0) -> int:
    """Convert a colour to the format of ImGui's draw lists."""
    return int(imgui.color_convert_float4_to_u32(rgba(colour, opacity)))


def prediction(probability: float, what: str = "") -> tuple[str, Colour]:
    """Return the text of a prediction, such as "Trial: P(sick) 0.87", and the colour of its class."""
    text = f"P(sick) {format_probability(probability)}"
    return f"{what}: {text}" if what else text, SICK if probability >= 0.5 else HEALTHY


@dataclass
class Widgets:
    """Draws widgets. ``rects`` holds the rectangle of each one in the last frame by name, for simulated input."""

    scale: float = 1.0  # factor of all lengths
    rects: dict[str, Box] = field(default_factory=dict)

    def begin_frame(self) -> None:
        """Start a new frame: clear the rectangles."""
        self.rects.clear()

    def record_rect(self, name: str) -> None:
        """Record the rectangle of the last ImGui item under a name."""
        low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        self.rects[name] = (low.x, low.y, high.x, high.y)

    def length(self, pixels: float) -> float:
        """Scale a length to the size of this window."""
        return pixels * self.scale

    def button(self, text: str, tip: str = "", *, enabled: bool = True, width: float = 0.0, name: str = "") -> bool:
        """Draw a button; return whether it was pressed."""
        imgui.begin_disabled(not enabled)
        pressed = imgui.button(f"{text}###{name or text}", (width, 0.0))
        imgui.end_disabled()
        self._tooltip(tip)
        self.record_rect(name or text)
        return bool(pressed)

    def checkbox(self, text: str, value: bool, tip: str = "", *, enabled: bool = True) -> bool:
        """Draw a checkbox; return its new value."""
        imgui.begin_disabled(not enabled)
        _, value = imgui.checkbox(text, value)
        imgui.end_disabled()
        self._tooltip(tip)
        self.record_rect(text)
        return bool(value)

    def combo(self, name: str, options: Sequence[str], selected: int, tip: str = "", width: float = -1.0) -> int:
        """Draw a drop-down list; return the index of the selected option."""
        imgui.set_next_item_width(width)
        opened = imgui.begin_combo(f"##{name}", options[selected])
        if not opened:
            self._tooltip(tip)
            self.record_rect(name)
            return selected
        for index, option in enumerate(options):
            pressed, _ = imgui.selectable(option, index == selected)
            self.record_rect(f"{name}: {option}")
            selected = index if pressed else selected
        imgui.end_combo()
        return selected

    def int_slider(self, name: str, value: int, low: int, high: int, text: str, tip: str = "") -> int:
        """Draw a slider with a text on it, in which "%d" is the value; return the new value."""
        imgui.set_next_item_width(-1.0)
        _, value = imgui.slider_int(f"##{name}", value, low, max(high, low), text)
        self._tooltip(tip)
        self.record_rect(name)
        return min(max(int(value), low), max(high, low))

    def text_input(self, name: str, value: str, hint: str, width: float = -1.0) -> tuple[bool, str]:
        """Draw a text field; return whether Enter was pressed, and the text."""
        imgui.set_next_item_width(width)
        entered, value = imgui.input_text_with_hint(
            f"##{name}", hint, value, imgui.InputTextFlags_.enter_returns_true.value
        )
        self.record_rect(name)
        return bool(entered), str(value)

    def text(self, text: str, colour: Colour = INK) -> None:
        """Draw a text, wrapped at the width of the panel."""
        imgui.push_text_wrap_pos(0.0)
        imgui.text_colored(rgba(colour), text)
        imgui.pop_text_wrap_pos()

    @contextmanager
    def dialog(self, title: str, size: tuple[float, float], window: tuple[float, float]) -> Iterator[tuple[bool, bool]]:
        """Begin a panel in the middle of the window; yield whether to draw its contents, and whether it stays open.

        ``title`` contains ImGui's identifier, "title###identifier"; ``size`` is in unscaled pixels, and smaller if the
        window is.
        """
        width, height = (min(self.length(own), 0.94 * room) for own, room in zip(size, window, strict=True))
        imgui.set_next_window_pos(((window[0] - width) / 2, (window[1] - height) / 2))
        imgui.set_next_window_size((width, height))
        imgui.set_next_window_focus()
        visible, stays = imgui.begin(title, True, _FIXED)
        yield bool(visible), bool(stays)
        imgui.end()

    def heading(self, text: str) -> None:
        """Draw the heading of a group of widgets."""
        imgui.spacing()
        imgui.separator_text(text)

    def _tooltip(self, text: str) -> None:
        if text and imgui.is_item_hovered(
            imgui.HoveredFlags_.for_tooltip.value | imgui.HoveredFlags_.allow_when_disabled.value
        ):
            imgui.set_tooltip(text)
