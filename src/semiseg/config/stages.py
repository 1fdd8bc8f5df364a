"""How the steps of a training are divided among its stages, and what it does between them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, count, pairwise

from semiseg.config.methods import MethodSettings, default_settings
from semiseg.core.errors import ConfigError


def images_between(settings: MethodSettings, unlabeled: int, validated: int) -> float:
    """What a training with stages does between their steps, as so many validated images.

    These are the validations of the earlier stages, and the labeling. A validation runs two
    networks on an image, the student and its average, and the labeling runs one.

    Args:
        settings: the settings of the method.
        unlabeled: the number of unlabeled images.
        validated: the number of images of one validation.

    Returns:
        The number of images; 0 for a training with one stage.
    """
    if not (settings.earlier_stages and unlabeled):
        return 0.0
    # The shapes of a stage's released model take as long as a validation.
    validations = sum(stage.validations + 1 for stage in settings.earlier_stages)
    return validations * validated + unlabeled * settings.labeling_passes / 2


def images_of_second(settings: MethodSettings, unlabeled: int, val: int) -> float:
    """What the second network does besides its steps, as so many images that it segments.

    It is validated once, its shapes are counted, and it labels each unlabeled image once, since it
    does not change between the stages: the image, and its mirror image.

    Args:
        settings: the settings of the method.
        unlabeled: the number of unlabeled images.
        val: the number of images of val.

    Returns:
        The number of images; 0 for a training without a second network.
    """
    second = settings.second_network
    return 0.0 if second is None or not unlabeled else 2.0 * val + 2.0 * unlabeled


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
