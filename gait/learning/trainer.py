"""Training a network on windows, epoch by epoch; the same seed, windows and number of threads give the same course.

All randomness of an epoch comes from the seed and the epoch's number, so a training that goes on after any epoch has
the course of one that was never interrupted.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from adopt import ADOPT
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gait.body.skeleton import NUM_BODY_JOINTS
from gait.errors import GaitError
from gait.learning.distributed import ProcessGroup
from gait.learning.fold_result import Epoch
from gait.learning.metrics import epoch_metrics
from gait.motion.windows import WindowDataset

_UNITS_A_METRE = (0.7, 1.3, 3.7)
"""Of a window in the common frame along x, y and z, for a grown-up of middle height."""

Progress = Callable[[int, int], None]
"""Takes how many windows of an epoch have been trained on, and of how many."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained."""

    batch_size: int  # windows
    epochs: int
    learning_rate: float
    seed: int = 42
    joint_offset_m: float = 0.0  # standard deviation, along each axis, by which a window's joints are moved in training
    weigh_classes: bool = False  # sick windows count by the ratio of healthy to sick ones in the training set
    patience: int | None = None  # epochs without a better validation loss after which training stops
    device: str = "cpu"
    # ADOPT's β2. With its own 0.9999 each weight's steps go by the size of its very first gradient, large or small by
    # chance, for thousands of steps: more than many a training has.
    beta2: float = 0.99


