"""The masks of the tiles of a raster: from polygons, another raster, or the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.data.formats.bands import open_raster, rasterio_window
from semiseg.data.formats.drawn_codes import ignored_code
from semiseg.data.formats.geometry import Area
from semiseg.data.formats.grid import Grid, is_same_crs
from semiseg.data.formats.labelme import BACKGROUND, label_code
from semiseg.data.formats.mask_files import NO_LABELS, Codes
from semiseg.data.formats.mask_rule import NO_DATA, Encoding
from semiseg.data.formats.raster_windows import Window
from semiseg.data.formats.vectors import BACKGROUND_NAMES, Layer, Value

if TYPE_CHECKING:
    import rasterio

Outside = Literal["background", "ignore"]
"""What pixels are that no polygon covers."""
_COLORS = (3, 4)  # bands of a mask whose colors are the classes
_MAX_ID = 1 << 24  # of a class; larger numbers are none


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
        layer: the polygons.
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
        self._areas = _in_crs(layer, grid)
        bounds = [area.bounds for area in self._areas]
        self._bounds = np.array(bounds).reshape(-1, 4)

    def reading(self) -> AbstractContextManager[ReadCodes]:
        """The polygons are in memory."""
        return nullcontext(self._read)

    def _read(self, window: Window) -> Codes | None:
        from rasterio.features import rasterize
        from rasterio.transform import Affine

        grid = self.grid.window(window)
        left, bottom, right, top = grid.bounds
        boxes = self._bounds
        touches = (boxes[:, 0] < right) & (boxes[:, 2] > left)
        touches &= (boxes[:, 1] < top) & (boxes[:, 3] > bottom)
        shapes = [(self._areas[i].to_geojson(), self._codes[i]) for i in np.flatnonzero(touches)]
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


def _in_crs(layer: Layer, grid: Grid) -> tuple[Area, ...]:
    """The polygons in the coordinates of a raster."""
    if not layer.crs or is_same_crs(layer.crs, grid.crs):
        return layer.areas
    from rasterio.warp import transform

    rings = [ring for area in layer.areas for rings in area.polygons for ring in rings]
    if not rings:
        return layer.areas
    points = np.concatenate(rings)
    xs, ys = transform(layer.crs, grid.crs, points[:, 0], points[:, 1])
    moved = iter(np.split(np.column_stack([xs, ys]), np.cumsum([len(r) for r in rings])[:-1]))
    return tuple(
        Area(tuple(tuple(next(moved) for _ in rings) for rings in area.polygons))
        for area in layer.areas
    )


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
        import rasterio
        from rasterio.transform import Affine
        from rasterio.warp import Resampling, reproject

        grid = self.grid.window(window)
        layers = []
        for band in bands:
            values = np.full((window.height, window.width), np.nan)
            reproject(
                rasterio.band(file, band),
                values,
                dst_transform=Affine(*grid.transform),
                dst_crs=grid.crs or file.crs,
                src_nodata=_mark(file, band),
                dst_nodata=np.nan,
                resampling=Resampling.nearest,
            )
            layers.append(values)
        return layers

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
            ).astype(np.float64)
            mark = _mark(file, band)
            if mark is not None:
                values[values == mark] = np.nan
            layers.append(values)
        return layers


def _mark(file: rasterio.DatasetReader, band: int) -> float | None:
    """The value of pixels without data in a mask; None without one, and for 0."""
    value = file.nodatavals[band - 1]
    return None if value is None or value == 0 else float(value)


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
        values = np.ascontiguousarray(self._codes.values[top:bottom, left:right])
        return self._codes._replace(values=values)
