"""Times the steps of a training that leaves nothing behind."""

from __future__ import annotations

import time
import warnings
from contextlib import ExitStack
from statistics import median

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from semiseg.config.settings import decided
from semiseg.config.train import TrainConfig
from semiseg.core.types import Batch
from semiseg.inference.scenes import Scene
from semiseg.training.devices import alone, trainer_settings
from semiseg.training.module import TrainingModule

_WARM_UP_STEPS = 2  # the first steps are slower: caches fill, kernels are chosen


class Clock(Callback):
    """Times the steps of a short training, and a validation after them.

    Args:
        max_seconds: stop early once a step takes longer.
        min_steps: but not before so many steps.
        validation: validation images; None for no validation.
        first_step: closed after the first step, to end what is counted during it.

    Attributes:
        intervals: the seconds from the end of one step to the end of the next, loading included.
        steps: the seconds of each step without loading.
        image_seconds: the seconds of a validation for one image.
    """

    def __init__(
        self,
        max_seconds: float,
        min_steps: int,
        validation: DataLoader[Scene] | None = None,
        first_step: ExitStack | None = None,
    ) -> None:
        self.max_seconds, self.min_steps = max_seconds, min_steps
        self.validation, self.first_step = validation, first_step or ExitStack()
        self.intervals: list[float] = []
        self.steps: list[float] = []
        self.image_seconds = 0.0
        self._step_began = self._step_ended = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._step_ended = time.monotonic()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """A batch is on the device."""
        self._step_began = _now(pl_module)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """A step has ended."""
        self.first_step.close()
        now = _now(pl_module)
        self.steps.append(now - self._step_began)
        self.intervals.append(now - self._step_ended)
        self._step_ended = now
        slow = self.intervals[-1] > self.max_seconds
        trainer.should_stop = slow and len(self.intervals) >= self.min_steps

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Validate twice, since the first time is slower."""
        if self.validation is None or not isinstance(pl_module, TrainingModule):
            return
        for _ in range(2):
            pl_module.validate(self.validation)
        self.image_seconds = pl_module.validation_seconds[-1] / max(1, len(self.validation))

    def interval(self) -> float:
        """The usual seconds of a step, loading included."""
        return median(self.intervals[_WARM_UP_STEPS:] or self.intervals[-1:])

    def step(self) -> float:
        """The usual seconds of a step without loading; the first counts only if it is alone."""
        return median(self.steps[1:] or self.steps)


def run_steps(
    config: TrainConfig, module: TrainingModule, loader: DataLoader[Batch], clock: Clock
) -> None:
    """Train for the steps of the settings, on one device, with nothing but the clock."""
    trainer = L.Trainer(
        **trainer_settings(alone(config.machine)),
        precision=decided(config.machine.precision),
        max_steps=decided(config.schedule.steps),
        logger=False,
        callbacks=[clock],
    )
    with warnings.catch_warnings():
        # Lightning's advice on workers, and its use of torch while operations are counted.
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, loader)


def _now(module: L.LightningModule) -> float:
    if module.device.type != "cpu":
        torch.accelerator.synchronize(module.device)
    return time.monotonic()
