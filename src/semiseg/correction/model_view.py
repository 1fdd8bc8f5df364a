"""What the model knows about an image: where it doubts, and which pixels are alike for it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter
from torch import Tensor
from torch.nn import functional as F

from semiseg.augment.working_size import working_size
from semiseg.core.types import STRIDE
from semiseg.data.formats.band_image import AnyImage
from semiseg.inference.large import read_picture
from semiseg.inference.reading import enlargement
from semiseg.inference.scenes import to_input, to_working_size
from semiseg.inference.torch_model import Model

MAX_SIDE = 1024
"""The longest side in pixels of the maps that a page gets."""
_KEPT_IMAGES = 4
_RADIUS = 4  # pixels of the map: how far the guided filter looks
_EDGE = 1e-3  # the variance of gray values in 0..1 below which it sees no edge

Bytes = NDArray[np.uint8]


class DoubtMaps(NamedTuple):
    """Where a person should look.

    Attributes:
        doubt: `(h, w)` 1 - confidence, as 0 to 255.
        disagreement: `(h, w)` 1 where the nearest prototype is of another class than the logits
            say; all 0 for a model without prototypes.
    """

    doubt: Bytes
    disagreement: Bytes


class ModelView:
    """A model that explains its masks.

    Args:
        model: the trained model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._lock = Lock()  # one image at a time, so that nothing is computed twice
        self._picture = lru_cache(_KEPT_IMAGES)(self._read)
        self._maps = lru_cache(_KEPT_IMAGES)(self._compute_doubt)
        self._vectors = lru_cache(_KEPT_IMAGES)(self._compute_vectors)

    def doubt(self, image: Path) -> DoubtMaps:
        """The doubt and the disagreement, their longest side at most `MAX_SIDE`.

        Raises:
            DataError: the image cannot be read.
        """
        with self._lock:
            return self._maps(image)

    def alike(self, image: Path, x: float, y: float) -> Bytes:
        """How much each pixel is like one of them for the model.

        Args:
            image: the file.
            x: the place of that pixel, as a share of the width.
            y: the same, as a share of the height.

        Returns:
            `(h, w)` the cosine of the representations from -1 to 1, as 0 to 255, refined to the
            edges of the image. The longest side is at most `MAX_SIDE`.

        Raises:
            DataError: the image cannot be read.
        """
        with self._lock:
            vectors = self._vectors(image)
            picture = self._picture(image)
        # The last cells reach beyond the image if its sides are no multiples of the stride.
        source = working_size(picture.size, self.model.metadata.first_size)[::-1]
        cells = vectors.shape[1:]
        row, column = (
            min(count - 1, int(place * side / STRIDE))
            for place, side, count in zip((y, x), source, cells, strict=True)
        )
        cosines = torch.einsum("dhw,d->hw", vectors, vectors[:, row, column]).numpy()
        guide = _gray(picture)
        rows, columns = map(enlargement, cells, source, guide.shape)
        refined = guided_filter(rows @ cosines @ columns.T, guide)
        return ((refined.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)

    def _read(self, image: Path) -> AnyImage:
        return read_picture(image, self.model.reading)

    def _compute_doubt(self, image: Path) -> DoubtMaps:
        picture = self._picture(image)
        prediction = self.model.predict(picture, scale="fit")
        size = map_size(picture.size)
        doubt = Image.fromarray(((1 - prediction.confidence) * 255).astype(np.uint8))
        different = np.zeros(doubt.size[::-1], np.uint8)
        if prediction.nearest is not None:
            different = (prediction.nearest != prediction.mask).astype(np.uint8)
        return DoubtMaps(
            np.array(doubt.resize(size, Image.Resampling.BOX)),
            np.array(Image.fromarray(different).resize(size, Image.Resampling.NEAREST)),
        )

    @torch.no_grad()
    def _compute_vectors(self, image: Path) -> Tensor:
        """`(D, h, w)` representations of length 1 at stride 4, or features of the decoder.

        What all pixels of the image have in common is left out, since it distinguishes none.
        """
        network = self.model.network
        batch = to_working_size(self._picture(image), self.model.metadata.first_size)
        inputs = to_input(batch.to(network.mean.device))
        decoded = network.decode(network.encode(inputs), inputs.shape[-2:])
        representation = network.heads(decoded).representation
        vectors = (decoded if representation is None else representation)[0].float().cpu()
        vectors = vectors - vectors.mean((1, 2), keepdim=True)
        return F.normalize(vectors, dim=0)


def guided_filter(values: NDArray[np.float32], guide: NDArray[np.float32]) -> NDArray[np.float32]:
    """Smooth a map along the edges of an image (He et al., ECCV 2010).

    Within each small window the result is a linear function of the guide, so that it changes where
    the image does.

    Args:
        values: `(h, w)` the map.
        guide: `(h, w)` gray values in 0..1.
    """

    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(uniform_filter(x, 2 * _RADIUS + 1, mode="nearest"))

    mean_guide, mean_values = mean(guide), mean(values)
    covariance = mean(guide * values) - mean_guide * mean_values
    variance = mean(guide * guide) - mean_guide * mean_guide
    slope = (covariance / (variance + _EDGE)).astype(np.float32)
    offset = mean_values - slope * mean_guide
    return mean(slope) * guide + mean(offset)


def _gray(picture: AnyImage) -> NDArray[np.float32]:
    """The gray values of a picture in 0..1, at the size of the maps."""
    gray = picture.convert("RGB").convert("L")
    small = gray.resize(map_size(picture.size), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / np.float32(255)


def map_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the maps of an image."""
    factor = min(1.0, MAX_SIDE / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
