"""Writes a pool: tars of about equal size, their index, names and manifest.

The pool is complete when its manifest is there. A killed process loses the shard that it was
writing; the next one goes on behind the last finished shard, with the list of files that the first
one wrote.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import tarfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from filelock import Timeout

from semiseg.core.console import progress
from semiseg.core.errors import DataError, RunError
from semiseg.core.files import atomic_write, file_sha256, read_json, write_bytes, write_json
from semiseg.core.locks import locked
from semiseg.core.rng import Key
from semiseg.core.text import plural
from semiseg.data.formats.image_bytes import ImageBytes
from semiseg.data.formats.images import decode_image
from semiseg.data.pools.foreign import MAX_IMAGE_BYTES
from semiseg.data.pools.metadata import INDEX, MANIFEST, Manifest, numbered, parse_manifest
from semiseg.data.pools.metadata_writer import MetadataWriter, ShardRecord, encoded_names
from semiseg.data.pools.packing_list import PackingList, Source, write_list
from semiseg.data.pools.pool_order import permuted
from semiseg.data.pools.stripping import may_tell, strip
from semiseg.data.pools.tar_members import BLOCK
from semiseg.data.read_ahead import read_ahead

logger = logging.getLogger(__name__)

PLAN, LIST, LEFT_OUT = "packing.json", "packing.jsonl", "left_out.txt"
"""The settings and the files of a pool that is not complete; the files that were left out."""
_LOCK = ".lock"
_END = bytes(2 * BLOCK)
_ENOUGH = 32  # the short side to which an image is decoded as a test
_MAX_THREADS = 8
_ORDER = Key.of("pack")
_OF_DISK = (
    *(errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC),
)  # errors of a disk, a network or this machine, not of one file


class Packed(NamedTuple):
    """A complete pool.

    Attributes:
        manifest: what it holds.
        left_out: the files that were left out, with the reason.
    """

    manifest: Manifest
    left_out: list[str]


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


def pack_images(
    sources: Callable[[], Iterable[Source]], out: Path, *, described: str, shard_bytes: int
) -> Packed:
    """Write a pool, or go on with one that was interrupted.

    Args:
        sources: finds the files; is not called if an earlier process has found them.
        out: the folder of the pool.
        described: the folder or list of the files, to tell another pool.
        shard_bytes: the size at which a shard ends.

    Raises:
        DataError: there is no image, or none that can be read.
        RunError: the folder holds something else, another process packs, or the disk is full.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with locked(out / _LOCK):
            packed = _pack(sources, out, described, shard_bytes)
        (out / _LOCK).unlink(missing_ok=True)
    except Timeout:
        raise RunError(f"Another process packs {out}. Wait until it is done.") from None
    except OSError as error:
        raise RunError(
            f"{out} cannot be written ({error.strerror or error}). Free the disk and run the "
            "command again: finished shards stay."
        ) from error
    return packed


def _pack(
    sources: Callable[[], Iterable[Source]], out: Path, described: str, shard_bytes: int
) -> Packed:
    plan = {"source": described, "shard_bytes": shard_bytes}
    if (out / MANIFEST).exists():
        if (out / PLAN).exists():  # the earlier process was killed when it had finished
            _require_same(out / PLAN, plan)
        else:
            logger.warning(
                "%s is a complete pool: nothing is packed. Choose another --out for other images.",
                out,
            )
        return _complete(out)
    if (out / PLAN).exists():
        _require_same(out / PLAN, plan)
        logger.info("%s goes on behind its last finished shard.", out)
    elif others := {path.name for path in out.iterdir()} - {_LOCK, f"{PLAN}.part"}:
        raise RunError(f"{out} is not empty (it holds {min(others)}). Choose another --out.")
    else:
        write_json(out / PLAN, plan)
    if not (out / LIST).exists():
        # Neighbors in a folder are alike, and so the pool has another order.
        refused = write_list(sources(), out / LIST)
        _write_lines(out / LEFT_OUT, refused)
    files = PackingList(out / LIST)
    if not len(files):
        raise DataError(f"{described} holds no images.")
    writer = MetadataWriter(out)
    writer.keep(_finished(writer.records, out))
    shards = _Shards(files, out, shard_bytes, writer)
    shards.write()
    if not writer.records:
        raise DataError(f"No image of {described} can be packed: {shards.left_out[0]}.")
    refused = _lines(out / LEFT_OUT)
    # After a kill at this place, `refused` holds all of them.
    packed = (line for record in writer.records for line in record.left_out)
    lines = [*refused, *packed, *shards.left_out]
    left_out = list(dict.fromkeys(lines))
    _write_lines(out / LEFT_OUT, left_out)
    writer.finish()
    return _complete(out)


def _complete(out: Path) -> Packed:
    """A pool whose manifest is there.

    Raises:
        DataError: it is damaged.
    """
    manifest = parse_manifest((out / MANIFEST).read_bytes(), out / MANIFEST)
    if file_sha256(out / INDEX) != manifest.index_hash:
        raise DataError(f"{out / INDEX} is damaged.", "Pack the images again.")
    for name in (LIST, PLAN):
        (out / name).unlink(missing_ok=True)
    left_out = _lines(out / LEFT_OUT)
    if not left_out:
        (out / LEFT_OUT).unlink(missing_ok=True)
    return Packed(manifest, left_out)


def _require_same(file: Path, plan: dict[str, object]) -> None:
    """Refuse to mix two pools.

    Raises:
        RunError: the folder holds parts of another pool.
    """
    try:
        other = read_json(file)
    except ValueError:
        other = None
    if other != plan:
        source = other.get("source") if isinstance(other, dict) else "other images"
        raise RunError(
            f"{file.parent} holds parts of a pool of {source}, or with another --shard-size. "
            "Choose another --out, or remove the folder."
        )


def _finished(records: list[ShardRecord], out: Path) -> int:
    """How many of the first shards are there as they were written."""
    for number, record in enumerate(records):
        file = out / numbered(number)
        if not file.is_file() or file.stat().st_size != record.bytes:
            return number
    return len(records)


class _Shards:
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


def _lines(file: Path) -> list[str]:
    if not file.exists():
        return []
    return file.read_bytes().decode("utf-8", "surrogateescape").splitlines()


def _write_lines(file: Path, lines: Iterable[str]) -> None:
    text = "".join(f"{' '.join(line.split())}\n" for line in lines)
    write_bytes(file, text.encode("utf-8", "surrogateescape"))
