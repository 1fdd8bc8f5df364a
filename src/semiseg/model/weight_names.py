"""The names that other programs give to the tensors of an encoder, and their names in timm."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

State = dict[str, Tensor]
Rules = Sequence[tuple[str, str]]
"""Patterns of names and their replacements, in the order of their use."""

_AVERAGES = ("teacher", "ema")  # of two networks in a file, the average is the better one

_TRANSFORMERS_VIT: Rules = (
    (r"^embeddings\.(cls_token|mask_token|register_tokens)$", r"\1"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^encoder\.layer\.", "blocks."),
    (r"\.attention\.attention\.(q|k|v)(?:uery|ey|alue)\.", r".attn.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(blocks\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
    (r"\.mlp\.weights_in\.", ".mlp.w12."),
    (r"\.mlp\.weights_out\.", ".mlp.w3."),
    (r"^layernorm\.", "norm."),
)
_TRANSFORMERS_DINOV3: Rules = (
    (r"^embeddings\.(cls_token|mask_token)$", r"\1"),
    (r"^embeddings\.register_tokens$", "storage_tokens"),
    (r"^embeddings\.patch_embeddings\.", "patch_embed.proj."),
    (r"^(?:model\.)?layer\.", "blocks."),
    (r"\.attention\.(q|k|v)_proj\.", r".attn.\1."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
)
_GATED_MLP: Rules = (
    (r"\.mlp\.gate_proj\.", ".mlp.w1."),
    (r"\.mlp\.up_proj\.", ".mlp.w2."),
    (r"\.mlp\.down_proj\.", ".mlp.w3."),
)
_PLAIN_MLP: Rules = (
    (r"\.mlp\.up_proj\.", ".mlp.fc1."),
    (r"\.mlp\.down_proj\.", ".mlp.fc2."),
)
_TRANSFORMERS_CONVNEXT: Rules = (
    (r"^(?:model\.)?stages\.(\d+)\.layers\.(\d+)\.", r"stages.\1.\2."),
    (r"^(?:model\.)?stages\.(\d+)\.downsample_layers\.(\d+)\.", r"downsample_layers.\1.\2."),
    (r"\.depthwise_conv\.", ".dwconv."),
    (r"\.pointwise_conv(\d)\.", r".pwconv\1."),
    (r"layer_norm\.", "norm."),
)
_TORCHVISION_VIT: Rules = (
    (r"^class_token$", "cls_token"),
    (r"^encoder\.pos_embedding$", "pos_embed"),
    (r"^conv_proj\.", "patch_embed.proj."),
    (r"^encoder\.layers\.encoder_layer_", "blocks."),
    (r"\.ln_(\d)\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", ".attn.qkv."),
    (r"\.self_attention\.out_proj\.", ".attn.proj."),
    (r"\.mlp\.(?:linear_1|0)\.", ".mlp.fc1."),
    (r"\.mlp\.(?:linear_2|3)\.", ".mlp.fc2."),
    (r"^encoder\.ln\.", "norm."),
)
_TORCHVISION_CONVNEXT: Rules = (
    (r"^features\.0\.", "stem."),
    (r"\.layer_scale$", ".gamma"),
    (r"\.block\.0\.", ".conv_dw."),
    (r"\.block\.2\.", ".norm."),
    (r"\.block\.3\.", ".mlp.fc1."),
    (r"\.block\.5\.", ".mlp.fc2."),
    (r"^classifier\.0\.", "head.norm."),
)


class Layout(NamedTuple):
    """How another program names the tensors of its networks.

    Attributes:
        anchor: the end of a name that no other layout has.
        convert: gives the tensors their names in timm, or names that timm's own filter knows.
        prefix: what stands before the names in a file.
    """

    anchor: str
    convert: Callable[[State], State]
    prefix: str = ""


def rename(state: Mapping[str, Tensor], rules: Rules) -> State:
    """Apply the rules to all names, one after the other."""
    renamed = {}
    for name, value in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def _join_attention(state: State) -> State:
    """Join `attn.q`, `attn.k` and `attn.v` to `attn.qkv`. DINOv3 has no bias for `k`: it is 0."""
    joined = {k: v for k, v in state.items() if not re.search(r"\.attn\.[qkv]\.", k)}
    for name, query in state.items():
        if ".attn.q." in name:
            key, value = (state.get(name.replace(".attn.q.", f".attn.{x}.")) for x in "kv")
            parts = [torch.zeros_like(query) if x is None else x for x in (query, key, value)]
            joined[name.replace(".attn.q.", ".attn.qkv.")] = torch.cat(parts)
    return joined


def _from_transformers_vit(state: State) -> State:
    return _join_attention(rename(state, _TRANSFORMERS_VIT))


def _from_transformers_dinov3(state: State) -> State:
    is_gated = any(".mlp.gate_proj." in name for name in state)
    mlp = _GATED_MLP if is_gated else _PLAIN_MLP
    return _join_attention(rename(state, (*_TRANSFORMERS_DINOV3, *mlp)))


def _from_torchvision_convnext(state: State) -> State:
    renamed = {}
    for name, value in rename(state, _TORCHVISION_CONVNEXT).items():
        if match := re.match(r"features\.(\d)\.(.*)", name):
            stage, rest = int(match[1]), match[2]  # stages alternate with downsampling
            kind = "blocks" if stage % 2 else "downsample"
            name = f"stages.{stage // 2}.{kind}.{rest}"
        renamed[name] = value.flatten() if name.endswith(".gamma") else value
    return renamed


LAYOUTS = (
    Layout("embeddings.patch_embeddings.projection.weight", _from_transformers_vit),  # and DINOv2
    Layout("embeddings.patch_embeddings.weight", _from_transformers_dinov3),
    Layout(
        "stages.0.downsample_layers.0.weight", lambda state: rename(state, _TRANSFORMERS_CONVNEXT)
    ),
    Layout("conv_proj.weight", lambda state: rename(state, _TORCHVISION_VIT)),
    Layout("features.1.0.layer_scale", _from_torchvision_convnext),
    Layout("downsample_layers.0.0.weight", lambda state: state),  # Meta's ConvNeXt
)
"""The layouts that need more than timm's own filter. Meta's ViTs need the filter alone."""


def find_layout(state: Mapping[str, Tensor]) -> Layout | None:
    """The layout of a file, with what stands before its names; None if timm's filter suffices."""
    for layout in LAYOUTS:
        prefixes = Counter(
            name.removesuffix(layout.anchor)
            for name in state
            if name == layout.anchor or name.endswith(f".{layout.anchor}")
        )
        if prefixes:
            return layout._replace(prefix=best_prefix(prefixes))
    return None


