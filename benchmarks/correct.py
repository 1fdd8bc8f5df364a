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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from annotator import Correction, Labels

import semiseg
from semiseg.core.rng import Key
from semiseg.core.text import markdown_table
from semiseg.core.types import IGNORE_INDEX, Sample
from semiseg.correction.model_view import ModelView
from semiseg.data.classes.labels import read_labels
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.inference.torch_model import Model

TARGETS = (85, 90)
MAX_CLICKS = 600
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
