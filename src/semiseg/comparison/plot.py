"""The picture of a comparison: mIoU over the number of labeled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from semiseg.comparison.records import ALL, BASELINE, Row
from semiseg.plots.curves import line_color

_LEAST = 4.0  # points from bottom to top


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the picture as PNG; see `make_figure`."""
    make_figure(rows).savefig(path, dpi=150)


def make_figure(rows: Sequence[Row]) -> Figure:
    """Draw a line a method, with the range of its seeds, and the ceiling.

    The ceiling is `supervised` with all masks.

    Args:
        rows: the rows of the comparison.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    ceiling = [row for row in rows if (row.method, row.labels) == (BASELINE, ALL)]
    shown = [row for row in rows if row not in ceiling]
    for i, method in enumerate(dict.fromkeys(row.method for row in shown)):
        own = sorted((r for r in shown if r.method == method), key=lambda r: r.images)
        color = line_color(i)
        # Beside one another, so that bars of the same number of labels do not hide each other.
        places = [row.images * 1.02**i for row in own]
        scores = [row.values("released") for row in own]
        means = [fmean(s) for s in scores]
        reach = [
            [mean - min(s) for mean, s in zip(means, scores, strict=True)],
            [max(s) - mean for mean, s in zip(means, scores, strict=True)],
        ]
        axes.errorbar(places, means, yerr=reach, marker="o", capsize=3, color=color, label=method)
    for row in ceiling:
        scores_all = row.values("released")
        words = f"{BASELINE}, all {row.images} masks"
        axes.axhline(fmean(scores_all), color="gray", linestyle="--", label=words)
        axes.axhspan(min(scores_all), max(scores_all), color="gray", alpha=0.15, linewidth=0)
    counts = sorted({row.images for row in shown})
    axes.set_xscale("log")
    # So wide that points beside one another are seen to belong together.
    if counts:
        axes.set_xlim(counts[0] / 1.5, counts[-1] * 1.5)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(counts, [str(count) for count in counts])
    low, high = axes.get_ylim()
    if high - low < _LEAST:  # else a tenth of a point would fill the picture
        axes.set_ylim((low + high - _LEAST) / 2, (low + high + _LEAST) / 2)
    axes.set_xlabel("labeled images")
    axes.set_ylabel("mIoU on val, %; mean and range of the seeds")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(frameon=False)
    return figure
