"""The settings of a run report; this module imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gait.cli.arguments import argument, select_fields, whole_number
from gait.viewing.loaded_trial import BodyModelLocator

PAGE_FILE = "index.html"


@dataclass(frozen=True, kw_only=True)
class RunSettings(BodyModelLocator):
    """Settings of a run report, which are the arguments of the command."""

    poses: Path = argument(help="save folder of shape_optimizer.py", metavar="FOLDER")
    trained: tuple[Path, ...] = argument((), "save folders of trainings", metavar="FOLDER")
    export: Path = argument(help="folder for index.html and its files", metavar="DIR")
    notes: tuple[str, ...] = argument(
        (), "note at the top of the page; may be repeated", flag="--note", action="append", metavar="TEXT"
    )
    stride: int | None = argument(
        None, "frames between explained windows of the cohort", type=whole_number, metavar="FRAMES"
    )
    examples: tuple[str, ...] = argument(
        (),
        "subjects whose longest trials are explained by the network of the first training, each on a page on which it "
        "walks (default: by each network, the most representative control and patient)",
        metavar="SUBJECT",
    )
    workers: int | None = argument(
        None, "subjects analysed, and parts explained, at the same time", type=whole_number, metavar="N"
    )
    overwrite: bool = argument(False, "repeat finished steps")

    @property
    def bodies(self) -> BodyModelLocator:
        """Folder of the body models, and the default one."""
        return select_fields(self, BodyModelLocator)
