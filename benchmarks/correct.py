"""What correcting a mask costs in `semiseg correct`: a simulated annotator, whose rules stand here.

The images are drawn from those that the run did not learn from with a mask. They have one, so that
the truth is known. The annotator mends each of them four times: from an empty canvas, from the
model's mask, and from both with the tool Alike. From the root of the repository:

    python benchmarks/correct.py runs/correct-peanut ../shared/data/peanut

**Costs**, fixed before the first measurement: the clicks, and the painted pixels, until the mean
IoU of the image reaches 85 and 90 %. The mean is over the classes that occur in the image. A pixel
is painted if an action changes its label, once for each action. Pixels that the truth ignores count
nowhere: neither in the IoU, nor as painted, nor as wrong. An image that does not reach the IoU
within 600 clicks counts as 600 clicks, with the pixels painted until then.

**The annotator** knows the truth, mends what is largest first, and uses the best tool for it:

1. A wrong patch is a connected set of wrong pixels of one true class; neighbors share a side. The
   largest one is next, and its true class is painted. Its middle is the pixel that is farthest from
   the patch's border.
2. Each tool is tried on the patch. Its gain is the number of pixels that become right, less those
   that become wrong. The action with the largest gain per click is done; of equal ones, the one
   with fewer clicks.
3. This repeats. The next patch may be the rest of the last one.

**Tools and their clicks.** Keys (the class, the tool, the size of the brush, enter) are free for
all tools. An action paints exactly what the page of `semiseg correct` would paint.

* Brush: a dot on the middle takes 1 click. A straight stroke takes 2, one for each end. It goes
  through the middle in one of 8 directions, to both sides, as far as the patch reaches in a
  straight line. The brush has 1, 5, 11, 21, 41 or 81 pixels.
* Fill: 1 click on the middle. The connected patch of the mask there gets the class.
* Polygon: 1 click for each corner, 3 to 40 corners. It is the outline of the patch, or of the true
  region that holds it, without holes, simplified to a deviation of at most 1.5, 3, 6 or 12 pixels.
* Alike, where allowed: 1 click on the middle, and 1 for the slider, which the annotator moves to
  where the gain is largest. All selected pixels get the class, wherever they are in the image.

An empty canvas has no labels, and one fill gives all of it a class.

The first table has the sums over the images; a number in brackets says how many images did not
reach the IoU. The second table has the ratio of two sums of the same images, with the 95 % interval
of 10,000 bootstrap draws of images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

import semiseg
from semiseg.core.rng import Key
from semiseg.core.text import markdown_table
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.correction.model_view import ModelView
from semiseg.data.classes.labels import read_labels
from semiseg.data.formats.outlines import Outline, outlines, simplify
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.evaluation.metrics import scores_of_sums
from semiseg.inference.torch_model import Model

TARGETS = (85, 90)
MAX_CLICKS = 600
BRUSHES = (1, 5, 11, 21, 41, 81)
DIRECTIONS = 8
TOLERANCES = (1.5, 3, 6, 12)
CORNERS = range(3, 41)
WAYS = {
    "empty": (False, False),
    "model": (True, False),
    "model, alike": (True, True),
    "empty, alike": (False, True),
}
"""The name of each way: whether it starts from the model's mask, and whether it has Alike."""
RATIOS = (("model", "empty"), ("model, alike", "model"), ("empty, alike", "empty"))
DRAWS = 10_000
ROWS = Path(__file__).with_name("log") / "correct.jsonl"
_MARGIN = max(BRUSHES) // 2 + 1

Box = tuple[slice, slice]
Labels = NDArray[np.uint8]
Pixels = NDArray[np.bool_]
Counts = NDArray[np.intp]
AlikeMap = Callable[[int, int], Labels]
"""The map of what is alike, from the row and the column of a pixel."""


