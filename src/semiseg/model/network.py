"""The network: encoder, decoder, a logit head and, where a method asks, a representation head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semiseg.core.errors import ConfigError, nearest
from semiseg.core.types import STRIDE, Output
from semiseg.model.encoders import Normalization, load_weights, resolve

DECODERS: dict[str, dict[str, Any]] = {
    # Rates of 12/24/36 would exceed the 14 x 14 map of a small crop; 128 channels instead of 256
    # take a quarter off the time of a step.
    "deeplabv3plus": {"decoder_channels": 128, "decoder_atrous_rates": (6, 12, 18)},
    "fpn": {},
    "upernet": {},
    "segformer": {},
}
"""The decoders whose last map has stride 4, with what we set other than their defaults."""

Heads = Literal["shared", "paper"]
_PAPER_WIDTH = 256


class Network(nn.Module):
    """A segmentation network with one or two heads on the decoder's stride-4 map.

    Args:
        classes: number of classes `C`.
        encoder: an encoder of smp or a model of timm.
        decoder: a name of `DECODERS`.
        weights: the source of the encoder's weights, see `load_weights`.
        heads: `shared`, 1x1 convolutions on the decoder's last 3x3 one; or `paper`, heads of a
            3x3-256 convolution each, on the concatenation (304 channels) of a DeepLabV3+ whose
            ASPP has 256 full convolutions.
        output_stride: of the encoder in DeepLabV3+, 8 or 16; 16 if not given.
        atrous_rates: the three rates of DeepLabV3+'s ASPP; `DECODERS`' if not given.

    Attributes:
        classifier: the name of the layer whose outputs are the logits.

    Raises:
        ConfigError: unknown names, weights that cannot be had, or parts that do not fit together.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        classes: int,
        encoder: str = "tf_efficientnet_lite0",
        decoder: str = "deeplabv3plus",
        weights: str = "auto",
        heads: Heads = "shared",
        output_stride: int | None = None,
        atrous_rates: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        options = _decoder_options(decoder, heads, output_stride, atrous_rates)
        name = resolve(encoder)
        try:
            model = smp.create_model(
                decoder, encoder_name=name, encoder_weights=None, classes=1, **options
            )
        except Exception as error:  # smp raises what its parts raise
            raise ConfigError(
                f"The encoder {encoder} does not fit the decoder {decoder} ({error}). Choose "
                "another of the two."
            ) from error
        self.encoder, self.decoder = model.encoder, model.decoder
        self.weights_source, norm = load_weights(self.encoder, name, weights)
        self.stride = int(getattr(self.encoder, "output_stride", 32))
        if heads == "paper":  # each head has a 3x3 convolution of its own in place of this one
            self.decoder.block2 = nn.Identity()
        self.width = self._probe(f"The encoder {encoder} with the decoder {decoder}")
        self.classes = classes
        self.head_kind = heads
        self.logit_head: nn.Module = (
            self._head(classes) if heads == "paper" else nn.Conv2d(self.width, classes, 1)
        )
        self.classifier = "logit_head.3" if heads == "paper" else "logit_head"
        self.representation_head: nn.Sequential | None = None
        self.spec: dict[str, Any] = {"classes": classes, "encoder": encoder, "decoder": decoder}
        shape = {"heads": heads, "output_stride": output_stride, "atrous_rates": atrous_rates}
        self.spec.update({k: v for k, v in shape.items() if v not in (None, "shared")})
        self.set_normalization(norm)

    def set_normalization(self, norm: Normalization) -> None:
        """Set what is subtracted from the images and what they are divided by."""
        # Not in the state dict: the spec carries them, and an average has nothing to average.
        device = next(self.logit_head.parameters()).device
        for name, values in (("mean", norm.mean), ("std", norm.std)):
            value = torch.tensor(values, device=device).view(1, 3, 1, 1)
            self.register_buffer(name, value, persistent=False)
        self.spec.update(mean=list(norm.mean), std=list(norm.std))

    def normalization(self) -> Normalization:
        """What is subtracted from the images and what they are divided by."""
        return Normalization(tuple(self.spec["mean"]), tuple(self.spec["std"]))

    @torch.no_grad()
    def add_to_logits(self, offsets: Tensor) -> None:
        """Change the network so that all its logits are larger by `(C,)` from now on."""
        bias = self.get_parameter(f"{self.classifier}.bias")
        bias.add_(offsets.to(bias))

    def _probe(self, names: str) -> int:
        """The channels of the decoder's map; its stride is checked on the way."""
        was_training = self.training
        self.eval()
        side = 2 * self.stride
        with torch.no_grad():
            try:
                features = self.decoder(self.encoder(torch.zeros(1, 3, side, side)))
            except RuntimeError as error:
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

        With `shared` heads the decoder's last 3x3 convolution serves both, so that 1x1 ones
        suffice: at laptop scale a 3x3-256 head would cost more than the network.
        """
        self.representation_head = self._head(dim)
        self.spec["representation_dim"] = dim

    def _head(self, channels: int) -> nn.Sequential:
        """Two convolutions, the first of 3x3 where no other is shared."""
        width, side = (_PAPER_WIDTH, 3) if self.head_kind == "paper" else (self.width, 1)
        return nn.Sequential(
            nn.Conv2d(self.width, width, side, padding=side // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, image: Tensor) -> Output:
        """Segment a batch.

        Args:
            image: `(B, 3, H, W)` float in 0..1, of any size.

        Returns:
            Logits `(B, C, ceil(H/4), ceil(W/4))` and representations `(B, D, ...)` or None.
        """
        x = (image - self.mean) / self.std
        height, width = image.shape[-2:]
        pad = (-width % self.stride, -height % self.stride)
        if any(pad):
            x = F.pad(x, (0, pad[0], 0, pad[1]))  # zero is the mean color
        features = self.decoder(self.encoder(x))
        return self.heads(features[..., : -(-height // STRIDE), : -(-width // STRIDE)])

    def heads(self, features: Tensor) -> Output:
        """What the heads make of the decoder's map `(B, width, h, w)`."""
        head = self.representation_head
        return Output(self.logit_head(features), None if head is None else head(features))