class Trainer:
    """Owns a network that is being trained, its optimiser and its course so far."""

    def __init__(
        self,
        network: nn.Module,
        training: WindowDataset,
        evaluation: WindowDataset,
        settings: TrainingSettings,
        *,
        validation: WindowDataset | None = None,
        ranks: ProcessGroup | None = None,
    ):
        """Nothing is computed yet.

        Args:
            network: windows (N, L, 22, 3) to logits (N,); its weights are where training starts.
            training: windows that it learns from.
            evaluation: windows that it is only measured on; nothing is chosen by them.
            settings: how it is trained.
            validation: windows that early stopping goes by; persons in neither of the others.
            ranks: the processes that train it together.

        Raises:
            GaitError: there are no windows of healthy or of sick persons to learn from.
        """
        sick = int(training.sick.sum())
        if not 0 < sick < len(training):
            raise GaitError(
                f"{len(training) - sick} windows of healthy and {sick} of sick persons to learn from; both are needed."
            )
        self.network = network.to(settings.device)
        self.epochs: list[Epoch] = []
        self._windows = {"train": training, "eval": evaluation}
        if validation is not None:
            self._windows["validation"] = validation
        self._settings = settings
        self._ranks = ranks or ProcessGroup()
        betas = (0.9, settings.beta2)
        self._optimiser = ADOPT(self.network.parameters(), lr=settings.learning_rate, betas=betas)
        weight = (len(training) - sick) / sick if settings.weigh_classes else 1.0
        self._sick_weight = torch.tensor(weight, device=settings.device)
        self._best: dict[str, Any] | None = None  # of validation: epoch, loss, weights

    @property
    def chosen_epoch(self) -> int:
        """From 0, the epoch whose weights count: the last one, or that of the lowest validation loss."""
        return len(self.epochs) - 1 if self._best is None else self._best["epoch"]

    @property
    def chosen_weights(self) -> dict[str, Tensor]:
        """The state dict of the chosen epoch."""
        return self.network.state_dict() if self._best is None else self._best["weights"]

    @property
    def finished(self) -> bool:
        """Whether all epochs are behind it, or validation has not improved for long enough."""
        done, patience = len(self.epochs), self._settings.patience
        waited = self._best is not None and patience is not None and done - 1 - self._best["epoch"] >= patience
        return done >= self._settings.epochs or waited

    def epoch(self, progress: Progress | None = None) -> Epoch:
        """Train on every training window once, in random order, then measure; returns its figures.

        The training's are those of the windows as they were learnt from, the network changing meanwhile.

        Raises:
            GaitError: the loss is no finite number any more.
        """
        start = time.monotonic()
        logits = {"train": self._learn(progress)}
        for name, windows in self._windows.items():
            if name != "train":
                logits[name] = window_logits(
                    self.network, windows, self._settings.batch_size, self._settings.device, self._ranks
                )
        epoch: dict[str, Any] = {name: self._figures(logits[name], self._windows[name].sick) for name in logits}
        if not np.isfinite(epoch["train"]["loss"]):
            raise GaitError(
                f"Epoch {len(self.epochs) + 1}: the loss is no finite number any more; use a lower --lr than "
                f"{self._settings.learning_rate:g}."
            )
        epoch["seconds"] = time.monotonic() - start
        self.epochs.append(epoch)
        if "validation" in epoch:
            loss = epoch["validation"]["loss"]
            if self._best is None or loss < self._best["loss"]:
                weights = {name: values.detach().clone() for name, values in self.network.state_dict().items()}
                self._best = {"epoch": len(self.epochs) - 1, "loss": loss, "weights": weights}
        return epoch

    def state(self) -> dict[str, Any]:
        """Tensors and plain data, with which ``restore`` goes on as if nothing had been in between."""
        return {
            "weights": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "epochs": list(self.epochs),
            "best": self._best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.network.load_state_dict(state["weights"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.epochs = list(state["epochs"])
        self._best = state["best"]

    def _learn(self, progress: Progress | None) -> Tensor:
        """One pass; the logits (N,) that each window had when it was learnt from."""
        windows, ranks, device = self._windows["train"], self._ranks, self._settings.device
        torch.manual_seed(_seed(self._settings.seed, len(self.epochs), 1 + ranks.rank))  # of dropout
        random = _generator(self._settings.seed, len(self.epochs), 0)
        order = torch.randperm(len(windows), generator=random)
        logits = torch.zeros(len(windows), device=device)
        self.network.train()
        done = 0
        for batch in order.split(self._settings.batch_size):
            self._optimiser.zero_grad()
            offsets = self._offsets(len(batch), random)
            share = slice(ranks.rank, None, ranks.count)
            mine = batch[share]
            if len(mine):
                joints = windows.batch(mine, device)
                said = self.network(joints if offsets is None else joints + offsets[share].to(device))
                loss = self._losses(said, windows.sick[mine].to(device)).sum() / len(batch)
                loss.backward()
                logits[mine.to(device)] = said.detach()
            ranks.sum_gradients(self.network)
            with warnings.catch_warnings():  # ADOPT's own, about what it calls in torch
                warnings.simplefilter("ignore")
                self._optimiser.step()
            done += len(batch)
            if progress is not None:
                progress(done, len(windows))
        return ranks.summed(logits).cpu()

    def _offsets(self, count: int, random: torch.Generator) -> Tensor | None:
        """What is added to the joints of windows in the common frame: (N, 1, 22, 3), or None.

        Each joint is moved along each axis, at random and for its whole window. So a network cannot go by how long
        somebody's limbs are, or where a fit sees a joint, of which a cohort knows as many kinds as it has persons;
        movement stays as it is.
        """
        if self._settings.joint_offset_m == 0:
            return None
        offsets = torch.randn(count, 1, NUM_BODY_JOINTS, 3, generator=random)
        return self._settings.joint_offset_m * offsets * torch.tensor(_UNITS_A_METRE)

    def _losses(self, logits: Tensor, sick: Tensor) -> Tensor:
        """(N,) of each window."""
        return binary_cross_entropy_with_logits(
            logits, sick.to(logits.dtype), pos_weight=self._sick_weight.to(logits), reduction="none"
        )

    def _figures(self, logits: Tensor, sick: Tensor) -> dict[str, float]:
        logits = logits.double()
        loss = float(self._losses(logits, sick).mean()) if len(sick) else float("nan")
        return {"loss": loss, **epoch_metrics(logits.sigmoid().numpy(), sick.numpy())}


def window_logits(
    network: nn.Module, windows: WindowDataset, batch_size: int, device: str = "cpu", ranks: ProcessGroup | None = None
) -> Tensor:
    """What the network says about every window, in their order, mirrored ones last: (N,) on the CPU."""
    ranks = ranks or ProcessGroup()
    logits = torch.zeros(len(windows), device=device)
    network.eval()
    with torch.inference_mode():
        for number, batch in enumerate(torch.arange(len(windows)).split(batch_size)):
            if len(batch) and number % ranks.count == ranks.rank:
                logits[batch.to(device)] = network(windows.batch(batch, device))
        return ranks.summed(logits).cpu()


def window_probabilities(
    network: nn.Module, windows: WindowDataset, batch_size: int, device: str = "cpu", ranks: ProcessGroup | None = None
) -> Tensor:
    """The probability of sick of every window, (N,) float64 on the CPU."""
    return window_logits(network, windows, batch_size, device, ranks).double().sigmoid()


def mean_window(windows: WindowDataset, batch_size: int) -> Tensor:
    """(L, 22, 3) mean of all windows in the common frame."""
    total = torch.zeros(())
    for batch in torch.arange(len(windows)).split(batch_size):
        total = total + windows.batch(batch).double().sum(0)
    return (total / len(windows)).float()


def _generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(*numbers))


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
