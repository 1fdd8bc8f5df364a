"""Banks: the newest vectors of each class, first in, first out (U2PL)."""

from __future__ import annotations

import torch
from torch import Tensor

from semiseg.model.distributed import gather_over_ranks


def push_vectors(
    banks: Tensor, pushed: Tensor, vectors: Tensor, belongs: Tensor
) -> tuple[Tensor, Tensor]:
    """Push vectors into the banks of their classes, those of all processes in their order.

    A bank is a ring: the vector with the number `n` of its class is in row `n % N`, so that a new
    vector replaces the oldest one. There is no loop over classes or vectors.

    Args:
        banks: `(C, N, D)`.
        pushed: `(C,)` int64, the vectors that were pushed so far; the first `min(pushed, N)` rows
            of a bank are in use.
        vectors: `(M, D)`, the oldest first; `M` is the same in each process.
        belongs: `(M, C)` bool, the banks that a vector is pushed into: none, one or several.

    Returns:
        The new banks and the new `pushed`, the same in each process.
    """
    vectors = gather_over_ranks(vectors.to(banks.dtype))
    # Not every backend exchanges bool.
    belongs = gather_over_ranks(belongs.to(torch.uint8)).bool()
    if not len(vectors):
        return banks.clone(), pushed.clone()
    classes, size, _ = banks.shape
    number = belongs.long().cumsum(dim=0)  # of the vector in its class, from 1
    count = number[-1]
    # Of more than N new vectors, the last N are kept; so no two have the same row.
    kept = belongs & (number > count - size)
    row = (pushed + number - 1) % size + size * torch.arange(classes, device=banks.device)
    row = row.masked_fill(~kept, classes * size)  # one row more, for what is not kept
    index = torch.arange(len(vectors), device=banks.device).unsqueeze(1).expand_as(row)
    source = row.new_full((classes * size + 1,), -1).scatter(0, row.flatten(), index.flatten())
    source = source[:-1].unsqueeze(1)
    new = vectors.index_select(0, source.clamp(min=0).squeeze(1))
    flat = torch.where(source < 0, banks.flatten(0, 1), new)
    return flat.view_as(banks), pushed + count
