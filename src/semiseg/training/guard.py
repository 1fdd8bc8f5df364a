"""A step whose loss or gradient is not finite leaves nothing behind."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from semiseg.methods.base import Method
from semiseg.model.distributed import sum_over_ranks
from semiseg.model.ema import Teacher

MAX_FLAWED_STEPS = 3
"""The training ends after so many steps in a row that are not finite."""


class Guard:
    """Checks each step, and restores the method's buffers if the step is not finite.

    Before the optimizer's step, the forward passes change the statistics of batch norm, the
    prototypes and the counts of pseudo-labels; the guard restores these. The weights and the
    teacher change later, and stay as they are. The check waits for the device once in each step.

    Args:
        method: the method that is trained.

    Attributes:
        flawed: whether the newest step was not finite, in any of the processes.
        skipped: the number of such steps in the whole training.
        in_a_row: the number of such steps in a row, up to the newest one.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.flawed, self.skipped, self.in_a_row = False, 0, 0
        self._buffers: list[Tensor] = []
        self._before: list[Tensor] = []
        self._finite: Tensor | None = None

    @torch.no_grad()
    def begin(self) -> None:
        """Remember the buffers before a step."""
        if self._before:
            torch._foreach_copy_(self._before, self._buffers)
        else:  # without those of teachers, which change later
            teachers = [m for m in self.method.modules() if isinstance(m, Teacher)]
            later = {id(b) for teacher in teachers for b in teacher.buffers()}
            self._buffers = [b for b in self.method.buffers() if id(b) not in later]
            self._before = [b.clone() for b in self._buffers]
        self._finite = None

    def watch(self, loss: Tensor) -> Tensor:
        """Check the loss of a micro batch.

        Args:
            loss: a scalar.

        Returns:
            The loss to differentiate: the same, or NaN. So all gradients of a loss that is not
            finite are NaN, and a GradScaler notices them too.
        """
        finite = loss.detach().isfinite()
        self._finite = finite if self._finite is None else self._finite & finite
        return loss * torch.where(finite, 1.0, math.nan)

    @torch.no_grad()
    def check(self, scaled: bool) -> None:
        """Decide, from the loss and the gradients, whether to skip the step.

        All processes decide the same.

        Args:
            scaled: whether a GradScaler checks the gradients. It skips the step itself, and while
                it searches for its scale, gradients that are not finite are normal.
        """
        finite = torch.tensor(True) if self._finite is None else self._finite
        parameters = [p for p in self.method.trained_parameters() if p.grad is not None]
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients and not scaled:
            finite = finite & get_total_norm(gradients, math.inf).isfinite()
        self.flawed = bool(sum_over_ranks((~finite).int()))
        self.in_a_row = self.in_a_row + 1 if self.flawed else 0
        self.skipped += self.flawed
        if not self.flawed:
            return
        torch._foreach_copy_(self._buffers, self._before)
        if not scaled:
            for parameter in parameters:  # an optimizer skips parameters without a gradient
                parameter.grad = None

    def state(self) -> dict[str, int]:
        """The counts, for a checkpoint."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def restore(self, state: dict[str, int]) -> None:
        """Restore the counts of a checkpoint."""
        self.skipped, self.in_a_row = state["skipped"], state["in_a_row"]
