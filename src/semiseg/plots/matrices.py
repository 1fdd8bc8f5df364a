"""Figures of matrices: the confusion matrix, and confidence against similarity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from semiseg.evaluation.pseudo_labels import BINS

_MIN_SHARE = 99.0  # percent; the color scale starts below it


class _Panel(NamedTuple):
    """One half of the plane: values, pixels in each cell, title, color map and its scale."""

    values: NDArray[np.float64]
    pixels: NDArray[np.float64]
    label: str
    colors: str
    norm: Normalize


def draw_confusion(shares: Sequence[Sequence[float | None]]) -> Figure:
    """The confusion matrix of many classes as a picture with class numbers.

    Args:
        shares: percent of a class's pixels (rows) by predicted class; None without pixels.
    """
    values = np.array([[np.nan if v is None else v for v in row] for row in shares])
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="% of the true class's pixels")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return figure


def draw_plane(plane: Mapping[str, Sequence[Sequence[int]]]) -> Figure:
    """Confidence against similarity: the share of the pixels, and how many labels are right.

    Args:
        plane: the counts of pixels by confidence (rows) and similarity: of `all` pixels, of those
            whose truth is `known`, and of those whose logit label is `right`.
    """
    counts = {name: np.array(values, dtype=float) for name, values in plane.items()}
    has_truth = counts["known"].sum() > 0
    figure = Figure(figsize=(9.6 if has_truth else 4.8, 4.2), layout="constrained")
    share = 100 * counts["all"] / max(1.0, counts["all"].sum())
    smallest = min(_MIN_SHARE, share[share > 0].min(initial=_MIN_SHARE))
    scale = LogNorm(smallest, 100)
    panels = [_Panel(share, counts["all"], "% of the pixels", "viridis", scale)]
    if has_truth:
        with np.errstate(invalid="ignore", divide="ignore"):
            accuracy = 100 * counts["right"] / counts["known"]
        label = "% of these pixels with a correct logit label"
        panels.append(_Panel(accuracy, counts["known"], label, "RdYlBu", Normalize(0, 100)))
    edges = np.linspace(0, 1, BINS + 1)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        visible = np.ma.masked_where(panel.pixels == 0, panel.values)
        mesh = axes.pcolormesh(
            edges, edges, visible, cmap=panel.colors, norm=panel.norm, edgecolors="face"
        )
        figure.colorbar(mesh, ax=axes, label=panel.label)
        axes.set_xlabel("similarity to the nearest prototype's class")
        axes.set_ylabel("confidence of the logit label")
        axes.set_aspect("equal")
    return figure
