"""Reads the data of a training and makes its plan.

Neither torch nor Lightning is imported here, so that `semiseg plan` answers soon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from semiseg.config.facts import Pace
from semiseg.config.plan import Plan, make_plan
from semiseg.config.sizing import largest_size
from semiseg.config.train import TrainConfig
from semiseg.training.data import TrainingData, gather_facts, read_data
from semiseg.training.place import Place
from semiseg.training.run_data import held_out

logger = logging.getLogger(__name__)

Measure: TypeAlias = Callable[[TrainConfig, TrainingData, Place, int, float], Pace]
"""Measures the pace of a training, as `profiling.measure_pace` does."""


class Prepared(NamedTuple):
    """A training whose settings are decided; nothing is built yet.

    Attributes:
        config: the settings, as planned.
        place: the device, and the rank of this process.
        data: the images.
        plan: the plan.
    """

    config: TrainConfig
    place: Place
    data: TrainingData
    plan: Plan


def prepare(
    config: TrainConfig, place: Place, resume: bool = False, measure: Measure | None = None
) -> Prepared:
    """Read the data and make the plan.

    Args:
        config: the settings.
        place: the device, and the rank of this process.
        resume: the training continues.
        measure: measures a few steps, if there is a budget.

    Raises:
        SemisegError: the data or a setting cannot be used.
    """
    started = time.monotonic()
    if not resume:
        config.settings.check_start()
    data = read_data(config, held_out(config, resume))
    for sentence in data.warnings:
        logger.warning("%s", sentence)
    for sentence in data.notes:
        logger.info("%s", sentence)
    if config.settings.uses_unlabeled and not data.unlabeled:
        logger.info(
            "there are no unlabeled images: %s learns from labeled ones only", config.method
        )
    facts = gather_facts(config, data, place, resume)
    pace = None
    if config.schedule.budget is not None and measure is not None:
        logger.info("measuring a few steps for --budget %s", config.schedule.budget)
        side = largest_size(facts, budget=True)
        pace = measure(config, data, place, side, started)
    plan = make_plan(config, facts, pace)
    return Prepared(plan.config.replaced(threads=place.threads), place, data, plan)
