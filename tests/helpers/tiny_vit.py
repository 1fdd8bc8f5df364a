"""Vision transformers of four blocks that timm builds by name; importing this registers them."""

from __future__ import annotations

from timm.models import register_model
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

TINY_VIT = "semiseg_tiny_vit_patch14"
"""Learned positions and a class token, as DINOv2."""
TINY_EVA = "semiseg_tiny_eva_patch16"
"""Rotary positions, a class token and registers, as DINOv3."""

_SIZES = {"embed_dim": 32, "depth": 4, "num_heads": 2}


@register_model
def semiseg_tiny_vit_patch14(pretrained: bool = False, **kwargs: object) -> VisionTransformer:
    kwargs.pop("pretrained_cfg", None), kwargs.pop("pretrained_cfg_overlay", None)
    kwargs.pop("cache_dir", None)
    return VisionTransformer(img_size=56, patch_size=14, init_values=1.0, **_SIZES, **kwargs)


@register_model
def semiseg_tiny_eva_patch16(pretrained: bool = False, **kwargs: object) -> Eva:
    for key in ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"):
        kwargs.pop(key, None)
    return Eva(
        img_size=64,
        patch_size=16,
        num_reg_tokens=2,
        use_abs_pos_emb=False,
        use_rot_pos_emb=True,
        rope_type="dinov3",
        **_SIZES,
        **kwargs,
    )
