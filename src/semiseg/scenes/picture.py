"""The picture of the demo: scenes with the errors of two models, chosen by a fixed rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import Classes, read_mask
from semiseg.data.reader import read_samples
from semiseg.inference.load import load
from semiseg.plots.legend import FONT_SIZE, GAP, INK, LINE, PAPER, draw_legend, load_font
from semiseg.plots.overlay import draw_errors

_TILE = 240  # pixels along the side of a scene in the picture
_LARGE = 18  # pixels, the size of the letters to read first
_ONE_WRONG, _BOTH_WRONG = (214, 0, 60), (243, 178, 190)  # no colors of the scenes' classes


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
    masks: Sequence[NDArray[np.uint8]]
    wrong: Sequence[float]


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


def draw_comparison(data: Path, runs: Mapping[str, Path]) -> Image.Image:
    """Three validation scenes: the image, the true mask, and the errors of two models.

    The first two rows are the scenes in which the second model is ahead of the first one by most
    pixels. The third row is the scene with the median difference.

    Args:
        data: a data folder with three or more square scenes in `val`, all with masks.
        runs: the run folders of both models, by the titles of their columns.
    """
    first, second = (load(run) for run in runs.values())
    scenes = []
    for sample in read_samples(data, "val"):
        if sample.mask is None:
            continue
        image = read_image(sample.image).convert("RGB")
        truth = np.array(read_mask(sample.mask, first.classes))
        masks = [model.predict(image, scale="fit").mask for model in (first, second)]
        wrong = [100 * float((mask != truth).mean()) for mask in masks]
        scenes.append(ComparedScene(image, truth, masks, wrong))
    return draw_chosen(scenes, first.classes, list(runs))


def draw_chosen(
    scenes: Sequence[ComparedScene], classes: Classes, names: Sequence[str]
) -> Image.Image:
    """The chosen scenes in rows, below the titles of the columns and above the legend.

    Args:
        scenes: all scenes, at least three.
        classes: their classes.
        names: of both models.
    """
    gains = [scene.wrong[0] - scene.wrong[1] for scene in scenes]
    chosen = [scenes[i] for i in choose_scenes(gains)]
    step, head = _TILE + GAP, 2 * LINE + GAP
    width, bottom = 4 * step - GAP, head + 3 * (step + LINE + GAP)
    canvas = Image.new("RGB", (width, bottom + 2 * LINE), PAPER)
    pen, font, large = ImageDraw.Draw(canvas), load_font(), load_font(_LARGE)
    totals = np.mean([scene.wrong for scene in scenes], axis=0)
    titles = {"image": "", "true mask": ""}
    for name, share in zip(names, totals, strict=True):
        titles[name] = f"all {len(scenes)} scenes: {share:.1f} % wrong"
    for column, (title, note) in enumerate(titles.items()):
        pen.text((column * step, 0), title, INK, large)
        pen.text((column * step, LINE + 4), note, INK, font)
    rows = ("largest gain", "second largest gain", "median gain")
    for row, (name, scene) in enumerate(zip(rows, chosen, strict=True)):
        top = head + row * (step + LINE + GAP)
        tiles = [scene.image, classes.to_rgb(scene.truth)]
        tiles += [draw_errors_beside(scene, model) for model in range(2)]
        for column, tile in enumerate(tiles):
            large_tile = tile.resize((_TILE, _TILE), Image.Resampling.LANCZOS)
            canvas.paste(large_tile, (column * step, top))
        pen.text((0, top + _TILE + 4), name, INK, font)
        for column, share in enumerate(scene.wrong, start=2):
            pen.text((column * step, top + _TILE + 2), f"{share:.0f} % wrong", INK, large)
    legend = draw_legend(range(len(classes)), classes, classes.colors, 2 * step)
    canvas.paste(legend, (0, bottom))
    meanings = {_ONE_WRONG: "this model alone is wrong", _BOTH_WRONG: "both models are wrong"}
    for column, (color, meaning) in enumerate(meanings.items(), start=2):
        x = column * step
        canvas.paste(Image.new("RGB", (FONT_SIZE, FONT_SIZE), color), (x, bottom + 2))
        pen.text((x + FONT_SIZE + 6, bottom), meaning, INK, font)
    return canvas


def draw_errors_beside(scene: ComparedScene, model: int) -> Image.Image:
    """The wrong pixels of a model: strong where the other model is right, and pale elsewhere.

    Both models are wrong along most edges. In one color, these pixels would hide the difference.
    """
    mask, other = scene.masks[model], scene.masks[1 - model]
    values = np.array(draw_errors(scene.image, scene.truth, mask, _BOTH_WRONG))
    values[(mask != scene.truth) & (other == scene.truth)] = _ONE_WRONG
    return Image.fromarray(values)
