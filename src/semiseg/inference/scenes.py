"""Labeled images for scoring, and a trained network as a `Segmenter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.band_image import AnyImage
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes
from semiseg.inference.reading import Arithmetic, Maps
from semiseg.inference.sliding import Segmenter
from semiseg.inference.views import Images, to_array
from semiseg.model.network import Network
from semiseg.model.prototypes import similarity

_GPU_BATCH = 8  # images of one size that a GPU takes at a time


class Scene(NamedTuple):
    """One labeled image for scoring.

    Attributes:
        image: `(1, N, h, w)` uint8 at working size.
        mask: `(H, W)` uint8 class indices at the size of the image file, 255 where ignored.
    """

    image: Tensor
    mask: Tensor


class Scenes(Dataset[Scene]):
    """Labeled images for scoring, one at a time, since their sizes may differ.

    Args:
        samples: images with masks.
        classes: the classes of the masks.
        size: short side at working size, in pixels.
        reading: how images are read, see `read_image`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        classes: Classes,
        size: int,
        reading: Reading = AS_STORED,
    ) -> None:
        self.reading = reading
        self.samples = [sample for sample in samples if sample.mask is not None]
        self.classes = classes
        self.size = size

    def __len__(self) -> int:
        """The number of images."""
        return len(self.samples)

    def __getitem__(self, index: int) -> Scene:
        """Image and mask number `index`."""
        sample = self.samples[index]
        truth = torch.from_numpy(np.array(read_labels(sample, self.classes, self.reading)))
        image = read_image(sample.image, self.reading)
        return Scene(to_working_size(image, self.size), truth)


def to_working_size(image: AnyImage, size: int) -> Tensor:
    """An image as `(1, N, h, w)` uint8, its short side scaled to `size` pixels."""
    return torch.from_numpy(to_array(image, size))


def to_input(image: Tensor) -> Tensor:
    """Images as the input of a network: uint8 to float in 0..1, channels-last in memory."""
    return image.to(torch.float32, memory_format=torch.channels_last).div_(255)


def segmenter(
    network: Network, size: int = 0, tensors: Mapping[str, Tensor] | None = None
) -> Segmenter:
    """A network as a `Segmenter`.

    Args:
        network: in eval mode. Its device computes everything.
        size: short side at working size, in pixels; 0 if the images have the working size.
        tensors: `prototypes`, `seen` and `similarity_prior`, for labels from representation space
            too.
    """
    device = network.mean.device
    prototypes, seen = prototypes_of(tensors or {})
    on_device = None if prototypes is None else (prototypes.to(device), seen.to(device))
    prior = prior_of(tensors or {}).to(device)

    @torch.no_grad()
    def forward(images: Images) -> Maps:
        output = network(to_input(torch.from_numpy(images).to(device)))
        similarities = None
        if on_device is not None and output.representation is not None:
            cosines = similarity(output.representation, *on_device)
            similarities = (cosines + prior).cpu().numpy()
        return Maps(output.logits.float().cpu().numpy(), similarities)

    arithmetic = Arithmetic(
        torch,
        lambda scores: scores.max(0),  # on a CPU argmax takes ten times as long
        lambda array: torch.from_numpy(array).to(device),
        lambda tensor: tensor.cpu().numpy(),
    )
    # On a CPU, several images at a time are no faster, and their maps do not fit into its cache.
    batch = 1 if device.type == "cpu" else _GPU_BATCH
    crop = network.spec.crop
    return Segmenter(forward, size, crop, network.stride, arithmetic, batch)


def prototypes_of(tensors: Mapping[str, Tensor]) -> tuple[Tensor | None, Tensor]:
    """The prototypes `(C, D)` of a release, or None, and which classes have one `(C,)`."""
    seen = tensors.get("seen", torch.zeros(1, dtype=torch.bool))
    return (tensors.get("prototypes") if bool(seen.any()) else None), seen


def prior_of(tensors: Mapping[str, Tensor]) -> Tensor:
    """The prior of the classes that a release adds to cosines, `(C, 1, 1)`, or 0."""
    return tensors.get("similarity_prior", torch.zeros(1)).view(-1, 1, 1)
