"""TensorBoard logs: ``<save_folder>/tensorboard_<network>/fold<k>/`` per epoch and ``…/summary/`` after training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter
from tensorboardX.proto.summary_pb2 import Summary

from gait.errors import GaitError
from gait.learning.cross_validation_summary import CrossValidationSummary
from gait.learning.fold_result import Epoch
from gait.report.display_names import METRICS

_KINDS = {"train": "Train", "validation": "Validation", "eval": "Eval"}


class TensorBoardLogger:
    """Logger of one fold's metrics, epoch by epoch. It replaces the log of an earlier run in the same folder."""

    def __init__(self, save_folder: Path, network: str, fold: int, past_epochs: Sequence[Epoch] = ()) -> None:
        """Start the log of a fold; ``past_epochs``, which a resumed training has already done, are logged again.

        Raises:
            GaitError: the folder cannot be written.
        """
        self._writer = _fresh_writer(board_folder(save_folder, network) / f"fold{fold}")
        for index, epoch in enumerate(past_epochs):
            self.epoch(index, epoch)

    def epoch(self, index: int, epoch: Epoch) -> None:
        """Log the metrics of an epoch (``index`` starts at 0); undefined ones are omitted."""
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
        """Flush and close the log."""
        self._writer.close()

    def __enter__(self) -> TensorBoardLogger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_summary(
    save_folder: Path, summary: CrossValidationSummary, lines: Sequence[str], images: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Log the final metrics of the network and the baselines, the summary text, and images (height, width, 3) by name.

    Raises:
        GaitError: the folder cannot be written.
    """
    writer = _fresh_writer(board_folder(save_folder, summary.network.name) / "summary")
    finals = {
        f"{view} {METRICS[name][0]}/{classifier.name}": estimate.value
        for classifier in summary.classifiers
        for view, estimates in (("Subjects", classifier.subject_metrics), ("Windows", classifier.window_metrics))
        for name, estimate in estimates.items()
    }
    _add_scalars(writer, finals, 0)
    writer.add_text("Summary", "\n\n".join(_escape_markdown(line) for line in lines), 0)
    for name, image in images.items():
        writer.add_image(name, image, 0, dataformats="HWC")
    writer.close()


def board_folder(save_folder: Path, network: str) -> Path:
    """Return the folder to open with ``tensorboard --logdir``."""
    return Path(save_folder) / f"tensorboard_{network}"


def _fresh_writer(folder: Path) -> SummaryWriter:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink(missing_ok=True)
        return SummaryWriter(str(folder))
    except OSError as error:
        raise GaitError(f"{folder}: cannot be written ({error.strerror or error}); check the path.") from error


def _add_scalars(writer: SummaryWriter, values: Mapping[str, float], step: int) -> None:
    """Log the finite values. The writer's ``add_scalar`` is not used: it replaces spaces in tags by underscores."""
    defined = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if math.isfinite(value)]
    writer.file_writer.add_summary(Summary(value=defined), step)


def _escape_markdown(line: str) -> str:
    """Escape Markdown, which TensorBoard would interpret; subject names may contain any character."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()<>#+!|" else c for c in line)
