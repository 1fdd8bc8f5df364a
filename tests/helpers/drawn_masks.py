"""Drawn data folders: images, and masks that are saved as a test says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.data.classes.labels import read_labels
from semiseg.data.dataset import Dataset
from semiseg.data.reader import read_dataset

Pixels = NDArray[np.uint8]
Save = Callable[[int, Pixels, Path], object]
"""Saves the mask of an image: its number, its class indices, and its path without a suffix."""
LOOKS = np.array([[90, 70, 50], [60, 160, 60], [180, 60, 60], [60, 60, 180], [200, 200, 60]])
COLORS = np.array([[0, 0, 0], [0, 0, 255], [255, 0, 0], [0, 255, 0]], np.uint8)


def draw_indices(seed: int, classes: int = 2, size: tuple[int, int] = (96, 72)) -> Pixels:
    """`(H, W)` discs on soil, one of each class."""
    rng = np.random.default_rng(seed)
    width, height = size
    indices = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width]
    for index in range(1, classes):
        center = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
        radius = rng.uniform(0.14, 0.25) * min(size)
        indices[(x - center[0]) ** 2 + (y - center[1]) ** 2 < radius**2] = index
    return indices


def photograph(indices: Pixels, seed: int = 0) -> Image.Image:
    """A noisy photograph of class indices."""
    noise = np.random.default_rng(seed).normal(0, 8, (*indices.shape, 1))
    return Image.fromarray((LOOKS[indices % 5] + noise).clip(0, 255).astype(np.uint8))


def write_folder(
    root: Path,
    save: Save,
    count: int = 4,
    draw: Callable[[int], Pixels] = draw_indices,
) -> dict[str, Pixels]:
    """Write `images/` and `masks/` below `root`.

    Returns:
        The class indices by the names of the images.
    """
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    truth = {}
    for number in range(count):
        indices = draw(number)
        photograph(indices, number).save(root / "images" / f"{number}.png")
        save(number, indices, root / "masks" / f"{number}")
        truth[f"{number}"] = indices
    return truth


def png(values: NDArray[np.generic], path: Path) -> None:
    """Save values as a PNG."""
    Image.fromarray(values).save(f"{path}.png")


def jpeg(values: NDArray[np.generic], path: Path, quality: int = 85) -> None:
    """Save values as a JPEG."""
    Image.fromarray(values).save(f"{path}.jpg", quality=quality)


def kinds(data: Dataset, severity: str = "warning") -> list[str]:
    """The kinds of the findings of a severity."""
    return [finding.kind for finding in data.findings if finding.severity == severity]


def read_all(data: Dataset) -> dict[str, Pixels]:
    """The labels of all labeled images, as a training reads them.

    The counts of the scan must be those of the pixels that are read.
    """
    labels = {}
    for sample, mask in data.labeled("train"):
        pixels = np.asarray(read_labels(sample, data.classes, data.reading))
        if data.masks[mask].size == data.images[sample.image].size:
            values, counts = np.unique(pixels, return_counts=True)
            counted = {index: n for index, n in data.counts[mask].items() if n}
            assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == counted
        labels[sample.name] = pixels
    return labels


def read(root: Path, **options: object) -> tuple[Dataset, dict[str, Pixels]]:
    """A data folder without errors, and the labels of its images."""
    data = read_dataset(root, **options)
    assert data.errors() == ()
    return data, read_all(data)
