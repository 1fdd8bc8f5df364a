"""What `train` does about classes of unequal size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from semiseg.augment.focus import Focus
from semiseg.core.errors import ConfigError, nearest
from semiseg.core.types import Sample
from semiseg.losses.class_balance import (
    dice_loss,
    effective_weights,
    inverse_weights,
    root_weights,
    weighted_cross_entropy,
)
from semiseg.losses.supervised import ohem_cross_entropy
from semiseg.methods.base import Method

WEIGHTS: dict[str, Callable[[Sequence[int]], Tensor] | None] = {
    "none": None,
    "sqrt": root_weights,
    "inverse": inverse_weights,
    "effective": effective_weights,
}
_HARD = 0.7  # of OHEM: the threshold that all programs of the field use


def check(settings: Mapping[str, Any]) -> None:
    """Refuse settings that cannot be meant.

    Raises:
        ConfigError: a value is out of its range, or two of them contradict each other.
    """
    weights = settings["class_weights"]
    if weights not in WEIGHTS:
        raise ConfigError(f"There are no --class-weights '{weights}'. {nearest(weights, WEIGHTS)}")
    for name in ("ohem", "rare_crops"):
        if not 0 <= settings[name] <= 1:
            told = f"--{name.replace('_', '-')} {settings[name]}"
            raise ConfigError(f"{told} is no share, from 0 to 1.")
    if settings["dice"] < 0:
        raise ConfigError(f"--dice {settings['dice']} is below 0.")
    if settings["ohem"] and weights != "none":
        raise ConfigError(
            "--ohem and --class-weights each choose what counts in the loss on labeled images; "
            "use one of them: add --class-weights none, or leave --ohem out."
        )


def count_pixels(
    labeled: Sequence[Sample], pixels: Mapping[Path, Mapping[int, int]], classes: int
) -> list[int]:
    """Pixels of each class in the labeled images."""
    masks = [s.mask for s in labeled if s.mask is not None]
    return [sum(pixels[mask].get(c, 0) for mask in masks) for c in range(classes)]


def set_loss(method: Method, s: SimpleNamespace, pixels: Sequence[int]) -> None:
    """Tell the method how frequent classes are, and give it the loss that the settings ask for.

    Where they ask for none, the method keeps its own loss on labeled images.

    Args:
        method: the method.
        s: the settings of `train`.
        pixels: pixels of each class in the labeled images.
    """
    weigh = WEIGHTS[s.class_weights]
    weights = None if weigh is None else weigh(pixels)
    main = method.supervised_loss

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        if method.class_weights is not None:
            total = weighted_cross_entropy(logits, target, method.class_weights)
        elif s.ohem:
            kept = max(1, round(s.ohem * target.numel()))
            total = ohem_cross_entropy(logits, target, _HARD, kept)
        else:
            total = main(logits, target)
        return total + s.dice * dice_loss(logits, target) if s.dice else total

    method.class_weights = weights
    method.class_shares = torch.tensor(pixels, dtype=torch.float32) / max(1, sum(pixels))
    if weights is not None or s.ohem or s.dice:
        method.supervised_loss = loss


def make_focus(s: SimpleNamespace, pixels: Sequence[int]) -> Focus | None:
    """How crops of labeled images look for rare classes; None if they do not."""
    if not s.rare_crops:
        return None
    return Focus(s.rare_crops, tuple(1 / n if n else 0.0 for n in pixels))
