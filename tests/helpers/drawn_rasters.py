"""A field from above in six bands, with a class that only the near infrared shows.

`benchmarks/bands.py` draws large ones, the tests small ones. The classes `field` and `dry` have the
same distribution in red, green and blue; `water` and `road` differ from them in all bands.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from semiseg.inference.reading import interpolation

BANDS = ("blue", "green", "red", "red edge", "near infrared", "short-wave infrared")
NAMES = ("field", "dry", "water", "road")
COLORS = ((60, 140, 60), (220, 160, 40), (40, 90, 200), (120, 120, 120))
HIDDEN = 1
"""The class that only `near infrared` shows."""
IGNORED = 255
"""The mask where the raster has no data."""
RGB = (3, 2, 1)
"""The numbers of the bands that show the scene in true colors."""
_VALUES = (  # of the classes in each band
    (500, 500, 350, 1100),
    (800, 800, 420, 1200),
    (700, 700, 300, 1300),
    (1400, 1400, 260, 1350),
    (2900, 1500, 200, 1500),
    (1800, 1800, 150, 1700),
)
_NOISE = 0.06  # of a value, for each pixel
_SOIL = 0.15  # of a value, in patches that have nothing to do with the classes


class Scene(NamedTuple):
    """A drawn field.

    Attributes:
        bands: `(6, H, W)` uint16; 0 where there are no data.
        mask: `(H, W)` uint8, indices into `NAMES`; 255 where there are no data.
    """

    bands: NDArray[np.uint16]
    mask: NDArray[np.uint8]


def draw_field(seed: int, size: tuple[int, int] = (3000, 3000), border: float = 0.04) -> Scene:
    """Draw a field, which depends on the arguments only.

    Args:
        seed: the seed of the drawing.
        size: height and width in pixels. The patches scale with the shorter side.
        border: the share of the sides without data; the edge is a little askew, as in a map that
            was turned north.
    """
    rng = np.random.default_rng(seed)
    unit = min(size) / 12  # pixels; the size of a patch
    mask = np.zeros(size, np.uint8)
    mask[_patches(rng, size, unit) > 0.55] = HIDDEN
    mask[_patches(rng, size, unit) > 1.1] = NAMES.index("water")
    rows, columns = np.ogrid[: size[0], : size[1]]
    road = size[0] * rng.uniform(0.3, 0.7) + columns * rng.uniform(-0.3, 0.3)
    mask[abs(rows - road) < unit / 6] = NAMES.index("road")
    bands = np.empty((len(BANDS), *size), np.uint16)
    for band, values in zip(bands, _VALUES, strict=True):
        soil = 1 + _SOIL * _patches(rng, size, unit)
        noise = 1 + _NOISE * rng.standard_normal(size, dtype=np.float32)
        band[:] = (np.array(values, np.float32)[mask] * soil * noise).clip(1, 65_535)
    margin, slope = border * min(size), border * rng.uniform(0.5, 1)
    top, left = rows - slope * columns, columns + slope * rows
    empty = (top < 0) | (left < margin) | (rows >= size[0] - margin) | (columns >= size[1] - margin)
    bands[:, empty] = 0
    mask[empty] = IGNORED
    return Scene(bands, mask)


def write_scene(image: Path, mask: Path | None, scene: Scene, **profile: Any) -> None:
    """Write a scene as GeoTIFFs with the same place on earth, in tiles.

    Args:
        image: the file of the bands; it names 0 as no-data, and each band.
        mask: the file of the mask, or None for none.
        scene: the drawing.
        profile: what to write otherwise, as rasterio names it, such as `crs` or `transform`.
            By default, a pixel measures 0.1 m in UTM zone 33 N.
    """
    import rasterio
    from rasterio.transform import from_origin

    profile = {
        "driver": "GTiff",
        "crs": "EPSG:32633",
        "transform": from_origin(500_000, 5_800_000, 0.1, 0.1),
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
    } | profile
    layers: list[tuple[Path, NDArray[Any], int]] = [(image, scene.bands, 0)]
    if mask is not None:
        layers.append((mask, scene.mask[None], IGNORED))
    for path, array, nodata in layers:
        path.parent.mkdir(parents=True, exist_ok=True)
        count, height, width = array.shape
        shape = {"count": count, "height": height, "width": width}
        with rasterio.open(path, "w", **profile, **shape, dtype=array.dtype, nodata=nodata) as file:
            file.write(array)
            if count == len(BANDS):
                file.descriptions = BANDS


def write_classes(folder: Path) -> None:
    """Write `classes.yaml` with the names, ids and colors of the classes."""
    text = "classes:\n"
    for i, (name, color) in enumerate(zip(NAMES, COLORS, strict=True)):
        text += f"  - name: {name}\n    id: {i}\n    color: {list(color)}\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classes.yaml").write_text(text, encoding="utf-8")


def iou(mask: NDArray[Any], truth: NDArray[Any], index: int) -> float:
    """The intersection over union of a class where the truth is known; NaN without the class."""
    known = truth != IGNORED
    ours, theirs = (mask == index) & known, (truth == index) & known
    union = int((ours | theirs).sum())
    return int((ours & theirs).sum()) / union if union else float("nan")


def _patches(rng: np.random.Generator, size: tuple[int, int], unit: float) -> NDArray[np.float32]:
    """Smooth random numbers `(H, W)` with mean 0 and deviation 1 that change within a unit."""
    counts = [math.ceil(side / unit * 3) + 4 for side in size]  # three cells in a unit
    cells = ndimage.gaussian_filter(rng.standard_normal(counts), 1.5)
    cells = (cells - cells.mean()) / cells.std()
    rows, columns = (
        interpolation(np.linspace(1.5, count - 2.5, side), count)
        for count, side in zip(counts, size, strict=True)
    )
    return np.asarray(rows @ cells.astype(np.float32) @ columns.T)
