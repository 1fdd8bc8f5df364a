"""Pools: unlabeled images in tar files, read image by image from a disk or an object store."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.core.addresses import is_url
from semiseg.core.errors import DataError
from semiseg.core.text import printable
from semiseg.data.formats.image_bytes import ImageBytes
from semiseg.data.pools.address import Address, address_of
from semiseg.data.pools.foreign import MAX_IMAGE_BYTES, index_tars
from semiseg.data.pools.member_names import clean, decoded_key, is_safe, split_suffix
from semiseg.data.pools.metadata import INDEX, MANIFEST, NAMES, Manifest, Metadata, parse_manifest
from semiseg.data.pools.ranges import RangeReader, ReadError, Retries
from semiseg.data.pools.shard_cache import ShardCache
from semiseg.data.pools.tar_members import BLOCK, parse_header
from semiseg.data.pools.tar_places import TAR, lists_tars, tars_in
from semiseg.data.tree import Tree

_MAX_NAME = 100  # bytes of a name in a header; longer ones stand in a header before it


class ShardError(DataError):
    """An image cannot be read because its shard is damaged or cannot be reached.

    Attributes:
        about_shard: what is wrong with the shard and what to do, the same sentences for all of its
            images.
        is_damaged: whether the shard must be copied again; otherwise it may be read later.
    """

    about_shard, is_damaged = "", False

    @classmethod
    def of(cls, member: str, shard: Address, reason: str, is_damaged: bool) -> ShardError:
        """The error for an image.

        Args:
            member: the name of the image in the shard.
            shard: the file.
            reason: a clause that says why it cannot be read.
            is_damaged: see `ShardError`.
        """
        remedy = (
            "Copy the shard again."
            if is_damaged
            else "Run the command again: semiseg goes on where it stopped."
        )
        # No constructor of its own: torch builds the error of a loader process from its message.
        error = cls(f"{printable(member)} in {shard} cannot be read ({reason}).", remedy)
        error.about_shard = f"{shard} cannot be read ({reason}). {remedy}"
        error.is_damaged = is_damaged
        return error


class Pool:
    """Unlabeled images in tar files.

    A pool holds no open file. It may be pickled, and used in processes that were forked or spawned.

    Args:
        shards: the folder of the tars.
        metadata: the index and the names.
        cache: reads the shards.

    Attributes:
        address: the folder of the tars.
        manifest: the shards and their counts.
    """

    def __init__(self, shards: Address, metadata: Metadata, cache: ShardCache) -> None:
        self.address = shards
        self.manifest = metadata.manifest
        self._metadata = metadata
        self._cache = cache

    def __len__(self) -> int:
        """The number of images."""
        return self.manifest.images

    def __repr__(self) -> str:
        """The address without secrets, and the number of images."""
        return f"Pool({str(self.address)!r}, images={len(self)})"

    @property
    def counts(self) -> NDArray[np.int64]:
        """`(S,)`, the number of images in each shard."""
        return self.manifest.counts

    @property
    def fingerprint(self) -> str:
        """A hash of the pool's shards, names and index: 16 hex digits, wherever it lies."""
        return self.manifest.fingerprint

    def name(self, index: int) -> str:
        """The name of an image: a path without suffix, which no other image of the pool has.

        Raises:
            IndexError: the pool has fewer images.
            DataError: the file of names cannot be read.
        """
        return self._split_name(index)[0]

    def file_name(self, index: int) -> str:
        """The name of an image with its suffix, such as `field/07.jpg`.

        Raises:
            IndexError: the pool has fewer images.
            DataError: the file of names cannot be read.
        """
        return "".join(self._split_name(index))

    def read(self, index: int) -> bytes:
        """The encoded image, such as the content of a JPEG file.

        Raises:
            IndexError: the pool has fewer images.
            ShardError: it cannot be read, also after retries. The message names the shard and the
                member.
            DataError: the index does not fit the shard.
        """
        shard, place = self._metadata.locate(index)
        offset, length = self._metadata.entry(shard, place)
        if offset < BLOCK or offset + length > self.manifest.sizes[shard]:
            place_of = f"a place out of {self._cache.address(shard)}"
            raise self._damaged(INDEX, place_of)
        if length > MAX_IMAGE_BYTES:
            raise self._damaged(INDEX, f"an image of {length:,} bytes")
        try:
            data = self._cache.read(shard, offset - BLOCK, length + BLOCK)
        except ReadError as error:
            raise self._shard_error(shard, self._metadata.name(shard, place), error) from None
        member = self._metadata.name(shard, place)
        header = parse_header(data[:BLOCK])
        if header is None or header.length != length or not _same_name(header.name, member):
            file = self._cache.address(shard)
            raise DataError(
                f"{printable(member)} is not where the index says in {file}: the shard has "
                "changed, or is damaged.",
                "Copy it again, or pack the pool again."
                if self.manifest.shard_hashes
                else f"Remove {self._metadata.folder}, so that semiseg indexes the tars again.",
            )
        return data[BLOCK:]

    def image(self, index: int) -> ImageBytes:
        """An image for `read_image`; its name in messages is the shard's address and the member.

        Raises:
            IndexError: as `read`.
            DataError: as `read`.
        """
        shard, place = self._metadata.locate(index)
        member = self._metadata.name(shard, place)
        return ImageBytes(f"{self._cache.address(shard)}/{member}", self.read(index))

    def _split_name(self, index: int) -> tuple[str, str]:
        shard, place = self._metadata.locate(index)
        stem, suffix = split_suffix(clean(self._metadata.name(shard, place)))
        if self.manifest.shard_hashes:
            folder, slash, key = stem.rpartition("/")
            stem = folder + slash + decoded_key(key)
        if not is_safe(stem):  # a stranger may have written the list, and results get these names
            raise self._damaged(NAMES, f"{stem!r}, which no file below a folder can be")
        if self.manifest.shard_hashes:
            return stem, suffix
        if len(self.counts) > 1:  # others number the members of each shard anew
            stem = f"{self.manifest.shard_name(shard).removesuffix('.tar')}/{stem}"
        return stem, suffix

    def _shard_error(self, shard: int, member: str, error: ReadError) -> ShardError:
        """The error for an image whose shard cannot be read; a truncated shard is called one."""
        file, reason = self._cache.address(shard), str(error)
        missing = 0
        if error.is_short:
            with suppress(ReadError):
                missing = self._cache.missing_bytes(shard)
        if missing > 0:
            reason = f"the shard is cut off: {missing:,} of its bytes are missing at the end"
        return ShardError.of(member, file, reason, is_damaged=file.is_local or missing > 0)

    def _damaged(self, name: str, what: str) -> DataError:
        return DataError(
            f"{self._metadata.folder / name} is damaged: it names {what}.", "Copy it again."
        )


