"""Coordinate reference systems: their names, and coordinates in another system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError

Bounds: TypeAlias = tuple[float, float, float, float]
"""The lowest x and y, and the highest x and y."""


def is_same_crs(one: str, other: str) -> bool:
    """Whether two texts mean the same coordinate reference system."""
    from rasterio.crs import CRS

    return one == other or bool(CRS.from_user_input(one) == CRS.from_user_input(other))


def name_of_crs(crs: str) -> str:
    """A coordinate reference system in a few words, such as `EPSG:32633`."""
    from rasterio.crs import CRS

    system = CRS.from_user_input(crs)
    code = system.to_epsg()
    return f"EPSG:{code}" if code else str(system.to_dict().get("proj", "an unknown system"))


def move_bounds(bounds: Bounds, crs: str, target: str, path: Path) -> Bounds:
    """Bounds in another coordinate reference system.

    Args:
        bounds: in the first system.
        crs: the first system.
        target: the other one.
        path: the file of the bounds, for the error.

    Raises:
        DataError: they have no place in the other system.
    """
    from rasterio.warp import transform_bounds

    with _explained(path, crs, target):
        left, bottom, right, top = transform_bounds(crs, target, *bounds)
        if not np.isfinite((left, bottom, right, top)).all():
            raise ValueError("an end has no place there")
    return left, bottom, right, top


def move_points(
    points: NDArray[np.float64], crs: str, target: str, path: Path
) -> NDArray[np.float64]:
    """Points `(N, 2)` in another coordinate reference system.

    Args:
        points: x and y.
        crs: as for `move_bounds`.
        target: as for `move_bounds`.
        path: as for `move_bounds`.

    Returns:
        `(N, 2)`, not-a-number for a point that has no place in the other system.

    Raises:
        DataError: no point has a place there.
    """
    from rasterio.warp import transform

    with _explained(path, crs, target):
        moved = np.column_stack(transform(crs, target, points[:, 0], points[:, 1]))
        moved[~np.isfinite(moved).all(axis=1)] = np.nan
        if len(moved) and np.isnan(moved).all():
            raise ValueError("no point has a place there")
    return moved


@contextmanager
def _explained(path: Path, crs: str, target: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # rasterio passes on errors of GDAL that have no public class
        raise DataError(
            f"The coordinates of {path} ({name_of_crs(crs)}) cannot be transformed to "
            f"{name_of_crs(target)}.",
            "Check that its coordinate reference system is right, or export it in the system of "
            "its image.",
        ) from error
