"""Trust by measurement: does a threshold that is chosen on few masks hold on unlabeled images?

The threshold of the confidence is the smallest one, from 0 to 0.95, whose labels are right at a
wanted share of the pixels of some images with masks. The hidden masks say which share of the
unlabeled pixels is then taught, and how much of it is right. The masks to measure on are: those
that the run learned from; so many others of the unlabeled images, drawn twenty times, which are
then left out of the pool; and with `--folds` the run's own, each labeled by a run that learned from
the others only. A run with two spaces has a second table, for the labels on which both agree. From
the root of the repository:

    python benchmarks/thresholds.py runs/supervised ../shared/data/camvid \
        --folds runs/fold-1 runs/fold-2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import semiseg
from semiseg.augment.geometric import resize_nearest
from semiseg.augment.working_size import working_size
from semiseg.core.rng import Key
from semiseg.core.text import markdown_table
from semiseg.core.types import IGNORE_INDEX, Prediction, Sample
from semiseg.data.classes.labels import read_labels
from semiseg.data.dataset import Dataset
from semiseg.data.formats.images import read_image
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.inference.reading import INDICATOR_TEMPERATURE, Floats, Maps
from semiseg.inference.scenes import prototypes_of, segmenter
from semiseg.inference.views import Images, to_array
from semiseg.losses.class_balance import root_weights
from semiseg.losses.collaboration import class_prior
from semiseg.model.release import LOGIT_OFFSETS
from semiseg.training.data import count_pixels

GRID = 64
"""The short side of the grid on which labels are compared, in cells."""
STEPS = np.arange(96) / 100
"""The thresholds to choose from."""
DRAWS = 20
WANTED = (0.9, 0.95)

Counts = NDArray[np.int64]
"""`(..., 96, 2)`: the labels whose trust reaches each threshold, and the right ones among them."""


class Judgment(NamedTuple):
    """The labels of a judge.

    Attributes:
        label: uint8 class indices, of any shape.
        trust: float32 of the same shape, in 0..1; -1 where nothing is ever taught.
    """

    label: NDArray[np.uint8]
    trust: NDArray[np.float32]

    def only_where(self, other: NDArray[np.uint8]) -> Judgment:
        """The labels on which this judge agrees with another one."""
        return Judgment(self.label, np.where(self.label == other, self.trust, np.float32(-1)))


@dataclass(frozen=True)
class Look:
    """An image, its maps, and what a run says on a grid."""

    picture: Image.Image
    images: Images
    maps: Maps
    prediction: Prediction

    @property
    def judgment(self) -> Judgment:
        return Judgment(self.prediction.mask, self.prediction.confidence)

    @property
    def probabilities(self) -> Floats:
        """`(C, H, W)`."""
        if self.prediction.probabilities is None:
            raise TypeError("the probabilities were not kept")
        return self.prediction.probabilities.astype(np.float32)


class Teacher:
    """A finished run as it was before the adjustment of its logits.

    Args:
        run: the run folder; with `--class-weights sqrt`, the default.
        folder: its data.
    """

    def __init__(self, run: Path, folder: Dataset) -> None:
        model = semiseg.load(run)
        self.run, self.classes, self.reading = run, model.classes, model.reading
        self.labeled, unlabeled = (
            tuple(read_list(run / "split" / f"{part}.txt", folder.train))
            for part in ("labeled", "unlabeled")
        )
        self.hidden = tuple(sample for sample in unlabeled if sample.mask is not None)
        counts = count_pixels(self.labeled, folder.pixels, len(self.classes))
        tensors = dict(model.release.tensors)
        model.network.add_to_logits(-tensors.get(LOGIT_OFFSETS, torch.zeros(len(self.classes))))
        if "similarity_prior" in tensors:
            prior = class_prior(torch.tensor(counts) / sum(counts), root_weights(counts))
            tensors["similarity_prior"] = INDICATOR_TEMPERATURE * prior
        self.two_spaces = prototypes_of(tensors)[0] is not None
        self.segment = segmenter(model.network, model.metadata.size, tensors)

    def check_same_split(self, other: Teacher) -> None:
        """Refuse another run that learned from the hidden masks of this one."""
        if [sample.name for sample in self.labeled] != [sample.name for sample in other.labeled]:
            raise SystemExit(
                f"{self.run} and {other.run} have other labeled images. Train both with the same "
                "--labels and --split-seed."
            )

    def truth(self, sample: Sample, grid: int) -> NDArray[np.uint8]:
        """The true classes `(H, W)` on a grid with so many cells along the short side."""
        mask = np.array(read_labels(sample, self.classes, self.reading))
        return resize_nearest(mask, working_size(mask.shape[::-1], grid))

    def look(self, sample: Sample, target: tuple[int, int]) -> Look:
        """Segment an image, with labels on a grid of `(H, W)` cells."""
        picture = read_image(sample.image, self.reading)
        images = to_array(picture, self.segment.size)
        maps = self.segment.maps(images)
        prediction = self.segment.read(maps, 0, images, target, probabilities=True)
        return Look(picture, images, maps, prediction)

    def counts(self, samples: Sequence[Sample]) -> dict[str, Counts]:
        """The counts `(images, 96, 2)` by what gives the labels."""
        result: dict[str, list[Counts]] = {}
        for sample in samples:
            truth = self.truth(sample, GRID)
            look = self.look(sample, (len(truth), truth.shape[1]))
            judgments = {"one view": look.judgment}
            if look.prediction.nearest is not None:
                judgments["both spaces"] = look.judgment.only_where(look.prediction.nearest)
            for name, judgment in judgments.items():
                result.setdefault(name, []).append(_count(judgment, truth))
        return {name: np.stack(counts) for name, counts in result.items()}


def _count(judgment: Judgment, truth: NDArray[np.uint8]) -> Counts:
    labeled = truth != IGNORE_INDEX
    trust, right = judgment.trust[labeled], (judgment.label == truth)[labeled]
    return np.array([[(trust >= t).sum(), (right & (trust >= t)).sum()] for t in STEPS])


def smallest(counts: Counts, wanted: float) -> int:
    """The index of the smallest threshold that reaches the wanted precision, or of the largest.

    Args:
        counts: `(96, 2)`.
        wanted: the precision, in 0..1.
    """
    reached = (counts[:, 1] >= wanted * counts[:, 0]) & (counts[:, 0] > 0)
    return int(reached.argmax()) if reached.any() else len(STEPS) - 1


def _row(name: str, results: Sequence[tuple[int, Counts, int]]) -> list[str]:
    """A row of the table; with several results, the mean, the least and the most.

    Args:
        name: its name.
        results: the index of the threshold, the counts `(96, 2)` of the pool, and the pool's
            pixels, for each draw.
    """
    values = []
    for index, counts, pixels in results:
        labels, right = counts[index]
        values.append((STEPS[index], 100 * labels / pixels, 100 * right / max(1, labels)))
    cells = []
    for column, digits in zip(zip(*values, strict=True), (2, 1, 1), strict=True):
        text = f"{np.mean(column):.{digits}f}"
        if len(column) > 1:
            text += f" ({min(column):.{digits}f} to {max(column):.{digits}f})"
        cells.append(text)
    return [name, *cells]


def table(pool: Counts, pixels: Counts, own: Counts, folds: Counts | None, wanted: float) -> str:
    """The table for one wanted precision.

    Args:
        pool: `(images, 96, 2)` of the unlabeled images.
        pixels: `(images,)`, their pixels with a true class.
        own: `(images, 96, 2)` of the images that the run learned from.
        folds: the same, each by a run that did not learn from it; None without such runs.
        wanted: the precision, in 0..1.
    """
    whole, total = pool.sum(axis=0), int(pixels.sum())
    rows = [
        _row("fixed", [(len(STEPS) - 1, whole, total)]),
        _row("all hidden masks", [(smallest(whole, wanted), whole, total)]),
        _row("the masks learned from", [(smallest(own.sum(axis=0), wanted), whole, total)]),
    ]
    results, count = [], min(len(own), len(pool) // 2)
    for draw in range(DRAWS):
        order = Key.of(0, "masks", draw).numpy().permutation(len(pool))
        few, rest = order[:count], order[count:]
        index = smallest(pool[few].sum(axis=0), wanted)
        results.append((index, pool[rest].sum(axis=0), int(pixels[rest].sum())))
    rows.append(_row(f"{count} other masks, {DRAWS} draws", results))
    if folds is not None:
        rows.append(_row("cross-fitted", [(smallest(folds.sum(axis=0), wanted), whole, total)]))
    head = [f"measured on, for {100 * wanted:g} % right", "threshold", "share", "precision"]
    return markdown_table(head, rows)


def main() -> None:
    """Choose thresholds and print what they give on the unlabeled images."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    caption = "runs that learned from some of the labeled images each, to label the others"
    parser.add_argument("--folds", type=Path, nargs="+", default=[], help=caption)
    parser.add_argument("--every", type=int, default=1, help="take every so many unlabeled images")
    a = parser.parse_args()
    folder = load_dataset(a.data)
    teacher = Teacher(a.run, folder)
    hidden = teacher.hidden[:: a.every]
    pool, own = teacher.counts(hidden), teacher.counts(teacher.labeled)
    pixels = np.array([(teacher.truth(s, GRID) != IGNORE_INDEX).sum() for s in hidden])
    folds: dict[str, list[Counts]] = {}
    for run in a.folds:
        fold = Teacher(run, folder)
        seen = {sample.name for sample in fold.labeled}
        others = [sample for sample in teacher.labeled if sample.name not in seen]
        for name, counts in fold.counts(others).items():
            folds.setdefault(name, []).append(counts)
    print(f"{len(own['one view'])} labeled and {len(hidden)} unlabeled images")
    for name, counts in pool.items():
        crossed = np.concatenate(folds[name]) if name in folds else None
        for wanted in WANTED:
            print(f"\n{name}:\n")
            print(table(counts, pixels, own[name], crossed, wanted))


if __name__ == "__main__":
    main()
