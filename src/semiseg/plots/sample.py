"""One unlabeled image as the two spaces see it: labels, indicators, and what is taught of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.masks import Classes
from semiseg.plots.drawing import GAP, INK, LINE, PAPER, font, legend, shorten, stripes, tellable

TILE = 240  # width
_RAMP = ((13, 8, 135), (156, 23, 158), (237, 121, 83), (240, 249, 33))  # dark is unsure
_LOGIT, _NEAREST, _NEITHER, _UNKNOWN = (0, 114, 178), (230, 159, 0), (160, 0, 40), (90, 90, 90)


class Seen(NamedTuple):
    """One image and the opinions on it, all of the image's size.

    Attributes:
        name: of the image.
        image: `(H, W, 3)` uint8.
        truth: `(H, W)` class indices, or None where there is no mask.
        logit_label: `(H, W)` class indices.
        confidence: `(H, W)` in 0..1.
        representation_label: `(H, W)` class indices, or None.
        similarity: `(H, W)` in 0..1, or None.
        final: `(H, W)` class indices, 255 where nothing is taught.
    """

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.int64] | None
    logit_label: NDArray[np.int64]
    confidence: NDArray[np.float32]
    representation_label: NDArray[np.int64] | None
    similarity: NDArray[np.float32] | None
    final: NDArray[np.int64]


def draw_sample(seen: Seen, classes: Classes) -> Image.Image:
    """The picture: image, truth, both labels, both indicators, agreement, and what is taught."""
    colors = np.array(tellable(classes.colors), dtype=np.uint8)
    columns = [
        [("image", Image.fromarray(seen.image)), ("truth", _labels(seen.truth, colors))],
        [
            ("logit label", _labels(seen.logit_label, colors)),
            ("confidence", _heat(seen.confidence)),
        ],
        [
            ("nearest prototype", _labels(seen.representation_label, colors)),
            ("similarity", _heat(seen.similarity)),
        ],
        [("taught", _labels(seen.final, colors)), ("where they differ", _differences(seen))],
    ]
    height = round(TILE * seen.image.shape[0] / seen.image.shape[1])
    step = (TILE + GAP, height + LINE)
    labels = (seen.truth, seen.logit_label, seen.representation_label, seen.final)
    found = {int(i) for label in labels if label is not None for i in np.unique(label)}
    width, below = 4 * step[0] + GAP, LINE + 2 * step[1] + GAP
    key = legend(found, classes, [(int(r), int(g), int(b)) for r, g, b in colors], width)
    picture = Image.new("RGB", (width, below + key.height), PAPER)
    picture.paste(key, (0, below))
    draw, letters = ImageDraw.Draw(picture), font()
    draw.text((GAP, 2), shorten(seen.name, letters, width - 2 * GAP), INK, letters)
    for x, column in enumerate(columns):
        shown = [(words, tile) for words, tile in column if tile is not None]
        for y, (words, tile) in enumerate(shown):
            place = (GAP + x * step[0], LINE + y * step[1])
            draw.text((place[0], place[1] + 2), words, INK, letters)
            smooth = Image.Resampling.BOX if tile.width > TILE else Image.Resampling.NEAREST
            tile = tile.resize((TILE, height), smooth)
            picture.paste(tile, (place[0], place[1] + LINE))
    return picture


def _labels(label: NDArray[np.int64] | None, colors: NDArray[np.uint8]) -> Image.Image | None:
    """Class indices in the classes' colors, stripes where there is none."""
    if label is None:
        return None
    values = np.array(stripes((label.shape[1], label.shape[0])))
    known = label != IGNORE_INDEX
    values[known] = colors[label[known]]
    return Image.fromarray(values)


def _heat(indicator: NDArray[np.float32] | None) -> Image.Image | None:
    """An indicator from dark (0) to light (1)."""
    if indicator is None:
        return None
    stops = np.linspace(0, 1, len(_RAMP))
    channels = [np.interp(indicator, stops, [color[i] for color in _RAMP]) for i in range(3)]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def _differences(seen: Seen) -> Image.Image | None:
    """White where the spaces agree; else blue, orange or red: logit space, the other, none right.

    Gray where they differ and the truth is not known.
    """
    if seen.representation_label is None:
        return None
    values = np.full(seen.image.shape, 255, np.uint8)
    apart = seen.logit_label != seen.representation_label
    values[apart] = _UNKNOWN
    if seen.truth is not None:
        known = apart & (seen.truth != IGNORE_INDEX)
        values[known] = _NEITHER
        values[known & (seen.logit_label == seen.truth)] = _LOGIT
        values[known & (seen.representation_label == seen.truth)] = _NEAREST
    return Image.fromarray(values)
