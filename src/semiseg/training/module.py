"""A method as a Lightning module: optimizer, schedule, keyed draws, validation."""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import median
from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from semiseg.core.errors import RunError
from semiseg.core.rng import Key
from semiseg.core.scores import Timing
from semiseg.core.types import Batch, Losses, Step
from semiseg.evaluation.logit_adjustment import offsets
from semiseg.evaluation.metrics import confusion_matrix, scores
from semiseg.inference.scenes import Scene, segmenter, to_input
from semiseg.methods.base import Method
from semiseg.model.distributed import sum_over_ranks, world_size
from semiseg.model.encoders import Normalization
from semiseg.training.guard import IN_A_ROW, Guard

OptimizerName = Literal["adamw", "sgd"]


class TrainingModule(L.LightningModule):
    """Runs a method; what it computes is the method's, when it happens is Lightning's.

    Args:
        method: the method with its student.
        names: the class names, for the scores.
        steps: optimizer steps in all.
        key: the key of the steps' draws.
        optimizer: `adamw`, or `sgd` with Nesterov momentum 0.9.
        lr: learning rate of decoder and heads.
        encoder_lr: learning rate of the encoder.
        weight_decay: on weights; biases and batch norm are spared.
        lr_warmup: share of the steps over which the rates rise from 0, linearly.
    """

    def __init__(
        self,
        method: Method,
        names: tuple[str, ...],
        steps: int,
        key: Key,
        optimizer: OptimizerName,
        lr: float,
        encoder_lr: float,
        weight_decay: float,
        lr_warmup: float,
    ) -> None:
        super().__init__()
        self.method = method
        self.guard = Guard(method)
        self.names = names
        self.steps = steps
        self.key = key
        self.optimizer_name, self.lr, self.encoder_lr = optimizer, lr, encoder_lr
        self.weight_decay, self.lr_warmup = weight_decay, lr_warmup
        self.looks: list[dict[str, Any]] = []
        self.seconds, self.started = 0.0, 0.0
        self.step_seconds: list[float] = []
        self.look_seconds: list[float] = []
        self._stepped: float | None = None
        self._losses: Losses | None = None

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Images become floats in 0..1 on the device, where that is cheap."""
        labeled = batch.labeled._replace(image=to_input(batch.labeled.image))
        unlabeled = batch.unlabeled
        if unlabeled is not None:
            unlabeled = unlabeled._replace(
                weak=to_input(unlabeled.weak), strong=to_input(unlabeled.strong)
            )
        return Batch(labeled, unlabeled, batch.number)

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
        loss = torch.stack(list(losses.terms.values())).sum()
        values = {**losses.terms, **losses.diagnostics, "loss": loss}
        self.log_dict({f"train/{k}": v.detach() for k, v in values.items()}, batch_size=1)
        if self.guard.skipped:
            self.log("skipped_steps", float(self.guard.skipped), batch_size=1)
        return self.guard.watch(loss)

    def on_after_backward(self) -> None:
        """Prototypes and the like take in the batch once its gradient is there."""
        if self._losses is not None:
            self.method.commit(self._losses)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """With all gradients there: is this a step to take?"""
        self.guard.judge(scaled=getattr(self.trainer.precision_plugin, "scaler", None) is not None)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on as it is
        """Take the step, then let the teacher follow: before any checkpoint is written.

        Raises:
            RunError: it is one too many that is not finite.
        """
        step = self.global_step
        super().optimizer_step(*args, **kwargs)
        if self.guard.row >= IN_A_ROW:
            raise RunError(self._hopeless(step))
        if not self.guard.flawed:
            self.method.after_step(step, self.steps)
        now = time.monotonic()
        if self._stepped is not None:
            self.step_seconds.append(now - self._stepped)
        self._stepped = now

    def _hopeless(self, step: int) -> str:
        """What is told once steps are not finite again and again."""
        parts = self.trainer.accumulate_grad_batches
        loader: Any = self.trainer.train_dataloader
        numbers = range(step * parts, (step + 1) * parts)
        files = ", ".join(str(path) for n in numbers for path in loader.dataset.files(n))
        return (
            f"The loss or its gradient was not finite in {IN_A_ROW} steps in a row, the last of "
            f"them step {step + 1}. Its images: {files}. Look at these (semiseg check) and mend "
            "what is wrong, then go on with --resume: the newest checkpoint is from before. If "
            "nothing is wrong with them, start anew with a lower --lr and --encoder-lr, or with "
            "--precision 32-true."
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Two rates (encoder, rest), decay on weights alone, poly 0.9 to 0 after a warm-up."""
        encoder = {id(p) for p in self.method.student.encoder.parameters()}
        groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
        for parameter in self.method.student.parameters():
            rate = self.encoder_lr if id(parameter) in encoder else self.lr
            decay = self.weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        params = [
            {"params": list(p), "lr": rate, "weight_decay": decay}
            for (rate, decay), p in groups.items()
        ]
        optimizer: Optimizer
        if self.optimizer_name == "sgd":
            optimizer = SGD(params, lr=self.lr, momentum=0.9, nesterov=True)
        else:
            optimizer = AdamW(params, lr=self.lr, fused=True)
        schedule = LambdaLR(optimizer, self.rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def rate_factor(self, step: int) -> float:
        """The factor on the learning rates at a step: linear warm-up, then poly 0.9 to 0."""
        rise = round(self.lr_warmup * self.steps)
        if step < rise:
            return (step + 1) / (rise + 1)
        left = (self.steps - step) / max(1, self.steps - rise)
        return float(max(0.0, left) ** 0.9)

    @torch.no_grad()
    def look(self, loader: Iterable[Scene], *, last: bool = False) -> dict[str, dict[str, Any]]:
        """Score each network on the validation images, at the size of their masks.

        Args:
            loader: this process's images, one at a time.
            last: this is the look after the last step, of which a network is released.

        Returns:
            The scores by network, as `evaluation.metrics.scores` gives them, with the `confusion`
            matrix that they were computed from; kept in `looks` too. At the last look also
            `tried`: the same for each `strength` of `evaluation.adjustment`, 0 the first.
        """
        began = time.monotonic()
        networks, count = self.method.networks(), len(self.names)
        segmenters = {name: segmenter(network) for name, network in networks.items()}
        tried = offsets(self.method.class_weights if last else None, count)
        added = torch.stack(list(tried.values())).numpy()
        confusion = {n: torch.zeros(len(tried), count, count, dtype=torch.long) for n in networks}
        self.method.eval()
        for scene in loader:
            images, mask = scene.image.numpy(), scene.mask
            for name, segment in segmenters.items():
                labels = torch.from_numpy(segment.labels(images, (len(mask), mask.shape[1]), added))
                for table, one in zip(confusion[name], labels, strict=True):
                    table += confusion_matrix(one, mask, count)
        self.method.train()
        result: dict[str, dict[str, Any]] = {}
        for name, tables in confusion.items():
            counts = sum_over_ranks(tables.to(self.device)).cpu()
            scored = [{**scores(c, self.names), "confusion": c.tolist()} for c in counts]
            result[name] = dict(scored[0])
            if last:
                pairs = zip(tried, scored, strict=True)
                result[name]["tried"] = [{"strength": s, **found} for s, found in pairs]
        self.looks.append({"step": self.global_step, **result})
        self.look_seconds.append(time.monotonic() - began)
        self._stepped = None  # the time to the next step holds this look
        return result

    def timing(self) -> Timing:
        """Median seconds from one step to the next, and of a look, since the start or resuming."""
        steps = self.step_seconds or [self.seconds / self.steps]
        looks = self.look_seconds or [0.0]  # all of them may lie before the resuming
        return Timing(round(median(steps), 4), round(median(looks), 3))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What this module knows beside its tensors goes into the checkpoint."""
        checkpoint["looks"] = self.looks
        checkpoint["guard"] = self.guard.state()
        checkpoint["normalization"] = [list(v) for v in self.method.student.normalization()]
        checkpoint["seconds"] = self.seconds + time.monotonic() - self.started

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The looks and the seconds of the training so far.

        Raises:
            RunError: the checkpoint is of another method or of another state of this program.
        """
        if strange := checkpoint["state_dict"].keys() ^ self.state_dict().keys():
            raise RunError(
                f"The checkpoint was written by another state of this program ({min(strange)} is "
                "in one of them alone). Resume it with that one, or start a new run with another "
                "--out."
            )
        self.looks = checkpoint["looks"]
        self.guard.restore(checkpoint["guard"])
        mean, std = (tuple(values) for values in checkpoint["normalization"])
        for network in self.method.networks().values():
            network.set_normalization(Normalization(mean, std))
        self.seconds = checkpoint["seconds"]

    def on_fit_start(self) -> None:
        """The clock starts, or goes on."""
        self.started = time.monotonic()

    def on_fit_end(self) -> None:
        """The clock stops."""
        self.seconds += time.monotonic() - self.started
