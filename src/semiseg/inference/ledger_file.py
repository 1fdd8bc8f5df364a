"""The file of a ledger: one line of JSON for each image of a shard, which says what became of it.

The first line names the model and the settings. The last line of a finished shard says that all
images are there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from semiseg._version import __version__
from semiseg.config.shard import Shard
from semiseg.core.errors import RunError
from semiseg.core.records import from_plain
from semiseg.inference.figures import Record

FOLDER = "ledger"
"""The folder of the ledgers below that of the masks."""
FORMAT = 1
"""The version of the ledger; it grows when a key changes its meaning."""
_NAME = re.compile(r"(\d+)-of-(\d+)\.jsonl")
_MAX_END = 1 << 12  # bytes of the last line
_MAP = b'"pixel_area": '  # no name holds it: JSON writes its quotes with backslashes
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
        place: of the images, without secrets; empty where an earlier version wrote the ledger.
        pool: the fingerprint of the pool of the images; empty for other images.
    """

    shard: int
    shards: int
    model: str
    classes: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=dict)
    semiseg: str = __version__
    format: int = FORMAT
    place: str = ""
    pool: str = ""


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


def has_map(file: Path) -> bool:
    """Whether an image of a ledger lies on a map, so that its pixels have an area.

    Only the bytes are searched, which costs little where the lines of millions of images are read
    again afterwards.

    Raises:
        RunError: it cannot be read.
    """
    return any(_MAP in text for text in _texts(file))


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
