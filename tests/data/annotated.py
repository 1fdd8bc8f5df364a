"""Helpers of the tests of annotation formats: photographs, and what is read of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from semiseg.data.dataset import Dataset
from semiseg.data.formats.masks import read_mask
from semiseg.data.reader import load_dataset

WIDTH, HEIGHT = 40, 30


def photograph(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write an image that no other path has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(str(path).encode()))
    Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


def rectangle(value: int, left: int, top: int, right: int, bottom: int, onto=None):
    """A mask with a rectangle, the right and the lower side not included."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8) if onto is None else onto
    mask[top:bottom, left:right] = value
    return mask


def masks_of(data: Dataset, split: str) -> dict[str, np.ndarray | None]:
    """The class indices of each image of a split by the image's name; None without a mask."""
    samples = data.samples[split]
    return {
        sample.image.name: np.array(read_mask(sample.mask, data.classes)) if sample.mask else None
        for sample in samples
    }


def read(root: Path) -> Dataset:
    """Read a folder that must be usable."""
    return load_dataset(root)


def kinds(data: Dataset) -> set[tuple[str, str]]:
    """The kinds of the findings with their severity."""
    return {(finding.kind, finding.severity) for finding in data.findings}
