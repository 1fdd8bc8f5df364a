"""The ledger of a shard: one line of JSON for each image, which says what became of it.

The first line names the model and the settings. A line is appended just before the mask of its
image gets its name. So whatever kills a process, an image with a mask has its line. When the shard
is finished, the ledger is written anew: with the names in their order, and a last line that says
that all are there.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from filelock import FileLock, Timeout

from semiseg._version import __version__
from semiseg.config.settings import flag
from semiseg.config.shard import Shard
from semiseg.core.errors import ConfigError, RunError
from semiseg.core.files import atomic_write
from semiseg.core.locks import acquire_lock
from semiseg.core.records import from_plain
from semiseg.inference.figures import Record

FOLDER = "ledger"
"""The folder of the ledgers below that of the masks."""
FORMAT = 1
"""The version of the ledger; it grows when a key changes its meaning."""

_NAME = re.compile(r"(\d+)-of-(\d+)\.jsonl")
_MAX_END = 1 << 12  # bytes of the last line
_CHUNK = 1 << 16  # bytes that are read at a time of each of perhaps 1,000 ledgers; none stays open


@dataclass(frozen=True)
class Header:
    """The first line of a ledger.

    Attributes:
        shard: the number of the shard, from 1 on.
        shards: the number of shards.
        model: the hash of the model.
        classes: their names, in the order of the shares.
        settings: the settings that decide about the files, where they differ from their defaults.
        semiseg: the version that wrote it.
        format: see `FORMAT`.
    """

    shard: int
    shards: int
    model: str
    classes: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=dict)
    semiseg: str = __version__
    format: int = FORMAT


@dataclass(frozen=True)
class End:
    """The last line of the ledger of a finished shard.

    Attributes:
        images: the number of images of all shards.
        names: a hash of the names of all images, whatever their order.
    """

    images: int
    names: str


class Content(NamedTuple):
    """What a ledger holds.

    Attributes:
        header: its first line; None for an empty file.
        records: what became of each image, by its name; the last line of an image counts.
        end: its last line; None for a shard that is not finished.
        size: the bytes up to the end of the last complete line.
    """

    header: Header | None
    records: dict[str, Record]
    end: End | None
    size: int


def ledger_file(out: Path, shard: Shard) -> Path:
    """The ledger of a shard, such as `OUT/ledger/03-of-64.jsonl`."""
    number = str(shard.number).zfill(len(str(shard.count)))
    return out / FOLDER / f"{number}-of-{shard.count}.jsonl"


def find_ledgers(out: Path) -> dict[Shard, Path]:
    """The ledgers in a folder of masks, in the order of their shards."""
    folder = out / FOLDER
    entries = [(_NAME.fullmatch(file.name), file) for file in folder.glob("*.jsonl")]
    ledgers = {Shard(int(m[1]), int(m[2])): file for m, file in entries if m is not None}
    return dict(sorted(ledgers.items()))


def read_ledger(file: Path) -> Content:
    """Read a ledger. A last line that a killed process left incomplete is ignored.

    Raises:
        RunError: it cannot be read, or is damaged.
    """
    header, end, size = None, None, 0
    records: dict[str, Record] = {}
    for line in read_lines(file):
        size += line.size
        match line.value:
            case Header():
                header = line.value
            case End():
                end = line.value
            case Record():
                records[line.value.name] = line.value
                end = None
    return Content(header, records, end, size)


def read_header(file: Path) -> Header | None:
    """The first line of a ledger; None if a process has not written it yet.

    Raises:
        RunError: it cannot be read, or is damaged.
    """
    first = next(read_lines(file), None)
    return first.value if first is not None and isinstance(first.value, Header) else None


def read_end(file: Path) -> End | None:
    """The last line of the ledger of a finished shard; None for another one.

    Raises:
        RunError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - _MAX_END))
            *_, last = (b"", *stream.read().splitlines(keepends=True))
        return from_plain(End, json.loads(last)) if last.endswith(b"\n") else None
    except OSError as error:
        raise RunError(f"{file} cannot be read ({error}).") from error
    except ValueError:
        return None


class Line(NamedTuple):
    """A line of a ledger.

    Attributes:
        value: what it says.
        size: its length in bytes.
    """

    value: Header | Record | End
    size: int


def read_lines(file: Path) -> Iterator[Line]:
    """The complete lines of a ledger. The file is not kept open between them.

    Raises:
        RunError: it cannot be read, or is damaged.
    """
    for number, text in enumerate(_texts(file), 1):
        try:
            content = json.loads(text)
            value: Header | Record | End
            if number == 1:
                value = from_plain(Header, content)
            else:
                is_end = "name" not in content
                value = from_plain(End, content) if is_end else from_plain(Record, content)
        except (ValueError, TypeError) as error:
            raise RunError(
                f"{file}, line {number} is damaged ({error}). Delete the file and run its shard "
                "again: masks that exist are kept."
            ) from error
        if isinstance(value, Header) and value.format > FORMAT:
            raise RunError(f"{file} was written by a later version of semiseg, {value.semiseg}.")
        yield Line(value, len(text))


def _texts(file: Path) -> Iterator[bytes]:
    """The lines that end with a newline."""
    offset, rest = 0, b""
    try:
        while True:
            with file.open("rb") as stream:
                stream.seek(offset)
                chunk = stream.read(_CHUNK)
            if not chunk:
                return
            offset += len(chunk)
            lines = (rest + chunk).splitlines(keepends=True)
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
            yield from lines
    except OSError as error:
        raise RunError(f"{file} cannot be read ({error}).") from error


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
                _require_same(path, header)
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
    return ""


def _require_same(file: Path, header: Header) -> None:
    """Refuse a ledger of another prediction.

    Raises:
        ConfigError: it is one.
    """
    other = read_header(file)
    if other is not None and (clause := difference(header, other)):
        raise ConfigError(
            f"{file} was written with {clause}. Use the same ones, another --out, or --overwrite."
        )


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
