"""The installed commands ``gait-fit``, ``gait-train-transformer``, ``gait-train-mlp`` and ``gait-view``."""

from __future__ import annotations

import runpy


def fit() -> None:
    """Run ``shape_optimizer.py``."""
    _run("shape_optimizer")


def train_transformer() -> None:
    """Run ``train_transformer.py``."""
    _run("train_transformer")


def train_mlp() -> None:
    """Run ``train_multi_mlp.py``."""
    _run("train_multi_mlp")


def view() -> None:
    """Run ``attention_viewer.py``."""
    _run("attention_viewer")


def _run(script: str) -> None:
    runpy.run_module(script, run_name="__main__", alter_sys=True)
