"""Train a network on windows, epoch by epoch. The same seed, windows and number of threads give the same result.

All randomness of an epoch comes from the seed and the number of the epoch. Therefore a training that is resumed after
any epoch gives the same result as one that was never interrupted.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from adopt import ADOPT
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gait.errors import GaitError
from gait.learning.augmentation import Augmentation
from gait.learning.distributed import ProcessGroup
from gait.learning.ensemble import members_of
from gait.learning.fold_result import Epoch
from gait.learning.metrics import epoch_metrics
from gait.learning.training_arguments import CONSTANT, TrainingSettings
from gait.motion.windows import WindowDataset

_WARM_UP = 0.1  # fraction of the epochs
_LOWEST_RATE = 0.03  # of the highest one

Progress = Callable[[int, int], None]
"""Takes the number of windows done in this epoch, and their total number."""


class Trainer:
    """The state of a training: the network, its optimizer, and the metrics of all epochs so far."""

    def __init__(
        self,
        network: nn.Module,
        training: WindowDataset,
        evaluation: WindowDataset,
        settings: TrainingSettings,
        *,
        validation: WindowDataset | None = None,
        processes: ProcessGroup | None = None,
    ):
        """Prepare the training of a network from windows (N, L, 22, 3) to logits (N,), from its present weights.

        No decision depends on the evaluation windows. The validation windows are for early stopping, of subjects that
        are in neither of the other sets. The processes train the network together; this process alone if None.

        Raises:
            GaitError: the training windows are all healthy or all sick.
        """
        sick, count = int(training.sick.sum()), len(training)
        if not 0 < sick < count:
            raise GaitError(f"Training has {count - sick} healthy windows and {sick} sick windows; both are needed.")
        self.network = network.to(settings.device)
        self.epochs: list[Epoch] = []
        self._windows = {"train": training, "eval": evaluation}
        if validation is not None:
            self._windows["validation"] = validation
        self._settings = settings
        self._augmentation = Augmentation(training, settings)
        self._processes = processes or ProcessGroup()
        betas = (0.9, settings.beta2)
        self._optimizer = ADOPT(self.network.parameters(), lr=settings.learning_rate, betas=betas)
        weight = (count - sick) / sick if settings.use_class_weights else 1.0
        self._sick_weight = torch.tensor(weight, device=settings.device)
        self._best: dict[str, Any] | None = None  # lowest validation loss: epoch, loss, weights

    @property
    def chosen_epoch(self) -> int:
        """The epoch, from 0, whose weights are kept: the last one, or that with the lowest validation loss."""
        return len(self.epochs) - 1 if self._best is None else self._best["epoch"]

    @property
    def chosen_weights(self) -> dict[str, Tensor]:
        """The state dict of the chosen epoch."""
        return self.network.state_dict() if self._best is None else self._best["weights"]

    @property
    def finished(self) -> bool:
        """True if all epochs are done, or the validation loss has not improved for ``patience`` epochs."""
        done, patience = len(self.epochs), self._settings.patience
        stopped_early = self._best is not None and patience is not None and done - 1 - self._best["epoch"] >= patience
        return done >= self._settings.epochs or stopped_early

    def run_epoch(self, progress: Progress | None = None) -> Epoch:
        """Train on every training window once, in random order, then evaluate; return the epoch's metrics.

        The training metrics are computed from the logits before each step, while the network changes during the epoch.

        Raises:
            GaitError: the loss is not finite.
        """
        start = time.monotonic()
        logits = {"train": self._train_epoch(progress)}
        for name, windows in self._windows.items():
            if name != "train":
                logits[name] = window_logits(
                    self.network, windows, self._settings.batch_size, self._settings.device, self._processes
                )
        epoch: dict[str, Any] = {name: self._metrics(logits[name], self._windows[name].sick) for name in logits}
        if not np.isfinite(epoch["train"]["loss"]):
            number, rate = len(self.epochs) + 1, self._settings.learning_rate
            raise GaitError(f"Epoch {number}: the loss is not finite; use a lower --lr than {rate:g}.")
        epoch["seconds"] = time.monotonic() - start
        self.epochs.append(epoch)
        if "validation" in epoch:
            loss = epoch["validation"]["loss"]
            if self._best is None or loss < self._best["loss"]:
                weights = {name: values.detach().clone() for name, values in self.network.state_dict().items()}
                self._best = {"epoch": len(self.epochs) - 1, "loss": loss, "weights": weights}
        return epoch

    def state(self) -> dict[str, Any]:
        """Return tensors and plain data from which ``restore`` continues exactly."""
        return {
            "weights": self.network.state_dict(),
            "optimiser": self._optimizer.state_dict(),
            "epochs": list(self.epochs),
            "best": self._best,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a ``state``."""
        self.network.load_state_dict(state["weights"])
        self._optimizer.load_state_dict(state["optimiser"])
        self.epochs = list(state["epochs"])
        self._best = state["best"]

    def _train_epoch(self, progress: Progress | None) -> Tensor:
        """Train on all windows once; return the logit (N,) of each window before its training step."""
        windows, processes, device = self._windows["train"], self._processes, self._settings.device
        torch.manual_seed(_seed(self._settings.seed, len(self.epochs), 1 + processes.rank))  # for dropout
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self._settings, len(self.epochs))
        members = members_of(self.network)
        # Each member has its own order and its own augmentation.
        randoms = [
            _generator(self._settings.seed, len(self.epochs), 0, *([k] if k else [])) for k in range(len(members))
        ]
        orders = [torch.randperm(len(windows), generator=random).split(self._settings.batch_size) for random in randoms]
        logits = torch.zeros(len(windows), device=device)
        self.network.train()
        done = 0
        own = slice(processes.rank, None, processes.size)
        for batches in zip(*orders, strict=True):
            self._optimizer.zero_grad()
            for member, batch, random in zip(members, batches, randoms, strict=True):
                drawn = self._augmentation.draw(batch, random)
                own_batch = batch[own]
                if len(own_batch):
                    batch_logits = member(self._augmentation.batch(own_batch, drawn, own, device))
                    loss = self._losses(batch_logits, windows.sick[own_batch].to(device)).sum() / len(batch)
                    loss.backward()
                    logits[own_batch.to(device)] += batch_logits.detach() / len(members)
            processes.sum_gradients(self.network)
            with warnings.catch_warnings():  # ADOPT calls deprecated functions of torch
                warnings.simplefilter("ignore")
                self._optimizer.step()
            done += len(batches[0])
            if progress is not None:
                progress(done, len(windows))
        return processes.all_reduce_sum(logits).cpu()

    def _losses(self, logits: Tensor, sick: Tensor) -> Tensor:
        """Return the loss of each window, (N,)."""
        return binary_cross_entropy_with_logits(
            logits, sick.to(logits.dtype), pos_weight=self._sick_weight.to(logits), reduction="none"
        )

    def _metrics(self, logits: Tensor, sick: Tensor) -> dict[str, float]:
        logits = logits.double()
        loss = float(self._losses(logits, sick).mean()) if len(sick) else float("nan")
        return {"loss": loss, **epoch_metrics(logits.sigmoid().numpy(), sick.numpy())}


