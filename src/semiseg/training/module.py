"""A method as a Lightning module: optimizer, schedule, keyed draws, validation."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from statistics import median
from typing import Any, TypedDict, cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from semiseg.config.groups import OptimizerConfig
from semiseg.core.errors import RunError
from semiseg.core.records import from_plain
from semiseg.core.rng import Key
from semiseg.core.scores import Timing
from semiseg.core.types import Batch, Inputs, Losses, Step
from semiseg.inference.scenes import Scene, to_input
from semiseg.methods.base import Method
from semiseg.model.distributed import world_size
from semiseg.model.encoders import Normalization
from semiseg.model.metadata import WeightsRecord
from semiseg.model.network import Network
from semiseg.training.batches import TrainingBatches
from semiseg.training.feature_cache import FeatureCache
from semiseg.training.guard import MAX_FLAWED_STEPS, Guard
from semiseg.training.optimizer import build_optimizer
from semiseg.training.validation import Outcome, Validation, score_networks


class Checkpoint(TypedDict):
    """The keys of Lightning's checkpoint that this module adds or reads."""

    state_dict: dict[str, Tensor]
    validations: list[Validation]
    outcome: dict[str, Any] | None
    guard: dict[str, int]
    normalization: list[tuple[float, ...]]
    weights: dict[str, str | None]
    labels_sha256: str | None
    seconds: float


