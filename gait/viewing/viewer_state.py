"""The state of the viewer and every action of its controls. Nothing here draws."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gait.body.skeleton import Joint
from gait.capture.formats import RECORDING_SUFFIXES
from gait.errors import GaitError
from gait.explaining.evidence.finding import Evidence
from gait.explaining.vertex_attribution import to_vertices
from gait.motion.pose_npz import POSES_FILE
from gait.motion.trial_paths import parse_subject_id
from gait.text import natural_key
from gait.viewing.actor import Actor
from gait.viewing.attribution_overlay import AttributionOverlay
from gait.viewing.background_jobs import Jobs
from gait.viewing.build_scene import BACKGROUND, VisibleLayers, build_scene
from gait.viewing.camera import Camera, whole_body_camera
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import changed_trial, is_fitted_trial
from gait.viewing.phase_sync import body_frame_beside
from gait.viewing.scene import Scene

if TYPE_CHECKING:  # they import torch
    from gait.explaining.method import Method
    from gait.explaining.trained_network import TrainedNetwork

NETWORK_ENDINGS = (".ckpt", ".pt", ".pth")
EXPLAINING = "explain"
"""Kind of the job that explains the trial."""
CHECKING = "check"
"""Beginning of the kind of a job that checks an explanation by deletion."""
FINDING_EVIDENCE = "evidence"
"""Kind of the job that compares the trial with controls."""
SPEEDS = (0.1, 0.25, 0.5, 1.0, 2.0)
_FLY_M_S, _TURN_DEG_S = 2.0, 60.0
_MAX_LISTED = 2000  # trials per folder
_COMPARISON_BYTES = 96 << 20  # of meshes of the comparison


@dataclass
class TrialListEntry:
    """A trial in the list of a folder."""

    folder: Path
    name: str
    probability: float | None = None  # P(sick); None if not classified yet
    problem: str = ""  # reason if it could not be classified


@dataclass
class ViewerState:
    """State of the window; its methods are the actions of the controls."""

    backend: FileBackend
    jobs: Jobs = field(default_factory=Jobs)
    actor: Actor | None = None
    comparison: Actor | None = None
    network: TrainedNetwork | None = None
    method: Method | None = None
    overlay: AttributionOverlay | None = None
    finding: int | None = None  # index of the selected finding of the evidence
    layers: VisibleLayers = field(default_factory=VisibleLayers)
    camera: Camera = field(default_factory=lambda: Camera(perspective=True, view_height_m=2.4, pitch_deg=8.0))
    position: float = 0.0  # playback position in frames, fractional
    playing: bool = False
    loop: bool = True
    speed: float = 1.0
    follow: bool = True
    joint: Joint | None = None  # selected
    window_start: int = 0  # first frame of the selected window, as set by the user
    window_only: bool = False  # colour only the frames of the selected window
    help: bool = False  # the help page is open
    listed: list[TrialListEntry] = field(default_factory=list)
    listed_folder: Path | None = None
    _explanations: dict[tuple[Path, Path, str], AttributionOverlay] = field(default_factory=dict)
    _evidence: dict[tuple[Path, Path, str], Evidence] = field(default_factory=dict)
    _changed_walk: Actor | None = None  # of the counterfactual, while it is the comparison
    _explanation_requested: bool = False

    # --- opening

    def open_path(self, path: Path) -> None:
        """Open a trial, a network or a folder of trials."""
        path = Path(path)
        if path.is_file() and path.suffix.lower() in NETWORK_ENDINGS:
            self.open_network(path)
        elif path.is_dir() and not is_fitted_trial(path):
            self.list_folder(path)
        elif path.is_dir() or (path.is_file() and is_fitted_trial(path.parent)):
            self.open_trial(path)
        else:
            problem = f"this is neither a fitted trial ({POSES_FILE}) nor a network (.ckpt)"
            if path.suffix.lower() in RECORDING_SUFFIXES:
                problem = "this is a marker recording; fit a body to it with shape_optimizer.py first"
            self.jobs.report_error(f"{path}: {problem if path.exists() else 'no such file or folder'}.")

    def open_trial(self, folder: Path) -> None:
        """Show a fitted trial."""
        self.jobs.start(
            "trial",
            f"Loading {_short_path(folder)}",
            lambda: Actor.of(self.backend.load_trial(folder)),
            self._on_trial_loaded,
        )

    def open_network(self, file: Path, method: str | None = None) -> None:
        """Load a network. If ``method`` is None, keep the current one if the network supports it, else its default."""
        self.jobs.start(
            "network",
            f"Loading {_short_path(file)}",
            lambda: self.backend.load_network(file),
            lambda network: self._on_network_loaded(network, method),
        )

    def open_comparison(self, folder: Path) -> None:
        """Show a second trial beside the first; of a folder of trials, the mean stride of its controls."""
        is_trial = not folder.is_dir() or is_fitted_trial(folder)
        load = self.backend.load_trial if is_trial else self.backend.load_normative_stride
        self.jobs.start(
            "comparison",
            f"{'Loading' if is_trial else 'Averaging the control trials in'} {_short_path(folder)}",
            lambda: Actor.of(load(folder), _COMPARISON_BYTES),
            self._on_comparison_loaded,
        )

    def close_comparison(self) -> None:
        """Stop showing the second trial."""
        if self.comparison is not None:
            self.comparison.close()
        self.comparison = self._changed_walk = None

    def _on_trial_loaded(self, actor: Actor) -> None:
        if self.actor is not None:
            self.actor.close()
        self.actor = actor
        self.position, self.playing, self.window_start = 0.0, False, 0
        self._explanations.clear()
        self._forget_evidence()
        self.overlay = None
        self.jobs.messages += actor.trial.notes
        self.view_whole_body()
        if self._explanation_requested:
            self.explain()

    def _on_network_loaded(self, network: TrainedNetwork, method: str | None) -> None:
        names = network.methods
        if method is not None and method not in names:
            raise GaitError(f"{network.file}: {method} cannot explain this network; choose one of {', '.join(names)}.")
        if method is None and self.method is not None and self.method.name in names:
            method = self.method.name
        self.network = network
        self.method = _method(method or names[0])
        self.overlay = None
        self._explanations.clear()
        self._forget_evidence()
        for listed in self.listed:
            listed.probability, listed.problem = None, ""
        if self._explanation_requested:
            self.explain()

    def _on_comparison_loaded(self, comparison: Actor) -> None:
        self.close_comparison()
        self.comparison = comparison
        self.layers.comparison = True
        self.jobs.messages += [note for note in comparison.trial.notes if note not in self.jobs.messages]

    # --- a folder of trials

    def list_folder(self, folder: Path) -> None:
        """List all fitted trials in a folder and its subfolders."""
        self.jobs.start(
            "list", f"Searching {_short_path(folder)}", lambda: _find_trials(folder), self._on_folder_listed
        )

    def classify_listed(self) -> None:
        """Classify every trial of the list."""
        network = self.network
        if network is None:
            return
        for number, listed in enumerate(self.listed):
            if listed.probability is None:
                self.jobs.start(
                    f"classify {listed.folder}",
                    f"Classifying {number + 1} of {len(self.listed)}: {listed.name}",
                    partial(self._classify, network, listed),
                    lambda _: None,
                )

    def _classify(self, network: TrainedNetwork, listed: TrialListEntry) -> None:
        try:
            listed.probability = self.backend.predict_probability(network, listed.folder)
        except GaitError as error:
            listed.problem = str(error)

    def _on_folder_listed(self, found: tuple[Path, list[TrialListEntry]]) -> None:
        self.listed_folder, self.listed = found
        if not self.listed:
            self.jobs.report_error(f"{self.listed_folder}: no fitted trial in it.")

    # --- explaining

    def explain(self) -> None:
        """Explain the trial, and all later ones, by the selected method, as soon as trial and network are loaded.

        The attribution is shown before it is checked by deletion. One that was computed before is shown again.
        """
        self._explanation_requested = True
        trial, network, method = self.actor.trial if self.actor else None, self.network, self.method
        if trial is None or network is None or method is None:
            return
        key = (network.file, trial.folder, method.name)
        if key in self._explanations:
            self.overlay = self._explanations[key]
            return
        self.jobs.start(
            EXPLAINING,
            f"Explaining {trial.name}: {method.title}",
            lambda: AttributionOverlay(
                trial,
                network,
                method,
                self.backend.explain(network, trial, method.name, self.jobs.report_progress),
                faithfulness_summary=None,
            ),
            lambda overlay: self._on_explanation_done(key, overlay),
        )

    def choose_method(self, name: str) -> None:
        """Switch to another explanation method."""
        if self.network is not None:
            self.method = _method(name)
            if self._explanation_requested:
                self.explain()

    def _on_explanation_done(self, key: tuple[Path, Path, str], overlay: AttributionOverlay) -> None:
        self._explanations[key] = overlay
        current = self.actor and self.network and self.method
        if current and key == (self.network.file, self.actor.trial.folder, self.method.name):  # type: ignore[union-attr]
            self.overlay = overlay
        trial, network, method = overlay.trial, overlay.network, overlay.method
        self.jobs.start(
            f"{CHECKING} {method.name}",
            f"Checking by deletion: {method.title}",
            lambda: self.backend.faithfulness_summary(network, trial, method.name),
            lambda summary: self._on_explanation_checked(key, overlay, summary),
        )

    def _on_explanation_checked(
        self, key: tuple[Path, Path, str], overlay: AttributionOverlay, summary: str | None
    ) -> None:
        checked = replace(overlay, faithfulness_summary=summary)
        if self._explanations.get(key) is overlay:
            self._explanations[key] = checked
        if self.overlay is overlay:
            self.overlay = checked

    # --- evidence

    @property
    def evidence(self) -> Evidence | None:
        """The evidence beside the attribution that is shown; None if it was not requested yet."""
        overlay = self.overlay
        if overlay is None:
            return None
        return self._evidence.get((overlay.network.file, overlay.trial.folder, overlay.method.name))

    def find_evidence(self) -> None:
        """Compare the trial with controls where the network looks, as soon as it is explained."""
        overlay = self.overlay
        if overlay is None or self.evidence is not None:
            return
        key = (overlay.network.file, overlay.trial.folder, overlay.method.name)
        self.jobs.start(
            FINDING_EVIDENCE,
            f"Comparing {overlay.trial.name} with controls",
            lambda: self.backend.find_evidence(
                overlay.network, overlay.trial, overlay.method.name, self.jobs.report_progress, overlay.attribution
            ),
            lambda evidence: self._evidence.update({key: evidence}),
        )

    def select_finding(self, number: int) -> None:
        """Go to the moment of a finding, pause there, and select its joint."""
        if self.evidence is not None:
            finding = self.evidence.findings[number]
            self.playing, self.finding, self.joint = False, number, finding.joint
            self.seek(finding.frame)

    @property
    def shows_changed_walk(self) -> bool:
        """Whether the walk after the smallest change of the decision is shown beside the trial."""
        return self.comparison is not None and self.comparison is self._changed_walk

    def show_changed_walk(self) -> None:
        """Show the walk after the smallest change of the decision beside the trial."""
        evidence = self.evidence
        counterfactual = None if evidence is None else evidence.counterfactual
        if self.actor is None or counterfactual is None or counterfactual.boundary is None:
            return
        trial, sequence = self.actor.trial, counterfactual.boundary.sequence
        self.jobs.start(
            "comparison",
            "Preparing the changed walk",
            lambda: Actor.of(changed_trial(trial, sequence), _COMPARISON_BYTES),
            self._on_changed_walk_ready,
        )

    def _on_changed_walk_ready(self, changed: Actor) -> None:
        self._on_comparison_loaded(changed)
        self._changed_walk = changed

    def _forget_evidence(self) -> None:
        """Forget what belongs to another trial or network."""
        self._evidence.clear()
        self.finding = None
        if self.shows_changed_walk:
            self.close_comparison()

    @property
    def subject_in_training_set(self) -> bool:
        """True if the network was trained on this subject; its prediction is not valid evidence then."""
        if self.actor is None or self.network is None:
            return False
        return parse_subject_id(self.actor.trial.folder) in self.network.training_subjects

    @property
    def window(self) -> int | None:
        """Index of the selected window of the explanation."""
        return self.overlay.nearest_window(self.window_start) if self.overlay else None

    # --- time

    @property
    def num_frames(self) -> int:
        """Number of frames of the trial; 0 if there is none."""
        return self.actor.trial.num_frames if self.actor else 0

    @property
    def frame(self) -> int:
        """The frame that is shown, from 0."""
        return min(int(self.position + 1e-6), max(self.num_frames - 1, 0))

    def seek(self, frame: float) -> None:
        """Go to a frame (from 0); the camera moves with the pelvis if ``follow`` is set."""
        before = self.frame
        self.position = float(np.clip(frame, 0, max(self.num_frames - 1, 0)))
        if self.follow and self.actor is not None and self.frame != before:
            pelvis = self.actor.trial.sequence.joints_m[:, Joint.PELVIS]
            displacement = pelvis[self.frame] - pelvis[before]
            x, y, z = self.camera.target_m
            self.camera = replace(self.camera, target_m=(x + float(displacement[0]), y, z + float(displacement[2])))

    def step(self, frames: int) -> None:
        """Pause, and move by a number of frames."""
        self.playing = False
        self.seek(self.frame + frames)

    def toggle_play(self) -> None:
        """Play or pause; at the end, play from the beginning."""
        self.playing = self.num_frames > 0 and not self.playing
        if self.playing and self.frame >= self.num_frames - 1:
            self.seek(0)

    def advance(self, seconds: float) -> None:
        """Advance playback by some seconds, and collect the results of finished jobs."""
        self.jobs.poll()
        if not self.playing or self.actor is None:
            return
        position = self.position + seconds * self.speed * self.actor.trial.rate_hz
        if position >= self.num_frames:
            self.playing = self.loop
            position = position % self.num_frames if self.loop else self.num_frames - 1
        self.seek(position)

    def is_animating(self) -> bool:
        """Return whether playback changes the next frame without user input."""
        return self.playing

    def is_working(self) -> bool:
        """Return whether a background job runs."""
        return self.jobs.current_job is not None

    # --- the camera

    def view_whole_body(self) -> None:
        """Place the camera so that it shows the whole body, from the front and to one side."""
        if self.actor is None:
            return
        trial = self.actor.trial
        self.camera = whole_body_camera(trial.sequence.joints_m, trial.floor_m, self.frame)

    def fly(self, right: float, up: float, ahead: float, turn: float, seconds: float) -> None:
        """Move the camera for some seconds; each direction is -1, 0 or 1, and ``turn`` is to the left."""
        distance = _FLY_M_S * seconds
        self.camera = self.camera.move(right * distance, up * distance, ahead * distance)
        self.camera = self.camera.turn(turn * _TURN_DEG_S * seconds)

    def nearest_joint(self, column: float, row: float, width: int, height: int, reach: float) -> Joint | None:
        """Return the joint nearest to a pixel of an image of that size; None if none is within ``reach`` pixels."""
        if self.actor is None:
            return None
        pixels = self.camera.project_to_pixels(self.actor.trial.sequence.joints_m[self.frame], width, height)
        distance = np.hypot(pixels[:, 0] - column, pixels[:, 1] - row)
        nearest = int(distance.argmin())
        return Joint(nearest) if distance[nearest] <= reach else None

    # --- scene

    def render_key(self) -> object:
        """Return a key that is equal as long as the rendered image stays the same."""
        objects = (self.actor, self.comparison, self.overlay)
        layers = tuple(vars(self.layers).values())
        return (*map(id, objects), self.frame, self.camera, layers, self.joint, self.window, self.window_only)

    def scene(self) -> Scene:
        """Build the scene of the current frame."""
        if self.actor is None:
            return Scene(background=BACKGROUND)
        trial, frame = self.actor.trial, self.frame
        values = scale = window = None
        if self.overlay is not None and self.window is not None:
            window = self.overlay.window_frames(self.window)
        influences = None if self.overlay is None else self.actor.influences_for(self.overlay.attribution)
        if self.overlay is not None and influences is not None:
            scale = self.overlay.scale
            joint_values = self.overlay.values[frame]
            if self.window_only and window is not None and not window[0] <= frame <= window[1]:
                joint_values = np.full_like(joint_values, np.nan)
            values = to_vertices(joint_values, influences)
        comparison = None
        if self.comparison is not None and self.layers.comparison:
            comparison = body_frame_beside(trial, frame, self.comparison)
        return build_scene(
            trial,
            frame,
            replace(self.actor.body_frame(frame), values=values, scale=scale),
            self.layers,
            comparison=comparison,
            selected=self.joint,
            window=window,
        )

    def close(self) -> None:
        """Stop the background threads."""
        self.jobs.close()
        if self.actor is not None:
            self.actor.close()
        self.close_comparison()


def _method(name: str) -> Method:
    from gait.explaining.methods import METHODS  # imports torch, as the network does that is explained

    return METHODS[name]


def _find_trials(folder: Path) -> tuple[Path, list[TrialListEntry]]:
    found = [file.parent for file in islice(folder.rglob(POSES_FILE), _MAX_LISTED)]
    listed = [TrialListEntry(trial, trial.relative_to(folder).as_posix()) for trial in found]
    return folder, sorted(listed, key=lambda entry: natural_key(entry.name))


def _short_path(path: Path) -> str:
    return "/".join(Path(path).parts[-3:])
