"""The legend of pictures, and the font, spacing and stripes that pictures share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from semiseg.data.formats.codes import Color
from semiseg.data.formats.masks import Classes

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

GAP = 10
FONT_SIZE = 14
LINE = 22
PAPER, INK = "white", (60, 60, 60)
_STRIPE_PERIOD = 8  # pixels


def load_font(size: int = FONT_SIZE) -> Font:
    """The font of pictures: matplotlib's, since Pillow's own lacks letters with accents.

    Args:
        size: in pixels.
    """
    import matplotlib  # half a second; pictures without text do not need it

    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(path, size)


def stripes(size: tuple[int, int]) -> Image.Image:
    """Slanting gray stripes on white, which mark ignored pixels."""
    y, x = np.mgrid[: size[1], : size[0]]
    gray = np.where((x + y) % _STRIPE_PERIOD < _STRIPE_PERIOD // 2, 96, 255).astype(np.uint8)
    return Image.fromarray(gray).convert("RGB")


def draw_legend(
    indices: Iterable[int], classes: Classes, colors: Sequence[Color], width: int
) -> Image.Image:
    """Draw the colors and names of some classes.

    Args:
        indices: the class indices; an index beyond the classes stands for ignored pixels.
        classes: the names of the classes.
        colors: their colors.
        width: of the picture, in pixels; the legend has as many lines as it needs.
    """
    font = load_font()
    size = (FONT_SIZE, FONT_SIZE)
    entries = [
        (Image.new("RGB", size, colors[i]), classes.names[i])
        if i < len(classes)
        else (stripes(size), "ignored")
        for i in sorted(indices)
    ]
    positions = []
    x, y = GAP, 0
    for _, name in entries:
        entry_width = round(font.getlength(name)) + 2 * LINE + GAP
        if x > GAP and x + entry_width > width:
            x, y = GAP, y + LINE
        positions.append((x, y))
        x += entry_width
    picture = Image.new("RGB", (width, y + LINE + GAP), PAPER)
    draw = ImageDraw.Draw(picture)
    for (swatch, name), (x, y) in zip(entries, positions, strict=True):
        picture.paste(swatch, (x, y + 2))
        draw.rectangle((x, y + 2, x + FONT_SIZE - 1, y + FONT_SIZE + 1), outline=INK)
        draw.text((x + FONT_SIZE + 6, y), name, INK, font)
    return picture


def shorten(name: str, font: Font, width: int) -> str:
    """The end of a name that is too long for a width in pixels."""
    short = name
    while len(short) > 1 and font.getlength(short) > width:
        short = f"...{short.removeprefix('...')[1:]}"
    return short
