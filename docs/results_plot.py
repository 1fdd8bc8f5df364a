"""Draws docs/results.png from the tables "Number of masks" of docs/results.md.

python docs/results_plot.py
"""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DOCS = Path(__file__).parent
Point = tuple[int, float, bool]
"""The number of masks, the mIoU, and whether it is that of a single seed."""
COLORS = {"supervised": "#6b6b6b", "css": "#0072b2"}


def tables(page: str) -> dict[str, dict[str, list[Point]]]:
    """The mIoU of each method by the number of masks, by the name of the data."""
    section = page.partition("### Number of masks\n")[2].partition("\n### ")[0]
    found: dict[str, dict[str, list[Point]]] = {}
    for block in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE):
        head, _, *rows = (line.strip("| ").split("|") for line in block.splitlines())
        masks = [int(re.findall(r"\d+", cell)[0]) for cell in head[1:]]
        found[head[0].strip()] = {
            row[0].strip(): [
                (number, float(cell.strip(" *")), "*" in cell)
                for number, cell in zip(masks, row[1:], strict=False)
                if cell.strip()
            ]
            for row in rows
        }
    return found


def draw(axes: Axes, name: str, methods: dict[str, list[Point]]) -> None:
    """One data set: the mIoU over the number of masks, on a logarithmic axis."""
    for method, points in methods.items():
        masks, scores, single = zip(*points, strict=True)
        color = COLORS[method]
        axes.plot(masks, scores, color=color, label=method)
        faces = ["white" if alone else color for alone in single]
        axes.scatter(masks, scores, c=faces, edgecolors=color, zorder=3)
    ticks = [number for number, *_ in methods["supervised"]]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(number) for number in ticks])
    axes.minorticks_off()
    axes.set(title=name, xlabel="masks", ylabel="mIoU on val, %")
    axes.grid(alpha=0.3)
    axes.legend()


def main() -> None:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    data = tables((DOCS / "results.md").read_text(encoding="utf-8"))
    for axes, (name, methods) in zip(figure.subplots(1, len(data)), data.items(), strict=True):
        draw(axes, name, methods)
    figure.savefig(DOCS / "results.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
