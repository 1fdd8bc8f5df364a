"""A picture of samples: each image beside its mask as an overlay, with a legend, or alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.rng import Key
from semiseg.core.types import Sample
from semiseg.data.classes.class_cover import cover_classes
from semiseg.data.classes.labels import read_labels
from semiseg.data.dataset import Dataset
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes
from semiseg.plots.legend import GAP, INK, LINE, PAPER, draw_legend, load_font, shorten
from semiseg.plots.overlay import half_cover, hatch_ignored
from semiseg.plots.palette import distinct_colors

_MAX_SAMPLES = 12
_COLUMNS = 3
_TILE_WIDTH = 250


def choose_samples(data: Dataset) -> list[Sample]:
    """Random labeled samples of `train` that show every class where that is possible.

    The same folder gives the same choice.
    """
    samples = [
        sample
        for sample, mask in data.labeled("train")
        if mask in data.counts and sample.image in data.images and data.fits(sample)
    ]
    key = Key.of(0, "check", "picture")
    return cover_classes(samples, min(_MAX_SAMPLES, len(samples)), data.pixels, key)


def draw_samples(
    samples: Sequence[Sample], classes: Classes, reading: Reading = AS_STORED
) -> Image.Image:
    """Draw the picture.

    Args:
        samples: one or more, with masks that fit the images and the classes.
        classes: their names and colors.
        reading: how images are read, see `read_image`.
    """
    pairs = [_read(sample, classes, reading) for sample in samples]
    tile = _tile([image for image, _ in pairs])
    colors = distinct_colors(classes.colors)
    font = load_font()
    columns = min(_COLUMNS, len(samples))
    step = (2 * tile[0] + 2 + GAP, tile[1] + LINE + GAP)
    width = columns * step[0] + GAP
    indices = {int(i) for _, mask in pairs for i in np.unique(mask)}
    legend = draw_legend(indices, classes, colors, width)
    legend_top = -(-len(samples) // columns) * step[1] + GAP
    picture = Image.new("RGB", (width, legend_top + legend.height), PAPER)
    picture.paste(legend, (0, legend_top))
    draw = ImageDraw.Draw(picture)
    for n, (sample, (image, mask)) in enumerate(zip(samples, pairs, strict=True)):
        x, y = GAP + n % columns * step[0], GAP + n // columns * step[1]
        small = ImageOps.contain(image, tile)
        margin = (tile[0] - small.width) // 2, (tile[1] - small.height) // 2
        for k, part in enumerate((small, mask_overlay(small, mask, colors))):
            picture.paste(part, (x + k * (tile[0] + 2) + margin[0], y + margin[1]))
        name = shorten(sample.name, font, step[0] - GAP)
        draw.text((x, y + tile[1] + 2), name, INK, font)
    return picture


def draw_images(images: Mapping[str, Path], reading: Reading = AS_STORED) -> Image.Image:
    """Draw images without masks, as tiles with their names.

    Args:
        images: the files of one or more images, by the names to show.
        reading: how images are read, see `read_image`.
    """
    pictures = {name: _read_image(file, reading) for name, file in images.items()}
    tile = _tile(list(pictures.values()))
    font = load_font()
    columns = min(2 * _COLUMNS, len(pictures))
    step = (tile[0] + GAP, tile[1] + LINE + GAP)
    size = columns * step[0] + GAP, -(-len(pictures) // columns) * step[1] + GAP
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    for n, (name, image) in enumerate(pictures.items()):
        x, y = GAP + n % columns * step[0], GAP + n // columns * step[1]
        small = ImageOps.contain(image, tile)
        picture.paste(small, (x + (tile[0] - small.width) // 2, y + (tile[1] - small.height) // 2))
        draw.text((x, y + tile[1] + 2), shorten(name, font, tile[0]), INK, font)
    return picture


def mask_overlay(
    image: Image.Image, mask: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]
) -> Image.Image:
    """The image in gray under the classes' colors, with stripes over ignored pixels.

    Gray keeps the colors of the overlay close to those of the legend.
    """
    gray = image.convert("L").convert("RGB")
    return hatch_ignored(half_cover(gray, mask, colors), mask)


def _tile(images: Sequence[Image.Image]) -> tuple[int, int]:
    """The width and height of the place of an image in the picture."""
    shape = min(1.5, max(0.4, median(image.height / image.width for image in images)))
    return _TILE_WIDTH, round(_TILE_WIDTH * shape)


def _read(
    sample: Sample, classes: Classes, reading: Reading
) -> tuple[Image.Image, NDArray[np.uint8]]:
    """A reduced image, and the indices of its mask."""
    return _read_image(sample.image, reading), np.array(read_labels(sample, classes, reading))


def _read_image(file: Path, reading: Reading) -> Image.Image:
    """A reduced image, since twelve large ones need much memory."""
    image = read_image(file, reading).convert("RGB")
    image.thumbnail((4 * _TILE_WIDTH, 4 * _TILE_WIDTH))
    return image
