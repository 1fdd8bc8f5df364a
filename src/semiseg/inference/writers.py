"""What is written of a prediction: the mask, and pictures and arrays beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from semiseg.core.errors import RunError
from semiseg.core.files import atomic_write

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from semiseg.core.types import Prediction
    from semiseg.data.formats.masks import Classes

_OPACITY = 0.5


class Scene(NamedTuple):
    """A picture with all that is known of it.

    Attributes:
        picture: RGB.
        prediction: of the picture's size.
        mask: `(H, W)` class indices, 255 where the model abstains.
        classes: their names and colors.
    """

    picture: Image.Image
    prediction: Prediction
    mask: NDArray[np.uint8]
    classes: Classes


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        suffix: with its dot.
        write: a scene into an open file.
    """

    suffix: str
    write: Callable[[Scene, IO[bytes]], None]


def _mask(scene: Scene, file: IO[bytes]) -> None:
    scene.classes.to_image(scene.mask).save(file, "PNG")


def _colors(scene: Scene, file: IO[bytes]) -> None:
    scene.classes.to_image(scene.mask).convert("RGB").save(file, "PNG")


def _overlay(scene: Scene, file: IO[bytes]) -> None:
    draw_overlay(scene.picture, scene.mask, scene.classes).save(file, "JPEG", quality=92)


def _probabilities(scene: Scene, file: IO[bytes]) -> None:
    import numpy as np

    values = cast("NDArray[np.float16]", scene.prediction.probabilities)
    np.savez_compressed(file, probabilities=values, classes=np.array(scene.classes.names))


def _confidence(scene: Scene, file: IO[bytes]) -> None:
    from PIL import Image

    Image.fromarray(_bytes(scene.prediction.confidence)).save(file, "PNG")


def _reliability(scene: Scene, file: IO[bytes]) -> None:
    import numpy as np
    from PIL import Image

    found = scene.prediction
    similarity = cast("NDArray[np.float32]", found.similarity)
    agree = np.where(found.mask == found.nearest, np.uint8(255), np.uint8(0))
    channels = [_bytes(found.confidence), _bytes(similarity), agree]
    Image.fromarray(np.stack(channels, axis=-1)).save(file, "PNG")


KINDS = {
    "colors": Kind(".png", _colors),
    "overlays": Kind(".jpg", _overlay),
    "probabilities": Kind(".npz", _probabilities),
    "confidence": Kind(".png", _confidence),
    "reliability": Kind(".png", _reliability),
    "": Kind(".png", _mask),
}
"""By the folder below `--out`. The mask comes last: where it is, the others are."""


def draw_overlay(image: Image.Image, mask: NDArray[np.uint8], classes: Classes) -> Image.Image:
    """The image under the classes' colors, half and half.

    Where the mask is 255 the image is left as it is, and where the color is black, which is how
    many tools draw the background: it would do nothing but darken.

    Args:
        image: RGB, `(W, H)`.
        mask: `(H, W)` class indices.
        classes: their colors.
    """
    import numpy as np
    from PIL import Image as Pillow

    from semiseg.core.types import IGNORE_INDEX

    colors = classes.to_image(mask).convert("RGB")
    blended = Pillow.blend(image, colors, _OPACITY)
    bare = (mask == IGNORE_INDEX) | ~np.asarray(colors).any(axis=2)
    blended.paste(image, mask=Pillow.fromarray(bare))
    return blended


def save(scene: Scene, kind: Kind, path: Path) -> None:
    """Write one file, as a whole or not at all.

    Raises:
        RunError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, sync=False) as file:
            kind.write(scene, file)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error}). Choose another --out.") from error


def _bytes(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """0..1 as 0..255."""
    import numpy as np

    return (share * np.float32(255) + np.float32(0.5)).astype(np.uint8)
