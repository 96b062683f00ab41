"""python train_transformer.py --batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 --pfe_dim 64 --fc_dim 32 --pfe_head 2 --fc_head 4 --save_folder ./trained_transformer --base_folder ./optimized_poses

Trains a transformer to tell healthy from sick gait on the poses that shape_optimizer.py wrote, and says how well it
does on persons it never saw: figures, a report page, and the network in ``<save_folder>/fold<k>/transformer.ckpt``.
With --cross all every person is judged once. torchrun trains it on several graphics cards or computers.
Exit code 0: all that was asked for is there; 1: some folds failed; 2: nothing could be started.
"""  # noqa: E501

from __future__ import annotations

import sys

from gait.learning.architecture import TransformerArchitecture
from gait.learning.cross_validation import training_script
from gait.learning.training_arguments import TrainingArguments, count, training_arguments, training_parser
from gait.learning.transformer import MOST_TOKENS

ONE_FRAME_IN = 4


def parse_arguments(words: list[str] | None = None) -> TrainingArguments:
    """Read the command line; argparse ends the program with code 2 where it makes no sense."""
    parser = training_parser(__doc__, batch_size=8, interval_size=64, epochs=1, learning_rate=1e-4)
    add = parser.add_argument
    add("--pfe_dim", type=count, default=128, metavar="N", help="numbers that a frame becomes (default 128)")
    add("--fc_dim", type=count, default=128, metavar="N", help="numbers that a window becomes (default 128)")
    add("--pfe_head", type=count, default=2, metavar="N", help="attention heads over joints (default 2)")
    add("--fc_head", type=count, default=2, metavar="N", help="attention heads over frames (default 2)")
    add("--ffn_dim", type=count, default=2048, metavar="N", help="width of the feed-forward layers (default 2048)")
    add(
        "--one_frame_in",
        type=count,
        default=ONE_FRAME_IN,
        metavar="N",
        help=f"in training, look at one of so many consecutive frames, each time another (default {ONE_FRAME_IN})",
    )
    given = parser.parse_args(words)
    if given.interval_size >= MOST_TOKENS:
        parser.error(
            f"--interval_size {given.interval_size}: a transformer's window has {MOST_TOKENS - 1} frames at most"
        )
    architecture = TransformerArchitecture(
        pose_dim=given.pfe_dim,
        classifier_dim=given.fc_dim,
        pose_heads=given.pfe_head,
        classifier_heads=given.fc_head,
        ffn_dim=given.ffn_dim,
        one_frame_in=given.one_frame_in,
    )
    return training_arguments(parser, words, given, "transformer", architecture)


if __name__ == "__main__":
    sys.exit(training_script(parse_arguments))
