"""Writes index, names and manifest shard by shard, so that a killed process can go on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from semiseg.core.errors import DataError
from semiseg.core.files import file_sha256, sync_file, sync_folder, write_text
from semiseg.core.records import from_plain
from semiseg.data.pools.metadata import ENTRY, INDEX, MANIFEST, NAMES, Manifest

JOURNAL = "shards.jsonl"
"""A line for each finished shard; it goes when the manifest is written."""


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard.

    Attributes:
        images: their number.
        bytes: the size of the tar.
        name_bytes: the bytes that its names take.
        sha256: the hash of the tar; empty for one that others made.
        name: the file; empty where the shards are numbered.
        stamp: tells whether a tar of others has changed.
        next: the place in the list of files where the next shard begins; 0 for tars of others.
        left_out: the files that were left out, with the reason.
    """

    images: int
    bytes: int
    name_bytes: int
    sha256: str = ""
    name: str = ""
    stamp: str = ""
    next: int = 0
    left_out: tuple[str, ...] = ()


class MetadataWriter:
    """Appends shards to the three files of a pool.

    What an earlier process has written is taken over up to its last finished shard.

    Args:
        folder: the folder; it must exist.

    Attributes:
        records: the finished shards.

    Raises:
        OSError: the files cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[ShardRecord] = _read_journal(folder / JOURNAL)
        self._parts = {name: folder / f"{name}.part" for name in (INDEX, NAMES)}
        for name, part in self._parts.items():
            if not part.exists() and self.records and (folder / name).exists():
                (folder / name).replace(part)  # the earlier process was killed in `finish`
        wanted = self._sizes()
        sizes = {n: p.stat().st_size if p.exists() else 0 for n, p in self._parts.items()}
        is_short = any(sizes[name] < wanted[name] for name in wanted)
        self.keep(0 if is_short else len(self.records))

    def restart(self) -> None:
        """Forget all shards.

        Raises:
            OSError: the files cannot be written.
        """
        self.keep(0)

    def keep(self, count: int) -> None:
        """Forget all shards but the first ones.

        Raises:
            OSError: the files cannot be written.
        """
        self.records = self.records[:count]
        lines = "".join(f"{json.dumps(asdict(record))}\n" for record in self.records)
        write_text(self.folder / JOURNAL, lines)
        self._truncate()

    def add(self, record: ShardRecord, places: NDArray[np.int64], names: Sequence[str]) -> None:
        """Append a shard whose tar is complete.

        Args:
            record: the shard.
            places: `(N, 2)`, the offset and the length of each image's data.
            names: those of the members.

        Raises:
            OSError: the files cannot be written.
        """
        entries = np.zeros(len(places), ENTRY)
        entries["shard"] = len(self.records)
        entries["offset"], entries["length"] = places[:, 0], places[:, 1]
        for name, data in ((INDEX, entries.tobytes()), (NAMES, encoded_names(names))):
            with self._parts[name].open("ab") as file:
                file.write(data)
            sync_file(self._parts[name])
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(f"{json.dumps(asdict(record))}\n")
        sync_file(self.folder / JOURNAL)
        self.records.append(record)

    def finish(self) -> Manifest:
        """Give the files their names, the manifest last.

        Raises:
            OSError: the files cannot be written.
        """
        for name, part in self._parts.items():
            part.replace(self.folder / name)
        records = self.records
        manifest = Manifest(
            np.array([record.images for record in records], np.int64),
            np.array([record.bytes for record in records], np.int64),
            np.array([record.name_bytes for record in records], np.int64),
            file_sha256(self.folder / INDEX),
            file_sha256(self.folder / NAMES),
            tuple(record.sha256 for record in records if record.sha256),
            tuple(record.name for record in records if record.name),
            tuple(record.stamp for record in records if record.name),
        )
        write_text(self.folder / MANIFEST, manifest.to_json())
        (self.folder / JOURNAL).unlink()
        sync_folder(self.folder)
        return manifest

    def _sizes(self) -> dict[str, int]:
        """The bytes that the finished shards take in each file."""
        return {
            INDEX: sum(record.images for record in self.records) * ENTRY.itemsize,
            NAMES: sum(record.name_bytes for record in self.records),
        }

    def _truncate(self) -> None:
        """Remove what belongs to a shard that was not finished."""
        for name, size in self._sizes().items():
            with self._parts[name].open("ab") as file:
                file.truncate(size)


def encoded_names(names: Sequence[str]) -> bytes:
    """The lines of `names.txt` for the members of a shard."""
    return "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")


def _read_journal(file: Path) -> list[ShardRecord]:
    """The lines that are whole; a process may have been killed in the last one."""
    records = []
    try:
        lines = file.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return []
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is damaged.", "Remove it to start again.") from error
    for line in lines:
        try:
            records.append(from_plain(ShardRecord, json.loads(line)))
        except ValueError:
            break
    return records
