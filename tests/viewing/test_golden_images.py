"""Rendered images against golden images that were checked by eye (tests/viewing/golden), and properties of the scales.

``python tests/viewing/test_golden_images.py`` renders them again; check them by eye before committing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gait.body.skeleton import Joint
from gait.explaining.vertex_attribution import joint_influence, to_vertices
from gait.viewing.actor import Actor
from gait.viewing.build_scene import BodyFrame, VisibleLayers, build_scene
from gait.viewing.camera import Camera
from gait.viewing.colours import UNEXPLAINED, DivergingScale, Scale, SequentialScale
from gait.viewing.loaded_trial import LoadedTrial, load_trial
from gait.viewing.mesh_cache import MeshBuilder
from gait.viewing.offscreen_renderer import shared_renderer
from gait.viewing.phase_sync import body_frame_beside
from tests.helpers.viewing_cases import BODIES, write_fitted_trial

GOLDEN = Path(__file__).parent / "golden"
FRAME, WIDTH, HEIGHT = 70, 320, 240
IMAGES = ("plain", "sequential", "diverging", "unexplained", "markers", "comparison")

pytestmark = pytest.mark.usefixtures("one_thread")


def make_trial(folder: Path) -> LoadedTrial:
    return load_trial(write_fitted_trial(folder), BODIES)


def values_and_scale(trial: LoadedTrial, signed: bool) -> tuple[NDArray[np.float32], Scale]:
    """High attribution at the left knee, some at the right shoulder (negative if signed) and at the head."""
    joint_values = np.zeros(22)
    joint_values[[Joint.LEFT_KNEE, Joint.RIGHT_SHOULDER, Joint.HEAD]] = 0.9, -0.7 if signed else 0.7, 0.3
    assert trial.body is not None
    scale: Scale = DivergingScale(1.0) if signed else SequentialScale(0.0, 1.0, UNEXPLAINED)
    return to_vertices(joint_values, joint_influence(trial.body)), scale


def render(trial: LoadedTrial, name: str) -> NDArray[np.uint8]:
    assert trial.body is not None
    builder = MeshBuilder(trial.body, trial.sequence)
    body_frame = BodyFrame(trial.sequence.joints_m[FRAME], builder.build(FRAME, FRAME + 1)[0], builder.faces)
    layers, values, scale, comparison = VisibleLayers(), None, None, None
    if name in ("sequential", "diverging", "unexplained"):
        values, scale = values_and_scale(trial, signed=name != "sequential")
    if name == "unexplained":
        assert values is not None
        values = np.full_like(values, np.nan)
    if name == "markers":
        layers = VisibleLayers(skeleton=True, markers=True)
    if name == "comparison":
        other = Actor.of(trial)
        comparison = body_frame_beside(trial, FRAME, other)
        other.close()
    body_frame = replace(body_frame, values=values, scale=scale)
    scene = build_scene(trial, FRAME, body_frame, layers, comparison=comparison)
    return shared_renderer().draw(scene, camera(trial), WIDTH, HEIGHT)


def camera(trial: LoadedTrial) -> Camera:
    x, _, z = map(float, trial.sequence.joints_m[FRAME, Joint.PELVIS])
    return Camera((x, 0.85, z), 220.0, 8.0, 1.95, 6.0, perspective=True)


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> LoadedTrial:
    return make_trial(tmp_path_factory.mktemp("poses") / "sick/P01/walk1")


@pytest.mark.parametrize("name", IMAGES)
def test_renderer_reproduces_the_golden_image(trial: LoadedTrial, name: str) -> None:
    """Drivers differ in edges and in the last bits of a colour."""
    golden = np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB")).astype(int)
    difference = np.abs(render(trial, name).astype(int) - golden).max(axis=-1)
    assert difference.mean() < 1.0
    assert (difference > 40).mean() < 0.004


def test_golden_images_differ_by_more_than_the_tolerance(trial: LoadedTrial) -> None:
    images = {name: np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB")).astype(int) for name in IMAGES}
    for one in IMAGES:
        for other in IMAGES:
            if one != other:
                difference = np.abs(images[one] - images[other]).max(axis=-1)
                assert difference.mean() >= 1.0 or (difference > 40).mean() >= 0.004, (one, other)


@pytest.mark.parametrize("signed", [True, False])
def test_mesh_shader_uses_the_colours_of_the_scale(trial: LoadedTrial, signed: bool) -> None:
    """A mesh of one value has the colour of the scale, up to a factor for the light."""
    assert trial.body is not None
    _, scale = values_and_scale(trial, signed)
    builder = MeshBuilder(trial.body, trial.sequence)
    body_frame = BodyFrame(trial.sequence.joints_m[FRAME], builder.build(FRAME, FRAME + 1)[0], builder.faces)
    for value in (scale.low, scale.high, (scale.low + 3 * scale.high) / 4, np.nan):
        values = np.full(trial.body.num_vertices, value, np.float32)
        coloured = replace(body_frame, values=values, scale=scale)
        scene = build_scene(trial, FRAME, coloured, VisibleLayers(floor=False))
        image = shared_renderer().draw(scene, camera(trial), 160, 120)
        skin = image[(image != image[0, 0]).any(axis=-1)].astype(float)
        expected = scale.colours(value).astype(float)
        # Light multiplies all three channels by the same factor, unless one saturates.
        unsaturated = skin[skin.max(axis=1) < 250]
        ratio = unsaturated[:, expected > 20] / expected[expected > 20]
        assert np.median(np.ptp(ratio, axis=1) / ratio.mean(axis=1)) < 0.08


def test_diverging_scale_is_perceptually_uniform_and_symmetric() -> None:
    lab = lab_of(DivergingScale(1.0).colours(np.linspace(-1, 1, 17)))
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.25
    assert np.abs(lab[:, 0] - lab[::-1, 0]).max() < 1.5, "equally light on both sides"
    assert (np.diff(lab[8:, 0]) < 0).all(), "monotonically darker outwards"
    assert tuple(DivergingScale(1.0).colours(np.nan)) == UNEXPLAINED
    assert np.linalg.norm(lab_of(np.array([UNEXPLAINED]))[0] - lab[8]) > 25, "grey differs from the middle"


# Machado, Oliveira & Fernandes 2009, IEEE Trans. Vis. Comput. Graph. 15:1291, full severity, on linear RGB.
COLOUR_VISION_DEFICIENCIES = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("kind", COLOUR_VISION_DEFICIENCIES)
def test_diverging_scale_has_distinct_signs_with_every_colour_vision_deficiency(kind: str) -> None:
    colours = DivergingScale(1.0).colours(np.linspace(-1, 1, 41))
    perceived = np.clip(linear(colours) @ np.array(COLOUR_VISION_DEFICIENCIES[kind]).T, 0, 1)
    lab = lab_of(perceived, is_linear=True)
    for step in (5, 10, 20):
        assert np.linalg.norm(lab[20 - step] - lab[20 + step]) > 1.2 * step


def linear(rgb: NDArray[np.integer]) -> NDArray[np.float64]:
    c = np.asarray(rgb) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab_of(rgb: NDArray, is_linear: bool = False) -> NDArray[np.float64]:
    """Convert sRGB to CIELAB under D65 (the package converts in the opposite direction)."""
    rgb = rgb if is_linear else linear(rgb)
    xyz = rgb @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    t = xyz / [0.9505, 1.0, 1.089]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


if __name__ == "__main__":
    import tempfile

    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        golden_trial = make_trial(Path(temporary) / "sick/P01/walk1")
        for image_name in IMAGES:
            Image.fromarray(render(golden_trial, image_name)).save(GOLDEN / f"{image_name}.png", optimize=True)
