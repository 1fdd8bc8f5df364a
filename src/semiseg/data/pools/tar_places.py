"""Which tars a folder, a tar, a pattern or a list means."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.core.errors import DataError
from semiseg.core.files import is_file, read_text
from semiseg.data.pools.address import Address, address_of, expand_braces
from semiseg.data.pools.metadata import MANIFEST
from semiseg.data.pools.ranges import RangeReader, ReadError
from semiseg.data.tree import Tree

TAR = ".tar"


class Tars(NamedTuple):
    """The tars of a pool.

    Attributes:
        folder: that all of them lie below.
        names: their paths below it.
        stamps: what changes when a tar changes, such as its size; empty where nothing is known.
    """

    folder: Address
    names: Sequence[str]
    stamps: Sequence[str]


def tars_in(folder: Path, tree: Tree | None = None) -> list[str]:
    """The tars that lie in a local folder, sorted; none if images lie beside or below them.

    Args:
        folder: there or not.
        tree: has listed the folder already.
    """
    tree = Tree(folder) if tree is None else tree
    names = [path.name for path in tree.files(folder, (TAR,), deep=False)]
    # A data set often lies beside the tar from which it was unpacked.
    return [] if names and tree.images(folder) else names


def lists_tars(file: Path) -> bool:
    """Whether a text file names tars, by its first line."""
    if file.suffix.lower() != ".txt" or not is_file(file):
        return False
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            lines = (line.strip().lower() for line in stream)
            first = next((line for line in lines if line and not line.startswith("#")), "")
    except OSError:
        return False
    return first.partition("?")[0].endswith(TAR)


def find_tars(place: Address, reader: RangeReader) -> Tars:
    """The tars that a folder, a tar, a pattern or a list means.

    Raises:
        DataError: there are none, or they do not share a folder or server.
    """
    if place.is_local and place.path.is_dir():
        names = tars_in(place.path)
        if not names:
            raise DataError(
                f"{place} holds no {MANIFEST} and no tars, or images beside the tars.",
                "`semiseg pack FOLDER --out POOL` makes a pool of a folder of images.",
            )
        return _with_stamps(place, names)
    if place.is_local and place.path.is_file() and place.name.lower().endswith(TAR):
        addresses = [place]  # whatever braces are in its name
    elif place.is_local and place.name.lower().endswith(".txt"):
        addresses = _listed(place.path)
    elif place.name.lower().endswith(TAR):
        addresses = [address_of(text) for text in expand_braces(place.text)]
    elif not place.is_local:
        return _in_store(place, "*", reader)
    else:
        problem = (
            "is no folder, tar or pattern of tars" if place.path.exists() else "does not exist"
        )
        raise DataError(f"{place} {problem}.", "Name a pool, a folder of tars or a tar.")
    if len(addresses) == 1 and "*" in addresses[0].name:
        return _matching(addresses[0], reader)
    folder = addresses[0].parent
    while any(address.below(folder) is None for address in addresses):
        if folder.parent == folder:
            raise DataError(f"The tars of {place} lie in no common folder.")
        folder = folder.parent
    return _with_stamps(folder, [address.below(folder) or "" for address in addresses])


def _matching(pattern: Address, reader: RangeReader) -> Tars:
    if not pattern.is_local:
        return _in_store(pattern.parent, pattern.name, reader)
    names = [n for n in tars_in(pattern.parent.path) if fnmatch.fnmatch(n, pattern.name)]
    if not names:
        raise DataError(f"The pattern {pattern} matches no tar.")
    return _with_stamps(pattern.parent, names)


def _listed(file: Path) -> list[Address]:
    """The tars of a text file; a path is relative to its folder."""
    try:
        lines = [line.strip() for line in read_text(file).split("\n")]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as a list of tars ({error}).") from error
    addresses = []
    for line in lines:
        if line and not line.startswith("#"):
            address = address_of(line)
            if address.is_local:
                path = (file.parent / address.path).absolute()
                address = Address(os.path.normpath(path))
            addresses.append(address)
    if not addresses:
        raise DataError(f"{file} names no tar.", "Write the address of one tar on each line.")
    return addresses


def _in_store(folder: Address, pattern: str, reader: RangeReader) -> Tars:
    """The tars that a store lists."""
    try:
        files = reader.listing(folder)
    except ReadError as error:
        raise DataError(
            f"{folder} holds no {MANIFEST}, and its tars cannot be listed ({error}).",
            "Correct the address, or name the tars with a pattern: shard-{000000..000012}.tar.",
        ) from None
    names = sorted(n for n in files if n.lower().endswith(TAR) and fnmatch.fnmatch(n, pattern))
    if not names:
        raise DataError(f"{folder} lists no tars, and holds no {MANIFEST}.")
    return Tars(folder, names, [files[name] for name in names])


def _with_stamps(folder: Address, names: Sequence[str]) -> Tars:
    """The tars; local ones with size and modification time.

    Raises:
        DataError: one of them does not exist.
    """
    if not folder.is_local:
        return Tars(folder, names, [""] * len(names))
    stamps = []
    for name in names:
        try:
            status = (folder / name).path.stat()
        except OSError as error:
            raise DataError(f"{folder / name} cannot be read ({error.strerror}).") from None
        stamps.append(f"{status.st_size} {status.st_mtime_ns}")
    return Tars(folder, names, stamps)
