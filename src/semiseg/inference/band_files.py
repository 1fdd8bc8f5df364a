"""The output files of an image that is too large to hold its results in memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.data.formats.masks import Classes
from semiseg.inference.large import LargeImage
from semiseg.inference.writers import OUTPUTS, SegmentedImage, output_file, save_picture
from semiseg.plots.overlay import overlay

OVERLAYS = "overlays"
MAX_OVERLAY = 4096
"""The longest side of the overlay of such an image in pixels."""
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MODES = {"L": (8, 0), "P": (8, 3), "RGB": (8, 2), "I;16": (16, 0)}
"""The bits of a channel, and the color type of PNG."""


class PngRows:
    """Writes a PNG file some rows at a time.

    Args:
        file: an open file.
        size: width and height of the image in pixels.
    """

    def __init__(self, file: IO[bytes], size: tuple[int, int]) -> None:
        self._file, self._size = file, size
        self._compressor = zlib.compressobj(6)
        self._has_header = False

    def write(self, rows: Image.Image) -> None:
        """Append rows: an image in mode L, P, RGB or I;16, of the full width."""
        if not self._has_header:
            self._write_header(rows)
            self._has_header = True
        values = np.asarray(rows)
        if values.dtype != np.uint8:
            values = values.astype(">u2")
        lines = np.ascontiguousarray(values).view(np.uint8).reshape(rows.height, -1)
        filtered = np.pad(lines, ((0, 0), (1, 0)))  # filter 0 before each row
        self._chunk(b"IDAT", self._compressor.compress(filtered.tobytes()))

    def close(self) -> None:
        """Write the end of the file."""
        self._chunk(b"IDAT", self._compressor.flush())
        self._write(b"IEND", b"")

    def _write_header(self, rows: Image.Image) -> None:
        bits, kind = _MODES[rows.mode]
        self._file.write(_SIGNATURE)
        self._write(b"IHDR", struct.pack(">IIBBBBB", *self._size, bits, kind, 0, 0, 0))
        palette = rows.getpalette("RGB")
        if rows.mode == "P" and palette is not None:
            self._write(b"PLTE", bytes(palette))

    def _chunk(self, kind: bytes, data: bytes) -> None:
        if data:
            self._write(kind, data)

    def _write(self, kind: bytes, data: bytes) -> None:
        checksum = zlib.crc32(kind + data)
        self._file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum))


class BandFiles:
    """Writes the files of one image band by band; see `band_files`.

    Args:
        files: the open files by their kind.
        size: width and height of the image in pixels.
    """

    def __init__(self, files: Mapping[str, IO[bytes]], size: tuple[int, int]) -> None:
        self._rows = {kind: PngRows(f, size) for kind, f in files.items() if kind != OVERLAYS}
        self._overlay = files.get(OVERLAYS)
        self._step = -(-max(size) // MAX_OVERLAY)
        self._small: list[NDArray[np.uint8]] = []  # the mask, every few rows and columns

    def add(self, rows: slice, segmented: SegmentedImage) -> None:
        """Write some rows.

        Args:
            rows: of the image.
            segmented: these rows; its `image` is not used.
        """
        for kind, file in self._rows.items():
            render = OUTPUTS[kind].render
            assert render is not None  # nosec B101 - only arrays have none
            file.write(render(segmented))
        if self._overlay is not None:
            step = self._step
            self._small.append(segmented.mask[-rows.start % step :: step, ::step].copy())

    def close(self, image: LargeImage, classes: Classes) -> None:
        """Write the end of the files, and the overlay.

        Args:
            image: the image.
            classes: their names and colors.
        """
        for file in self._rows.values():
            file.close()
        if self._overlay is not None:
            small = image.whole() if self._step == 1 else image.reduced(self._step)
            picture = overlay(small.convert("RGB"), np.concatenate(self._small), classes.colors)
            save_picture(picture, OUTPUTS[OVERLAYS], self._overlay)


@contextmanager
def band_files(
    targets: Mapping[str, Path], image: LargeImage, classes: Classes
) -> Iterator[BandFiles]:
    """The files of an image, which appear when all is written; the mask is the last one.

    Args:
        targets: the files by their kind, without `probabilities`.
        image: the image.
        classes: their names and colors.

    Raises:
        RunError: a file cannot be written.
    """
    with ExitStack() as stack:
        # What is opened last appears first.
        order = sorted(targets, key=list(OUTPUTS).index, reverse=True)
        files = {kind: stack.enter_context(output_file(targets[kind])) for kind in order}
        writer = BandFiles(files, image.size)
        yield writer
        writer.close(image, classes)
