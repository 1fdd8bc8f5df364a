"""Several prototypes of each class: scores, moving averages, and their start by k-means (PCR).

A prototype and a pixel are compared by the cosine of their vectors, so that lengths do not matter.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from semiseg.core.types import IGNORE_INDEX
from semiseg.model.distributed import sum_over_ranks

_ITERATIONS = 10  # of k-means; it changes little afterwards
_UNSEEN = -1000.0  # a score that is 0 in a softmax


def prototype_cosines(pixels: Tensor, prototypes: Tensor) -> Tensor:
    """The cosine of each pixel and each prototype.

    Args:
        pixels: `(N, D)`.
        prototypes: `(C, K, D)`; no gradient flows into them.

    Returns:
        `(N, C, K)` in -1..1, in single precision.
    """
    classes, each, dim = prototypes.shape
    with torch.autocast(pixels.device.type, enabled=False):  # half precision loses differences
        directions = F.normalize(prototypes.detach().float().view(-1, dim), dim=1)
        return (F.normalize(pixels.float(), dim=1) @ directions.t()).view(-1, classes, each)


def set_scores(cosine: Tensor, seen: Tensor, temperature: float) -> Tensor:
    """The score of each class: its largest cosine, divided by the temperature.

    Args:
        cosine: `(N, C, K)` from `prototype_cosines`.
        seen: `(C,)` bool, whether a class has prototypes.
        temperature: the temperature of the softmax over the scores.

    Returns:
        `(N, C)`; -1000 for a class without prototypes.
    """
    scores = cosine.amax(dim=2) / temperature
    return torch.where(seen, scores, _UNSEEN)


def move_prototypes(
    prototypes: Tensor, seen: Tensor, pixels: Tensor, labels: Tensor, momentum: float
) -> tuple[Tensor, Tensor]:
    """Move each prototype towards the mean of the pixels for which it is the nearest of its class.

    The mean is over all processes. A class without prototypes gets the mean of its pixels as all
    `K` of them; they part as their pixels do.

    Args:
        prototypes: `(C, K, D)`.
        seen: `(C,)` bool, whether a class has prototypes.
        pixels: `(N, D)`, not normalized.
        labels: `(N,)` int64, the classes; 255 for pixels that do not count.
        momentum: how much of a prototype stays.

    Returns:
        The new prototypes and the new `seen`. A prototype without pixels stays as it is.
    """
    classes, each, dim = prototypes.shape
    pixels = pixels.detach().float()
    label = labels.clamp(max=classes - 1)
    cosine = prototype_cosines(pixels, prototypes)
    own = cosine[torch.arange(len(pixels), device=pixels.device), label]
    winner = label * each + own.argmax(dim=1)
    # One row more, for the pixels that do not count.
    winner = winner.masked_fill(labels == IGNORE_INDEX, classes * each)
    row = torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)
    totals = row.new_zeros(classes * each + 1, dim + 1).index_add_(0, winner, row)[:-1]
    totals = sum_over_ranks(totals).view(classes, each, dim + 1)
    sums, counts = totals[..., :-1], totals[..., -1:]
    means = sums / counts.clamp(min=1)
    averages = torch.where(counts > 0, torch.lerp(means, prototypes, momentum), prototypes)
    count = counts.sum(dim=1, keepdim=True)
    first = (sums.sum(dim=1, keepdim=True) / count.clamp(min=1)).expand_as(averages)
    present = count.flatten() > 0
    new = torch.where(seen.view(-1, 1, 1), averages, first)
    return torch.where((seen | present).view(-1, 1, 1), new, prototypes), seen | present


def store_pixels(
    bank: Tensor, stored: Tensor, pixels: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Write the pixels of a batch into the bank of their class, over the oldest ones.

    Args:
        bank: `(C, N, D)`, the newest pixels of each class.
        stored: `(C,)` int64, how many pixels a class has had so far.
        pixels: `(M, D)`, the same in all processes.
        labels: `(M,)` int64, 255 for pixels that are not stored.

    Returns:
        The new bank and the new counts. Of more than `N` pixels of a class the first `N` are
        stored.
    """
    classes, size, dim = bank.shape
    label = labels.clamp(max=classes)
    # The number of a pixel among those of its class.
    place = F.one_hot(label, classes + 1).cumsum(dim=0).gather(1, label[:, None])[:, 0] - 1
    keep = (labels != IGNORE_INDEX) & (place < size)
    first = torch.cat([stored, stored.new_zeros(1)])[label]
    slot = torch.where(keep, label * size + (first + place) % size, classes * size)
    # One row more, for the pixels that are not stored.
    rows = torch.cat([bank.view(-1, dim), bank.new_zeros(1, dim)])
    rows = rows.index_copy(0, slot, pixels.detach().to(bank.dtype))
    counts = stored.new_zeros(classes + 1).index_add_(0, label, keep.long())
    return rows[:-1].view_as(bank), stored + counts[:-1]


def start_prototypes(bank: Tensor, stored: Tensor, each: int) -> Tensor:
    """The prototypes of each class by k-means of its stored pixels, without any random draw.

    Pixels belong to the center with the largest cosine, as in `move_prototypes`; a center is the
    mean of its pixels. The first center is the pixel nearest to the class mean, and each further
    one the pixel that is farthest from those before. With fewer distinct pixels than `K` some
    prototypes are equal.

    Args:
        bank: `(C, N, D)` from `store_pixels`.
        stored: `(C,)`, how many pixels a class has had.
        each: `K`, the prototypes of each class.

    Returns:
        `(C, K, D)`; without meaning for a class without pixels.
    """
    inside = torch.arange(bank.shape[1], device=bank.device) < stored[:, None]  # (C, N)
    member = inside.unsqueeze(-1).to(bank.dtype)
    with torch.autocast(bank.device.type, enabled=False):
        directions = F.normalize(bank, dim=2)
        mean = (bank * member).sum(dim=1) / member.sum(dim=1).clamp(min=1)
        # (C, N): how near a pixel is to the nearest center so far.
        near = (directions @ F.normalize(mean, dim=1).unsqueeze(2)).squeeze(2)
        choice = near.masked_fill(~inside, -2.0).argmax(dim=1)
        centers = [_row(bank, choice)]
        near = torch.full_like(near, -2.0)
        for _ in range(each - 1):
            newest = F.normalize(centers[-1], dim=1).unsqueeze(2)
            near = near.maximum((directions @ newest).squeeze(2))
            centers.append(_row(bank, near.masked_fill(~inside, 2.0).argmin(dim=1)))
        result = torch.stack(centers, dim=1)
        for _ in range(_ITERATIONS):
            nearest = (directions @ F.normalize(result, dim=2).transpose(1, 2)).argmax(dim=2)
            share = F.one_hot(nearest, each).to(bank.dtype) * member
            counts = share.sum(dim=1).unsqueeze(2)
            means = share.transpose(1, 2) @ bank / counts.clamp(min=1)
            result = torch.where(counts > 0, means, result)
    return result


def _row(bank: Tensor, choice: Tensor) -> Tensor:
    """`(C, D)`: one pixel of each class of `bank` `(C, N, D)`."""
    return bank.gather(1, choice.view(-1, 1, 1).expand(-1, 1, bank.shape[2])).squeeze(1)
