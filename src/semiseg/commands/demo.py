"""`demo`: the main job on drawn scenes, without data and without a network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from semiseg.commands._public import command
from semiseg.commands.settings import DemoSettings
from semiseg.commands.train import train
from semiseg.comparison.text import class_table
from semiseg.config.network import LIGHT_ENCODER
from semiseg.core.errors import RunError
from semiseg.data.formats.images import read_image
from semiseg.data.formats.masks import read_mask
from semiseg.data.reader import read_samples
from semiseg.inference.load import load
from semiseg.scenes.draw import write_scenes
from semiseg.training.trainer import Run

logger = logging.getLogger(__name__)

MARK = "semiseg-demo.txt"
"""The file that marks a folder as one of the demo."""
DRAWN_SCENES = 4
"""Scenes in the picture."""
_GAP = 4


@dataclass(frozen=True)
class Demo:
    """The two trainings of the demo.

    Attributes:
        runs: the runs by their method.
        picture: a picture with the image, the truth, and the masks of both models.
    """

    runs: Mapping[str, Run]
    picture: Path

    def text(self) -> str:
        """The scores, the difference, and what to do next."""
        scores = class_table({name: run.scores for name, run in self.runs.items()})
        released = {name: run.scores.miou.released or 0.0 for name, run in self.runs.items()}
        gain = released["css"] - released["supervised"]
        verdict = (
            f"With 8 masks, css is {gain:.1f} points of mIoU above supervised."
            if gain > 0
            else f"This time css is {-gain:.1f} points of mIoU below supervised: the 120 unlabeled "
            "scenes did not help."
        )
        return f"""{scores}

{verdict}
{self.picture} shows the image, the truth, supervised and css. {self.runs["css"].folder}/report.html
shows the rest.

Next, with your own images in DATA/train/images and some masks in DATA/train/masks:
  semiseg train DATA --out runs/css
  semiseg evaluate runs/css DATA
  semiseg predict runs/css NEW_IMAGES --out masks --overlay"""


@command(DemoSettings)
def demo(settings: DemoSettings) -> Demo:
    """Draw scenes, train `supervised` and `css` on them, and compare the two models.

    Returns:
        The two runs and the picture.

    Raises:
        RunError: the folder holds something else, or cannot be written.
    """
    out = settings.out
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise RunError(f"{out} exists, and semiseg demo did not write it. Choose another --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        mark = "Written by semiseg demo, which replaces this folder's files.\n"
        (out / MARK).write_text(mark, encoding="utf-8")
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another --out.") from error
    logger.info("drawing 8 labeled, 120 unlabeled and 40 validation scenes into %s", out / "data")
    write_scenes(out / "data", seed=settings.seed)
    runs: dict[str, Run] = {}
    for method in ("supervised", "css"):
        logger.info("training %s for %d steps", method, settings.steps)
        runs[method] = train(
            out / "data",
            method=method,
            encoder=LIGHT_ENCODER,
            steps=settings.steps,
            seed=settings.seed,
            out=out / "runs" / method,
            overwrite=True,
        )
    picture = out / "demo.png"
    draw_comparison(out / "data", [run.folder for run in runs.values()]).save(picture)
    return Demo(runs, picture)


def draw_comparison(data: Path, runs: list[Path]) -> Image.Image:
    """A grid of validation scenes: the image, the truth, and the mask of each run.

    Args:
        data: a data folder with `val`.
        runs: run folders, one for each column.
    """
    models = [load(run) for run in runs]
    classes = models[0].classes
    samples = [s for s in read_samples(data, "val") if s.mask is not None][:DRAWN_SCENES]
    rows = []
    for sample in samples:
        if sample.mask is None:
            continue
        image = read_image(sample.image).convert("RGB")
        masks = [np.array(read_mask(sample.mask, classes))]
        masks += [model.predict(image, scale="fit").mask for model in models]
        rows.append([image, *(classes.to_rgb(mask) for mask in masks)])
    width, height = rows[0][0].size
    canvas = Image.new(
        "RGB",
        (len(rows[0]) * (width + _GAP) - _GAP, len(rows) * (height + _GAP) - _GAP),
        "white",
    )
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            canvas.paste(tile, (x * (width + _GAP), y * (height + _GAP)))
    return canvas
