"""The head that gives each dimension of a representation its variance (PRCL)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class VarianceHead(nn.Module):
    """Two 1x1 convolutions with rows of length 1, and a sigmoid with a floor.

    Args:
        width: the channels of the decoder's map.
        dim: the dimensions of the representation.
        floor: the variance is at least `floor / (1 + floor)`.

    Attributes:
        scale: the factor on the last normalized values, a scalar.
        shift: what is added to them, a scalar.
    """

    def __init__(self, width: int, dim: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.first = nn.Conv2d(width, dim, 1, bias=False)
        # It runs in training alone, so nobody needs the running statistics.
        self.norm = nn.BatchNorm2d(dim, track_running_stats=False)
        self.second = nn.Conv2d(dim, dim, 1, bias=False)
        self.last_norm = nn.BatchNorm2d(dim, affine=False, track_running_stats=False)
        self.scale = nn.Parameter(torch.ones(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """The variances `(B, D, h, w)`, below 1, of the decoder's map `(B, width, h, w)`."""
        hidden = F.relu(self.norm(_with_unit_rows(self.first, features)))
        value = self.last_norm(_with_unit_rows(self.second, hidden)).float()
        return bounded_variance(self.scale * value + self.shift, self.floor)


def bounded_variance(value: Tensor, floor: float) -> Tensor:
    """`sigmoid(ln(e^value + floor))`, finite with a finite gradient for each finite value."""
    return torch.logaddexp(value, value.new_full((), math.log(floor))).sigmoid()


def _with_unit_rows(convolution: nn.Conv2d, maps: Tensor) -> Tensor:
    """Apply a 1x1 convolution whose rows are scaled to the length 1."""
    return F.conv2d(maps, F.normalize(convolution.weight, dim=1))
