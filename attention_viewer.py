"""python attention_viewer.py --base_folder ./data/SUPR --model open_neutral.npz

Shows which joints and times drive the decision of a trained gait classifier. Without further flags it opens a window in
which trials and networks can be opened. Without a screen: --export DIR writes explanation.npz, explanation.csv,
gait_cycle.csv and explanation.png (--all_methods: one folder per method, and a comparison); --video FILE.mp4 renders a
video; --screenshot FILE.png renders the window at one time. --export with --trained and --poses, in place of --network
and --gait, explains a whole cohort: each subject by the network that did not train on this subject.
Exit code 0: everything was done; 1: some of it failed; 2: it could not start.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from gait.cli.arguments import positive_number, whole_number
from gait.cli.exit_codes import EXIT_INTERRUPTED, print_err, run_main
from gait.explaining.methods import METHODS, MLP_RULES, TRANSFORMER_RULES
from gait.explaining.trained_network import load_trained_network
from gait.report.export_cohort import CohortSettings, export_cohort
from gait.report.export_trial import ExportSettings, export_trial
from gait.viewing.file_backend import FileBackend, StateDictInfo
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.run_viewer import exit_immediately
from gait.viewing.viewer_arguments import ViewerArguments, add_viewer_arguments, parse_viewer_arguments, run_viewer


@dataclass(frozen=True)
class Arguments:
    """The command line, checked."""

    export: Path | None
    network: Path | None
    gait: Path | None
    trained: Path | None  # with ``poses``: explain a cohort, in place of one network and one trial
    poses: Path | None
    method: str | None  # None: the default of the network
    all_methods: bool
    lrp_rule: str | None
    stride: int | None  # frames; None: chosen by the cost of the method
    bodies: BodyModelLocator
    interval_size: int | None  # this and the next three: for a state dict without metadata
    frame_rate: float | None
    pfe_head: int | None
    fc_head: int | None
    body: Path | None  # for poses in JSON or text files; likewise pose_rate
    pose_rate: float | None
    view: ViewerArguments
    command: str  # as typed


def parse_arguments(argv: list[str] | None = None) -> Arguments:
    """Read the command line; argparse exits with code 2 if the flags contradict each other."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[1], epilog="example: " + __doc__.split("\n")[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--network", type=Path, metavar="FILE", help="checkpoint, or state dict of the original implementation")
    add("--gait", type=Path, metavar="FOLDER", help="folder of a fitted trial, <healthy|sick>/<subject>/<trial>")
    add("--trained", type=Path, metavar="FOLDER", help="save folder of a training; explains a whole cohort")
    add("--poses", type=Path, metavar="FOLDER", help="save folder of the fit, with --trained")
    add("--export", type=Path, metavar="DIR", help="write attributions and figures there; needs no screen")
    add("--method", choices=sorted(METHODS), help="explanation method (default: the most faithful one of the network)")
    add("--all_methods", action="store_true", help="explain by every method that the network supports")
    rules = sorted({*MLP_RULES, *TRANSFORMER_RULES})
    add("--lrp_rule", choices=rules, help="rule of --method lrp: epsilon, published (MLP); attnlrp, cp (transformer)")
    add("--stride", type=whole_number, metavar="FRAMES", help="frames between explained windows")
    add("--base_folder", type=Path, default=Path("data/SUPR"), help="folder of the body models (default ./data/SUPR)")
    add(
        "--model",
        default="open_neutral.npz",
        help="body model of poses that do not name theirs (default open_neutral.npz)",
    )
    add("--unconstrained", action="store_true", help="free kinematic tree, even for poses of the constrained one")
    add("--interval_size", type=whole_number, metavar="FRAMES", help="window length of a state dict without metadata")
    add(
        "--frame_rate",
        type=positive_number,
        metavar="HZ",
        help="frame rate of a state dict without metadata (default 100)",
    )
    add(
        "--pfe_head",
        type=whole_number,
        help="heads of the frame encoder of a state dict without metadata (transformer)",
    )
    add("--fc_head", type=whole_number, help="heads of its window classifier")
    add("--body", type=Path, metavar="FILE", help="body model of poses in JSON or text files")
    add("--pose_rate", type=positive_number, metavar="HZ", help="frame rate of poses in JSON or text files")
    add_viewer_arguments(parser)
    given = parser.parse_args(argv)
    if (given.body is None) != (given.pose_rate is None):
        parser.error("--body and --pose_rate belong together: poses without joints need both")
    if (given.trained is None) != (given.poses is None):
        parser.error("--trained and --poses belong together: the trained networks and the trials to explain")
    if given.trained is not None and (given.network or given.gait or given.all_methods):
        parser.error("--trained and --poses explain a cohort by one method; omit --network, --gait and --all_methods")
    if given.trained is not None and given.export is None:
        parser.error("--trained and --poses write files; name a folder for them with --export")
    if given.export is not None and given.trained is None and not (given.network and given.gait):
        parser.error("name a --network and a --gait, or --trained and --poses")
    if given.lrp_rule is not None and not given.all_methods:
        given.method = given.method or "lrp"
    if given.method is not None and given.network is None and given.trained is None:
        parser.error("--method explains a network; name it with --network")
    if given.all_methods and given.method is not None:
        parser.error("--all_methods includes every method; omit --method")
    fields = vars(given)
    bodies = BodyModelLocator(fields.pop("base_folder"), fields.pop("model"), fields.pop("unconstrained"))
    view = parse_viewer_arguments(fields)
    command = shlex.join([parser.prog, *(sys.argv[1:] if argv is None else argv)])
    return Arguments(**fields, bodies=bodies, view=view, command=command)