def flat(name: str) -> str:
    """A name without dots: smp's encoders have `stages_0` for timm's `stages.0`."""
    return name.replace(".", "_")


def find_prefixes(state: Iterable[str], names: Iterable[str]) -> Counter[str]:
    """What stands before the names of an encoder in a file, with the number of such names."""
    ends = {flat(name) for name in names}
    prefixes: Counter[str] = Counter()
    for name in state:
        whole = flat(name)
        starts = [0, *(i + 1 for i, letter in enumerate(whole) if letter == "_")]
        prefixes.update(name[:i] for i in starts if whole[i:] in ends)
    return prefixes


def best_prefix(prefixes: Mapping[str, int]) -> str:
    """The prefix of most names; of equal ones that of an average of networks, then the shortest."""

    def rank(prefix: str) -> tuple[int, bool, int]:
        return prefixes[prefix], any(word in prefix for word in _AVERAGES), -len(prefix)

    return max(prefixes, key=rank, default="")


def strip(state: Mapping[str, Tensor], prefix: str) -> State:
    """The tensors whose names start with the prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def unchunk(state: State) -> State:
    """Remove the number of the chunk from `blocks.CHUNK.BLOCK.`, as DINOv2's training writes it."""
    return rename(state, [(r"^blocks\.\d+\.(\d+)\.(?=norm|attn|mlp|ls)", r"blocks.\1.")])
