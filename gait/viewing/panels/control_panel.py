"""The control panel: trial, network, explanation, visible layers, messages."""

from __future__ import annotations

from gait.body.joint_status import unobserved_joints
from gait.body.skeleton import display_names
from gait.explaining.attribution import observation_notes
from gait.text import pluralize
from gait.viewing.colours import Colour
from gait.viewing.lazy_imgui import imgui
from gait.viewing.panels.widgets import ERROR, MUTED, Widgets, prediction
from gait.viewing.viewer_state import CHECKING, EXPLAINING, FINDING_EVIDENCE, ViewerState

_MAX_MESSAGES = 4  # the newest are shown
_SECOND_COLUMN = 122  # its left edge in unscaled pixels
_LAYERS = (
    ("skin", "Skin", "surface of the body"),
    ("skeleton", "Skeleton", "joints and bones"),
    ("markers", "Markers", "orange: measured; blue: on the fitted body; red: residual between them"),
    ("floor", "Floor", "grid of 0.5 m (G)"),
    ("path", "Pelvis path", "path of the pelvis on the floor, and the foot at each initial contact"),
    ("uncertainty", "Uncertainty", "68 % radius: each sphere contains the joint with a probability of 68 %"),
)


def control_panel(widgets: Widgets, state: ViewerState) -> str:
    """Draw the panel. Return a request for the file browser: "open", "compare" or ""."""
    request = ""
    # Messages and the running job stay visible below the part that scrolls.
    below = _messages_height(widgets, state)
    imgui.begin_child("scrolled", (0.0, -below))
    widgets.heading("Trial")
    if state.actor is None:
        widgets.text("No trial is open.", MUTED)
    else:
        trial = state.actor.trial
        widgets.text(trial.name)
        widgets.text(f"{trial.num_frames} frames, {trial.duration_s:.1f} s at {trial.rate_hz:g} Hz", MUTED)
        if state.overlay is None and (joints := unobserved_joints(trial.sequence.joint_status)):
            widgets.text(f"Not observed by markers: {display_names(joints)}.", MUTED)
    if widgets.button("Open ...", "a trial, a network or a folder of trials (O); or drop it on this window"):
        request = "open"
    if state.actor is not None:
        imgui.same_line()
        if widgets.button("Compare ...", "show a second trial, or the mean stride of the controls, beside this one"):
            request = "compare"

    widgets.heading("Network")
    _network(widgets, state)
    widgets.heading("Explanation")
    _explanation(widgets, state)
    widgets.heading("Show")
    _layers(widgets, state)
    imgui.end_child()
    if below:
        if imgui.begin_child("messages", (0.0, 0.0)):
            _messages(widgets, state)
        imgui.end_child()
    return request


def _network(widgets: Widgets, state: ViewerState) -> None:
    if state.network is None:
        widgets.text("No network is open.", MUTED)
        return
    network = state.network
    subjects = len(network.training_subjects)
    widgets.text(network.label)
    widgets.text(network.window_text, MUTED)
    trained_on = f"trained on {pluralize(subjects, 'subject')}"
    widgets.text(trained_on if subjects else "training subjects not recorded in the file", MUTED)


