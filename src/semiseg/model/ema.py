"""The teacher: an exponential moving average (EMA) of the student's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn

from semiseg.core.types import Output
from semiseg.model.network import Network


class Teacher(nn.Module):
    """The moving average of a student: parameters are averaged, batch-norm statistics copied.

    The teacher stays in eval mode: its output for an image does not depend on the batch.

    Args:
        student: the network to follow.
        memory: the time that the average covers, as a share of all steps. A short training needs
            a short memory, since a teacher far behind its student gives outdated pseudo-labels.

    Attributes:
        average: timm's moving average.
    """

    def __init__(self, student: Network, memory: float) -> None:
        super().__init__()
        self.memory = memory
        # The warm-up `1 - (1 + t) ** -1` makes the average a plain mean of the first students.
        self.average = ModelEmaV3(student, use_warmup=True, warmup_power=1.0, exclude_buffers=True)
        self.average.requires_grad_(False)
        self.eval()

    @property
    def network(self) -> Network:
        """The averaged network."""
        return cast(Network, self.average.module)

    @torch.no_grad()
    def copy_from(self, student: Network) -> None:
        """Become a copy of the student, with its normalization of images."""
        self.network.load_state_dict(student.state_dict())
        self.network.set_normalization(student.normalization())

    def train(self, mode: bool = True) -> Teacher:
        """Stay in eval mode, whatever the mode of the student."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, image: Tensor, features: Sequence[Tensor] = ()) -> Output:
        """The averaged network's output, without a graph; see `Network.forward`."""
        return cast(Output, self.network(image, features))

    def update(self, student: Network, step: int, total: int) -> None:
        """Add the student's parameters to the average.

        The decay is `min(1 - 1 / (step + 1), 1 - 1 / (memory * total))`: first the plain mean of
        all students so far, then an average over the memory.

        Args:
            student: the network after optimizer step `step`.
            step: the step, counted from 0.
            total: the steps of the whole training.
        """
        self.average.decay = 1 - 1 / max(1.0, self.memory * total)
        self.average.update(student, step + 1)  # timm counts steps from 1
