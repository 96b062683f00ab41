"""Gait, network, explanation, and what is shown."""

from __future__ import annotations

from gait.viewing.colours import Colour
from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.widgets import FAINT, HEALTHY, SICK, WRONG, Controls
from gait.viewing.viewer_state import ViewerState

_MOST_MESSAGES = 4  # the newest
_SECOND_COLUMN = 122  # where it begins, in a window as it was designed
_LAYERS = (
    ("skin", "Skin", "the body's surface"),
    ("skeleton", "Skeleton", "joints, and lines between them"),
    (
        "markers",
        "Markers",
        "orange: where they were measured; blue: where the fitted body has them; red: how far apart",
    ),
    ("floor", "Floor", "a grid of half metres (G)"),
    ("path", "Path walked", "the pelvis's way over the floor, and where each foot was set down"),
    ("confidence", "Uncertainty", "each ball holds its joint with a probability of 68 % (1 SD)"),
)


def control_panel(controls: Controls, session: ViewerState) -> str:
    """Draw it. Returns what the user asks for that is another panel's: "open", or ""."""
    asked = ""
    # What went wrong, and what is being worked at, stays in sight however far the rest is scrolled.
    below = _messages_height(controls, session)
    imgui.begin_child("scrolled", (0.0, -below))
    controls.heading("Walk")
    if session.body is None:
        controls.line("No walk is open.", FAINT)
    else:
        gait = session.body.gait
        controls.line(gait.name)
        controls.line(f"{gait.frames} frames, {gait.seconds:.1f} s at {gait.rate_hz:g} Hz", FAINT)
    if controls.button("Open ...", "a walk, a network, or a folder of walks (O); or drop them on this window"):
        asked = "open"
    if session.body is not None:
        imgui.same_line()
        if controls.button("Compare ...", "a second person, or the mean healthy walker, beside this one"):
            asked = "compare"

    controls.heading("Network")
    _network(controls, session)
    controls.heading("Explanation")
    _explanation(controls, session)
    controls.heading("Show")
    _layers(controls, session)
    imgui.end_child()
    if below:
        if imgui.begin_child("messages", (0.0, 0.0)):
            _messages(controls, session)
        imgui.end_child()
    return asked


def verdict_words(probability: float) -> str:
    """What a network says: "sick, 87 %"."""
    sick = probability > 0.5
    share = 100 * (probability if sick else 1 - probability)
    return f"{'sick' if sick else 'healthy'}, {'over 99' if share > 99 else f'{share:.0f}'} %"


def _network(controls: Controls, session: ViewerState) -> None:
    if session.network is None:
        controls.line("No network is open.", FAINT)
        return
    network = session.network
    controls.line(network.title)
    for note in network.notes:
        controls.line(note, FAINT)


def _explanation(controls: Controls, session: ViewerState) -> None:
    network, method = session.network, session.method
    if network is None or method is None:
        controls.line("Open a walk and a network first.", FAINT)
        return
    names = [method.name for method in network.methods]
    titles = [method.title for method in network.methods]
    chosen = controls.choice("Method", titles, names.index(method.name), method.in_words)
    if names[chosen] != method.name:
        session.choose_method(names[chosen])
    ready = session.body is not None
    busy = session.jobs.busy.startswith("Explaining")
    if controls.button(
        "Explaining ..." if busy else "Explain gait sequence",
        "what the network went by in the whole recording",
        enabled=ready and not busy,
        width=-1.0,
        name="Explain gait sequence",
    ):
        session.explain()
    explained = session.explained
    if explained is None or session.window is None:
        return
    importance = explained.importance
    whole = importance.person_probability
    controls.line(f"Whole walk: {verdict_words(whole)}", SICK if whole > 0.5 else HEALTHY)
    if session.learnt_from_this_person:
        controls.line("The network has learnt from this person: what it says here proves nothing.", WRONG)
    first, last = explained.window(session.window)
    number = explained.gait.sequence.first_frame
    starts = explained.window(len(importance.first_frames) - 1)[0]
    session.window_start = controls.whole_number(
        "Start frame", session.window_start, 0, starts, f"window from frame {first + number}",
        "first frame of the window that the network judges",
    )  # fmt: skip
    chance = float(importance.window_probability[session.window])
    controls.line(
        f"Frames {first + number} to {last + number}: {verdict_words(chance)}", SICK if chance > 0.5 else HEALTHY
    )
    session.window_only = controls.tick(
        "Only this window", session.window_only, "colours in the frames of this window alone; grey elsewhere"
    )
    if explained.figure_line:
        controls.line(explained.figure_line, FAINT)


def _layers(controls: Controls, session: ViewerState) -> None:
    layers = session.layers
    for number, (name, text, tip) in enumerate(_LAYERS):
        if number % 2:
            imgui.same_line(controls.length(_SECOND_COLUMN))
        there = True
        if session.body is not None:
            gait = session.body.gait
            there = {
                "skin": gait.body is not None,
                "markers": gait.markers is not None,
                "confidence": gait.sequence.joints_sigma_m is not None,
            }.get(name, True)
            tip = tip if there else f"{tip}; this walk has none stored"
        setattr(layers, name, controls.tick(text, getattr(layers, name), tip, enabled=there))
    if session.ghost is not None:
        layers.ghost = controls.tick("Second person", layers.ghost, session.ghost.gait.name)
        imgui.same_line(controls.length(_SECOND_COLUMN))
        if controls.button("Remove"):
            session.no_ghost()
    session.follow = controls.tick("Follow the body", session.follow, "the camera goes along")
    imgui.same_line(controls.length(_SECOND_COLUMN))
    if controls.button("Help (H)", "every key, and how to read the colours"):
        session.help = True


def _message_lines(session: ViewerState) -> list[tuple[str, Colour]]:
    lines = []
    if session.jobs.busy:
        lines.append((f"{session.jobs.busy} ... {f'{session.jobs.share:.0%}' if session.jobs.share else ''}", FAINT))
    return lines + [(line, WRONG) for line in session.jobs.lines[-_MOST_MESSAGES:]]


def _messages_height(controls: Controls, session: ViewerState) -> float:
    """Pixels that the messages take, 0 without any; what does not fit is scrolled."""
    lines = _message_lines(session)
    if not lines:
        return 0.0
    room = imgui.get_content_region_avail()
    height = sum(imgui.calc_text_size(text, wrap_width=room.x).y for text, _ in lines)
    height += (len(lines) + 1) * imgui.get_style().item_spacing.y + controls.length(4)
    if session.jobs.lines:
        height += imgui.get_frame_height_with_spacing()
    return min(height, 0.5 * room.y)


def _messages(controls: Controls, session: ViewerState) -> None:
    imgui.separator()
    for line, colour in _message_lines(session):
        controls.line(line, colour)
    if session.jobs.lines and controls.button("Clear messages"):
        session.jobs.lines.clear()
