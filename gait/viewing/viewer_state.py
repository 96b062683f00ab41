"""What is being looked at, and everything that can be done with it; nothing here draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gait.body.skeleton import Joint
from gait.errors import GaitError
from gait.explaining.vertex_attribution import joint_weights, on_vertices
from gait.motion.pose_files import POSES_FILE
from gait.motion.trial_paths import person_of
from gait.report.training.display_names import in_order
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.background_jobs import Jobs
from gait.viewing.build_scene import BACKGROUND, Figure, Layers, floor_height, gait_scene
from gait.viewing.camera import Camera
from gait.viewing.loaded_trial import LoadedTrial, holds_a_walk
from gait.viewing.mesh_cache import MeshBuilder, MeshCache
from gait.viewing.phase_sync import ComparisonTrial
from gait.viewing.scene import Scene
from gait.viewing.viewer_backend import LoadedNetwork, MethodInfo, ViewerBackend

NETWORK_ENDINGS = (".ckpt", ".pt", ".pth")
_RECORDINGS = (".c3d", ".trc")
SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0)
_FLY_M_S, _TURN_DEG_S = 2.0, 60.0
_MOST_LISTED = 2000  # gaits of one folder


@dataclass
class Listed:
    """A gait of the folder that is listed."""

    folder: Path
    name: str
    probability: float | None = None  # of sick; None while nobody has judged it
    problem: str = ""  # why it could not be judged


@dataclass
class Body:
    """A gait with its skin and what colours it."""

    gait: LoadedTrial
    course: MeshCache | None
    weights: NDArray[np.float64] | None  # (V, 22) of the joints' importance on the skin

    def figure(self, frame: int) -> Figure:
        """The body in one frame."""
        joints = self.gait.sequence.joints_m[frame]
        if self.course is None:
            return Figure(joints, None, None)
        return Figure(joints, self.course.at(frame), self.course.maker.faces)


@dataclass
class ViewerState:
    """All that the window shows, and what its controls do."""

    workbench: ViewerBackend
    jobs: Jobs = field(default_factory=Jobs)
    body: Body | None = None
    ghost: ComparisonTrial | None = None
    network: LoadedNetwork | None = None
    method: MethodInfo | None = None
    explained: AttributionOverlay | None = None
    layers: Layers = field(default_factory=Layers)
    camera: Camera = field(default_factory=lambda: Camera(perspective=True, view_height_m=2.4, pitch_deg=8.0))
    position: float = 0.0  # in frames, with fractions
    playing: bool = False
    loop: bool = True
    speed: float = 1.0
    follow: bool = True
    joint: Joint | None = None
    window_start: int = 0  # frame at which the explained window is wanted to begin
    window_only: bool = False  # colours of that window's frames alone
    help: bool = False
    listed: list[Listed] = field(default_factory=list)
    listed_folder: Path | None = None
    _explanations: dict[tuple[Path, Path, str], AttributionOverlay] = field(default_factory=dict)
    _wants_explanation: bool = False

    # --- opening

    def open_path(self, path: Path) -> None:
        """Open whatever was named or dropped: a gait, a network, or a folder of gaits."""
        path = Path(path)
        if path.is_file() and path.suffix.lower() in NETWORK_ENDINGS:
            self.open_network(path)
        elif path.is_dir() and not holds_a_walk(path):
            self.list_folder(path)
        elif path.is_dir() or (path.is_file() and holds_a_walk(path.parent)):
            self.open_gait(path)
        elif path.suffix.lower() in _RECORDINGS:
            self.jobs.refuse(
                f"{path}: this is a recording of markers; fit a body to it first, with shape_optimizer.py."
            )
        elif path.exists():
            self.jobs.refuse(f"{path}: this is neither a fitted walk ({POSES_FILE}) nor a network (.ckpt).")
        else:
            self.jobs.refuse(f"{path}: there is no such file or folder.")

    def open_gait(self, folder: Path) -> None:
        """Show another gait."""

        def read() -> Body:
            gait = self.workbench.gait(folder)
            if gait.body is None:
                return Body(gait, None, None)
            course = MeshCache(MeshBuilder(gait.body, gait.sequence), gait.frames)
            return Body(gait, course, joint_weights(gait.body, gait.sequence.betas))

        self.jobs.start(f"Loading {_short(folder)}", read, self._show, replaces="gait")

    def open_network(self, file: Path, method: str | None = None) -> None:
        """Take another network, and explain by a method of it; the same one as before, or its default, if None."""
        self.jobs.start(
            f"Loading {_short(file)}",
            lambda: self.workbench.network(file),
            lambda network: self._take_network(network, method),
            replaces="network",
        )

    def open_ghost(self, folder: Path) -> None:
        """Show a second person beside the first."""
        self.jobs.start(
            f"Loading {_short(folder)}",
            lambda: ComparisonTrial.of(self.workbench.gait(folder)),
            self._take_ghost,
            "ghost",
        )

    def open_healthy_mean(self, folder: Path) -> None:
        """Show the mean healthy walker of a folder of fitted gaits beside the person."""
        self.jobs.start(
            f"Averaging the healthy walks of {_short(folder)}",
            lambda: ComparisonTrial.of(self.workbench.healthy_mean(folder)),
            self._take_ghost,
            "ghost",
        )

    def open_beside(self, path: Path) -> None:
        """Show whatever was named beside the person: a gait, or the healthy mean of a folder of gaits."""
        if Path(path).is_dir() and not holds_a_walk(path):
            self.open_healthy_mean(path)
        else:
            self.open_ghost(path)

    def no_ghost(self) -> None:
        """Nobody beside the person."""
        if self.ghost is not None:
            self.ghost.close()
        self.ghost = None

    def _show(self, body: Body) -> None:
        if self.body is not None and self.body.course is not None:
            self.body.course.close()
        self.body = body
        self.position, self.playing, self.window_start = 0.0, False, 0
        self._explanations.clear()
        self.explained = None
        self.jobs.lines += body.gait.notes
        self.frame_to_body()
        if self._wants_explanation:
            self.explain()

    def _take_network(self, network: LoadedNetwork, wanted: str | None) -> None:
        names = [method.name for method in network.methods]
        if wanted is not None and wanted not in names:
            raise GaitError(f"{network.file}: {wanted} does not explain this network; there are {', '.join(names)}.")
        if wanted is None and self.method is not None and self.method.name in names:
            wanted = self.method.name
        self.network = network
        self.method = network.methods[names.index(wanted) if wanted else 0]
        self.explained = None
        self._explanations.clear()
        for listed in self.listed:
            listed.probability, listed.problem = None, ""
        if self._wants_explanation:
            self.explain()

    def _take_ghost(self, ghost: ComparisonTrial) -> None:
        self.no_ghost()
        self.ghost = ghost
        self.layers.ghost = True
        self.jobs.lines += [note for note in ghost.gait.notes if note not in self.jobs.lines]

    # --- a folder of gaits

    def list_folder(self, folder: Path) -> None:
        """List all fitted gaits in a folder, however deep."""
        self.jobs.start(f"Looking through {_short(folder)}", lambda: _gaits_in(folder), self._take_list, "list")

    def judge_listed(self) -> None:
        """Ask the network about every gait of the list."""
        network = self.network
        if network is None:
            return
        for number, listed in enumerate(self.listed):
            if listed.probability is None:
                self.jobs.start(
                    f"Judging {number + 1} of {len(self.listed)}: {listed.name}",
                    self._judging(network, listed),
                    lambda _: None,
                    replaces=f"judge {listed.folder}",
                )

    def _judging(self, network: LoadedNetwork, listed: Listed) -> Callable[[], None]:
        def judge() -> None:
            try:
                listed.probability = self.workbench.probability(network, listed.folder)
            except GaitError as error:
                listed.problem = str(error)

        return judge

    def _take_list(self, found: tuple[Path, list[Listed]]) -> None:
        self.listed_folder, self.listed = found
        if not self.listed:
            self.jobs.refuse(f"{self.listed_folder}: no fitted gait in it.")

    # --- explaining

    def explain(self) -> None:
        """Explain the whole recording by the method chosen, or show what was explained before."""
        gait, network, method = self.body.gait if self.body else None, self.network, self.method
        if gait is None or network is None or method is None:
            return
        self._wants_explanation = True
        key = (network.file, gait.folder, method.name)
        if key in self._explanations:
            self.explained = self._explanations[key]
            return
        self.jobs.start(
            f"Explaining {gait.name}: {method.title}",
            lambda: AttributionOverlay(
                gait,
                network,
                method,
                self.workbench.explained(network, gait, method.name, self.jobs.told),
                self.workbench.figure_line(network, gait, method.name),
            ),
            lambda explained: self._take_explanation(key, explained),
            replaces="explain",
        )

    def want_explanation(self) -> None:
        """Explain whenever there are a walk and a network."""
        self._wants_explanation = True

    def choose_method(self, name: str) -> None:
        """Explain by another method."""
        if self.network is not None:
            self.method = next(method for method in self.network.methods if method.name == name)
            if self._wants_explanation:
                self.explain()

    def _take_explanation(self, key: tuple[Path, Path, str], explained: AttributionOverlay) -> None:
        self._explanations[key] = explained
        current = self.body and self.network and self.method
        if current and key == (self.network.file, self.body.gait.folder, self.method.name):  # type: ignore[union-attr]
            self.explained = explained

    @property
    def learnt_from_this_person(self) -> bool:
        """Whether the network has been trained on the person shown: then what it says of them proves nothing."""
        if self.body is None or self.network is None:
            return False
        return person_of(self.body.gait.folder) in self.network.learnt_from

    @property
    def window(self) -> int | None:
        """The number of the explained window that is chosen."""
        return self.explained.nearest_window(self.window_start) if self.explained else None

    # --- time

    @property
    def frames(self) -> int:
        """Of the gait shown; 0 if there is none."""
        return self.body.gait.frames if self.body else 0

    @property
    def frame(self) -> int:
        """The one shown, from 0."""
        return min(int(self.position + 1e-6), max(self.frames - 1, 0))

    def seek(self, frame: float) -> None:
        """Go to a frame, counted from 0; the camera comes along if it follows."""
        before = self.frame
        self.position = float(np.clip(frame, 0, max(self.frames - 1, 0)))
        if self.follow and self.body is not None and self.frame != before:
            pelvis = self.body.gait.sequence.joints_m[:, Joint.PELVIS]
            moved = pelvis[self.frame] - pelvis[before]
            x, y, z = self.camera.target_m
            self.camera = replace(self.camera, target_m=(x + float(moved[0]), y, z + float(moved[2])))

    def step(self, frames: int) -> None:
        """Some frames on or back, and stop."""
        self.playing = False
        self.seek(self.frame + frames)

    def toggle_play(self) -> None:
        """Play, or stop; from the beginning if it stands at the end."""
        self.playing = self.frames > 0 and not self.playing
        if self.playing and self.frame >= self.frames - 1:
            self.seek(0)

    def advance(self, seconds: float) -> None:
        """Let time pass, and take what jobs have finished."""
        self.jobs.poll()
        if not self.playing or self.body is None:
            return
        place = self.position + seconds * self.speed * self.body.gait.rate_hz
        if place >= self.frames:
            self.playing = self.loop
            place = place % self.frames if self.loop else self.frames - 1
        self.seek(place)

    def moving(self) -> bool:
        """Whether the next picture may be another one although nobody touches anything."""
        return self.playing or bool(self.jobs.busy)

    # --- the camera

    def frame_to_body(self) -> None:
        """Look at the whole body, from ahead and to one side."""
        if self.body is None:
            return
        joints = self.body.gait.sequence.joints_m
        floor = floor_height(joints)
        stature = float(np.percentile(joints[:, Joint.HEAD, 1], 95)) - floor + 0.15
        x, _, z = joints[self.frame, Joint.PELVIS]
        facing = joints[:, Joint.LEFT_HIP] - joints[:, Joint.RIGHT_HIP]
        ahead = np.cross(facing.mean(axis=0), [0.0, 1.0, 0.0])
        yaw = float(np.degrees(np.arctan2(ahead[0], ahead[2]))) + 40.0
        height = max(stature, 0.5) * 1.25
        self.camera = Camera(
            (float(x), floor + 0.47 * stature, float(z)), yaw % 360.0, 8.0, height, 2.6 * height, perspective=True
        )

    def fly(self, right: float, up: float, ahead: float, turn: float, seconds: float) -> None:
        """Move the camera for a while; each direction is -1, 0 or 1, and ``turn`` is to the left."""
        way = _FLY_M_S * seconds
        self.camera = self.camera.flown(right * way, up * way, ahead * way).turned(turn * _TURN_DEG_S * seconds)

    def nearest_joint(self, column: float, row: float, width: int, height: int, reach: float) -> Joint | None:
        """The joint that is drawn within ``reach`` pixels of a place in a picture of that size, the nearest one."""
        if self.body is None:
            return None
        places = self.camera.pixels(self.body.gait.sequence.joints_m[self.frame], width, height)
        distance = np.hypot(places[:, 0] - column, places[:, 1] - row)
        nearest = int(distance.argmin())
        return Joint(nearest) if distance[nearest] <= reach else None

    # --- what is drawn

    def look(self) -> object:
        """Equal as long as ``scene`` and the camera give the same picture."""
        things = (self.body, self.ghost, self.explained)
        layers = tuple(vars(self.layers).values())
        return (*map(id, things), self.frame, self.camera, layers, self.joint, self.window, self.window_only)

    def scene(self) -> Scene:
        """Of the frame shown."""
        if self.body is None:
            return Scene(background=BACKGROUND)
        gait, frame = self.body.gait, self.frame
        values = scale = ends = None
        if self.explained is not None and self.window is not None:
            ends = self.explained.window(self.window)
        if self.explained is not None and self.body.weights is not None:
            scale = self.explained.scale
            of_joints = self.explained.values[frame]
            if self.window_only and ends is not None and not ends[0] <= frame <= ends[1]:
                of_joints = np.full_like(of_joints, np.nan)
            values = on_vertices(of_joints, self.body.weights)
        ghost = None
        if self.ghost is not None and self.layers.ghost:
            ghost = self.ghost.beside(gait, frame)
        return gait_scene(
            gait,
            frame,
            self.body.figure(frame),
            self.layers,
            values=values,
            scale=scale,
            ghost=ghost,
            chosen=self.joint,
            ends=ends,
        )

    def close(self) -> None:
        """End what runs beside the drawing."""
        self.jobs.close()
        if self.body is not None and self.body.course is not None:
            self.body.course.close()
        self.no_ghost()


def _gaits_in(folder: Path) -> tuple[Path, list[Listed]]:
    found = []
    for file in folder.rglob(POSES_FILE):
        found.append(Listed(file.parent, file.parent.relative_to(folder).as_posix()))
        if len(found) >= _MOST_LISTED:
            break
    return folder, sorted(found, key=lambda listed: in_order(listed.name))


def _short(path: Path) -> str:
    return "/".join(Path(path).parts[-3:])
