"""The teacher: an exponential moving average of the student's parameters."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from semiseg.core.types import Output
from semiseg.model.network import Network


class Teacher(nn.Module):
    """The moving average of a student: parameters averaged, batch-norm statistics copied.

    It stays in eval mode: what it says of an image does not depend on the others in the batch.

    Args:
        student: the network to follow.
        memory: how far the average looks back, as a share of all steps. Short trainings need a
            short memory: a teacher that trails its student teaches the past.

    Attributes:
        network: the averaged network.
    """

    def __init__(self, student: Network, memory: float) -> None:
        super().__init__()
        self.memory = memory
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in eval mode, whatever the student does."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Output:
        """The averaged network's output, without a graph; see `Network.forward`."""
        return cast(Output, self.network(image))

    @torch.no_grad()
    def update(self, student: Network, step: int, total: int) -> None:
        """Take the student's parameters in, after optimizer step `step` (from 0) of `total`.

        The decay is `min(1 - 1/(t+1), 1 - 1/(memory * total))`: at first the plain mean of all
        students so far, later an average over the memory.
        """
        # Not torch's AveragedModel: it reads a counter from the device, which a GPU is waited for.
        longest = max(1.0, self.memory * total)
        decay = min(1 - 1 / (step + 1), 1 - 1 / longest)
        own: list[Tensor] = [*self.network.parameters()]
        torch._foreach_lerp_(own, [*student.parameters()], 1 - decay)
        torch._foreach_copy_(list(self.network.buffers()), list(student.buffers()))
