"""Encoded images in memory, such as the members of a pool's shards, read as files are."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from semiseg.data.formats.image_formats import format_of

_BY_FILE = ("TIFF", "JPEG 2000", "DICOM", "NIfTI")  # packages beside Pillow read them from a path
_SIGNATURES = (
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
)  # of TIFF and JPEG 2000, which count whatever the suffix


@dataclass(frozen=True)
class ImageBytes:
    """The content of an image file.

    Attributes:
        name: what messages call it, such as `000003.tar/field/07.jpg`. Its suffix counts as that of
            a file.
        data: the bytes.
    """

    name: str
    data: bytes

    def __str__(self) -> str:
        """The name."""
        return self.name

    def __repr__(self) -> str:
        """The name and the size, without the bytes."""
        return f"ImageBytes({self.name!r}, {len(self.data):,} bytes)"

    @property
    def needs_file(self) -> bool:
        """Whether the format is read by packages that take a path."""
        form = format_of(Path(self.name))
        by_suffix = form is not None and form.name in _BY_FILE
        return by_suffix or self.data.startswith(_SIGNATURES)

    @contextmanager
    def as_file(self) -> Iterator[Path]:
        """A temporary file with these bytes, while the block runs.

        Raises:
            OSError: the file cannot be written.
        """
        # On Windows a reader may still hold the file when the block ends.
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            file = Path(folder) / f"image-{Path(self.name).name}"
            file.write_bytes(self.data)
            yield file


ImageSource = Path | ImageBytes
"""An image: a file (or a window of a raster), or the content of one."""


def open_source(image: ImageSource) -> IO[bytes]:
    """The bytes of an image as a stream.

    Raises:
        OSError: the file cannot be read.
    """
    return io.BytesIO(image.data) if isinstance(image, ImageBytes) else image.open("rb")


def path_of(image: ImageSource) -> Path:
    """The path of an image; that of bytes exists only as a name."""
    return Path(image.name) if isinstance(image, ImageBytes) else image
