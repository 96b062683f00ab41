"""What a page shows, as JSON and arrays: ``docs/walk_page.md`` describes each field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gait.body.joint_status import JointStatus, body_part_status
from gait.body.skeleton import BODY_JOINTS, HEAD_TO_FEET, display_name
from gait.errors import GaitError
from gait.explaining.attribution import observation_notes
from gait.explaining.evidence.finding import Evidence
from gait.explaining.vertex_attribution import influence_for
from gait.exporting.exporter import NotExportableError
from gait.exporting.skinned_body import SkinnedBody, make_skinned_body, open_body
from gait.kinematics.gait_events import SIDES
from gait.motion.trial_paths import HEALTHY, SICK
from gait.report.walk_page.array_store import ArrayStore
from gait.report.walk_page.curve_section import CurveSection
from gait.report.walk_page.skin_data import motion_data, skin_data
from gait.text import printable
from gait.version import VERSION
from gait.viewing import build_scene
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.camera import Camera, whole_body_camera
from gait.viewing.colours import FADING, HATCH, MISSING, SKIN, UNEXPLAINED, UNOBSERVED, DivergingScale, Scale, unit_text
from gait.viewing.loaded_trial import LoadedTrial
from gait.viewing.phase_sync import placement_beside
from gait.viewing.viewer_state import SPEEDS

FORMAT = 1
CHANGED_WALK = "changed walk"
"""Name of the second body if it is the walk of the counterfactual."""
_CHANGED_COLOUR = (0, 121, 90)  # of the changed curves on a page of evidence
_RETARGETED = (
    "The body model of this fit may not be passed on. The page shows the open body with the same joint rotations and "
    "the lengths of the subject's bones; they differ by at most {mm:.0f} mm."
)
_STANDARD = (
    "The page is anonymous: it names no subject, file or folder, and shows a standard body with the length of the "
    "subject's legs. The walk itself and its recorded label remain: who knows the subject's gait may recognize it."
)
_COLOURS = {
    "background": build_scene.BACKGROUND, "skin": SKIN, "beside": build_scene.COMPARISON, "unobserved": UNOBSERVED,
    "hatch": HATCH, "missing": MISSING, "unexplained": UNEXPLAINED, "bone": build_scene.BONE,
    "joint": build_scene.JOINT, "selected": build_scene.SELECTED, "path": build_scene.PATH,
    "left": build_scene.LEFT_FOOT, "right": build_scene.RIGHT_FOOT,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class WalkPage:
    """What one page is of."""

    trial: LoadedTrial
    overlays: tuple[AttributionOverlay, ...] = ()  # one per method, of one network
    beside: LoadedTrial | None = None  # a second body, in the same phase of the gait cycle
    anonymous: bool = False  # names no subject and no file, and shows a standard shape
    curves: CurveSection | None = None  # of the trial
    evidence: Evidence | None = None  # beside the decision of the network

    @property
    def label(self) -> str:
        """The label of the trial's folder, "healthy" or "sick"; "" if it has none."""
        label = self.trial.name.partition("/")[0]
        return label if label in (HEALTHY, SICK) else ""

    @property
    def title(self) -> str:
        """Name of the trial."""
        return "Anonymous trial" if self.anonymous else printable(self.trial.name)

    @cached_property
    def skinned(self) -> SkinnedBody:
        """The first body, with all joints of the open body.

        Raises:
            GaitError: the poses hold no joint rotations, or the open body is missing.
        """
        return _skinned_body(self.trial, standard_shape=self.anonymous)

    @cached_property
    def influences(self) -> NDArray[np.float64] | None:
        """Weights (V, 22) by which attribution colours the first body; None if there is no attribution."""
        return influence_for(self.overlays[0].attribution, open_body(), self.skinned.betas) if self.overlays else None

    @property
    def beside_title(self) -> str:
        """Name of the second body; empty if there is none."""
        if self.beside is None:
            return ""
        return "comparison" if self.anonymous and not self.beside_is_changed else printable(self.beside.name)

    @property
    def beside_is_changed(self) -> bool:
        """Whether the second body is the walk of the counterfactual."""
        return self.beside is not None and self.beside.name == CHANGED_WALK

    @property
    def start(self) -> tuple[int, int]:
        """The frame and the joint that the page opens at, those of the first finding; joint −1 for none.

        Without findings the first frame for which the network has an output.
        """
        if self.evidence is not None and self.evidence.findings:
            first = self.evidence.findings[0]
            return int(np.clip(first.frame, 0, self.trial.num_frames - 1)), int(first.joint)
        known = [np.flatnonzero(np.isfinite(overlay.probability)) for overlay in self.overlays[:1]]
        return (int(known[0][0]) if known and len(known[0]) else 0), -1


