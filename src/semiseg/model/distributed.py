"""Training in several processes: the sums that make all of them compute as one would.

Without an initialized process group, and with a group of one, the functions change nothing.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


def world_size() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum a tensor over all processes.

    Args:
        values: a tensor of the same shape and type in every process.

    Returns:
        The sum, with the same bits in each process and without a graph.
    """
    if world_size() == 1:
        return values
    total = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def gather_over_ranks(values: Tensor) -> Tensor:
    """Join a tensor of all processes along its first dimension, in the order of the processes.

    Args:
        values: `(N, ...)`, of the same shape and type in every process.

    Returns:
        `(world N, ...)`, with the same bits in each process and without a graph.
    """
    if world_size() == 1:
        return values.detach()
    parts = [
        torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(world_size())
    ]
    dist.all_gather(parts, values.detach().contiguous())
    return torch.cat(parts)


def interleave_over_ranks(values: Tensor) -> Tensor:
    """Join what the processes have of a list that was dealt out: process `r` of `W` has `r::W`.

    Args:
        values: `(n, ...)` integers, of the same type and the same other dimensions in every
            process; the numbers of rows differ by one at most.

    Returns:
        `(N, ...)` the whole list, with the same bits in each process and for any number of them.
    """
    if world_size() == 1:
        return values.detach()
    length = int(sum_over_ranks(torch.tensor(len(values), device=values.device)))
    whole = values.new_zeros(length, *values.shape[1:])
    whole[dist.get_rank() :: world_size()] = values.detach()
    return sum_over_ranks(whole)


def agree(value: T) -> T:
    """The first process's value, in every process. It is a plain value that pickle can copy."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def divisor(count: Tensor) -> Tensor:
    """The divisor that turns a sum over this process's pixels into a mean over the whole batch.

    The gradients of the processes are averaged, not added. So each process divides its own sum by
    the number of all pixels per process. The average is then the sum of all pixels over their
    number, however unevenly they are distributed.

    Args:
        count: a scalar, the number of pixels of the sum in this process.

    Returns:
        A scalar above 0, even if no process has any pixel.
    """
    return sum_over_ranks(count).clamp(min=1) / world_size()
