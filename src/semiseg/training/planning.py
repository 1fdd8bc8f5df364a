"""Reads the data of a training and makes its plan.

Neither torch nor Lightning is imported here, so that `semiseg plan` answers soon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from semiseg.config.facts import EncoderChoice, Facts, Pace, Reason
from semiseg.config.methods import default_settings
from semiseg.config.network import LIGHT_ENCODER
from semiseg.config.plan import Plan, early_decisions, make_plan
from semiseg.config.settings import AUTO
from semiseg.config.train import TrainConfig
from semiseg.core.errors import BudgetError
from semiseg.training.data import TrainingData, gather_facts, read_data
from semiseg.training.encoder import (
    check_agreement,
    check_encoder,
    choose_encoder,
    choose_second,
    expected_weights,
)
from semiseg.training.place import Place
from semiseg.training.run_data import held_out

logger = logging.getLogger(__name__)

Measure: TypeAlias = Callable[[TrainConfig, TrainingData, Place, Facts, float], Pace]
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
    encoder = choose_encoder(config, place)  # a name that does not exist ends here
    second = None if resume else choose_second(config)
    if not resume:
        check_encoder(config, encoder.name)
        check_agreement(config)
        encoder = encoder._replace(weights=expected_weights(config, encoder.name))
    data = read_data(config, held_out(config, resume))
    for sentence in data.warnings:
        logger.warning("%s", sentence)
    for sentence in data.notes:
        logger.info("%s", sentence)
    facts = gather_facts(config, data, place, encoder, resume)
    facts = facts._replace(second=second if data.unlabeled else None)
    settings = default_settings(facts.method.name)
    if settings.uses_unlabeled and not data.unlabeled:
        logger.info(
            "there are no unlabeled images: %s learns from labeled ones only", facts.method.name
        )
    data = data.used_by(settings)
    logger.info("%s", data.summary(facts.method.name))
    if config.schedule.budget is None or measure is None:
        plan = make_plan(config, facts)
    else:
        plan = _plan_within(config, facts, data, place, measure, started)
    return Prepared(plan.config.replaced(threads=place.threads), place, data, plan)


def _plan_within(
    config: TrainConfig,
    facts: Facts,
    data: TrainingData,
    place: Place,
    measure: Measure,
    started: float,
) -> Plan:
    """The plan for a budget, with a light encoder where it is too short for that of the device.

    Raises:
        BudgetError: the budget is too short.
        SemisegError: the steps cannot be taken.
    """
    budget = config.schedule.budget
    logger.info("measuring a few steps of %s for --budget %s", facts.encoder.name, budget)
    trial = config.replaced(**early_decisions(config, facts))
    try:
        return make_plan(config, facts, measure(trial, data, place, facts, started))
    except BudgetError:
        if config.network.encoder != AUTO or facts.encoder.name == LIGHT_ENCODER:
            raise
    reason = Reason("budget", f"--budget {budget} is too short for {facts.encoder.name}")
    weights = expected_weights(config, LIGHT_ENCODER)
    facts = facts._replace(encoder=EncoderChoice(LIGHT_ENCODER, reason, weights=weights))
    return _plan_within(config, facts, data, place, measure, started)
