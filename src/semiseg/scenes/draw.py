"""Scenes that are drawn from a seed, without file or network, as images with exact masks.

`crops`, the scenes of the demo, shows a field from above, as a robot sees it. There are six
classes: soil, crop, weed, stone, straw and, in about a third of the scenes, a beetle. They are hard
to distinguish. Crop and weeds have the same colors; only the shape and the arrangement of their
leaves differ. Dry soil and its clods are as gray as stones. Light, soil, foliage, species and
camera change from scene to scene, so a few labeled scenes do not cover them.

`street` shows a street from a car (`street.py`), and `steel` a steel plate with rare defects
(`steel.py`).

A scene is drawn at twice its size and then reduced, so its edges are smooth while the masks are
exact ids.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core.errors import ConfigError, nearest
from semiseg.core.rng import Key
from semiseg.data.formats.codes import Color
from semiseg.plots.palette import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILION,
    YELLOW,
)
from semiseg.scenes.canvas import OVERSAMPLE, Canvas, Size, photograph
from semiseg.scenes.painting import Painter, paint_scene
from semiseg.scenes.steel import Plate, paint_plate
from semiseg.scenes.street import Street
from semiseg.scenes.street_things import paint_street

SceneKind: TypeAlias = Literal["crops", "street", "steel"]


class Drawing(NamedTuple):
    """A kind of scene.

    Attributes:
        names: the classes, by their ids on the canvas.
        colors: their colors.
        draw: draws a scene of a height and width, and every class if so wanted.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    draw: Callable[[Key, Size, bool], Canvas]


def _crops(key: Key, size: Size, every: bool) -> Canvas:
    painter = Painter(key, size, every)
    paint_scene(painter)
    return painter


def _street(key: Key, size: Size, every: bool) -> Canvas:
    street = Street(key, size, every)
    paint_street(street)
    return street


def _steel(key: Key, size: Size, every: bool) -> Canvas:
    plate = Plate(key, size, every)
    paint_plate(plate)
    return plate


NAMES: tuple[str, ...] = ("soil", "crop", "weed", "stone", "straw", "beetle")
COLORS: tuple[Color, ...] = (BLACK, GREEN, VERMILION, SKY_BLUE, YELLOW, PURPLE)
_STREET = ("sky", "building", "road", "sidewalk", "plant", "car", "person", "pole")
_STREET_COLORS = (SKY_BLUE, PURPLE, (105, 105, 105), ORANGE, GREEN, BLUE, VERMILION, YELLOW)
DRAWINGS: dict[SceneKind, Drawing] = {
    "crops": Drawing(NAMES, COLORS, _crops),
    "street": Drawing(_STREET, _STREET_COLORS, _street),
    "steel": Drawing(
        ("steel", "rust", "scratch", "crack"), (BLACK, VERMILION, SKY_BLUE, YELLOW), _steel
    ),
}
MIN_SIDE = 32  # pixels; a smaller scene would lose its smallest things


def draw_scene(
    key: Key,
    size: Size = (160, 160),
    *,
    every_class: bool = False,
    scene: SceneKind = "crops",
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw one scene and its mask, which depend on the arguments only.

    Args:
        key: the key of the random draws.
        size: height and width in pixels. The things in the scene scale with the size.
        every_class: repeat the drawing until the mask holds every class.
        scene: what is drawn: `crops`, `street` or `steel`.

    Returns:
        The image `(H, W, 3)` in RGB 0..255, and the mask `(H, W)` with indices into the names of
        `DRAWINGS[scene]`.

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
    drawing = drawing_of(scene)
    canvas = drawing.draw(key, (size[0] * OVERSAMPLE, size[1] * OVERSAMPLE), every_class)
    mask = np.array(canvas.ids.resize(size[::-1], Image.Resampling.NEAREST))
    if every_class and len(np.unique(mask)) < len(drawing.names):  # one thing may hide another
        return draw_scene(key.child("again"), size, every_class=True, scene=scene)
    return photograph(canvas), mask


def drawing_of(scene: str) -> Drawing:
    """What a kind of scene shows.

    Raises:
        ConfigError: there is no such kind.
    """
    for name, drawing in DRAWINGS.items():
        if name == scene:
            return drawing
    raise ConfigError(f"There are no scenes called {scene!r}. {nearest(scene, DRAWINGS)}")


def write_scenes(
    root: Path,
    *,
    seed: int = 0,
    labeled: int = 8,
    unlabeled: int = 120,
    val: int = 40,
    test: int = 0,
    size: Size = (160, 160),
    scene: SceneKind = "crops",
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
        scene: what is drawn: `crops`, `street` or `steel`.

    Returns:
        `root`.

    Raises:
        ConfigError: there are no labeled scenes, the scenes are too small, or there is no such
            kind of scene.
    """
    if labeled < 1:
        raise ConfigError(f"A training needs labeled scenes, but their number is {labeled}.")
    drawing = drawing_of(scene)
    # The scenes of the demo keep the draws that its figures were measured with.
    purpose = "scene" if scene == "crops" else scene
    counts = {"train": labeled, "unlabeled": unlabeled, "val": val, "test": test}
    for split, count in counts.items():
        for i in range(count):
            first = split == "train" and i == 0
            key = Key.of(seed, purpose, split, i)
            image, mask = draw_scene(key, size, every_class=first, scene=scene)
            masks = None if split == "unlabeled" else _indexed(mask, drawing)
            _save(root / split, f"{i:04d}", image, masks)
    text = "classes:\n"
    for i, (name, color) in enumerate(zip(drawing.names, drawing.colors, strict=True)):
        text += f"  - name: {name}\n    id: {i}\n    color: {list(color)}\n"
    (root / "classes.yaml").write_text(text, encoding="utf-8")
    return root


def _indexed(mask: NDArray[np.uint8], drawing: Drawing) -> Image.Image:
    """The mask as an image whose palette holds the colors of the classes."""
    indexed = Image.fromarray(mask)
    indexed.putpalette([channel for color in drawing.colors for channel in color])
    return indexed


def _save(folder: Path, name: str, image: NDArray[np.uint8], mask: Image.Image | None) -> None:
    images = folder if mask is None else folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(images / f"{name}.jpg", quality=92)
    if mask is not None:
        (folder / "masks").mkdir(exist_ok=True)
        mask.save(folder / "masks" / f"{name}.png")