def _decoder_options(
    decoder: str, heads: str, output_stride: int | None, atrous_rates: Sequence[int] | None
) -> dict[str, Any]:
    """What smp's constructor of the decoder is given."""
    if decoder not in DECODERS:
        raise ConfigError(f"There is no decoder '{decoder}'. {nearest(decoder, DECODERS)}")
    if heads not in get_args(Heads):
        raise ConfigError(f"There are no heads '{heads}'. {nearest(heads, get_args(Heads))}")
    asked = [
        name
        for name, given in (
            ("--heads paper", heads == "paper"),
            ("--output-stride", output_stride),
            ("--atrous-rates", atrous_rates),
        )
        if given
    ]
    if asked and decoder != "deeplabv3plus":
        raise ConfigError(f"{asked[0]} is for --decoder deeplabv3plus, not for {decoder}.")
    if output_stride not in (None, 8, 16):
        raise ConfigError(f"--output-stride {output_stride} cannot be built; choose 8 or 16.")
    options = dict(DECODERS[decoder])
    if heads == "paper":
        options |= {"decoder_channels": _PAPER_WIDTH, "decoder_aspp_separable": False}
    if output_stride is not None:
        options["encoder_output_stride"] = output_stride
    if atrous_rates is not None:
        options["decoder_atrous_rates"] = tuple(atrous_rates)
    return options


def upsample(maps: Tensor, source: Sequence[int], target: Sequence[int]) -> Tensor:
    """Bilinear enlargement of stride-4 maps.

    Args:
        maps: `(B, C, ceil(h/4), ceil(w/4))`, what a network gave for images of `source` size.
        source: height and width `(h, w)` of those images.
        target: height and width `(H, W)` of the picture they were scaled from.

    Returns:
        `(B, C, H, W)`. Where `h` is no multiple of 4 the last cell reaches beyond the picture.
    """
    sides = zip(maps.shape[-2:], source, target, strict=True)
    full = [round(m * STRIDE * t / s) for m, s, t in sides]
    large = F.interpolate(maps, size=full, mode="bilinear", align_corners=False)
    return large[..., : target[0], : target[1]]


def flatten(maps: Tensor) -> Tensor:
    """`(B, D, h, w)` as `(B h w, D)`; a view where the maps are channels-last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def rebuild(spec: Mapping[str, Any]) -> Network:
    """The untrained network that a saved `Network.spec` describes."""
    shape = {k: spec[k] for k in ("heads", "output_stride", "atrous_rates") if k in spec}
    network = Network(spec["classes"], spec["encoder"], spec["decoder"], "none", **shape)
    network.set_normalization(Normalization(tuple(spec["mean"]), tuple(spec["std"])))
    if "representation_dim" in spec:
        network.add_representation_head(spec["representation_dim"])
    if "crop" in spec:
        network.spec["crop"] = spec["crop"]
    return network
