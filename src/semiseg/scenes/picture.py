"""The picture of the demo: scenes with the errors of two models, chosen by a fixed rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import read_mask
from semiseg.data.reader import read_samples
from semiseg.inference.load import load
from semiseg.plots.legend import GAP, INK, LINE, PAPER, load_font
from semiseg.plots.overlay import draw_errors

COMPARED_SCENES = 16
"""The validation scenes among which the rule chooses, the first ones."""
_TILE = 240  # pixels along the side of a scene in the picture


class ComparedScene(NamedTuple):
    """A scene with what two models do wrong in it.

    Attributes:
        image: RGB.
        truth: `(H, W)` class indices.
        masks: `(H, W)` class indices of each model.
        wrong: the share of the pixels that each model labels wrong, in percent.
    """

    image: Image.Image
    truth: NDArray[np.uint8]
    masks: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    wrong: tuple[float, float]

    @property
    def gain(self) -> float:
        """How many more percent of the pixels the second model labels right."""
        return self.wrong[0] - self.wrong[1]


def choose_scenes(gains: Sequence[float]) -> list[int]:
    """The two scenes with the largest gains, and the one with the median gain.

    Args:
        gains: of each scene, at least three. Of scenes with equal gains the first one counts.

    Example:
        >>> choose_scenes([1.0, -2.0, 5.0, 3.0, 0.5])
        [2, 3, 0]
    """
    ranking = sorted(range(len(gains)), key=lambda i: -gains[i])
    return [*ranking[:2], ranking[len(ranking) // 2]]


def draw_comparison(data: Path, runs: Sequence[Path]) -> Image.Image:
    """Three validation scenes: the image, the true mask, and the errors of two models.

    Of the first 16 scenes, the first two rows are those in which the second model is ahead of the
    first one by most pixels. The third row is the scene with the median difference.

    Args:
        data: a data folder with three or more scenes in `val`, all with masks.
        runs: the run folders of both models.
    """
    first, second = (load(run) for run in runs)
    scenes = []
    for sample in read_samples(data, "val")[:COMPARED_SCENES]:
        if sample.mask is None:
            continue
        image = read_image(sample.image).convert("RGB")
        truth = np.array(read_mask(sample.mask, first.classes))
        masks = tuple(model.predict(image, scale="fit").mask for model in (first, second))
        wrong = tuple(100 * float((mask != truth).mean()) for mask in masks)
        scenes.append(ComparedScene(image, truth, (masks[0], masks[1]), (wrong[0], wrong[1])))
    chosen = [scenes[i] for i in choose_scenes([scene.gain for scene in scenes])]
    names = [f"errors of {model.metadata.method}" for model in (first, second)]
    titles = ["image", "true mask", *names]
    rows = ["the largest gain", "the second largest", "the median of all"]
    step = _TILE + GAP
    canvas = Image.new("RGB", (4 * step - GAP, LINE + 3 * (step + LINE) - GAP), PAPER)
    pen, font = ImageDraw.Draw(canvas), load_font()
    for column, title in enumerate(titles):
        pen.text((column * step, 0), title, INK, font)
    for row, (name, scene) in enumerate(zip(rows, chosen, strict=True)):
        top = LINE + row * (step + LINE)
        image = scene.image.resize((_TILE, _TILE), Image.Resampling.LANCZOS)
        truth = _enlarged(scene.truth)
        tiles = [image, first.classes.to_rgb(truth)]
        tiles += [draw_errors(image, truth, _enlarged(mask)) for mask in scene.masks]
        notes = [name, "", *(f"{wrong:.0f} % of the pixels wrong" for wrong in scene.wrong)]
        for column, (tile, note) in enumerate(zip(tiles, notes, strict=True)):
            canvas.paste(tile, (column * step, top))
            pen.text((column * step, top + _TILE + 2), note, INK, font)
    return canvas


def _enlarged(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask at the size of a tile."""
    return np.array(Image.fromarray(mask).resize((_TILE, _TILE), Image.Resampling.NEAREST))
