"""What a trained network and an exported model have in common: they segment images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semiseg.core.types import Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from semiseg.inference.sliding import Segmenter

_PIXELS = 1 << 23  # of large pictures fewer are held at a time


class Predictor:
    """A model that segments images.

    Args:
        about: the contents of `model.json`: method, scores, split, network and classes.
        segment: runs the model.
        two_spaces: whether it has prototypes, so that representation space has a say.
    """

    def __init__(self, about: dict[str, Any], segment: Segmenter, two_spaces: bool) -> None:
        from semiseg.data.formats.masks import Classes

        self.about = about
        self.classes = Classes.from_dict(about["classes"])
        black_and_white = about["range"]
        self.value_range = None if black_and_white is None else tuple(black_and_white)
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
            tta: average over three scales and both mirror images, which takes six times as long.
            probabilities: give those of all classes too.

        Returns:
            Class indices and their confidence, of the image's own size; for models with prototypes
            also what representation space says.

        Raises:
            DataError: the file cannot be read.
        """
        from PIL import Image

        from semiseg.data.formats.images import read_image

        if isinstance(image, (str, Path)):
            picture = read_image(Path(image), self.value_range)
        elif isinstance(image, Image.Image):
            picture = image.convert("RGB")
        else:
            picture = Image.fromarray(image).convert("RGB")
        return next(self.segment([picture], tta, probabilities))

    def stream(
        self, pictures: Iterable[Image.Image], tta: bool = False, probabilities: bool = False
    ) -> Iterator[Prediction]:
        """Segment RGB pictures one after the other, several at a time; see `predict`."""
        batch: list[Image.Image] = []
        for picture in pictures:
            batch.append(picture)
            pixels = sum(p.width * p.height for p in batch)
            if len(batch) == self.segment.batch or pixels >= _PIXELS:
                yield from self.segment(batch, tta, probabilities)
                batch = []
        yield from self.segment(batch, tta, probabilities)
