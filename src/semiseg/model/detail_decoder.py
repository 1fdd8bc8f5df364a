"""The decoder for plain vision transformers: their maps, and a convolutional branch for detail."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.core.types import STRIDE

_LEVEL_WIDTH = 96
_WIDTH = 128
_DETAIL_WIDTHS = (24, 48)  # of the detail branch at strides 2 and 4


class DetailDecoder(nn.Module):
    """Joins the coarse maps of a vision transformer with a fine convolutional branch.

    Patches of 14 or 16 pixels lose thin structures. So two strided convolutions look at the image
    itself, at strides 2 and 4. The transformer's maps are normalized, joined at their own stride,
    and enlarged to stride 4, where both parts are fused.

    Args:
        widths: the channels of the transformer's maps.
        detail: whether the decoder has the detail branch.
        channels: the channels `N` of the image.
    """

    def __init__(self, widths: Sequence[int], detail: bool = True, channels: int = 3) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(_ChannelNorm(width), nn.Conv2d(width, _LEVEL_WIDTH, 1))
            for width in widths
        )
        self.join = _convolution(_LEVEL_WIDTH * len(widths), _WIDTH)
        self.detail = None
        if detail:
            half, quarter = _DETAIL_WIDTHS
            self.detail = nn.Sequential(
                _convolution(channels, half, stride=2), _convolution(half, quarter, stride=2)
            )
        self.fuse = _convolution(_WIDTH + _DETAIL_WIDTHS[1] * detail, _WIDTH)
        self.last = _convolution(_WIDTH, _WIDTH)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Compute the map for the heads.

        Args:
            maps: the image `(B, N, H, W)`, whose sides are multiples of 4 and of the patch; then
                maps `(B, D, H / patch, W / patch)`.

        Returns:
            `(B, 128, H / 4, W / 4)`.
        """
        image, *coarse = maps
        joined = self.join(
            torch.cat([level(m) for level, m in zip(self.levels, coarse, strict=True)], dim=1)
        )
        size = [side // STRIDE for side in image.shape[-2:]]
        parts = [F.interpolate(joined, size=size, mode="bilinear", align_corners=False)]
        if self.detail is not None:
            parts.append(self.detail(image))
        fused: Tensor = self.last(self.fuse(torch.cat(parts, dim=1)))
        return fused


class _ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of `(B, D, h, w)`."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
