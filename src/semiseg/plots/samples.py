"""A picture of labeled samples: each image beside its mask laid over it, the classes below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from semiseg.core.types import Sample
    from semiseg.data.cache import ValueRange
    from semiseg.data.formats.codes import Color
    from semiseg.data.formats.masks import Classes
    from semiseg.data.survey import Survey

_SHOWN = 12
_COLUMNS = 3
_TILE = 250  # width of one image

_OPACITY = 0.55  # of the classes' colors


def choose_samples(survey: Survey) -> list[Sample]:
    """Labeled samples of train at random, such that each class occurs where that is possible.

    The same folder gives the same choice.
    """
    from semiseg.core.rng import Key
    from semiseg.core.types import IGNORE_INDEX
    from semiseg.data.splits import choose

    fitting = [
        sample
        for sample, mask in survey.labeled("train")
        if mask in survey.pixels
        and sample.image in survey.images
        and survey.images[sample.image].size == survey.masks[mask].size
    ]
    pixels = {
        mask: {i: n for i, n in found.items() if i != IGNORE_INDEX}
        for mask, found in survey.pixels.items()
    }
    return choose(fitting, min(_SHOWN, len(fitting)), pixels, Key.of(0, "check", "picture"))


def draw_samples(
    samples: Sequence[Sample], classes: Classes, value_range: ValueRange = None
) -> Image.Image:
    """The picture.

    Args:
        samples: with masks that fit the images and the classes; one or more.
        classes: their names and colors.
        value_range: the values that are black and white in the images, see `read_image`.
    """
    import numpy as np
    from PIL import Image, ImageDraw, ImageOps

    from semiseg.plots.drawing import GAP, INK, LINE, PAPER, font, legend, shorten, tellable

    pairs = [_read(sample, classes, value_range) for sample in samples]
    shape = min(1.5, max(0.4, median(image.height / image.width for image, _ in pairs)))
    box = (_TILE, round(_TILE * shape))
    colors = tellable(classes.colors)
    letters = font()
    columns = min(_COLUMNS, len(samples))
    step = (2 * box[0] + 2 + GAP, box[1] + LINE + GAP)
    width = columns * step[0] + GAP
    key = legend({int(i) for _, mask in pairs for i in np.unique(mask)}, classes, colors, width)
    below = -(-len(samples) // columns) * step[1] + GAP
    picture = Image.new("RGB", (width, below + key.height), PAPER)
    picture.paste(key, (0, below))
    draw = ImageDraw.Draw(picture)
    for n, (sample, (image, mask)) in enumerate(zip(samples, pairs, strict=True)):
        x, y = GAP + n % columns * step[0], GAP + n // columns * step[1]
        small = ImageOps.contain(image, box)
        for k, part in enumerate((small, _overlay(small, mask, colors))):
            left, top = (box[0] - small.width) // 2, (box[1] - small.height) // 2
            picture.paste(part, (x + k * (box[0] + 2) + left, y + top))
        draw.text((x, y + box[1] + 2), shorten(sample.name, letters, step[0] - GAP), INK, letters)
    return picture


def _read(
    sample: Sample, classes: Classes, value_range: ValueRange
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """The image, reduced so that twelve of them need little memory, and the indices of its mask."""
    import numpy as np

    from semiseg.data.formats.images import read_image
    from semiseg.data.formats.masks import read_mask

    image = read_image(sample.image, value_range)
    image.thumbnail((4 * _TILE, 4 * _TILE))
    return image, np.array(read_mask(sample.mask or Path(), classes))


def _overlay(image: Image.Image, mask: NDArray[np.uint8], colors: Sequence[Color]) -> Image.Image:
    """The image in gray under the classes' colors; stripes where pixels are ignored.

    Black, as many tools draw the background, is left out, since it would do nothing but darken.
    """
    import numpy as np
    from PIL import Image

    from semiseg.core.types import IGNORE_INDEX
    from semiseg.plots.drawing import stripes

    table = np.full((256, 3), 255, np.uint8)
    table[: len(colors)] = colors
    gray = image.convert("L").convert("RGB")  # so that a color is that of the legend
    smaller = image.width < mask.shape[1]
    way = Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    colored = Image.fromarray(table[mask]).resize(image.size, way)
    shown = Image.fromarray((table.max(axis=1)[mask] > 0).astype(np.uint8) * 255)
    cover = (np.asarray(shown.resize(image.size, way)) * (_OPACITY / 255))[..., np.newaxis]
    ignored = Image.fromarray((mask == IGNORE_INDEX).astype(np.uint8) * 255)
    where = np.asarray(ignored.resize(image.size, way)) > 127
    mixed = np.asarray(gray) * (1 - cover) + np.asarray(colored) * _OPACITY
    values = mixed.round().astype(np.uint8)
    values[where] = np.asarray(Image.blend(gray, stripes(image.size), _OPACITY))[where]
    return Image.fromarray(values)
