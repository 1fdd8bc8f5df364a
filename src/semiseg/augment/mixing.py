"""CutMix and ClassMix: a region of one image is pasted onto another one, with its labels."""

from __future__ import annotations

import torch
from torch import Tensor

_P_SMALL = 0.5
_SMALL_AREA = (0.02, 0.4)
_SMALL_RATIO = (0.3, 1 / 0.3)
_TRIES = 32  # at once: about 1 of 20 lies inside for the largest area, most for the smallest


def draw_partners(batch: int, generator: torch.Generator) -> Tensor:
    """Draw a partner for each image: a permutation without fixed points.

    The images form a random cycle, in which the partner of each one is its successor.

    Args:
        batch: number of images. A single image is its own partner.
        generator: a CPU generator.

    Returns:
        `(batch,)` int64 on the CPU.
    """
    cycle = torch.randperm(batch, generator=generator)
    partners = torch.empty_like(cycle)
    partners[cycle] = cycle.roll(-1)
    return partners


def draw_boxes(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw a CutMix box of half the area for each image.

    The width is uniform in `width/2..width`, the height follows from the area, the position is
    uniform, as in the authors' program (Sec. 4 of the paper does not specify it).

    Args:
        batch: number of boxes.
        height: height of the images in pixels.
        width: width of the images in pixels.
        generator: a CPU generator.

    Returns:
        `(batch, height, width)` bool on the CPU, True inside the box.
    """
    u = torch.rand(3, batch, generator=generator)
    min_width = width // 2 + 1
    w = (min_width + u[0] * (width - min_width + 1)).long().clamp(max=width)
    h = (height * width / 2 / w).round().long().clamp(1, height)
    left = (u[1] * (width - w + 1)).long()
    top = (u[2] * (height - h + 1)).long()
    return _fill_boxes(left, top, w, h, height, width)


def draw_small_boxes(batch: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Draw the CutMix box of UniMatch for half of the images, and no box for the others.

    A box appears with the probability 0.5. Its area is uniform in 0.02..0.4 of the image, the ratio
    of its height to its width is uniform in 0.3..1/0.3, on a square image. Ratio and corner are
    drawn again until the box lies inside the image.

    Args:
        batch: number of boxes.
        height: height of the images in pixels.
        width: width of the images in pixels.
        generator: a CPU generator.

    Returns:
        `(batch, height, width)` bool on the CPU, True inside the box.
    """
    u = torch.rand(2, batch, generator=generator).double()
    present, area = u[0] < _P_SMALL, u[1]
    area = _SMALL_AREA[0] + area * (_SMALL_AREA[1] - _SMALL_AREA[0])
    geometry = torch.zeros(4, batch, dtype=torch.long)
    open_boxes = torch.arange(batch)
    while len(open_boxes):
        u = torch.rand(3, len(open_boxes), _TRIES, generator=generator).double()
        ratio = _SMALL_RATIO[0] + u[0] * (_SMALL_RATIO[1] - _SMALL_RATIO[0])
        share = area[open_boxes, None]
        candidates = torch.stack(
            [
                (u[1] * width).long(),
                (u[2] * height).long(),
                (width * (share / ratio).sqrt()).long(),
                (height * (share * ratio).sqrt()).long(),
            ]
        )
        inside = (candidates[0] + candidates[2] <= width) & (
            candidates[1] + candidates[3] <= height
        )
        first = inside.int().argmax(dim=1, keepdim=True)  # the first try that lies inside
        geometry[:, open_boxes] = candidates.gather(2, first.expand(4, -1, 1)).squeeze(2)
        open_boxes = open_boxes[~inside.any(dim=1)]
    left, top, w, h = geometry.unbind()
    return _fill_boxes(left, top, w, h, height, width) & present[:, None, None]


def _fill_boxes(left: Tensor, top: Tensor, w: Tensor, h: Tensor, height: int, width: int) -> Tensor:
    """`(B, height, width)` bool, True inside boxes of the size `w` x `h` at `left` and `top`."""
    x, y = torch.arange(width), torch.arange(height)
    in_x = (x >= left[:, None]) & (x < (left + w)[:, None])
    in_y = (y >= top[:, None]) & (y < (top + h)[:, None])
    return in_y[:, :, None] & in_x[:, None, :]


def draw_beta_boxes(
    batch: int, height: int, width: int, generator: torch.Generator, a: int = 4, b: int = 4
) -> Tensor:
    """Draw CutMix boxes whose area is `1 - lambda` of the image, with `lambda ~ Beta(a, b)`.

    One `lambda` serves all images of the batch. Each side of a box is `sqrt(1 - lambda)` of the
    image's side. The center is uniform between an eighth and the end of each side, and the box ends
    at the border of the image (PS-MT and AugSeg).

    Args:
        batch: number of boxes.
        height: height of the images in pixels.
        width: width of the images in pixels.
        generator: a CPU generator.
        a: the first parameter of the distribution, a whole number.
        b: the second one.

    Returns:
        `(batch, height, width)` bool on the CPU, True inside the box.
    """
    # The a-th smallest of a + b - 1 uniform numbers is Beta(a, b): torch's own draw of it takes no
    # generator.
    kept = torch.rand(a + b - 1, generator=generator).sort().values[a - 1]
    share = (1 - kept).sqrt()
    u = torch.rand(2, batch, generator=generator)
    in_x = _inside_box(width, share, u[0])
    in_y = _inside_box(height, share, u[1])
    return in_y[:, :, None] & in_x[:, None, :]


def _inside_box(side: int, share: Tensor, u: Tensor) -> Tensor:
    """`(batch, side)` bool: the pixels inside the boxes along one axis."""
    reach = (share * side).long() // 2
    first = side // 8
    center = first + (u * (side - first)).long().clamp(max=side - first - 1)
    position = torch.arange(side)
    return (position >= (center - reach)[:, None]) & (position < (center + reach)[:, None])


def draw_class_regions(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Draw the pixels of half the classes of each image (ClassMix, Olsson et al., WACV 2021).

    Of the `n` classes in an image, `floor(n / 2)` are drawn. Pixels without a label are no class,
    and belong to no region.

    Args:
        labels: `(B, H, W)` int64, 255 where there is no label.
        classes: number of classes `C`.
        generator: a CPU generator.

    Returns:
        `(B, H, W)` bool, True at the pixels of the drawn classes, on the device of the labels.
    """
    flat = labels.flatten(1).clamp(max=classes)  # one column more, for the pixels without a label
    present = torch.zeros(len(flat), classes + 1, dtype=torch.bool, device=flat.device)
    present = present.scatter(1, flat, value=True)
    present[:, classes] = False
    u = torch.rand(len(flat), classes + 1, generator=generator).to(flat.device)
    place = u.masked_fill(~present, 2.0).argsort(dim=1).argsort(dim=1)  # absent classes come last
    drawn = place < present.sum(dim=1, keepdim=True) // 2
    return drawn.gather(1, flat).view_as(labels)


def draw_several_boxes(
    batch: int,
    height: int,
    width: int,
    generator: torch.Generator,
    *,
    boxes: int = 3,
    share: tuple[float, float] = (0.25, 0.5),
) -> Tensor:
    """Draw several CutMix boxes for each image; a pixel counts if an odd number of them holds it.

    The boxes of an image have equal sides and areas, and positions of their own. Their areas
    together are a uniform share of the image. The height is `share ** u` of the image's with a
    uniform `u`, divided by the root of the number of boxes (French et al., arXiv 1906.01916, as CPS
    and PS-MT use them).

    Args:
        batch: number of images.
        height: height of the images in pixels.
        width: width of the images in pixels.
        generator: a CPU generator.
        boxes: number of boxes of each image.
        share: the range of the share of the image that the boxes have together.

    Returns:
        `(batch, height, width)` bool on the CPU.
    """
    low, high = share
    u = torch.rand(2, batch, generator=generator)
    area = low + (high - low) * u[0]
    tall: Tensor = area ** u[1]
    h = (height * tall / boxes**0.5).round().long()
    w = (width * area / tall / boxes**0.5).round().long()
    corner = torch.rand(2, boxes, batch, generator=generator)
    top = (corner[0] * (height - h + 1)).long().unsqueeze(2)
    left = (corner[1] * (width - w + 1)).long().unsqueeze(2)
    y, x = torch.arange(height), torch.arange(width)
    in_y = (y >= top) & (y < top + h[:, None])
    in_x = (x >= left) & (x < left + w[:, None])
    holding: Tensor = (in_y[..., :, None] & in_x[..., None, :]).sum(dim=0)
    return (holding % 2).bool()


def paste(own: Tensor, partners: Tensor, boxes: Tensor) -> Tensor:
    """Replace the pixels in the regions by the partners' pixels.

    Args:
        own: `(B, H, W)` or `(B, C, H, W)`, any type.
        partners: `(B,)` int64, the index of each image's partner.
        boxes: `(B, H, W)` bool, True in the region.

    Returns:
        The mixed images, of the shape and type of `own`.
    """
    inside = boxes.unsqueeze(1) if own.dim() == 4 else boxes
    return torch.where(inside, own.index_select(0, partners), own)