class TrainingModule(L.LightningModule):
    """Trains a method: the method computes the losses, Lightning decides when.

    Args:
        method: the method with its student.
        names: the class names, for the scores.
        steps: the optimizer steps of the whole training.
        key: the key of the steps' draws.
        settings: the optimizer, as planned.

    Attributes:
        validations: the validations so far.
        outcome: what the last validation found; None before it.
        features: the cached features of the batches; None if there can be none.
        labels_sha256: the hash of the stored labels of the unlabeled images; None without them,
            and in every process but the first.
        steps_before: the steps of the earlier stages with which this training shares a schedule of
            the learning rates; see `training.stage`.
        steps_after: those of the later stages.
    """

    def __init__(
        self,
        method: Method,
        names: tuple[str, ...],
        steps: int,
        key: Key,
        settings: OptimizerConfig,
    ) -> None:
        super().__init__()
        self.method = method
        self.guard = Guard(method)
        self.names = names
        self.steps = steps
        self.key = key
        self.settings = settings
        self.validations: list[Validation] = []
        self.outcome: Outcome | None = None
        self.seconds, self.started = 0.0, 0.0
        self.step_seconds: list[float] = []
        self.validation_seconds: list[float] = []
        self._last_step_time: float | None = None
        self._losses: Losses | None = None
        self.features: FeatureCache | None = None
        self.labels_sha256: str | None = None
        self.steps_before, self.steps_after = 0, 0

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Add cached features, while the pixels that name them are on the CPU."""
        return batch if self.features is None else self.features.attach(batch)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Convert images to floats in 0..1 on the device, where that is cheap, and features too."""
        labeled, unlabeled = batch.labeled, batch.unlabeled
        labeled = labeled._replace(
            image=to_input(labeled.image), features=tuple(f.float() for f in labeled.features)
        )
        if unlabeled is not None:
            unlabeled = unlabeled._replace(
                weak=to_input(unlabeled.weak),
                strong=to_input(unlabeled.strong),
                weak_features=tuple(f.float() for f in unlabeled.weak_features),
                strong_features=tuple(f.float() for f in unlabeled.strong_features),
                more_strong=tuple(
                    Inputs(to_input(view.image), tuple(f.float() for f in view.features))
                    for view in unlabeled.more_strong
                ),
            )
        return batch._replace(labeled=labeled, unlabeled=unlabeled)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One micro batch: seed the global generators from the key, compute, log."""
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self.guard.begin()
        key = self.key.child("step", batch.number)
        if world_size() > 1:
            key = key.child("rank", self.global_rank)
        key.seed_globals()
        step = Step(self.global_step, self.steps, key)
        losses = self.method.compute(batch.labeled, batch.unlabeled, step)
        self._losses = losses
        loss = losses.total
        values = {**losses.terms, **losses.diagnostics, "loss": loss}
        self.log_dict({f"train/{k}": v.detach() for k, v in values.items()}, batch_size=1)
        if self.guard.skipped:
            self.log("skipped_steps", float(self.guard.skipped), batch_size=1)
        return self.guard.watch(loss)

    def on_after_backward(self) -> None:
        """Update prototypes and other state, now that the gradient of the batch is there."""
        if self._losses is not None:
            self.method.commit(self._losses)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Decide, from all gradients, whether the step is taken."""
        self.guard.check(scaled=getattr(self.trainer.precision_plugin, "scaler", None) is not None)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on as it is
        """Take the step, then update the teacher, before any checkpoint is written.

        Raises:
            RunError: too many steps in a row were not finite.
        """
        step = self.global_step
        super().optimizer_step(*args, **kwargs)
        if self.guard.in_a_row >= MAX_FLAWED_STEPS:
            raise RunError(self._describe_failure(step))
        if not self.guard.flawed:
            self.method.after_step(step, self.steps)
        now = time.monotonic()
        if self._last_step_time is not None:
            self.step_seconds.append(now - self._last_step_time)
        self._last_step_time = now

    def _describe_failure(self, step: int) -> str:
        """The message for several steps in a row that were not finite."""
        parts = self.trainer.accumulate_grad_batches
        loader = cast(DataLoader[Batch], self.trainer.train_dataloader)
        batches = cast(TrainingBatches, loader.dataset)
        numbers = range(step * parts, (step + 1) * parts)
        files = ", ".join(file for n in numbers for file in batches.files(n))
        return (
            f"The loss or its gradient was not finite in {MAX_FLAWED_STEPS} steps in a row, the "
            f"last of them step {step + 1}. Its images: {files}. Check these (semiseg check), "
            "correct what is wrong, then continue with --resume: the newest checkpoint is from "
            "before. If nothing is wrong with them, start again with a lower --lr and "
            "--encoder-lr, or with --precision 32-true."
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer with its rates; they follow the schedule."""
        optimizer = build_optimizer(self.method, self.settings)
        schedule = LambdaLR(optimizer, self.rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def rate_factor(self, step: int) -> float:
        """The factor on the learning rates at a step: linear warm-up, then poly 0.9 to 0."""
        step, steps = self.steps_before + step, self.steps_before + self.steps + self.steps_after
        warmup = round(self.settings.lr_warmup * steps)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        rest = (steps - step) / max(1, steps - warmup)
        return float(max(0.0, rest) ** 0.9)

    @torch.no_grad()
    def validate(self, loader: Iterable[Scene], *, last: bool = False) -> Validation:
        """Score each network on the validation images; `validations` keeps the scores.

        Args:
            loader: this process's images, one at a time.
            last: this is the validation after the last step, which sets `outcome`.
        """
        started = time.monotonic()
        networks, self.outcome = score_networks(self.method, loader, self.names, last=last)
        validation = Validation(step=self.global_step, networks=networks, pseudo_labels=None)
        self.validations.append(validation)
        self.validation_seconds.append(time.monotonic() - started)
        self._last_step_time = None  # the time to the next step would include this validation
        return validation

    def timing(self) -> Timing:
        """Median seconds of a step and of a validation, since the start or the resuming."""
        steps = self.step_seconds or [self.seconds / self.steps]
        validations = self.validation_seconds or [0.0]  # all of them may be before the resuming
        return Timing(round(median(steps), 4), round(median(validations), 3))

    # Lightning declares `Any` for what a checkpoint may hold.
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what this module holds besides its tensors."""
        checkpoint["validations"] = self.validations
        checkpoint["outcome"] = None if self.outcome is None else self.outcome.state()
        checkpoint["guard"] = self.guard.state()
        checkpoint["normalization"] = list(self.method.student.normalization())
        checkpoint["weights"] = asdict(self.method.student.weights_record)
        checkpoint["labels_sha256"] = self.labels_sha256
        checkpoint["seconds"] = self.seconds + time.monotonic() - self.started

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the validations, the skipped steps and the seconds of the training so far.

        Raises:
            RunError: the checkpoint lacks a record, or has other tensors than this module, or the
                stored labels are not those of its steps.
        """
        stored = cast(Checkpoint, checkpoint)
        missing = Checkpoint.__required_keys__ - stored.keys()
        if mismatch := missing or stored["state_dict"].keys() ^ self.state_dict().keys():
            raise RunError(
                "The checkpoint was written by another state of this program (only one of them "
                f"has {min(mismatch)}). Resume with that one, or start a new run with another "
                "--out."
            )
        if self.labels_sha256 is not None and self.labels_sha256 != stored["labels_sha256"]:
            raise RunError(
                "The stored labels in the folder labels of the run are not those that its steps "
                "so far have learned. Restore them, or start a new run."
            )
        self.validations = stored["validations"]
        outcome = stored["outcome"]
        self.outcome = None if outcome is None else Outcome.restored(outcome)
        self.guard.restore(stored["guard"])
        mean, std = stored["normalization"]
        for network in self.method.modules():
            if isinstance(network, Network):
                network.set_normalization(Normalization(mean, std))
        self.method.student.weights_record = from_plain(WeightsRecord, stored["weights"])
        self.seconds = stored["seconds"]

    def on_fit_start(self) -> None:
        """Open the cached features, now that the network has its weights, and start the clock.

        Raises:
            RunError: there is no folder for cached features.
        """
        if self.features is not None:
            self.features.open(self.method.student)
        self.started = time.monotonic()

    def on_fit_end(self) -> None:
        """Stop the clock."""
        self.seconds += time.monotonic() - self.started
