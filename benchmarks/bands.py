"""What further bands bring: a class that only the near infrared shows, with all bands and with RGB.

The script draws a field of six bands with its mask to train on, and another one to test on. It
trains twice, once with all bands and once with the three visible ones, predicts the other field
with both models, and compares the masks and the polygons with the drawing. All of it goes through
the command line, and the table shows the commands. From the root of the repository:

    OMP_NUM_THREADS=1 python benchmarks/bands.py
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.cli import main as semiseg
from semiseg.data.formats.vectors import read_layer

sys.path.append(str(Path(__file__).parents[1] / "tests" / "helpers"))
from drawn_rasters import HIDDEN, IGNORED, NAMES, RGB, draw_field, iou, write_classes, write_scene

COMPARED = ("mask and truth", "polygons and mask", "polygons and truth")


class Result(NamedTuple):
    """What a model made of the other field.

    Attributes:
        commands: that were run.
        ious: of the hidden class, one for each of `COMPARED`.
        mean: the mean IoU over the classes of mask and truth.
        seconds: of the training and of the prediction.
    """

    commands: list[str]
    ious: tuple[float, ...]
    mean: float
    seconds: tuple[float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=3000, help="of both fields, in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a folder to write; by default, a temporary one")
    parser.add_argument("rest", nargs="*", help="further settings of the training, after --")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.out or Path(temporary)
        data, field = root / "data", root / "other" / "field.tif"
        size = (arguments.side, arguments.side)
        write_classes(data)
        scene = draw_field(arguments.seed, size)
        folder = data / "train"
        write_scene(folder / "images" / "field.tif", folder / "masks" / "field.tif", scene)
        scene = draw_field(arguments.seed + 1, size)
        write_scene(field, None, scene)
        truth = scene.mask
        del scene
        visible = ",".join(map(str, RGB))
        results = {
            "all six": measure(data, field, truth, root / "all", arguments.rest),
            visible: measure(
                data, field, truth, root / "rgb", ["--bands", visible, *arguments.rest]
            ),
        }
    print(f"\nSeed {arguments.seed}, {size[0]} x {size[1]} pixels, class {NAMES[HIDDEN]}:\n")
    print("```bash")
    for command in results["all six"].commands:
        print(command)
    print("```\n")
    print(table(results))


def measure(
    data: Path, field: Path, truth: NDArray[np.uint8], out: Path, settings: list[str]
) -> Result:
    """Train, predict and compare."""
    masks, polygons = out / "masks", out / "polygons.gpkg"
    train = ["train", data, "--method", "css", "--out", out / "run", *settings]
    predict = ["predict", out / "run", field, "--out", masks, "--polygons", polygons]
    seconds, commands = [], []
    for words in (train, predict):
        start = time.perf_counter()
        semiseg([str(word) for word in words])
        seconds.append(time.perf_counter() - start)
        commands.append(
            "semiseg " + shlex.join(w.name if isinstance(w, Path) else w for w in words)
        )
    mask = read_mask(masks / field.name, field)
    drawn = draw_polygons(polygons, field)
    pairs = ((mask, truth), (drawn, mask), (drawn, truth))
    ious = tuple(iou(ours, theirs, HIDDEN) for ours, theirs in pairs)
    mean = float(np.nanmean([iou(mask, truth, i) for i in range(len(NAMES))]))
    return Result(commands, ious, mean, (seconds[0], seconds[1]))


def read_mask(path: Path, field: Path) -> NDArray[np.uint8]:
    """The predicted mask, which must lie where the field lies."""
    import rasterio

    with rasterio.open(path) as mask, rasterio.open(field) as image:
        assert mask.transform == image.transform, (mask.transform, image.transform)
        assert mask.crs == image.crs
        assert mask.shape == image.shape
        values: NDArray[np.uint8] = mask.read(1)
    return values


def draw_polygons(path: Path, field: Path) -> NDArray[np.uint8]:
    """The polygons in the pixels of the field; `IGNORED` where there are none."""
    import rasterio
    from rasterio.features import rasterize

    layer = read_layer(path, "class")
    shapes = [
        (area.to_geojson(), NAMES.index(str(name)))
        for area, name in zip(layer.areas, layer.values, strict=True)
    ]
    with rasterio.open(field) as image:
        drawn: NDArray[np.uint8] = rasterize(
            shapes, image.shape, IGNORED, transform=image.transform, dtype="uint8"
        )
    return drawn


def table(results: dict[str, Result]) -> str:
    """The results as a table."""
    head = ["bands", *(f"IoU of {what}" for what in COMPARED)]
    head += ["mean IoU", "training, s", "prediction, s"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for bands, result in results.items():
        numbers = [f"{value:.3f}" for value in (*result.ious, result.mean)]
        lines.append([bands, *numbers, *(f"{value:.0f}" for value in result.seconds)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
