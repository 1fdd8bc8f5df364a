"""Plain vision transformers: encoders whose maps all have the stride of one patch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import timm
import torch
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from semiseg.core.errors import ConfigError

LEVELS = 4
"""The number of blocks, evenly spread, whose outputs the decoder gets."""

_Grid: TypeAlias = tuple[int, int]


@functools.cache
def patch_of(name: str) -> int | None:
    """The side of a patch in pixels of a plain vision transformer of timm.

    Args:
        name: a model of timm, with or without the tag of its weights.

    Returns:
        The side; None for a model whose maps have several strides, or that has no blocks.
    """
    with torch.device("meta"):
        model: Any = timm.create_model(name, pretrained=False)
    reductions = {info["reduction"] for info in getattr(model, "feature_info", ())}
    plain = len(reductions) == 1 and hasattr(model, "blocks") and len(model.blocks) >= LEVELS
    if not plain or not hasattr(model, "prune_intermediate_layers"):
        return None
    return int(reductions.pop())


class PlainViT(nn.Module):
    """A vision transformer of timm as an encoder.

    Its first blocks may be frozen. Their output can be computed once (`frozen_features`) and given
    to `forward`, which then runs the other blocks only.

    Args:
        name: a model of timm for which `patch_of` gives a patch.
        drop_path: the share of the residual branches that training drops in the last block
            (stochastic depth). The share grows linearly from 0 in the first block.
        channels: the channels `N` of an image.

    Attributes:
        model: timm's model, without its head and its last norm.
        patch: the side of a patch in pixels, the stride of all maps.
        width: the channels `D` of a token.
        depth: the number of blocks.
        levels: the indices of the blocks whose outputs the decoder gets.
        prefix_tokens: the number `P` of tokens that are no patches (class token, registers).
        splittable: whether `forward` can continue in the middle of the blocks.
        frozen_blocks: the number of first blocks that are frozen, with all that is before them.
        checkpointing: whether training computes activations again in the backward pass instead of
            keeping them.

    Raises:
        ConfigError: the model takes images of one size only.
    """

    def __init__(self, name: str, drop_path: float = 0.0, channels: int = 3) -> None:
        super().__init__()
        self.model = _create(name, drop_path, channels)
        self.depth = len(self.model.blocks)
        self.levels = tuple(self.depth * (i + 1) // LEVELS - 1 for i in range(LEVELS))
        self.model.prune_intermediate_layers(list(self.levels), prune_norm=True, prune_head=True)
        self.patch = int(self.model.feature_info[0]["reduction"])
        self.width = int(self.model.num_features)
        self.prefix_tokens = int(getattr(self.model, "num_prefix_tokens", 0))
        self.splittable = isinstance(self.model, VisionTransformer | Eva)
        self.frozen_blocks = 0
        self.checkpointing = False

    @property
    def output_stride(self) -> int:
        """The stride of all maps, in pixels."""
        return self.patch

    def forward(self, image: Tensor, features: Sequence[Tensor] = ()) -> list[Tensor]:
        """Compute the maps of a batch.

        Args:
            image: `(B, N, H, W)`, normalized; both sides are multiples of the patch.
            features: the output of `frozen_features` for these images; empty to compute it here.

        Returns:
            The image itself, then a map `(B, D, H / patch, W / patch)` of each level.
        """
        if not self.splittable:
            return [image, *(features or self._levels_of_timm(image))]
        return [image, *self._last_blocks(features or self._first_blocks(image))]

    def frozen_features(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute what the frozen blocks give.

        Args:
            image: as for `forward`.

        Returns:
            The maps `(B, D, h, w)` of the levels within the frozen blocks. Unless all blocks are
            frozen, the tokens after the last frozen one follow: a map `(B, D, h, w)`, and the
            prefix tokens `(B, P, D)` if there are any. Empty if no block is frozen, or if this
            model cannot be split there.
        """
        if not self.frozen_blocks:
            return ()
        if self.splittable:
            return self._first_blocks(image)
        whole = self.frozen_blocks == self.depth
        return tuple(self._levels_of_timm(image)) if whole else ()

    def block_number(self, parameter: str) -> int:
        """The block of a parameter by its name in `model`, counted from 1; 0 before the blocks."""
        parts = parameter.split(".")
        return int(parts[1]) + 1 if parts[0] == "blocks" else 0

    def _levels_of_timm(self, image: Tensor) -> list[Tensor]:
        """The maps of all levels as timm computes them."""
        maps: list[Tensor] = self.model.forward_intermediates(
            image, indices=list(self.levels), intermediates_only=True
        )
        return maps

    def _first_blocks(self, image: Tensor) -> tuple[Tensor, ...]:
        """Run the patch embedding and the frozen blocks; see `frozen_features`."""
        tokens = self.model.patch_embed(image)
        grid = image.shape[-2] // self.patch, image.shape[-1] // self.patch
        tokens, rope = self._add_positions(tokens)
        tokens = self.model.norm_pre(tokens)
        tokens, maps = self._run(tokens, rope, grid, range(self.frozen_blocks))
        if self.frozen_blocks == self.depth:
            return tuple(maps)
        prefix = tokens[:, : self.prefix_tokens]
        state = self._map(tokens, grid)
        if self.frozen_blocks - 1 in self.levels:
            maps.pop()  # it is the state
        return (*maps, state, prefix) if self.prefix_tokens else (*maps, state)

    def _last_blocks(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Run the blocks after the frozen ones; the maps of all levels."""
        if self.frozen_blocks == self.depth:
            return list(features)
        maps = list(features)
        prefix = maps.pop() if self.prefix_tokens else None
        state = maps[-1] if self.frozen_blocks - 1 in self.levels else maps.pop()
        grid = state.shape[-2], state.shape[-1]
        tokens = state.flatten(2).transpose(1, 2)
        if prefix is not None:
            tokens = torch.cat([prefix, tokens], dim=1)
        rope = self._rope(grid, tokens)
        blocks = range(self.frozen_blocks, self.depth)
        return maps + self._run(tokens, rope, grid, blocks)[1]

    def _run(
        self, tokens: Tensor, rope: Tensor | None, grid: _Grid, blocks: range
    ) -> tuple[Tensor, list[Tensor]]:
        """Run some blocks; the tokens after them, and the maps of the levels among them."""
        maps = []
        per_block = getattr(self.model, "rope_mixed", False)
        for i in blocks:
            block = self.model.blocks[i]
            if rope is not None:
                block = functools.partial(block, rope=rope[i] if per_block else rope)
            if self.checkpointing and self.training and torch.is_grad_enabled():
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
            if i in self.levels:
                maps.append(self._map(tokens, grid))
        return tokens, maps

    def _map(self, tokens: Tensor, grid: _Grid) -> Tensor:
        """The tokens of the patches as a map `(B, D, h, w)`."""
        patches = tokens[:, self.prefix_tokens :].transpose(1, 2)
        return patches.reshape(tokens.shape[0], self.width, *grid)

    def _add_positions(self, patches: Tensor) -> tuple[Tensor, Tensor | None]:
        """The tokens with their positions, prefix tokens first, and the rotary embedding."""
        tokens = self.model._pos_embed(patches)
        return tokens if isinstance(tokens, tuple) else (tokens, None)

    def _rope(self, grid: _Grid, like: Tensor) -> Tensor | None:
        """The rotary embedding of a grid of patches; None for a model without one."""
        if getattr(self.model, "rope", None) is None:
            return None
        return self._add_positions(like.new_zeros(1, *grid, self.width))[1]


def _create(name: str, drop_path: float, channels: int) -> Any:  # noqa: ANN401 - the transformers share no class
    """Build the model of timm for images of any size.

    Raises:
        ConfigError: the model takes images of one size only.
    """
    options: dict[str, Any] = {"num_classes": 0, "drop_path_rate": drop_path, "in_chans": channels}
    try:
        return timm.create_model(name, dynamic_img_size=True, **options)
    except TypeError:  # NaFlexViT and SAM's encoder take images of any size without this option
        model = timm.create_model(name, **options)
    if getattr(getattr(model, "patch_embed", None), "strict_img_size", False):
        raise ConfigError(
            f"The encoder {name} takes images of one size only. Choose a vision transformer that "
            "takes any size, such as vit_small_patch14_dinov2."
        )
    return model