def _explanation(widgets: Widgets, state: ViewerState) -> None:
    network, method = state.network, state.method
    if network is None or method is None:
        widgets.text("Open a trial and a network first.", MUTED)
        return
    from gait.explaining.methods import METHODS  # imports torch, as the network has

    names = network.methods
    titles = [METHODS[name].title for name in names]
    chosen = names[widgets.combo("Method", titles, names.index(method.name), method.description)]
    if chosen != method.name:
        state.choose_method(chosen)
    ready = state.actor is not None
    job = state.jobs.current_job
    busy = job is not None and job.kind == EXPLAINING
    if widgets.button(
        "Explaining ..." if busy else "Explain trial",
        "compute the attribution of the whole trial",
        enabled=ready and not busy,
        width=-1.0,
        name="Explain trial",
    ):
        state.explain()
    overlay = state.overlay
    if overlay is None or state.window is None:
        return
    attribution = overlay.attribution
    widgets.text(*prediction(attribution.trial_probability, "Trial"))
    if state.subject_in_training_set:
        widgets.text("The network was trained on this subject: its prediction is not valid evidence.", ERROR)
    for line in observation_notes(attribution):
        widgets.text(line, MUTED)
    first, last = overlay.window_frames(state.window)
    first_number = overlay.trial.sequence.first_frame
    last_start = overlay.window_frames(len(attribution.first_frames) - 1)[0]
    state.window_start = widgets.int_slider(
        "Start frame", state.window_start, 0, last_start, f"window starting at frame {first + first_number}",
        "first frame of the selected window",
    )  # fmt: skip
    frames = f"Frames {first + first_number} to {last + first_number}"
    widgets.text(*prediction(float(attribution.window_probability[state.window]), frames))
    state.window_only = widgets.checkbox(
        "Only this window", state.window_only, "colour only the frames of this window; grey elsewhere"
    )
    if overlay.faithfulness_summary:
        widgets.text(overlay.faithfulness_summary, MUTED)
    elif job is not None and job.kind.startswith(CHECKING):
        widgets.text("Checking by deletion ...", MUTED)
    if state.evidence is None and overlay.attribution.signed:
        comparing = job is not None and job.kind == FINDING_EVIDENCE
        if widgets.button(
            "Comparing ..." if comparing else "Compare with controls",
            "does this subject deviate where the network looks, by more than speed and error explain?",
            enabled=not comparing,
            width=-1.0,
            name="Compare with controls",
        ):
            state.find_evidence()


def _layers(widgets: Widgets, state: ViewerState) -> None:
    layers = state.layers
    for number, (name, text, tip) in enumerate(_LAYERS):
        if number % 2:
            imgui.same_line(widgets.length(_SECOND_COLUMN))
        available = True
        if state.actor is not None:
            trial = state.actor.trial
            available = {
                "skin": trial.body is not None,
                "markers": trial.markers is not None,
                "uncertainty": trial.sequence.joint_sigma_m is not None,
            }.get(name, True)
            tip = tip if available else f"{tip}; not available for this trial"
        setattr(layers, name, widgets.checkbox(text, getattr(layers, name), tip, enabled=available))
    if state.comparison is not None:
        layers.comparison = widgets.checkbox("Comparison", layers.comparison, state.comparison.trial.name)
        imgui.same_line(widgets.length(_SECOND_COLUMN))
        if widgets.button("Remove"):
            state.close_comparison()
    state.follow = widgets.checkbox("Follow the body", state.follow, "the camera moves with the pelvis")
    imgui.same_line(widgets.length(_SECOND_COLUMN))
    if widgets.button("Help (H)", "keys and colours"):
        state.help = True


def _message_lines(state: ViewerState) -> list[tuple[str, Colour]]:
    lines = []
    job = state.jobs.current_job
    if job is not None:
        lines.append((f"{job.title} ... {job.progress:.0%}" if job.progress else f"{job.title} ...", MUTED))
    return lines + [(line, ERROR) for line in state.jobs.messages[-_MAX_MESSAGES:]]


def _messages_height(widgets: Widgets, state: ViewerState) -> float:
    """Return the height of the message area in pixels, at most half of the panel; 0 if there are no messages."""
    lines = _message_lines(state)
    if not lines:
        return 0.0
    room = imgui.get_content_region_avail()
    height = sum(imgui.calc_text_size(text, wrap_width=room.x).y for text, _ in lines)
    height += (len(lines) + 1) * imgui.get_style().item_spacing.y + widgets.length(4)
    if state.jobs.messages:
        height += imgui.get_frame_height_with_spacing()
    return min(height, 0.5 * room.y)


def _messages(widgets: Widgets, state: ViewerState) -> None:
    imgui.separator()
    for line, colour in _message_lines(state):
        widgets.text(line, colour)
    if state.jobs.messages and widgets.button("Clear messages"):
        state.jobs.messages.clear()
