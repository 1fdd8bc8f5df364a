"""How many images `predict` calls unlike those of a training, by what was done to them.

Nothing is trained: only what a model remembers of its images is computed. The references are a
number of images of `train`, drawn at random; the images are those of `val`, as they are, changed,
or of the other data. A data set of drawn scenes is added. From the root of the repository:

    python benchmarks/unlike.py ../shared/data/peanut ../shared/data/nuclei ../shared/data/camvid

With `--run`, the table is that of a trained model instead, with its mean confidence. The first data
are those of its training:

    python benchmarks/unlike.py ../shared/data/peanut ../shared/data/nuclei --run runs/peanut
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

import semiseg
from semiseg.core.rng import Key
from semiseg.core.types import UNLIKE_LIMIT
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.images import read_image
from semiseg.data.references import (
    MAX_REFERENCES,
    describe_image,
    read_references,
    references_of,
)
from semiseg.scenes.draw import write_scenes

OTHERS = "other data"


def blurred(image: Image.Image) -> Image.Image:
    """The image behind a Gaussian filter whose deviation is a fortieth of the short side."""
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / 40))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "gray": lambda image: image.convert("L").convert("RGB"),
    "dark (30 %)": lambda image: image.point(lambda value: value * 0.3),
    "bright (200 %)": lambda image: image.point(lambda value: min(255, 2 * value)),
    "blurred": blurred,
    "inverted": ImageOps.invert,
    "red and blue swapped": lambda image: Image.merge("RGB", image.split()[::-1]),
}


def files_of(folder: Path) -> list[Path]:
    """The images of a folder, in the order of their names."""
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)


def measure(
    train: NDArray[np.float64],
    images: dict[str, Sequence[NDArray[np.float64]]],
    count: int,
    draws: int,
) -> list[str]:
    """The shares of unlike images of each kind in percent, for so many references."""
    shares: dict[str, list[float]] = {name: [] for name in images}
    for seed in range(draws if count < len(train) else 1):
        order = Key.of(seed, "references").numpy().permutation(len(train))[:count]
        references = references_of(train[order])
        if references is None:
            raise SystemExit("--references: at least 4 images are needed")
        for name, features in images.items():
            numbers = np.array([references.compare(row) for row in features])
            shares[name].append(100 * float((numbers > UNLIKE_LIMIT).mean()))
    return [f"{np.mean(values):.0f}" for values in shares.values()]


def compare(sets: dict[str, tuple[list[Path], list[Path]]], counts: list[int], draws: int) -> None:
    """Print a table of all data sets; each has the images of its training, and those of `val`."""
    features = {
        name: {
            change: [describe_image(apply(read(file))) for file in val]
            for change, apply in CHANGES.items()
        }
        for name, (_, val) in sets.items()
    }
    print(f"| training | references | {' | '.join([*CHANGES, OTHERS])} |")
    print("|---" * (len(CHANGES) + 3) + "|")
    for name, (train, _) in sets.items():
        known = np.array([describe_image(read(file)) for file in train])
        others = [row for other in sets if other != name for row in features[other]["as it is"]]
        for count in sorted({min(count, len(train)) for count in counts}):
            shares = measure(known, {**features[name], OTHERS: others}, count, draws)
            print(f"| {name} | {count} | {' | '.join(shares)} |")
    print()
    for name, (train, _) in sets.items():
        start = time.perf_counter()
        read_references(train, [])
        seconds = time.perf_counter() - start
        print(
            f"{name}: {seconds:.2f} s for {min(len(train), MAX_REFERENCES)} images of the training"
        )


def read(file: Path) -> Image.Image:
    """An image in RGB."""
    return read_image(file).convert("RGB")


def ask(run: Path, data: list[Path], limit: int) -> None:
    """Print what a trained model says of images as they are, changed ones, and other data."""
    model = semiseg.load(run)
    own, *others = (files_of(one / "val" / "images")[:limit] for one in data)
    kinds = {name: [change(read(file)) for file in own] for name, change in CHANGES.items()}
    kinds |= {
        one.resolve().name: list(map(read, part))
        for one, part in zip(data[1:], others, strict=True)
    }
    print("| images | mean confidence | median of unlike | above the limit, % |")
    print("|---|---|---|---|")
    for name, images in kinds.items():
        predictions = [model.predict(image) for image in images]
        confidence = np.mean([one.confidence.mean() for one in predictions])
        numbers = [one.unlike for one in predictions if one.unlike is not None]
        if not numbers:
            raise SystemExit(f"{run} does not know the images of its training: train it again")
        far = 100 * np.mean(np.array(numbers) > UNLIKE_LIMIT)
        print(f"| {name} | {confidence:.2f} | {np.median(numbers):.1f} | {far:.0f} |")


def main() -> None:
    """Print a table in Markdown, and the time of a training's own references."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--references", nargs="+", type=int, default=[12, 40, 256])
    parser.add_argument("--draws", type=int, default=10, help="for each number of references")
    parser.add_argument("--scenes", type=int, default=120, help="drawn scenes without masks")
    parser.add_argument("--run", type=Path, help="a trained model; prints only its table")
    parser.add_argument("--images", type=int, default=40, help="of each kind, for --run")
    args = parser.parse_args()
    if args.run is not None:
        ask(args.run, args.data, args.images)
        return
    with tempfile.TemporaryDirectory() as root:
        scenes = write_scenes(
            Path(root), labeled=8, unlabeled=args.scenes, val=max(1, args.scenes // 3)
        )
        train = [*files_of(scenes / "train/images"), *files_of(scenes / "unlabeled")]
        sets = {"scenes of the demo": (train, files_of(scenes / "val/images"))}
        for data in args.data:
            sets[data.resolve().name] = (
                files_of(data / "train" / "images"),
                files_of(data / "val" / "images"),
            )
        compare(sets, args.references, args.draws)


if __name__ == "__main__":
    main()
