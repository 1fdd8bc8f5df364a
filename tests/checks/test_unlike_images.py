"""`check` says what a training would find out: the unlabeled images are of another kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semiseg.commands.check import check


@pytest.mark.parametrize(("color", "count"), [((40, 120, 50), 0), ((200, 60, 180), 1)])
def test_unlabeled_images_of_another_color_are_a_warning(
    tmp_path: Path, color: tuple[int, int, int], count: int
) -> None:
    rng = np.random.default_rng(0)
    for split, number in (("train", 8), ("unlabeled", 8)):
        base = color if split == "unlabeled" else (40, 120, 50)
        for index in range(number):
            noise = rng.integers(-20, 21, size=(40, 40, 3))
            pixels = np.clip(np.array(base) + noise, 0, 255).astype(np.uint8)
            folder = tmp_path / split
            if split == "train":
                folder = folder / "images"
                mask = np.zeros((40, 40), np.uint8)
                mask[: 10 + index] = 1
                (tmp_path / "train" / "masks").mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(tmp_path / "train" / "masks" / f"{index}.png")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    kinds = [finding.kind for finding in check(tmp_path).findings]
    assert kinds.count("unlike-images") == count
