"""The diagnostics' figures: curves over the steps, and confidence against similarity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from semiseg.evaluation.pseudo_labels import BINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from semiseg.data.formats.codes import Color

# Okabe and Ito's colors, which people with any kind of color vision tell apart.
_SOURCES = {
    "logit": ("logit space", "#0072B2"),
    "representation": ("representation space", "#E69F00"),
    "mix": ("where both agree", "#009E73"),
    "used": ("as taught", "#000000"),
}
_NAMED = 12  # classes that a legend can hold


def draw_curves(looks: Sequence[Mapping[str, Any]], colors: Mapping[str, Color]) -> Figure:
    """Shares taught by class, and the pseudo-labels' scores where truth is known, over the steps.

    Args:
        looks: what `Tally.found` gave at each look, with its `step`; one or more.
        colors: the color of each class, by name.
    """
    from matplotlib.figure import Figure  # half a second, which other trainings need not wait

    quality = looks[-1]["quality"] is not None
    figure = Figure(figsize=(12.6 if quality else 6.3, 4.2), layout="constrained")
    axes = figure.subplots(1, 2 if quality else 1, squeeze=False)[0]
    steps = [look["step"] for look in looks]
    for i, (name, color) in enumerate(colors.items()):
        axes[0].plot(
            steps,
            [_number(look["per_class"][name]["kept"]) for look in looks],
            color=[channel / 255 for channel in color],
            marker="o",
            markersize=3,
            label=plain(name) if i < _NAMED else None,
        )
    _finish(axes[0], "pixels of each class that are taught", "of those called so by logit space, %")
    if quality:
        for source, (words, line) in _SOURCES.items():
            if source not in looks[-1]["quality"]:
                continue
            values = [
                _number((look["quality"] or {}).get(source, {}).get("miou")) for look in looks
            ]
            axes[1].plot(steps, values, color=line, marker="o", markersize=3, label=words)
        _finish(axes[1], "pseudo-labels against the hidden truth", "mIoU of the labeled pixels, %")
    return figure


def _finish(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.set_ylim(0, 100)
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)


def draw_plane(found: Mapping[str, Any]) -> Figure:
    """Confidence against similarity: how many pixels, and how many of these are right.

    Args:
        found: from `Tally.found`, of a method with both spaces.
    """
    import numpy as np
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.figure import Figure

    counts = {name: np.array(found["plane"][name], dtype=float) for name in found["plane"]}
    known = counts["known"].sum() > 0
    figure = Figure(figsize=(9.6 if known else 4.8, 4.2), layout="constrained")
    axes = figure.subplots(1, 2 if known else 1, squeeze=False)[0]
    share = 100 * counts["all"] / max(1.0, counts["all"].sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        right = 100 * counts["right"] / counts["known"]
    least = min(99.0, share[share > 0].min(initial=99.0))
    norm: Normalize = LogNorm(least, 100)
    shown = [(share, counts["all"], "% of the pixels", "viridis", norm)]
    if known:
        words = "% of them whose logit label is right"
        shown.append((right, counts["known"], words, "RdYlBu", Normalize(0, 100)))
    edges = np.linspace(0, 1, BINS + 1)
    for place, (values, pixels, words, colors, norm) in zip(axes, shown, strict=True):
        visible = np.ma.masked_where(pixels == 0, values)
        mesh = place.pcolormesh(edges, edges, visible, cmap=colors, norm=norm, edgecolors="face")
        figure.colorbar(mesh, ax=place, label=words)
        place.set_xlabel("similarity of the nearest prototype's class")
        place.set_ylabel("confidence of the logit label")
        place.set_aspect("equal")
    return figure


def plain(name: str) -> str:
    """A name for a legend, which leaves out those with a leading `_` and reads `$` as formulas."""
    return name.lstrip("_").replace("$", r"\$")


def _number(value: float | None) -> float:
    return math.nan if value is None else value
