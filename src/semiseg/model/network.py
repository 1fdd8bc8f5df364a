"""The network: encoder, decoder, a logit head and, for some methods, a representation head."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.config.network import Heads
from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError
from semiseg.core.reading import RGB_CHANNELS
from semiseg.core.types import STRIDE, ColorChannels, Output
from semiseg.model.decoders import (
    DETAIL,
    PAPER_WIDTH,
    decoder_name,
    decoder_options,
    pyramid,
)
from semiseg.model.detail_decoder import DetailDecoder
from semiseg.model.encoders import Normalization, plain_vit_patch, resolve
from semiseg.model.input_channels import load_for_channels
from semiseg.model.metadata import NetworkSpec
from semiseg.model.vit import PlainViT
from semiseg.model.weights import load_weights


class Network(nn.Module):
    """A segmentation network with one or two heads on the decoder's stride-4 map.

    Args:
        classes: number of classes `C`.
        encoder: an encoder of smp or a model of timm.
        decoder: a name of `DECODERS`; `detail` for a plain vision transformer; `auto` for
            `deeplabv3plus` or `detail`, whichever suits the encoder.
        weights: the source of the encoder's weights, see `load_weights`.
        heads: `shared` heads are 1x1 convolutions on the output of the decoder's last 3x3 one.
            `paper` heads have a 3x3 convolution with 256 channels each, on the concatenation (304
            channels) of a DeepLabV3+ whose ASPP has 256 channels and full convolutions.
        output_stride: the encoder's output stride in DeepLabV3+, 8 or 16; None for 16.
        atrous_rates: the three rates of DeepLabV3+'s ASPP; None for those in `DECODERS`.
        drop_path: the share of the residual branches that training drops in the last block of a
            plain vision transformer.
        channels: the channels `N` of an image; three are RGB.
        colors: the channels that are red, green and blue among another number of channels; None if
            there are none, see `adapt_filters`.

    Attributes:
        spec: all that is needed to build the network again.
        stride: images are padded to a multiple of this number of pixels, the coarsest stride.
        weights_record: the weights that the encoder started from.
        classifier: the name of the layer whose outputs are the logits.
        resting: the names of the modules that are not trained, and stay in eval mode.
        mean: `(1, N, 1, 1)`, subtracted from the images.
        std: `(1, N, 1, 1)`, by which the images are divided then.

    Raises:
        ConfigError: unknown names, unavailable weights, or parts that do not fit together.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        classes: int,
        encoder: str = "tf_efficientnet_lite0",
        decoder: str = AUTO,
        weights: str = AUTO,
        heads: Heads = "shared",
        output_stride: int | None = None,
        atrous_rates: Sequence[int] | None = None,
        drop_path: float = 0.0,
        channels: int = RGB_CHANNELS,
        colors: ColorChannels = None,
    ) -> None:
        super().__init__()
        self.resting: tuple[str, ...] = ()
        name = resolve(encoder)
        decoder = decoder_name(decoder, encoder, plain_vit_patch(name) is not None)
        options = decoder_options(decoder, heads, output_stride, atrous_rates)
        self.encoder: nn.Module
        self.decoder: nn.Module
        if drop_path and decoder != DETAIL:
            raise ConfigError(
                f"--drop-path is for vision transformers, and {encoder} is none. Leave it out."
            )

        def build(channels: int) -> tuple[nn.Module, nn.Module]:
            if decoder != DETAIL:
                return pyramid(encoder, name, decoder, options, channels)
            vit = PlainViT(name.removeprefix("tu-"), drop_path, channels)
            return vit, DetailDecoder([vit.width] * len(vit.levels), channels=channels)

        self.encoder, self.decoder = build(channels)
        stride = int(getattr(self.encoder, "output_stride", 32))
        self.stride = math.lcm(stride, STRIDE) if decoder == DETAIL else stride
        if channels == RGB_CHANNELS:
            self.weights_record, norm = load_weights(self.encoder, name, weights)
        else:
            self.weights_record, norm = load_for_channels(
                self.encoder, lambda: build(RGB_CHANNELS)[0], name, weights, channels, colors
            )
        if heads == "paper":  # each head has a 3x3 convolution of its own in place of this one
            self.decoder.block2 = nn.Identity()
        self.width = self._probe(f"The encoder {encoder} with the decoder {decoder}", channels)
        self.classes = classes
        self.head_kind = heads
        self.logit_head: nn.Module = (
            self._head(classes) if heads == "paper" else nn.Conv2d(self.width, classes, 1)
        )
        self.classifier = "logit_head.3" if heads == "paper" else "logit_head"
        self.representation_head: nn.Sequential | None = None
        self.spec = NetworkSpec(
            classes=classes,
            encoder=encoder,
            decoder=decoder,
            heads=heads,
            output_stride=output_stride,
            atrous_rates=None if atrous_rates is None else tuple(atrous_rates),
            channels=channels,
            mean=norm.mean,
            std=norm.std,
        )
        self.set_normalization(norm)

    def set_normalization(self, norm: Normalization) -> None:
        """Set the mean and the standard deviation of the images."""
        # Not in the state dict: the spec holds them, and an EMA has nothing to average.
        device = next(self.logit_head.parameters()).device
        for name, values in (("mean", norm.mean), ("std", norm.std)):
            value = torch.tensor(values, device=device).view(1, -1, 1, 1)
            self.register_buffer(name, value, persistent=False)
        self.spec = replace(self.spec, mean=norm.mean, std=norm.std)

    def normalization(self) -> Normalization:
        """The mean and the standard deviation of the images."""
        return Normalization.of(self.spec.mean, self.spec.std)

    def set_crop(self, crop: int) -> None:
        """Set the side in pixels of the crops that the network is trained on."""
        self.spec = replace(self.spec, crop=crop)

    def train(self, mode: bool = True) -> Network:
        """Switch to train or eval mode; what is not trained stays in eval mode."""
        super().train(mode)
        if mode:
            for name in self.resting:
                self.get_submodule(name).eval()
        return self

    @torch.no_grad()
    def add_to_logits(self, offsets: Tensor) -> None:
        """Add `(C,)` offsets to all future logits."""
        bias = self.get_parameter(f"{self.classifier}.bias")
        bias.add_(offsets.to(bias))

    def _probe(self, names: str, channels: int) -> int:
        """Run the encoder and the decoder once.

        Args:
            names: the names of both, for the error.
            channels: the channels of an image.

        Returns:
            The channels of the decoder's map.

        Raises:
            ConfigError: the network cannot segment a small image, or the map's stride is not 4.
        """
        was_training = self.training
        self.eval()
        side = 2 * self.stride
        with torch.no_grad():
            try:
                features = self.decoder(self.encoder(torch.zeros(1, channels, side, side)))
            except (RuntimeError, AssertionError) as error:
                raise ConfigError(
                    f"{names} cannot segment an image of {side} x {side} pixels ({error}). Choose "
                    "another encoder or decoder."
                ) from error
        self.train(was_training)
        if features.shape[-1] * STRIDE != side:
            raise ConfigError(
                f"{names} gives a map of stride {side // features.shape[-1]}; stride {STRIDE} is "
                "needed. Choose another encoder or decoder."
            )
        return int(features.shape[1])

    def add_representation_head(self, dim: int) -> None:
        """Build the representation head `h` with `dim` output channels.

        With `shared` heads the decoder's last 3x3 convolution serves both, so that 1x1 convolutions
        suffice: on a laptop a head of 3x3 with 256 channels would cost more than the network.
        """
        self.representation_head = self._head(dim)
        self.spec = replace(self.spec, representation_dim=dim)

    def _head(self, channels: int) -> nn.Sequential:
        """Two convolutions; the first one is 3x3 unless the heads share one."""
        width, side = (PAPER_WIDTH, 3) if self.head_kind == "paper" else (self.width, 1)
        return nn.Sequential(
            nn.Conv2d(self.width, width, side, padding=side // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, image: Tensor, features: Sequence[Tensor] = ()) -> Output:
        """Segment a batch.

        Args:
            image: `(B, N, H, W)` float in 0..1, of any size.
            features: the output of `frozen_features` for these images; empty to compute it here.

        Returns:
            Logits `(B, C, ceil(H/4), ceil(W/4))` and representations `(B, D, ...)` or None.
        """
        return self.heads(self.decode(self.encode(image, features), image.shape[-2:]))

    def encode(self, image: Tensor, features: Sequence[Tensor] = ()) -> list[Tensor]:
        """The encoder's maps of a batch.

        Args:
            image: `(B, N, H, W)` float in 0..1, of any size.
            features: the output of `frozen_features` for these images; empty to compute it here.

        Returns:
            The input of the decoder: the images, padded, then `(B, D, h, w)` maps, the finest first
            in a pyramid, and those of all levels at one stride for a vision transformer.
        """
        x = self._normalized(image)
        if not features:
            return list(self.encoder(x))
        if isinstance(self.encoder, PlainViT):
            return list(self.encoder(x, features))
        return [x, *features]

    def decode(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """The decoder's map, the input of the heads.

        Args:
            maps: from `encode`.
            size: height and width `(H, W)` of the images.

        Returns:
            `(B, width, ceil(H/4), ceil(W/4))`.
        """
        joined: Tensor = self.decoder(maps)
        return joined[..., : -(-size[0] // STRIDE), : -(-size[1] // STRIDE)]

    def frozen_features(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute what the frozen part of the encoder gives for a batch.

        Args:
            image: `(B, N, H, W)` float in 0..1, of any size.

        Returns:
            The features for `forward`. Empty if nothing is frozen, or if the encoder cannot go on
            from its frozen part.
        """
        if isinstance(self.encoder, PlainViT):
            return self.encoder.frozen_features(self._normalized(image))
        if any(p.requires_grad for p in self.encoder.parameters()):
            return ()
        return tuple(self.encoder(self._normalized(image))[1:])

    def _normalized(self, image: Tensor) -> Tensor:
        """Images with the mean 0 and the deviation 1, padded to a multiple of the stride."""
        x = (image - self.mean) / self.std
        height, width = image.shape[-2:]
        pad = (-width % self.stride, -height % self.stride)
        return F.pad(x, (0, pad[0], 0, pad[1])) if any(pad) else x  # zero is the mean color

    def heads(self, features: Tensor) -> Output:
        """Apply the heads to the decoder's map `(B, width, h, w)`, see `decode`."""
        head = self.representation_head
        return Output(self.logit_head(features), None if head is None else head(features))


def upsample(maps: Tensor, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Enlarge stride-4 maps with bilinear interpolation.

    Args:
        maps: `(B, C, ceil(h/4), ceil(w/4))`, the output of a network for images of `source` size.
        source: height and width `(h, w)` of those images.
        target: height and width `(H, W)` of the result.

    Returns:
        `(B, C, H, W)`, in single precision at least. If `h` is not a multiple of 4, the last cell
        reaches beyond the image.
    """
    sides = zip(maps.shape[-2:], source, target, strict=True)
    full = [round(m * STRIDE * t / s) for m, s, t in sides]
    # Losses sum over many pixels, which half precision cannot count.
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    large = F.interpolate(maps, size=full, mode="bilinear", align_corners=False)
    return large[..., : target[0], : target[1]]


def flatten(maps: Tensor) -> Tensor:
    """Reshape `(B, D, h, w)` to `(B h w, D)`, without a copy if the maps are channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def rebuild(spec: NetworkSpec) -> Network:
    """Build the untrained network that a specification describes."""
    network = Network(
        spec.classes,
        spec.encoder,
        spec.decoder,
        "none",
        heads=spec.heads,
        output_stride=spec.output_stride,
        atrous_rates=spec.atrous_rates,
        channels=spec.channels,
    )
    network.set_normalization(Normalization.of(spec.mean, spec.std))
    if spec.representation_dim is not None:
        network.add_representation_head(spec.representation_dim)
    if spec.crop is not None:
        network.set_crop(spec.crop)
    return network
