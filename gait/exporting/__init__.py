"""Export of fitted trials to files of other tools: each module here that defines ``EXPORTER`` is one format.

``docs/add_exporter.md`` adds one; ``python -m gait.exporting`` exports finished folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gait.exporting.exporter import Exporter, FittedTrial, NotExportableError
from gait.motion.trial_paths import parse_segment_number
from gait.registry import discover

EXPORTERS: Mapping[str, Exporter] = discover(__name__, "EXPORTER")


def export_trial_folder(
    exporters: Iterable[str], folder: Path, output: Path | None = None, name: str | None = None
) -> list[Path]:
    """Write a finished trial in other formats; return the path of each file, or of the folder of many.

    The files are written into ``output``, where segments of a split trial have folders of their own; into the trial's
    folder if None. The name is that of this folder if None.

    Raises:
        NotExportableError: one of the formats cannot hold this trial.
        GaitError: there are no poses, or they are damaged.
    """
    from gait.motion.pose_files import find_pose_folders, read_poses

    paths = []
    for segment in find_pose_folders(folder) or (folder,):
        target = (output or folder) / segment.relative_to(folder)
        target.mkdir(parents=True, exist_ok=True)
        trial = FittedTrial(segment_name(folder, segment, name), folder, read_poses(segment))
        for exporter in exporters:
            path = EXPORTERS[exporter].path(target, trial.name)
            try:
                EXPORTERS[exporter].write(trial, path)
            except NotExportableError as error:
                raise NotExportableError(f"not exported as {exporter}: {error}") from None
            paths.append(path)
    return paths


def export_where_possible(exporters: Iterable[str], folder: Path, name: str) -> str:
    """Write a finished trial in other formats, into its folder; say which formats cannot hold it, one a line.

    The sentences do not name the trial, so that they are the same for all trials alike.

    Raises:
        GaitError: there are no poses, or they are damaged.
    """
    problems = []
    for exporter in exporters:
        try:
            export_trial_folder([exporter], folder, name=name)
        except NotExportableError as error:
            problems.append(str(error))
    return "\n".join(problems)


def missing_exports(exporters: Iterable[str], folder: Path, segments: Iterable[Path]) -> list[str]:
    """Return the exporters whose files are missing in the folder of a finished trial or in one of its segments."""
    return [
        exporter
        for exporter in exporters
        if not all(EXPORTERS[exporter].is_written(path, segment_name(folder, path)) for path in segments)
    ]


def segment_name(folder: Path, segment: Path, name: str | None = None) -> str:
    """Return the name of a trial, ``walk1``, or of its segment, ``walk1_segment2``."""
    trial = name or folder.resolve().name
    return trial if parse_segment_number(segment) is None else f"{trial}_{segment.name}"
