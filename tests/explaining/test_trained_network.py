"""Networks that are to be explained: checkpoints say all about themselves, bare weights are told."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from gait.errors import GaitError
from gait.explaining.trained_network import USUAL_RATE_HZ, open_network
from tests.helpers.explanation_cases import SMALL_MLP, SMALL_TRANSFORMER, WINDOW, write_network


def test_a_checkpoint_says_all(tmp_path: Path) -> None:
    path = write_network(tmp_path / "mlp.ckpt", frame_rate_hz=50.0)
    opened = open_network(path)
    assert (opened.window_length, opened.rate_hz, opened.title) == (WINDOW, 50.0, "MLP")
    assert opened.mean_window is not None
    assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert opened.checkpoint is not None
    assert opened.network(torch.zeros(2, WINDOW, 22, 3)).shape == (2,)
    assert open_network(path, window_length=WINDOW, rate_hz=50.0).rate_hz == 50.0


@pytest.mark.parametrize(("said", "line"), [({"rate_hz": 100.0}, "50 Hz, not at 100"), ({"window_length": 64}, "64")])
def test_a_checkpoint_that_is_told_otherwise_refuses(tmp_path: Path, said: dict[str, float], line: str) -> None:
    path = write_network(tmp_path / "mlp.ckpt", frame_rate_hz=50.0)
    with pytest.raises(GaitError, match=line):
        open_network(path, **said)  # type: ignore[arg-type]


def test_bare_weights_are_told_their_window(tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    torch.save(SMALL_TRANSFORMER.build().state_dict(), path)
    heads = {"pose_heads": 2, "classifier_heads": 2}
    with pytest.raises(GaitError, match="--interval_size"):
        open_network(path, **heads)  # type: ignore[arg-type]
    opened = open_network(path, window_length=24, **heads)  # type: ignore[arg-type]
    assert (opened.window_length, opened.rate_hz, opened.title) == (24, USUAL_RATE_HZ, "transformer")
    assert opened.mean_window is None
    assert opened.checkpoint is None
    with pytest.raises(GaitError, match="--pfe_head"):
        open_network(path, window_length=24)


def test_bare_weights_of_an_mlp_know_their_window(tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    torch.save(SMALL_MLP.build().state_dict(), path)
    assert open_network(path, window_length=WINDOW, rate_hz=60.0).rate_hz == 60.0
    with pytest.raises(GaitError, match=f"{WINDOW} frames, not of 16"):
        open_network(path, window_length=16)


def test_what_is_no_network_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no network")
    for name in ("text.ckpt", "missing.ckpt"):
        with pytest.raises(GaitError, match=name):
            open_network(tmp_path / name)
