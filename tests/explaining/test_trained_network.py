"""``load_network`` for checkpoints and for state dicts without metadata."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from gait.errors import GaitError
from gait.explaining.trained_network import DEFAULT_RATE_HZ, load_network
from tests.helpers.explanation_cases import SMALL_MLP, SMALL_TRANSFORMER, WINDOW, write_network


def test_load_trained_network_of_checkpoint(tmp_path: Path) -> None:
    path = write_network(tmp_path / "mlp.ckpt", frame_rate_hz=50.0)
    network = load_network(path)
    assert (network.window_length, network.rate_hz, network.title) == (WINDOW, 50.0, "MLP")
    assert network.mean_window is not None
    assert network.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert network.checkpoint is not None
    assert network.network(torch.zeros(2, WINDOW, 22, 3)).shape == (2,)
    assert load_network(path, window_length=WINDOW, rate_hz=50.0).rate_hz == 50.0


@pytest.mark.parametrize(
    ("arguments", "line"), [({"rate_hz": 100.0}, "50 Hz, not at 100"), ({"window_length": 64}, "64")]
)
def test_load_trained_network_raises_for_contradicting_argument(
    tmp_path: Path, arguments: dict[str, float], line: str
) -> None:
    path = write_network(tmp_path / "mlp.ckpt", frame_rate_hz=50.0)
    with pytest.raises(GaitError, match=line):
        load_network(path, **arguments)  # type: ignore[arg-type]


def test_load_trained_network_of_transformer_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    torch.save(SMALL_TRANSFORMER.build().state_dict(), path)
    heads = {"pose_heads": 2, "classifier_heads": 2}
    with pytest.raises(GaitError, match="--interval_size"):
        load_network(path, **heads)  # type: ignore[arg-type]
    network = load_network(path, window_length=24, **heads)  # type: ignore[arg-type]
    assert (network.window_length, network.rate_hz, network.title) == (24, DEFAULT_RATE_HZ, "transformer")
    assert network.mean_window is None
    assert network.checkpoint is None
    with pytest.raises(GaitError, match="--pfe_head"):
        load_network(path, window_length=24)


def test_load_trained_network_of_mlp_state_dict(tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    torch.save(SMALL_MLP.build().state_dict(), path)
    assert load_network(path, window_length=WINDOW, rate_hz=60.0).rate_hz == 60.0
    with pytest.raises(GaitError, match=f"{WINDOW} frames, not of 16"):
        load_network(path, window_length=16)


def test_load_trained_network_raises_for_other_files(tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no network")
    for name in ("text.ckpt", "missing.ckpt"):
        with pytest.raises(GaitError, match=name):
            load_network(tmp_path / name)


def test_load_trained_network_names_the_checkpoints_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(GaitError, match=r"is a folder; name a checkpoint \(\.ckpt\)"):
        load_network(tmp_path)
    (tmp_path / "fold0").mkdir()
    (tmp_path / "fold0" / "mlp.ckpt").touch()
    with pytest.raises(GaitError, match=r"is a folder; name one of its checkpoints: fold0/mlp\.ckpt"):
        load_network(tmp_path)
    with pytest.raises(GaitError, match=r"is a folder; name one of its checkpoints: mlp\.ckpt"):
        load_network(tmp_path / "fold0")
