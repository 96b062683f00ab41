"""Videos of two trials side by side."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from gait.viewing.comparison_video import FONT_SCALE, export_comparison_video
from gait.viewing.file_backend import FileBackend
from gait.viewing.run_viewer import ViewRequest, open_viewer_state
from gait.viewing.video import render_window
from gait.viewing.viewer_arguments import ViewerArguments
from tests.helpers.explanation_cases import SMALL_MLP, write_network
from tests.helpers.viewing_cases import BODIES, fraction_different, write_fitted_trial

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two fitted trials, and a network."""
    base = tmp_path_factory.mktemp("trials")
    for number in (1, 2):
        write_fitted_trial(base / f"P{number}", seed=number, markers=0)
    write_network(base / "mlp.ckpt", SMALL_MLP)
    return base


def test_export_comparison_video_renders_each_trial_like_the_window(trials: Path, tmp_path: Path) -> None:
    backend = FileBackend(BODIES)
    requests = [
        ViewRequest(backend, trials / subject, network, view=ViewerArguments(size=(321, 301)))
        for subject, network in (("P1", None), ("P2", trials / "mlp.ckpt"))
    ]
    video_file, thumbnail_file = tmp_path / "video.mp4", tmp_path / "still.png"
    assert export_comparison_video(*requests, video_file, thumbnail_file, speed=2.0) == ()
    reader = imageio_ffmpeg.read_frames(str(video_file))
    about = next(reader)
    assert about["size"] == (640, 300)
    frames = [np.frombuffer(frame, np.uint8).reshape(300, 640, 3) for frame in reader]
    assert len(frames) == 24, "1.6 s at twice real speed, 30 frames per second"
    picture = np.asarray(Image.open(thumbnail_file))
    assert np.median(np.abs(frames[12].astype(int) - picture)) < 12
    for half, request in zip((picture[:, :320], picture[:, 320:]), requests, strict=True):
        with (
            open_viewer_state(request) as session,
            render_window(session, tmp_path, 320, 300, show_controls=False, font_scale=FONT_SCALE) as draw,
        ):
            draw(0.0)
            session.seek(12 * 2 / 30 * 100)
            assert fraction_different(draw(1 / 30), half) < 0.002
    assert fraction_different(picture[:, :320], picture[:, 320:]) > 0.05


def test_export_comparison_video_ends_with_the_shorter_trial(trials: Path, tmp_path: Path) -> None:
    short = write_fitted_trial(tmp_path / "healthy/P9/walk1", seconds=0.8, markers=0)
    requests = [
        ViewRequest(FileBackend(BODIES), folder, view=ViewerArguments(size=(200, 200)))
        for folder in (short, trials / "P1")
    ]
    export_comparison_video(*requests, tmp_path / "a.mp4", tmp_path / "a.png")
    assert next(imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4")))["duration"] == pytest.approx(0.8, abs=0.04)
