"""The page's data are read back as its scripts read them, and its parts are checked against its own policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from gait.body.joint_status import JointStatus
from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.explaining.methods import METHODS
from gait.explaining.trained_network import load_network
from gait.explaining.vertex_attribution import joint_influence, to_vertices
from gait.report.walk_page import still_picture, walk_data
from gait.report.walk_page.build import build_page
from gait.report.walk_page.walk_data import WalkPage
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.loaded_trial import LoadedTrial, load_trial
from gait.viewing.phase_sync import matching_frame
from tests.helpers.explanation_cases import random_attribution, write_network
from tests.helpers.viewing_cases import BODIES, open_body, write_fitted_trial

HOSTILE = "</script><script>alert('x')</script>\u2028\"'&<!-- \U0001f6b6" + "w" * 300


class Page(HTMLParser):
    """The elements of a page: name, attributes, text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.inside = False  # the element that began last
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.elements[-1][2].append(data)

    def all(self, name: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text)) for tag, attributes, text in self.elements if tag == name]

    def by_id(self, identity: str) -> str:
        return next("".join(text) for _, attributes, text in self.elements if attributes.get("id") == identity)

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.by_id("walk-data"))
        return found

    def array(self, reference: dict[str, Any]) -> NDArray[Any]:
        buffer = zlib.decompress(base64.b64decode(self.by_id("walk-arrays")))
        count = int(np.prod(reference["shape"]))
        integers = np.frombuffer(buffer, reference["type"], count, reference["at"]).reshape(reference["shape"])
        if reference.get("delta"):
            integers = np.cumsum(integers, axis=0, dtype=integers.dtype)
        if "scale" not in reference:
            return integers
        values = integers * reference["scale"] + reference.get("offset", 0.0)
        return np.where(integers == reference.get("missing"), np.nan, values)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> LoadedTrial:
    return load_trial(write_fitted_trial(tmp_path_factory.mktemp("page") / "sick" / "P02" / "walk1"), BODIES)


