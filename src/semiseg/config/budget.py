"""The rules for a budget: the largest size and the most steps that fit into a time.

They start from the measured pace. Where the time is too short, the error names what fits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from semiseg.config.durations import parse_duration
from semiseg.config.facts import Facts, Pace
from semiseg.config.feature_views import (
    WINDOW_OF_SECOND,
    choose_feature_views,
    decoded_side,
    drawn_views,
    views_of_second,
)
from semiseg.config.settings import AUTO, unless_auto
from semiseg.config.sizing import (
    BATCH,
    MAX_STEPS,
    STEPS,
    VALIDATIONS,
    Sizes,
    crop_multiple,
    crop_of,
    largest_size,
    two_digits,
    useful_steps,
)
from semiseg.config.stages import Between, images_between, images_of_second, most_steps
from semiseg.config.train import TrainConfig
from semiseg.core.errors import BudgetError
from semiseg.core.text import duration, parts_of_time

_MIN_SIZE = 128
_SIZE_GRID = 16
_LARGER_BATCHES = (16, 8)  # on a GPU, where neither size nor steps are short
_MIN_STEPS = 100
_MIN_ADVISED_SIDE = 64  # smaller images show too little to be worth a training
_BUDGET_UNITS = (
    (120, 10),
    (36_000, 60),
    (math.inf, 600),
)  # up to so many seconds, rounded to these
_RESERVE = 0.05  # share of a budget for the start, checkpoints, and a machine that gets busier
_VALIDATION_SHARE = 0.2  # of a budget, at most
_FURTHER_VALIDATIONS = 2  # the shapes of the released model, and the report, take as long as one


def total_seconds(config: TrainConfig, facts: Facts, pace: Pace, sizes: Sizes) -> float:
    """The expected seconds of a training with its validations and report, and of measuring it."""
    step = step_seconds(config, facts, pace, sizes.batch, sizes.crop)
    validation = pace.validation.at(sizes.size**2) * facts.validation_images
    steps = sizes.steps * step + _filling_seconds(config, facts, pace, sizes)
    between = _seconds_between(config, facts, pace, sizes).at(sizes.steps)
    between += sizes.steps * _second_step(config, facts, pace, sizes)
    return pace.spent + steps + (sizes.validations + _FURTHER_VALIDATIONS) * validation + between


def step_seconds(config: TrainConfig, facts: Facts, pace: Pace, batch: int, crop: int) -> float:
    """The seconds of a step of the training, with all its micro batches.

    Args:
        config: the settings.
        facts: the data and the device.
        pace: the measured speed.
        batch: the labeled images of a micro batch.
        crop: the side of the crop, in pixels.
    """
    views = choose_feature_views(config.network, facts, config.settings.uses_frozen_features)
    side = decoded_side(crop, config.network.feature_window, views.labeled)
    return config.schedule.accumulate * pace.step.at(batch * side**2)


def _seconds_between(config: TrainConfig, facts: Facts, pace: Pace, sizes: Sizes) -> Between:
    """The seconds of a training with stages that are no steps of it.

    These are the validations of the earlier stages, and the labeling between the stages; and all
    that the second network does besides its steps.
    """
    draws = config.schedule.accumulate * sizes.batch
    images = images_between(config.settings, facts.unlabeled, facts.validation_images, draws)
    seconds = images.times(pace.validation.at(sizes.size**2))
    second = config.settings.second_network
    if pace.second is None or facts.second is None or second is None:
        return seconds
    images = images_of_second(config.settings, facts.unlabeled, facts.val, draws)
    size = second.size(sizes.size)
    crop = crop_of(size, crop_multiple(facts.second.patch))
    filling = 0.0 if pace.second.view is None else pace.second.view.at(crop**2)
    others = images.times(pace.second.validation.at(size**2))
    views = views_of_second(second.scale, facts.device)
    return seconds.plus(others).plus(Between(views * facts.labeled * filling))


def _second_step(config: TrainConfig, facts: Facts, pace: Pace, sizes: Sizes) -> float:
    """The seconds of the second network for each step of the training; 0 without one."""
    second = config.settings.second_network
    if pace.second is None or facts.second is None or second is None:
        return 0.0
    crop = crop_of(second.size(sizes.size), crop_multiple(facts.second.patch))
    views = views_of_second(second.scale, facts.device)
    side = decoded_side(crop, WINDOW_OF_SECOND, views)
    step = pace.second.step.at(sizes.batch * side**2)
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


def sizes_within(config: TrainConfig, facts: Facts, pace: Pace) -> Sizes:
    """The sizes of a training with a budget; what the user gave stays.

    Args:
        config: the settings, with a budget. Those that are `auto` are chosen here.
        facts: the data and the device.
        pace: the measured speed.

    Raises:
        BudgetError: not even the smallest training fits.
    """
    text, given_steps = str(config.schedule.budget), config.schedule.steps
    best = _best_sizes(parse_duration(text), config, facts, pace)
    least = _least_steps(config, facts)
    if best.steps < least:
        steps = f"{least} steps" if given_steps == AUTO else f"your {given_steps} steps"
        problem = (
            f"--budget {text} is too short for {facts.method.name} on this machine: not even "
            f"{steps} at size {best.size} fit at the speed that it has now"
        )
        if _fits(parse_duration(text), config, facts, pace.of_next_try()):
            raise BudgetError(
                f"{problem} beside measuring its speed, which took {duration(pace.saved)}. semiseg "
                "remembers the speed, so the same command fits now."
            )
        whole = best._replace(steps=least)
        parts = f"{problem}. They take {_describe_parts(config, facts, pace, whole)}."
        raise BudgetError(parts, _ways_out(config, facts, pace.of_next_try()))
    if given_steps != AUTO:
        return best._replace(steps=given_steps)
    return best._replace(steps=min(MAX_STEPS, two_digits(best.steps)))


def _describe_parts(config: TrainConfig, facts: Facts, pace: Pace, sizes: Sizes) -> str:
    """What takes how long in a training."""
    between = _seconds_between(config, facts, pace, sizes)
    validation = pace.validation.at(sizes.size**2) * facts.validation_images
    views = _filling_seconds(config, facts, pace, sizes)
    seconds = total_seconds(config, facts, pace, sizes)
    parts = {
        "reading the data and measuring the speed": pace.spent,
        "validations and the report": (sizes.validations + _FURTHER_VALIDATIONS) * validation,
        "the features of frozen stages": views,
        "validations of earlier stages": between.fixed,
        "labels of unlabeled images": between.labeling_at(sizes.steps),
    }
    steps = {f"{sizes.steps} steps": seconds - sum(parts.values())}
    return f"{duration(seconds)}: {parts_of_time(steps | parts)}"


def _ways_out(config: TrainConfig, facts: Facts, pace: Pace) -> tuple[str, ...]:
    """What fits where a budget is too short: flags with values, of which one is enough.

    Args:
        config: the settings, with the budget.
        facts: the data and the device.
        pace: the speed that the next training counts on.
    """
    seconds = parse_duration(str(config.schedule.budget))
    smaller = _smaller_training(seconds, config, facts, pace)
    return (f"--budget {_least_budget(seconds, config, facts, pace)}", *smaller)


def _least_budget(seconds: float, config: TrainConfig, facts: Facts, pace: Pace) -> str:
    """The smallest round time that fits, as `--budget` reads it.

    Args:
        seconds: a time that is too short.
        config: the settings.
        facts: the data and the device.
        pace: the measured speed.
    """
    enough = 2 * seconds
    while not _fits(enough, config, facts, pace):
        enough *= 2
    unit = next(unit for limit, unit in _BUDGET_UNITS if enough <= limit)
    low, high = int(seconds // unit), math.ceil(enough / unit)  # too short, and long enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(middle * unit, config, facts, pace) else (middle, high)
    minutes, rest = divmod(high * unit, 60)
    if rest:
        return f"{high * unit}s"
    hours, minutes = divmod(minutes, 60) if minutes > 120 else (0, minutes)
    return f"{hours}h" * bool(hours) + f"{minutes}m" * bool(minutes)


def _smaller_training(
    seconds: float, config: TrainConfig, facts: Facts, pace: Pace
) -> tuple[str, ...]:
    """The largest size, crop or number of steps below what the settings ask for that fits.

    Returns:
        One flag with its value; none if nothing that is worth training fits.
    """
    best = _best_sizes(seconds, config, facts, pace)
    if config.schedule.steps != AUTO:  # the plan has already tried all sizes
        return (f"--steps {two_digits(best.steps)}",) if best.steps >= _MIN_STEPS else ()
    if config.views.crop != AUTO:
        name, grid, start = "crop", crop_multiple(facts.patch), config.views.crop
    else:
        name, grid, start = "size", _SIZE_GRID, best.size
    for side in range((start - 1) // grid * grid, _MIN_ADVISED_SIDE - 1, -grid):
        if _fits(seconds, config.replaced(**{name: side}), facts, pace):
            return (f"--{name} {side}",)
    return ()


def _fits(seconds: float, config: TrainConfig, facts: Facts, pace: Pace) -> bool:
    """Whether a training with these settings fits into a time."""
    return _best_sizes(seconds, config, facts, pace).steps >= _least_steps(config, facts)


def _least_steps(config: TrainConfig, facts: Facts) -> int:
    """The fewest steps that a budget may give, or those that the user asks for."""
    return unless_auto(config.schedule.steps, max(_MIN_STEPS, facts.method.least_steps))


def _best_sizes(seconds: float, config: TrainConfig, facts: Facts, pace: Pace) -> Sizes:
    """The largest size whose useful steps fit into the time, with all steps that fit.

    If not even the smallest size has them, it is that one; its steps may be too few.
    """
    given_steps = None if config.schedule.steps == AUTO else config.schedule.steps
    given_batch = None if config.schedule.batch == AUTO else config.schedule.batch
    budget = _Budget(seconds, config, facts, pace)
    options = [budget.fit(size, given_batch or BATCH) for size in _candidates(config, facts)]
    in_memory = [s for s in options if s.batch * s.crop**2 <= pace.max_pixels] or options[:1]
    enough = [
        s for s in in_memory if s.steps >= (given_steps or useful_steps(s.size, config, facts))
    ]
    best = enough[-1] if enough else in_memory[0]
    if facts.device == "cuda" and not given_batch and best is in_memory[-1]:
        steps_needed = given_steps or 2 * max(STEPS, useful_steps(best.size, config, facts))
        larger = (budget.fit(best.size, batch) for batch in _LARGER_BATCHES)
        affordable = (
            s for s in larger if s.steps >= steps_needed and s.batch * s.crop**2 <= pace.max_pixels
        )
        best = next(affordable, best)
    return best


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
        sizes = Sizes(size, crop, batch, 0, validations)
        between = _seconds_between(config, self.facts, pace, sizes)
        rest -= between.fixed
        step = step_seconds(config, self.facts, pace, batch, crop)
        step += _second_step(config, self.facts, pace, sizes)
        growing = [(between.labeling, between.labeling_of_step)]
        if pace.view is not None:
            # Either each step draws new views, or all views are cached at some time.
            drawn = drawn_views(batch, self.facts.unlabeled, config.settings.strong_views)
            new = config.schedule.accumulate * drawn * pace.view.at(crop**2)
            most = sizes._replace(steps=max(0, int(rest / step)))
            growing.append((_filling_seconds(config, self.facts, pace, most), new))
        return sizes._replace(steps=max(0, int(most_steps(rest, step, *growing))))
