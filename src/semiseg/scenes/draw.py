"""The demo's scenes: a field seen by a robot from above, drawn without any file or network.

Six classes: soil, crop, weed, stone, straw and, in about a third of the scenes, a beetle. What
makes them hard: crop and weeds share their colors and differ in the shape and arrangement of the
leaves; dry soil and its clods are as gray as stones; and light, soil, foliage, species and camera
change from scene to scene, so that a few labeled scenes do not cover them.

A scene is drawn at twice its size and reduced: edges are smooth while the masks are exact ids.
`scenery.py` draws the things.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import ConfigError
from semiseg.core.rng import Key
from semiseg.scenes.painting import OVERSAMPLE, Painter, Size, paint_scene, photograph

NAMES: tuple[str, ...] = ("soil", "crop", "weed", "stone", "straw", "beetle")  # scenery's ids
# Okabe and Ito's colors, which people with any kind of color vision tell apart.
COLORS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0),
    (0, 158, 115),
    (213, 94, 0),
    (86, 180, 233),
    (240, 228, 66),
    (204, 121, 167),
)
SMALLEST = 32  # a shorter side would lose the beetles and the straw


def draw_scene(
    key: Key, size: Size = (160, 160), *, every_class: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One scene and its mask, functions of the arguments alone.

    Args:
        key: where the scene's random draws come from.
        size: height and width in pixels; what is in the scene scales with them.
        every_class: draw, again if need be, such that no class is missing from the mask.

    Returns:
        The image `(H, W, 3)` in RGB 0..255, and the mask `(H, W)` with indices into `NAMES`.

    Raises:
        ConfigError: a side is shorter than 32 pixels.

    Example:
        >>> image, mask = draw_scene(Key.of(0, "scene", "val", 3), (48, 64))
        >>> image.shape, mask.shape
        ((48, 64, 3), (48, 64))
    """
    if min(size) < SMALLEST:
        raise ConfigError(
            f"A scene of {size[0]} x {size[1]} pixels cannot show every class; let both sides be "
            f"{SMALLEST} or more."
        )
    p = Painter(key, (size[0] * OVERSAMPLE, size[1] * OVERSAMPLE), every_class)
    paint_scene(p)
    mask = np.array(p.ids.resize(size[::-1], Image.Resampling.NEAREST))
    if every_class and len(np.unique(mask)) < len(NAMES):  # one thing hides another
        return draw_scene(key.child("again"), size, every_class=True)
    return photograph(p), mask


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

    `labeled`, `unlabeled`, `val` and `test` count the scenes of each, which are of `size` (height
    and width in pixels). The first labeled scene shows every class. A scene depends on the seed,
    its split and its index, not on how many there are. Files of the same names are overwritten.

    Returns:
        `root`, which is made if need be.

    Raises:
        ConfigError: no labeled scenes, or scenes too small.
    """
    if labeled < 1:
        raise ConfigError(f"{labeled} labeled scenes teach nothing; ask for 1 or more.")
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
