"""The ledger of a shard that is being segmented.

A line is appended just before the mask of its image gets its name. So whatever kills a process, an
image with a mask has its line. When the shard is finished, the ledger is written anew: with the
names in their order, and a last line that says that all are there.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from semiseg.config.settings import flag
from semiseg.config.shard import Shard
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.files import atomic_write
from semiseg.core.locks import acquire_lock
from semiseg.inference.figures import Record
from semiseg.inference.ledger_file import (
    End,
    Header,
    find_ledgers,
    ledger_file,
    read_header,
    read_ledger,
)

logger = logging.getLogger(__name__)


class Ledger:
    """The ledger of a shard that is being segmented; see `open_ledger`.

    Args:
        file: the ledger.
        header: its first line.
        records: what earlier calls noted, by the names of the images.
        lock: keeps other processes out; None where the disk has no locks.
    """

    def __init__(
        self, file: Path, header: Header, records: dict[str, Record], lock: FileLock | None
    ) -> None:
        self.file, self.header, self.records = file, header, records
        self._lock = lock
        self._stream = file.open("ab", buffering=0)

    def add(self, record: Record) -> None:
        """Append a line.

        Raises:
            RunError: it cannot be written.
        """
        self.records[record.name] = record
        line = _line(record)
        try:
            if self._stream.write(line) != len(line):  # as much as the disk had place for
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise _cannot_write(self.file, error) from error

    def finish(self, names: Iterable[str], end: End) -> None:
        """Write the ledger of a finished shard: one line for each name, in their order.

        Args:
            names: of the images of the shard. Each has a record.
            end: the last line.

        Raises:
            RunError: it cannot be written.
        """
        self._stream.close()
        self.records = {name: self.records[name] for name in sorted(names)}
        try:
            with atomic_write(self.file) as stream:
                stream.write(_line(self.header))
                stream.writelines(map(_line, self.records.values()))
                stream.write(_line(end))
        except OSError as error:
            raise _cannot_write(self.file, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.close()
        if self._lock is not None:
            self._lock.release()


def open_ledger(out: Path, header: Header, overwrite: bool) -> Ledger:
    """Begin the ledger of a shard, or go on with it.

    Args:
        out: the folder of the masks, which is made if it does not exist.
        header: its first line.
        overwrite: forget what earlier calls noted.

    Raises:
        ConfigError: the folder holds masks of another model, of other settings, or of another
            number of shards.
        RunError: it cannot be read or written, or another process writes it.
    """
    shard = Shard(header.shard, header.shards)
    file = ledger_file(out, shard)
    others = find_ledgers(out)
    for other, path in others.items():
        if other.count != shard.count and shard.count == 1:
            raise ConfigError(
                f"{file.parent} has the ledgers of {other.count} shards, such as {other}. Finish "
                "all shards (--shard) and then add --merge, or use another --out."
            )
        if other.count != shard.count:
            raise ConfigError(
                f"{path} is the ledger of one of {other.count} shards, and {shard} is one of "
                f"{shard.count}. Use as many shards as before, or another --out."
            )
    lock = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(file, shard)
        records: dict[str, Record] = {}
        size = 0
        if not overwrite:
            before = [file] if file in others.values() else []
            for path in [*before, *(p for p in others.values() if p != file)][:2]:
                _require_same(path, header, out)
            if before:
                content = read_ledger(file)
                records, size = content.records, content.size if content.header else 0
        with file.open("ab") as stream:
            stream.truncate(size)  # the rest is a line that a killed process left incomplete
            if not size:
                stream.write(_line(header))
        return Ledger(file, header, records, lock)
    except BaseException as error:
        if lock is not None:
            lock.release()
        if isinstance(error, OSError):
            raise _cannot_write(file, error) from error
        raise


def describe_settings(settings: Mapping[str, object]) -> str:
    """Settings as flags, such as `--tta --scale=keep`."""
    words = []
    for name, value in settings.items():
        if value is True:
            words.append(flag(name))
        else:
            parts = value if isinstance(value, (list, tuple)) else [value]
            words.append(f"{flag(name)}={','.join(map(str, parts))}")
    return " ".join(words)


def difference(header: Header, other: Header) -> str:
    """What distinguishes the predictions of two ledgers, as a clause; empty if nothing does."""
    if header.model != other.model or header.classes != other.classes:
        return f"another model ({other.model[:12]}, not {header.model[:12]})"
    if header.settings != other.settings:
        flags, others = (describe_settings(h.settings) for h in (header, other))
        return f"other settings ({others or 'the defaults'}, not {flags or 'the defaults'})"
    if header.pool and other.pool and header.pool != other.pool:
        return f"the images of another pool ({other.pool}, not {header.pool})"
    return ""


def other_place(header: Header, place: str, out: Path) -> str:
    """A warning of masks whose images lay elsewhere; empty where they did not.

    A pool has a fingerprint, so its place does not matter.

    Args:
        header: of the ledger of the masks.
        place: of the images now.
        out: the folder of the masks.
    """
    if header.pool or not header.place or not place or header.place == place:
        return ""
    return (
        f"The masks in {out} show the images of {header.place}, and now {place} is named. If these "
        "are other images with the same names, choose another --out, or --overwrite."
    )


def may_keep_ledger(out: Path, header: Header, overwrite: bool) -> bool:
    """Whether a prediction that nobody divides can keep a ledger in a folder of masks.

    It cannot where the folder has the ledgers of several shards, of another model or settings.

    Args:
        out: the folder of the masks.
        header: the first line of the ledger.
        overwrite: replace the masks and the ledger.

    Raises:
        RunError: a ledger cannot be read.
    """
    ledgers = find_ledgers(out)
    if not ledgers:
        return True
    if list(ledgers) != [Shard(header.shard, header.shards)]:
        return False
    other = read_header(*ledgers.values())
    return overwrite or other is None or not difference(header, other)


def _require_same(file: Path, header: Header, out: Path) -> None:
    """Refuse a ledger of another prediction, and warn of one whose images lay elsewhere.

    Raises:
        ConfigError: it is one.
    """
    other = read_header(file)
    if other is None:
        return
    if clause := difference(header, other):
        raise ConfigError(
            f"{file} was written with {clause}. Use the same ones, another --out, or --overwrite."
        )
    if warning := other_place(other, header.place, out):
        logger.warning("%s", warning)


def _locked(file: Path, shard: Shard) -> FileLock | None:
    """The lock of a ledger; None on a disk without locks.

    Raises:
        RunError: another process holds it.
    """
    try:
        return acquire_lock(file.with_name(f".{file.stem}.lock"))
    except Timeout:
        raise RunError(
            f"Another process writes shard {shard} in {file.parent.parent}. Wait until it ends."
        ) from None


def _line(value: Header | Record | End) -> bytes:
    content = {key: part for key, part in asdict(value).items() if part not in (None, "")}
    return json.dumps(content).encode() + b"\n"


def _cannot_write(file: Path, error: OSError) -> RunError:
    return RunError(f"{file} cannot be written ({error}). Choose another --out.")
