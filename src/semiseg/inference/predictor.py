"""The interface of a trained network and of an exported model: both segment images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.types import Prediction
from semiseg.data.formats.images import read_image
from semiseg.inference.sliding import Segmenter
from semiseg.model.metadata import ModelMetadata

_MAX_PIXELS = 1 << 23  # in one batch; large images come in smaller batches


class Predictor:
    """A model that segments images.

    Args:
        metadata: the contents of `model.json`: network, classes, method, scores and split.
        segment: runs the model.
        two_spaces: whether the model has prototypes, and so labels from representation space too.
    """

    def __init__(self, metadata: ModelMetadata, segment: Segmenter, two_spaces: bool) -> None:
        self.metadata = metadata
        self.classes = metadata.classes
        self.reading = metadata.reading
        self.segment = segment
        self.two_spaces = two_spaces

    def predict(
        self,
        image: Path | str | Image.Image | NDArray[np.uint8],
        *,
        tta: bool = False,
        probabilities: bool = False,
    ) -> Prediction:
        """Segment one image.

        Args:
            image: a file, a Pillow image, or `(H, W, 3)` uint8 in RGB; of any size.
            tta: average over three scales, each with its mirror image; this takes six times as
                long.
            probabilities: return the probabilities of all classes too.

        Returns:
            Class indices and their confidence, of the size of the image. A model with prototypes
            adds the labels of representation space.

        Raises:
            DataError: the file cannot be read.
        """
        if isinstance(image, (str, Path)):
            rgb = read_image(Path(image), self.reading)
        elif isinstance(image, Image.Image):
            rgb = image.convert("RGB")
        else:
            rgb = Image.fromarray(image).convert("RGB")
        return next(self.segment([rgb], tta, probabilities))

    def stream(
        self, images: Iterable[Image.Image], tta: bool = False, probabilities: bool = False
    ) -> Iterator[Prediction]:
        """Segment RGB images in batches; see `predict`."""
        batch: list[Image.Image] = []
        for image in images:
            batch.append(image)
            pixels = sum(one.width * one.height for one in batch)
            if len(batch) == self.segment.batch or pixels >= _MAX_PIXELS:
                yield from self.segment(batch, tta, probabilities)
                batch = []
        yield from self.segment(batch, tta, probabilities)
