"""The rules for what costs time: size, crop, batch, steps and validations.

Without a budget they follow from the data and the device. `budget.py` has the rules for a budget.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from semiseg.config.facts import Facts
from semiseg.config.groups import MIN_SIDE
from semiseg.config.methods import default_settings
from semiseg.config.settings import unless_auto
from semiseg.config.train import TrainConfig
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
DEFAULT_COST = 2.7
"""The time of a training of the default method, or of css, as a multiple of that of `STEPS` steps
of `supervised`: with the default encoder on one core of a CPU, see docs/performance.md."""
MAX_STEPS = 20_000
CROP_MULTIPLE = 32

_GPU_SIZE = 512  # without a budget
_MAX_SIZE, _MAX_SIZE_GPU = 512, 768  # with a budget


class Sizes(NamedTuple):
    """The settings that cost time."""

    size: int
    crop: int
    batch: int
    steps: int
    validations: int


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


def usual_sizes(config: TrainConfig, facts: Facts) -> Sizes:
    """The sizes of a training without a budget; what the user gave stays."""
    size = unless_auto(config.views.size, largest_size(facts, budget=False))
    steps = reference_steps(config, facts)
    if facts.device != "cpu":
        steps = two_digits(max(steps, useful_steps(size, config, facts)))
    factor = facts.method.step_cost * default_settings(facts.method.name).usual_steps
    if factor > 1:
        steps = two_digits(round(steps * factor))
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


def useful_steps(size: int, config: TrainConfig, facts: Facts) -> float:
    """The steps that suit a size. They grow with its square, so that both grow with a budget."""
    return reference_steps(config, facts) * size**2 / REFERENCE_SIZE**2


def two_digits(steps: float) -> int:
    """Steps rounded down to two significant digits."""
    unit: int = 10 ** max(0, len(str(int(steps))) - 2)
    return int(steps) // unit * unit
