"""A step whose loss or gradient is not finite leaves nothing behind."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from semiseg.methods.base import Method
from semiseg.model.distributed import sum_over_ranks

MAX_FLAWED_STEPS = 3
"""The training ends after so many steps in a row that are not finite."""


class Guard:
    """Judges each step, and undoes what its forward passes did to the method's buffers.

    What a step changes before its optimizer is asked are the batch norm's statistics, the
    prototypes and the counts of pseudo-labels; what it changes after that (weights, teacher) is
    left out. To judge, a device has to be waited for, once a step.

    Args:
        method: what is trained.

    Attributes:
        flawed: whether the newest step was not finite, in any of the processes.
        skipped: such steps in the whole training.
        in_a_row: such steps in a row, up to the newest one.
    """

    def __init__(self, method: Method) -> None:
        self.method = method
        self.flawed, self.skipped, self.in_a_row = False, 0, 0
        self._buffers: list[Tensor] = []
        self._before: list[Tensor] = []
        self._finite: Tensor | None = None

    @torch.no_grad()
    def begin(self) -> None:
        """Remember the buffers as they are before a step."""
        if self._before:
            torch._foreach_copy_(self._before, self._buffers)
        else:  # the teacher's follow later
            named = self.method.named_buffers()
            self._buffers = [b for name, b in named if not name.startswith("teacher.")]
            self._before = [b.clone() for b in self._buffers]
        self._finite = None

    def watch(self, loss: Tensor) -> Tensor:
        """Take note of a micro batch's loss.

        Args:
            loss: a scalar.

        Returns:
            The loss to differentiate: the same, or NaN. So every gradient of a loss that is not
            finite is NaN, which a GradScaler sees, too.
        """
        finite = loss.detach().isfinite()
        self._finite = finite if self._finite is None else self._finite & finite
        return loss * torch.where(finite, 1.0, math.nan)

    @torch.no_grad()
    def judge(self, scaled: bool) -> None:
        """With the gradients there, decide; all processes decide alike.

        Args:
            scaled: whether a GradScaler looks at the gradients. It leaves out the step by itself,
                and while it searches its scale, gradients that are not finite are no fault.
        """
        finite = torch.tensor(True) if self._finite is None else self._finite
        parameters = [p for p in self.method.student.parameters() if p.grad is not None]
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
            for parameter in parameters:  # an optimizer passes over what has no gradient
                parameter.grad = None

    def state(self) -> dict[str, int]:
        """What a checkpoint has to hold."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def restore(self, state: dict[str, int]) -> None:
        """Go on counting."""
        self.skipped, self.in_a_row = state["skipped"], state["in_a_row"]
