"""Perturbations of feature maps (CCT, Ouali et al., CVPR 2020)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

_NOISE = 0.3
_KEPT_CHANNELS = 0.5
_WINDOW = 0.4  # of the sides of an object's box
_SMALLEST = 6  # cells of half a box's perimeter; at stride 4 that is a contour of about 50 pixels


def add_noise(maps: Tensor, generator: Generator) -> Tensor:
    """Multiply each value by 1 plus noise, uniform in -0.3..0.3 and the same for all images.

    Args:
        maps: `(B, D, h, w)` float.
        generator: a CPU generator.
    """
    noise = (2 * torch.rand(maps.shape[1:], generator=generator) - 1) * _NOISE
    return maps * (1 + noise.to(maps))


def drop_strongest(maps: Tensor, generator: Generator) -> Tensor:
    """Set the positions to 0 whose mean over the channels is near the highest one of the image.

    Near is at least 0.7 to 0.9 times the highest mean; the factor is drawn once for the batch.

    Args:
        maps: `(B, D, h, w)` float.
        generator: a CPU generator.
    """
    attention = maps.detach().mean(dim=1, keepdim=True)
    factor = 0.7 + 0.2 * torch.rand((), generator=generator).to(maps)
    return maps * (attention < factor * attention.amax(dim=(2, 3), keepdim=True))


def drop_random_channels(maps: Tensor, generator: Generator) -> Tensor:
    """Set half of the channels of each image to 0, and double the others.

    Args:
        maps: `(B, D, h, w)` float.
        generator: a CPU generator.
    """
    kept = torch.rand(maps.shape[:2], generator=generator) < _KEPT_CHANNELS
    return maps * (kept[..., None, None].to(maps) / _KEPT_CHANNELS)


class Boxes(NamedTuple):
    """A box around each object of each image; the object's number is that of its last cell.

    Attributes:
        top: `(B, h w)` float, the first row; so for the other sides, which are inclusive.
        left: the first column.
        bottom: the last row.
        right: the last column.
        kept: `(B, h w)` bool, True where there is an object that is large enough.
    """

    top: Tensor
    left: Tensor
    bottom: Tensor
    right: Tensor
    kept: Tensor


def object_boxes(foreground: Tensor) -> Boxes:
    """The boxes of the connected regions of the foreground; diagonal neighbors are connected.

    All of it runs on the device of the foreground, without waiting for it.

    Args:
        foreground: `(B, h, w)` bool.
    """
    region = _regions(foreground)
    batch, height, width = foreground.shape
    cells = height * width
    cell = torch.arange(cells, device=foreground.device).expand(batch, cells)
    sides: list[Tensor] = []
    for position in (cell // width, cell % width):
        values = position.float()
        for kind in ("amin", "amax"):
            side = values.scatter_reduce(1, region, values, kind)
            sides.append(side)
    top, bottom, left, right = sides
    large = (bottom - top) + (right - left) + 2 > _SMALLEST
    return Boxes(top, left, bottom, right, large & foreground.flatten(1) & (region == cell))


def _regions(foreground: Tensor) -> Tensor:
    """`(B, h w)` int64: of each cell, the largest number of a cell of its region."""
    batch, height, width = foreground.shape
    cells = height * width
    inside = foreground.flatten(1)
    number = torch.arange(cells, device=foreground.device).expand(batch, cells)
    # Each cell points to a cell with a larger number. Rounds that link the targets of neighbors,
    # and then follow the pointers, join a region in about log2(cells) rounds.
    target = number.clone()
    for _ in range(2 * cells.bit_length()):
        scores = torch.where(inside, target, -1).float().view(batch, 1, height, width)
        best = F.max_pool2d(scores, 3, stride=1, padding=1).flatten(1)
        best = torch.where(inside, best, number.float())
        linked = target.float().scatter_reduce(1, target, best, "amax").maximum(best).long()
        target = linked.gather(1, linked)
    return target


def cut_objects(maps: Tensor, boxes: Boxes, generator: Generator) -> Tensor:
    """Set a window in the box of each object to 0, of 40 % of its sides and at a random place.

    Args:
        maps: `(B, D, h, w)` float.
        boxes: from `object_boxes`.
        generator: a CPU generator.
    """
    batch, _, height, width = maps.shape
    u = torch.rand(2, *boxes.kept.shape, generator=generator).to(maps.device)
    ends: list[Tensor] = []
    for first, last, place in ((boxes.top, boxes.bottom, u[0]), (boxes.left, boxes.right, u[1])):
        side = last - first + 1
        window = (_WINDOW * side).round()
        start = first + (place * (side - window + 1)).floor().minimum(side - window)
        ends += [start.long(), (start + window).long()]
    top, bottom, left, right = ends
    # Marks at the corners of each window, whose sums along both axes are 1 inside it.
    marks = torch.zeros(batch, (height + 1) * (width + 1), device=maps.device)
    kept = boxes.kept.to(marks)
    for row, column, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1)):
        marks = marks.scatter_add(1, row * (width + 1) + column, sign * kept)
    marks = marks.scatter_add(1, bottom * (width + 1) + right, kept)
    inside = marks.view(batch, height + 1, width + 1).cumsum(dim=1).cumsum(dim=2)
    cut = inside[:, None, :height, :width] > 0.5
    return maps * ~cut
