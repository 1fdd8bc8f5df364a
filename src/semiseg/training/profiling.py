"""The speed of a training, measured on a few steps that leave nothing behind.

There is one clock, `clock.py`: `measure_pace` uses it for `--budget`, `measure_timing` for the
estimates of `compare`, and `cost.estimate_cost` for the dry run.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch

from semiseg.config.facts import Facts, Line, Pace
from semiseg.config.feature_views import choose_feature_views, decoded_side
from semiseg.config.plan import RATES, workers_of
from semiseg.config.settings import decided, unless_auto
from semiseg.config.sizing import BATCH, crop_multiple, crop_of, largest_size
from semiseg.config.stages import Between, images_between, images_of_second
from semiseg.config.train import TrainConfig
from semiseg.core.scores import Timing
from semiseg.core.text import duration
from semiseg.training.batches import TrainingBatches
from semiseg.training.build import build
from semiseg.training.clock import Clock, run_steps
from semiseg.training.data import TrainingData, sample_size
from semiseg.training.feature_cache import ProbeFeatures
from semiseg.training.loaders import training_loader, validation_loader
from semiseg.training.pace_memory import Measurement, key_of, memory_file, recall, remember
from semiseg.training.place import Place
from semiseg.training.second_stage import second_config
from semiseg.training.stage import with_method

logger = logging.getLogger(__name__)

_SIZES_CPU, _SIZES_GPU = (128, 224), (256, 512)
_STEPS = 5
_LONG_STEP = 6.0  # seconds; two such steps are enough
_VALIDATION_IMAGES = 2
_USABLE_MEMORY = 0.85  # of what is free
_TIMING_STEPS = 12


def measure_pace(
    config: TrainConfig, data: TrainingData, place: Place, facts: Facts, started: float
) -> Pace:
    """Train random weights for a few steps at two sizes, and validate.

    If such steps were measured within the last hour, that measurement counts; see `pace_memory`.
    Nothing else is written, and the training that follows is not influenced.

    Args:
        config: the settings, with the encoder and the precision of the plan.
        data: the images.
        place: the device.
        facts: the facts that the plan starts from.
        started: when reading the data began, by the monotonic clock.
    """
    views = choose_feature_views(config.network, facts, config.settings.uses_frozen_features)
    what = f"{config.method} with {facts.encoder.name}"
    config = _trial(config, place, _STEPS).replaced(
        feature_views=views.labeled, unlabeled_feature_views=views.unlabeled
    )
    side = largest_size(facts, budget=True)
    sizes = sorted({min(side, n) for n in (_SIZES_CPU if place.kind == "cpu" else _SIZES_GPU)})
    crops = [crop_of(size, crop_multiple(facts.patch)) for size in sizes]
    configs = [config.replaced(size=n, crop=crop) for n, crop in zip(sizes, crops, strict=True)]
    began, key, saved = time.monotonic(), key_of(configs, data, place), 0.0
    remembered = recall(key)
    if remembered is None:
        logger.info("measuring a few steps of %s for the budget", what)
        measurement = _measure_sizes(configs, data, place)
        if remember(key, measurement):
            saved = time.monotonic() - began
    else:
        measurement, age = remembered
        logger.info(
            "the speed of %s was measured %s ago and counts for an hour. To measure it again, "
            "delete %s",
            *(what, duration(age), memory_file()),
        )
    pace = _pace_of(measurement, place)
    return pace._replace(spent=time.monotonic() - started, saved=saved)


def _measure_sizes(configs: Sequence[TrainConfig], data: TrainingData, place: Place) -> Measurement:
    """Measure a few steps at several sizes, also of the second network if there is one.

    Args:
        configs: the settings of the steps, one for each size, the smallest first.
        data: the images.
        place: the device.
    """
    trials = [_measure_stages(one, data, place) for one in configs]
    measurement = _through(configs, trials, place)
    seconds = [_trial_of_second(one, data, place) for one in configs]
    if others := [one for one in seconds if one is not None]:
        trials = [_measure(one, data.labeled_only(), place) for one in others]
        measurement = replace(measurement, second=_through(others, trials, place))
    return measurement


def _through(configs: Sequence[TrainConfig], trials: Sequence[_Trial], place: Place) -> Measurement:
    """The lines through trials at several sizes.

    Args:
        configs: the settings of the trials.
        trials: what was measured.
        place: the device.
    """
    crops = [decided(config.views.crop) for config in configs]
    batch, network = decided(configs[0].schedule.batch), configs[0].network
    pixels = [batch * crop**2 for crop in crops]
    views = decided(network.feature_views)
    decoded = [batch * decoded_side(crop, network.feature_window, views) ** 2 for crop in crops]
    sizes = [decided(config.views.size) ** 2 for config in configs]
    timed = [(crop**2, t.view) for crop, t in zip(crops, trials, strict=True) if t.view is not None]
    peaks = list(zip(pixels, [trial.memory for trial in trials], strict=True))
    return Measurement.of(
        step=Line.through(*zip(decoded, [trial.step for trial in trials], strict=True)),
        validation=Line.through(*zip(sizes, [trial.validation for trial in trials], strict=True)),
        memory=Line.through(*peaks) if place.kind == "cuda" else None,
        view=Line.through(*timed) if timed else None,
    )


def _pace_of(measurement: Measurement, place: Place) -> Pace:
    """The pace that a measurement means now, without the seconds that were spent.

    Args:
        measurement: the lines.
        place: the device, whose memory others may use as well.
    """
    max_pixels = math.inf
    if place.kind == "cuda" and measurement.memory is not None:
        memory = Line(*measurement.memory)
        free = _USABLE_MEMORY * torch.cuda.mem_get_info()[0]
        max_pixels = (free - memory.fixed) / memory.per_pixel
    second = None if measurement.second is None else _pace_of(measurement.second, place)
    if second is not None:
        max_pixels = min(max_pixels, second.max_pixels)
    return Pace(
        Line(*measurement.step),
        Line(*measurement.validation),
        max_pixels,
        0.0,
        None if measurement.view is None else Line(*measurement.view),
        second,
    )


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
    draws = config.schedule.step_images
    between = images_between(config.settings, len(data.unlabeled), images, draws)
    seconds = between.times(trial.validation).plus(_seconds_of_second(config, data, place))
    step = trial.step * config.schedule.accumulate
    return Timing(step, trial.validation * images, *seconds)


def _seconds_of_second(config: TrainConfig, data: TrainingData, place: Place) -> Between:
    """The seconds of the second network: its training, and its labels; 0 without one.

    Args:
        config: the settings, as planned.
        data: the images.
        place: the device.
    """
    short = _trial_of_second(_trial(config, place, _TIMING_STEPS), data, place)
    whole = second_config(config, place.kind)
    if short is None or whole is None:
        return Between()
    trial = _measure(short, data.labeled_only(), place)
    steps = decided(whole.schedule.steps) * config.schedule.accumulate
    views = min(
        decided(whole.network.feature_views) * len(data.split.labeled),
        steps * decided(whole.schedule.batch),
    )
    draws = config.schedule.step_images
    images = images_of_second(config.settings, len(data.unlabeled), len(data.split.val), draws)
    training = steps * trial.step + views * (trial.view or 0.0)
    return images.times(trial.validation).plus(Between(training))


def _trial_of_second(config: TrainConfig, data: TrainingData, place: Place) -> TrainConfig | None:
    """The settings of a few steps of the second network; None for a training without one.

    Args:
        config: the settings of a few steps of the training.
        data: the images.
        place: the device.
    """
    second = second_config(config, place.kind) if data.unlabeled else None
    if second is None:
        return None
    return second.replaced(weights="none", steps=config.schedule.steps)


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
