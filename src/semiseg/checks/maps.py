"""The rules about maps: neighbors in different splits, and different ground resolutions."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from semiseg.data.dataset import Dataset
from semiseg.data.defects import on_paths
from semiseg.data.findings import Finding
from semiseg.data.formats.extent import find_overlaps
from semiseg.data.formats.ground import GroundResolution, ground_resolution
from semiseg.data.formats.raster_windows import file_of

_MAX_RATIO = 1.5  # of the ground resolutions of images that are trained on together
_MIN_STEP = 32  # pixels; names with two multiples of such a step are those of tiles
_MIN_TILES = 4  # of one raster, by their names
_MARKED = (
    re.compile(r"(.*?)[ _.-]*(?:x|col|c)[ _-]?(\d+)[ _.-]*(?:y|row|r)[ _-]?(\d+)", re.IGNORECASE),
    re.compile(r"(.*?)[ _.-]*(?:y|row|r)[ _-]?(\d+)[ _.-]*(?:x|col|c)[ _-]?(\d+)", re.IGNORECASE),
)
_NUMBERED = re.compile(r"(.*?)[ _.-](\d+)[ _.-](\d+)")
_REMEDY = (
    "Put all tiles of a map into one split, or remove val/: semiseg then holds out blocks of tiles."
)


def neighboring_maps(data: Dataset) -> Iterator[Finding]:
    """Images of val and test that lie beside or over images that are trained on."""
    train, scored = (
        list(dict.fromkeys(file_of(sample.image) for sample in samples))
        for samples in (data.train, (*data.val, *data.test))
    )
    overlaps = find_overlaps(scored, train, touching=True)
    details = {path: f" and {data.name(others[0])}" for path, others in overlaps.items()}
    for tiles in _tiles_by_name((*scored, *train)):
        own = [path for path in scored if path in tiles and path not in details]
        others = [path for path in train if path in tiles]
        if own and others:
            details[own[0]] = f" and {data.name(others[0])}"
    message = (
        "Images of val or test that are tiles of the same map as images that are trained on, or "
        "that lie beside them: scores are too good"
    )
    yield from on_paths(data, "leak", "warning", details, message, _REMEDY)


def _tiles_by_name(files: Iterable[Path]) -> list[set[Path]]:
    """The files that are tiles of one raster by their names, such as `field_x512_y0.tif`."""
    groups: defaultdict[str, dict[Path, tuple[int, int]]] = defaultdict(dict)
    plain: set[str] = set()
    for file in files:
        marked = next((match for form in _MARKED if (match := form.fullmatch(file.stem))), None)
        match = marked or _NUMBERED.fullmatch(file.stem)
        if match is None:
            continue
        groups[match[1]][file] = int(match[2]), int(match[3])
        if marked is None:
            plain.add(match[1])
    return [
        set(places)
        for prefix, places in groups.items()
        if len(places) >= _MIN_TILES and (prefix not in plain or _are_offsets(places.values()))
    ]


def _are_offsets(places: Iterable[tuple[int, int]]) -> bool:
    """Whether pairs of numbers are places in pixels: multiples of a step in both directions."""
    return all(math.gcd(*numbers) >= _MIN_STEP for numbers in zip(*places, strict=True))


def unlike_resolutions(data: Dataset) -> Iterable[Finding]:
    """Images that are trained on together, although their pixels have different sides."""
    sizes: dict[Path, GroundResolution] = {}
    for file in dict.fromkeys(file_of(sample.image) for sample in data.train):
        resolution = ground_resolution(file)
        if resolution is not None:
            sizes[file] = resolution
    if len({resolution.unit for resolution in sizes.values()}) != 1:
        return []
    low, high = (end(sizes, key=lambda path: sizes[path].size) for end in (min, max))
    if sizes[high].size <= _MAX_RATIO * sizes[low].size:
        return []
    details = {path: f" ({sizes[path]})" for path in (low, high)}
    message = "Images whose pixels have different sides on the ground"
    remedy = (
        "A class looks different at another resolution. Resample the images to one, for example "
        "with gdalwarp -tr, or train on those of one resolution."
    )
    return on_paths(data, "ground-resolution", "warning", details, message, remedy)
