"""The images of one shard, wherever they lie: in files, in a pool of tars, or at addresses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, overload

from semiseg.config.shard import Shard, hash_name
from semiseg.core.addresses import is_url
from semiseg.core.errors import DataError, RunError
from semiseg.data.formats.image_formats import format_of
from semiseg.data.pools.address import Address, address_of
from semiseg.data.pools.member_names import is_safe, split_suffix
from semiseg.data.pools.pool import Pool, is_pool, open_pool
from semiseg.data.pools.ranges import RangeReader, ReadError, file_system
from semiseg.inference.image_request import ImageSource, LocalImage
from semiseg.inference.sources import NamedImages, find_images, list_lines, name_results
from semiseg.inference.targets import check_names, check_sources

MAX_NAMED = 1_000_000
"""The images of a pool whose names are looked at before the first one, if nothing needs them."""
_LIST = ".txt"
_MODULUS = 1 << 64


class PoolImage(NamedTuple):
    """An image in a pool.

    Attributes:
        name: see `ImageSource`.
        pool: the pool.
        number: of the image in it.
    """

    name: str
    pool: Pool
    number: int

    def fetch(self, folder: Path) -> Path:
        """A copy of the image.

        Raises:
            ShardError: its shard cannot be read.
            DataError: it cannot be read for another reason.
        """
        return _write(folder, self.pool.file_name(self.number), self.pool.read(self.number))

    def __str__(self) -> str:
        return f"{self.pool.address}: {self.pool.file_name(self.number)}"


class RemoteImage(NamedTuple):
    """An image at an address.

    Attributes:
        name: see `ImageSource`.
        address: the address.
    """

    name: str
    address: Address

    def fetch(self, folder: Path) -> Path:
        """A copy of the image."""
        try:
            content = RangeReader().content(self.address)
        except ReadError as error:
            raise DataError(f"{self.address} cannot be read ({error}).") from error
        return _write(folder, self.address.name, content)

    def __str__(self) -> str:
        return str(self.address)


class PoolImages(Sequence[PoolImage]):
    """All images of a pool; nothing is kept in memory for one that is not asked for.

    Args:
        address: of the pool, as `open_pool` takes it.
        copies: as for `open_pool`.
    """

    def __init__(self, address: str, copies: bool = True) -> None:
        self.address, self.pool = address, open_pool(address, copies=copies)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.pool)

    @overload
    def __getitem__(self, index: int) -> PoolImage: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[PoolImage]: ...
    def __getitem__(self, index: int | slice) -> PoolImage | Sequence[PoolImage]:
        """One image, or some."""
        numbers = range(len(self))[index]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        return PoolImage(self.pool.name(numbers), self.pool, numbers)


@dataclass(frozen=True)
class Selection:
    """The images of a shard.

    Attributes:
        sources: the images.
        images: the number of images of all shards.
        names: a hash of the names of all images, whatever their order.
        files: the files by the names of the results, of all shards; empty for other sources.
        notes: sentences on the files that are ignored.
        warnings: sentences on the files that may be images but are not read.
        place: where the images lie, without secrets.
        fingerprint: of the pool of the images; empty for other images.
    """

    sources: Sequence[ImageSource]
    images: int
    names: str
    files: dict[str, Path]
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    place: str = ""
    fingerprint: str = ""


def select_images(
    images: str,
    out: Path | None,
    kinds: Sequence[str],
    shard: Shard,
    *,
    lazily: bool = False,
    store: Address | None = None,
    named: NamedImages | None = None,
) -> Selection:
    """Find the images of a shard. Only names are looked at, however many images there are.

    Args:
        images: as for `find_images`; also a pool, the address of an image or of a folder of images
            in an object store, or a list of addresses.
        out: the folder of the results; None if they go elsewhere.
        kinds: of the files to write.
        shard: which images to select, by the hash of their names.
        lazily: of a pool with more than `MAX_NAMED` images, select all, and look at no name before
            its turn.
        store: the folder of an object store that gets the results, which are no images.
        named: as for `find_images`.

    Raises:
        DataError: there are no images, or results would share a file or replace an image.
    """
    place = str(address_of(images) if is_url(images) else Path(images).absolute())
    selection = _find(images, out, kinds, shard, lazily, store, named)
    return replace(selection, place=place)


def _find(
    images: str,
    out: Path | None,
    kinds: Sequence[str],
    shard: Shard,
    lazily: bool,
    store: Address | None,
    named: NamedImages | None,
) -> Selection:
    """The images of a shard, without their place; see `select_images`."""
    path = Path(images)
    lines = list_lines(path) if path.suffix.lower() == _LIST and path.is_file() else []
    if is_url(images) and format_of(Path(address_of(images).name)) is not None:
        return _select(_remote([images], images), out, kinds, shard)
    if is_pool(images):
        try:
            every = PoolImages(images, copies=shard.count == 1)  # others hold the rest of a tar
        except DataError as error:
            if not (addresses := _below(images, store)):
                raise error from None
            return _select(_remote(addresses, images), out, kinds, shard)
        if lazily and len(every) > MAX_NAMED:
            return Selection(every, len(every), "", {}, fingerprint=every.pool.fingerprint)
        selection = _select(every, out, kinds, shard)
        sources = every if shard.count == 1 else selection.sources  # those need no memory
        return replace(selection, sources=sources, fingerprint=every.pool.fingerprint)
    if any(is_url(text) for _, text in lines):
        return _select(_remote([text for _, text in lines], images), out, kinds, shard)
    files, notes, warnings = find_images(path, out, named)
    if out is not None:
        check_sources(files, out, kinds)
    local = (LocalImage(name, file) for name, file in files.items())
    selection = _select(local, out, kinds, shard)
    return replace(selection, files=files, notes=notes, warnings=warnings)


def _select(
    sources: Iterable[ImageSource], out: Path | None, kinds: Sequence[str], shard: Shard
) -> Selection:
    """The images of a shard among all; each is only named."""
    selected: list[ImageSource] = []
    names: set[str] = set()
    has_others = any(kinds)  # the names of millions of images would fill the memory for nothing
    images, total = 0, 0
    for source in sources:
        number = hash_name(source.name)
        images, total = images + 1, (total + number) % _MODULUS
        if has_others:
            names.add(source.name)
        if shard.holds(number):
            selected.append(source)
    check_names(names, out or "the output", kinds)
    return Selection(selected, images, f"{total:016x}", {})


def _below(folder: str, out: Address | None) -> list[str]:
    """The addresses of the images below a folder of an object store; none where it has no list.

    Args:
        folder: the folder.
        out: a folder whose files do not count.
    """
    address = address_of(folder)
    if address.is_local or address.protocol in ("http", "https"):
        return []
    try:
        system, path = file_system(address)
        files = system.find(path)
    except Exception:  # each file system has errors of its own; that of the pool says more
        return []
    images = [system.unstrip_protocol(file) for file in files if format_of(Path(file)) is not None]
    return [one for one in images if out is None or Address(one).below(out) is None]


def _remote(addresses: Sequence[str], place: str) -> Iterator[RemoteImage]:
    """Images at addresses, named by their paths below the folder that all share.

    Raises:
        DataError: one is no address, or two results would have the same name.
    """
    by_path: dict[Path, Address] = {}
    for text in addresses:
        if not is_url(text):
            raise DataError(
                f"{place} names both addresses and files, such as {text}. Write a list of each."
            )
        address = address_of(text)
        path = str(address).partition("://")[2].strip("/")
        if not is_safe(path) or format_of(Path(path)) is None:
            raise DataError(f"{address} in {place} is no address of an image that semiseg reads.")
        if by_path.setdefault(Path(path), address) != address:
            raise DataError(f"{place} names {address} twice, with different queries.")
    root = Path(os.path.commonpath([file.parent for file in by_path]))
    for name, file in name_results(by_path, root).items():
        yield RemoteImage(name, by_path[file])


def _write(folder: Path, name: str, content: bytes) -> Path:
    """A file with this content, and with the suffix of a name, which may be too long for a disk."""
    file = folder / f"image{split_suffix(name)[1]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    except OSError as error:
        raise RunError(
            f"{file} cannot be written ({error}). Set TMPDIR to a folder with more space."
        ) from error
    return file