@pytest.fixture(scope="module")
def overlay(trial: LoadedTrial, tmp_path_factory: pytest.TempPathFactory) -> AttributionOverlay:
    network = load_network(write_network(tmp_path_factory.mktemp("network") / "mlp.ckpt"))
    attribution = random_attribution(trial.num_frames)
    attribution.values[: trial.num_frames // 2, Joint.LEFT_KNEE] = np.nan
    return AttributionOverlay(trial, network, METHODS["lrp"], attribution, None)


@pytest.fixture(scope="module")
def page(trial: LoadedTrial, overlay: AttributionOverlay) -> Page:
    return Page(build_page(WalkPage(trial, (overlay,), beside=trial)))


def posed(page: Page, body: int, frame: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return vertices (V, 3) and joints (J, 3) of a body in a frame of the page."""
    data, motion = page.data, page.data["bodies"][body]
    parents, rest = data["skin"]["parents"], page.array(motion["joints_m"])
    own = int(page.array(motion["frames"])[frame]) if "frames" in motion else frame
    local = np.tile(np.eye(3), (len(parents), 1, 1))
    local[motion["moving_joints"]] = Rotation.from_quat(page.array(motion["rotations"])[own]).as_matrix()
    if "yaw_rad" in motion:
        local[0] = Rotation.from_rotvec([0, page.array(motion["yaw_rad"])[frame], 0]).as_matrix() @ local[0]
    world, joints = local.copy(), np.tile([page.array(axis)[frame] for axis in motion["root_m"]], (len(parents), 1))
    for joint, parent in enumerate(parents):
        if parent >= 0:
            world[joint] = world[parent] @ local[joint]
            joints[joint] = joints[parent] + world[parent] @ (rest[joint] - rest[parent])
    chosen, weights = page.array(data["skin"]["joints"]), page.array(data["skin"]["weights"])
    vertices = np.zeros_like(page.array(motion["vertices_m"]))
    for slot in range(len(chosen)):
        arm = page.array(motion["vertices_m"]) - rest[chosen[slot]]
        moved = (world[chosen[slot]] @ arm[..., None])[..., 0] + joints[chosen[slot]]
        vertices += weights[slot][:, None] * moved
    return vertices, joints


def test_body_of_the_page_is_the_fitted_one(page: Page, trial: LoadedTrial) -> None:
    sequence = trial.sequence
    for frame in (0, trial.num_frames // 2, trial.num_frames - 1):
        inputs = (sequence.poses[[frame]], sequence.betas, sequence.translation_m[[frame]])
        with torch.inference_mode():
            expected = open_body()(*map(torch.as_tensor, inputs))
        vertices, joints = posed(page, 0, frame)
        np.testing.assert_allclose(vertices, expected.vertices[0].numpy(), atol=4e-4)
        np.testing.assert_allclose(joints, expected.joints[0].numpy(), atol=4e-4)
    np.testing.assert_array_equal(page.array(page.data["skin"]["faces"]), open_body().faces.numpy())


def test_colours_are_those_of_the_window(page: Page, trial: LoadedTrial, overlay: AttributionOverlay) -> None:
    skin, method = page.data["skin"], page.data["methods"][0]
    values = page.array(method["values"])
    np.testing.assert_allclose(values, overlay.values, atol=2e-7, equal_nan=True)
    chosen, weights = page.array(skin["influence_joints"]), page.array(skin["influence_weights"])
    frame = trial.num_frames - 1
    skin_values = (weights * values[frame][chosen]).sum(axis=0)
    expected = to_vertices(overlay.values[frame], joint_influence(open_body(), trial.sequence.betas))
    assert np.abs(skin_values - expected).max() < 0.02 * overlay.scale.high
    scale = overlay.scale
    table = np.frombuffer(bytes.fromhex(method["scale"]["colours"]), np.uint8).reshape(-1, 3)
    np.testing.assert_array_equal(table, scale.colours(np.linspace(scale.low, scale.high, 256)))


def test_second_body_walks_beside_the_first_in_the_same_phase(page: Page, trial: LoadedTrial) -> None:
    frame = trial.num_frames - 1
    _, joints = posed(page, 0, frame)
    _, beside = posed(page, 1, frame)
    own = matching_frame(trial, trial, frame)
    to_right = np.cross(trial.directions[frame], [0.0, 1.0, 0.0])
    shift = beside[Joint.PELVIS] - joints[Joint.PELVIS]
    assert shift @ to_right == pytest.approx(0.95, abs=1e-3)
    knee = np.linalg.norm(beside[Joint.LEFT_KNEE] - beside[Joint.RIGHT_ANKLE])
    own_joints = trial.sequence.joints_m[own]
    assert knee == pytest.approx(np.linalg.norm(own_joints[Joint.LEFT_KNEE] - own_joints[Joint.RIGHT_ANKLE]), abs=1e-3)


def test_camera_shows_the_taller_of_two_bodies(trial: LoadedTrial) -> None:
    taller = replace(trial, sequence=replace(trial.sequence, joints_m=1.2 * trial.sequence.joints_m))
    own, both = walk_data._view(trial, None), walk_data._view(trial, taller)
    assert both.view_height_m == pytest.approx(1.2 * own.view_height_m, rel=0.03)
    assert both.target_m[1] == pytest.approx(1.2 * own.target_m[1], rel=0.03)
    assert (both.yaw_deg, both.target_m[0]) == (own.yaw_deg, own.target_m[0])
    assert walk_data._view(taller, trial) == walk_data._view(taller, None)


def test_nothing_may_be_loaded_and_only_the_own_script_runs(page: Page) -> None:
    (policy,) = [str(each["content"]) for each, _ in page.all("meta") if "http-equiv" in each]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    hashes = dict(re.findall(r"(script|style)-src '(sha256-[^']+)'", policy))
    for kind in ("script", "style"):
        (text,) = [text for each, text in page.all(kind) if "type" not in each]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert hashes[kind] == f"sha256-{digest}"
    addresses = [value for _, each, _ in page.elements for key, value in each.items() if key in ("src", "href")]
    assert addresses
    assert all(str(address).startswith("data:image/") for address in addresses)
    assert not [each for _, each, _ in page.elements if "style" in each or any(key.startswith("on") for key in each)]


def test_hostile_name_is_text(trial: LoadedTrial) -> None:
    page = Page(build_page(WalkPage(replace(trial, name=HOSTILE))))
    shown = HOSTILE.replace("\u2028", "□")
    assert page.data["title"] == shown
    assert [text.strip() for _, text in page.all("h1")] == [shown]
    assert [each.get("type") for each, _ in page.all("script")] == ["application/json", "text/plain", None]


def test_anonymous_page_has_no_name_and_no_shape(trial: LoadedTrial, overlay: AttributionOverlay) -> None:
    text = build_page(WalkPage(trial, (overlay,), beside=trial, anonymous=True))
    assert not [name for name in ("P02", "walk1", "mlp.ckpt", str(trial.folder.parent)) if name in text]
    page = Page(text)
    vertices = page.array(page.data["bodies"][0]["vertices_m"])
    mean = open_body().v_template.numpy()
    np.testing.assert_allclose(vertices, mean * (vertices[:, 1].max() / mean[:, 1].max()), atol=2e-4)
    legs = (Joint.LEFT_HIP, Joint.LEFT_KNEE, Joint.LEFT_ANKLE)
    drawn = posed(page, 0, 10)[1]
    own = trial.sequence.joints_m[10]
    lengths = [sum(np.linalg.norm(joints[a] - joints[b]) for a, b in pairwise(legs)) for joints in (drawn, own)]
    assert lengths[0] == pytest.approx(lengths[1], abs=0.01)
    assert "standard body" in page.data["notes"][0]


def test_still_picture_shows_the_quarters_of_a_stride_about_the_first_finding(trial: LoadedTrial) -> None:
    evenly = still_picture._frames(WalkPage(trial))
    middle = trial.num_frames // 2
    evidence: Any = SimpleNamespace(findings=(SimpleNamespace(frame=middle, joint=Joint.LEFT_KNEE),))
    frames = still_picture._frames(WalkPage(trial, evidence=evidence))
    stride = np.median(np.concatenate([np.diff(each) for each in trial.events.initial_contacts.values()]))
    assert frames[2] == middle
    assert np.ptp(frames) == pytest.approx(0.75 * stride, abs=1)
    evidence.findings[0].frame = 0
    np.testing.assert_array_equal(still_picture._frames(WalkPage(trial, evidence=evidence)), evenly)


def test_licensed_fit_is_shown_on_the_open_body(trial: LoadedTrial) -> None:
    licensed = replace(trial.sequence, model_file="supr_male.npy", model_sha256="0" * 64)
    page = Page(build_page(WalkPage(replace(trial, sequence=licensed, body=None))))
    assert "may not be passed on" in page.data["notes"][0]
    np.testing.assert_allclose(posed(page, 0, 5)[1][:22], trial.sequence.joints_m[5], atol=0.015)


def test_parts_that_no_marker_observes_are_named(trial: LoadedTrial) -> None:
    status = np.full((trial.num_frames, 22), JointStatus.OBSERVED, np.uint8)
    status[:, Joint.LEFT_WRIST] = JointStatus.NOT_OBSERVED
    page = Page(build_page(WalkPage(replace(trial, sequence=replace(trial.sequence, joint_status=status)))))
    hidden = np.flatnonzero(~page.array(page.data["parts_observed"]).astype(bool).any(axis=0))
    assert hidden.tolist() == [Joint.LEFT_ELBOW, Joint.LEFT_WRIST]
    assert (page.array(page.data["joints_observed"])[:, Joint.LEFT_WRIST] == 0).all()


def test_poses_without_rotations_are_named(trial: LoadedTrial) -> None:
    unknown = replace(trial.sequence, constrained=True, body_rotations=None)
    with pytest.raises(GaitError, match=rf"{trial.folder}: these poses hold no joint rotations; fit the trial again"):
        build_page(WalkPage(replace(trial, sequence=unknown)))
