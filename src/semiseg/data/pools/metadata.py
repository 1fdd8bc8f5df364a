"""The three files that describe a pool: the index, the names, and the manifest.

`index.bin` has 20 bytes for each image: the number of its shard, and the offset and the length of
its data. `names.txt` has the name of its member on a line. `manifest.json` counts and hashes. The
first two are as long as the pool is large, so they are read in the blocks of single shards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.core.files import short_hash
from semiseg.data.pools.address import Address
from semiseg.data.pools.member_names import is_safe
from semiseg.data.pools.ranges import RangeReader, ReadError
from semiseg.data.pools.recent import Recent

MANIFEST, INDEX, NAMES = "manifest.json", "index.bin", "names.txt"
FORMAT = 1
"""The version of the three files; raise it when an earlier semiseg could not read them."""
KIND = "semiseg pool"
_HASHES = re.compile("[0-9a-f]*")
ENTRY = np.dtype([("shard", "<u4"), ("offset", "<u8"), ("length", "<u8")])
"""An image in the index: 20 bytes."""


@dataclass(frozen=True)
class Manifest:
    """What a pool holds.

    Attributes:
        counts: `(S,)`, the images in each shard.
        sizes: `(S,)`, the bytes of each shard.
        name_bytes: `(S,)`, the bytes that the names of a shard take in `names.txt`.
        index_hash: the SHA-256 of `index.bin`.
        names_hash: the SHA-256 of `names.txt`.
        shard_hashes: the SHA-256 of each shard; empty for tars that others made.
        shard_names: the file of each shard; empty where they are numbered.
        stamps: what tells a changed shard of others; empty where there are `shard_hashes`.
    """

    counts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    name_bytes: NDArray[np.int64]
    index_hash: str
    names_hash: str
    shard_hashes: Sequence[str] = ()
    shard_names: Sequence[str] = ()
    stamps: Sequence[str] = ()

    @property
    def images(self) -> int:
        """The number of images."""
        return int(self.counts.sum())

    @property
    def fingerprint(self) -> str:
        """A hash of all shards, their images and names: 16 hex digits."""
        columns = (self.counts.tobytes(), self.sizes.tobytes())
        hashes = "".join(self.shard_hashes)
        return short_hash(*columns, self.index_hash, self.names_hash, hashes, size=8)

    def shard_name(self, shard: int) -> str:
        """The file of a shard."""
        return self.shard_names[shard] if self.shard_names else numbered(shard)

    def to_json(self) -> str:
        """The text of `manifest.json`; each column of the shards is one list."""
        columns = {
            "images": self.counts.tolist(),
            "bytes": self.sizes.tolist(),
            "name_bytes": self.name_bytes.tolist(),
            "sha256": list(self.shard_hashes),
            "name": list(self.shard_names),
            "stamp": list(self.stamps),
        }
        content = {
            "kind": KIND,
            "format": FORMAT,
            "images": self.images,
            "bytes": int(self.sizes.sum()),
            "index_sha256": self.index_hash,
            "names_sha256": self.names_hash,
            "shards": {name: column for name, column in columns.items() if column},
        }
        return json.dumps(content, indent=None, ensure_ascii=False) + "\n"


def numbered(shard: int) -> str:
    """The file of a shard that semiseg packs.

    Example:
        >>> numbered(12)
        '000012.tar'
    """
    return f"{shard:06d}.tar"


def parse_manifest(content: bytes, place: object) -> Manifest:
    """Read the text of `manifest.json`.

    Args:
        content: the text.
        place: the file, for the error.

    Raises:
        DataError: it is none, or one of a later version.
    """
    try:
        values = json.loads(content)
        if not isinstance(values, dict) or values.get("kind") != KIND:
            raise ValueError("it is not that of a pool")
        if values["format"] != FORMAT:
            raise ValueError(f"it has format {values['format']}, this semiseg reads {FORMAT}")
        shards = values["shards"]
        counts, sizes, name_bytes = (
            np.array(shards.pop(key, []), np.int64) for key in ("images", "bytes", "name_bytes")
        )
        hashes, names, stamps = (_texts(shards.get(key, [])) for key in ("sha256", "name", "stamp"))
        manifest = Manifest(
            *(counts, sizes, name_bytes),
            *(str(values["index_sha256"]), str(values["names_sha256"])),
            *(hashes, names, stamps),
        )
        if {len(value) for value in hashes} - {64} or not _HASHES.fullmatch("".join(hashes)):
            raise ValueError("a hash is none")  # the copies of shards have these names
        if not all(map(is_safe, names)):
            raise ValueError("a shard lies elsewhere")
        lengths = {len(c) for c in (sizes, name_bytes, hashes, names, stamps) if len(c)}
        if counts.ndim != 1 or not lengths <= {len(counts)} or not len(hashes) + len(names):
            raise ValueError("its columns are not of one length")
        if min(map(int, (counts.min(), sizes.min(), name_bytes.min()))) < 0:
            raise ValueError("a count is negative")
        if manifest.images != values["images"]:
            raise ValueError("its counts contradict each other")
    except KeyError as error:
        reason = f"{error} is missing"
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = str(error).splitlines()[0]
    else:
        return manifest
    raise DataError(f"{place} cannot be read as the manifest of a pool ({reason}).")


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError("a column does not hold texts")
    return tuple(values)


@dataclass(frozen=True)
class NameBlock:
    """The names of one shard, as they stand in the file.

    Attributes:
        text: the lines.
        ends: where each line ends.
    """

    text: bytes
    ends: NDArray[np.int64]

    def __getitem__(self, place: int) -> str:
        start = int(self.ends[place - 1]) + 1 if place else 0
        return self.text[start : int(self.ends[place])].decode("utf-8", "surrogateescape")


class Metadata:
    """Index and names of a pool, read in the blocks of single shards.

    Args:
        folder: the folder of the three files.
        manifest: the manifest.
        reader: reads them.
    """

    def __init__(self, folder: Address, manifest: Manifest, reader: RangeReader) -> None:
        self.folder, self.manifest = folder, manifest
        self._reader = reader
        self._first = np.concatenate([[0], np.cumsum(manifest.counts)])
        self._first_name = np.concatenate([[0], np.cumsum(manifest.name_bytes)])
        self._map: NDArray[np.void] | None = None
        self._entries: Recent[NDArray[np.void]] = Recent()
        self._names: Recent[NameBlock] = Recent()

    def __getstate__(self) -> dict[str, object]:
        """What another process gets: nothing that can be read again."""
        return self.__dict__ | {"_map": None, "_entries": Recent(), "_names": Recent()}

    def locate(self, index: int) -> tuple[int, int]:
        """The shard of an image, and its place in this shard.

        Raises:
            IndexError: there are fewer images.
        """
        if not 0 <= index < self._first[-1]:
            raise IndexError(f"image {index:,} of a pool of {int(self._first[-1]):,}")
        shard = int(self._first.searchsorted(index, "right")) - 1
        return shard, index - int(self._first[shard])

    def entry(self, shard: int, place: int) -> tuple[int, int]:
        """The offset and the length of an image's data in its shard.

        Raises:
            DataError: the index cannot be read, or contradicts the manifest.
        """
        first = int(self._first[shard])
        if self.folder.is_local:
            number, offset, length = self._mapped()[first + place].item()
        else:
            block = self._entries.get(shard)
            if block is None:
                count = int(self.manifest.counts[shard])
                data = self._read(INDEX, first * ENTRY.itemsize, count * ENTRY.itemsize)
                block = self._entries.put(shard, np.frombuffer(data, ENTRY))
            number, offset, length = block[place].item()
        if number != shard:
            raise DataError(f"{self.folder / INDEX} contradicts {MANIFEST}: it is damaged.")
        return offset, length

    def _mapped(self) -> NDArray[np.void]:
        """The whole index of a local pool; only the pages in use are read."""
        if self._map is None:
            try:
                self._map = np.memmap(
                    self.folder.path / INDEX, ENTRY, mode="r", shape=(self.manifest.images,)
                )
            except (OSError, ValueError) as error:
                raise DataError(f"{self.folder / INDEX} cannot be read ({error}).") from None
        return self._map

    def name(self, shard: int, place: int) -> str:
        """The name of an image's member in its shard.

        Raises:
            DataError: the names cannot be read, or contradict the manifest.
        """
        block = self._names.get(shard)
        if block is None:
            start, length = int(self._first_name[shard]), int(self.manifest.name_bytes[shard])
            text = self._read(NAMES, start, length)
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
            if len(ends) != self.manifest.counts[shard]:
                raise DataError(f"{self.folder / NAMES} contradicts {MANIFEST}: it is damaged.")
            block = self._names.put(shard, NameBlock(text, ends))
        return block[place]

    def _read(self, name: str, offset: int, length: int) -> bytes:
        try:
            return self._reader.read(self.folder / name, offset, length)
        except ReadError as error:
            raise DataError(f"{self.folder / name} cannot be read ({error}).") from None
