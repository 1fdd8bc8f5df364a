"""What pictures of classes share: a legend, stripes for ignored pixels, colors one can tell."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageFont

    from semiseg.data.formats.codes import Color
    from semiseg.data.formats.masks import Classes

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

GAP = 10
TEXT = 14
LINE = 22
PAPER, INK = "white", (60, 60, 60)
_HATCH = 8  # period of the stripes over ignored pixels
_ALIKE = 48  # a smaller sum of differences in R, G and B is hard to see


def font() -> Font:
    """The font of pictures: matplotlib's, since Pillow's own lacks letters with accents."""
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", TEXT)


def stripes(size: tuple[int, int]) -> Image.Image:
    """Slanting stripes, gray on white: what is ignored."""
    import numpy as np
    from PIL import Image

    y, x = np.mgrid[: size[1], : size[0]]
    gray = np.where((x + y) % _HATCH < _HATCH // 2, 96, 255).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")


def legend(found: set[int], classes: Classes, colors: Sequence[Color], width: int) -> Image.Image:
    """Swatches and names of these class indices, in as many lines as they need."""
    from PIL import Image, ImageDraw

    letters = font()
    swatch = (TEXT, TEXT)
    entries = [
        (Image.new("RGB", swatch, colors[i]), classes.names[i])
        if i < len(classes)
        else (stripes(swatch), "ignored")
        for i in sorted(found)
    ]
    places = []
    x, y = GAP, 0
    for _, name in entries:
        wide = round(letters.getlength(name)) + 2 * LINE + GAP
        if x > GAP and x + wide > width:
            x, y = GAP, y + LINE
        places.append((x, y))
        x += wide
    drawn = Image.new("RGB", (width, y + LINE + GAP), PAPER)
    draw = ImageDraw.Draw(drawn)
    for (square, name), (x, y) in zip(entries, places, strict=True):
        drawn.paste(square, (x, y + 2))
        draw.rectangle((x, y + 2, x + TEXT - 1, y + TEXT + 1), outline=INK)
        draw.text((x + TEXT + 6, y), name, INK, letters)
    return drawn


def tellable(colors: Sequence[Color]) -> Sequence[Color]:
    """The colors; others in their place where some are so alike that nobody can tell them."""
    from semiseg.data.formats.masks import default_color

    alike = any(
        sum(abs(a - b) for a, b in zip(one, other, strict=True)) < _ALIKE
        for one, other in itertools.combinations(colors, 2)
    )
    return [default_color(i) for i in range(len(colors))] if alike else colors


def shorten(name: str, letters: Font, width: int) -> str:
    """The end of a long name."""
    short = name
    while len(short) > 1 and letters.getlength(short) > width:
        short = f"...{short.removeprefix('...')[1:]}"
    return short
