"""Pictures of a body against pictures that a person has looked at (tests/golden), and what can be known of them.

``python tests/viewing/test_golden_images.py`` draws them anew; look at them before they are committed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gait.body.skeleton import Joint
from gait.explaining.vertex_attribution import joint_weights, on_vertices
from gait.viewing.build_scene import Figure, Layers, gait_scene
from gait.viewing.camera import Camera
from gait.viewing.colours import UNEXPLAINED, DivergingScale, Scale, SequentialScale
from gait.viewing.loaded_trial import LoadedTrial, read_shown_gait
from gait.viewing.mesh_cache import MeshBuilder
from gait.viewing.offscreen_renderer import shared_renderer
from gait.viewing.phase_sync import ComparisonTrial
from tests.helpers.viewing_cases import BODIES, write_shown_walk

GOLDEN = Path(__file__).parent / "golden"
FRAME, WIDTH, HEIGHT = 70, 320, 240
PICTURES = ("plain", "sequential", "diverging", "unexplained", "markers", "ghost")

pytestmark = pytest.mark.usefixtures("one_thread")


def walk(folder: Path) -> LoadedTrial:
    return read_shown_gait(write_shown_walk(folder), BODIES)


def values_and_scale(gait: LoadedTrial, signed: bool) -> tuple[NDArray[np.float32], Scale]:
    """Much at the left knee, some at the right shoulder; of the other sign there if there are signs."""
    of_joints = np.zeros(22)
    of_joints[[Joint.LEFT_KNEE, Joint.RIGHT_SHOULDER, Joint.HEAD]] = 0.9, -0.7 if signed else 0.7, 0.3
    assert gait.body is not None
    scale: Scale = DivergingScale(1.0) if signed else SequentialScale(0.0, 1.0, UNEXPLAINED)
    return on_vertices(of_joints, joint_weights(gait.body)), scale


def drawn(gait: LoadedTrial, name: str) -> NDArray[np.uint8]:
    assert gait.body is not None
    maker = MeshBuilder(gait.body, gait.sequence)
    figure = Figure(gait.sequence.joints_m[FRAME], maker.skins(FRAME, FRAME + 1)[0], maker.faces)
    layers, values, scale, ghost = Layers(), None, None, None
    if name in ("sequential", "diverging", "unexplained"):
        values, scale = values_and_scale(gait, signed=name != "sequential")
    if name == "unexplained":
        assert values is not None
        values = np.full_like(values, np.nan)
    if name == "markers":
        layers = Layers(skeleton=True, markers=True)
    if name == "ghost":
        companion = ComparisonTrial.of(gait)
        ghost = companion.beside(gait, FRAME)
        companion.close()
    scene = gait_scene(gait, FRAME, figure, layers, values=values, scale=scale, ghost=ghost)
    return shared_renderer().draw(scene, camera(gait), WIDTH, HEIGHT)


def camera(gait: LoadedTrial) -> Camera:
    x, _, z = map(float, gait.sequence.joints_m[FRAME, Joint.PELVIS])
    return Camera((x, 0.85, z), 220.0, 8.0, 1.95, 6.0, perspective=True)


@pytest.fixture(scope="module")
def gait(tmp_path_factory: pytest.TempPathFactory) -> LoadedTrial:
    return walk(tmp_path_factory.mktemp("walk") / "sick/P01/walk1")


@pytest.mark.parametrize("name", PICTURES)
def test_it_looks_as_it_did_when_a_person_looked(gait: LoadedTrial, name: str) -> None:
    """Drivers differ in edges and in the last bits of a colour."""
    golden = np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB")).astype(int)
    difference = np.abs(drawn(gait, name).astype(int) - golden).max(axis=-1)
    assert difference.mean() < 1.0
    assert (difference > 40).mean() < 0.004


def test_the_tolerance_tells_the_pictures_apart(gait: LoadedTrial) -> None:
    pictures = {name: np.asarray(Image.open(GOLDEN / f"{name}.png").convert("RGB")).astype(int) for name in PICTURES}
    for one in PICTURES:
        for other in PICTURES:
            if one != other:
                difference = np.abs(pictures[one] - pictures[other]).max(axis=-1)
                assert difference.mean() >= 1.0 or (difference > 40).mean() >= 0.004, (one, other)


@pytest.mark.parametrize("signed", [True, False])
def test_the_shader_and_the_colour_bar_have_the_same_colours(gait: LoadedTrial, signed: bool) -> None:
    """Where the skin of one value is lit fully, its colour is the scale's, up to the light."""
    assert gait.body is not None
    _, scale = values_and_scale(gait, signed)
    maker = MeshBuilder(gait.body, gait.sequence)
    figure = Figure(gait.sequence.joints_m[FRAME], maker.skins(FRAME, FRAME + 1)[0], maker.faces)
    for value in (scale.low, scale.high, (scale.low + 3 * scale.high) / 4, np.nan):
        values = np.full(gait.body.num_vertices, value, np.float32)
        picture = shared_renderer().draw(
            gait_scene(gait, FRAME, figure, Layers(floor=False), values=values, scale=scale), camera(gait), 160, 120
        )
        skin = picture[(picture != picture[0, 0]).any(axis=-1)].astype(float)
        wanted = scale.colours(value).astype(float)
        # Light multiplies all three channels alike, until one is full.
        unlit = skin[skin.max(axis=1) < 250]
        ratio = unlit[:, wanted > 20] / wanted[wanted > 20]
        assert np.median(np.ptp(ratio, axis=1) / ratio.mean(axis=1)) < 0.08


def test_equal_steps_of_the_diverging_scale_look_equal_and_both_signs_alike() -> None:
    lab = lab_of(DivergingScale(1.0).colours(np.linspace(-1, 1, 17)))
    steps = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.25
    assert np.abs(lab[:, 0] - lab[::-1, 0]).max() < 1.5, "as light on either side"
    assert (np.diff(lab[8:, 0]) < 0).all(), "and evenly darker outwards"
    assert tuple(DivergingScale(1.0).colours(np.nan)) == UNEXPLAINED
    assert np.linalg.norm(lab_of(np.array([UNEXPLAINED]))[0] - lab[8]) > 25, "grey is not the middle"


# Machado, Oliveira & Fernandes 2009, IEEE Trans. Vis. Comput. Graph. 15:1291, full severity, on linear RGB.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_signs_are_told_apart_with_every_colour_vision(kind: str) -> None:
    colours = DivergingScale(1.0).colours(np.linspace(-1, 1, 41))
    seen = lab_of(np.clip(linear(colours) @ np.array(BLINDNESS[kind]).T, 0, 1), is_linear=True)
    for share in (5, 10, 20):
        assert np.linalg.norm(seen[20 - share] - seen[20 + share]) > 1.2 * share


def linear(rgb: NDArray[np.integer]) -> NDArray[np.float64]:
    c = np.asarray(rgb) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab_of(rgb: NDArray, is_linear: bool = False) -> NDArray[np.float64]:
    """CIELAB under D65, the other way round than in the suite."""
    rgb = rgb if is_linear else linear(rgb)
    xyz = rgb @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    t = xyz / [0.9505, 1.0, 1.089]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


if __name__ == "__main__":
    import tempfile

    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        own = walk(Path(made) / "sick/P01/walk1")
        for picture_name in PICTURES:
            Image.fromarray(drawn(own, picture_name)).save(GOLDEN / f"{picture_name}.png", optimize=True)
