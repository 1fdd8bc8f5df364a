"""The dry run: a small step of a training, counted and timed, and what it says of the whole."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from types import SimpleNamespace
from typing import NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from semiseg.config.plan import Line
from semiseg.core.text import duration
from semiseg.core.types import Batch
from semiseg.training.devices import quiet, trainer_settings
from semiseg.training.module import TrainingModule

_IMAGES = 2
_MULTIPLE = 32
_GIB = 2**30
STEPS = 4
"""Steps at a crop: one that is counted, and some that are timed."""
_QUICK = 2.0  # seconds of a step
_LONG = 10.0  # seconds: beside such a step, what makes a first one slower is small


class Rehearsal(NamedTuple):
    """What one small step says about a training.

    Attributes:
        device: the kind of device that it ran on.
        crop: side of the step's crops, in pixels.
        images: labeled images of the step, and as many unlabeled ones if any, in words.
        parameters: of the student.
        operations: floating-point operations of the step, forward and backward.
        step_operations: of a step of the training.
        memory: bytes that the step needed at least: weights, gradients, optimizer, teacher, and
            what was kept for the backward pass.
        step_memory: of a step of the training, on each device.
        seconds: of such a step after the first, without reading images. Of the first, if that took
            more than ten seconds.
        hours: of the training on as many such devices, without validations.
        whole: the training in words.
    """

    device: str
    crop: int
    images: str
    parameters: int
    operations: int
    step_operations: int
    memory: int
    step_memory: int
    seconds: float
    hours: float
    whole: str

    def text(self) -> str:
        """A line for each figure."""
        this = f"this step of {self.images} images at {self.crop} x {self.crop}"
        return "\n".join(
            (
                f"parameters  {self.parameters / 1e6:.1f} million",
                f"operations  {self.operations / 1e12:.3g} TFLOP {this}; "
                f"{self.step_operations / 1e12:.3g} TFLOP a step of {self.whole}",
                f"memory      {self.memory / _GIB:.2f} GiB this step; about "
                f"{self.step_memory / _GIB:.1f} GiB on each device",
                f"time        {self.seconds:.1f} s such a step; about "
                f"{duration(3600 * self.hours)} in all on such a device ({self.device}), start, "
                "looks and report aside",
            )
        )


def rehearse(
    module: TrainingModule,
    loader: Callable[[int], DataLoader[Batch]],
    s: SimpleNamespace,
    kind: str,
    world: int,
    both: bool,
) -> Rehearsal:
    """Take steps of 2 + 2 images at half crop, quick ones at the whole crop too, and extrapolate.

    Work and memory are taken to grow with the number of pixels; what a loss does by class does not,
    and is small beside the network. Where steps are quick, time is a line through both crops.

    Args:
        module: what would be trained.
        loader: gives a loader of `STEPS` such batches for a crop.
        s: the settings of the training.
        kind: the device's kind.
        world: the devices that it is meant for.
        both: whether there are unlabeled images beside the labeled ones.
    """
    crop = max(_MULTIPLE, s.crop // 2 // _MULTIPLE * _MULTIPLE)
    ratio = s.batch * s.crop**2 / (_IMAGES * crop**2)
    fixed = _fixed(module, s.optimizer)
    counter, kept, counting = FlopCounterMode(display=False), _Kept(module), ExitStack()
    with counting:
        counting.enter_context(counter)
        counting.enter_context(saved_tensors_hooks(kept.pack, kept.unpack))
        seconds = _seconds_of_a_step(module, loader(crop), s, counting)
    points = [(float(_IMAGES * crop**2), seconds)]
    if seconds < _QUICK and crop < s.crop:  # what does not grow with the pixels then counts
        whole_crop = _seconds_of_a_step(module, loader(s.crop), s, ExitStack())
        points.append((float(_IMAGES * s.crop**2), whole_crop))
    step = Line.through(*points).at(s.batch * s.crop**2)
    operations = counter.get_total_flops()
    devices = f" on {world} devices" if world > 1 else ""
    whole, small = (f"{n} + {n}" if both else f"{n}" for n in (s.batch, _IMAGES))
    words = f"{whole} images at {s.crop} x {s.crop}{devices}, {s.steps} of them"
    return Rehearsal(
        device=kind,
        crop=crop,
        images=small,
        parameters=sum(p.numel() for p in module.method.student.parameters()),
        operations=operations,
        step_operations=round(operations * ratio * s.accumulate),
        memory=fixed + kept.bytes,
        step_memory=fixed + round(kept.bytes * ratio / world),
        seconds=seconds,
        hours=step * s.accumulate * s.steps / world / 3600,
        whole=words,
    )


def _seconds_of_a_step(
    module: TrainingModule, loader: DataLoader[Batch], s: SimpleNamespace, counting: ExitStack
) -> float:
    """Take a few steps; `counting` is closed after the first."""
    clock = _Clock(counting)
    trainer = L.Trainer(
        **trainer_settings(s.accelerator, 1, 1),
        precision=s.precision,
        max_steps=STEPS,
        logger=False,
        callbacks=[clock],
        **quiet(),
    )
    with warnings.catch_warnings():
        # Lightning's advice on workers, and its use of torch under the counter.
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, loader)
    return clock.seconds


def _fixed(module: TrainingModule, optimizer: str) -> int:
    """Bytes that do not depend on the batch."""
    student = sum(p.numel() * p.element_size() for p in module.method.student.parameters())
    everything = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    return int(everything) + int(student) * (1 + (1 if optimizer == "sgd" else 2))


class _Clock(Callback):
    """Times steps; with the first one, counting ends, which takes time of its own."""

    def __init__(self, counting: ExitStack) -> None:
        self.counting = counting
        self.steps: list[float] = []
        self._began = 0.0

    @property
    def seconds(self) -> float:
        """Of a step; the first is slower, and counts only where it is alone."""
        return median(self.steps[1:] or self.steps)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """The batch is on the device."""
        self._began = _now(pl_module)

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """The step is taken."""
        self.counting.close()
        self.steps.append(_now(pl_module) - self._began)
        trainer.should_stop = self.steps[-1] > _LONG


def _now(module: L.LightningModule) -> float:
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.monotonic()


class _Kept:
    """Counts the bytes that are kept for the backward pass; parameters are not."""

    def __init__(self, module: nn.Module) -> None:
        self.seen = {p.untyped_storage().data_ptr() for p in module.parameters()}
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        """A tensor is kept."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.seen:
            self.seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        """It is needed."""
        return tensor
