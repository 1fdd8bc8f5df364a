"""GeoTIFFs that `predict` writes: the place of the source, and a layout for maps on the web.

Rows go to an uncompressed file first. Its blocks never move, so a killed process leaves it
readable, and writing goes on in it. GDAL then converts it to a cloud-optimized GeoTIFF.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import RunError
from semiseg.data.formats.bands import can_read_bands, gdal_options, open_raster
from semiseg.data.formats.codes import Color
from semiseg.data.formats.geo_tags import has_geo_tags
from semiseg.data.formats.tiff import has_pages

if TYPE_CHECKING:
    import rasterio.io

Rows: TypeAlias = NDArray[Any]
"""`(H, W)`, or `(H, W, 3)` of RGB; of 8 or 16 bits."""
_BLOCK = 512  # pixels of a tile's side
_JPEG_QUALITY = 92


@dataclass(frozen=True)
class Place:
    """Where a raster lies on the earth.

    Attributes:
        size: width and height in pixels.
        crs: rasterio's coordinate reference system; None if the file names none.
        transform: rasterio's affine transform from pixels to coordinates.
        gcps: ground control points where there is no transform, and their system.
        is_point: whether coordinates belong to the centers of pixels in the file's own words.
    """

    size: tuple[int, int]
    crs: Any
    transform: Any
    gcps: tuple[Sequence[Any], Any] = ((), None)
    is_point: bool = False

    @property
    def pixel_area(self) -> float | None:
        """The area of a pixel in square units of the coordinates; None with control points."""
        return None if self.gcps[0] else abs(float(self.transform.determinant))


@dataclass(frozen=True)
class Content:
    """What the values of a GeoTIFF stand for.

    Attributes:
        bands: the number of bands.
        dtype: their type.
        nodata: the value of pixels without data, or None.
        colors: the color of each value, or none.
        names: the name of each value, or none.
        resampling: how the smaller copies of the raster are made.
        compression: of its tiles; `JPEG` is for pictures.
    """

    bands: int = 1
    dtype: Literal["uint8", "uint16"] = "uint8"
    nodata: int | None = None
    colors: Mapping[int, Color] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    resampling: Literal["NEAREST", "AVERAGE"] = "NEAREST"
    compression: Literal["DEFLATE", "JPEG"] = "DEFLATE"


def place_of(path: Path) -> Place | None:
    """Where an image lies on the earth.

    Args:
        path: any file; no pixels are read.

    Returns:
        None for other files than GeoTIFFs, for those that cannot be read, and without the extra
        `geo`.
    """
    if not has_geo_tags(path) or not can_read_bands():
        return None
    try:
        if has_pages(path):  # its pages are bands or images, of which GDAL reads the first one
            return None
        with open_raster(path) as file:
            gcps = file.gcps
            if file.crs is None and file.transform.is_identity and not gcps[0]:
                return None
            is_point = file.tags().get("AREA_OR_POINT") == "Point"
            return Place((file.width, file.height), file.crs, file.transform, gcps, is_point)
    except OSError:
        return None


@contextmanager
def _open_rows(path: Path, mode: str, **profile: object) -> Iterator[rasterio.io.DatasetWriter]:
    """Open a GeoTIFF to write.

    Raises:
        OSError: GDAL cannot write it.
    """
    import rasterio
    from rasterio.errors import RasterioError

    with gdal_options(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a file without a place
        try:
            with rasterio.open(path.absolute(), mode, driver="GTiff", **profile) as file:
                yield file
        except RasterioError as error:
            raise OSError(str(error)) from error


def create_rows(path: Path, place: Place, content: Content) -> None:
    """Write an uncompressed GeoTIFF of zeros, whose rows `write_rows` replaces.

    Raises:
        OSError: it cannot be written.
    """
    width, height = place.size
    profile: dict[str, object] = {
        **{"width": width, "height": height, "count": content.bands, "dtype": content.dtype},
        **{"blockysize": 1, "tiled": False, "interleave": "pixel", "bigtiff": "IF_SAFER"},
    }
    if content.bands == 3:
        profile["photometric"] = "RGB"
    if content.nodata is not None:
        profile["nodata"] = content.nodata
    if not place.gcps[0]:
        profile |= {"crs": place.crs, "transform": place.transform}
    with _open_rows(path, "w", **profile) as file:
        if place.gcps[0]:
            file.gcps = place.gcps
        if place.is_point:
            file.update_tags(AREA_OR_POINT="Point")
        if content.colors:
            file.write_colormap(1, {v: (*color, 255) for v, color in content.colors.items()})
        if content.names:
            file.update_tags(1, **{f"class_{v}": name for v, name in content.names.items()})
    size = width * height * content.bands * np.dtype(content.dtype).itemsize
    if path.stat().st_size < size:  # GDAL only logs that a disk is full
        raise OSError(f"the disk has no place for {size / 1e6:.0f} MB")


def write_rows(path: Path, top: int, rows: Rows) -> None:
    """Replace some rows of a file that `create_rows` wrote.

    Args:
        path: the file.
        top: the first row.
        rows: of the full width.

    Raises:
        OSError: they cannot be written.
    """
    height, width = rows.shape[:2]
    bands = rows[None] if rows.ndim == 2 else np.moveaxis(rows, 2, 0)
    with _open_rows(path, "r+") as file:
        file.write(bands, window=((top, top + height), (0, width)))


def write_cloud_optimized(source: Path, target: Path, content: Content) -> None:
    """Convert a GeoTIFF to one with tiles and overviews in the order of a cloud-optimized GeoTIFF.

    Args:
        source: any GeoTIFF. The new one is written beside it first.
        target: the file, which appears under its name as a whole or not at all.
        content: what the values stand for.

    Raises:
        OSError: it cannot be written.
    """
    from rasterio.shutil import copy

    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = source.with_suffix(".part")
    options: dict[str, object] = {
        **{"compress": content.compression, "blocksize": _BLOCK, "bigtiff": "IF_SAFER"},
        **{"overview_resampling": content.resampling, "statistics": "NO"},
    }
    if content.compression == "JPEG":
        options["quality"] = _JPEG_QUALITY
    try:
        with gdal_options():
            copy(source, temporary, driver="COG", **options)
            with open_raster(temporary) as file:
                file.checksum(1)  # reads each tile
        temporary.replace(target)
    except Exception as error:  # GDAL raises many kinds
        raise OSError(str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> RunError:
    """The error of a result that cannot be written."""
    return RunError(f"{path} cannot be written ({error}). Choose another --out.")
