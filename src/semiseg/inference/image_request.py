"""What `predict_images` is asked for: images, wherever they lie, and how they are segmented."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from semiseg.config.scale import Scale
from semiseg.config.settings import AUTO
from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.types import NO_NAMES, NamedBands
from semiseg.inference.raster_files import MASK


class ImageSource(Protocol):
    """An image to segment, wherever it lies. `str(source)` names it for people."""

    @property
    def name(self) -> str:
        """The name of its result below the output folder, without a suffix."""

    def fetch(self, folder: Path) -> Path:
        """The image as a file of this machine.

        It may be called in a thread, and at a time when other images are fetched.

        Args:
            folder: an empty folder for a copy, which is removed when the image is finished. An
                image that is a file already needs none.

        Raises:
            DataError: the image cannot be read.
        """


class LocalImage(NamedTuple):
    """An image that is a file of this machine.

    Attributes:
        name: see `ImageSource`.
        file: the file.
    """

    name: str
    file: Path

    def fetch(self, folder: Path) -> Path:
        """The file."""
        return self.file

    def __str__(self) -> str:
        return str(self.file)


@dataclass(frozen=True)
class ImageOptions:
    """How images are segmented, besides the model and `model.reading`. It can be pickled.

    Attributes:
        kinds: of the files to write, as in `OUTPUTS`.
        scale: see `factor_of`.
        tta: average over three scales, each with its mirror image.
        abstain: the mask is 255 where the confidence is below this value; None for nowhere.
        overwrite: replace existing files. Otherwise those that exist are kept.
        objects: count the objects of each class.
        min_area: objects of a smaller area do not count; see `pixels_of`.
        model: the hash of the model.
        trained: how the images of the training were read.
        own: what the user says of the reading of these images.
        named: the bands that the user names.
    """

    kinds: tuple[str, ...] = (MASK,)
    scale: Scale = AUTO
    tta: bool = False
    abstain: float | None = None
    overwrite: bool = False
    objects: bool = True
    min_area: float | None = None
    model: str = ""
    trained: Reading = AS_STORED
    own: Reading = AS_STORED
    named: NamedBands = NO_NAMES
