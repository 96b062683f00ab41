"""The installed commands ``gait-fit``, ``gait-train-transformer``, ``gait-train-mlp`` and ``gait-view``."""

from __future__ import annotations

import runpy
from functools import partial


def _run(script: str) -> None:
    runpy.run_module(script, run_name="__main__", alter_sys=True)


fit = partial(_run, "shape_optimizer")
train_transformer = partial(_run, "train_transformer")
train_mlp = partial(_run, "train_multi_mlp")
view = partial(_run, "attention_viewer")
