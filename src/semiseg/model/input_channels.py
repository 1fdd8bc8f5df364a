"""Encoders for images with other channels than RGB: their first layer and their normalization."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from semiseg.core.errors import ConfigError
from semiseg.core.types import RGB, ColorChannels
from semiseg.model.encoders import Normalization
from semiseg.model.metadata import WeightsRecord
from semiseg.model.weight_fitting import Misfit
from semiseg.model.weights import encoder_sha256, load_weights

_COLORS = len(RGB)


def load_for_channels(
    encoder: nn.Module,
    build_rgb: Callable[[], nn.Module],
    name: str,
    source: str,
    channels: int,
    colors: ColorChannels,
) -> tuple[WeightsRecord, Normalization]:
    """Load weights into an encoder whose images have other channels than RGB.

    Weights of RGB get filters for each channel, see `adapt_filters`. Weights of as many channels as
    the encoder has are loaded as they are.

    Args:
        encoder: the encoder, with random weights.
        build_rgb: builds the same encoder for RGB.
        name: its name as `resolve` gives it.
        source: as for `load_weights`.
        channels: the channels of its images.
        colors: the channels that are red, green and blue; None if there are none.

    Returns:
        Where the weights come from, and the normalization of each channel.

    Raises:
        ConfigError: the source is missing or does not fit, or the encoder takes RGB only.
        HubError: the hub cannot be reached, or does not give the weights.
    """
    if source == "none":
        record, norm = load_weights(encoder, name, source)
        return record, adapt_normalization(norm, channels, colors)
    rgb = build_rgb()
    try:
        record, norm = load_weights(rgb, name, source)
    except ConfigError as error:
        if not isinstance(error.__cause__, Misfit):
            raise
        try:
            record, norm = load_weights(encoder, name, source)
        except ConfigError:
            raise error from error.__cause__
        return record, adapt_normalization(norm, channels, colors)
    own, state = encoder.state_dict(), rgb.state_dict()
    for key, value in state.items():
        if value.shape != own[key].shape:
            if value.ndim != 4 or value.shape[1] % _COLORS:
                raise ConfigError(
                    f"The weights {key} are for images of three channels and cannot be adapted to "
                    f"{channels}. Choose another --encoder, --weights none, or --bands 3,2,1."
                )
            state[key] = adapt_filters(value, channels, colors)
    encoder.load_state_dict(state)
    origin = f"{record.source}, with filters for {channels} channels"
    record = WeightsRecord(origin, record.license, encoder_sha256(encoder))
    return record, adapt_normalization(norm, channels, colors)


def adapt_filters(filters: Tensor, channels: int, colors: ColorChannels) -> Tensor:
    """Filters for other channels from those for RGB.

    The channels of red, green and blue keep their filters, and every other channel gets the mean of
    them. Without colors the three filters are repeated. All of them are scaled as timm's
    `adapt_input_conv` does, so that the activations keep their size.

    Args:
        filters: `(O, 3 G, h, w)`: `G` groups of three, the colors of a group beside each other.
        channels: the number of channels `N`.
        colors: the channels that are red, green and blue.

    Returns:
        `(O, N G, h, w)`.

    Example:
        >>> ones = torch.ones(2, 3, 1, 1)
        >>> adapt_filters(ones, 5, (2, 1, 0)).sum(1).flatten().tolist()
        [3.0, 3.0]
    """
    outputs, inputs, *sides = filters.shape
    grouped = filters.float().reshape(outputs, inputs // _COLORS, _COLORS, *sides)
    if colors is None:
        repeats = math.ceil(channels / _COLORS)
        adapted = grouped.repeat(1, 1, repeats, 1, 1)[:, :, :channels]
    else:
        adapted = grouped.mean(dim=2, keepdim=True).repeat(1, 1, channels, 1, 1)
        adapted[:, :, list(colors)] = grouped
    scaled = adapted * (_COLORS / channels)
    return scaled.reshape(outputs, -1, *sides).to(filters.dtype)


def adapt_normalization(norm: Normalization, channels: int, colors: ColorChannels) -> Normalization:
    """The normalization for other channels: the mean of the three colors for what is no color.

    Args:
        norm: of three channels, or of all of them already.
        channels: the number of channels.
        colors: the channels that are red, green and blue.
    """
    if len(norm.mean) == channels:
        return norm
    values = []
    for rgb in norm:
        adapted = torch.full((channels,), sum(rgb) / len(rgb), dtype=torch.float64)
        if colors is not None:
            adapted[list(colors)] = torch.tensor(rgb, dtype=torch.float64)
        values.append(adapted.tolist())
    return Normalization.of(*values)
