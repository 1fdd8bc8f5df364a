"""Pictures inside the page: figures as SVG that follows light and dark, and photographs."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

from matplotlib.figure import Figure
from PIL import Image

_INK = (
    "<style>svg{--ink:#1f2328;fill:var(--ink)}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e4e7eb}}</style>"
)


class Picture(NamedTuple):
    """An image inside the page.

    Attributes:
        uri: `data:...`.
        width: in pixels.
        height: in pixels.
    """

    uri: str
    width: int
    height: int


def embed_svg(figure: Figure) -> Picture:
    """A figure as SVG without a background; black becomes white on a dark page."""
    file = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue().replace("#000000", "var(--ink)").replace("<defs>", f"{_INK}<defs>", 1)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(_data_uri("svg+xml", text.encode()), width, height)


def embed_photo(image: Image.Image) -> Picture:
    """An RGB image as WebP with little loss."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80)
    return Picture(_data_uri("webp", file.getvalue()), *image.size)


def embed_flat(image: Image.Image) -> Picture:
    """An image of few colors as PNG, without loss."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return Picture(_data_uri("png", file.getvalue()), *image.size)


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
