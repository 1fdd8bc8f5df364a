"""The tags of a TIFF that say where its pixels lie on earth."""

from __future__ import annotations

from pathlib import Path

from semiseg.data.formats.tiff import Tags, read_tags

TIFF_SUFFIXES = (".tif", ".tiff")
PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS = 33550, 33922, 34264, 34735
_GEO_TAGS = (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, GEO_KEYS)
_WIDTH, _HEIGHT = 256, 257


def read_map_tags(path: Path) -> Tags:
    """The tags of the first page of a TIFF; none of any other file, by its suffix, or a broken one.

    Args:
        path: any file; no pixels are read.
    """
    return (read_tags(path) or {}) if path.suffix.lower() in TIFF_SUFFIXES else {}


def has_geo_tags(path: Path) -> bool:
    """Whether the header of a TIFF says something about its place on the earth."""
    tags = read_map_tags(path)
    return any(tag in tags for tag in _GEO_TAGS)


def size_in(tags: Tags) -> tuple[int, int] | None:
    """Width and height in pixels; None where the tags do not say them."""
    width, height = tags.get(_WIDTH), tags.get(_HEIGHT)
    if not isinstance(width, int) or not isinstance(height, int):
        return None
    return width, height


def numbers_in(tags: Tags, tag: int) -> tuple[float, ...]:
    """The numbers of a tag; none where it is missing.

    Raises:
        ValueError: they are no numbers.
    """
    value = tags.get(tag)
    return tuple(map(float, value)) if isinstance(value, tuple) else ()