def walk_data(page: WalkPage, store: ArrayStore) -> dict[str, Any]:
    """Return the page's data; its arrays are put into ``store``.

    Raises:
        GaitError: the poses hold no joint rotations, or the open body is missing.
    """
    trial, body = page.trial, open_body()
    skinned = page.skinned
    bodies = [{"title": page.title, **motion_data(skinned, store)}]
    if page.beside is not None:
        second = {"title": page.beside_title, "changed": page.beside_is_changed}
        bodies.append({**second, **_beside(page, page.beside, store)})
    view = _view(trial, page.beside)
    data: dict[str, Any] = {
        "format": FORMAT,
        "generator": f"gait-suite {VERSION}",
        "title": page.title,
        "anonymous": page.anonymous,
        "notes": list(_notes(page, skinned)),
        "rate_hz": trial.rate_hz,
        "num_frames": trial.num_frames,
        "start": {"frame": page.start[0], "joint": page.start[1]},
        "first_frame": 1 if page.anonymous else trial.sequence.first_frame,
        "speeds": list(SPEEDS),
        "floor_m": trial.floor_m,
        "joints": [display_name(joint) for joint in BODY_JOINTS],
        "head_to_feet": [int(joint) for joint in HEAD_TO_FEET],
        "view": {
            "yaw_deg": view.yaw_deg, "pitch_deg": view.pitch_deg, "view_height_m": view.view_height_m,
            "distance_m": view.distance_m, "height_m": view.target_m[1],
        },
        "colours": {name: list(colour) for name, colour in _COLOURS.items()}
        | ({"beside": list(_CHANGED_COLOUR)} if page.beside_is_changed else {}),
        "skin": skin_data(body, skinned, page.influences, store),
        "bodies": bodies,
        "events": {
            side: {
                "initial_contacts_s": _seconds(trial.events.initial_contacts[side], trial.rate_hz),
                "foot_offs_s": _seconds(trial.events.foot_offs[side], trial.rate_hz),
            }
            for side in SIDES
        },
        "activity": [
            {"what": each.activity.noun, "first": each.first, "end": each.end} for each in trial.activity
        ],
    }  # fmt: skip
    status = trial.sequence.joint_status
    if status is not None and (status == JointStatus.NOT_OBSERVED).any():
        data["parts_observed"] = store.add(body_part_status(status) > JointStatus.NOT_OBSERVED)
        data["joints_observed"] = store.add(trial.observed)
    if page.curves is not None:
        data["curves"] = page.curves.data(store)
    if page.overlays:
        data["fading"] = FADING
        data["network"] = _network(page)
        data["methods"] = [_method(overlay, store) for overlay in page.overlays]
    return data


def _skinned_body(trial: LoadedTrial, *, standard_shape: bool) -> SkinnedBody:
    """Return the body of a trial with all joints of the open body.

    Raises:
        GaitError: the poses hold no joint rotations, or the open body is missing.
    """
    try:
        return make_skinned_body(trial.sequence, merge_joints=False, standard_shape=standard_shape)
    except NotExportableError as error:
        raise GaitError(f"{trial.folder}: {error}") from error


