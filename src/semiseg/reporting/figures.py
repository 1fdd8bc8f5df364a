"""Pictures within the page: matplotlib's as SVG that follows light and dark, and photographs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

# Okabe and Ito's, which people with any kind of color vision tell apart, but for yellow and sky
# blue, which are too light for lines on white. Black becomes white on a dark page.
_LINES = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00")
_DASHES = ("-", "--", "-.", ":")
_SIZE = (4.6, 3.2)  # inches: the width of a telephone at its own size
_INK = (
    "<style>svg{--ink:#1f2328;fill:var(--ink)}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e4e7eb}}</style>"
)
Series = Mapping[str, Sequence[tuple[int, float]]]


class Picture(NamedTuple):
    """An image within the page.

    Attributes:
        uri: `data:...`.
        width: in pixels.
        height: in pixels.
    """

    uri: str
    width: int
    height: int


def quiet_style() -> AbstractContextManager[None]:
    """Matplotlib's settings for the report; figures are made and saved within it."""
    from matplotlib import rc_context

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "semiseg", "font.size": 11}
    return rc_context({**settings, "axes.spines.top": False, "axes.spines.right": False})


def svg(figure: Figure) -> Picture:
    """A figure as SVG: no background, and what is black is white on a dark page."""
    file = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue().replace("#000000", "var(--ink)").replace("<defs>", f"{_INK}<defs>", 1)
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(_uri("svg+xml", text.encode()), width, height)


def photo(image: Image.Image) -> Picture:
    """An RGB image as WebP, of which little is lost."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=80)
    return Picture(_uri("webp", file.getvalue()), *image.size)


def flat(image: Image.Image) -> Picture:
    """An image of few colors as PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return Picture(_uri("png", file.getvalue()), *image.size)


def draw_lines(series: Series, label: str, percent: bool) -> Figure:
    """A line a series over the steps; lines differ in color and in dashes.

    Args:
        series: (step, value) by name, one or more.
        label: what the values are.
        percent: whether they are from 0 to 100.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from semiseg.plots.pseudo_labels import plain

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    for i, (name, points) in enumerate(series.items()):
        axes.plot(
            *zip(*points, strict=True),
            _DASHES[i % len(_DASHES)],
            color=_LINES[i % len(_LINES)],
            linewidth=1.8,
            marker="o" if len(points) < 20 else "",
            markersize=4,
            clip_on=False,  # 0 and 100 % are whole points
            label=plain(name),
        )
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0, top=100 if percent else None)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(alpha=0.3, color="#808080")
    axes.legend(frameon=False, fontsize=10)
    return figure


def draw_confusion(shares: Sequence[Sequence[float | None]]) -> Figure:
    """The confusion matrix of many classes, which are numbered.

    Args:
        shares: per cent of a class's pixels (rows) by predicted class; None without pixels.
    """
    import numpy as np
    from matplotlib.figure import Figure

    values = np.array([[np.nan if v is None else v for v in row] for row in shares])
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    shown = axes.imshow(values, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
    figure.colorbar(shown, ax=axes, label="% of the true class's pixels")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return figure


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
