"""Several processes: what they must add up so that all of them compute as one would.

Without an initialized process group, and with a group of one, the functions change nothing.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def ranks() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, the same bits on each; without a graph.

    Args:
        values: of the same shape and type in every process.
    """
    if ranks() == 1:
        return values
    total = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def divisor(count: Tensor) -> Tensor:
    """What a sum over this process's pixels is divided by for the mean of the whole batch.

    The gradients of the processes are averaged, not added. So each divides its own sum by the
    count of all pixels over the number of processes: the average is then the sum of all over the
    count of all, however unevenly the pixels are spread.

    Args:
        count: a scalar, the pixels that count in this process.

    Returns:
        A scalar above 0, also where no process has any pixel.
    """
    return sum_over_ranks(count).clamp(min=1) / ranks()
