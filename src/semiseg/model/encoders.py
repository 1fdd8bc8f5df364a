"""Encoders by name, and the normalization of the images that they expect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import timm
from segmentation_models_pytorch.encoders import encoders as smp_encoders

from semiseg.core.errors import ConfigError, nearest
from semiseg.model.vit import patch_of

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Normalization(NamedTuple):
    """The mean and the standard deviation of each channel of an image in 0..1.

    Attributes:
        mean: subtracted from the image.
        std: the divisor of the difference.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float]) -> Normalization:
        """The normalization with these values, one for each channel."""
        return cls(tuple(map(float, mean)), tuple(map(float, std)))


def resolve(name: str) -> str:
    """Find the name of an encoder in segmentation-models-pytorch (smp).

    Args:
        name: an encoder of smp (`resnet50`) or a model of timm (`tf_efficientnet_lite0`), with or
            without smp's prefix `tu-`.

    Raises:
        ConfigError: neither library has such an encoder, or timm has no such weights of it.
    """
    if name in smp_encoders:
        return name
    plain = name.removeprefix("tu-")
    architecture, _, tag = plain.partition(".")
    if not timm.is_model(architecture):
        names = [*smp_encoders, *timm.list_models()]
        raise ConfigError(f"There is no encoder '{name}'. {nearest(plain, names)}")
    if tag and tag not in (tags := tags_of(architecture)):
        raise ConfigError(
            f"There are no weights '{tag}' of the encoder {architecture}. "
            + (nearest(tag, tags, "Tags") if tags else "Name the encoder without a tag.")
        )
    return f"tu-{plain}"


def tags_of(architecture: str) -> list[str]:
    """The tags of the pretrained weights that timm has of an architecture; the default first."""
    names = timm.models.get_arch_pretrained_cfgs(architecture)
    return [name.partition(".")[2] for name, config in names.items() if config.has_weights]


def plain_vit_patch(name: str) -> int | None:
    """The side of a patch in pixels of a vision transformer whose maps all have that stride.

    Args:
        name: an encoder, as for `resolve`.

    Returns:
        The side; None for an encoder with maps of several strides.

    Raises:
        ConfigError: there is no such encoder.
    """
    resolved = resolve(name)
    return patch_of(resolved.removeprefix("tu-")) if resolved.startswith("tu-") else None


def normalization(name: str) -> Normalization:
    """The normalization of an encoder's pretraining; ImageNet's if timm does not know it."""
    if name.startswith("tu-"):
        config = timm.get_pretrained_cfg(name.removeprefix("tu-"))
        if config is not None:
            return Normalization.of(config.mean, config.std)
    return Normalization(*_IMAGENET)
