"""Which encoder a training has, where the settings leave it open; `docs/plan.md` explains it."""

from __future__ import annotations

from semiseg.config.facts import Reason
from semiseg.config.network import BASE_VIT, LIGHT_ENCODER, SMALL_VIT
from semiseg.config.train import TrainConfig

BASE_MEMORY = 15e9
"""The bytes of a GPU for the base size; what is sold with 16 GB has a little less. A css step of
4 + 4 crops of 504 pixels needs at least 8.9 GiB in single precision, with the small size 4.4."""


def encoder_for(
    config: TrainConfig, kind: str, memory: int | None, bf16: bool
) -> tuple[str, Reason]:
    """The encoder for a training on a device, and the reason for it.

    Args:
        config: the settings.
        kind: the kind of device: `cpu`, `cuda` or `mps`.
        memory: the bytes of the memory of the smallest GPU; None if there is none with CUDA.
        bf16: whether the device computes with bfloat16.
    """
    if (preferred := config.settings.preferred_encoder) is not None:
        return preferred, Reason("default", f"the encoder that {config.method} was published with")
    if kind == "cpu":
        text = "a light network; on a CPU, a small vision transformer takes five times as long"
        return LIGHT_ENCODER, Reason("device", text)
    if kind != "cuda":
        text = "semiseg chooses a vision transformer on GPUs with CUDA only"
        return LIGHT_ENCODER, Reason("device", text)
    if config.settings.uses_stored_labels and not config.settings.earlier_stages:
        text = "a light student; what it learns comes from its teacher"
        return LIGHT_ENCODER, Reason("default", text)
    if config.network.weights == "none":
        text = "with --weights none; a vision transformer needs its pretrained weights"
        return LIGHT_ENCODER, Reason("default", text)
    if memory is not None and memory >= BASE_MEMORY and bf16:
        text = f"DINOv2 in the base size, since the GPU has {memory / 1e9:.0f} GB and bfloat16"
        return BASE_VIT, Reason("device", text)
    text = "DINOv2 in the small size; the base size is for GPUs with 16 GB or more and bfloat16"
    return SMALL_VIT, Reason("device", text)
