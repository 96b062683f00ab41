"""A tiny, deterministic run of each stage, as plain numbers by name."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gait
from gait.body.marker_placement import plug_in_gait_layout
from gait.explaining.methods import explain_windows, supported_methods
from gait.files.fingerprint import Stage
from gait.learning.fold_result import save_result
from gait.learning.initialization import initialize_from_data
from gait.learning.networks import NETWORKS
from gait.learning.networks.mlp import MLPArchitecture
from gait.learning.networks.transformer import TransformerArchitecture
from gait.learning.trainer import Trainer, mean_window
from gait.learning.training_arguments import TrainingSettings
from gait.motion.inputs import INPUTS
from gait.motion.window_placement import CYCLES
from gait.motion.windows import WindowDataset, fit_reference
from gait.report.training.write_report import page_file, write_report
from tests.helpers.fitting_cases import record_trial, short_trial
from tests.helpers.learning_results import fold_results
from tests.helpers.motion_cases import make_trial, stick_figure, swinging_rotations

NUMBERS = Path(__file__).with_name("stage_results.json")
RELATIVE_TOLERANCE = 1e-4  # processors and versions of libraries differ in the last digits

ARCHITECTURES = {
    "mlp": MLPArchitecture(window_length=8, pose_layers=(8, 4), classifier_layers=(8,)),
    "transformer": TransformerArchitecture(pose_dim=8, classifier_dim=8, ffn_dim=16),
}


def summary(values: Any) -> list[float]:
    """Return mean, standard deviation, the mean of a fixed random projection, and the last value of an array."""
    flat = np.asarray(values, dtype=np.float64).ravel()
    directions = np.random.default_rng(0).normal(size=flat.size)
    return [float(number) for number in (flat.mean(), flat.std(), (flat * directions).mean(), flat[-1])]


def fit() -> dict[str, Any]:
    body = gait.load_body()
    recording = record_trial(body, short_trial(body, seconds=0.6), plug_in_gait_layout(body))
    (trial,) = gait.fit_recordings([recording], body).trials
    return {name: summary(getattr(trial, name)) for name in ("betas", "joints_m", "translation_m")}


def dataset(seed: int, mirror: bool = False) -> WindowDataset:
    random = np.random.default_rng(seed)
    trials = [
        make_trial(stick_figure(20, speed=1.2 - 0.4 * sick, phase=random.uniform(0, 6)), f"P{number}", sick=sick)
        for number in range(3)
        for sick in (False, True)
    ]
    return WindowDataset(trials, 8, 4, mirror=mirror)


def windows() -> dict[str, Any]:
    found = dataset(0, mirror=True)
    return {"count": len(found), "windows": summary(found.batch(torch.arange(len(found))))}


def inputs() -> dict[str, Any]:
    return {f"{kind}.{name}": value for kind in INPUTS for name, value in windows_of_cycles(kind).items()}


def windows_of_cycles(kind: str) -> dict[str, Any]:
    trials = [
        make_trial(stick_figure(300, phase=phase), f"P{phase}", axis_angle=swinging_rotations(300, phase=phase))
        for phase in (0.3, 2.0)
    ]
    options: dict[str, Any] = {"input": kind, "windows": CYCLES, "training": True}
    reference = fit_reference(trials, 16, factor=INPUTS[kind].deviation, **options)
    found = WindowDataset(trials, 16, reference=reference, **options)
    return {"count": len(found), "windows": summary(found.batch(torch.arange(len(found))))}


def trained(name: str) -> Trainer:
    settings = TrainingSettings(batch_size=8, epochs=1, learning_rate=1e-3)
    torch.manual_seed(settings.seed)
    network = ARCHITECTURES[name].build()
    initialize_from_data(network, dataset(1), settings.seed, NETWORKS[name].initialize)
    trainer = Trainer(network, dataset(1), dataset(2), settings)
    trainer.run_epoch()
    return trainer


def training() -> dict[str, Any]:
    return {
        f"{name}.{key}": summary(value)
        for name in ARCHITECTURES
        for key, value in trained(name).chosen_weights.items()
        if value.is_floating_point()
    }


def explanation() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ARCHITECTURES:
        network = trained(name).network.eval()
        for method in supported_methods(network):
            explained = explain_windows(
                network, dataset(2).batch(torch.tensor([1])), method, baseline=mean_window(dataset(1), 8)
            )
            found[f"{name}.{method}"] = summary(explained.values)
    return found


def page() -> dict[str, Any]:
    """Return the numbers in the tables of a training report; its layout and wording may change."""
    with tempfile.TemporaryDirectory() as folder:
        results = fold_results(4, 4, 2)
        for result in results:
            save_result(result, Path(folder))
        write_report(Path(folder), results[0].network, results[0])
        text = page_file(Path(folder), results[0].network).read_text(encoding="utf-8")
    cells = " ".join(re.findall(r"<td[^>]*>(.*?)</td>", text, re.DOTALL))
    return {"numbers": summary([float(number) for number in re.findall(r"\d+\.\d+", cells)])}


RUNS: dict[Stage, Callable[[], dict[str, Any]]] = {
    "fit": fit,
    "windows": windows,
    "inputs": inputs,
    "training": training,
    "explanation": explanation,
    "page": page,
}
