"""python -m gait.exporting joints_trc ./optimized_poses --output ./for_opensim

Export fitted trials to files of other tools.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from gait.cli.arguments import argument, parse
from gait.cli.exit_codes import print_err, run_main
from gait.errors import GaitError
from gait.exporting import EXPORTERS, export_trial_folder
from gait.exporting.exporter import NotExportableError
from gait.motion.pose_files import find_pose_folders
from gait.motion.trial_paths import parse_segment_number, parse_trial_id


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The command line."""

    exporter: str = argument(
        help="; ".join(f"{name}: {exporter.title}" for name, exporter in EXPORTERS.items()), flag="exporter",
        choices=tuple(EXPORTERS),
    )  # fmt: skip
    folders: tuple[Path, ...] = argument(
        help="folders of fitted trials, or folders of such folders", flag="folders", metavar="FOLDER"
    )
    output: Path | None = argument(
        None, "write to <output>/<healthy|sick>/<subject>/<trial>/ (default: into the trials' folders)", metavar="DIR"
    )


def main(arguments: Arguments) -> int:
    """Export the trials; return the exit code: 1 if one of them cannot be exported."""
    failed = False
    for folder in arguments.folders:
        trials = [folder] if find_pose_folders(folder) else list(_trials(folder))
        if not trials:
            raise GaitError(f"{folder}: no fitted trial in it; name the folder of one, or a folder of such folders.")
        for trial in trials:
            try:
                output = None if arguments.output is None else arguments.output / parse_trial_id(trial)
                for path in export_trial_folder([arguments.exporter], trial, output):
                    print(path)
            except GaitError as error:
                failed = True
                print_err(f"{trial}: {error}" if isinstance(error, NotExportableError) else str(error))
    return 1 if failed else 0


def _trials(folder: Path) -> list[Path]:
    """Return the folders of the trials in a folder; those of segments belong to their trial's."""
    found = (path.parent for path in sorted(folder.rglob("poses.npz")))
    return list(dict.fromkeys(path if parse_segment_number(path) is None else path.parent for path in found))


if __name__ == "__main__":
    sys.exit(run_main(lambda: main(parse(Arguments, __doc__, prog="python -m gait.exporting")), "Interrupted."))
