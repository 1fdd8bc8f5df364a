"""TIFFs of several pages, through the extra `medical` (tifffile): what their axes mean.

OME-XML, ImageJ's metadata or tifffile's own say which axis holds channels, depths or times. The
planes along the axis of channels are the bands of one image; those along any other axis are images.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

# The text has no entities: `_parse` refuses every document type before it is parsed.
from xml.etree import ElementTree  # nosec B405

import numpy as np
from PIL import Image

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.formats.rasters import Values, depth_of
from semiseg.data.formats.tiff import ALPHA_KINDS, gdal_nodata, has_pages, read_tags
from semiseg.data.formats.volumes import CHANNEL, UNKNOWN, Volume, check_bands

# What tifffile says of damaged files would be printed; reading them raises an error.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_SOURCES = {"ome": "OME-XML", "imagej": "ImageJ's metadata", "shaped": "the file's metadata"}
_PLAIN = (1, 8, 32946)  # TIFF's numbers of no compression and of deflate
_MODES = ("1", "L", "RGB", "RGBA", "I", "I;16", "I;16B", "F")


class _Layout(NamedTuple):
    """The axes of a stack.

    Attributes:
        outer: the letters of the axes before the plane, the slowest first.
        counts: their lengths.
        plane: the letters of the axes of a page: YX, YXS or SYX.
        letters: all axes.
        sizes: their lengths, as a person reads them.
        source: who says so.
    """

    outer: str
    counts: tuple[int, ...]
    plane: str
    letters: str
    sizes: str
    source: str


def open_tiff(path: Path, axes: str | None, bands: tuple[int, ...] | None) -> Volume:
    """Open a TIFF of several pages.

    Args:
        path: the file.
        axes: the letters of its axes, as the user names them, or None for those of the file.
        bands: the numbers, from 1 on, of the bands that are read; None for all.

    Raises:
        DataError: the axes or bands are none of this file, or it is part of a set of files.
        Exception: tifffile or Pillow cannot read the file.
    """
    tifffile = importlib.import_module("tifffile")
    with tifffile.TiffFile(path) as file:
        names = _names_of(file, path)
        series = file.series[0]
        page = series.keyframe
        size = page.imagewidth, page.imagelength
        others = [s.keyframe for s in file.series[1:]]
        same = 1 + sum((other.imagewidth, other.imagelength) == size for other in others)
        if same > 1:
            raise DataError(
                f"{path} holds {same} separate stacks of {size[0]} x {size[1]} pixels, and semiseg "
                "reads files of one.",
                "Save each one as a file of its own, for example with Fiji.",
            )
        layout = _layout(series, axes, path)
        if not layout.outer and has_pages(path):
            raise OSError("it holds fewer pages than it says")
    samples = page.samplesperpixel
    extra = tuple(page.extrasamples)
    colors = samples - (bool(extra) and int(extra[-1]) in ALPHA_KINDS)
    in_pages = CHANNEL in layout.outer
    if in_pages and samples > 1:
        raise DataError(
            f"{path} has channels along two of its axes, {layout.letters} ({layout.sizes}).",
            "Name its axes, such as --axes ZYXS, or save it in another way.",
        )
    count = layout.counts[layout.outer.index(CHANNEL)] if in_pages else colors
    numbers = check_bands(path, bands, count)
    numbered = [i for i, letter in enumerate(layout.outer) if letter != CHANNEL]
    counts = tuple(layout.counts[i] for i in numbered)

    def images() -> Iterator[Values]:
        with tifffile.TiffFile(path) as file, path.open("rb") as stream:
            plane = _planes(file, layout, stream)
            for place in np.ndindex(counts):
                index = [0] * len(layout.counts)
                for axis, number in zip(numbered, place, strict=True):
                    index[axis] = number
                if not in_pages:
                    values = plane(index)
                    if samples > 1:
                        values = values[..., [band - 1 for band in numbers]]
                        values = values[..., 0] if len(numbers) == 1 else values
                    yield values
                    continue
                parts = []
                for band in numbers:
                    index[layout.outer.index(CHANNEL)] = band - 1
                    parts.append(plane(index))
                yield parts[0] if len(parts) == 1 else np.stack(parts, axis=-1)

    return Volume(
        size=size,
        images=images(),
        axes="".join(layout.outer[i] for i in numbered),
        counts=counts,
        bands=len(numbers),
        band_names=tuple(names[b - 1] for b in numbers) if len(names) == count else (),
        is_banded=in_pages,
        is_byte=page.dtype in (np.uint8, bool),
        dtype=str(page.dtype),
        nodata=gdal_nodata(read_tags(path) or {}),
        origin=f"{layout.letters}, as {layout.source} says",
        sizes=layout.sizes,
        alternative="" if in_pages or samples > 1 else _alternative(layout),
    )


def _layout(series: Any, axes: str | None, path: Path) -> _Layout:  # noqa: ANN401 - no types
    """The axes of a series of pages.

    Raises:
        DataError: the axes of the user are none of this file.
        OSError: the pages of the file are no planes.
    """
    letters, shape = str(series.axes), tuple(map(int, series.shape))
    match = re.search(r"(SYX|YXS|YX)$", letters)
    if match is None:
        raise OSError(f"its axes are {letters}, and pages need YX at their end")
    sizes = " x ".join(map(str, shape))
    plane, source = match[1], _SOURCES.get(series.kind, f"the metadata of {series.kind}")
    if axes is not None:
        if len(axes) != len(shape) or not axes.endswith(plane):
            raise DataError(
                f"{path} has axes of {sizes} ({letters}), so that --axes {axes} cannot name them.",
                f"Give {plural(len(shape), 'letter')} that end with {plane}.",
            )
        letters, source = axes, "--axes"
    outer = letters[: -len(plane)]
    return _Layout(outer, shape[: len(outer)], plane, letters, sizes, source)


def _alternative(layout: _Layout) -> str:
    """The axes of a stack, with the fastest one before the plane as that of the channels."""
    slower = layout.outer[:-1]
    if set(slower) & set(UNKNOWN):
        slower = "TZ"[-len(slower) :]
    return f"{slower}{CHANNEL}{layout.plane}"


def _planes(
    file: Any,  # noqa: ANN401 - no types
    layout: _Layout,
    stream: IO[bytes],
) -> Callable[[list[int]], Values]:
    """A function that decodes the page at a place along the axes before the plane.

    Raises:
        OSError: pages are missing.
    """
    series = file.series[0]
    count = int(np.prod(layout.counts, dtype=np.int64))
    is_plain = series.keyframe.compression in _PLAIN
    if len(series.pages) == count:
        pages = list(series.pages)
        if None in pages:
            raise OSError(f"{pages.count(None)} of {plural(count, 'page')} are missing")
        numbers = [int(page.index) for page in pages]
        source = None if is_plain else _PillowPages(stream)

        def decode(number: int) -> Values:
            page = pages[number]
            return page.asarray() if source is None else source.read(numbers[number])

    elif is_plain and series.dataoffset is not None:  # one header for all pages
        shape = series.shape[len(layout.counts) :]
        values = series.asarray(out="memmap").reshape(count, *shape)

        def decode(number: int) -> Values:
            return np.asarray(values[number])

    else:
        raise OSError(f"{len(series.pages)} of {plural(count, 'page')} are there")

    def plane(index: list[int]) -> Values:
        number = int(np.ravel_multi_index(index, layout.counts)) if index else 0
        values = decode(number)
        if layout.plane == "SYX":
            values = np.moveaxis(values, 0, -1)
        return values.astype(np.uint8) * 255 if values.dtype == bool else values

    return plane


class _PillowPages:
    """The pages of a compressed TIFF, for which tifffile would need further packages."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._file = Image.open(stream, formats=("TIFF",))

    def read(self, number: int) -> Values:
        """Decode the page of a number, from 0 on."""
        self._file.seek(number)
        if depth_of(self._file) == "deep color" or self._file.mode not in _MODES:
            raise OSError(f"page {number + 1} has mode {self._file.mode} and more than 8 bits")
        return np.asarray(self._file)


