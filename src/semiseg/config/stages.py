"""How the steps of a training are divided among its stages, and what it does between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, count, pairwise, product
from typing import NamedTuple

from semiseg.config.methods import MethodSettings, default_settings
from semiseg.core.errors import ConfigError

_DRAWS_OF_LABEL = 1.5
"""How often the steps of a stage draw an image that is labeled for it, at least. Labeling an image
takes as long as learning from it about once, so the labeling stays shorter than the steps. The
usual plan labels about 1000 images for each stage."""


class Between(NamedTuple):
    """What a training does between its stages: seconds, or a number of images.

    Attributes:
        fixed: what does not depend on the steps: the validations of the earlier stages.
        labeling: the labeling, if the steps draw enough for all unlabeled images.
        labeling_of_step: the labeling for each step, if they draw too few for all.
    """

    fixed: float = 0.0
    labeling: float = 0.0
    labeling_of_step: float = 0.0

    def times(self, seconds: float) -> Between:
        """So many images, each of which takes some seconds."""
        return Between(*(seconds * part for part in self))

    def plus(self, other: Between) -> Between:
        """What two networks do."""
        return Between(*(a + b for a, b in zip(self, other, strict=True)))

    def labeling_at(self, steps: float) -> float:
        """The labeling of a training with so many steps, in all stages together."""
        return min(self.labeling, steps * self.labeling_of_step)

    def at(self, steps: float) -> float:
        """All of it in a training with so many steps."""
        return self.fixed + self.labeling_at(steps)


def labeled_images(draws: int, unlabeled: int) -> int:
    """The unlabeled images that are labeled for a stage: no more than its steps make use of.

    Args:
        draws: the unlabeled images that its steps draw.
        unlabeled: the unlabeled images.

    Example:
        >>> labeled_images(draws=120, unlabeled=344), labeled_images(draws=1620, unlabeled=344)
        (80, 344)
    """
    return min(unlabeled, math.ceil(draws / _DRAWS_OF_LABEL))


def images_between(
    settings: MethodSettings, unlabeled: int, validated: int, draws_of_step: int
) -> Between:
    """What a training with stages does between their steps, as so many validated images.

    These are the validations of the earlier stages, and the labeling. A validation runs two
    networks on an image, the student and its average, and the labeling runs one.

    Args:
        settings: the settings of the method.
        unlabeled: the number of unlabeled images.
        validated: the number of images of one validation.
        draws_of_step: the unlabeled images that a step draws.
    """
    if not (settings.earlier_stages and unlabeled):
        return Between()
    # The shapes of a stage's released model take as long as a validation.
    validations = sum(stage.validations + 1 for stage in settings.earlier_stages)
    fixed = validations * validated + settings.choosing_passes * unlabeled / 2
    fixed += settings.releases_second * validated  # the network of the last stage, in the pair
    label = settings.passes_of_label / 2
    labeling = settings.labelings * unlabeled * label
    return Between(fixed, labeling, _labels_of_step(settings, draws_of_step) * label)


def images_of_second(
    settings: MethodSettings, unlabeled: int, val: int, draws_of_step: int
) -> Between:
    """What the second network does besides its steps, as so many images that it segments.

    It is validated once, its shapes are counted, and it labels each unlabeled image once, since it
    does not change between the stages. A pair is validated too.

    Args:
        settings: the settings of the method.
        unlabeled: the number of unlabeled images.
        val: the number of images of val.
        draws_of_step: the unlabeled images that a step of the training draws.
    """
    if settings.second_network is None or not unlabeled:
        return Between()
    passes = 2.0 + settings.releases_second
    return Between(passes * val, 1.0 * unlabeled, _labels_of_step(settings, draws_of_step))


def _labels_of_step(settings: MethodSettings, draws_of_step: int) -> float:
    """The labeled images for each step of the whole training, where they are not all labeled."""
    stages = zip(settings.earlier_stages, settings.shares_of_stages, strict=False)
    labeled_only = sum(share for stage, share in stages if stage.labeled_only)
    return (1 - labeled_only) * draws_of_step / _DRAWS_OF_LABEL


def most_steps(seconds: float, step: float, *parts: tuple[float, float]) -> float:
    """The steps that fit into a time, beside work that grows with them up to some point.

    Args:
        seconds: the time.
        step: the seconds of a step.
        parts: for each such work the most that it takes, and what it takes for each step if that
            is less.

    Example:
        >>> most_steps(100.0, 1.0, (20.0, 0.5)), most_steps(30.0, 1.0, (20.0, 0.5))
        (80.0, 20.0)
    """
    options = product(*[((most, 0.0), (0.0, of_step)) for most, of_step in parts])
    return max(
        (seconds - sum(most for most, _ in option)) / (step + sum(of_step for _, of_step in option))
        for option in options
    )


def stage_name(method: str, labeled_only: bool) -> str:
    """The method of a stage, and whether it goes without the unlabeled images that it could use.

    Example:
        >>> stage_name("css-stored", labeled_only=True)
        'css-stored on labeled images only'
        >>> stage_name("supervised", labeled_only=True)
        'supervised'
    """
    without = labeled_only and default_settings(method).uses_unlabeled
    return f"{method} on labeled images only" if without else method


def divide_steps(steps: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Divide steps by shares; the parts add up to all of them.

    Args:
        steps: the steps of the whole training.
        shares: the share of each stage; their sum is 1.

    Raises:
        ConfigError: a stage would have no step.

    Example:
        >>> divide_steps(100, (1 / 3, 1 / 3, 1 / 3))
        (33, 34, 33)
    """
    parts = _parts(steps, shares)
    if min(parts) < 1:
        raise ConfigError(
            f"--steps {steps} is too few for {len(shares)} stages: stage {parts.index(0) + 1} "
            "would have no step. Give more --steps, or other --stage-shares."
        )
    return parts


def least_steps(settings: MethodSettings) -> int:
    """The fewest steps of a training in which each stage has one."""
    if not settings.earlier_stages:
        return 1
    shares = settings.shares_of_stages
    return next(n for n in count(len(shares)) if min(_parts(n, shares)) > 0)


def _parts(steps: int, shares: Sequence[float]) -> tuple[int, ...]:
    ends = [round(steps * end) for end in accumulate(shares)]
    return tuple(end - start for start, end in pairwise([0, *ends]))
