"""The GeoTIFFs of one raster, which are written band by band, and go on after a killed process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from semiseg.core.files import atomic_write, part_name, sync_file
from semiseg.core.types import IGNORE_INDEX
from semiseg.data.formats.codes import TABLE_SIZE
from semiseg.data.formats.masks import Classes
from semiseg.inference.geotiff import (
    Content,
    Place,
    Rows,
    cannot_write,
    create_rows,
    write_cloud_optimized,
    write_rows,
)
from semiseg.inference.reading import Floats
from semiseg.inference.windows import START, Seam
from semiseg.inference.writers import OUTPUTS, SegmentedImage

MASK = ""
"""The kind of the mask itself among the `OUTPUTS`."""
_STATE = "state.npz"
_MAX_BUFFER = 1 << 22  # pixels that wait to be written


def nodata_value(classes: Classes) -> int | None:
    """The value of pixels without data in masks; None if the classes take all values."""
    if classes.ignored_value is not None:
        return classes.ignored_value
    highest = TABLE_SIZE - 1 if classes.needs_16_bits else IGNORE_INDEX
    own = set(classes.codes)
    return next((value for value in range(highest, -1, -1) if value not in own), None)


def content_of(kind: str, classes: Classes) -> Content:
    """What the values of a kind of output stand for."""
    if kind == "overlays":
        return Content(bands=3, resampling="AVERAGE", compression="JPEG")
    if kind == "confidence":
        return Content(nodata=0, resampling="AVERAGE")  # a confidence is above 0
    if kind != MASK:
        return Content(bands=3)
    values = classes.codes if classes.encoding == "ids" else range(len(classes))
    names = dict(zip(values, classes.names, strict=True))
    nodata = nodata_value(classes)
    if classes.needs_16_bits:
        return Content(dtype="uint16", nodata=nodata, names=names)
    colors = dict(zip(values, classes.colors, strict=True))
    if nodata is not None:
        colors[nodata] = (255, 255, 255)
    return Content(nodata=nodata, colors=colors, names=names)


class RasterFiles:
    """Writes the GeoTIFFs of one raster.

    The rows lie in a folder beside the last target until all are there. With them lies what the
    segmentation needs to go on: a file that is replaced as a whole, after the rows before it.

    Args:
        targets: the files by their kind, without `probabilities`.
        place: of the raster.
        classes: their names and colors.

    Attributes:
        folder: the rows, and the state.
        tally: the state of the `Tally` of the rows that an earlier call wrote, or None.
    """

    tally: Sequence[float] | None = None

    def __init__(self, targets: Mapping[str, Path], place: Place, classes: Classes) -> None:
        self._targets = {kind: targets[kind] for kind in OUTPUTS if kind in targets}
        self._place, self._nodata = place, nodata_value(classes)
        self._contents = {kind: content_of(kind, classes) for kind in self._targets}
        last = next(reversed(self._targets.values()))
        self.folder = last.with_name(part_name(last.name))
        self._waiting: dict[str, list[Rows]] = {kind: [] for kind in self._targets}
        self._written = 0

    def start(self, identity: str) -> Seam:
        """Make the files, or find what an earlier call of the same identity wrote.

        Args:
            identity: a hash of all that the result depends on.

        Returns:
            Where to go on.

        Raises:
            RunError: the files cannot be written.
        """
        seam = self._stored(identity)
        if seam is None:
            try:
                shutil.rmtree(self.folder, ignore_errors=True)
                self.folder.mkdir(parents=True)
                for kind, content in self._contents.items():
                    create_rows(self._rows_file(kind), self._place, content)
            except OSError as error:
                self.remove()
                raise cannot_write(self.folder, error) from error
            seam = START
        self._written = seam.done
        return seam

    def add(self, segmented: SegmentedImage, empty: NDArray[np.bool_] | None) -> None:
        """Add the next rows.

        Args:
            segmented: these rows.
            empty: `(H, W)`, True where there is no data; None for nowhere.

        Raises:
            RunError: the files cannot be written.
        """
        for kind, waiting in self._waiting.items():
            render = OUTPUTS[kind].render
            assert render is not None  # nosec B101 - only arrays have none
            rows = np.array(render(segmented))
            if empty is not None and (kind != MASK or self._nodata is not None):
                rows[empty] = self._nodata if kind == MASK else 0
            waiting.append(rows)
        rows_waiting = sum(map(len, next(iter(self._waiting.values()))))
        if rows_waiting * self._place.size[0] >= _MAX_BUFFER:
            self._flush()

    def store(self, seam: Seam, identity: str, tally: Sequence[float]) -> None:
        """Write all rows, and from where to go on after them.

        Args:
            seam: where to go on.
            identity: as for `start`.
            tally: the state of the `Tally` of these rows.

        Raises:
            RunError: the files cannot be written.
        """
        self._flush()
        arrays: dict[str, NDArray[Any]] = {
            "identity": np.array(identity),
            "kinds": np.array(list(self._targets)),
            "counts": np.array([seam.number, seam.done, len(seam.before)]),
            "tally": np.array(tally, np.float64),
        }
        arrays |= {f"before{i}": rows for i, rows in enumerate(seam.before)}
        arrays |= {f"pending{i}": rows for i, rows in enumerate(seam.pending)}
        try:
            for kind in self._targets:
                sync_file(self._rows_file(kind))
            with atomic_write(self.folder / _STATE) as file:
                np.savez(file, allow_pickle=False, **arrays)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def finish(self) -> None:
        """Convert the rows to the targets, the mask last, and remove the folder.

        Raises:
            RunError: a target cannot be written.
        """
        self._flush()
        for kind, target in self._targets.items():
            try:
                write_cloud_optimized(self._rows_file(kind), target, self._contents[kind])
            except OSError as error:
                raise cannot_write(target, error) from error
        self.remove()

    def remove(self) -> None:
        """Remove the rows and the state."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _rows_file(self, kind: str) -> Path:
        return self.folder / f"{kind or 'mask'}.rows"

    def _flush(self) -> None:
        for kind, waiting in self._waiting.items():
            try:
                if waiting:
                    write_rows(self._rows_file(kind), self._written, np.concatenate(waiting))
            except OSError as error:
                raise cannot_write(self.folder, error) from error
        self._written += sum(map(len, next(iter(self._waiting.values()))))
        for waiting in self._waiting.values():
            waiting.clear()

    def _stored(self, identity: str) -> Seam | None:
        """Where an earlier call stopped; None if none of this identity wrote all these kinds."""
        if not all(self._rows_file(kind).is_file() for kind in self._targets):
            return None
        try:
            with np.load(self.folder / _STATE) as arrays:
                is_same = str(arrays["identity"]) == identity
                if not is_same or not self._targets.keys() <= set(arrays["kinds"].tolist()):
                    return None
                number, done, maps = arrays["counts"].tolist()
                before, pending = (_maps(arrays, name, maps) for name in ("before", "pending"))
                self.tally = arrays["tally"].tolist()
                return Seam(number, done, before, pending)
        except (OSError, ValueError, LookupError, EOFError, BadZipFile):
            return None


def _maps(arrays: Mapping[str, Floats], name: str, count: int) -> list[Floats]:
    return [arrays[f"{name}{number}"] for number in range(count)]
