"""Training as TensorBoard shows it: ``<save_folder>/tensorboard_<network>/fold<k>/``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from gait.errors import GaitError
from gait.learning.fold_result import Epoch
from gait.report.training.cross_validation_summary import CrossValidationSummary
from gait.report.training.display_names import METRICS

_KINDS = {"train": "Train", "validation": "Validation", "eval": "Eval"}


class TensorBoardLogger:
    """Scalars of one fold, epoch by epoch, as they come. What an earlier run left in its folder is replaced."""

    def __init__(self, save_folder: Path, network: str, fold: int, past_epochs: Sequence[Epoch] = ()) -> None:
        """Begin the curves of a fold.

        Args:
            save_folder: of the run.
            network: its name.
            fold: its index.
            past_epochs: what a resumed training has behind it, drawn again.

        Raises:
            GaitError: the folder cannot be written.
        """
        self._writer = _fresh_writer(board_folder(save_folder, network) / f"fold{fold}")
        for index, epoch in enumerate(past_epochs):
            self.epoch(index, epoch)

    def epoch(self, index: int, epoch: Epoch) -> None:
        """Add the figures of an epoch, from 0; those that are not defined are left out."""
        _add_scalars(
            self._writer,
            {
                f"{title} {name.capitalize()}/epoch": value
                for kind, title in _KINDS.items()
                for name, value in epoch.get(kind, {}).items()
            },
            index,
        )
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def __enter__(self) -> TensorBoardLogger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_summary(
    save_folder: Path, summary: CrossValidationSummary, lines: Sequence[str], images: Mapping[str, NDArray[np.uint8]]
) -> None:
    """The final figures beside the folds' curves: metrics of the network and the baselines, sentences, pictures.

    Args:
        save_folder: of the run.
        summary: what was measured.
        lines: what the run says at its end.
        images: (height, width, 3) of each picture.

    Raises:
        GaitError: the folder cannot be written.
    """
    writer = _fresh_writer(board_folder(save_folder, summary.network.name) / "summary")
    finals = {
        f"{view} {METRICS[name][0]}/{judge.name}": estimate.value
        for judge in summary.judges
        for view, estimates in (("Persons", judge.persons), ("Windows", judge.windows))
        for name, estimate in estimates.items()
    }
    _add_scalars(writer, finals, 0)
    writer.add_text("Summary", "\n\n".join(_as_text(line) for line in lines), 0)
    for name, image in images.items():
        writer.add_image(name, image, 0, dataformats="HWC")
    writer.close()


def board_folder(save_folder: Path, network: str) -> Path:
    """The folder to name to TensorBoard."""
    return Path(save_folder) / f"tensorboard_{network}"


def _fresh_writer(folder: Path) -> SummaryWriter:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink(missing_ok=True)
        return SummaryWriter(str(folder))
    except OSError as error:
        raise GaitError(f"{folder}: cannot be written ({error.strerror or error}); check the place.") from error


def _add_scalars(writer: SummaryWriter, values: Mapping[str, float], step: int) -> None:
    """Add what is defined. The writer's own ``add_scalar`` would put underscores where the tags have spaces."""
    defined = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if math.isfinite(value)]
    writer.file_writer.add_summary(Summary(value=defined), step)


def _as_text(line: str) -> str:
    """TensorBoard reads Markdown, and a name may look like some."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+!|" else c for c in line)