def _view(trial: LoadedTrial, beside: LoadedTrial | None) -> Camera:
    """Return the camera that shows the whole of the taller body, on the floor of the first and from its side."""
    own = whole_body_camera(trial.sequence.joints_m, trial.floor_m, 0)
    if beside is None:
        return own
    other = whole_body_camera(beside.sequence.joints_m, beside.floor_m, 0)
    if other.view_height_m <= own.view_height_m:
        return own
    x, _, z = own.target_m
    target_m = (x, other.target_m[1] - beside.floor_m + trial.floor_m, z)
    return replace(own, target_m=target_m, view_height_m=other.view_height_m, distance_m=other.distance_m)


def _seconds(frames: NDArray[np.floating], rate_hz: float) -> list[float]:
    return [round(float(frame) / rate_hz, 4) for frame in frames]


def _beside(page: WalkPage, beside: LoadedTrial, store: ArrayStore) -> dict[str, Any]:
    """Return the second body in each frame of the page."""
    skinned = _skinned_body(beside, standard_shape=page.anonymous)
    placed = [placement_beside(page.trial, frame, beside) for frame in range(page.trial.num_frames)]
    frames = np.array([own for own, _, _ in placed])
    root_m = np.array([pelvis for _, _, pelvis in placed])
    root_m += skinned.root_m[frames] - beside.sequence.joints_m[frames, 0]  # up or down, of a standard shape
    return motion_data(skinned, store, root_m, frames, np.unwrap([yaw for _, yaw, _ in placed]))


def _notes(page: WalkPage, skinned: SkinnedBody) -> tuple[str, ...]:
    """Return what a reader should know of what is shown, one sentence each."""
    notes = []
    if page.anonymous:
        notes.append(_STANDARD)
    else:
        if skinned.retargeted:
            notes.append(_RETARGETED.format(mm=1e3 * skinned.bone_error_m))
        notes += [printable(note) for note in page.trial.notes if note != page.trial.body_problem]
    if page.overlays:
        notes += observation_notes(page.overlays[0].attribution)
    return tuple(notes)


def _network(page: WalkPage) -> dict[str, Any]:
    overlay = page.overlays[0]
    network, attribution = overlay.network, overlay.attribution
    return {
        "title": network.title if page.anonymous else printable(network.label),
        "input": attribution.input,
        "windows": network.window_text,
        "probability": attribution.trial_probability,
    }


def _method(overlay: AttributionOverlay, store: ArrayStore) -> dict[str, Any]:
    method, attribution = overlay.method, overlay.attribution
    windows = [overlay.window_frames(window) for window in range(len(attribution.first_frames))]
    return {
        "name": method.name,
        "title": method.title,
        "description": method.description,
        "signed": attribution.signed,
        "unit": unit_text(overlay.scale),
        "faithfulness": overlay.faithfulness_summary,
        "parts": list(attribution.part_names),
        "largest": list(attribution.largest_joints()),
        "scale": _scale(overlay.scale),
        "values": store.add_values(overlay.values, symmetric=True),
        "explainable": store.add(overlay.explainable),
        "fades": store.add(overlay.fades),
        "probability": store.add_values(overlay.probability),
        "windows": store.add(np.array(windows, dtype=np.uint32).reshape(-1, 2), delta=True),
        "window_probability": store.add_values(attribution.window_probability),
    }


def _scale(scale: Scale) -> dict[str, Any]:
    """Return the ends of a colour scale, and 256 colours from low to high, six hexadecimal digits each."""
    colours = scale.colours(np.linspace(scale.low, scale.high, 256))
    return {
        "low": scale.low, "high": scale.high, "diverging": isinstance(scale, DivergingScale),
        "missing": list(scale.missing), "colours": colours.tobytes().hex(),
    }  # fmt: skip
