"""Large rasters in a listing become tiles, each with its part of the mask.

The tiles are windows: no tile is written to the disk, see `formats.raster_windows`. Their masks are
drawn once, into the cache, as those of annotation files are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.files import read_json, write_json
from semiseg.core.reading import Reading
from semiseg.core.text import percent, plural
from semiseg.core.types import Arrangement, Sample
from semiseg.data.dataset_file import DatasetFile
from semiseg.data.drawn import draw_masks
from semiseg.data.findings import Finding, error_of, note, on_files
from semiseg.data.formats.bands import INSTALL_GEO, can_read_bands, open_raster, rasterio_window
from semiseg.data.formats.drawn_codes import DRAWN_SUFFIX, ignored_code, is_labeled, save_codes
from semiseg.data.formats.grid import Grid, RasterHeader, read_grid, read_place
from semiseg.data.formats.raster_windows import Window, window_path
from semiseg.data.formats.vectors import VECTOR_SUFFIXES, Layer, read_layer
from semiseg.data.layouts.layout import Listing
from semiseg.data.tiles.mask_sources import Outside, PolygonMask
from semiseg.data.tiles.notes import TileNotes
from semiseg.data.tiles.placing import (
    Placed,
    distance_of,
    elsewhere,
    place_raster,
    require_coordinates,
)
from semiseg.data.tiles.windows import TILE, has_data, is_tiled, windows_of

logger = logging.getLogger(__name__)

_PLAN = "tiles.json"
_FORMAT = 2  # of the plan; increased whenever it says more
_WHOLE = "whole"  # the name of the mask of a raster that is no tile
_MIN_COVERED = 0.995  # of a raster; a mask of less is mentioned


@dataclass(frozen=True)
class TileSettings:
    """How rasters are read.

    Attributes:
        tile: the side of a tile in pixels, 0 for none; None for the default.
        class_attribute: the attribute of polygons that holds the classes; None to recognize it.
        outside: what pixels are that no polygon covers; None for background, or ignored if the
            background itself is drawn.
        nodata: values that mark pixels without data, besides those that files name.
    """

    tile: int | None = None
    class_attribute: str | None = None
    outside: Outside | None = None
    nodata: tuple[float, ...] = ()

    @classmethod
    def of(cls, flags: Arrangement, file: DatasetFile, reading: Reading) -> TileSettings:
        """What flags and `dataset.yaml` say; flags win."""
        content = file.content
        return cls(
            content.tile if flags.tile is None else flags.tile,
            flags.class_attribute or content.class_attribute,
            flags.outside or content.outside,
            reading.nodata or (),
        )


class _Plan(NamedTuple):
    """The tiles of a raster.

    Attributes:
        windows: those that have data.
        labeled: the places of those in `windows` that have a mask.
        folder: holds the masks.
        zeros: the pixels of the code 0 in the masks.
        pixels: all pixels in the masks that have a class.
    """

    windows: list[Window]
    labeled: set[int]
    folder: Path
    zeros: int
    pixels: int


class Tiles:
    """The rasters of a data folder in tiles.

    Args:
        root: the data folder.
        settings: how rasters are read.
        vectors: the vector files that are the masks of any split.
    """

    def __init__(self, root: Path, settings: TileSettings, vectors: Iterable[Path]) -> None:
        self.root, self.settings = root, settings
        self._layers: dict[Path, Layer] = {}
        self._moved: dict[tuple[Path, str], Layer] = {}  # by the system of their raster
        self._errors: list[Finding] = []
        for path in dict.fromkeys(vectors):
            try:
                self._layers[path] = read_layer(path, settings.class_attribute)
            except DataError as error:
                self._errors.append(error_of(error))
        layers = self._layers.values()
        self._names = any(not layer.has_numbers for layer in layers)
        drawn = any(layer.draws_background for layer in layers)
        self._outside: Outside = settings.outside or ("ignore" if drawn else "background")

    def expand(self, listing: Listing) -> Listing:
        """The images of a split, where large rasters are tiles; errors become findings."""
        notes = TileNotes(errors=list(self._errors))
        self._errors = []
        samples: list[Sample] = []
        sources: list[Path] = []
        distances: dict[Path, tuple[float, Path, Grid]] = {}
        for sample in listing.samples:
            try:
                parts = self._parts(sample, notes, distances)
            except (DataError, OSError) as error:
                notes.errors.append(self._error(sample, error))
                parts = []
            samples += parts
            if parts != [sample]:
                sources += [path for path in (sample.image, sample.mask) if path is not None]
        for path, (distance, image, grid) in distances.items():
            if distance > 0:
                notes.errors.append(error_of(elsewhere(self._layers[path], distance, image, grid)))
        findings = [*notes.findings(self.settings.tile or TILE), *self._skipped(sources)]
        if not sources and not findings:
            return listing
        return replace(
            listing,
            samples=samples,
            findings=[*listing.findings, *findings],
            sources=[*listing.sources, *sources],
        )

    def _parts(
        self, sample: Sample, notes: TileNotes, distances: dict[Path, tuple[float, Path, Grid]]
    ) -> list[Sample]:
        """The tiles of an image, with their masks; the image itself if it is read as before.

        Raises:
            DataError: the mask cannot be laid over the raster.
            OSError: a file cannot be read.
        """
        image, mask = sample.image, sample.mask
        is_vector = mask is not None and mask.suffix.lower() in VECTOR_SUFFIXES
        if is_vector and mask not in self._layers:
            return []  # an error says why
        header = read_place(image)
        tiled = header is not None and is_tiled(header, self.settings.tile)
        if header is None or not (tiled or is_vector or _lies_elsewhere(header, mask)):
            return [sample]
        if not can_read_bands():
            if is_vector:
                raise DataError(f"{mask} is laid over {image} with an extra: {INSTALL_GEO}.")
            notes.whole[self._name(image)] = ""
            return [sample]
        try:
            grid = read_grid(image)
        except OSError:
            return [sample]  # reading it as an image says what is wrong
        placed = self._place(image, mask, grid, distances) if mask is not None else None
        windows = windows_of(grid.size, self.settings.tile or TILE) if tiled else []
        plan = self._plan(sample, grid, placed, windows or [Window(0, 0, *grid.size)])
        self._note(sample, placed, plan, notes, tiled=tiled)
        if not tiled:
            path = plan.folder / f"{_WHOLE}{DRAWN_SUFFIX}" if plan.labeled else None
            return [sample._replace(mask=path)]
        return [
            Sample(
                f"{sample.name}/{path.name}",
                path,
                plan.folder / f"{path.name}{DRAWN_SUFFIX}" if number in plan.labeled else None,
            )
            for number, path in enumerate(window_path(image, w) for w in plan.windows)
        ]

    def _place(
        self, image: Path, mask: Path, grid: Grid, distances: dict[Path, tuple[float, Path, Grid]]
    ) -> Placed | None:
        """The mask of a raster; None if its polygons lie elsewhere."""
        layer = self._layers.get(mask)
        if layer is None:
            return place_raster(mask, image, grid)
        require_coordinates(layer, image, grid)
        if (mask, grid.crs) not in self._moved:
            self._moved[mask, grid.crs] = layer.in_crs(grid.crs)
        layer = self._moved[mask, grid.crs]
        distance = distance_of(layer, grid)
        if mask not in distances or distance < distances[mask][0]:
            distances[mask] = distance, image, grid
        if distance > 0:
            return None
        return Placed(PolygonMask(layer, grid, self._outside, names=self._names), by_place=True)

    def _plan(
        self, sample: Sample, grid: Grid, placed: Placed | None, windows: Sequence[Window]
    ) -> _Plan:
        """The tiles of a raster that have data; their masks are drawn unless they are already."""
        sources = [sample.image, *([sample.mask] if placed and sample.mask else [])]
        settings = self.settings
        facts: list[object] = [
            _FORMAT,
            windows,
            self._outside,
            settings.class_attribute,
            self._names,
            settings.nodata,
        ]
        # Files beside the rasters, such as field.tfw, may say where they lie.
        facts += [grid, placed.by_place if placed else None, placed.grid if placed else None]

        from rasterio.errors import RasterioError

        def draw(folder: Path) -> None:
            logger.info("the tiles of %s are listed once", self._name(sample.image))
            try:
                content = _draw(sample.image, placed, windows, settings, folder)
            except RasterioError as error:
                raise DataError(
                    f"{' or '.join(map(str, sources))} cannot be read to the end ({error}).",
                    "Replace the file or remove it.",
                ) from error
            write_json(folder / _PLAN, content)

        folder = draw_masks(self.root, sources, "tiles", draw, "\n".join(map(str, facts)))
        content = read_json(folder / _PLAN)
        assert isinstance(content, dict)  # nosec B101 - written above
        windows_with_data = [Window(*window) for window in content["windows"]]
        labeled = set(content["labeled"])
        return _Plan(windows_with_data, labeled, folder, content["zeros"], content["pixels"])

    def _note(
        self, sample: Sample, placed: Placed | None, plan: _Plan, notes: TileNotes, *, tiled: bool
    ) -> None:
        """Write down what a person should know about a raster."""
        image = self._name(sample.image)
        if not plan.windows:
            notes.empty[image] = ""
        elif tiled:
            labeled = f", {len(plan.labeled)} with labels" if sample.mask else ""
            notes.tiles[image] = f" ({plural(len(plan.windows), 'tile')}{labeled})"
        # Without a word from the user, 0 is only what no polygon covers, see `_outside`.
        is_silent = self.settings.outside is None and self._outside == "background"
        if is_silent and sample.mask in self._layers and plan.zeros:
            notes.uncovered[image] = plan.zeros, plan.pixels
        if placed is None or sample.mask is None or sample.mask in self._layers:
            return
        mask = self._name(sample.mask)
        if placed.covered < _MIN_COVERED:
            notes.covered[mask] = f" covers {percent(100 * placed.covered)} % of {image}"
        if placed.reaches_beyond:
            notes.beyond[mask] = f" ({image})"
        if placed.reprojected:
            notes.moved[mask] = f" ({' to '.join(placed.reprojected)})"

    def _skipped(self, sources: Sequence[Path]) -> list[Finding]:
        """The shapes of vector files that are not drawn."""
        layers = [layer for path, layer in self._layers.items() if path in sources]
        details = {
            self._name(layer.path): " ("
            + ", ".join(plural(count, kind) for kind, count in layer.skipped.items())
            + ")"
            for layer in layers
            if layer.skipped
        }
        message = "Vector files with shapes that are skipped"
        remedy = "Draw polygons, each with a class, and repair invalid ones (QGIS: Fix geometries)."
        notes = [
            note(f"{self._name(layer.path)}: the attribute {layer.attribute} holds the classes")
            for layer in layers
        ]
        return [*notes, *on_files("skipped-shape", "warning", details, message, remedy)]

    def _error(self, sample: Sample, error: DataError | OSError) -> Finding:
        if isinstance(error, DataError):
            return error_of(error)
        message = f"{self._name(sample.image)} cannot be read as a raster ({error})"
        return note(message, "Replace the file or remove it.", "error")

    def _name(self, path: Path) -> str:
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()


def _lies_elsewhere(header: RasterHeader, mask: Path | None) -> bool:
    """Whether a mask has other pixels than its image, so that coordinates have to say which."""
    if mask is None or not header.has_place:
        return False
    own = read_place(mask)
    return own is not None and own.has_place and own.size != header.size


def _draw(
    image: Path,
    placed: Placed | None,
    windows: Sequence[Window],
    settings: TileSettings,
    folder: Path,
) -> dict[str, object]:
    """Write the masks of the tiles of a raster.

    Returns:
        The tiles that have data, the numbers of those with a mask, and the pixels of the code 0 and
        of all codes in these masks.
    """
    from rasterio.enums import MaskFlags

    windows_with_data: list[Window] = []
    labeled: list[int] = []
    zeros = pixels = 0
    with open_raster(image) as file, placed.source.reading() if placed else nullcontext() as read:
        flags = file.mask_flag_enums[0]
        has_mask = MaskFlags.alpha in flags or MaskFlags.per_dataset in flags
        for window in windows:
            if not has_data(file, window, settings.nodata):
                continue
            windows_with_data.append(window)
            codes = read(window) if read else None
            if codes is None:
                continue
            if has_mask:
                invalid = file.dataset_mask(window=rasterio_window(window)) == 0
                codes.values[invalid] = ignored_code(codes.encoding)
            if is_labeled(codes):
                labeled.append(len(windows_with_data) - 1)
                zeros += int((codes.values == 0).sum())
                pixels += int((codes.values != ignored_code(codes.encoding)).sum())
                name = window_path(image, window).name if len(windows) > 1 else _WHOLE
                save_codes(folder / f"{name}{DRAWN_SUFFIX}", codes)
    return {"windows": windows_with_data, "labeled": labeled, "zeros": zeros, "pixels": pixels}


def expand_listings(
    root: Path,
    listings: Mapping[str, Listing],
    settings: TileSettings,
    splits: Iterable[str] | None = None,
) -> dict[str, Listing]:
    """The images by split, where large rasters are tiles.

    Args:
        root: the data folder.
        listings: the images by split.
        settings: how rasters are read.
        splits: those that are wanted; None for all. The vector files of all splits decide together
            what their polygons mean.

    Returns:
        The listings, each with what was noticed among its findings.
    """
    masks = [sample.mask for listing in listings.values() for sample in listing.samples]
    vectors = [mask for mask in masks if mask and mask.suffix.lower() in VECTOR_SUFFIXES]
    tiles = Tiles(root, settings, vectors)
    return {split: tiles.expand(listings[split]) for split in splits or listings}


def expand_images(
    root: Path, images: Mapping[str, Path], settings: TileSettings
) -> dict[str, Path]:
    """Images without masks, where large rasters are tiles.

    Args:
        root: the data folder, or another folder of the images.
        images: the files by their names.
        settings: how rasters are read.

    Raises:
        DataError: a raster cannot be read.
    """
    samples = [Sample(name, path, None) for name, path in images.items()]
    listing = Tiles(root, settings, ()).expand(Listing(samples))
    error = next((finding for finding in listing.findings if finding.severity == "error"), None)
    if error is not None:
        raise DataError(error.text)
    return {sample.name: sample.image for sample in listing.samples}
