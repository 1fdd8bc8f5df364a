"""What a frozen pretrained encoder sees in whole images: one vector for each image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from semiseg.core.console import progress
from semiseg.core.errors import DataError
from semiseg.core.reading import Reading
from semiseg.data.formats.image_bytes import ImageSource
from semiseg.data.formats.images import read_image
from semiseg.data.read_ahead import read_ahead
from semiseg.model.network import Network
from semiseg.suggestion.ranking import Features

_SIDE = 224  # of the short side of an image for the encoder, in pixels
_MAX_RATIO = 4  # of the long side to the short one; a longer panorama is squeezed


def describe_images(
    network: Network, images: Mapping[str, Path], reading: Reading, device: str = "cpu"
) -> tuple[dict[str, Features], list[DataError]]:
    """Describe images by the last map of an encoder: the mean and the deviation of each channel.

    Each image is computed alone, so that its vector depends on no other image. One image after
    another is decoded and reduced, so the memory does not grow with their number.

    Args:
        network: its encoder is used, in eval mode.
        images: the image files by name.
        reading: how images are read, see `read_image`.
        device: the device, as torch names it.

    Returns:
        The vectors `(D,)` of the images that could be read, by name, and the errors of the others.
    """
    network = network.to(device).eval()
    vectors: dict[str, Features] = {}
    errors: list[DataError] = []

    def read(file: Path) -> NDArray[np.uint8] | DataError:
        try:
            return read_reduced(file, reading, network.stride)
        except DataError as error:
            return error

    contents = read_ahead(read, images.values())
    with progress("suggest") as bar:
        bar.update(total=len(images))
        for count, (name, pixels) in enumerate(zip(images, contents, strict=True), 1):
            bar.update(completed=count)
            if isinstance(pixels, DataError):
                errors.append(pixels)
            else:
                vectors[name] = describe_pixels(network, pixels, device)
    return vectors, errors


@torch.inference_mode()
def describe_pixels(network: Network, pixels: NDArray[np.uint8], device: str = "cpu") -> Features:
    """The mean and the deviation of each channel of the encoder's last map, `(2 D,)`.

    Args:
        network: its encoder is used; in eval mode, on the device.
        pixels: `(H, W, 3)`, from `read_reduced`.
        device: the device, as torch names it.
    """
    image = torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None] / 255
    return _describe(network.encode(image)[-1])


def _describe(last_map: Tensor) -> Features:
    """The mean and the standard deviation of each channel of a map `(1, D, h, w)`, `(2 D,)`."""
    channels = last_map[0].float().flatten(1)
    parts = torch.cat([channels.mean(1), channels.std(1, correction=0)])
    vector: Features = parts.cpu().numpy()
    return vector


def read_reduced(file: ImageSource, reading: Reading, stride: int) -> NDArray[np.uint8]:
    """The pixels `(H, W, 3)` of an image, whose sides are multiples of the stride.

    Padding would be a part of the means, so the image is stretched a little instead.

    Args:
        file: the image file, or its content.
        reading: how images are read, see `read_image`.
        stride: of the encoder, in pixels.

    Raises:
        DataError: the image cannot be read.
    """
    image = read_image(file, reading, enough=_SIDE).convert("RGB")
    short = min(image.size)
    width, height = (
        stride * max(1, round(min(_MAX_RATIO, side / short) * _SIDE / stride))
        for side in image.size
    )
    resized = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.array(resized)
