"""python train_multi_mlp.py --batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 --pfe_layers 16 32 64 32 16 --fc_layers 32 64 128 64 32 --save_folder ./trained_mlp --base_folder ./optimized_poses --lrp

Trains a multi-layer perceptron to tell healthy from sick gait on the poses that shape_optimizer.py wrote, and says how
well it does on persons it never saw: figures, a report page, and the network in ``<save_folder>/fold<k>/mlp.ckpt``.
With --cross all every person is judged once. torchrun trains it on several graphics cards or computers.
Exit code 0: all that was asked for is there; 1: some folds failed; 2: nothing could be started.
"""  # noqa: E501

from __future__ import annotations

import sys

from gait.learning.architecture import MLPArchitecture
from gait.learning.cross_validation import training_script
from gait.learning.training_arguments import TrainingArguments, count, training_arguments, training_parser

LAYERS = (256, 512, 256, 64)


def parse_arguments(words: list[str] | None = None) -> TrainingArguments:
    """Read the command line; argparse ends the program with code 2 where it makes no sense."""
    parser = training_parser(__doc__, batch_size=64, interval_size=128, epochs=75, learning_rate=1e-5)
    said = " ".join(map(str, LAYERS))
    for flag, of in (("--pfe_layers", "a frame"), ("--fc_layers", "a window")):
        parser.add_argument(
            flag,
            type=count,
            nargs="+",
            default=LAYERS,
            metavar="N",
            help=f"layers of {of} (default {said})",
        )
    parser.add_argument("--lrp", action="store_true", help="the sequential form, which LRP explains: the same function")
    given = parser.parse_args(words)
    architecture = MLPArchitecture(
        kind="sequential_mlp" if given.lrp else "multi_mlp",
        window_length=given.interval_size,
        pose_layers=given.pfe_layers,
        classifier_layers=given.fc_layers,
    )
    return training_arguments(parser, words, given, "mlp", architecture)


if __name__ == "__main__":
    sys.exit(training_script(parse_arguments))
