"""Writes a pool: tars of about equal size, their index, names and manifest.

The pool is complete when its manifest is there. A killed process loses the shard that it was
writing; the next one goes on behind the last finished shard, with the list of files that the first
one wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from filelock import Timeout

from semiseg.core.errors import DataError, RunError
from semiseg.core.files import file_sha256, read_json, write_bytes, write_json
from semiseg.core.locks import locked
from semiseg.data.pools.metadata import INDEX, MANIFEST, NAMES, Manifest, numbered, parse_manifest
from semiseg.data.pools.metadata_writer import JOURNAL, MetadataWriter, ShardRecord
from semiseg.data.pools.packing_list import PackingList, Source, write_list
from semiseg.data.pools.shard_writer import ShardWriter

logger = logging.getLogger(__name__)

PLAN, LIST, LEFT_OUT = "packing.json", "packing.jsonl", "left_out.txt"
"""The settings and the files of a pool that is not complete; the files that were left out."""
_LOCK = ".lock"


class Packed(NamedTuple):
    """A complete pool.

    Attributes:
        manifest: what it holds.
        left_out: the files that were left out, with the reason.
    """

    manifest: Manifest
    left_out: list[str]


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
    except DataError:
        _forget(out)
        raise
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
    shards = ShardWriter(files, out, shard_bytes, writer)
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


def _forget(out: Path) -> None:
    """Remove the notes on a pool that got no shard, so that the next call looks anew."""
    if (out / MANIFEST).exists() or (out / numbered(0)).exists():
        return
    parts = (f"{name}.part" for name in (INDEX, NAMES))
    with suppress(OSError):
        for name in (PLAN, LIST, LEFT_OUT, JOURNAL, *parts, _LOCK):
            (out / name).unlink(missing_ok=True)
        if not any(out.iterdir()):
            out.rmdir()


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


def _lines(file: Path) -> list[str]:
    if not file.exists():
        return []
    return file.read_bytes().decode("utf-8", "surrogateescape").splitlines()


def _write_lines(file: Path, lines: Iterable[str]) -> None:
    text = "".join(f"{' '.join(line.split())}\n" for line in lines)
    write_bytes(file, text.encode("utf-8", "surrogateescape"))
