"""Dropout of whole channels of an encoder's maps, a perturbation of features.

The draws come from a generator on the CPU, not from `nn.Dropout2d`, so that a key repeats them on
every device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semiseg.core.types import STRIDE
from semiseg.model.decoders import DETAIL
from semiseg.model.network import Network


def decoder_levels(network: Network, maps: Sequence[Tensor]) -> tuple[int, ...]:
    """The maps of an encoder that the decoder reads.

    Args:
        network: the network.
        maps: from `Network.encode`, the images first.

    Returns:
        Indices of `maps`. For DeepLabV3+, the map of stride 4 and the deepest one; for the other
        decoders of a pyramid, all maps from stride 4 on; for a vision transformer, all its levels.
    """
    side = maps[0].shape[-1]
    first = next(i for i, m in enumerate(maps) if m.shape[-1] * STRIDE <= side)
    if network.spec.decoder == "deeplabv3plus":
        return first, len(maps) - 1
    return tuple(range(first, len(maps)))


def drop_channels(
    maps: Sequence[Tensor], levels: Sequence[int], generator: torch.Generator
) -> list[Tensor]:
    """Drop half of the channels of some maps, as the feature perturbation of UniMatch does.

    Each channel of each image is 0 with the probability 0.5, else it is doubled.

    Args:
        maps: `(B, D, h, w)` each.
        levels: the indices of the maps that lose channels.
        generator: a CPU generator.

    Returns:
        All maps, of the same shapes.
    """
    shapes = [maps[i].shape[:2] for i in levels]
    masks = [2.0 * torch.randint(2, shape, generator=generator) for shape in shapes]
    return _scale_channels(maps, levels, masks)


def drop_complementary(
    network: Network, maps: Sequence[Tensor], generator: torch.Generator
) -> list[Tensor]:
    """Give each of two views the channels that the other one loses; see `complementary_masks`.

    The levels of a vision transformer have one stride and the same channels, and share one mask, as
    in the paper. The maps of a pyramid have masks of their own.

    Args:
        network: the network, whose decoder determines the maps that lose channels.
        maps: from `Network.encode` for `2 B` images: the first view of all images, then the second.
        generator: a CPU generator.

    Returns:
        All maps, of the same shapes.
    """
    levels = decoder_levels(network, maps)
    widths = [maps[i].shape[1] for i in levels]
    batch = len(maps[0]) // 2
    if network.spec.decoder == DETAIL:
        masks = complementary_masks(batch, widths[:1], generator) * len(levels)
    else:
        masks = complementary_masks(batch, widths, generator)
    return _scale_channels(maps, levels, masks)


def complementary_masks(
    batch: int, widths: Sequence[int], generator: torch.Generator
) -> list[Tensor]:
    """Draw the factors on the channels of two views.

    The factors of the first view are 0 or 2 with the same probability, those of the second view are
    2 minus these. For half of the images, rounded down and drawn at random, all factors are 1.

    Args:
        batch: the number of images `B`.
        widths: the channels `D` of each map.
        generator: a CPU generator.

    Returns:
        `(2 B, D)` float for each map, the factors of the first view of all images, then those of
        the second.
    """
    whole = torch.randperm(batch, generator=generator)[: batch // 2]
    masks = []
    for width in widths:
        first = 2.0 * torch.randint(2, (batch, width), generator=generator)
        first[whole] = 1.0
        masks.append(torch.cat([first, 2.0 - first]))
    return masks


def _scale_channels(
    maps: Sequence[Tensor], levels: Sequence[int], masks: Sequence[Tensor]
) -> list[Tensor]:
    """Multiply the maps of some levels by factors `(B, D)`."""
    result = list(maps)
    for level, mask in zip(levels, masks, strict=True):
        result[level] = maps[level] * mask.to(maps[level])[:, :, None, None]
    return result
