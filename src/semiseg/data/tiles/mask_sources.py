"""The masks of the tiles of a raster: from polygons, another raster, or the same pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.data.formats.bands import open_raster, rasterio_window
from semiseg.data.formats.crs import is_same_crs, move_bounds
from semiseg.data.formats.drawn_codes import ignored_code
from semiseg.data.formats.grid import Grid
from semiseg.data.formats.labelme import BACKGROUND, label_code
from semiseg.data.formats.mask_files import NO_LABELS, Codes
from semiseg.data.formats.mask_rule import NO_DATA, Encoding
from semiseg.data.formats.raster_windows import Window
from semiseg.data.formats.rasters import Values
from semiseg.data.formats.vectors import BACKGROUND_NAMES, Layer, Value

if TYPE_CHECKING:
    import rasterio

Outside = Literal["background", "ignore"]
"""What pixels are that no polygon covers."""
_COLORS = (3, 4)  # bands of a mask whose colors are the classes
_MAX_ID = 1 << 24  # of a class; larger numbers are none
_MARGIN = 2  # pixels of a mask around the part that is brought onto a tile
_PLANE = 'LOCAL_CS["plane",UNIT["metre",1]]'  # where neither file names a system


ReadCodes: TypeAlias = Callable[[Window], Codes | None]
"""Gives the codes of the pixels of a part of a raster; None if nothing says anything of them."""


class MaskSource(Protocol):
    """Gives the mask of any part of a raster."""

    def reading(self) -> AbstractContextManager[ReadCodes]:
        """Keep the file of the mask open while parts are read."""


class PolygonMask:
    """Polygons, drawn into the grid of a raster.

    A pixel belongs to a polygon if its center lies in it; later polygons cover earlier ones.

    Args:
        layer: the polygons, in the coordinate reference system of the raster.
        grid: of the raster.
        outside: what pixels are that no polygon covers. In tiles that no polygon touches, they are
            unlabeled in any case.
        names: whether the classes are names, as they are if any file of the data set has names.
    """

    def __init__(self, layer: Layer, grid: Grid, outside: Outside, *, names: bool) -> None:
        self.grid = grid
        self._encoding: Encoding = "labels" if names else "ids"
        self._codes, self._labels = _codes_of(layer.values, outside, names)
        self._fill = 0 if outside == "background" else ignored_code(self._encoding)
        self._layer = layer

    def reading(self) -> AbstractContextManager[ReadCodes]:
        """The polygons are in memory."""
        return nullcontext(self._read)

    def _read(self, window: Window) -> Codes | None:
        from rasterio.features import rasterize
        from rasterio.transform import Affine

        grid = self.grid.window(window)
        left, bottom, right, top = grid.bounds
        boxes = self._layer.bounds
        touches = (boxes[:, 0] < right) & (boxes[:, 2] > left)
        touches &= (boxes[:, 1] < top) & (boxes[:, 3] > bottom)
        shapes = [
            (self._layer.areas[i].to_geojson(), self._codes[i]) for i in np.flatnonzero(touches)
        ]
        if not shapes:
            return None
        values = rasterize(
            shapes,
            out_shape=(window.height, window.width),
            fill=-1,
            transform=Affine(*grid.transform),
            dtype="int32",
        )
        if not (values >= 0).any():
            return None
        values[values < 0] = self._fill
        return Codes(values, self._encoding, self._labels)


def _codes_of(
    values: tuple[Value, ...], outside: Outside, names: bool
) -> tuple[list[int], Mapping[int, str]]:
    """The code of each polygon, and the labels of the codes if the classes are names."""
    if not names:
        return [int(value) for value in values], NO_LABELS
    labels = {0: BACKGROUND} if outside == "background" else {}
    codes = []
    for value in values:
        label = BACKGROUND if str(value).lower() in BACKGROUND_NAMES else str(value)
        code = label_code(label)
        if labels.setdefault(code, label) != label:
            raise DataError(
                f"The classes {label} and {labels[code]} have the same code. Rename one."
            )
        codes.append(code)
    return codes, labels


class RasterMask:
    """A mask that is a raster itself, brought onto the grid of its image.

    Each pixel gets the value of the nearest pixel of the mask. Where the mask does not reach, and
    where it has no data, pixels are ignored; a no-data value of 0 counts as the class 0, as it
    does in any other mask.

    Args:
        path: the mask.
        grid: of the image.
        by_place: whether coordinates say which pixels belong together; otherwise the mask has the
            pixels of the image, in any size of the same shape.
    """

    def __init__(self, path: Path, grid: Grid, *, by_place: bool) -> None:
        self.path, self.grid, self.by_place = path, grid, by_place

    @contextmanager
    def reading(self) -> Iterator[ReadCodes]:
        """Keep the mask open.

        Raises:
            OSError: it cannot be read.
            DataError: it has two bands, or more than four.
        """
        with open_raster(self.path) as file:
            if file.count not in (1, *_COLORS):
                raise DataError(
                    f"{self.path} holds {file.count} bands, but a mask has one, or RGB colors.",
                    "Write the numbers of the classes into one band.",
                )
            yield partial(self._read, file)

    def _read(self, file: rasterio.DatasetReader, window: Window) -> Codes:
        bands = [1] if file.count == 1 else [1, 2, 3]
        read = self._aligned if self.by_place else self._same_pixels
        layers = read(file, bands, window)
        palette = _palette(file) if len(bands) == 1 else []
        has_value = np.isfinite(np.stack(layers)).all(axis=0)
        whole = np.stack([np.where(has_value, layer, 0) for layer in layers])
        if (whole != whole.round()).any() or not -_MAX_ID < whole.min() <= whole.max() < _MAX_ID:
            raise DataError(
                f"{self.path} holds numbers from {whole.min():g} to {whole.max():g}; a mask holds "
                "whole numbers.",
                "Save the ids of the classes.",
            )
        values = whole[0].astype(np.int32)
        for layer in whole[1:]:
            values = values << 8 | layer.astype(np.int32)
        values[~has_value] = NO_DATA
        return Codes(values, "colors" if len(bands) > 1 else "ids", NO_LABELS, palette)

    def _aligned(
        self, file: rasterio.DatasetReader, bands: list[int], window: Window
    ) -> list[NDArray[np.float64]]:
        """The bands of a part by coordinates, NaN where the mask does not reach."""
        from rasterio.transform import Affine
        from rasterio.warp import Resampling, reproject

        grid = self.grid.window(window)
        layers = [np.full((window.height, window.width), np.nan) for _ in bands]
        part = self._part(file, grid)
        if part is None:
            return layers
        for band, values in zip(bands, layers, strict=True):
            # Without the file's own mark: as that of no data, 0 is a class of its own.
            reproject(
                _marked(file, band, file.read(band, window=rasterio_window(part))),
                values,
                src_transform=file.window_transform(rasterio_window(part)),
                src_crs=file.crs or _PLANE,
                src_nodata=np.nan,
                dst_transform=Affine(*grid.transform),
                dst_crs=grid.crs or _PLANE,
                dst_nodata=np.nan,
                resampling=Resampling.nearest,
            )
        return layers

    def _part(self, file: rasterio.DatasetReader, grid: Grid) -> Window | None:
        """The part of the mask that covers a part of its image; None if there is none."""
        bounds = grid.bounds
        crs = file.crs.to_wkt() if file.crs else ""
        if crs and not is_same_crs(grid.crs, crs):
            bounds = move_bounds(bounds, grid.crs, crs, self.path)
        left, bottom, right, top = bounds
        xs, ys = np.array([(left, bottom), (left, top), (right, bottom), (right, top)]).T
        a, b, c, d, e, f = (~file.transform)[:6]
        columns, rows = a * xs + b * ys + c, d * xs + e * ys + f
        x0, y0 = (max(0, math.floor(places.min()) - _MARGIN) for places in (columns, rows))
        x1 = min(file.width, math.ceil(columns.max()) + _MARGIN)
        y1 = min(file.height, math.ceil(rows.max()) + _MARGIN)
        return Window(x0, y0, x1 - x0, y1 - y0) if x0 < x1 and y0 < y1 else None

    def _same_pixels(
        self, file: rasterio.DatasetReader, bands: list[int], window: Window
    ) -> list[NDArray[np.float64]]:
        """The bands of a part by pixels."""
        from rasterio.enums import Resampling
        from rasterio.windows import Window as RasterioWindow

        part = rasterio_window(window)
        size = (file.width, file.height)
        if size != self.grid.size:
            x, y = (mine / whole for mine, whole in zip(size, self.grid.size, strict=True))
            part = RasterioWindow(
                window.left * x, window.top * y, window.width * x, window.height * y
            )
        layers = []
        for band in bands:
            values = file.read(
                band,
                window=part,
                out_shape=(window.height, window.width),
                resampling=Resampling.nearest,
            )
            layers.append(_marked(file, band, values))
        return layers


def _marked(file: rasterio.DatasetReader, band: int, values: Values) -> NDArray[np.float64]:
    """The values of a band, NaN where the file marks them as no data, unless the mark is 0."""
    numbers: NDArray[np.float64] = values.astype(np.float64)
    mark = file.nodatavals[band - 1]
    if mark is not None and mark != 0:
        numbers[numbers == mark] = np.nan
    return numbers


def _palette(file: rasterio.DatasetReader) -> list[int]:
    """Red, green and blue of each id; empty without a color table."""
    try:
        table = file.colormap(1)
    except ValueError:
        return []
    return [level for i in range(max(table) + 1) for level in table.get(i, (0, 0, 0, 0))[:3]]


class WholeMask:
    """A mask of the same pixels that is decoded at once, such as a PNG or LabelMe's shapes.

    Args:
        codes: of the whole mask, at the size of the image.
    """

    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def reading(self) -> AbstractContextManager[ReadCodes]:
        """The mask is in memory."""
        return nullcontext(self._read)

    def _read(self, window: Window) -> Codes:
        left, top, right, bottom = window.box
        values = self._codes.values[top:bottom, left:right].copy()
        return self._codes._replace(values=values)