def _names_of(file: Any, path: Path) -> tuple[str, ...]:  # noqa: ANN401 - no types
    """The names of the channels.

    Raises:
        DataError: the file is one of a set of files. It names the others, and they are not opened.
    """
    text = file.ome_metadata
    if text:
        return _names_of_ome(str(text), path)
    labels = (file.imagej_metadata or {}).get("Labels") or ()
    return tuple(map(str, labels)) if isinstance(labels, (list, tuple)) else ()


def _names_of_ome(text: str, path: Path) -> tuple[str, ...]:
    root = _parse(text)
    own = root.get("UUID")
    files = {
        uuid.text: uuid.get("FileName", "") for uuid in root.iterfind(".//{*}TiffData/{*}UUID")
    }
    if own is None:  # a file without a number of its own is meant by its name
        files = {u: name for u, name in files.items() if name.lower() != path.name.lower()}
    if set(files) - {own} or root.find("{*}BinaryOnly") is not None:
        raise DataError(
            f"{path} is one file of a set that together holds an image (OME-XML).",
            "Save the set as one file, for example with Fiji or bfconvert.",
        )
    pixels = root.find("{*}Image/{*}Pixels")
    channels = [] if pixels is None else pixels.findall("{*}Channel")
    names = tuple((channel.get("Name") or "").strip() for channel in channels)
    return names if any(names) else ()


def _parse(text: str) -> ElementTree.Element:
    """Parse OME-XML.

    Raises:
        OSError: it is no XML, or defines entities.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise OSError("its OME-XML defines entities")
    with suppress(ElementTree.ParseError):
        return ElementTree.fromstring(text)  # nosec B314 - there are no entities
    raise OSError("its OME-XML is damaged")
