"""`demo`: the main job on scenes that semiseg draws itself; no files, no network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from semiseg.core.errors import RunError
from semiseg.core.types import Run

if TYPE_CHECKING:
    from PIL import Image

_MARK = "semiseg-demo.txt"
_SHOWN = 4  # scenes in the picture


def demo(out: Path = Path("demo"), *, steps: int = 200, seed: int = 0) -> dict[str, Run]:
    """Draw scenes, train `supervised` and `css` on them for the same steps, and compare.

    Args:
        out: the folder to write: `data/`, `runs/` and `demo.png`.
        steps: optimizer steps of each training.
        seed: seed of the scenes and of the trainings.

    Returns:
        The two runs, by method.

    Raises:
        RunError: the folder is taken by something else, or cannot be written.
    """
    from rich.console import Console

    from semiseg.commands.train import train
    from semiseg.comparison.text import class_table
    from semiseg.scenes.draw import write_scenes

    out = Path(out)
    if out.is_dir() and any(out.iterdir()) and not (out / _MARK).is_file():
        raise RunError(f"{out} exists and was not written by semiseg demo. Choose another folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARK).write_text("Written by semiseg demo, which replaces this folder's files.\n")
    except OSError as error:
        raise RunError(f"{out} cannot be written ({error}). Choose another folder.") from error
    console = Console(stderr=True)
    told = f"Drawing scenes into {out / 'data'}: 8 labeled, 120 unlabeled, 40 for val."
    console.print(told, markup=False)
    write_scenes(out / "data", seed=seed)
    runs: dict[str, Run] = {}
    for method in ("supervised", "css"):
        console.print(f"Training {method} for {steps} steps.")
        folder = out / "runs" / method
        runs[method] = train(
            out / "data", method=method, steps=steps, seed=seed, out=folder, overwrite=True
        )
    picture = out / "demo.png"
    draw_comparison(out / "data", [run.folder for run in runs.values()]).save(picture)
    print(class_table({name: run.scores for name, run in runs.items()}))
    print(_verdict(runs, picture))
    return runs


def _verdict(runs: dict[str, Run], picture: Path) -> str:
    """What was found, and what to do next."""
    scores = {method: run.scores.miou.released or 0.0 for method, run in runs.items()}
    gain = scores["css"] - scores["supervised"]
    found = (
        f"With 8 masks, css is {gain:.1f} points of mIoU above supervised."
        if gain > 0
        else f"Here css is {-gain:.1f} points of mIoU below supervised: 120 unlabeled scenes did "
        "not help this time."
    )
    return f"""
{found}
{picture} shows image, truth, supervised and css; {runs["css"].folder}/report.html shows the rest.

Next, with your own images in DATA/train/images, some masks in DATA/train/masks:
  semiseg train DATA --out runs/css
  semiseg evaluate runs/css DATA
  semiseg predict runs/css NEW_IMAGES --out masks --overlay"""


def draw_comparison(data: Path, runs: list[Path]) -> Image.Image:
    """A grid of validation scenes: image, truth, and each run's prediction.

    Args:
        data: a data folder with `val`.
        runs: run folders, one a column.
    """
    from PIL import Image

    from semiseg.data.formats.images import read_image
    from semiseg.data.formats.masks import read_mask
    from semiseg.data.reader import read_samples
    from semiseg.inference.load import load

    models = [load(run) for run in runs]
    classes = models[0].classes
    samples = [s for s in read_samples(data, "val") if s.mask is not None][:_SHOWN]
    rows = []
    for sample in samples:
        if sample.mask is None:
            continue
        image = read_image(sample.image)
        import numpy as np

        masks = [np.array(read_mask(sample.mask, classes))]
        masks += [model.predict(image).mask for model in models]
        rows.append([image, *(classes.to_image(m).convert("RGB") for m in masks)])
    width, height = rows[0][0].size
    gap = 4
    canvas = Image.new(
        "RGB",
        (len(rows[0]) * (width + gap) - gap, len(rows) * (height + gap) - gap),
        "white",
    )
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            canvas.paste(tile, (x * (width + gap), y * (height + gap)))
    return canvas
