"""Images and videos rendered without a screen by the script, and its error messages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

import attention_viewer
from gait.body.skeleton import Joint
from gait.cli.arguments import parse
from gait.errors import GaitError
from gait.viewing.file_backend import FileBackend
from gait.viewing.run_viewer import ViewRequest, open_viewer_state, run_viewer
from gait.viewing.video import screenshot, video_writer
from gait.viewing.viewer_arguments import ViewerArguments
from gait.viewing.viewer_state import ViewerState
from tests.helpers.explanation_cases import write_network
from tests.helpers.viewing_cases import BODIES, REPOSITORY, fraction_different, write_fitted_trial

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("world")
    write_fitted_trial(base / "poses/sick/P01/walk1", seconds=1.6)
    write_network(base / "mlp.ckpt")
    return base


VIEW = ("screenshot", "video", "image_dir", "speed", "at_s")


def request(world: Path, **changes: object) -> ViewRequest:
    known = {"trial": world / "poses/sick/P01/walk1", "network": world / "mlp.ckpt"}
    view = ViewerArguments(size=(320, 240), **{name: changes.pop(name) for name in VIEW if name in changes})
    return ViewRequest(FileBackend(BODIES), **(known | changes), view=view)


def script(*argv: object, **more: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "attention_viewer.py"), *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=120, **more)


@pytest.fixture(scope="module")
def state(world: Path) -> Iterator[ViewerState]:
    with open_viewer_state(request(world)) as state:
        yield state


@pytest.mark.parametrize("size", [(640, 400), (1280, 720), (3840, 2160)])
def test_screenshot_of_any_window_size_shows_every_part(state: ViewerState, size: tuple[int, int]) -> None:
    image = screenshot(state, Path(), *size)
    assert image.shape == (size[1], size[0], 3)
    # Something is drawn in every part: control panel, body, playback controls, heatmap, probability.
    for across, down in ((0.1, 0.3), (0.6, 0.3), (0.6, 0.56), (0.6, 0.75), (0.6, 0.95)):
        x, y, dx, dy = int(across * size[0]), int(down * size[1]), size[0] // 12, size[1] // 24
        assert image[y - dy : y + dy, x - dx : x + dx].std() > 3, (across, down)


def test_command_line_renders_video_images_and_screenshot(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial, network = world / "poses/sick/P01/walk1", world / "mlp.ckpt"
    words = (
        "--gait", trial, "--network", network, "--video", tmp_path / "video.mp4", "--frames", tmp_path / "frames",
        "--screenshot", tmp_path / "screenshot.png", "--size", "321x241", "--at", "1", "--speed", "2",
        "--beside", trial, "--joint", "left knee", "--show", "skeleton", "path",
        "--base_folder", BODIES.model_folder, "--model", BODIES.default_model,
    )  # fmt: skip
    assert attention_viewer.main(parse(attention_viewer.Arguments, "", list(map(str, words)))) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 3, printed
    assert "the window at 1.00 s" in printed
    assert Image.open(tmp_path / "screenshot.png").size == (321, 241)
    files = sorted((tmp_path / "frames").iterdir())
    assert len(files) == 24, "1.6 s at twice the speed, 30 frames per second"
    assert [file.name for file in files[:2]] == ["frame_00001.png", "frame_00007.png"], "numbered as in the trial"
    first, middle = (np.asarray(Image.open(files[k])) for k in (0, 12))
    assert first.shape == (241, 321, 3)
    assert fraction_different(first, middle) > 0.02
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "video.mp4"))
    about = next(reader)
    assert about["size"] == (320, 240), "videos have even sizes"
    assert about["fps"] == 30
    frames = [np.frombuffer(frame, np.uint8).reshape(240, 320, 3) for frame in reader]
    assert len(frames) == 24
    alike = np.abs(frames[12].astype(int) - middle[:240, :320])
    assert np.median(alike) < 12, "the video shows the same images"
    assert not [file for file in tmp_path.iterdir() if "partial" in file.name]


def test_export_video_in_slow_motion_repeats_frames_but_export_images_does_not(tmp_path: Path) -> None:
    trial = write_fitted_trial(tmp_path / "sick/P01/walk1", seconds=0.6, markers=0)
    view = ViewerArguments(size=(200, 200), speed=0.25, image_dir=tmp_path / "frames", video=tmp_path / "a.mp4")
    run_viewer(ViewRequest(FileBackend(BODIES), trial, view=view))
    files = sorted((tmp_path / "frames").iterdir())
    assert [file.name for file in files] == [f"frame_{k:05d}.png" for k in range(1, 61)]
    about = next(reader := imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4")))
    assert about["duration"] == pytest.approx(2.4, abs=0.1)
    reader.close()


def test_command_line_without_a_screen_is_one_error_line(world: Path) -> None:
    """In a process of its own, as GLFW and the offscreen windows load the driver in different ways."""
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = script("--gait", world / "poses/sick/P01/walk1", env=environment)
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert "No window can be shown here" in line
    assert "--screenshot" in line


def test_command_line_without_imgui_bundle_is_one_error_line(world: Path, tmp_path: Path) -> None:
    code = (
        "import sys, runpy\n"
        "sys.modules['imgui_bundle'] = None\n"
        "sys.argv = ['attention_viewer.py', *sys.argv[1:]]\n"
        "runpy.run_path('attention_viewer.py', run_name='__main__')\n"
    )
    argv = ["--gait", str(world / "poses/sick/P01/walk1"), "--video", str(tmp_path / "video.mp4"), "--size", "320x240"]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=120
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "imgui-bundle" in line
    assert "setup.sh" in line
    assert not (tmp_path / "video.mp4").exists()


def test_video_writer_without_imageio_ffmpeg_names_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(GaitError, match=r"imageio-ffmpeg.*setup\.sh"), video_writer(tmp_path / "a.mp4", 64, 64):
        pass


def test_fit_and_training_do_not_import_window_libraries() -> None:
    code = (
        "import sys, shape_optimizer, train_multi_mlp, gait.viewing.viewer_state, gait.report.fit_figure\n"
        "print(sorted({'imgui_bundle', 'glfw', 'imageio_ffmpeg'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "files", "message"),
    [
        ({"trial": None}, {"screenshot": "a.png"}, "--gait"),
        ({"trial": "nowhere"}, {"screenshot": "a.png"}, "no such file or folder"),
        ({"trial": "poses"}, {"screenshot": "a.png"}, "no fitted trial"),
        ({"network": "nothing.ckpt"}, {"screenshot": "a.png"}, "nothing.ckpt"),
        ({"method": "attention"}, {"screenshot": "a.png"}, "attention cannot explain this network"),
        ({"network": None}, {"video": "video.avi"}, "name it video.mp4"),
        ({"network": None}, {"video": "a_file/video.mp4"}, "video.mp4"),
        ({"network": None}, {"image_dir": "a_file"}, "cannot be written"),
    ],
)
def test_run_viewer_errors_are_one_line(world: Path, tmp_path: Path, changes: dict, files: dict, message: str) -> None:
    (tmp_path / "a_file").write_text("in the way")
    changes = {
        name: world / value if isinstance(value, str) and name != "method" else value for name, value in changes.items()
    }
    with pytest.raises(GaitError) as failure:
        run_viewer(request(world, **changes, **{name: tmp_path / file for name, file in files.items()}))
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)
    assert [file.name for file in tmp_path.iterdir()] == ["a_file"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--size", "10x10"], ["--size", "big"], ["--at", "-1"], ["--speed", "0"], ["--show", "bones"],
    ],
)  # fmt: skip
def test_viewer_arguments_reject_invalid_values(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(ViewerArguments, "", argv)
    assert argv[0] in capsys.readouterr().err.splitlines()[-1]


def test_viewer_arguments_name_joints_and_layers(capsys: pytest.CaptureFixture[str]) -> None:
    given = parse(ViewerArguments, "", ["--joint", "Left Knee", "--show", "markers", "confidence"])
    assert given.joint is Joint.LEFT_KNEE
    assert given.show == ("markers", "uncertainty")
    with pytest.raises(SystemExit):
        parse(ViewerArguments, "", ["--joint", "toe"])
    assert "no such joint: toe; choose one of" in capsys.readouterr().err


def test_viewer_speed_benchmark_runs_with_quick(
    run: Callable[..., tuple[dict, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)  # GLFW and the offscreen windows load the driver in different ways
    result, _ = run("viewer_speed", "--quick", "--threads", 1)
    assert result["vertices"] == 13_718
    if result["start"] is not None:  # there is a screen, or xvfb-run
        order = ("window", "body", "ready", "colours", "checked")
        times = [result["start"]["wall_s"][name] for name in order]
        assert times == sorted(times)
        assert 0 < result["first_explanation_s"] <= times[-1]
    for name in ("window_frames_per_second", "export_ms_per_frame", "static_ms", "window_frame_ms"):
        assert result[name] > 0