def learning_rate(settings: TrainingSettings, epoch: int) -> float:
    """Return the learning rate of an epoch, from 0 (cosine: Loshchilov & Hutter 2017, ICLR)."""
    if settings.schedule == CONSTANT:
        return settings.learning_rate
    rise = min(1.0, (epoch + 1) / (_WARM_UP * settings.epochs))
    fall = (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    return settings.learning_rate * rise * (_LOWEST_RATE + (1 - _LOWEST_RATE) * fall)


def window_logits(
    network: nn.Module,
    windows: WindowDataset,
    batch_size: int,
    device: str = "cpu",
    processes: ProcessGroup | None = None,
) -> Tensor:
    """Return the logit of every window, (N,) on the CPU, in the order of the windows; mirrored ones come last."""
    processes = processes or ProcessGroup()
    logits = torch.zeros(len(windows), device=device)
    network.eval()
    with torch.inference_mode():
        for number, batch in enumerate(torch.arange(len(windows)).split(batch_size)):
            if len(batch) and number % processes.size == processes.rank:
                logits[batch.to(device)] = network(windows.batch(batch, device))
        return processes.all_reduce_sum(logits).cpu()


def window_probabilities(
    network: nn.Module,
    windows: WindowDataset,
    batch_size: int,
    device: str = "cpu",
    processes: ProcessGroup | None = None,
) -> Tensor:
    """Return the probability of the sick class for every window, (N,) float64 on the CPU."""
    return window_logits(network, windows, batch_size, device, processes).double().sigmoid()


def mean_window(windows: WindowDataset, batch_size: int) -> Tensor:
    """Return the mean of all windows in the common frame, (L, 22, 3)."""
    total = torch.zeros(())
    for batch in torch.arange(len(windows)).split(batch_size):
        total = total + windows.batch(batch).double().sum(0)
    return (total / len(windows)).float()


def _generator(*numbers: int) -> torch.Generator:
    return torch.Generator().manual_seed(_seed(*numbers))


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
