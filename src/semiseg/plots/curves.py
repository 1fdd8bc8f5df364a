"""Curves over the steps or over the number of labeled images, and how all figures look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from semiseg.plots.palette import LINE_COLORS, css_color

_DASHES = ("-", "--", "-.", ":")
_SIZE = (4.6, 3.2)  # inches: the width of a telephone at its own size
_MAX_MARKED = 20  # more points than these need no markers
_MAX_NAMED = 12  # lines that a legend can hold

Points = Sequence[tuple[int, float | None]]


class Line(NamedTuple):
    """A line of a figure.

    Attributes:
        label: its name in the legend.
        points: step and value; a value that is None leaves a gap.
        color: as matplotlib writes it; by default a color and dashes that no other line has.
    """

    label: str
    points: Points
    color: str | None = None


def figure_style() -> AbstractContextManager[None]:
    """Matplotlib's settings for figures in a page; figures are made and saved within it."""
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "semiseg",
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    return rc_context(settings)


def line_color(index: int) -> str:
    """The color of line number `index`, as matplotlib writes it."""
    return css_color(LINE_COLORS[index % len(LINE_COLORS)])


def draw_lines(series: Mapping[str, Points], label: str, percent: bool) -> Figure:
    """A figure with one line for each series; lines differ in color and in dashes.

    Args:
        series: one or more series of step and value, by name.
        label: the name of the values.
        percent: whether the values are percentages, whose axis ends at 100.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    lines = [Line(name, points) for name, points in series.items()]
    plot_lines(figure.subplots(), lines, label, percent)
    return figure


def plot_lines(axes: Axes, lines: Sequence[Line], label: str, percent: bool) -> None:
    """Plot lines over the steps, with a grid and a legend.

    Args:
        axes: where to plot.
        lines: one or more lines; the legend names the first twelve.
        label: the name of the values.
        percent: whether the values are percentages, whose axis ends at 100.
    """
    for i, line in enumerate(lines):
        steps = [step for step, _ in line.points]
        values = [math.nan if value is None else value for _, value in line.points]
        axes.plot(
            steps,
            values,
            _DASHES[i % len(_DASHES)] if line.color is None else "-",
            color=line_color(i) if line.color is None else line.color,
            linewidth=1.8,
            marker="o" if len(steps) < _MAX_MARKED else "",
            markersize=4,
            clip_on=False,  # markers at 0 and at 100 % are drawn whole
            label=plain_label(line.label) if i < _MAX_NAMED else None,
        )
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0, top=100 if percent else None)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(alpha=0.3, color="#808080")
    axes.legend(frameon=False, fontsize=10 if len(lines) < _MAX_NAMED / 2 else 8)


def plain_label(name: str) -> str:
    """A name for a legend, which omits names with a leading `_` and reads `$` as a formula."""
    return name.lstrip("_").replace("$", r"\$")