def main(arguments: Arguments) -> int:
    """Export explanations, or show them; return the exit code."""
    failed: tuple[str, ...] = ()
    if arguments.export is not None:
        lines, failed, notes = _export_cohort(arguments) if arguments.trained else _export_trial(arguments)
        print("\n".join(lines))
        for line in (*failed, *notes):
            print_err(line)
    if arguments.export is None or arguments.view.is_offscreen:
        for line in _run_viewer(arguments):
            print(line)
    return 1 if failed else 0


def _export_trial(arguments: Arguments) -> tuple[tuple[str, ...], ...]:
    """Explain one trial; return the lines to print, the errors and the notes."""
    assert arguments.network is not None
    assert arguments.gait is not None
    assert arguments.export is not None
    network = load_trained_network(
        arguments.network,
        window_length=arguments.interval_size,
        rate_hz=arguments.frame_rate,
        pose_heads=arguments.pfe_head,
        classifier_heads=arguments.fc_head,
    )
    methods = (arguments.method or network.methods[0],)
    body = None
    if arguments.body is not None:
        from gait.body.model_file import load_body

        body = load_body(arguments.body)
    settings = ExportSettings(
        methods=network.methods if arguments.all_methods else methods,
        rule=arguments.lrp_rule,
        stride=arguments.stride,
        bodies=arguments.bodies,
        body=body,
        pose_rate_hz=arguments.pose_rate,
        arguments={"command": arguments.command},
    )
    done = export_trial(network, arguments.gait, settings, arguments.export)
    return done.lines, done.problems, done.notes


def _run_viewer(arguments: Arguments) -> tuple[str, ...]:
    """Open the window, or render without it; return one line on each file that was written."""
    state_dict = StateDictInfo(arguments.interval_size, arguments.frame_rate, arguments.pfe_head, arguments.fc_head)
    bodies = arguments.bodies
    if arguments.body is not None:
        bodies = replace(bodies, folder=arguments.body.parent, model=arguments.body.name)
    backend = FileBackend(bodies, state_dict, arguments.lrp_rule, arguments.pose_rate, arguments.stride)
    request = arguments.view.view_request(backend, arguments.gait, arguments.network, arguments.method)
    return run_viewer(arguments.view, request)


def _export_cohort(arguments: Arguments) -> tuple[tuple[str, ...], ...]:
    """Explain a cohort; return the lines to print, the errors and the notes."""
    assert arguments.trained is not None
    assert arguments.poses is not None
    assert arguments.export is not None
    settings = CohortSettings(
        arguments.trained, arguments.poses, arguments.method, arguments.lrp_rule, arguments.stride,
        arguments.body, arguments.pose_rate,
    )  # fmt: skip
    done = export_cohort(settings, arguments.export)
    return done.lines, done.problems, done.notes


if __name__ == "__main__":
    code = run_main(lambda: main(parse_arguments()), "Interrupted; the files written so far are complete.")
    if code == EXIT_INTERRUPTED:
        exit_immediately(code)
    sys.exit(code)