def open_pool(address: str | Path, *, retries: Retries | None = None, copies: bool = True) -> Pool:
    """Open a pool. What this takes does not grow with the number of its images.

    Tars that others made are indexed the first time, which reads all their headers.

    Args:
        address: a folder that `semiseg pack` wrote, a folder of tars, a tar, or a pattern of tars
            such as `shard-{000000..000012}.tar`; a path or a URL.
        retries: how often a request is repeated; by default four times, with waits of 1, 2 and 4
            seconds.
        copies: copy remote shards to the cache when several of their images are read. Who reads
            few images of each shard, such as one of many processes, needs no copies.

    Raises:
        DataError: there is no such pool, or it cannot be read, or holds no image.
    """
    place = address_of(address)
    reader = RangeReader(retries)
    is_list = _is_pattern(place) or (place.is_local and place.path.is_file())
    manifest = None if is_list else _manifest(place, reader)
    if manifest is None:
        if place.is_local and all((place.path / name).is_file() for name in (INDEX, NAMES)):
            raise DataError(f"{place / MANIFEST} is missing.", "Copy it again.")
        shards, folder, manifest = index_tars(place, reader)
    else:
        shards = folder = place
    if not manifest.images:
        raise DataError(f"{place} holds no images.")
    _check_size(folder / INDEX, manifest.images * 20, reader)
    _check_size(folder / NAMES, int(manifest.name_bytes.sum()), reader)
    cache = ShardCache(shards, manifest, reader, copies)
    return Pool(shards, Metadata(folder, manifest, reader), cache)


def is_pool(address: str | Path, tree: Tree | None = None) -> bool:
    """Whether a text means a pool rather than a folder or list of images; reads no image.

    A pool is a URL, a tar, a pattern or a list of tars, a folder with the manifest of a pool, or
    one of tars without images.

    Args:
        address: the text.
        tree: has listed the folder already, if it is one.
    """
    if is_url(address):
        return True
    place = Address(str(address))
    if _is_pattern(place):
        return True
    folder = place.path
    if folder.is_dir():
        tree = Tree(folder) if tree is None else tree
        return tree.is_file(folder / MANIFEST) or bool(tars_in(folder, tree))
    return lists_tars(folder)


def _is_pattern(place: Address) -> bool:
    """Whether a text means tars themselves, not a folder of them."""
    if not place.name.lower().endswith(TAR):
        return False
    return not place.is_local or not place.path.is_dir()


def _manifest(place: Address, reader: RangeReader) -> Manifest | None:
    """The manifest of a packed pool; None if there is none."""
    file = place / MANIFEST
    try:
        content = reader.content(file)
    except ReadError as error:
        if error.is_missing:
            return None
        raise DataError(f"{place} is no pool that can be read ({error}).") from None
    return parse_manifest(content, file)


def _check_size(file: Address, size: int, reader: RangeReader) -> None:
    try:
        actual = reader.size(file)
    except ReadError as error:
        remedy = "Copy it again." if error.is_missing else ""
        raise DataError(f"{file} cannot be read ({error}).", remedy) from None
    if actual != size:
        raise DataError(
            f"{file} has {actual:,} bytes, not {size:,} as {MANIFEST} says.", "Copy it again."
        )


def _same_name(name: str, member: str) -> bool:
    """Whether the name in a header is that of the index, as far as it stands in this header."""
    if name == member or len(member.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        return True
    return not member.isascii()  # Python writes such a name into a header before this one
