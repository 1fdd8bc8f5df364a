"""`demo`: the main job on drawn scenes, without data and without a network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semiseg.commands._public import command
from semiseg.commands.settings.runs import DemoSettings
from semiseg.commands.train import train
from semiseg.comparison.text import class_table
from semiseg.config.methods import DEFAULT_METHOD, FALLBACK_METHOD
from semiseg.config.network import LIGHT_ENCODER
from semiseg.core.errors import RunError
from semiseg.scenes.draw import write_scenes
from semiseg.scenes.picture import draw_comparison
from semiseg.training.trainer import Run

logger = logging.getLogger(__name__)

MARK = "semiseg-demo.txt"
"""The file that marks a folder as one of the demo."""


@dataclass(frozen=True)
class Demo:
    """The two trainings of the demo.

    Attributes:
        runs: the runs by their method.
        picture: a picture with three scenes, their true masks, and the errors of both models.
    """

    runs: Mapping[str, Run]
    picture: Path

    def text(self) -> str:
        """The scores, the difference, and what to do next."""
        scores = class_table({name: run.scores for name, run in self.runs.items()})
        released = {name: run.scores.miou.released or 0.0 for name, run in self.runs.items()}
        gain = released[DEFAULT_METHOD] - released[FALLBACK_METHOD]
        seconds = {name: run.scores.seconds for name, run in self.runs.items()}
        times = seconds[DEFAULT_METHOD] / max(seconds[FALLBACK_METHOD], 0.1)
        verdict = (
            f"With 8 masks, {DEFAULT_METHOD} is {gain:.1f} points of mIoU above supervised."
            if gain > 0
            else f"This time {DEFAULT_METHOD} is {-gain:.1f} points of mIoU below supervised: the "
            "120 unlabeled scenes did not help."
        )
        return f"""{scores}

{verdict}
Both took the same number of steps; those of {DEFAULT_METHOD} took {times:.1f} times as long.
{self.picture} shows the errors of both: the two scenes in which {DEFAULT_METHOD} gains most, and
the median one.
The rest is in the report: semiseg open {self.runs[DEFAULT_METHOD].folder}

Next, with your own images in DATA/train/images and some masks in DATA/train/masks:
  semiseg train DATA --out runs/first
  semiseg evaluate runs/first DATA
  semiseg predict runs/first NEW_IMAGES --out masks --overlay"""


@command(DemoSettings)
def demo(settings: DemoSettings) -> Demo:
    """Draw scenes, train `supervised` and the default method on them, and compare the two models.

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
    for method in (FALLBACK_METHOD, DEFAULT_METHOD):
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
    titles = {
        FALLBACK_METHOD: f"{FALLBACK_METHOD}: 8 masks",
        DEFAULT_METHOD: f"{DEFAULT_METHOD}: + 120 images",
    }
    folders = {titles[method]: run.folder for method, run in runs.items()}
    draw_comparison(out / "data", folders).save(picture, optimize=True)
    return Demo(runs, picture)
