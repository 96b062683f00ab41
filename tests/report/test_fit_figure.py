"""Rendering without a display and the fit figure, checked pixel by pixel where the result is known."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gait.kinematics.walking import Activity, ActivityInterval
from gait.report.fit_figure import RESIDUAL_SCALE, FitFigureData, draw_fit_figure
from gait.viewing.camera import Camera
from gait.viewing.colours import MISSING, OBSERVED, SKIN, VIRTUAL, SequentialScale
from gait.viewing.offscreen_renderer import OffscreenRenderer, RenderingUnavailableError, shared_renderer
from gait.viewing.png import png_bytes
from gait.viewing.scene import Floor, Mesh, Scene, Segments, Spheres, vertex_normals


def ball(centre: tuple[float, float, float], radius_m: float) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """A closed sphere of 40 x 80 quadrilaterals, wound counter-clockwise seen from outside."""
    rings, around = 41, 80
    polar, azimuth = np.meshgrid(np.linspace(0, np.pi, rings), np.arange(around) * 2 * np.pi / around, indexing="ij")
    unit = np.stack([np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], axis=-1)
    ring, step = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = ring * around + step, ring * around + (step + 1) % around
    faces = np.concatenate(
        [
            np.stack([a, a + around, b], -1).reshape(-1, 3),
            np.stack([b, a + around, b + around], -1).reshape(-1, 3),
        ]
    )
    return (unit.reshape(-1, 3) * radius_m + centre).astype(np.float32), faces.astype(np.int32)


def points(*rows: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, dtype=np.float32)


def pixel(image: NDArray[np.uint8], camera: Camera, position_m: tuple[float, float, float]) -> NDArray[np.int64]:
    height, width = image.shape[:2]
    column, row = camera.project_to_pixels(position_m, width, height).astype(int)
    return image[row, column].astype(np.int64)


def is_near(colour: NDArray[np.int64], expected: tuple[int, int, int], tolerance: int) -> bool:
    """Return whether two colours differ by at most ``tolerance`` per channel."""
    return bool(np.abs(colour - np.array(expected)).max() <= tolerance)


@pytest.fixture(scope="module")
def renderer() -> OffscreenRenderer:
    return shared_renderer()


@pytest.mark.parametrize("perspective", [False, True])
@pytest.mark.parametrize(("yaw_deg", "pitch_deg"), [(0.0, 0.0), (130.0, 35.0)])
def test_renderer_draws_a_ball_as_its_disc(
    renderer: OffscreenRenderer, yaw_deg: float, pitch_deg: float, perspective: bool
) -> None:
    centre, radius_m = (0.3, 1.1, -0.2), 0.4
    camera = Camera(centre, yaw_deg, pitch_deg, view_height_m=2.0, distance_m=8.0, perspective=perspective)
    scene = Scene(meshes=(Mesh(*ball(centre, radius_m)),), floor=None, background=(255, 0, 255))
    image = renderer.draw(scene, camera, 320, 240)
    assert image.shape == (240, 320, 3)
    assert image.dtype == np.uint8
    rows, columns = np.mgrid[:240, :320]
    off_centre = np.hypot(columns + 0.5 - 160, rows + 0.5 - 120)
    radius_px = radius_m / 2.0 * 240
    drawn = (image != (255, 0, 255)).any(axis=-1)
    assert drawn[off_centre < radius_px - 2].all()
    assert not drawn[off_centre > radius_px + 2].any()
    inside = image[off_centre < radius_px - 2].astype(int)
    assert (inside.mean(axis=0) < np.array(SKIN) + 20).all()
    assert inside.mean() > 120
    assert inside[:, 0].max() - inside[:, 0].min() > 30, "shading shows the form"


def test_renderer_draws_markers_and_segments_at_their_positions(renderer: OffscreenRenderer) -> None:
    camera = Camera((0.0, 1.0, 0.0), yaw_deg=25.0, pitch_deg=15.0, view_height_m=1.5)
    observed, virtual = (0.35, 1.2, 0.3), (-0.4, 0.7, 0.1)
    scene = Scene(
        spheres=(
            Spheres(points(observed, (np.nan,) * 3), 0.03, OBSERVED),
            Spheres(points(virtual), 0.03, VIRTUAL),
        ),
        segments=(Segments(points(observed), points(virtual), (0, 160, 0), width_px=4.0),),
        floor=None,
    )
    image = renderer.draw(scene, camera, 400, 300)
    assert is_near(pixel(image, camera, observed), OBSERVED, 25)
    assert is_near(pixel(image, camera, virtual), VIRTUAL, 25)
    middle = tuple((np.array(observed) + virtual) / 2)
    assert is_near(pixel(image, camera, middle), (0, 160, 0), 3)
    marker_px = (np.abs(image.astype(int) - OBSERVED).max(axis=-1) < 60).sum()
    assert marker_px == pytest.approx(np.pi * (0.03 / 1.5 * 300) ** 2, rel=0.3), "and the NaN marker does not"


def test_renderer_shows_markers_under_the_skin_fainter_with_depth(renderer: OffscreenRenderer) -> None:
    camera = Camera((0.0, 0.0, 0.0), view_height_m=1.0)
    vertices, faces = ball((0.0, 0.0, 0.0), 0.3)
    away_from_skin = []
    for depth_m in (-0.02, 0.03, 0.07, 0.25):
        marker = Spheres(points((0.0, 0.0, 0.3 - depth_m)), 0.02, OBSERVED)
        with_marker = renderer.draw(Scene((Mesh(vertices, faces),), (marker,), floor=None), camera, 200, 200)
        without = renderer.draw(Scene((Mesh(vertices, faces),), floor=None), camera, 200, 200)
        away_from_skin.append(np.abs(with_marker[100, 100].astype(int) - without[100, 100]).max())
    assert away_from_skin == sorted(away_from_skin, reverse=True)
    assert away_from_skin[0] > 100
    assert away_from_skin[-1] > 5


def test_renderer_hides_surfaces_behind_others(renderer: OffscreenRenderer) -> None:
    camera = Camera((0.0, 0.0, 0.0), view_height_m=1.0)
    near_ball = Mesh(*ball((0.0, 0.0, 0.4), 0.2), colour=(200, 0, 0))
    far_ball = Mesh(*ball((0.0, 0.0, -0.4), 0.2), colour=(0, 0, 200))
    for meshes in ((near_ball, far_ball), (far_ball, near_ball)):
        red, _, blue = renderer.draw(Scene(meshes, floor=None), camera, 100, 100)[50, 50].astype(int)
        assert red > 100 > blue
    see_through = Mesh(near_ball.vertices_m, near_ball.faces, near_ball.colour, opacity=0.5)
    red, _, blue = renderer.draw(Scene((see_through, far_ball), floor=None), camera, 100, 100)[50, 50].astype(int)
    assert red > 60
    assert blue > 60


def test_renderer_draws_floor_grid_and_shadow(renderer: OffscreenRenderer) -> None:
    camera = Camera((0.0, 0.5, 0.0), pitch_deg=30.0, view_height_m=2.0)
    empty = renderer.draw(Scene(floor=Floor(0.0, 0.25)), camera, 300, 300)
    assert (empty < 250).any(), "grid lines"
    assert (empty > 250).mean() > 0.8
    scene = Scene((Mesh(*ball((0.0, 1.0, 0.0), 0.2)),), floor=Floor(0.0, 0.25))
    with_ball = renderer.draw(scene, camera, 300, 300)
    beside_grid = (0.1, 0.0, 0.1)
    assert pixel(with_ball, camera, beside_grid).max() < 235 < pixel(empty, camera, beside_grid).min()


def test_vertex_normals_equal_a_slow_reference() -> None:
    vertices, faces = ball((0.0, 0.0, 0.0), 0.7)
    rng = np.random.default_rng(0)
    vertices = vertices + rng.normal(0, 0.01, vertices.shape).astype(np.float32)
    slow = np.zeros_like(vertices)
    for a, b, c in faces:
        slow[[a, b, c]] += np.cross(vertices[b] - vertices[a], vertices[c] - vertices[a])
    slow /= np.linalg.norm(slow, axis=1, keepdims=True)
    assert np.allclose(vertex_normals(vertices, faces), slow, atol=1e-4)


def test_sequential_scale_is_monotonic_in_lightness_and_has_a_missing_colour() -> None:
    scale = SequentialScale(0.0, 20.0)
    colours = scale.colours(np.linspace(0, 20, 201)).astype(float)
    lightness = colours @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > -1.0).all()
    assert tuple(scale.colours(20.0)) == tuple(scale.colours(35.0)) == (253, 231, 37)
    assert tuple(scale.colours(np.nan)) == MISSING


def example_fit(frames: int = 300, markers: int = 43) -> FitFigureData:
    """Return a tall ball with markers as the body; marker k has a residual of k/2 mm, marker 3 is never visible."""
    vertices, faces = ball((0.0, 0.0, 0.0), 0.5)
    body = vertices * (0.5, 1.8, 0.3) + np.array((2.0, 0.9, 1.0), dtype=np.float32)
    three = np.stack([body + np.array((step_m, 0.0, 0.0), dtype=np.float32) for step_m in (0.0, 0.5, 1.0)])
    labels = ["LASI", "RASI", "LPSI", "RPSI"] + [f"M{k:02d}" for k in range(4, markers)]
    residual_mm = np.tile(np.arange(markers) / 2.0, (frames, 1))
    residual_mm[:, 3] = np.nan
    residual_mm[frames // 2 :, 4] = np.nan
    on_skin = np.linspace(200, len(body) - 200, markers).astype(int)
    virtual_m = three[:, on_skin]
    observed_m = virtual_m + np.array((0.0, 0.004, 0.0))
    observed_m[:, 3] = np.nan
    chosen = [frames // 10, frames // 2, frames * 9 // 10]
    return FitFigureData(
        residual_mm=residual_mm,
        labels=labels,
        rate_hz=100.0,
        frames=chosen,
        vertices_m=three,
        faces=faces,
        observed_m=observed_m,
        virtual_m=virtual_m,
        title_lines=["A trial – with an é", "second line", "a very long line " * 30],
    )


def has_colour(image: NDArray[np.uint8], colour: object) -> NDArray[np.bool_]:
    return (image == np.asarray(colour)).all(axis=-1)


def test_draw_fit_figure_has_sorted_heatmap_and_three_bodies() -> None:
    fit = example_fit()
    page = draw_fit_figure(fit)
    image = np.asarray(page)
    assert page.size == (1800, 1000)
    left, right = image[:, :620], image[:, 820:]

    rows_of = [np.flatnonzero(has_colour(left, RESIDUAL_SCALE.colours(k / 2)).sum(axis=1) > 300) for k in (0, 20, 40)]
    assert all(len(rows) >= 10 for rows in rows_of), "a row for every marker, tall enough to see"
    assert rows_of[0].min() > rows_of[1].max() > rows_of[2].max(), "worst on top"
    grey = has_colour(left, MISSING).sum(axis=1)
    never, half = (grey > 450).sum(), ((grey > 200) & (grey < 300)).sum()
    assert never >= 10, "the marker that is never visible"
    assert half >= 10, "the marker that is not visible in the second half"

    lit = right[150:900].astype(int)
    orange = (np.abs(lit - OBSERVED).max(axis=-1) < 40).any(axis=0)
    blue = (np.abs(lit - VIRTUAL).max(axis=-1) < 40).any(axis=0)
    for third in range(3):
        part = slice(third * 320, third * 320 + 320)
        assert orange[part].any(), f"measured markers of body {third}"
        assert blue[part].any(), f"fitted markers of body {third}"


def test_draw_fit_figure_shows_the_same_side_for_any_heading() -> None:
    fit = example_fit()
    facing_one_way = np.asarray(draw_fit_figure(fit))
    turn = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    turned = replace(
        fit, vertices_m=fit.vertices_m @ turn.T, observed_m=fit.observed_m @ turn.T, virtual_m=fit.virtual_m @ turn.T
    )
    facing_another = np.asarray(draw_fit_figure(turned))
    differing = (np.abs(facing_one_way.astype(int) - facing_another) > 40).any(axis=-1)
    assert differing.mean() < 0.001


def test_draw_fit_figure_shades_the_times_of_standing() -> None:
    fit = example_fit()
    frames = len(fit.residual_mm)
    plain = np.asarray(draw_fit_figure(fit))
    widths = []
    for end in (frames // 4, frames // 2):
        activity = (ActivityInterval(Activity.STANDING, 0, end), ActivityInterval(Activity.WALKING, end, frames))
        shaded = np.asarray(draw_fit_figure(replace(fit, activity=activity)))
        rows, columns = np.nonzero((plain != shaded).any(axis=-1))
        assert np.ptp(rows) <= 62, "beside the mean residual"
        widths.append(np.ptp(columns))
    assert widths[1] == pytest.approx(2 * widths[0], abs=4)
    walking = (ActivityInterval(Activity.WALKING, 0, frames),)
    np.testing.assert_array_equal(np.asarray(draw_fit_figure(replace(fit, activity=walking))), plain)


def test_draw_fit_figure_draws_unobserved_skin_pale() -> None:
    fit = example_fit()
    shape = fit.vertices_m.shape[:2]
    plain, known, half, unknown = (
        np.asarray(draw_fit_figure(replace(fit, observed_skin=skin))).astype(int)
        for skin in (None, *(np.full(shape, value) for value in (1.0, 0.5, 0.0)))
    )
    assert np.abs(known - plain).max() <= 1
    bodies = (slice(150, 900), slice(820, None))
    skin = (np.abs(plain - unknown)[bodies] > 20).all(axis=-1)
    assert skin.mean() > 0.02
    brightness = [image[bodies][skin].mean() for image in (plain, half, unknown)]
    assert brightness[0] + 10 < brightness[1] < brightness[2] - 10
    legend = (slice(950, None), slice(820, None))
    np.testing.assert_array_equal(known[legend], plain[legend])
    assert (unknown[legend] != plain[legend]).any(), "the legend says what pale means"


@pytest.mark.parametrize(("frames", "markers"), [(1, 5), (20_000, 9), (37, 90)])
def test_draw_fit_figure_of_any_length_and_number_of_markers(frames: int, markers: int) -> None:
    fit = example_fit(frames, markers)
    page = draw_fit_figure(fit)
    assert page.width == 1800
    assert page.height >= 1000


def test_draw_fit_figure_averages_long_trials_without_gaps() -> None:
    fit = example_fit(20_000, 9)
    residual_mm = np.full((20_000, 9), 4.0)
    residual_mm[::2, :] = np.nan
    image = np.asarray(draw_fit_figure(replace(fit, residual_mm=residual_mm)))
    assert has_colour(image[:, :620], RESIDUAL_SCALE.colours(4.0)).sum() > 100_000
    assert has_colour(image[:, 100:600], MISSING).sum() < 1000


def test_offscreen_renderer_without_egl_names_the_packages_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLCONTEXT_LINUX_LIBEGL", "libEGL-that-is-not-there.so")
    with pytest.raises(RenderingUnavailableError) as failure:
        OffscreenRenderer()
    assert "apt-get install libegl1 libgl1 libgl1-mesa-dri" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_png_bytes_are_lossless():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    read = Image.open(io.BytesIO(png_bytes(pixels)))
    read.verify()
    read = Image.open(io.BytesIO(png_bytes(pixels)))
    assert (read.format, read.mode) == ("PNG", "RGB")
    np.testing.assert_array_equal(np.asarray(read), pixels)


def test_shared_renderer_has_one_context_per_thread(renderer):
    """A Dask worker fits two subjects at a time; an OpenGL context is current in one thread only."""
    scene = Scene(meshes=(), floor=Floor(0.0))
    expected = renderer.draw(scene, Camera(), 60, 40)
    with ThreadPoolExecutor(3) as pool:
        drawn = list(pool.map(lambda _: shared_renderer().draw(scene, Camera(), 60, 40), range(12)))
    for image in drawn:
        np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(renderer.draw(scene, Camera(), 60, 40), expected)
