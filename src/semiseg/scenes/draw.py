"""The scenes of the demo: a field from above, as a robot sees it, drawn without file or network.

There are six classes: soil, crop, weed, stone, straw and, in about a third of the scenes, a beetle.
They are hard to distinguish. Crop and weeds have the same colors; only the shape and the
arrangement of their leaves differ. Dry soil and its clods are as gray as stones. Light, soil,
foliage, species and camera change from scene to scene, so a few labeled scenes do not cover them.

A scene is drawn at twice its size and then reduced, so its edges are smooth while the masks are
exact ids. `painting.py` draws the things.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import ConfigError
from semiseg.core.rng import Key
from semiseg.data.formats.codes import Color
from semiseg.plots.palette import BLACK, GREEN, PURPLE, SKY_BLUE, VERMILION, YELLOW
from semiseg.scenes.painting import OVERSAMPLE, Painter, Size, paint_scene, photograph

NAMES: tuple[str, ...] = (
    "soil",
    "crop",
    "weed",
    "stone",
    "straw",
    "beetle",
)  # by their ids in `painting`
COLORS: tuple[Color, ...] = (BLACK, GREEN, VERMILION, SKY_BLUE, YELLOW, PURPLE)
MIN_SIDE = 32  # pixels; a smaller scene would lose the beetles and the straw


def draw_scene(
    key: Key, size: Size = (160, 160), *, every_class: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one scene and its mask, which depend on the arguments only.

    Args:
        key: the key of the random draws.
        size: height and width in pixels. The things in the scene scale with the size.
        every_class: repeat the drawing until the mask holds every class.

    Returns:
        The image `(H, W, 3)` in RGB 0..255, and the mask `(H, W)` with indices into `NAMES`.

    Raises:
        ConfigError: a side is shorter than 32 pixels.

    Example:
        >>> image, mask = draw_scene(Key.of(0, "scene", "val", 3), (48, 64))
        >>> image.shape, mask.shape
        ((48, 64, 3), (48, 64))
    """
    if min(size) < MIN_SIDE:
        raise ConfigError(
            f"A scene of {size[0]} x {size[1]} pixels cannot show every class. Both sides need "
            f"{MIN_SIDE} pixels or more."
        )
    painter = Painter(key, (size[0] * OVERSAMPLE, size[1] * OVERSAMPLE), every_class)
    paint_scene(painter)
    mask = np.array(painter.ids.resize(size[::-1], Image.Resampling.NEAREST))
    if every_class and len(np.unique(mask)) < len(NAMES):  # one thing may hide another
        return draw_scene(key.child("again"), size, every_class=True)
    return photograph(painter), mask


def write_scenes(
    root: Path,
    *,
    seed: int = 0,
    labeled: int = 8,
    unlabeled: int = 120,
    val: int = 40,
    test: int = 0,
    size: Size = (160, 160),
) -> Path:
    """Write scenes as a data folder: `train`, `unlabeled`, `val`, maybe `test`, `classes.yaml`.

    The first labeled scene shows every class. A scene depends on the seed, its split and its index,
    not on the number of scenes. Existing files of the same names are replaced.

    Args:
        root: the data folder, which is created if it does not exist.
        seed: the seed of the scenes.
        labeled: scenes with masks in `train`.
        unlabeled: scenes in `unlabeled`.
        val: scenes in `val`.
        test: scenes in `test`.
        size: height and width of the scenes, in pixels.

    Returns:
        `root`.

    Raises:
        ConfigError: there are no labeled scenes, or the scenes are too small.
    """
    if labeled < 1:
        raise ConfigError(f"A training needs labeled scenes, but their number is {labeled}.")
    counts = {"train": labeled, "unlabeled": unlabeled, "val": val, "test": test}
    for split, count in counts.items():
        for i in range(count):
            first = split == "train" and i == 0
            image, mask = draw_scene(Key.of(seed, "scene", split, i), size, every_class=first)
            _save(root / split, f"{i:04d}", image, None if split == "unlabeled" else mask)
    text = "classes:\n"
    for i, (name, color) in enumerate(zip(NAMES, COLORS, strict=True)):
        text += f"  - name: {name}\n    id: {i}\n    color: {list(color)}\n"
    (root / "classes.yaml").write_text(text, encoding="utf-8")
    return root


def _save(
    folder: Path, name: str, image: NDArray[np.uint8], mask: NDArray[np.uint8] | None
) -> None:
    images = folder if mask is None else folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(images / f"{name}.jpg", quality=92)
    if mask is not None:
        (folder / "masks").mkdir(exist_ok=True)
        indexed = Image.fromarray(mask)
        indexed.putpalette([channel for color in COLORS for channel in color])
        indexed.save(folder / "masks" / f"{name}.png")
