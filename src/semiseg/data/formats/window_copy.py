"""Writes a window of a raster as a file of its own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from semiseg.data.formats.bands import open_raster, rasterio_window
from semiseg.data.formats.raster_windows import split_window


def copy_window(path: Path, target: Path) -> None:
    """Write a window of a raster as a GeoTIFF with the same bands and the same place on earth.

    Args:
        path: the window, as `window_path` gives it.
        target: the file to write.

    Raises:
        OSError: the raster cannot be read, or the file cannot be written.
        ValueError: the path is no window.
    """
    import rasterio

    file, window = split_window(path)
    if window is None:
        raise ValueError(f"{path} is no window of a raster")
    with open_raster(file) as source:
        part = rasterio_window(window)
        profile = {
            "driver": "GTiff",
            "width": window.width,
            "height": window.height,
            "count": source.count,
            "dtype": source.dtypes[0],
            "nodata": source.nodata,
            "crs": source.crs,
            "transform": source.window_transform(part),
            "compress": "deflate",
        }
        with rasterio.open(target, "w", **profile) as copy:
            copy.colorinterp = source.colorinterp
            with suppress(ValueError):  # most rasters have no color table
                copy.write_colormap(1, source.colormap(1))
            copy.descriptions = source.descriptions
            copy.write(source.read(window=part))
