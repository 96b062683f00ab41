"""A trial's page in the cell of a Jupyter notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from gait.explaining.options import EvidenceOptions, ExplainOptions, NetworkSource
from gait.files.atomic_write import atomic_file
from gait.report.walk_page.build import build_page
from gait.report.walk_page.export import load_beside, make_walk_page
from gait.viewing.file_backend import FileBackend
from gait.viewing.loaded_trial import BodyModelLocator


@dataclass(frozen=True)
class ShownWalk:
    """A page that a notebook shows in its cell; anywhere else, ``save`` it."""

    html: str  # the whole page
    problems: tuple[str, ...] = ()  # one line per part that failed
    height_px: int = 760

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, which may run its scripts and nothing else."""
        return (
            f'<iframe sandbox="allow-scripts" title="A walk" width="100%" height="{self.height_px}" '
            f'style="border:0" srcdoc="{escape(self.html, quote=True)}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"ShownWalk({len(self.html) / 1e6:.1f} MB; save(file) writes it as a page)"

    def save(self, file: Path | str) -> None:
        """Write the page to a file."""
        with atomic_file(Path(file)) as partial:
            partial.write_text(self.html, encoding="utf-8")


def show(
    trial: Path | str,
    *,
    network: Path | str | None = None,
    method: str | None = None,
    beside: Path | str | None = None,
    norms: str | None = None,
    evidence: bool = True,
    anonymous: bool = False,
    height_px: int = 760,
) -> ShownWalk:
    """Return the page of a fitted trial's folder, which a notebook shows in its cell.

    Args:
        trial: folder of the trial.
        network: checkpoint that explains it; None: the body is plain.
        method: of the explanation; None: the first that supports the network.
        beside: folder of a second trial, or of trials for the mean stride of their controls.
        norms: controls of the verdicts, a save folder or a published norm; None: those of the trial's save folder.
        evidence: with findings and verdicts, which takes longer.
        anonymous: names no subject and no file, and shows a standard body.
        height_px: of the cell.

    Raises:
        GaitError: something cannot be read or explained.
    """
    file = None if network is None else Path(network)
    backend = FileBackend(BodyModelLocator(), NetworkSource(network=file), ExplainOptions(method=method))
    page, problems = make_walk_page(
        backend,
        Path(trial),
        network=None if file is None else backend.load_network(file),
        beside=load_beside(backend, None if beside is None else Path(beside)),
        anonymous=anonymous,
        evidence=EvidenceOptions(norms=norms, no_evidence=not evidence),
    )
    return ShownWalk(build_page(page), problems, height_px)
