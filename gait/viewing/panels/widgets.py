"""Buttons, sliders and texts, and where each was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gait.viewing.colours import Colour
from gait.viewing.lazy_imgui import imgui

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the window."""

INK: Colour = (38, 42, 48)
FAINT: Colour = (104, 110, 118)
SICK: Colour = (171, 84, 40)
HEALTHY: Colour = (34, 98, 168)
WRONG: Colour = (186, 26, 26)


FIXED = imgui.WindowFlags_.no_collapse.value | imgui.WindowFlags_.no_resize.value | imgui.WindowFlags_.no_move.value
"""Of a panel over the others."""


def rgba(colour: Colour, opacity: float = 1.0) -> tuple[float, float, float, float]:
    """As ImGui takes it."""
    return colour[0] / 255, colour[1] / 255, colour[2] / 255, opacity


def packed(colour: Colour, opacity: float = 1.0) -> int:
    """As ImGui's draw lists take it."""
    return int(imgui.color_convert_float4_to_u32(rgba(colour, opacity)))


@dataclass
class Controls:
    """Draws controls. ``places`` says where each was last drawn, by its name: scripted hands need to find it."""

    scale: float = 1.0  # of all lengths
    places: dict[str, Box] = field(default_factory=dict)

    def began(self) -> None:
        """A new picture begins: what was drawn before is forgotten."""
        self.places.clear()

    def noted(self, name: str) -> None:
        """The last item was drawn under this name."""
        low, high = imgui.get_item_rect_min(), imgui.get_item_rect_max()
        self.places[name] = (low.x, low.y, high.x, high.y)

    def length(self, pixels: float) -> float:
        """A length at this window's size."""
        return pixels * self.scale

    def button(self, text: str, tip: str = "", *, enabled: bool = True, width: float = 0.0, name: str = "") -> bool:
        """Whether it was pressed."""
        imgui.begin_disabled(not enabled)
        pressed = imgui.button(f"{text}###{name or text}", (width, 0.0))
        imgui.end_disabled()
        self._tip(tip)
        self.noted(name or text)
        return bool(pressed)

    def tick(self, text: str, value: bool, tip: str = "", *, enabled: bool = True) -> bool:
        """The new value."""
        imgui.begin_disabled(not enabled)
        _, value = imgui.checkbox(text, value)
        imgui.end_disabled()
        self._tip(tip)
        self.noted(text)
        return bool(value)

    def choice(self, name: str, options: Sequence[str], chosen: int, tip: str = "", width: float = -1.0) -> int:
        """The number of the option chosen."""
        imgui.set_next_item_width(width)
        opened = imgui.begin_combo(f"##{name}", options[chosen])
        if not opened:
            self._tip(tip)
            self.noted(name)
            return chosen
        for number, option in enumerate(options):
            pressed, _ = imgui.selectable(option, number == chosen)
            self.noted(f"{name}: {option}")
            chosen = number if pressed else chosen
        imgui.end_combo()
        return chosen

    def whole_number(self, name: str, value: int, least: int, most: int, said: str, tip: str = "") -> int:
        """A slider; ``said`` stands on it, "%d" for the number."""
        imgui.set_next_item_width(-1.0)
        _, value = imgui.slider_int(f"##{name}", value, least, max(most, least), said)
        self._tip(tip)
        self.noted(name)
        return min(max(int(value), least), max(most, least))

    def text_line(self, name: str, value: str, hint: str, width: float = -1.0) -> tuple[bool, str]:
        """Whether Enter was pressed, and the text."""
        imgui.set_next_item_width(width)
        entered, value = imgui.input_text_with_hint(
            f"##{name}", hint, value, imgui.InputTextFlags_.enter_returns_true.value
        )
        self.noted(name)
        return bool(entered), str(value)

    def line(self, text: str, colour: Colour = INK) -> None:
        """A text, broken where the panel ends."""
        imgui.push_text_wrap_pos(0.0)
        imgui.text_colored(rgba(colour), text)
        imgui.pop_text_wrap_pos()

    def heading(self, text: str) -> None:
        """The name of a group of controls."""
        imgui.spacing()
        imgui.separator_text(text)

    def _tip(self, text: str) -> None:
        if text and imgui.is_item_hovered(
            imgui.HoveredFlags_.for_tooltip.value | imgui.HoveredFlags_.allow_when_disabled.value
        ):
            imgui.set_tooltip(text)
