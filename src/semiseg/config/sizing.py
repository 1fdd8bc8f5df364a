"""The rules for what costs time: size, crop, batch, steps and validations.

Without a budget the sizes follow from the data and the device. With a budget they are the largest
that fit into the time, given the measured pace.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from semiseg.config.facts import Facts, Pace
from semiseg.config.feature_views import AUTO_VIEWS, choose_feature_views, drawn_views
from semiseg.config.methods import DEFAULT_METHOD
from semiseg.config.settings import AUTO, unless_auto
from semiseg.config.stages import images_between, images_of_second
from semiseg.config.train import MIN_SIDE, TrainConfig, parse_duration
from semiseg.core.errors import BudgetError
from semiseg.core.types import STRIDE

BATCH, VALIDATIONS = 4, 5
STEPS = 1000
REFERENCE_SIZE = 240
"""A css step of 4 + 4 crops at this size takes 1 to 1.5 seconds on one or two cores, so `STEPS` of
them take about 25 minutes. Sizes and steps grow together from here: steps with the square of the
size."""
VIT_STEPS_CPU = 400
"""The same for a vision transformer on a CPU, whose step takes about five times as long; but not
where only the head is trained."""
CSS_STEP_COST = 2.7
"""The time of a css step, in steps of `supervised`: with the default encoder on one core of a CPU,
see the table in docs/performance.md."""
MAX_STEPS = 20_000
CROP_MULTIPLE = 32

_GPU_SIZE = 512  # without a budget
_MIN_SIZE, _MAX_SIZE, _MAX_SIZE_GPU = 128, 512, 768  # with a budget
_SIZE_GRID = 16
_LARGER_BATCHES = (16, 8)  # on a GPU, where neither size nor steps are short
_MIN_STEPS = 100
_RESERVE = 0.05  # share of a budget for the start, checkpoints, and a machine that gets busier
_VALIDATION_SHARE = 0.2  # of a budget, at most
_FURTHER_VALIDATIONS = 2  # the shapes of the released model, and the report, take as long as one


class Sizes(NamedTuple):
    """The settings that cost time."""

    size: int
    crop: int
    batch: int
    steps: int
    validations: int


def choose_sizes(config: TrainConfig, facts: Facts, pace: Pace | None) -> Sizes:
    """The sizes of a training; what the user gave stays.

    Args:
        config: the settings. Those that are `auto` are chosen here.
        facts: the data and the device.
        pace: the measured speed; None without a budget.

    Raises:
        BudgetError: the budget is too short.
    """
    if pace is None or config.schedule.budget is None:
        return _sizes_without_budget(config, facts)
    return _sizes_within(parse_duration(config.schedule.budget), config, facts, pace)


def total_seconds(config: TrainConfig, facts: Facts, pace: Pace, sizes: Sizes) -> float:
    """The expected seconds of a training with its validations and report, and of measuring it."""
    step = config.schedule.accumulate * pace.step.at(sizes.batch * sizes.crop**2)
    validation = pace.validation.at(sizes.size**2) * facts.validation_images
    steps = sizes.steps * step + _filling_seconds(config, facts, pace, sizes)
    between = _seconds_between(config, facts, pace, sizes.size)
    between += sizes.steps * _second_step(config, facts, pace, sizes)
    return pace.spent + steps + (sizes.validations + _FURTHER_VALIDATIONS) * validation + between


def _seconds_between(config: TrainConfig, facts: Facts, pace: Pace, size: int) -> float:
    """The seconds of a training with stages that are no steps of it.

    These are the validations of the earlier stages, and the labeling between the stages; and all
    that the second network does besides its steps.
    """
    images = images_between(config.settings, facts.unlabeled, facts.validation_images)
    seconds = images * pace.validation.at(size**2)
    if pace.second is None or facts.second is None:
        return seconds
    images = images_of_second(config.settings, facts.unlabeled, facts.val)
    crop = crop_of(size, crop_multiple(facts.second.patch))
    filling = 0.0 if pace.second.view is None else pace.second.view.at(crop**2)
    return (
        seconds + images * pace.second.validation.at(size**2) + AUTO_VIEWS * facts.labeled * filling
    )


def _second_step(config: TrainConfig, facts: Facts, pace: Pace, sizes: Sizes) -> float:
    """The seconds of the second network for each step of the training; 0 without one."""
    second = config.settings.second_network
    if pace.second is None or facts.second is None or second is None:
        return 0.0
    crop = crop_of(sizes.size, crop_multiple(facts.second.patch))
    step = pace.second.step.at(sizes.batch * crop**2)
    return second.share * config.schedule.accumulate * step


def _filling_seconds(config: TrainConfig, facts: Facts, pace: Pace, sizes: Sizes) -> float:
    """The seconds for the features that a training caches: once for each view that it draws."""
    if pace.view is None:
        return 0.0
    strong = config.settings.strong_views
    views = choose_feature_views(config.network, facts, config.settings.uses_frozen_features)
    entries = views.entries(facts.labeled, facts.unlabeled, strong)
    batches = sizes.steps * config.schedule.accumulate
    drawn = batches * drawn_views(sizes.batch, facts.unlabeled, strong)
    return min(entries, drawn) * pace.view.at(sizes.crop**2)


def crop_multiple(patch: int | None) -> int:
    """The number of pixels of which crops are a multiple, so that the network pads nothing.

    Args:
        patch: the patch of a plain vision transformer; None for any other encoder.
    """
    return CROP_MULTIPLE if patch is None else math.lcm(patch, STRIDE)


def crop_of(size: int, multiple: int = CROP_MULTIPLE) -> int:
    """The largest multiple of some pixels within a size; the smallest allowed one at least."""
    smallest = -(-MIN_SIDE // multiple) * multiple
    return max(smallest, size // multiple * multiple)


def largest_size(facts: Facts, budget: bool) -> int:
    """The largest working size: that of the images, or the limit of the device."""
    if facts.device == "cpu":
        limit = _MAX_SIZE if budget else REFERENCE_SIZE
    else:
        limit = _MAX_SIZE_GPU if budget else _GPU_SIZE
    return max(MIN_SIDE, min(round(facts.side), limit))


def _sizes_without_budget(config: TrainConfig, facts: Facts) -> Sizes:
    size = unless_auto(config.views.size, largest_size(facts, budget=False))
    steps = reference_steps(config, facts)
    if facts.device != "cpu":
        steps = _two_digits(max(steps, _useful_steps(size, config, facts)))
    if facts.method.step_cost > 1:
        steps = _two_digits(round(steps * facts.method.step_cost))
    return Sizes(
        size,
        unless_auto(config.views.crop, crop_of(size, crop_multiple(facts.patch))),
        unless_auto(config.schedule.batch, max(BATCH, 2 * facts.world)),
        unless_auto(config.schedule.steps, steps),
        unless_auto(config.validation.validations, VALIDATIONS),
    )


def reference_steps(config: TrainConfig, facts: Facts) -> int:
    """The steps that suit the reference size."""
    slow = facts.patch is not None and facts.device == "cpu"
    return VIT_STEPS_CPU if slow and config.network.trained_part.part != "head" else STEPS


def _useful_steps(size: int, config: TrainConfig, facts: Facts) -> float:
    """The steps that suit a size. They grow with its square, so that both grow with a budget."""
    return reference_steps(config, facts) * size**2 / REFERENCE_SIZE**2


def _two_digits(steps: float) -> int:
    """Steps rounded down to two significant digits."""
    unit: int = 10 ** max(0, len(str(int(steps))) - 2)
    return int(steps) // unit * unit


def _sizes_within(seconds: float, config: TrainConfig, facts: Facts, pace: Pace) -> Sizes:
    """The largest size whose useful steps fit into the time; then more steps.

    Raises:
        BudgetError: not even the minimum fits.
    """
    given_steps = None if config.schedule.steps == AUTO else config.schedule.steps
    given_batch = None if config.schedule.batch == AUTO else config.schedule.batch
    budget = _Budget(seconds, config, facts, pace)
    options = [budget.fit(size, given_batch or BATCH) for size in _candidates(config, facts)]
    in_memory = [s for s in options if s.batch * s.crop**2 <= pace.max_pixels] or options[:1]
    enough = [
        s for s in in_memory if s.steps >= (given_steps or _useful_steps(s.size, config, facts))
    ]
    best = enough[-1] if enough else in_memory[0]
    if facts.device == "cuda" and not given_batch and best is in_memory[-1]:
        steps_needed = given_steps or 2 * max(STEPS, _useful_steps(best.size, config, facts))
        larger = (budget.fit(best.size, batch) for batch in _LARGER_BATCHES)
        affordable = (
            s for s in larger if s.steps >= steps_needed and s.batch * s.crop**2 <= pace.max_pixels
        )
        best = next(affordable, best)
    minimum = given_steps or _MIN_STEPS
    if best.steps < minimum:
        # In such a short budget, validations may take up to their share.
        needed = total_seconds(config, facts, pace, best._replace(steps=minimum))
        minutes = int(needed / (1 - _RESERVE - _VALIDATION_SHARE) / 60) + 1
        raise BudgetError(
            f"--budget {config.schedule.budget} is too short on this machine: {minimum} steps at "
            f"size {best.size} take --budget {minutes}m. Give that or more, or a smaller --size"
            f"{_faster_method(config)}."
        )
    return best._replace(steps=given_steps or min(MAX_STEPS, _two_digits(best.steps)))


def _faster_method(config: TrainConfig) -> str:
    """The method that trains in less time, as the end of a sentence; empty where none does."""
    if config.method == DEFAULT_METHOD:
        return ", or --method supervised, which takes a quarter to a half of the time"
    if config.settings.uses_unlabeled:
        return ", or --method supervised, which trains on the masks alone and takes less time"
    return ""


def _candidates(config: TrainConfig, facts: Facts) -> list[int]:
    """The sizes that a budget may choose from, the smallest first."""
    if config.views.size != AUTO:
        return [config.views.size]
    if config.views.crop != AUTO:  # the crop decides what a step costs; the size stays as usual
        return [largest_size(facts, budget=False)]
    high = largest_size(facts, budget=True)
    low = min(high, _MIN_SIZE)
    return sorted(
        {low, high, *range(low // _SIZE_GRID * _SIZE_GRID + _SIZE_GRID, high, _SIZE_GRID)}
    )


class _Budget(NamedTuple):
    """A time, and what is done in it."""

    seconds: float
    config: TrainConfig
    facts: Facts
    pace: Pace

    def fit(self, size: int, batch: int) -> Sizes:
        """All steps that fit into the time at a size and a batch."""
        config, pace = self.config, self.pace
        crop = unless_auto(config.views.crop, crop_of(size, crop_multiple(self.facts.patch)))
        validation = pace.validation.at(size**2) * self.facts.validation_images
        share = _VALIDATION_SHARE * self.seconds
        if config.validation.validations == AUTO:
            validations = max(1, min(VALIDATIONS, int(share / validation) - _FURTHER_VALIDATIONS))
            reserved = min(share, (VALIDATIONS + _FURTHER_VALIDATIONS) * validation)
        else:
            validations = config.validation.validations
            reserved = (validations + _FURTHER_VALIDATIONS) * validation
        least = (1 + _FURTHER_VALIDATIONS) * validation
        rest = (1 - _RESERVE) * self.seconds - pace.spent - max(reserved, least)
        rest -= _seconds_between(config, self.facts, pace, size)
        sizes = Sizes(size, crop, batch, 0, validations)
        step = config.schedule.accumulate * pace.step.at(batch * crop**2)
        step += _second_step(config, self.facts, pace, sizes)
        sizes = sizes._replace(steps=max(0, int(rest / step)))
        if pace.view is None:
            return sizes
        # Either each step draws new views, or all views are cached at some time.
        drawn = drawn_views(batch, self.facts.unlabeled, config.settings.strong_views)
        new = config.schedule.accumulate * drawn
        filling = _filling_seconds(config, self.facts, pace, sizes)
        steps = max(rest / (step + new * pace.view.at(crop**2)), (rest - filling) / step)
        return sizes._replace(steps=max(0, int(steps)))
