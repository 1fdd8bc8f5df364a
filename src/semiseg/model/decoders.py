"""The decoders by name, what their options are, and which encoders they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict, get_args

import segmentation_models_pytorch as smp
from torch import nn

from semiseg.config.network import Heads
from semiseg.config.settings import AUTO
from semiseg.core.errors import ConfigError, nearest


class DecoderOptions(TypedDict):
    """The options of smp's decoders that differ from their defaults."""

    decoder_channels: NotRequired[int]
    decoder_atrous_rates: NotRequired[tuple[int, ...]]
    decoder_aspp_separable: NotRequired[bool]
    encoder_output_stride: NotRequired[int]


DECODERS: dict[str, DecoderOptions] = {
    # Rates of 12/24/36 would exceed the 14 x 14 map of a small crop; 128 channels instead of 256
    # make a step a quarter faster.
    "deeplabv3plus": {"decoder_channels": 128, "decoder_atrous_rates": (6, 12, 18)},
    "fpn": {},
    "upernet": {},
    "segformer": {},
}
"""The decoders whose last map has stride 4, with the options that semiseg sets."""

DETAIL = "detail"
"""The decoder for plain vision transformers; see `DetailDecoder`."""

PAPER_WIDTH = 256
"""The channels of the ASPP and of the heads with `--heads paper`."""


def decoder_name(decoder: str, encoder: str, plain_vit: bool) -> str:
    """The decoder by its name; `auto` is the one that suits the encoder.

    Raises:
        ConfigError: the two do not fit together.
    """
    if decoder == AUTO:
        return DETAIL if plain_vit else "deeplabv3plus"
    if plain_vit and decoder != DETAIL and decoder in DECODERS:
        raise ConfigError(
            f"The decoder {decoder} needs maps of several strides, but the encoder {encoder} is a "
            f"vision transformer with one stride. Use --decoder {DETAIL}, or leave --decoder out."
        )
    if decoder == DETAIL and not plain_vit:
        raise ConfigError(
            f"The decoder {DETAIL} is for vision transformers, and {encoder} is none. Leave "
            "--decoder out, or choose another encoder."
        )
    return decoder


def pyramid(
    encoder: str, name: str, decoder: str, options: DecoderOptions, channels: int
) -> tuple[nn.Module, nn.Module]:
    """An encoder with maps of several strides, and a decoder for them.

    Raises:
        ConfigError: the two do not fit together.
    """
    try:
        model = smp.create_model(
            decoder,
            encoder_name=name,
            encoder_weights=None,
            in_channels=channels,
            classes=1,
            **options,
        )
    except Exception as error:  # smp and its parts raise many kinds
        raise ConfigError(
            f"The encoder {encoder} does not fit the decoder {decoder} ({error}). Choose "
            "another of the two."
        ) from error
    return model.encoder, model.decoder


def decoder_options(
    decoder: str, heads: str, output_stride: int | None, atrous_rates: Sequence[int] | None
) -> DecoderOptions:
    """The options for smp's constructor of the decoder.

    Raises:
        ConfigError: an option is unknown, or is not for this decoder.
    """
    names = (*DECODERS, DETAIL)
    if decoder not in names:
        raise ConfigError(f"There is no decoder '{decoder}'. {nearest(decoder, names)}")
    if heads not in get_args(Heads):
        raise ConfigError(f"There are no heads '{heads}'. {nearest(heads, get_args(Heads))}")
    special = {
        "--heads paper": heads == "paper",
        "--output-stride": output_stride,
        "--atrous-rates": atrous_rates,
    }
    flags = [flag for flag, value in special.items() if value]
    if flags and decoder != "deeplabv3plus":
        raise ConfigError(f"{flags[0]} is for --decoder deeplabv3plus, not for {decoder}.")
    if output_stride not in (None, 8, 16):
        raise ConfigError(f"--output-stride {output_stride} cannot be built; choose 8 or 16.")
    if decoder == DETAIL:
        return {}
    options = DECODERS[decoder].copy()
    if heads == "paper":
        options["decoder_channels"] = PAPER_WIDTH
        options["decoder_aspp_separable"] = False
    if output_stride is not None:
        options["encoder_output_stride"] = output_stride
    if atrous_rates is not None:
        options["decoder_atrous_rates"] = tuple(atrous_rates)
    return options
