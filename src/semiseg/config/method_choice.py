"""Which method a training has, where the settings leave it open; `docs/plan.md` explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from semiseg.config.facts import AS_GIVEN, Facts, MethodChoice, Reason
from semiseg.config.methods import (
    DEFAULT_METHOD,
    FALLBACK_METHOD,
    ONLINE_METHOD,
    default_settings,
)
from semiseg.config.settings import AUTO, flag, unless_auto
from semiseg.config.sizing import DEFAULT_COST, STEPS
from semiseg.config.stages import least_steps
from semiseg.config.train import TrainConfig

if TYPE_CHECKING:  # the help must not wait for numpy
    from semiseg.core.types import Likeness

# Images of one data set are up to 0.80 apart, where the labeled ones are of one drive at dusk, and
# those of different data sets mostly more than 0.9. See `Likeness` and docs/plan.md.
_UNLIKE, _UNLIKE_RATIO = 0.9, 2.0
_LEAST_STEPS = 400
"""The fewest steps that a budget must allow, or the unlabeled images are left out. 176 steps of
css-stored gained nothing over supervised in the same time, and 882 steps gained 1.9 points: see
docs/results.md. Nothing between them was measured."""


class _Doubt(NamedTuple):
    """Why unlabeled images will hardly help.

    Attributes:
        fact: what the data show, as half a sentence.
        advice: what to do if the method of the settings uses these images, as sentences.
        remedy: what to do if the training leaves them out, as a sentence.
    """

    fact: str
    advice: str
    remedy: str


def choose_method(config: TrainConfig, facts: Facts) -> Facts:
    """The facts with the method of a training.

    Args:
        config: the settings.
        facts: the data and the device, with all unlabeled images.

    Returns:
        The facts. If the method uses no unlabeled images, there are none in them.
    """
    choice = _choice(config, facts)
    facts = facts._replace(method=choice)
    if default_settings(choice.name).uses_unlabeled:
        return facts
    return facts._replace(unlabeled=0, validation_images=facts.val)


def are_unlike(likeness: Likeness) -> bool:
    """Whether the unlabeled images are of another kind than the labeled ones."""
    return likeness.apart > max(_UNLIKE, _UNLIKE_RATIO * likeness.among)


def _choice(config: TrainConfig, facts: Facts) -> MethodChoice:
    doubts = _doubts(facts)
    named = config.named_method
    if named != AUTO:
        advice = tuple(f"{doubt.fact}. {doubt.advice}" for doubt in doubts)
        return MethodChoice(named, _reason_of_settings(config), warnings=advice)
    if not facts.unlabeled:
        reason = Reason("data", "there are no unlabeled images; put some into DATA/unlabeled")
        return MethodChoice(FALLBACK_METHOD, reason, DEFAULT_COST)
    if doubts:
        reason = Reason("data", ", and ".join(doubt.fact for doubt in doubts))
        remedies = tuple(
            f"{doubt.fact}, so the training leaves them out. {doubt.remedy}" for doubt in doubts
        )
        return MethodChoice(FALLBACK_METHOD, reason, DEFAULT_COST, remedies)
    text = f"there are {facts.unlabeled} unlabeled images for {facts.labeled} labeled ones"
    if facts.likeness is not None:
        text += ", and both look alike"
    online = _why_online(config, facts)
    if online is not None:
        return MethodChoice(ONLINE_METHOD, online, least_steps=_LEAST_STEPS)
    return MethodChoice(DEFAULT_METHOD, Reason("data", text), least_steps=_LEAST_STEPS)


def _why_online(config: TrainConfig, facts: Facts) -> Reason | None:
    """Why no labels should be stored between stages; None if nothing is against it."""
    if facts.is_pool:
        text = f"the unlabeled images are in a pool; {ONLINE_METHOD} labels them in its steps"
        return Reason("data", text)
    steps = unless_auto(config.schedule.steps, STEPS)
    if steps < least_steps(default_settings(DEFAULT_METHOD)):
        return Reason("default", f"--steps {steps} is too few for the stages of {DEFAULT_METHOD}")
    return None


def _reason_of_settings(config: TrainConfig) -> Reason:
    """The reason for a method that the settings name, or mean with one of its own."""
    if config.method != AUTO:
        return AS_GIVEN
    name = config.named_method
    flags = ", ".join(map(flag, config.settings.changes(default_settings(name))))
    return Reason("user", f"settings of {name} are given" + f": {flags}" * bool(flags))


def _doubts(facts: Facts) -> list[_Doubt]:
    """Why the unlabeled images will hardly help; nothing if there are none."""
    doubts = []
    if 0 < facts.unlabeled < facts.labeled:
        doubts.append(
            _Doubt(
                f"there are fewer unlabeled images ({facts.unlabeled}) than labeled ones "
                f"({facts.labeled})",
                f"They will help little, and --method {FALLBACK_METHOD} is faster",
                f"To use them all the same, add --method {DEFAULT_METHOD}",
            )
        )
    if facts.likeness and are_unlike(facts.likeness):
        doubts.append(
            _Doubt(
                "the unlabeled images differ from the labeled ones in color and texture",
                "They may not help. Are they of the same kind? Compare with --method "
                f"{FALLBACK_METHOD}",
                f"If they are of the same kind, add --method {DEFAULT_METHOD}",
            )
        )
    return doubts
