"""Whole images through a network: scaled to working size, segmented, enlarged to their own size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from semiseg.augment.weak import working_size
from semiseg.data.images import read_image
from semiseg.data.masks import Classes, read_mask
from semiseg.model.network import Network, upsample
from semiseg.types import Sample


class Scene(NamedTuple):
    """One image to evaluate on.

    Attributes:
        image: `(1, 3, h, w)` uint8 at working size.
        mask: `(H, W)` uint8 class indices at the mask's own size, 255 where ignored.
    """

    image: Tensor
    mask: Tensor


class Scenes(Dataset[Scene]):
    """Labelled images, one at a time, since their sizes may differ.

    Args:
        samples: images with masks.
        classes: how to read the masks.
        size: short side at working size, in pixels.
        value_range: the values that are black and white, see `read_image`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Classes,
        size: int,
        value_range: tuple[float, float] | None = None,
    ) -> None:
        self.value_range = value_range
        self.samples = [(s.image, s.mask) for s in samples if s.mask is not None]
        self.classes = classes
        self.size = size

    def __len__(self) -> int:
        """The number of images."""
        return len(self.samples)

    def __getitem__(self, index: int) -> Scene:
        """Image and mask number `index`."""
        image, mask = self.samples[index]
        truth = torch.from_numpy(np.array(read_mask(mask, self.classes)))
        return Scene(to_working_size(read_image(image, self.value_range), self.size), truth)


def to_working_size(image: Image.Image, size: int) -> Tensor:
    """An RGB image as `(1, 3, h, w)` uint8, its short side scaled to `size` pixels."""
    target = working_size(image.size, size)
    if target != image.size:
        image = image.resize(target, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0)


def to_input(image: Tensor) -> Tensor:
    """Images as a network takes them: uint8 to float in 0..1, channels-last in memory."""
    return image.to(torch.float32, memory_format=torch.channels_last).div_(255)


@torch.no_grad()
def segment(network: Network, image: Tensor, size: tuple[int, int]) -> Tensor:
    """The logits of one image at another size.

    Args:
        network: in eval mode.
        image: `(1, 3, h, w)` uint8 at working size, on the network's device.
        size: height and width `(H, W)` of the original.

    Returns:
        `(C, H, W)` float.
    """
    height, width = image.shape[-2:]
    logits = network(to_input(image)).logits
    return upsample(logits, (height, width), size)[0].float()
