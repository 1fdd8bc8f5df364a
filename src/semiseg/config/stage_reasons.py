"""Why the steps of a training are divided as they are, and what a second network does."""

from __future__ import annotations

from semiseg.config.facts import Facts, Reason
from semiseg.config.settings import decided
from semiseg.config.stages import divide_steps, stage_name
from semiseg.config.train import TrainConfig


def _steps_of_stages(config: TrainConfig, facts: Facts) -> tuple[int, ...]:
    """The steps of each stage; a training without unlabeled images has one."""
    shares = config.settings.shares_of_stages if facts.unlabeled else (1.0,)
    return divide_steps(decided(config.schedule.steps), shares)


def last_steps(config: TrainConfig, facts: Facts) -> int:
    """The steps of the last stage, or of a training without stages."""
    return _steps_of_stages(config, facts)[-1]


def warmup_reason(config: TrainConfig, facts: Facts) -> str:
    """The steps over which the rates rise; stages that go on share a rise at their start."""
    share, parts = config.optimizer.lr_warmup, _steps_of_stages(config, facts)
    if parts[1:] and config.settings.goes_on:
        first, later = round(share * parts[0]), round(share * sum(parts[1:]))
        parts_of_stages = f"{first} steps of stage 1 and {later} of stage 2"
        return f"the learning rates rise over the first {parts_of_stages}"
    return f"the learning rates rise over the first {round(share * parts[-1])} steps"


def stage_reasons(config: TrainConfig, facts: Facts) -> dict[str, Reason]:
    """How the steps are divided among the stages, if there are several."""
    parts = _steps_of_stages(config, facts)
    if len(parts) == 1:
        return {}
    earlier = config.settings.earlier_stages
    names = [*(stage_name(stage.method, stage.labeled_only) for stage in earlier), config.method]
    stages = zip(range(1, len(parts) + 1), names, parts, strict=True)
    text = ", then ".join(f"stage {n} ({name}) for {steps} steps" for n, name, steps in stages)
    text += "; semiseg labels images between them"
    if config.settings.goes_on:
        text += ", and each goes on from the weights of the one before"
    reasons = {"stage_shares": Reason("default", text, is_consequence=True)}
    return reasons | _second_reasons(config, facts)


def _second_reasons(config: TrainConfig, facts: Facts) -> dict[str, Reason]:
    """What a second network does, and where the weights of its encoder come from."""
    second = config.settings.second_network
    if second is None:
        return {}
    steps = second.steps(decided(config.schedule.steps))
    text = f"before stage 1 its decoder learns from {facts.labeled} masks for {steps} steps, on "
    text += "frozen features; then the mean of both networks labels images, unless the second one "
    text += "is worse on val by more than one standard error"
    if config.settings.releases_second:
        text += "; both are released as one model, unless the last stage or stage 1 is better"
    reasons = {"second_encoder": Reason("user", text, is_consequence=True)}
    if facts.second is not None and facts.second.weights:
        origin = Reason("default", facts.second.weights, is_consequence=True)
        reasons["second_weights"] = origin
    return reasons
