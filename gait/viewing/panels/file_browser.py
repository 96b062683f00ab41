"""The file browser for trials and networks, with a list of the trials of a folder and their predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gait.motion.trial_paths import parse_subject_id
from gait.viewing.lazy_imgui import imgui
from gait.viewing.loaded_trial import is_fitted_trial
from gait.viewing.panels.widgets import ERROR, MUTED, Widgets, prediction
from gait.viewing.viewer_state import NETWORK_ENDINGS, ViewerState

_MAX_ENTRIES = 500  # per folder


@dataclass(frozen=True)
class FileEntry:
    """An entry of a folder that can be opened."""

    path: Path
    kind: str  # "folder", "trial", "network"


@dataclass
class FileBrowser:
    """A panel over the others while it is open."""

    folder: Path
    shown: bool = False
    compare: bool = False  # True: what is opened becomes the comparison
    typed: str = ""
    _entries: list[FileEntry] = field(default_factory=list)
    _read_version: tuple[Path, float] | None = None  # folder and its time of change when it was last read

    def show(self, *, compare: bool) -> None:
        """Open the browser."""
        self.shown, self.compare, self.typed = True, compare, str(self.folder)

    def draw(self, widgets: Widgets, state: ViewerState, width: float, height: float) -> None:
        """Draw the browser in the middle of a window of this size."""
        if not self.shown:
            return
        title = "Compare with" if self.compare else "Open"
        with widgets.dialog(f"{title}###open", (760, 560), (width, height)) as (visible, self.shown):
            if visible:
                self._draw_contents(widgets, state)

    def _draw_contents(self, widgets: Widgets, state: ViewerState) -> None:
        entered, self.typed = widgets.text_input("Path", self.typed, "a folder or file; press Enter to open it", -1.0)
        if entered and self.typed.strip():
            self._open(state, Path(self.typed.strip()).expanduser())
        if widgets.button("Up", "parent folder"):
            self._change_folder(self.folder.resolve().parent)
        imgui.same_line()
        if widgets.button("List all trials in this folder", "including subfolders, with the prediction for each"):
            state.list_folder(self.folder)
        if self.compare:
            imgui.same_line()
            if widgets.button("Mean of the controls here", "mean stride of the trials in the folder healthy/"):
                state.open_comparison(self.folder)
                self.shown = False
        listed = state.listed_folder is not None and bool(state.listed)
        half = imgui.get_content_region_avail().x * (0.5 if listed else 1.0)
        if imgui.begin_child("entries", (half, -1.0)):
            self._draw_entries(widgets, state)
        imgui.end_child()
        if listed:
            imgui.same_line()
            if imgui.begin_child("listed", (0.0, -1.0)):
                self._draw_trial_list(widgets, state)
            imgui.end_child()

    def _draw_entries(self, widgets: Widgets, state: ViewerState) -> None:
        entries = self._read_folder()
        if not entries:
            widgets.text("Nothing to open here.", MUTED)
        for entry in entries:
            text = entry.path.name + ("/" if entry.kind == "folder" else f"   ({entry.kind})")
            pressed, _ = imgui.selectable(f"{text}##{entry.path}", False)
            widgets.record_rect(f"entry {entry.path.name}")
            if pressed:
                self._open(state, entry.path)

    def _draw_trial_list(self, widgets: Widgets, state: ViewerState) -> None:
        network = state.network
        if network is None:
            widgets.text("Open a network to classify these trials.", MUTED)
        elif widgets.button("Classify all", "predict P(sick) of each trial"):
            state.classify_listed()
        subjects = network.training_subjects if network else ()
        in_training_set = [parse_subject_id(listed.folder) in subjects for listed in state.listed]
        if any(in_training_set):
            widgets.text("* The network was trained on this subject: not valid evidence.", ERROR)
        if not imgui.begin_table("trials", 2, imgui.TableFlags_.sizing_fixed_fit.value):
            return
        imgui.table_setup_column("trial")
        imgui.table_setup_column("prediction", imgui.TableColumnFlags_.width_stretch.value)
        for listed, is_trained_on in zip(state.listed, in_training_set, strict=True):
            imgui.table_next_row()
            imgui.table_next_column()
            pressed, _ = imgui.selectable(f"{listed.name}##listed", False)
            widgets.record_rect(f"listed {listed.name}")
            if pressed:
                self._open(state, listed.folder)
            imgui.table_next_column()
            if listed.probability is not None:
                text, colour = prediction(listed.probability)
                widgets.text(text + " *" * is_trained_on, colour)
            elif listed.problem:
                widgets.text(listed.problem, ERROR)
        imgui.end_table()

    def _open(self, state: ViewerState, path: Path) -> None:
        if path.is_dir() and not is_fitted_trial(path):
            self._change_folder(path)
            return
        compares = self.compare and path.exists() and path.suffix.lower() not in NETWORK_ENDINGS
        (state.open_comparison if compares else state.open_path)(path)
        self.shown = not path.exists()

    def _change_folder(self, folder: Path) -> None:
        self.folder, self.typed = folder, str(folder)

    def _read_folder(self) -> list[FileEntry]:
        """Return the entries of the folder, which is read again when it has changed."""
        try:
            version = (self.folder, self.folder.stat().st_mtime)
            if version != self._read_version:
                self._entries, self._read_version = list_entries(self.folder), version
        except OSError:
            self._entries, self._read_version = [], None
        return self._entries


def list_entries(folder: Path) -> list[FileEntry]:
    """List the files that can be opened in a folder: folders first, then trials, then networks.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found.append(FileEntry(path, "trial" if is_fitted_trial(path) else "folder"))
        elif path.suffix.lower() in NETWORK_ENDINGS:
            found.append(FileEntry(path, "network"))
        if len(found) >= _MAX_ENTRIES:
            break
    return sorted(found, key=lambda entry: ("folder", "trial", "network").index(entry.kind))
