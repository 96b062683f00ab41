"""Pictures and films without a screen, as the script draws them, and what it says where it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from gait.errors import GaitError
from gait.viewing.file_backend import FileBackend
from gait.viewing.run_viewer import ViewRequest, draw_without_a_window, joint_named
from tests.helpers.explanation_cases import write_network
from tests.helpers.viewing_cases import BODIES, REPOSITORY, unlike, write_shown_walk

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("world")
    write_shown_walk(base / "poses/sick/P01/walk1", seconds=1.6)
    write_network(base / "mlp.ckpt")
    return base


def look(world: Path, **changes: object) -> ViewRequest:
    known = {"gait": world / "poses/sick/P01/walk1", "network": world / "mlp.ckpt", "size": (640, 400)}
    return ViewRequest(FileBackend(BODIES), **(known | changes))


def script(*words: object, **more: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "attention_viewer.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=120, **more)


@pytest.mark.parametrize("size", [(640, 400), (1280, 720), (3840, 2160)])
def test_the_window_of_any_size_as_a_picture(world: Path, tmp_path: Path, size: tuple[int, int]) -> None:
    still = tmp_path / "new" / "window.png"
    (line,) = draw_without_a_window(look(world, size=size, seconds=0.5), still=still)
    assert "0.50 s" in line
    picture = np.asarray(Image.open(still))
    assert picture.shape == (size[1], size[0], 3)
    # Something is drawn in every part: controls, body, what plays, map, probability.
    for across, down in ((0.1, 0.3), (0.6, 0.3), (0.6, 0.56), (0.6, 0.75), (0.6, 0.95)):
        x, y, dx, dy = int(across * size[0]), int(down * size[1]), size[0] // 12, size[1] // 24
        assert picture[y - dy : y + dy, x - dx : x + dx].std() > 3, (across, down)


def test_a_film_and_its_pictures_by_the_command_line(world: Path, tmp_path: Path) -> None:
    gait, network = world / "poses/sick/P01/walk1", world / "mlp.ckpt"
    done = script(
        "--gait", gait, "--network", network, "--video", tmp_path / "film.mp4", "--frames", tmp_path / "frames",
        "--screenshot", tmp_path / "still.png", "--size", "321x241", "--at", "1", "--speed", "2",
        "--beside", gait, "--joint", "left knee", "--show", "skeleton", "path",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3, done.stdout
    files = sorted((tmp_path / "frames").iterdir())
    assert len(files) == 24, "1.6 s at twice the speed, 30 a second"
    assert [file.name for file in files[:2]] == ["frame_00001.png", "frame_00007.png"], "as the recording counts"
    first, middle = (np.asarray(Image.open(files[k])) for k in (0, 12))
    assert first.shape == (241, 321, 3)
    assert unlike(first, middle) > 0.02
    reader = imageio_ffmpeg.read_frames(str(tmp_path / "film.mp4"))
    about = next(reader)
    assert about["size"] == (320, 240), "films have even sizes"
    assert about["fps"] == 30
    frames = [np.frombuffer(frame, np.uint8).reshape(240, 320, 3) for frame in reader]
    assert len(frames) == 24
    alike = np.abs(frames[12].astype(int) - middle[:240, :320])
    assert np.median(alike) < 12, "the film shows the pictures"
    assert not [file for file in tmp_path.iterdir() if "partial" in file.name]


def test_a_film_in_slow_motion_repeats_frames_that_are_one_picture_each(world: Path, tmp_path: Path) -> None:
    draw_without_a_window(
        look(world, size=(200, 200), network=None), pictures=tmp_path / "frames", film=tmp_path / "a.mp4", speed=0.25
    )
    assert [file.name for file in sorted((tmp_path / "frames").iterdir())] == [
        f"frame_{k:05d}.png" for k in range(1, 161)
    ]
    about = next(reader := imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4")))
    assert about["duration"] == pytest.approx(6.4, abs=0.1)
    reader.close()


def test_without_a_screen_the_window_is_one_line(world: Path) -> None:
    import os

    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = script("--gait", world / "poses/sick/P01/walk1", env=environment)
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert "No window can be shown here" in line
    assert "--screenshot" in line


@pytest.mark.parametrize(("missing", "said"), [("imgui_bundle", "imgui-bundle"), ("imageio_ffmpeg", "imageio-ffmpeg")])
def test_without_its_libraries_the_rest_runs_and_one_line_says_what_lacks(
    world: Path, tmp_path: Path, missing: str, said: str
) -> None:
    """Runs the script where one library cannot be imported."""
    code = (
        "import sys, runpy\n"
        f"sys.modules[{missing!r}] = None\n"
        "sys.argv = ['attention_viewer.py', *sys.argv[1:]]\n"
        "runpy.run_path('attention_viewer.py', run_name='__main__')\n"
    )
    words = ["--gait", str(world / "poses/sick/P01/walk1"), "--video", str(tmp_path / "film.mp4"), "--size", "320x240"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=120
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert "setup.sh" in line
    assert not (tmp_path / "film.mp4").exists()


def test_a_fit_and_a_training_load_nothing_of_the_window() -> None:
    code = (
        "import sys, shape_optimizer, train_multi_mlp, gait.viewing.viewer_state, gait.report.fit_figure\n"
        "print(sorted({'imgui_bundle', 'glfw', 'imageio_ffmpeg'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "files", "said"),
    [
        ({"gait": None}, {"still": "a.png"}, "--gait"),
        ({"gait": "nowhere"}, {"still": "a.png"}, "no such file or folder"),
        ({"gait": "poses"}, {"still": "a.png"}, "no fitted gait"),
        ({"network": "nothing.ckpt"}, {"still": "a.png"}, "nothing.ckpt"),
        ({"method": "attention"}, {"still": "a.png"}, "attention does not explain this network"),
        ({}, {"film": "film.avi"}, "name it film.mp4"),
        ({}, {"film": "a_file/film.mp4"}, "film.mp4"),
        ({}, {"pictures": "a_file"}, "cannot be written"),
    ],
)
def test_what_cannot_be_is_one_line(world: Path, tmp_path: Path, changes: dict, files: dict, said: str) -> None:
    (tmp_path / "a_file").write_text("in the way")
    changes = {
        name: world / value if isinstance(value, str) and name != "method" else value for name, value in changes.items()
    }
    with pytest.raises(GaitError) as failure:
        draw_without_a_window(look(world, **changes), **{name: tmp_path / file for name, file in files.items()})
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)
    assert [file.name for file in tmp_path.iterdir()] == ["a_file"]


@pytest.mark.parametrize(
    "words",
    [
        ["--size", "10x10"], ["--size", "big"], ["--at", "-1"], ["--speed", "0"], ["--show", "bones"],
        ["--method", "lrp"], ["--trained", "a", "--poses", "b"],
    ],
)  # fmt: skip
def test_a_command_line_without_sense_is_refused(words: list[str]) -> None:
    done = script(*words)
    assert done.returncode == 2
    assert words[0] in done.stderr.splitlines()[-1]


def test_an_unknown_joint_names_those_there_are() -> None:
    assert joint_named("Left Knee").name == "LEFT_KNEE"
    with pytest.raises(GaitError, match=r"--joint toe: .* left knee, "):
        joint_named("toe")


def test_the_benchmark_runs_in_miniature(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks/viewer_speed.py"), "--quick", "--json", str(file)],
        capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result == json.loads(file.read_text())
    assert result["vertices"] == 13_718
    assert result["window_frames_per_second"] > 1
    assert 0 < result["export_ms_per_frame"] < 5000
    assert result["still_ms"] < result["window_frame_ms"]
    assert [file.name for file in tmp_path.iterdir()] == ["result.json"]
