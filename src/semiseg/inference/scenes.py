"""Labeled images to score a network on, and the network as what segments pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from semiseg.core.types import Sample
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.inference.reading import Arithmetic, Maps
from semiseg.inference.sliding import Images, Segmenter, to_array
from semiseg.model.network import Network
from semiseg.model.prototypes import similarity

_BATCH = 8  # images of one size that go through a network together on a GPU


class Scene(NamedTuple):
    """One image to evaluate on.

    Attributes:
        image: `(1, 3, h, w)` uint8 at working size.
        mask: `(H, W)` uint8 class indices at the mask's own size, 255 where ignored.
    """

    image: Tensor
    mask: Tensor


class Scenes(Dataset[Scene]):
    """Labeled images, one at a time, since their sizes may differ.

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
    return torch.from_numpy(to_array(image, size))


def to_input(image: Tensor) -> Tensor:
    """Images as a network takes them: uint8 to float in 0..1, channels-last in memory."""
    return image.to(torch.float32, memory_format=torch.channels_last).div_(255)


def segmenter(
    network: Network, size: int = 0, tensors: Mapping[str, Tensor] | None = None
) -> Segmenter:
    """A network as what segments pictures.

    Args:
        network: in eval mode; where it lies is where all is computed.
        size: short side at working size, in pixels; 0 where images come at working size.
        tensors: `prototypes`, `seen` and `similarity_prior`, where representation space is to be
            asked too.
    """
    device = network.mean.device
    prototypes, seen = prototypes_of(tensors or {})
    known = None if prototypes is None else (prototypes.to(device), seen.to(device))
    prior = prior_of(tensors or {}).to(device)

    @torch.no_grad()
    def forward(images: Images) -> Maps:
        output = network(to_input(torch.from_numpy(images).to(device)))
        near = None
        if known is not None and output.representation is not None:
            near = (similarity(output.representation, *known) + prior).cpu().numpy()
        return Maps(output.logits.float().cpu().numpy(), near)

    arithmetic = Arithmetic(
        torch,
        lambda scores: scores.max(0),  # on a CPU argmax takes ten times as long
        lambda array: torch.from_numpy(array).to(device),
        lambda found: found.cpu().numpy(),
    )
    # On a CPU several at once are no faster, and their maps leave its cache.
    batch = 1 if device.type == "cpu" else _BATCH
    crop = network.spec.get("crop")
    return Segmenter(forward, size, crop, network.stride, arithmetic, batch)


def prototypes_of(tensors: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor]:
    """A release's prototypes `(C, D)` and which classes have one `(C,)`; None if none has."""
    seen = tensors.get("seen", torch.zeros(1, dtype=torch.bool))
    return (tensors.get("prototypes") if bool(seen.any()) else None), seen


def prior_of(tensors: Mapping[str, Tensor]) -> Tensor:
    """What a release adds to cosines for how frequent classes are, `(C, 1, 1)`, or a 0."""
    return tensors.get("similarity_prior", torch.zeros(1)).view(-1, 1, 1)
