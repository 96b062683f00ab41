"""python train_transformer.py --batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 --pfe_dim 64 --fc_dim 32 --pfe_head 2 --fc_head 4 --save_folder ./trained_transformer --base_folder ./optimized_poses

Trains a transformer to classify healthy and sick gait from the poses that shape_optimizer.py saved, and evaluates it on
held-out subjects. Saves the network in ``<save_folder>/fold<k>/transformer.ckpt``, metrics, and a report page.
With --cross all, cross-validation evaluates every subject once. With torchrun, several GPUs or computers train together.
Exit code 0: every requested fold is trained; 1: some folds failed; 2: nothing could be started.
"""  # noqa: E501

from __future__ import annotations

import sys

from gait.cli.arguments import whole_number
from gait.learning.cross_validation import run_training_script
from gait.learning.networks.transformer import MAX_TOKENS, TransformerArchitecture
from gait.learning.training_arguments import TrainingArguments, make_training_parser, to_training_arguments

FRAME_SUBSAMPLING = 4


def parse_arguments(words: list[str] | None = None) -> TrainingArguments:
    """Parse the command line; an invalid one ends the program with exit code 2."""
    parser = make_training_parser(__doc__, batch_size=8, interval_size=64, epochs=1, learning_rate=1e-4)
    add = parser.add_argument
    add("--pfe_dim", type=whole_number, default=128, metavar="N", help="size of a frame's vector (default 128)")
    add("--fc_dim", type=whole_number, default=128, metavar="N", help="size of a window's vector (default 128)")
    add("--pfe_head", type=whole_number, default=2, metavar="N", help="attention heads over joints (default 2)")
    add("--fc_head", type=whole_number, default=2, metavar="N", help="attention heads over frames (default 2)")
    add(
        "--ffn_dim",
        type=whole_number,
        default=2048,
        metavar="N",
        help="width of the feed-forward layers (default 2048)",
    )
    add(
        "--one_frame_in",
        type=whole_number,
        default=FRAME_SUBSAMPLING,
        metavar="N",
        help="in training, use one random frame out of every N consecutive frames of a window, drawn anew each time "
        f"(default {FRAME_SUBSAMPLING})",
    )
    given = parser.parse_args(words)
    if given.interval_size >= MAX_TOKENS:
        parser.error(f"--interval_size {given.interval_size}: the transformer accepts at most {MAX_TOKENS - 1} frames")
    architecture = TransformerArchitecture(
        pose_dim=given.pfe_dim,
        classifier_dim=given.fc_dim,
        pose_heads=given.pfe_head,
        classifier_heads=given.fc_head,
        ffn_dim=given.ffn_dim,
        frame_subsampling=given.one_frame_in,
    )
    return to_training_arguments(parser, words, given, "transformer", architecture)


if __name__ == "__main__":
    sys.exit(run_training_script(parse_arguments))
