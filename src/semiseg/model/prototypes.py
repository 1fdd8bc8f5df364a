"""Class prototypes: moving averages of the representations of a class (Eq. 2 and 3 of CSS)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.model.distributed import sum_over_ranks


def class_means(representation: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Compute the mean representation of each class in a batch (Eq. 2), over all processes.

    Args:
        representation: `(N, D)`, not normalized.
        labels: `(N,)` int64, 255 for pixels that belong to no class.
        classes: number of classes `C`.

    Returns:
        Means `(C, D)`, zero for classes without a pixel, and counts `(C,)`.
    """
    key = labels.clamp(max=classes)  # one row more, for the pixels of no class
    # At least single precision: half precision, in which a network may run, cannot count to 3,000.
    dtype = torch.promote_types(representation.dtype, torch.float32)
    pixels = representation.to(dtype)
    sums = pixels.new_zeros(classes + 1, pixels.shape[1]).index_add_(0, key, pixels)[:-1]
    counts = pixels.new_zeros(classes + 1).index_add_(0, key, torch.ones_like(pixels[:, 0]))[:-1]
    # The processes exchange C x (D + 1) numbers per batch for the prototypes.
    totals = sum_over_ranks(torch.cat([sums, counts.unsqueeze(1)], dim=1))
    sums, counts = totals[:, :-1], totals[:, -1]
    return sums / counts.clamp(min=1).unsqueeze(1), counts


def update_prototypes(
    prototypes: Tensor, seen: Tensor, means: Tensor, counts: Tensor, momentum: float
) -> tuple[Tensor, Tensor]:
    """Move the prototypes of the classes in a batch towards their means (Eq. 3).

    Args:
        prototypes: `(C, D)`.
        seen: `(C,)` bool, whether a class has a prototype.
        means: `(C, D)` from `class_means`.
        counts: `(C,)` from `class_means`.
        momentum: `a` in `rho = a rho + (1 - a) m`. The first mean of a class becomes its prototype.

    Returns:
        The new prototypes and the new `seen`.
    """
    present = counts > 0
    updated = torch.where(seen.unsqueeze(1), torch.lerp(means, prototypes, momentum), means)
    return torch.where(present.unsqueeze(1), updated, prototypes), seen | present


def similarity(representation: Tensor, prototypes: Tensor, seen: Tensor) -> Tensor:
    """Compute the cosine similarity of each pixel to each prototype.

    Args:
        representation: `(B, D, H, W)`.
        prototypes: `(C, D)`.
        seen: `(C,)` bool, whether a class has a prototype.

    Returns:
        `(B, C, H, W)` in -1..1; -1000 for classes without a prototype, which is 0 in a softmax.
    """
    # (C, D) as a 1x1 convolution. The division by the pixels' lengths comes afterwards, so that
    # there is no normalized copy of the D-channel map. At least single precision: half precision
    # loses the differences of similarities that an indicator consists of.
    dtype = torch.promote_types(representation.dtype, torch.float32)
    with torch.autocast(representation.device.type, enabled=False):
        maps = representation.to(dtype)
        weight = F.normalize(prototypes.to(dtype), dim=1).unsqueeze(-1).unsqueeze(-1)
        length = maps.norm(dim=1, keepdim=True).clamp(min=1e-12)
        cosine = F.conv2d(maps, weight) / length
    return torch.where(seen.view(1, -1, 1, 1), cosine, cosine.new_tensor(-1000.0))


def shrink_labels(labels: Tensor, height: int, width: int, multiple: int = 1) -> Tensor:
    """Sample labels at the centers of the cells of a coarser grid.

    Args:
        labels: `(B, H, W)` of any type.
        height: rows of the grid.
        width: columns of the grid.
        multiple: the grid covers the image after padding to a multiple of this number of pixels.

    Returns:
        `(B, height, width)` of the same type.
    """
    rows = _centers(labels.shape[-2], height, multiple, labels.device)
    columns = _centers(labels.shape[-1], width, multiple, labels.device)
    return labels.index_select(-2, rows).index_select(-1, columns)


def _centers(fine: int, coarse: int, multiple: int, device: torch.device) -> Tensor:
    """`(coarse,)` the positions of the cells' centers among `fine` ones."""
    padded = -(-fine // multiple) * multiple
    stride = -(-padded // coarse)  # the last cell may reach beyond the image
    centers = torch.arange(coarse, device=device) * stride + stride // 2
    return centers.clamp(max=fine - 1)
