"""Where the plan takes unlabeled images for others than the labeled ones, and trains supervised.

Nothing is trained. From the root of the repository:

    python benchmarks/likeness.py ../shared/data/camvid ../shared/data/peanut ../shared/data/nuclei

The labeled images are drawn at random, or they are neighbors by name, such as those of one drive.
The unlabeled images are all others of the same data, or all of other data. A data set of which some
images are dark and the others bright is also two sets.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.config.method_choice import are_unlike
from semiseg.core.rng import Key
from semiseg.core.types import Likeness, Sample
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.likeness import MAX_SAMPLED_IMAGES, compare_features, image_features
from semiseg.scenes.draw import write_scenes

DARK = 1.5
"""Images below this brightness, the first feature, are dark; a white image has 6.25."""
MIN_SHARE = 0.1
"""The share of the images that the dark or the bright ones must have to be a set."""

Features = NDArray[np.float64]


def at_random(images: int, count: int, seed: int) -> NDArray[np.bool_]:
    """`(images,)` which images have labels: some at random."""
    labeled = np.zeros(images, dtype=np.bool_)
    labeled[Key.of(seed, "labels").numpy().permutation(images)[:count]] = True
    return labeled


def neighbors(images: int, count: int, seed: int) -> NDArray[np.bool_]:
    """`(images,)` which images have labels: some that follow each other."""
    labeled = np.zeros(images, dtype=np.bool_)
    start = int(Key.of(seed, "start").numpy().integers(images - count + 1))
    labeled[start : start + count] = True
    return labeled


def compare(labeled: Features, unlabeled: Features, seed: int) -> Likeness | None:
    """The distances between as many images as the plan reads."""
    sampled = (
        features[Key.of(seed, name).numpy().permutation(len(features))[:MAX_SAMPLED_IMAGES]]
        for name, features in (("labeled", labeled), ("unlabeled", unlabeled))
    )
    return compare_features(*sampled)


def read(folder: Path) -> Features:
    """The features of all images of a folder, in the order of their names."""
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    return image_features([Sample(file.stem, file, None) for file in files])


def kinds(name: str, features: Features) -> dict[str, Features]:
    """A data set, and its dark and its bright images if there are both."""
    dark = features[:, 0] < DARK
    sets = {name: features}
    if MIN_SHARE < dark.mean() < 1 - MIN_SHARE:
        sets |= {f"{name}, dark": features[dark], f"{name}, bright": features[~dark]}
    return sets


def row(name: str, results: Iterable[Likeness | None]) -> str:
    """A row of the table: the ranges of the distances, and how often the plan trains supervised."""
    values = [likeness for likeness in results if likeness is not None]
    ranges = [
        f"{min(part):.2f} to {max(part):.2f}" for part in zip(*values, strict=True)
    ]  # apart, among
    share = sum(map(are_unlike, values)) / len(values)
    return f"| {name} | {ranges[0]} | {ranges[1]} | {100 * share:.0f} % |"


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--labels", nargs="+", type=int, default=[8, 23, 60])
    parser.add_argument("--draws", type=int, default=200, help="for each number of labels")
    args = parser.parse_args()
    sets: dict[str, Features] = {}
    for folder in args.data:
        sets |= kinds(folder.resolve().name, read(folder / "train" / "images"))
    with tempfile.TemporaryDirectory() as root:
        scenes = write_scenes(Path(root), labeled=max(args.labels), unlabeled=64, val=1)
        parts = [read(scenes / name) for name in ("train/images", "unlabeled")]
    sets["scenes of the demo"] = np.concatenate(parts)
    print("| labeled | unlabeled | apart | among the labeled ones | supervised |")
    print("|---|---|---|---|---|")
    for name, features in sets.items():
        draws = [
            (count, seed)
            for count in args.labels
            for seed in range(args.draws)
            if count < len(features)
        ]
        if not draws:  # there are no more images than labels
            continue
        for title, draw in (("at random", at_random), ("neighbors", neighbors)):
            labelings = [(draw(len(features), *numbers), numbers[1]) for numbers in draws]
            results = [compare(features[yes], features[~yes], seed) for yes, seed in labelings]
            print(row(f"{name}, {title} | the others", results))
        for other, unlabeled in sets.items():
            if other == name:
                continue
            labelings = [(at_random(len(features), *numbers), numbers[1]) for numbers in draws]
            results = [compare(features[yes], unlabeled, seed) for yes, seed in labelings]
            print(row(f"{name} | {other}", results))


if __name__ == "__main__":
    main()