class Action(NamedTuple):
    """What a tool would do.

    Attributes:
        tool: its name.
        clicks: what it costs.
        gain: pixels that become right, less those that become wrong.
        box: the part of the image that holds the selected pixels.
        pixels: the selected pixels of this part.
    """

    tool: str
    clicks: int
    gain: float
    box: Box
    pixels: Pixels

    @property
    def worth(self) -> tuple[float, int]:
        return self.gain / self.clicks, -self.clicks


class Patch(NamedTuple):
    """A connected patch.

    Attributes:
        label: the true class of its pixels.
        size: the number of its pixels.
        box: the part of the image that holds it.
        pixels: its pixels in this part.
    """

    label: int
    size: int
    box: Box
    pixels: Pixels

    def moved(self, box: Box) -> Patch:
        """The patch in an image of which only a box was looked at."""
        own = (
            slice(inner.start + outer.start, inner.stop + outer.start)
            for inner, outer in zip(self.box, box, strict=True)
        )
        return self._replace(box=tuple(own))

    def middle(self) -> tuple[int, int]:
        """The row and the column of the pixel that is farthest from the border."""
        depth = ndimage.distance_transform_cdt(np.pad(self.pixels, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        return int(row) + self.box[0].start, int(column) + self.box[1].start


class Row(NamedTuple):
    """What one image cost in one way, by IoU; None where it was not reached.

    Attributes:
        data: the data set.
        number: the place of the image in the draw.
        way: one of `WAYS`.
        start: the IoU of the first mask, in percent.
        clicks: until each IoU.
        painted: pixels until each IoU.
        all_clicks: until the last one, or until the annotator stopped.
        all_painted: pixels until then.
        tools: how often each tool was used.
    """

    data: str
    number: int
    way: str
    start: float
    clicks: dict[int, int | None]
    painted: dict[int, int | None]
    all_clicks: int
    all_painted: int
    tools: dict[str, int]

    def cost(self, kind: str, target: int) -> int:
        """The cost until the target, or until the end where it was not reached."""
        if kind == "clicks":
            reached = self.clicks[target]
            return MAX_CLICKS if reached is None else reached
        reached = self.painted[target]
        return self.all_painted if reached is None else reached


class Correction:
    """An image whose mask is mended.

    Args:
        truth: `(H, W)` the true class indices, 255 where ignored.
        mask: `(H, W)` the first mask, 255 where nothing is painted.
        classes: the number of classes.
        alike: the map of what is alike, or None without this tool.
    """

    def __init__(
        self, truth: Labels, mask: Labels, classes: int, alike: AlikeMap | None = None
    ) -> None:
        self.truth, self.mask, self.alike = truth, mask.copy(), alike
        self.counted = truth != IGNORE_INDEX
        self.true = np.bincount(truth[self.counted], minlength=classes)[:classes]
        self.labels = np.flatnonzero(self.true).tolist()
        self._sums = self._count(Action("", 0, 0, (slice(None),) * 2, np.ones_like(self.counted)))
        self._largest = {label: self._find_largest(label) for label in self.labels}
        self._regions = {label: ndimage.label(truth == label)[0] for label in self.labels}
        self._polygons: dict[tuple[int, int], list[tuple[int, Box, Pixels]]] = {}

    def iou(self) -> float:
        """The mean IoU of the classes that occur, in percent."""
        sums = (torch.from_numpy(numbers) for numbers in (self.true, *self._sums))
        return scores_of_sums(*sums, [str(i) for i in range(len(self.true))])["miou"] or 0.0

    def next_action(self) -> tuple[Action, int] | None:
        """The best action on the largest wrong patch, and its class; None if all is right."""
        patch = max(
            (p for p in self._largest.values() if p is not None),
            key=lambda p: p.size,
            default=None,
        )
        if patch is None:
            return None
        actions = self._actions(patch, self._gains(patch.label))
        return max(actions, key=lambda action: action.worth), patch.label

    def do(self, action: Action, label: int) -> int:
        """Paint. Returns the number of painted pixels."""
        part, counted, truth = (a[action.box] for a in (self.mask, self.counted, self.truth))
        changes = action.pixels & counted & (part != label)
        before = self._count(action)
        part[action.pixels] = label
        after = self._count(action)
        self._sums = self._sums[0] + after[0] - before[0], self._sums[1] + after[1] - before[1]
        affected = np.bincount(truth[changes], minlength=len(self.true))
        for other in np.flatnonzero(affected).tolist():
            self._largest[other] = self._find_largest(other)
        return int(affected.sum())

    def _count(self, action: Action) -> tuple[Counts, Counts]:
        """The painted and the right pixels of each class among those that an action selects."""
        part, counted, truth = (a[action.box] for a in (self.mask, self.counted, self.truth))
        selected = action.pixels & counted
        painted, true, count = part[selected], truth[selected], len(self.true)
        return (
            np.bincount(painted, minlength=count)[:count],
            np.bincount(true[painted == true], minlength=count)[:count],
        )

    def _find_largest(self, label: int) -> Patch | None:
        wrong = (self.truth == label) & (self.mask != label)
        if not wrong.any():
            return None
        box = box_of(wrong)
        patches, _ = ndimage.label(wrong[box])
        sizes = np.bincount(patches.ravel())
        largest = int(sizes[1:].argmax()) + 1
        return patch_of(patches, largest, label, int(sizes[largest])).moved(box)

    def _gains(self, label: int) -> NDArray[np.float32]:
        """What painting each pixel with a class gains: 1, 0 or -1."""
        gains = -(self.counted & (self.mask == self.truth)).astype(np.float32)
        own = self.truth == label
        gains[own] = self.mask[own] != label
        return gains

    def _actions(self, patch: Patch, gains: NDArray[np.float32]) -> Iterator[Action]:
        row, column = patch.middle()
        yield self._fill(row, column, gains)
        for start, end in segments(patch, row, column):
            yield from strokes(start, end, gains)
        region = self._regions[patch.label]
        for clicks, box, pixels in (
            *polygons(patch, gains.shape),
            *self._region_polygons(patch.label, int(region[row, column])),
        ):
            yield Action("polygon", clicks, float(gains[box][pixels].sum()), box, pixels)
        if self.alike is not None:
            yield select_alike(self.alike(row, column), gains)

    def _region_polygons(self, label: int, number: int) -> list[tuple[int, Box, Pixels]]:
        """The polygons around a true region, which are drawn once."""
        key = label, number
        if key not in self._polygons:
            region = patch_of(self._regions[label], number, label, 0)
            self._polygons[key] = list(polygons(region, self.truth.shape))
        return self._polygons[key]

    def _fill(self, row: int, column: int, gains: NDArray[np.float32]) -> Action:
        regions, _ = ndimage.label(self.mask == self.mask[row, column])
        region = patch_of(regions, int(regions[row, column]), 0, 0)
        return Action(
            "fill", 1, float(gains[region.box][region.pixels].sum()), region.box, region.pixels
        )


def patch_of(patches: NDArray[np.int32], number: int, label: int, size: int) -> Patch:
    """One of the numbered patches of an image."""
    pixels = patches == number
    box = box_of(pixels)
    return Patch(label, size, box, pixels[box])


def box_of(pixels: Pixels) -> Box:
    """The smallest box that holds all selected pixels, of which there is at least one."""
    rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def segments(
    patch: Patch, row: int, column: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """The straight strokes through a pixel, within a patch; the first one is a dot."""
    yield (row, column), (row, column)
    height, width = patch.pixels.shape
    top, left = patch.box[0].start, patch.box[1].start
    reach = np.arange(height + width)
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        ends = []
        for sign in (1, -1):
            rows = np.rint(row - top + sign * reach * np.sin(angle)).astype(int)
            columns = np.rint(column - left + sign * reach * np.cos(angle)).astype(int)
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            free = inside & patch.pixels[rows.clip(0, height - 1), columns.clip(0, width - 1)]
            last = int(free.argmin()) - 1  # the patch ends somewhere, at the latest with its box
            ends.append((int(rows[last]) + top, int(columns[last]) + left))
        if ends[0] != ends[1]:
            yield ends[0], ends[1]


def strokes(
    start: tuple[int, int], end: tuple[int, int], gains: NDArray[np.float32]
) -> Iterator[Action]:
    """A stroke between the middles of two pixels, with each size of the brush."""
    box = tuple(
        slice(max(0, min(ends) - _MARGIN), min(side, max(ends) + _MARGIN + 1))
        for ends, side in zip(zip(start, end, strict=True), gains.shape, strict=True)
    )
    y, x = np.ogrid[box[0], box[1]]
    dy, dx = end[0] - start[0], end[1] - start[1]
    py, px = y - start[0], x - start[1]
    length = dx * dx + dy * dy
    t = ((py * dy + px * dx) / length).clip(0, 1) if length else np.zeros(1)
    distance = (px - t * dx) ** 2 + (py - t * dy) ** 2
    limits = [(size / 2) ** 2 for size in BRUSHES]
    first = np.searchsorted(limits, distance)  # the smallest brush that paints the pixel
    sums = np.bincount(first.ravel(), gains[box].ravel(), len(BRUSHES) + 1).cumsum()
    for brush in range(len(BRUSHES)):
        yield Action("brush", 2 if length else 1, float(sums[brush]), box, first <= brush)


def polygons(patch: Patch, shape: tuple[int, ...]) -> Iterator[tuple[int, Box, Pixels]]:
    """The corners, the box and the pixels of each polygon around a patch."""
    rings = [
        shape
        for shape in outlines(patch.pixels.astype(np.uint8), 0, along_edges=True)
        if isinstance(shape, Outline) and shape.label == 1
    ]
    if not rings:  # the patch is too small
        return
    corners = rings[0].points + 0.5 + (patch.box[1].start, patch.box[0].start)
    for tolerance in TOLERANCES:
        points = simplify(corners, tolerance)
        if len(points) not in CORNERS:
            continue
        box = tuple(
            slice(max(0, int(low)), min(side, int(high) + 1))
            for low, high, side in zip(points.min(0)[::-1], points.max(0)[::-1], shape, strict=True)
        )
        yield len(points), box, inside(points, box)


def inside(points: NDArray[np.float64], box: Box) -> Pixels:
    """The pixels of a box whose middles lie inside a polygon of x and y (even-odd rule)."""
    y, x = np.ogrid[box[0], box[1]]
    y, x = y + 0.5, x + 0.5
    pixels = np.zeros((y.size, x.size), np.bool_)
    for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
        if ay != by:
            crosses = (ay <= y) != (by <= y)
            pixels ^= crosses & (x >= ax + (y - ay) / (by - ay) * (bx - ax))
    return pixels


def select_alike(alike: Labels, gains: NDArray[np.float32]) -> Action:
    """What the slider selects where it gains most."""
    rows, columns = (
        (np.arange(side) + 0.5) * count // side
        for side, count in zip(gains.shape, alike.shape, strict=True)
    )
    values = alike[np.ix_(rows.astype(int), columns.astype(int))]
    sums = np.bincount(values.ravel(), gains.ravel(), 256)[::-1].cumsum()[::-1]
    limit = int(sums.argmax())
    return Action("alike", 2, float(sums[limit]), (slice(None), slice(None)), values >= limit)


def mend(correction: Correction) -> Row:
    """Mend a mask until the last target, without the names of the image and the way."""
    start = iou = correction.iou()
    clicks: dict[int, int | None] = dict.fromkeys(TARGETS)
    painted: dict[int, int | None] = dict.fromkeys(TARGETS)
    tools: dict[str, int] = {}
    all_clicks = all_painted = 0
    while True:
        for target in TARGETS:
            if iou >= target and clicks[target] is None:
                clicks[target], painted[target] = all_clicks, all_painted
        choice = None if clicks[TARGETS[-1]] is not None else correction.next_action()
        if choice is None or all_clicks + choice[0].clicks > MAX_CLICKS:
            return Row("", 0, "", start, clicks, painted, all_clicks, all_painted, tools)
        action, label = choice
        all_painted += correction.do(action, label)
        all_clicks += action.clicks
        tools[action.tool] = tools.get(action.tool, 0) + 1
        iou = correction.iou()


def simulate(model: Model, samples: Mapping[int, Sample], data: str) -> Iterator[Row]:
    """Mend the mask of each image, by its number, in each way."""
    view = ModelView(model)
    for number, sample in samples.items():
        truth = np.array(read_labels(sample, model.classes, model.reading))
        height, width = truth.shape
        proposal = model.predict(sample.image, scale="fit").mask

        def alike(row: int, column: int, sample: Sample = sample) -> Labels:
            return view.alike(sample.image, (column + 0.5) / width, (row + 0.5) / height)  # noqa: B023

        for way, (has_mask, has_alike) in WAYS.items():
            first = proposal if has_mask else np.full_like(truth, IGNORE_INDEX)
            correction = Correction(truth, first, len(model.classes), alike if has_alike else None)
            yield mend(correction)._replace(data=data, number=number, way=way)


def ratio(tops: Sequence[int], bottoms: Sequence[int]) -> str:
    """The ratio of two sums of paired costs, with its bootstrap interval."""
    pairs = np.array([tops, bottoms], np.float64)
    rng = Key.of(0, "correct", "bootstrap").numpy()
    draws = rng.integers(pairs.shape[1], size=(DRAWS, pairs.shape[1]))
    sums = pairs[:, draws].sum(axis=2)
    total = pairs.sum(axis=1)
    if not total[1] or not sums[1].all():
        return "no ratio"
    low, high = np.percentile(sums[0] / sums[1], (2.5, 97.5))
    return f"{total[0] / total[1]:.2f} ({low:.2f} to {high:.2f})"


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """The sums of each way, and the ratios of two ways."""
    by_way = {way: [row for row in rows if row.way == way] for way in WAYS}
    costs = [(kind, target) for kind in ("clicks", "painted") for target in TARGETS]
    names = [f"{kind} to {target} %" for kind, target in costs]
    lines = []
    for way, own in by_way.items():
        line = [way, f"{np.mean([row.start for row in own]):.1f}"]
        for kind, target in costs:
            missed = sum(row.clicks[target] is None for row in own)
            total = sum(row.cost(kind, target) for row in own)
            line.append(f"{total:,}" + (f" ({missed})" if missed else ""))
        tools: dict[str, int] = {}
        for row in own:
            for tool, count in row.tools.items():
                tools[tool] = tools.get(tool, 0) + count
        line.append(", ".join(f"{tool} {count}" for tool, count in sorted(tools.items())))
        lines.append(line)
    count = len(by_way["empty"])
    yield markdown_table([f"start, {count} images", "IoU", *names, "actions"], lines)
    ratios = [
        [f"{top} / {bottom}"]
        + [
            ratio(*([row.cost(kind, target) for row in by_way[way]] for way in (top, bottom)))
            for kind, target in costs
        ]
        for top, bottom in RATIOS
    ]
    yield markdown_table(["ratio", *names], ratios)


def main() -> None:
    """Write a line for each image and way, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--skip", type=int, default=0, help="images of the draw to leave out")
    parser.add_argument("--rows", type=Path, default=ROWS)
    a = parser.parse_args()
    unlabeled = read_list(a.run / "split" / "unlabeled.txt", load_dataset(a.data).train)
    samples = [sample for sample in unlabeled if sample.mask is not None]
    order = Key.of(0, "correct", "images").numpy().permutation(len(samples))
    numbers = range(a.skip, min(a.skip + a.images, len(order)))
    chosen = {number: samples[order[number]] for number in numbers}
    rows = []
    for row in simulate(semiseg.load(a.run), chosen, a.data.resolve().name):
        rows.append(row)
        with a.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row._asdict()) + "\n")
    print("\n\n".join(tables(rows)))


if __name__ == "__main__":
    main()
