"""python train_multi_mlp.py --batch_size 64 --interval_size 128 --epochs 25 --lr 0.0001 --pfe_layers 16 32 64 32 16 --fc_layers 32 64 128 64 32 --save_folder ./trained_mlp --base_folder ./optimized_poses --lrp

Trains a multi-layer perceptron to classify healthy and sick gait from the poses that shape_optimizer.py saved, and
evaluates it on held-out subjects. Saves the network in ``<save_folder>/fold<k>/mlp.ckpt``, metrics, and a report page.
With --cross all, cross-validation evaluates every subject once. With torchrun, several GPUs or computers train together.
Exit code 0: every requested fold is trained; 1: some folds failed; 2: nothing could be started.
"""  # noqa: E501

import sys

from gait.report.training.command import train_network

if __name__ == "__main__":
    sys.exit(train_network("mlp", __doc__))
