"""python attention_viewer.py --base_folder ./data/SUPR --model open_neutral.npz

Shows what a trained network found pivotal in a person's walk: which joints, and when. In a window, where walks and
networks can be opened too; or without a screen: with --export DIR it writes explanation.npz, explanation.csv,
gait_cycle.csv and explanation.png there (--all_methods puts every method side by side), with --video FILE.mp4 a film,
with --screenshot FILE.png the window at one moment. With --export, --trained and --poses in place of a network and a gait
it explains a whole cohort, each person by the network that did not see them.
Exit code 0: all that was asked for is there; 1: some of it failed; 2: nothing could be started.
"""  # noqa: E501

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from gait.cli.exit_codes import STOPPED, exit_code, say
from gait.explaining.methods import METHODS, MLP_RULES, TRANSFORMER_RULES
from gait.explaining.trained_network import open_network
from gait.learning.training_arguments import count, positive
from gait.report.export_cohort import CohortSettings, export_cohort
from gait.report.export_trial import ExportSettings, export_gait
from gait.viewing.file_backend import BareWeights, FileBackend
from gait.viewing.loaded_trial import BodyModelLocator
from gait.viewing.run_viewer import end_process
from gait.viewing.viewer_arguments import ViewerArguments, add_viewing_flags, show, viewing_arguments


@dataclass(frozen=True)
class Arguments:
    """What the command line says."""

    export: Path | None
    network: Path | None
    gait: Path | None
    trained: Path | None  # of a cohort, in place of a network and a gait; likewise poses
    poses: Path | None
    method: str | None  # the network's default if None
    all_methods: bool
    lrp_rule: str | None
    stride: int | None  # frames; by the method's cost if None
    bodies: BodyModelLocator
    interval_size: int | None  # of bare weights, likewise the next three
    frame_rate: float | None
    pfe_head: int | None
    fc_head: int | None
    body: Path | None  # of poses that come as JSON or text frames
    pose_rate: float | None
    view: ViewerArguments
    command: str  # as typed


def parse_arguments(words: list[str] | None = None) -> Arguments:
    """Read the command line; argparse ends the program with code 2 where it makes no sense."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[1], epilog="example: " + __doc__.split("\n")[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--network", type=Path, metavar="FILE", help="a checkpoint of the training, or weights under published names")
    add("--gait", type=Path, metavar="FOLDER", help="a fitted gait, <healthy|sick>/<subject>/<gait>")
    add("--trained", type=Path, metavar="FOLDER", help="a training's save folder: explain a whole cohort")
    add("--poses", type=Path, metavar="FOLDER", help="the fit's save folder, with --trained")
    add("--export", type=Path, metavar="DIR", help="write files and pictures there, without a screen")
    add("--method", choices=sorted(METHODS), help="how to explain (default: the most faithful for the network)")
    add("--all_methods", action="store_true", help="every method that the network allows, side by side")
    rules = sorted({*MLP_RULES, *TRANSFORMER_RULES})
    add("--lrp_rule", choices=rules, help="of --method lrp: epsilon or published (MLP), attnlrp or cp (transformer)")
    add("--stride", type=count, metavar="FRAMES", help="from one explained window to the next")
    add("--base_folder", type=Path, default=Path("data/SUPR"), help="holds body models (default ./data/SUPR)")
    add(
        "--model", default="open_neutral.npz", help="the body where poses do not name theirs (default open_neutral.npz)"
    )
    add("--unconstrained", action="store_true", help="the free joints even of a hinge tree's poses")
    add("--interval_size", type=count, metavar="FRAMES", help="of a window, where bare weights do not say it")
    add("--frame_rate", type=positive, metavar="HZ", help="of bare weights (default 100)")
    add("--pfe_head", type=count, help="heads of bare weights of a transformer")
    add("--fc_head", type=count, help="likewise")
    add("--body", type=Path, metavar="FILE", help="body model of poses that come as JSON or text frames")
    add("--pose_rate", type=positive, metavar="HZ", help="frame rate of such poses")
    add_viewing_flags(parser)
    given = parser.parse_args(words)
    if (given.body is None) != (given.pose_rate is None):
        parser.error("--body and --pose_rate belong together: poses without joints lack both")
    if (given.trained is None) != (given.poses is None):
        parser.error("--trained and --poses belong together: networks and the persons they judged")
    if given.trained is not None and (given.network or given.gait or given.all_methods):
        parser.error("--trained and --poses explain a cohort by one method; leave --network, --gait, --all_methods out")
    if given.trained is not None and given.export is None:
        parser.error("--trained and --poses explain a cohort into files; name a folder for them with --export")
    if given.export is not None and given.trained is None and not (given.network and given.gait):
        parser.error("name a --network and a --gait, or --trained and --poses")
    if given.lrp_rule is not None and not given.all_methods:
        given.method = given.method or "lrp"
    if given.method is not None and given.network is None and given.trained is None:
        parser.error("--method explains a network; name it with --network")
    if given.all_methods and given.method is not None:
        parser.error("--all_methods leaves no choice; leave --method out")
    fields = vars(given)
    bodies = BodyModelLocator(fields.pop("base_folder"), fields.pop("model"), fields.pop("unconstrained"))
    view = viewing_arguments(fields)
    said = shlex.join([parser.prog, *(sys.argv[1:] if words is None else words)])
    return Arguments(**fields, bodies=bodies, view=view, command=said)


def main(arguments: Arguments) -> int:
    """Explain and export, or show; returns the exit code."""
    failed: tuple[str, ...] = ()
    if arguments.export is not None:
        lines, failed, notes = _cohort(arguments) if arguments.trained else _gait(arguments)
        print("\n".join(lines))
        for line in (*failed, *notes):
            say(line)
    if arguments.export is None or arguments.view.without_a_window:
        for line in _view(arguments):
            print(line)
    return 1 if failed else 0


def _gait(arguments: Arguments) -> tuple[tuple[str, ...], ...]:
    """What to print, what failed, and what else the user should know."""
    assert arguments.network is not None
    assert arguments.gait is not None
    assert arguments.export is not None
    network = open_network(
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
    done = export_gait(network, arguments.gait, settings, arguments.export)
    return done.lines, done.problems, done.notes


def _view(arguments: Arguments) -> tuple[str, ...]:
    """What was drawn, a line on each; nothing of a window."""
    bare = BareWeights(arguments.interval_size, arguments.frame_rate, arguments.pfe_head, arguments.fc_head)
    bodies = arguments.bodies
    if arguments.body is not None:
        bodies = replace(bodies, folder=arguments.body.parent, model=arguments.body.name)
    workbench = FileBackend(bodies, bare, arguments.lrp_rule, arguments.pose_rate, arguments.stride)
    return show(arguments.view, arguments.view.look(workbench, arguments.gait, arguments.network, arguments.method))


def _cohort(arguments: Arguments) -> tuple[tuple[str, ...], ...]:
    """What to print, what failed, and what else the user should know."""
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
    code = exit_code(lambda: main(parse_arguments()), "Stopped; files that are there are whole.")
    if code == STOPPED:
        end_process(code)
    sys.exit(code)
