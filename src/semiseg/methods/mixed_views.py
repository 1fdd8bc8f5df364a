"""Batches that are joined and divided, and views that are mixed with one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from semiseg.augment.mixing import draw_boxes, draw_class_regions, draw_partners, paste
from semiseg.core.types import Inputs, Step
from semiseg.model.prototypes import shrink_labels


def join(*batches: Inputs) -> Inputs:
    """The images and the frozen features of several batches, one after the other."""
    features = zip(*(batch.features for batch in batches), strict=True)
    images = torch.cat([batch.image for batch in batches])
    return Inputs(images, tuple(map(torch.cat, features)))


def split(maps: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The maps of the first `count` images of a batch, such as the labeled ones, and of the rest.

    Split logits before they are upsampled: the gradient of a slice is as large as the whole tensor.
    """
    first, rest = maps.tensor_split([count])
    return first, rest


def cut_mix(
    step: Step,
    inputs: Inputs,
    *maps: Tensor,
    multiple: int = 1,
    draw: Callable[[int, int, int, torch.Generator], Tensor] = draw_boxes,
    purpose: str = "mix",
) -> tuple[Inputs, tuple[Tensor, ...]]:
    """Paste a box of another image into each image, and the same box into each map.

    Args:
        step: the step whose key draws the boxes and the partners.
        inputs: images `(B, N, H, W)`, and their frozen features if they are cached.
        maps: `(B, h, w)` or `(B, C, h, w)` each, at the resolution of the images or a coarser one.
        multiple: see `paste_regions`.
        draw: draws the boxes from a batch, a height, a width and a generator; see `augment.mixing`.
        purpose: the name of the draw. Views with different names get different boxes and partners.

    Returns:
        The mixed images with their features, and the mixed maps.
    """
    generator = step.key.child(purpose).torch()
    batch, (height, width) = len(inputs.image), inputs.image.shape[-2:]
    partners = draw_partners(batch, generator)
    boxes = draw(batch, height, width, generator)
    return paste_regions(inputs, maps, partners, boxes, multiple)


def class_mix(
    step: Step, inputs: Inputs, labels: Tensor, classes: int, *maps: Tensor, multiple: int = 1
) -> tuple[Inputs, tuple[Tensor, ...]]:
    """Paste half the classes of another image into each image, and the same pixels into each map.

    Args:
        step: the step whose key draws the classes and the partners.
        inputs: images `(B, N, H, W)`, and their frozen features if they are cached.
        labels: `(B, H, W)` int64, the labels whose classes are drawn; 255 where there is none.
        classes: number of classes `C`.
        maps: see `cut_mix`.
        multiple: see `paste_regions`.

    Returns:
        The mixed images with their features, and the mixed maps.
    """
    generator = step.key.child("mix").torch()
    partners = draw_partners(len(labels), generator)
    regions = draw_class_regions(labels, classes, generator)
    regions = regions.index_select(0, partners.to(labels.device))
    return paste_regions(inputs, maps, partners, regions, multiple)


def paste_regions(
    inputs: Inputs, maps: Sequence[Tensor], partners: Tensor, regions: Tensor, multiple: int = 1
) -> tuple[Inputs, tuple[Tensor, ...]]:
    """Replace a region of each image by that of its partner, and the same region of each map.

    Frozen maps are mixed as the images are: the cells of the region get the partner's features.
    Prefix tokens describe a whole image, and stay those of the image that receives the region.

    Args:
        inputs: images `(B, N, H, W)`, and their frozen features if they are cached.
        maps: `(B, h, w)` or `(B, C, h, w)` each, at the resolution of the images or a coarser one.
        partners: `(B,)` int64, the index of each image's partner.
        regions: `(B, H, W)` bool, True in the region that is replaced.
        multiple: the network pads images to a multiple of this number of pixels, and frozen maps
            cover the padded images; see `Network.stride`.

    Returns:
        The mixed images with their features, and the mixed maps.
    """
    image = inputs.image
    partners, regions = partners.to(image.device), regions.to(image.device)

    def mixed(tensor: Tensor, multiple: int = 1) -> Tensor:
        inside = shrink_labels(regions, tensor.shape[-2], tensor.shape[-1], multiple)
        return paste(tensor, partners, inside)

    features = tuple(mixed(f, multiple) if f.dim() == 4 else f for f in inputs.features)
    return Inputs(mixed(image), features), tuple(map(mixed, maps))
