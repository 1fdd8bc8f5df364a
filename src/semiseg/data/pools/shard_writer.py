"""Writes the shards of a pool: images without their metadata; broken ones are left out."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import tarfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from semiseg.core.console import progress
from semiseg.core.errors import DataError, RunError
from semiseg.core.files import atomic_write
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.data.formats.image_bytes import ImageBytes
from semiseg.data.formats.images import decode_image
from semiseg.data.pools.foreign import MAX_IMAGE_BYTES
from semiseg.data.pools.metadata import numbered
from semiseg.data.pools.metadata_writer import MetadataWriter, ShardRecord, encoded_names
from semiseg.data.pools.packing_list import PackingList
from semiseg.data.pools.pool_order import permuted
from semiseg.data.pools.stripping import may_tell, strip
from semiseg.data.pools.tar_members import BLOCK
from semiseg.data.read_ahead import read_ahead

logger = logging.getLogger(__name__)

_END = bytes(2 * BLOCK)
_ENOUGH = 32  # the short side to which an image is decoded as a test
_MAX_THREADS = 8
_ORDER = Key.of("pack")
_OF_DISK = (
    *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC),
)  # errors of a disk, a network or this machine, not of one file


class _Item(NamedTuple):
    """A file that was read.

    Attributes:
        place: its place in the order of the pool.
        member: the name of its member.
        data: the bytes to write; empty if it is left out.
        reason: why it is left out.
        may_tell: whether its metadata could not be removed.
    """

    place: int
    member: str
    data: bytes
    reason: str = ""
    may_tell: bool = False


class ShardWriter:
    """Writes the shards that are missing.

    Args:
        files: all files of the pool.
        out: its folder.
        shard_bytes: the size at which a shard ends.
        writer: has the finished shards, and gets the new ones.

    Attributes:
        left_out: the files since the last finished shard that were left out.
    """

    def __init__(
        self, files: PackingList, out: Path, shard_bytes: int, writer: MetadataWriter
    ) -> None:
        self.left_out: list[str] = []
        self._files, self._out, self._limit, self._writer = files, out, shard_bytes, writer
        self._kept_whole = 0

    def write(self) -> None:
        """Write them.

        Raises:
            OSError: the disk is full, or may not be written.
            RunError: the disk of the images fails.
        """
        start = self._writer.records[-1].next if self._writer.records else 0
        threads = min(_MAX_THREADS, os.cpu_count() or 1)
        items = read_ahead(self._item, range(start, len(self._files)), threads)
        with warnings.catch_warnings(), progress("packing") as bar:
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata
            item = next(items, None)
            while item is not None:
                if item.data:
                    item = self._shard(item, items)
                else:
                    self.left_out.append(item.reason)
                    item = next(items, None)
                bar.update(item.place if item else len(self._files), len(self._files))
        if self._kept_whole:
            logger.warning(
                "%s whole: semiseg does not remove the metadata of TIFF, JPEG 2000, GIF, DICOM and "
                "NIfTI files, which may name places and people.",
                plural(self._kept_whole, "image is copied", "images are copied"),
            )

    def _shard(self, item: _Item | None, items: Iterator[_Item]) -> _Item | None:
        """Write one shard.

        Args:
            item: its first image.
            items: those that follow.

        Returns:
            The item that has no place in it; None behind the last one.
        """
        file = self._out / numbered(len(self._writer.records))
        places: list[tuple[int, int]] = []
        names: list[str] = []
        with atomic_write(file) as stream:
            shard = _Hashed(stream)
            while item is not None:
                if item.data:
                    head = _header(item.member, len(item.data))
                    size = len(head) + _padded(len(item.data))
                    if names and shard.size + size + len(_END) > self._limit:
                        break
                    shard.write(head)
                    places.append((shard.size, len(item.data)))
                    names.append(item.member)
                    self._kept_whole += item.may_tell
                    shard.write(item.data.ljust(_padded(len(item.data)), b"\0"))
                else:
                    self.left_out.append(item.reason)
                item = next(items, None)
            shard.write(_END)
        record = ShardRecord(
            *(len(names), shard.size, len(encoded_names(names)), shard.digest()),
            next=item.place if item else len(self._files),
            left_out=tuple(self.left_out),
        )
        self._writer.add(record, np.array(places, np.int64), names)
        self.left_out = []
        return item

    def _item(self, place: int) -> _Item:
        """Read a file, remove its metadata, and see that it can be decoded."""
        member, path = self._files[permuted(place, len(self._files), _ORDER)]
        try:
            if path.stat().st_size > MAX_IMAGE_BYTES:
                raise DataError(f"{path} is larger than {MAX_IMAGE_BYTES:,} bytes")
            content = ImageBytes(str(path), path.read_bytes())
            image = strip(content)
            decode_image(image, enough=_ENOUGH)
        except OSError as error:
            reason = f"{path} cannot be read ({error.strerror or error})."
            if error.errno in _OF_DISK:  # as many others cannot, which are whole
                raise RunError(f"{reason} Run the command again: finished shards stay.") from error
            return _Item(place, member, b"", reason)
        except DataError as error:
            return _Item(place, member, b"", error.message)
        except Exception as error:  # broken bytes may raise any error in a decoder
            return _Item(place, member, b"", f"{path} cannot be read as an image ({error!r}).")
        return _Item(place, member, image.data, may_tell=may_tell(image))


class _Hashed:
    """Writes to a file, and hashes and counts what it writes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._state, self.size = stream, hashlib.sha256(), 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._stream.write(data)
        self._state.update(data)
        self.size += len(data)

    def digest(self) -> str:
        """The SHA-256 of everything: 64 hex digits."""
        return self._state.hexdigest()


def _header(member: str, length: int) -> bytes:
    """The header of a member, without a time, an owner or anything else of the file."""
    info = tarfile.TarInfo(member)
    info.size = length
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK
