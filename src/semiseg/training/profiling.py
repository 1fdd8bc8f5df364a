"""The speed of a training, measured on a few steps that leave nothing behind.

There is one clock: `measure_pace` uses it for `--budget`, `measure_timing` for the estimates of
`compare`, and `cost.estimate_cost` for the dry run.
"""

from __future__ import annotations

import math
import time
import warnings
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader

from semiseg.config.facts import Facts, Line, Pace
from semiseg.config.feature_views import choose_feature_views
from semiseg.config.plan import RATES, workers_of
from semiseg.config.settings import decided, unless_auto
from semiseg.config.sizing import BATCH, crop_multiple, crop_of, largest_size
from semiseg.config.stages import images_between
from semiseg.config.train import TrainConfig
from semiseg.core.scores import Timing
from semiseg.core.types import Batch
from semiseg.inference.scenes import Scene
from semiseg.training.batches import TrainingBatches
from semiseg.training.build import build
from semiseg.training.data import TrainingData, sample_size
from semiseg.training.devices import alone, trainer_settings
from semiseg.training.feature_cache import ProbeFeatures
from semiseg.training.loaders import training_loader, validation_loader
from semiseg.training.module import TrainingModule
from semiseg.training.place import Place
from semiseg.training.stage import with_method

_SIZES_CPU, _SIZES_GPU = (128, 224), (256, 512)
_STEPS = 5
_WARM_UP_STEPS = 2  # the first steps are slower: caches fill, kernels are chosen
_LONG_STEP = 6.0  # seconds; two such steps are enough
_VALIDATION_IMAGES = 2
_USABLE_MEMORY = 0.85  # of what is free
_TIMING_STEPS = 12


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


def measure_pace(
    config: TrainConfig, data: TrainingData, place: Place, facts: Facts, started: float
) -> Pace:
    """Train random weights for a few steps at two sizes, and validate.

    Nothing is written, and the training that follows is not influenced.

    Args:
        config: the settings, with the encoder and the precision of the plan.
        data: the images.
        place: the device.
        facts: the facts that the plan starts from.
        started: when reading the data began, by the monotonic clock.
    """
    views = choose_feature_views(config.network, facts, config.settings.uses_frozen_features)
    config = _trial(config, place, _STEPS).replaced(
        feature_views=views.labeled, unlabeled_feature_views=views.unlabeled
    )
    side = largest_size(facts, budget=True)
    sizes = sorted({min(side, n) for n in (_SIZES_CPU if place.kind == "cpu" else _SIZES_GPU)})
    crops = [crop_of(size, crop_multiple(facts.patch)) for size in sizes]
    trials = [
        _measure_stages(config.replaced(size=size, crop=crop), data, place)
        for size, crop in zip(sizes, crops, strict=True)
    ]
    pixels = [decided(config.schedule.batch) * crop**2 for crop in crops]
    step = Line.through(*zip(pixels, [trial.step for trial in trials], strict=True))
    image = [trial.validation for trial in trials]
    validation = Line.through(*zip([size**2 for size in sizes], image, strict=True))
    max_pixels = math.inf
    if place.kind == "cuda":
        memory = Line.through(*zip(pixels, [trial.memory for trial in trials], strict=True))
        free = _USABLE_MEMORY * torch.cuda.mem_get_info()[0]
        max_pixels = (free - memory.fixed) / memory.per_pixel
    timed = [(crop**2, t.view) for crop, t in zip(crops, trials, strict=True) if t.view is not None]
    view = Line.through(*timed) if timed else None
    return Pace(step, validation, max_pixels, time.monotonic() - started, view)


def measure_timing(config: TrainConfig, data: TrainingData, place: Place) -> Timing:
    """The seconds of a step and of a validation of a training, measured on a few steps.

    Args:
        config: the settings, as planned.
        data: the images.
        place: the device.
    """
    trial = _measure_stages(_trial(config, place, _TIMING_STEPS), data, place)
    images = len(data.split.val)
    if config.validation.diagnostics and data.unlabeled:
        images += sample_size(data.split)
    between = images_between(config.settings, len(data.unlabeled), images) * trial.validation
    return Timing(trial.step * config.schedule.accumulate, trial.validation * images, between)


class _Trial(NamedTuple):
    """Seconds of a step, of a validation for one image, and of a view; bytes at the peak."""

    step: float
    validation: float
    memory: int
    view: float | None


def _trial(config: TrainConfig, place: Place, steps: int) -> TrainConfig:
    """The settings of a few steps of a training, with random weights and without a warm-up."""
    rate, encoder_rate = RATES[config.optimizer.optimizer]
    return without_warmup(config).replaced(
        budget=None,
        steps=steps,
        batch=unless_auto(config.schedule.batch, BATCH),
        accumulate=1,
        weights="none",
        start_from=None,
        lr=unless_auto(config.optimizer.lr, rate),
        encoder_lr=unless_auto(config.optimizer.encoder_lr, encoder_rate),
        layer_decay=unless_auto(config.optimizer.layer_decay, 1.0),
        drop_path=unless_auto(config.network.drop_path, 0.0),
        workers=unless_auto(config.machine.workers, workers_of(place.kind)),
    )


def without_warmup(config: TrainConfig) -> TrainConfig:
    """The settings without the first steps on labeled images, which are quicker and smaller."""
    if not hasattr(config.settings, "supervised_warmup"):
        return config
    return config.replaced(supervised_warmup=0.0)


def _measure_stages(config: TrainConfig, data: TrainingData, place: Place) -> _Trial:
    """Measure the steps of each stage, and give the mean step; the rest is of the last stage."""
    last, settings = _measure(config, data, place), config.settings
    if not (settings.earlier_stages and data.unlabeled):
        return last
    step, memory = settings.shares_of_stages[-1] * last.step, last.memory
    for stage, share in zip(settings.earlier_stages, settings.shares_of_stages, strict=False):
        other = with_method(config, stage.method)
        same = other.settings.implementation == settings.implementation and not stage.labeled_only
        images = data.labeled_only() if stage.labeled_only else data
        trial = last if same else _measure(other, images, place)
        step, memory = step + share * trial.step, max(memory, trial.memory)
    return last._replace(step=step, memory=memory)


def _measure(config: TrainConfig, data: TrainingData, place: Place) -> _Trial:
    """Train and validate for a moment, with the same parts as a real training."""
    module = build(config, data)
    validation = validation_loader(config, data, place, _VALIDATION_IMAGES)
    clock = Clock(_LONG_STEP, 2, validation)
    if place.kind == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    loader = training_loader(config, data, place)
    module.features = features = ProbeFeatures(
        cast(TrainingBatches, loader.dataset), config.network
    )
    run_steps(config, module, loader, clock)
    memory = torch.cuda.max_memory_allocated() if place.kind == "cuda" else 0
    return _Trial(clock.interval(), clock.image_seconds, memory, features.seconds)


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
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.monotonic()
