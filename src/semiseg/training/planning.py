"""Reads the data of a training and makes its plan.

Neither torch nor Lightning is imported here, so that `semiseg plan` answers soon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from semiseg.config.facts import AS_GIVEN, EncoderChoice, Facts, MethodChoice, Pace, Reason
from semiseg.config.methods import FALLBACK_METHOD, default_settings
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
from semiseg.training.run_data import held_out, read_left_out
from semiseg.training.stage import with_method

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
    left_out = read_left_out(config.out) if resume else []
    data = read_data(config, held_out(config, resume), left_out)
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
        if plan.config.method != facts.method.name:
            data = data.used_by(plan.config.settings)
            logger.info("%s", data.summary(plan.config.method))
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

    If the method is open and the budget is too short for unlabeled images, the plan leaves them
    out.

    Raises:
        BudgetError: the budget is too short.
        SemisegError: the steps cannot be taken.
    """
    trial = config.replaced(**early_decisions(config, facts))
    pace = measure(trial, data, place, facts, started)
    try:
        return make_plan(config, facts, pace)
    except BudgetError as error:
        if config.network.encoder != AUTO or facts.encoder.name == LIGHT_ENCODER:
            if config.named_method == AUTO and error.ways:
                plan = _without_unlabeled(error, config, facts, data, place, measure, started)
                if plan is not None:
                    return plan
            reading = pace.spent - pace.saved
            ways = _faster_method(error, config, facts, data, place, measure, reading)
            raise BudgetError(error.problem, (*error.ways, *ways)) from None
    text = f"--budget {config.schedule.budget} is too short for {facts.encoder.name}"
    weights = expected_weights(config, LIGHT_ENCODER)
    encoder = EncoderChoice(LIGHT_ENCODER, Reason("budget", text), weights=weights)
    facts = facts._replace(encoder=encoder)
    return _plan_within(config, facts, data, place, measure, started)


def _measure_supervised(
    config: TrainConfig,
    facts: Facts,
    method: MethodChoice,
    data: TrainingData,
    place: Place,
    measure: Measure,
    started: float,
) -> tuple[Facts, Pace]:
    """The facts and the pace of a training without the unlabeled images.

    Args:
        config: the settings.
        facts: the data and the device, with another method.
        method: `supervised`, with the reason for it.
        data: the images.
        place: the device.
        measure: measures the pace.
        started: when the time began that counts as spent.
    """
    facts = facts._replace(method=method, unlabeled=0, validation_images=facts.val, second=None)
    trial = config.replaced(**early_decisions(config, facts))
    return facts, measure(trial, data.labeled_only(), place, facts, started)


def _without_unlabeled(
    error: BudgetError,
    config: TrainConfig,
    facts: Facts,
    data: TrainingData,
    place: Place,
    measure: Measure,
    started: float,
) -> Plan | None:
    """The plan of `supervised` for a budget that is too short for the method of the data.

    Args:
        error: what is too short, with what would fit.
        config: the settings; their method is open.
        facts: the data and the device.
        data: the images.
        place: the device.
        measure: measures the pace.
        started: when the budget began.

    Returns:
        None if the budget is too short for `supervised`, too, or has no other method.
    """
    slow = facts.method.name
    if slow == FALLBACK_METHOD:
        return None
    text = f"--budget {config.schedule.budget} is too short for {slow}"
    need = ""
    if config.schedule.steps == AUTO:
        least = facts.method.least_steps
        need = f" (it takes {least} steps or more, as short trainings gained nothing)"
    warning = (
        f"{text} at the speed that this machine has now{need}, so the training leaves the "
        f"unlabeled images out. To use them, add {' or '.join(error.ways)}"
    )
    method = MethodChoice(FALLBACK_METHOD, Reason("budget", text), warnings=(warning,))
    logger.info("%s; semiseg tries whether %s fits", text, FALLBACK_METHOD)
    facts, pace = _measure_supervised(config, facts, method, data, place, measure, started)
    try:
        return make_plan(config, facts, pace)
    except BudgetError:
        return None


def _faster_method(
    error: BudgetError,
    config: TrainConfig,
    facts: Facts,
    data: TrainingData,
    place: Place,
    measure: Measure,
    reading: float,
) -> tuple[str, ...]:
    """The flag of `supervised`, if that is measured to fit where another method does not.

    Args:
        error: what is too short; without other ways out there is no need for this one.
        config: the settings.
        facts: the data and the device.
        data: the images.
        place: the device.
        measure: measures the pace.
        reading: the seconds that reading the data took.
    """
    config = config.replaced(method=facts.method.name)
    usual = default_settings(config.method)
    # With settings of its own method in it, the same command could not name another one.
    if not (error.ways and usual.uses_unlabeled) or config.settings.changes(usual):
        return ()
    slow, config = config.method, with_method(config, FALLBACK_METHOD)
    logger.info("%s does not fit; semiseg tries whether %s does", slow, FALLBACK_METHOD)
    method = MethodChoice(FALLBACK_METHOD, AS_GIVEN)
    started = time.monotonic() - reading
    facts, pace = _measure_supervised(config, facts, method, data, place, measure, started)
    try:
        make_plan(config, facts, pace.of_next_try())
    except BudgetError:
        return ()
    return (f"--method {FALLBACK_METHOD}",)
