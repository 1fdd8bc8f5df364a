"""What a model would teach of its unlabelled images, and how much of it would be right.

For each class, at several thresholds of the confidence: the pixels taught, as a share of those
that truly are of the class, and the share of them that is right (precision). The same with the
weights of the classes taken out of the probabilities, and what the agreement of both spaces leaves.
The hidden masks are the truth. From the root of the repository:

    python benchmarks/labels.py runs/css ../shared/data/camvid --every 6
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import semiseg
from semiseg.data.folder import find_samples
from semiseg.data.masks import read_mask
from semiseg.data.splits import read_list
from semiseg.losses.imbalance import root_weights

THRESHOLDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)


def table(
    title: str,
    names: tuple[str, ...],
    truth: NDArray[np.uint8],
    label: NDArray[np.uint8],
    trust: NDArray[np.float32],
) -> None:
    """Print a row a threshold: `taught / right` of all pixels and of each class, in per cent."""
    print(f"\n{title}\n\n| at least | all | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
    true = np.bincount(truth, minlength=len(names))
    for threshold in THRESHOLDS:
        kept = trust >= threshold
        taught = np.bincount(label[kept], minlength=len(names))
        right = np.bincount(label[kept & (label == truth)], minlength=len(names))
        share = 100 * taught / np.maximum(true, 1)
        precise = 100 * right / np.maximum(taught, 1)
        cells = [f"{100 * kept.mean():.0f} / {100 * right.sum() / max(kept.sum(), 1):.1f}"]
        cells += [f"{s:.0f} / {p:.0f}" for s, p in zip(share, precise, strict=True)]
        print(f"| {threshold} | {' | '.join(cells)} |")


def main() -> None:
    """Segment the unlabelled images whose masks are there, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="of css, with --class-weights sqrt")
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, default=1, help="take every so many images")
    a = parser.parse_args()
    model = semiseg.load(a.run)
    classes = model.classes
    train = [s for s in find_samples(a.data, "train")[0] if s.mask is not None]
    labeled, hidden = (
        read_list(a.run / "split" / f"{part}.txt", train) for part in ("labeled", "unlabeled")
    )
    pixels = np.zeros(256, dtype=np.int64)
    for sample in labeled:
        pixels += np.bincount(np.array(read_mask(sample.mask, classes)).ravel(), minlength=256)
    weights = root_weights(pixels[: len(classes)].tolist()).numpy()
    found: list[tuple[NDArray[np.generic], ...]] = []
    for sample in hidden[:: a.every]:
        truth = np.array(read_mask(sample.mask, classes))
        told = model.predict(sample.image, probabilities=True)
        plain = told.probabilities.astype(np.float32) / np.maximum(weights, 1e-6)[:, None, None]
        plain /= plain.sum(axis=0)
        maps = truth, told.mask, told.confidence, told.nearest, plain.argmax(axis=0), plain.max(0)
        found.append(tuple(m[truth < len(classes)] for m in maps))
    truth, label, trust, nearest, other, calm = (
        np.concatenate(part) for part in zip(*found, strict=True)
    )
    print(f"{len(found)} images")
    table("By confidence", classes.names, truth, label, trust)
    agree = label == nearest
    table(
        "By confidence, where both spaces agree",
        classes.names,
        truth,
        label,
        np.where(agree, trust, -1.0),
    )
    table("The weights of the classes taken out", classes.names, truth, other, calm)


if __name__ == "__main__":
    main()
