"""The figure of a comparison: mIoU over the number of labeled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from semiseg.comparison.records import ALL, BASELINE
from semiseg.comparison.rows import Row
from semiseg.core.files import atomic_write
from semiseg.plots.curves import line_color
from semiseg.plots.palette import LINE_COLORS

_MARKERS = ("o", "s", "^")  # for lines of the same color
_MAX_IN_AXES = 6  # a longer legend stands beside the axes
_MAX_SHIFT = 1.25  # from the first to the last point with the same number of labels
_MIN_HEIGHT = 4.0  # points of mIoU; otherwise a tenth of a point could fill the figure


def save_figure(rows: Sequence[Row], path: Path) -> None:
    """Write the figure as PNG; see `make_figure`."""
    with atomic_write(path, shared=True, private=False) as file:
        make_figure(rows).savefig(file, format="png", dpi=150)


def make_figure(rows: Sequence[Row]) -> Figure:
    """Draw a line for each method with the range of its seeds, and the upper limit.

    The upper limit is `supervised` with all masks.

    Args:
        rows: the rows of the comparison.
    """
    limits = [row for row in rows if (row.method, row.labels) == (BASELINE, ALL)]
    others = [row for row in rows if row not in limits]
    methods = list(dict.fromkeys(row.method for row in others))
    many = len(methods) > _MAX_IN_AXES
    figure = Figure(figsize=(8.4 if many else 6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    shift = min(1.02, _MAX_SHIFT ** (1 / max(1, len(methods))))
    for i, method in enumerate(methods):
        own = sorted((r for r in others if r.method == method), key=lambda r: r.images)
        # A small shift keeps bars with the same number of labels apart.
        positions = [row.images * shift**i for row in own]
        scores = [row.values("released") for row in own]
        means = [fmean(values) for values in scores]
        reach = [
            [mean - min(values) for mean, values in zip(means, scores, strict=True)],
            [max(values) - mean for mean, values in zip(means, scores, strict=True)],
        ]
        axes.errorbar(
            positions,
            means,
            yerr=reach,
            marker=_MARKERS[i // len(LINE_COLORS) % len(_MARKERS)],
            capsize=3,
            color=line_color(i),
            label=method,
        )
    for row in limits:
        values = row.values("released")
        label = f"{BASELINE}, all {row.images} masks"
        axes.axhline(fmean(values), color="gray", linestyle="--", label=label)
        axes.axhspan(min(values), max(values), color="gray", alpha=0.15, linewidth=0)
    counts = sorted({row.images for row in others})
    axes.set_xscale("log")
    if counts:  # wide, so that shifted points still look like one number of labels
        axes.set_xlim(counts[0] / 1.5, counts[-1] * 1.5)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(counts, [str(count) for count in counts])
    low, high = axes.get_ylim()
    if high - low < _MIN_HEIGHT:
        axes.set_ylim((low + high - _MIN_HEIGHT) / 2, (low + high + _MIN_HEIGHT) / 2)
    axes.set_xlabel("labeled images")
    axes.set_ylabel("mIoU on val, %; mean and range of the seeds")
    axes.grid(axis="y", alpha=0.3)
    if many:
        figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    else:
        axes.legend(frameon=False)
    return figure
