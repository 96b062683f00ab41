"""python train_multi_mlp.py --batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 --pfe_layers 16 32 64 32 16 --fc_layers 32 64 128 64 32 --save_folder ./trained_mlp --base_folder ./optimized_poses --lrp

Trains a multi-layer perceptron to classify healthy and sick gait from the poses that shape_optimizer.py saved, and
evaluates it on held-out subjects. Saves the network in ``<save_folder>/fold<k>/mlp.ckpt``, metrics, and a report page.
With --cross all, cross-validation evaluates every subject once. With torchrun, several GPUs or computers train together.
Exit code 0: every requested fold is trained; 1: some folds failed; 2: nothing could be started.
"""  # noqa: E501

from __future__ import annotations

import sys

from gait.cli.arguments import whole_number
from gait.learning.cross_validation import run_training_script
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.training_arguments import TrainingArguments, make_training_parser, to_training_arguments

LAYERS = (256, 512, 256, 64)


def parse_arguments(words: list[str] | None = None) -> TrainingArguments:
    """Parse the command line; an invalid one ends the program with exit code 2."""
    parser = make_training_parser(__doc__, batch_size=64, interval_size=128, epochs=75, learning_rate=1e-5)
    default = " ".join(map(str, LAYERS))
    for flag, level in (("--pfe_layers", "frame encoder"), ("--fc_layers", "window classifier")):
        parser.add_argument(
            flag,
            type=whole_number,
            nargs="+",
            default=LAYERS,
            metavar="N",
            help=f"units per layer of the {level} (default {default})",
        )
    parser.add_argument(
        "--lrp",
        action="store_true",
        help="store the weights under the names of one sequential network; the function is the same",
    )
    given = parser.parse_args(words)
    architecture = MLPArchitecture(
        kind="sequential_mlp" if given.lrp else "multi_mlp",
        window_length=given.interval_size,
        pose_layers=given.pfe_layers,
        classifier_layers=given.fc_layers,
    )
    return to_training_arguments(parser, words, given, "mlp", architecture)


if __name__ == "__main__":
    sys.exit(run_training_script(parse_arguments))
