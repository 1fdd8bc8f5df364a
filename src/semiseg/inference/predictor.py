"""The interface of a trained network and of an exported model: both segment images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.config.scale import Scale
from semiseg.config.settings import AUTO
from semiseg.core.errors import DataError
from semiseg.core.reading import RGB_CHANNELS, Reading
from semiseg.core.types import Prediction
from semiseg.data.formats.band_image import AnyImage, BandImage
from semiseg.data.formats.decoded import picture_of
from semiseg.data.formats.ground import ground_resolution
from semiseg.data.formats.images import read_valid
from semiseg.data.references import unlike
from semiseg.inference.bands import require_same_number
from semiseg.inference.geotiff import place_of
from semiseg.inference.large import large_images, read_picture
from semiseg.inference.raster_image import RasterImage, find_empty, raster_image
from semiseg.inference.scale import Header, describe_larger, factor_of
from semiseg.inference.sliding import Segmenter
from semiseg.inference.writers import without_data
from semiseg.model.metadata import ModelMetadata

_MAX_PILLOW_CHANNELS = 4
_MAX_PIXELS = 1 << 23  # in one batch; large images come in smaller batches

logger = logging.getLogger(__name__)


class Scaled(NamedTuple):
    """An image to segment.

    Attributes:
        image: in RGB, or in the bands of the model.
        factor: on its pixels before the network sees it; None scales its short side to the size of
            the training.
    """

    image: AnyImage
    factor: float | None = None


class Predictor:
    """A model that segments images.

    Args:
        metadata: the contents of `model.json`: network, classes, method, scores and split.
        segment: runs the model.
        two_spaces: whether the model has prototypes, and so labels from representation space too.
        device: where it runs: `cpu`, `cuda` or `mps`.
    """

    def __init__(
        self, metadata: ModelMetadata, segment: Segmenter, two_spaces: bool, device: str = "cpu"
    ) -> None:
        self.metadata = metadata
        self.classes = metadata.classes
        self.reading = metadata.reading
        self.segment = segment
        self.two_spaces = two_spaces
        self.device = device
        self._has_warned, self._is_chosen = False, False

    def read_as(self, reading: Reading) -> None:
        """Read images from now on in another way than those of the training.

        After this call, `predict` takes files that have more bands than the reading names.

        Args:
            reading: how they are read; `model.reading` says that the training's way is meant.

        Raises:
            ValueError: they would have another number of channels.
        """
        self.metadata = replace(self.metadata, reading=reading)
        self.reading, self._is_chosen = reading, True

    def predict(
        self,
        image: Path | str | AnyImage | NDArray[np.uint8],
        *,
        scale: Scale = AUTO,
        tta: bool = False,
        probabilities: bool = False,
    ) -> Prediction:
        """Segment one image.

        Args:
            image: a file, a Pillow image, or `(H, W, 3)` uint8 in RGB; of any size. For a model
                of `N` bands, an array is `(H, W, N)` uint8: in each band, 0 and 255 stand for the
                ends of the band's range (`reading.ranges`).
            scale: `fit` scales the short side of the image to the size of the training. `keep`
                gives the image the scale that the training images had, and segments a larger one
                in windows. `auto` is `keep` where GeoTIFFs give the ground resolution of the image
                and of the training images, else `fit`. A number is the factor on the pixels.
            tta: average over three scales, each with its mirror image; this takes six times as
                long.
            probabilities: return the probabilities of all classes too.

        Returns:
            Class indices and their confidence, of the size of the image; 255 and 0 where a file
            has no data. A model with prototypes adds the labels of representation space.

        Raises:
            DataError: the file cannot be read, or the image has another number of channels than
                those of the training; or a file has more bands, so that it is unclear which ones
                are meant (see `read_as`).
            ConfigError: `keep`, but the model does not know the size of its training images.
        """
        ground = None
        picture: AnyImage | RasterImage
        if isinstance(image, (str, Path)):
            with large_images():
                picture = self._read(Path(image))
            ground = ground_resolution(Path(image))
        elif isinstance(image, Image.Image):
            picture = image.convert("RGB")
        elif isinstance(image, BandImage):
            picture = image
        else:
            if image.ndim > 2 and image.shape[2] > _MAX_PILLOW_CHANNELS:
                self._check_channels(image.shape[2])
            picture = picture_of(image, self.reading)
        header = Header(picture.size, ground)
        factor = factor_of(scale, self.metadata, header)
        if factor is None and scale == AUTO and not self._has_warned:
            warning = describe_larger(self.metadata, [header])
            if warning:
                self._has_warned = True
                logger.warning("%s", warning)
        prediction = self._segment(picture, factor, tta, probabilities)
        if not isinstance(picture, RasterImage):
            prediction = prediction._replace(unlike=self.unlike(picture))
        if not isinstance(image, (str, Path)):
            return prediction
        with large_images():
            return without_data(prediction, self._empty(Path(image), header.size))

    def unlike(self, image: AnyImage) -> float | None:
        """How unlike the images of the training an image is; see `Prediction`."""
        references = self.metadata.references
        if references is None or isinstance(image, BandImage):
            return None
        return unlike(image, references)

    def _segment(
        self, picture: AnyImage | RasterImage, factor: float | None, tta: bool, probabilities: bool
    ) -> Prediction:
        """Segment an image as a whole, or a raster in windows."""
        if isinstance(picture, RasterImage):
            if factor is not None:
                return self.segment.at_scale(picture, factor, tta, probabilities)
            with large_images():
                picture = picture.whole()
        return next(self.stream([Scaled(picture, factor)], tta, probabilities))

    def _empty(self, path: Path, size: tuple[int, int]) -> NDArray[np.bool_] | None:
        """`(H, W)`, True where a file has no data; None if it has data everywhere."""
        if place_of(path) is not None:
            return find_empty(path, self.reading, slice(0, size[1]), size[0])
        valid = read_valid(path, self.reading)
        return None if valid is None else ~valid

    def _read(self, path: Path) -> AnyImage | RasterImage:
        """An image; a GeoTIFF is read in windows, so that it may be larger than the memory."""
        if not self._is_chosen:
            require_same_number(self.reading, [path])
        place = place_of(path)
        image = None if place is None else raster_image(path, self.reading, place.size)
        return image if isinstance(image, RasterImage) else read_picture(path, self.reading)

    def stream(
        self, images: Iterable[Scaled], tta: bool = False, probabilities: bool = False
    ) -> Iterator[Prediction]:
        """Segment images in batches; see `predict`."""
        batch: list[AnyImage] = []
        for image, factor in images:
            self.check_channels(image)
            if factor is not None:
                yield from self.segment(batch, tta, probabilities)
                batch = []
                yield self.segment.at_scale(image, factor, tta, probabilities)
                continue
            batch.append(image)
            pixels = sum(one.width * one.height for one in batch)
            if len(batch) == self.segment.batch or pixels >= _MAX_PIXELS:
                yield from self.segment(batch, tta, probabilities)
                batch = []
        yield from self.segment(batch, tta, probabilities)

    def check_channels(self, image: AnyImage) -> None:
        """Refuse an image of other channels than those of the training.

        Raises:
            DataError: the number of channels is another one.
        """
        self._check_channels(image.bands if isinstance(image, BandImage) else RGB_CHANNELS)

    def _check_channels(self, channels: int) -> None:
        """Refuse another number of channels than that of the training.

        Raises:
            DataError: the number of channels is another one.
        """
        if channels != self.metadata.network.channels:
            raise DataError(
                f"The image has {channels} channels, and the model was trained on images of "
                f"{self._describe_channels()}."
            )

    def _describe_channels(self) -> str:
        """The channels of the training images in words."""
        bands, channels = self.metadata.reading.bands, self.metadata.network.channels
        if channels == RGB_CHANNELS:
            return "3 channels (red, green and blue)"
        return f"{channels} channels" + (f" (bands {','.join(map(str, bands))})" if bands else "")
