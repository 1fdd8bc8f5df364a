"""How fast this machine is: a few real steps and looks at two sizes, before the training."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from types import SimpleNamespace
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from semiseg.config.plan import BATCH, RATES, Line, Pace, crop_of, workers_of
from semiseg.core.types import Batch
from semiseg.data.dataset import Dataset
from semiseg.data.splits import Split
from semiseg.inference.scenes import Scene
from semiseg.training import session
from semiseg.training.devices import Place, quiet, trainer_settings
from semiseg.training.module import TrainingModule

_SIZES = {"cpu": (128, 224)}
_SIZES_GPU = (256, 512)
_STEPS = 5  # the first ones are slower: caches fill, kernels are chosen
_FIRST = 2
_LONG = 6.0  # seconds of a step: two are then enough
_SCENES = 2
_MEMORY = 0.85  # of what is free


class _Measured(NamedTuple):
    """Seconds of a micro batch, seconds of a look at one image, bytes at the most."""

    step: float
    look: float
    memory: float


def measure(
    s: SimpleNamespace,
    options: Mapping[str, Any],
    folder: Dataset,
    split: Split,
    place: Place,
    side: int,
    began: float,
) -> Pace:
    """Train random weights for a few steps at two sizes, and let them look at `val`.

    Nothing is written, and nothing of it reaches the training.

    Args:
        s: the settings of `train`.
        options: the settings of the method.
        folder: the data.
        split: the images.
        place: where to run.
        side: the largest size that makes sense, in pixels.
        began: when the reading of the data began, by the monotonic clock.
    """
    sizes = sorted({min(side, n) for n in _SIZES.get(place.kind, _SIZES_GPU)})
    rest, inner = RATES[s.optimizer]
    s = SimpleNamespace(**vars(s))
    s.batch, s.steps, s.accumulate, s.weights, s.init = s.batch or BATCH, _STEPS, 1, "none", None
    s.lr, s.encoder_lr = s.lr or rest, s.encoder_lr or inner
    s.workers = workers_of(place.kind) if s.workers is None else s.workers
    if "supervised_warmup" in options:
        options = {**options, "supervised_warmup": 0.0}  # whose steps are quicker than the others
    before, session.console.quiet = session.console.quiet, True
    try:
        found = [_try(s, options, folder, split, place, size) for size in sizes]
    finally:
        session.console.quiet = before
    pixels = [s.batch * crop_of(size) ** 2 for size in sizes]
    step = Line.through(*zip(pixels, [m.step for m in found], strict=True))
    look = Line.through(*zip([n**2 for n in sizes], [m.look for m in found], strict=True))
    most = math.inf
    if place.kind == "cuda":
        memory = Line.through(*zip(pixels, [m.memory for m in found], strict=True))
        most = (_MEMORY * torch.cuda.mem_get_info()[0] - memory.fixed) / memory.each
    return Pace(step, look, most, time.monotonic() - began)


def _try(
    s: SimpleNamespace,
    options: Mapping[str, Any],
    folder: Dataset,
    split: Split,
    place: Place,
    size: int,
) -> _Measured:
    """A short training at a size, of the same parts as the real one."""
    s = SimpleNamespace(**{**vars(s), "size": size, "crop": crop_of(size)})
    module, focus = session.assemble(s, options, folder, split)
    some = replace(split, val=split.val[:_SCENES])
    clock = _Clock(session.validation_loader(some, folder.classes, s, place))
    trainer = L.Trainer(
        **trainer_settings(s.accelerator, 1, 1),
        precision=s.precision,
        max_steps=s.steps,
        logger=False,
        callbacks=[clock],
        **quiet(),
    )
    if place.kind == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    loader = session.training_loader(split, folder.classes, s, place, 0, focus)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        trainer.fit(module, loader)
    memory = torch.cuda.max_memory_allocated() if place.kind == "cuda" else 0
    return _Measured(median(clock.steps[_FIRST:] or clock.steps[-1:]), clock.look, memory)


class _Clock(Callback):
    """Times steps from one to the next, the loading with them, and a look after the last."""

    def __init__(self, scenes: DataLoader[Scene]) -> None:
        self.scenes = scenes
        self.steps: list[float] = []
        self.look, self.last = 0.0, 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The first step begins."""
        self.last = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: object,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """A step ends."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        now = time.monotonic()
        self.steps.append(now - self.last)
        self.last = now
        # The first one holds the start of the loader.
        trainer.should_stop = len(self.steps) > 1 and self.steps[-1] > _LONG

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Look twice: the first time is slower."""
        if isinstance(pl_module, TrainingModule):
            for _ in range(2):
                pl_module.look(self.scenes)
            self.look = pl_module.look_seconds[-1] / max(1, len(self.scenes))
