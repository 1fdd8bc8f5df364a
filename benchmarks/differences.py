"""Where two models differ on `val`: by class, by the distance to a border, by thickness, by image.

The runs share data and validation images. A pixel's distance is that to the nearest pixel of
another class in the mask. The thickness of a region, a connected part of one class, is twice the
largest such distance in it. From the root of the repository:

    python benchmarks/differences.py runs/encoders-peanut/lite0-supervised \
        runs/encoders-peanut/DINOv2-S-supervised ../shared/data/peanut
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

import semiseg
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import read_mask
from semiseg.data.image_lists import read_list
from semiseg.data.reader import load_dataset
from semiseg.evaluation.metrics import confusion_matrix, scores

DISTANCES = (2, 5, 10, np.inf)
"""The upper ends of the groups of distances, in pixels of the mask."""
THICKNESSES = (4, 8, 16, 32, np.inf)
"""The upper ends of the groups of thicknesses, in pixels of the mask."""


class Counts:
    """Correct pixels of two models and all pixels, in groups."""

    def __init__(self, ends: tuple[float, ...]) -> None:
        self.ends = ends
        self.table = np.zeros((len(ends), 3), dtype=np.int64)

    def add(
        self, values: NDArray[np.float64], correct: list[NDArray[np.bool_]], use: NDArray[np.bool_]
    ) -> None:
        """Count the pixels of one image by a value of each pixel."""
        group = np.searchsorted(self.ends, values)
        for i in range(len(self.ends)):
            members = use & (group == i)
            self.table[i] += [*((one & members).sum() for one in correct), members.sum()]

    def rows(self, name: str) -> list[str]:
        """The table in Markdown: the share of each group, and of it what each model gets right."""
        lines = [
            f"| {name} | share of the pixels | first, right | second, right |",
            "|---|---:|---:|---:|",
        ]
        total, lower = max(1, self.table[:, 2].sum()), 0.0
        for end, (first, second, count) in zip(self.ends, self.table, strict=True):
            text = f"above {lower:g}" if np.isinf(end) else f"{lower:g} to {end:g}"
            shares = [f"{100 * n / max(1, count):.1f}" for n in (first, second)]
            lines.append(f"| {text} | {100 * count / total:.1f} | {shares[0]} | {shares[1]} |")
            lower = end
        return lines


def border_distances(
    mask: NDArray[np.uint8], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each pixel the distance to another class, and the thickness of its region."""
    distance, thickness = np.zeros(mask.shape), np.zeros(mask.shape)
    for c in range(classes):
        inside = mask == c
        if not inside.any():
            continue
        own = (
            ndimage.distance_transform_edt(inside)
            if not inside.all()
            else np.full(mask.shape, np.inf)
        )
        distance[inside] = own[inside]
        parts, count = ndimage.label(inside, structure=np.ones((3, 3)))
        largest = ndimage.maximum(own, parts, np.arange(count + 1))
        thickness[inside] = 2 * largest[parts[inside]]
    return distance, thickness


def main() -> None:
    """Predict the validation images with both models and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("data", type=Path)
    a = parser.parse_args()
    models = [semiseg.load(run) for run in (a.first, a.second)]
    classes = models[0].classes
    count = len(classes)
    folder = load_dataset(a.data)
    samples = read_list(a.first / "split" / "val.txt", folder.val or folder.train)
    confusion = torch.zeros(2, count, count, dtype=torch.long)
    by_distance, by_thickness = Counts(DISTANCES), Counts(THICKNESSES)
    images: list[tuple[float, str, list[float]]] = []
    for sample in samples:
        image = read_image(sample.image, models[0].reading)
        mask = np.array(read_mask(sample.mask, classes))
        use = mask != IGNORE_INDEX
        predictions = [np.asarray(model.predict(image).mask) for model in models]
        own = [confusion_matrix(*map(torch.from_numpy, (p, mask)), count) for p in predictions]
        confusion += torch.stack(own)
        values = [scores(table, classes.names)["miou"] or 0.0 for table in own]
        images.append((values[1] - values[0], sample.name, values))
        distance, thickness = border_distances(mask, count)
        correct = [p == mask for p in predictions]
        by_distance.add(distance, correct, use)
        by_thickness.add(thickness, correct, use)
    _print(classes.names, confusion, images)
    print("\n".join(["", *by_distance.rows("distance to another class, pixels"), ""]))
    print("\n".join(by_thickness.rows("thickness of the region, pixels")))


def _print(
    names: tuple[str, ...], confusion: Tensor, images: list[tuple[float, str, list[float]]]
) -> None:
    """The scores by class, and the images that differ most."""
    first, second = (scores(table, names) for table in confusion)
    print("| class | first, IoU | second, IoU |\n|---|---:|---:|")
    for name in names:
        cells = [one["per_class"][name]["iou"] for one in (first, second)]
        print(f"| {name} | {' | '.join('-' if c is None else f'{c:.1f}' for c in cells)} |")
    print(f"| mean | {first['miou']:.1f} | {second['miou']:.1f} |")
    better = sum(difference > 0 for difference, _, _ in images)
    print(f"\nthe second model is better on {better} of {len(images)} images\n")
    print("| image | first, mIoU | second, mIoU |\n|---|---:|---:|")
    images.sort()
    for _, name, values in dict.fromkeys((d, n, tuple(v)) for d, n, v in images[:3] + images[-3:]):
        print(f"| {name} | {values[0]:.1f} | {values[1]:.1f} |")


if __name__ == "__main__":
    main()
