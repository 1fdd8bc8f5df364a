"""Files of features: one row for each image of a pool, written as the images are computed.

A row has a fixed place, the number of its image, and a fixed length. So a file is as long at the
beginning as at the end, nothing is kept in memory, and a row that is there needs no list of names.
Each row has a checksum: a row that a killed process wrote in part counts as missing.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from semiseg.core.errors import RunError
from semiseg.suggestion.ranking import Features

MISSING, COMPUTED, FAILED = 0, 1, 2
"""The states of a row: not computed yet, computed, and of an image that cannot be read."""
BLOCK = 4096
"""The rows that are in memory at a time."""
Rows: TypeAlias = "np.memmap[tuple[int], np.dtype[np.void]]"


class Description(NamedTuple):
    """What is known of an image.

    Attributes:
        features: `(D,)`, of an encoder.
        doubt: the mean of 1 - confidence over the pixels; NaN without a model.
        disagreement: the share of the pixels whose nearest prototype has another class than the
            mask; NaN without prototypes.
    """

    features: Features
    doubt: float = float("nan")
    disagreement: float = float("nan")


def row_type(width: int) -> np.dtype[np.void]:
    """The type of a row with features of `width` channels: 20 bytes, and 2 for each channel.

    Half precision has few small numbers, so each row has a scale: that of its largest feature.
    """
    return np.dtype(
        [
            ("check", "<u4"),  # the CRC-32 of the other bytes
            ("state", "<u4"),
            ("doubt", "<f4"),
            ("disagreement", "<f4"),
            ("scale", "<f4"),  # of the features
            ("features", "<f2", (width,)),
        ]
    )


def features_in(rows: NDArray[np.void]) -> Features:
    """The features in some rows, `(B, D)`."""
    features: Features = rows["features"] * rows["scale"][:, None]
    return features


class FeatureFile:
    """The rows of some images that are being computed; see `open_rows`.

    Args:
        rows: of the images, in a file that is mapped into memory.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._rows)

    def states(self) -> NDArray[np.uint32]:
        """The state of each row, `(N,)`."""
        return np.array(self._rows["state"])

    def write(self, place: int, description: Description) -> None:
        """Write the row of an image.

        Args:
            place: of the row.
            description: its content. Features become numbers of half precision.

        Raises:
            RunError: the features have another length.
        """
        row = np.zeros((), self._rows.dtype)
        if description.features.shape != row["features"].shape:
            raise RunError(
                f"An image has {description.features.size} features, and the file has a place for "
                f"{row['features'].size}."
            )
        row["state"], row["doubt"] = COMPUTED, description.doubt
        row["disagreement"] = description.disagreement
        row["scale"] = scale = float(np.abs(description.features).max()) or 1.0
        row["features"] = description.features / scale
        self._put(place, row)

    def fail(self, place: int) -> None:
        """Note that an image cannot be read."""
        row = np.zeros((), self._rows.dtype)
        row["state"] = FAILED
        self._put(place, row)

    def flush(self) -> None:
        """Wait until the disk has all rows."""
        self._rows.flush()

    def _put(self, place: int, row: NDArray[np.void]) -> None:
        row["check"] = zlib.crc32(row.tobytes()[4:])
        self._rows[place] = row


def open_rows(file: Path, images: int, width: int) -> FeatureFile:
    """Begin a file of rows, or go on with it.

    Args:
        file: the file. Its folder exists.
        images: the number of rows.
        width: the number of features of an image.

    Raises:
        RunError: it cannot be read or written, or is another file.
    """
    kind = row_type(width)
    try:
        if not file.exists():
            partial = file.with_suffix(".new")
            open_memmap(partial, mode="w+", dtype=kind, shape=(images,)).flush()
            partial.replace(file)
        rows = open_memmap(file, mode="r+")
    except (OSError, ValueError) as error:
        raise RunError(
            f"{file} cannot be opened as a file of features ({error}). Delete it, or choose "
            "another --out."
        ) from error
    if rows.dtype != kind or rows.shape != (images,):
        raise RunError(
            f"{file} does not hold {images:,} rows of {width} features. Delete it, or choose "
            "another --out."
        )
    for first, block in _blocks(file, rows):
        for place in np.flatnonzero(block["state"] != MISSING).tolist():
            if block["check"][place] != zlib.crc32(block[place].tobytes()[4:]):
                rows[first + place] = np.zeros((), kind)
    return FeatureFile(rows)


class PoolRows:
    """The rows of all images of a pool, in one file or in several.

    Only blocks of rows are read into memory, and the rows that are asked for.

    Args:
        files: in the order of their images.

    Raises:
        RunError: a file cannot be read.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        try:
            self._maps = [open_memmap(file, mode="r") for file in files]
        except (OSError, ValueError) as error:
            raise RunError(f"The features cannot be read ({error}).") from error
        self._first = np.cumsum([0, *map(len, self._maps)])
        self.width = int(self._maps[0].dtype["features"].shape[0])

    def __len__(self) -> int:
        """The number of images."""
        return int(self._first[-1])

    def blocks(self) -> Iterator[tuple[int, NDArray[np.void]]]:
        """The rows in their order, as the number of the first one and at most `BLOCK` rows.

        Neither the blocks nor their bits depend on the number of files.
        """
        parts: list[NDArray[np.void]] = []
        first = size = 0
        for file, rows in zip(self._files, self._maps, strict=True):
            start = 0
            while start < len(rows):
                count = min(BLOCK - size, len(rows) - start)
                parts.append(_read(file, rows, start, count))
                start, size = start + count, size + count
                if size == BLOCK:
                    yield first, np.concatenate(parts)
                    first, size, parts = first + BLOCK, 0, []
        if parts:
            yield first, np.concatenate(parts)

    def features(self, numbers: NDArray[np.int64]) -> Features:
        """The features of some images, `(B, D)`."""
        owners = np.searchsorted(self._first, numbers, side="right") - 1
        vectors = np.empty((len(numbers), self.width), np.float32)
        for owner in np.unique(owners).tolist():
            chosen = owners == owner
            vectors[chosen] = features_in(self._maps[owner][numbers[chosen] - self._first[owner]])
        return vectors

    def column(self, name: str) -> NDArray[np.float32]:
        """The state, the doubt or the disagreement of all images, `(N,)`."""
        # Copies: a view of one column would keep its whole block in memory.
        return np.concatenate([block[name].copy() for _, block in self.blocks()])


def _blocks(file: Path, rows: Rows) -> Iterator[tuple[int, NDArray[np.void]]]:
    for first in range(0, len(rows), BLOCK):
        yield first, _read(file, rows, first, min(BLOCK, len(rows) - first))


def _read(file: Path, rows: Rows, first: int, count: int) -> NDArray[np.void]:
    """Some rows as an array: pages of the map itself would count as memory of this process."""
    offset = rows.offset + first * rows.dtype.itemsize
    try:
        return np.fromfile(file, rows.dtype, count, offset=offset)
    except OSError as error:
        raise RunError(f"{file} cannot be read ({error}).") from error
