"""The curves of the diagnostics: how many pseudo-labels are used, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from semiseg.data.formats.codes import Color
from semiseg.evaluation.pseudo_label_summary import PseudoLabelRecord, Quality
from semiseg.plots.curves import Line, plot_lines
from semiseg.plots.palette import BLACK, BLUE, GREEN, ORANGE, css_color

SOURCES: dict[str, tuple[str, Color]] = {
    "logit": ("logit space", BLUE),
    "representation": ("representation space", ORANGE),
    "mix": ("where both agree", GREEN),
    "used": ("pseudo-labels in use", BLACK),
}
"""The name and the color of each source of labels."""


def draw_pseudo_label_curves(
    validations: Sequence[PseudoLabelRecord], colors: Mapping[str, Color]
) -> Figure:
    """The share of pixels in use by class and, where masks are hidden, the labels' mean IoU.

    Args:
        validations: one or more results of `PseudoLabelStatistics.summary`, each with its `step`.
        colors: the color of each class, by name.
    """
    last = validations[-1]
    quality = last["quality"]
    figure = Figure(figsize=(12.6 if quality else 6.3, 4.2), layout="constrained")
    panels = figure.subplots(1, 2 if quality else 1, squeeze=False)[0]
    steps = [validation["step"] for validation in validations]
    shares = [
        Line(
            name,
            list(zip(steps, (v["per_class"][name]["kept"] for v in validations), strict=True)),
            css_color(color),
        )
        for name, color in colors.items()
    ]
    panels[0].set_title("pixels of each class in use", fontsize=10)
    plot_lines(panels[0], shares, "% of the pixels with this logit label", percent=True)
    if quality:
        scores = [
            Line(
                label,
                [(v["step"], _miou(v["quality"], name)) for v in validations],
                css_color(color),
            )
            for name, (label, color) in SOURCES.items()
            if name in quality
        ]
        panels[1].set_title("pseudo-labels against the hidden masks", fontsize=10)
        plot_lines(panels[1], scores, "mIoU of the labeled pixels, %", percent=True)
    return figure


def _miou(quality: Mapping[str, Quality] | None, source: str) -> float | None:
    """The mean IoU of a source of labels; None where it has none."""
    return quality[source]["miou"] if quality and source in quality else None
