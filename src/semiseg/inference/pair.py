"""A model of two networks as a `Segmenter`: its probabilities are the mean of those of both.

Two networks of different kinds err at different places, so their mean is often better than each of
them. Each network sees the image at its own working size. The working size of the model is the
larger of the two, so that the network with the finer map loses no detail.

Such a model gives no labels from representation space. They would be those of the first network,
and differ exactly where the second one corrects it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from semiseg.core.errors import ConfigError
from semiseg.inference.reading import Floats, Maps
from semiseg.inference.scenes import segmenter
from semiseg.inference.sliding import (
    Segmenter,
    at_places,
    cell_centers,
    log_of,
    probabilities_of,
)
from semiseg.inference.views import Images
from semiseg.model.release import Release


class Member(NamedTuple):
    """One network of a pair.

    Attributes:
        segment: runs the network.
        factor: its working size, as a share of that of the model.
        offset: `(C, 1, 1)`, what is added to its logits.
    """

    segment: Segmenter
    factor: float
    offset: Floats


def release_segmenter(release: Release, device: str) -> Segmenter:
    """A released model as a `Segmenter`.

    Args:
        release: the model. Its networks are moved to the device.
        device: the device, as torch names it.
    """
    metadata, second = release.metadata, release.second
    network = release.network.to(device)
    if metadata.second is None or second is None:
        return segmenter(network, metadata.size, release.tensors)
    return pair_segmenter(
        segmenter(network, metadata.first_size),
        segmenter(second.to(device), metadata.second.size),
    )


def require_one_size(release: Release) -> None:
    """Refuse two networks that see an image at different sizes, which no exported graph expresses.

    Raises:
        ConfigError: the working sizes of the two networks differ.
    """
    second = release.metadata.second
    if second is not None and second.size != second.first_size:
        raise ConfigError(
            "The model is the mean of two networks that see an image at different sizes "
            f"({second.first_size} and {second.size} pixels), which this format cannot hold. Use "
            "--format hub, train again without --second-scale, or let one network learn from the "
            "model (semiseg train DATA --method distill --teacher RUN) and export that one."
        )


def pair_segmenter(
    first: Segmenter,
    second: Segmenter,
    offsets: tuple[NDArray[np.floating] | float, NDArray[np.floating] | float] = (0.0, 0.0),
) -> Segmenter:
    """Two networks with the same classes as one model.

    Args:
        first: runs the first network.
        second: runs the second one.
        offsets: what is added to the logits of each, `(C,)` or one number.
    """
    large = max((first, second), key=lambda one: one.size)
    members = [
        Member(one, one.size / large.size, np.asarray(offset, np.float32).reshape(-1, 1, 1))
        for one, offset in zip((first, second), offsets, strict=True)
    ]

    def forward(images: Images) -> Maps:
        mean = np.mean([probabilities(member, images) for member in members], axis=0)
        return Maps(log_of(mean), None)

    crop = None if large.window is None else large.window // 2
    return Segmenter(forward, large.size, crop, large.multiple, large.arithmetic, large.batch)


def probabilities(member: Member, images: Images) -> NDArray[Any]:
    """What one network of a pair says, for the cells of the pair.

    Args:
        member: the network.
        images: `(B, N, h, w)` uint8 at the working size of the model.

    Returns:
        `(B, C, ceil(h/4), ceil(w/4))`.
    """
    sides = images.shape[-2:]
    if member.factor == 1:
        return probabilities_of(member.segment.forward(images).logits + member.offset)
    own = [max(1, round(member.factor * side)) for side in sides]
    # Channels-last bytes are several times as fast as other ones.
    packed = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
    small = F.interpolate(packed, own, mode="bilinear", antialias=True, align_corners=False)
    maps = member.segment.forward(np.ascontiguousarray(small.numpy()))
    places = [cell_centers(side) for side in sides]
    return at_places(probabilities_of(maps.logits + member.offset), own, places)
