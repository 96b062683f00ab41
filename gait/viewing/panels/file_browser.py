"""Browsing for walks and networks, and a folder of walks with verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gait.motion.trial_paths import person_of
from gait.viewing.lazy_imgui import imgui
from gait.viewing.loaded_trial import holds_a_walk
from gait.viewing.panels.control_panel import verdict_words
from gait.viewing.panels.widgets import FAINT, FIXED, HEALTHY, SICK, WRONG, Controls
from gait.viewing.viewer_state import NETWORK_ENDINGS, ViewerState

_MOST_ENTRIES = 500  # of one folder


@dataclass(frozen=True)
class Entry:
    """What a folder holds that can be opened."""

    path: Path
    kind: str  # "folder", "walk", "network"


@dataclass
class FileBrowser:
    """A window over the others while it is open."""

    folder: Path
    shown: bool = False
    compare: bool = False  # what is opened is a second person
    typed: str = ""
    _entries: list[Entry] = field(default_factory=list)
    _listed: tuple[Path, float] | None = None

    def show(self, *, compare: bool) -> None:
        """Come up."""
        self.shown, self.compare, self.typed = True, compare, str(self.folder)

    def draw(self, controls: Controls, session: ViewerState, width: float, height: float) -> None:
        """In the middle of a window of this size."""
        if not self.shown:
            return
        size = (min(controls.length(760), width * 0.94), min(controls.length(560), height * 0.92))
        imgui.set_next_window_pos(((width - size[0]) / 2, (height - size[1]) / 2))
        imgui.set_next_window_size(size)
        title = "Compare with" if self.compare else "Open"
        imgui.set_next_window_focus()
        visible, stays = imgui.begin(f"{title}###open", True, FIXED)
        self.shown = self.shown and bool(stays)
        if visible:
            self._contents(controls, session)
        imgui.end()

    def _contents(self, controls: Controls, session: ViewerState) -> None:
        entered, self.typed = controls.text_line("Path", self.typed, "a folder or file; Enter goes there", -1.0)
        if entered and self.typed.strip():
            self._go(session, Path(self.typed.strip()).expanduser())
        if controls.button("Up", "the folder above this one"):
            self._enter(self.folder.resolve().parent)
        imgui.same_line()
        if controls.button("List all walks in this folder", "however deep, with what the network says of each"):
            session.list_folder(self.folder)
        if self.compare:
            imgui.same_line()
            if controls.button("Mean of the healthy walks here", "one stride, averaged over the folder healthy/"):
                session.open_healthy_mean(self.folder)
                self.shown = False
        listed = session.listed_folder is not None and bool(session.listed)
        half = imgui.get_content_region_avail().x * (0.5 if listed else 1.0)
        if imgui.begin_child("entries", (half, -1.0)):
            self._browse(controls, session)
        imgui.end_child()
        if listed:
            imgui.same_line()
            if imgui.begin_child("listed", (0.0, -1.0)):
                self._list(controls, session)
            imgui.end_child()

    def _browse(self, controls: Controls, session: ViewerState) -> None:
        entries = self._read()
        if not entries:
            controls.line("Nothing here that can be opened.", FAINT)
        for entry in entries:
            text = entry.path.name + ("/" if entry.kind == "folder" else f"   ({entry.kind})")
            pressed, _ = imgui.selectable(f"{text}##{entry.path}", False)
            controls.noted(f"entry {entry.path.name}")
            if pressed:
                self._go(session, entry.path)

    def _list(self, controls: Controls, session: ViewerState) -> None:
        network = session.network
        if network is None:
            controls.line("Open a network to see what it says of each.", FAINT)
        elif controls.button("Classify all", "what the network says of each walk as a whole"):
            session.judge_listed()
        known = [network is not None and person_of(listed.folder) in network.learnt_from for listed in session.listed]
        if any(known):
            controls.line("* The network has learnt from this person: what it says of them proves nothing.", WRONG)
        if not imgui.begin_table("walks", 2, imgui.TableFlags_.sizing_fixed_fit.value):
            return
        imgui.table_setup_column("walk")
        imgui.table_setup_column("says", imgui.TableColumnFlags_.width_stretch.value)
        for listed, learnt in zip(session.listed, known, strict=True):
            imgui.table_next_row()
            imgui.table_next_column()
            pressed, _ = imgui.selectable(f"{listed.name}##listed", False)
            controls.noted(f"listed {listed.name}")
            if pressed:
                self._open_walk(session, listed.folder)
            imgui.table_next_column()
            if listed.probability is not None:
                words = verdict_words(listed.probability) + (" *" if learnt else "")
                controls.line(words, SICK if listed.probability > 0.5 else HEALTHY)
            elif listed.problem:
                controls.line(listed.problem, WRONG)
        imgui.end_table()

    def _go(self, session: ViewerState, path: Path) -> None:
        if path.is_dir() and not holds_a_walk(path):
            self._enter(path)
        elif path.suffix.lower() in NETWORK_ENDINGS and path.is_file():
            session.open_network(path)
            self.shown = False
        elif path.exists():
            self._open_walk(session, path)
        else:
            session.jobs.refuse(f"{path}: there is no such file or folder.")

    def _open_walk(self, session: ViewerState, folder: Path) -> None:
        if self.compare:
            session.open_ghost(folder)
        else:
            session.open_gait(folder)
        self.shown = False

    def _enter(self, folder: Path) -> None:
        self.folder, self.typed = folder, str(folder)

    def _read(self) -> list[Entry]:
        """The entries of the folder, read again when it has changed."""
        try:
            now = (self.folder, self.folder.stat().st_mtime)
            if now != self._listed:
                self._entries, self._listed = entries_of(self.folder), now
        except OSError:
            self._entries, self._listed = [], None
        return self._entries


def entries_of(folder: Path) -> list[Entry]:
    """What can be opened in a folder: folders first, then walks, then networks.

    Raises:
        OSError: it cannot be read.
    """
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found.append(Entry(path, "walk" if holds_a_walk(path) else "folder"))
        elif path.suffix.lower() in NETWORK_ENDINGS:
            found.append(Entry(path, "network"))
        if len(found) >= _MOST_ENTRIES:
            break
    return sorted(found, key=lambda entry: ("folder", "walk", "network").index(entry.kind))
