"""A keyed sample of a pool's images, as files.

Whatever looks at many images before a training (the check, the diagnostics, the labels that a
teacher stores) looks at this sample instead of the whole pool. Its images lie in the folder
`pool-samples` of the cache, so that a pool is asked for them once. The files may be deleted at any
time.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from semiseg.core.console import track
from semiseg.core.files import atomic_write, cache_folder, read_json, short_hash
from semiseg.core.records import from_plain
from semiseg.core.rng import Key
from semiseg.core.text import percent, plural, printable
from semiseg.core.types import Sample
from semiseg.data.findings import Finding, Severity
from semiseg.data.pools.pool import Pool
from semiseg.data.pools.pool_order import permuted

SAMPLE_SIZE = 1000
"""The images of a pool that `check` looks at, and a training before its first step."""
_MAX_UNREADABLE = 0.05  # the share of a pool's images
_MIN_SEEN = 200  # images; a share of fewer says little

_NAMES = "names.json"
_THREADS = 8  # a server takes as long to answer one request as several
_TEMPORARY: dict[str, tempfile.TemporaryDirectory[str]] = {}  # where there is no cache


@dataclass(frozen=True)
class PoolSample:
    """A pool, and the images of its sample.

    Attributes:
        pool: the pool.
        samples: the images of the sample that can be read.
        names: the names of all its files, for messages.
        unreadable: why the others cannot be read, by their files.
    """

    pool: Pool
    samples: tuple[Sample, ...]
    names: Mapping[Path, str]
    unreadable: Mapping[Path, str] = field(default_factory=dict)

    @cached_property
    def files(self) -> frozenset[Path]:
        """The files of the sample."""
        return frozenset(self.names)

    def without(self, unreadable: Mapping[Path, str]) -> PoolSample:
        """The sample without the images that cannot be read.

        Args:
            unreadable: the reasons by file; those of other files do not count.
        """
        broken = {path: why for path, why in unreadable.items() if path in self.names}
        samples = tuple(s for s in self.samples if s.image not in broken)
        return PoolSample(self.pool, samples, self.names, broken)

    def findings(self) -> list[Finding]:
        """That the pool was sampled, and which images of the sample cannot be read."""
        pool, seen = self.pool, len(self.names)
        size = f"{plural(len(pool), 'image')} in {plural(len(pool.counts), 'shard')}"
        extent = "all of them" if seen == len(pool) else f"a sample of {seen:,}"
        message = printable(
            f"The unlabeled images are the pool {pool.address} of {size}; semiseg looked at "
            f"{extent}"
        )
        findings = [Finding("pool", "note", (), message)]
        if self.unreadable:
            pairs = sorted((self.names[path], why) for path, why in self.unreadable.items())
            too_many = not self.samples or are_too_many(len(pairs), seen)
            share = percent(100 * len(pairs) / seen)
            message = f"Images in the sample of the pool that cannot be read ({share} %)"
            remedy = (
                "A training would soon end with so many: pack the pool again without such images."
                if too_many
                else "A training takes other images of the pool in their place."
            )
            files = tuple(name for name, _ in pairs)
            details = tuple(f": {why}" for _, why in pairs)
            severity: Severity = "error" if too_many else "warning"
            findings.append(
                Finding("unreadable-image", severity, files, message, remedy, details=details)
            )
        return findings


def are_too_many(unreadable: int, seen: int) -> bool:
    """Whether so many unreadable images among those that were seen make a pool unusable.

    Example:
        >>> are_too_many(10, seen=50), are_too_many(11, seen=50), are_too_many(11, seen=1000)
        (False, True, False)
    """
    return unreadable > _MAX_UNREADABLE * max(seen, _MIN_SEEN)


def sample_pool(pool: Pool, count: int = SAMPLE_SIZE) -> PoolSample:
    """Fetch a keyed sample of a pool, and keep it as files.

    The sample depends on the number of images alone; a larger one holds each smaller one.

    Args:
        pool: the pool.
        count: the number of images, if the pool has as many.

    Raises:
        DataError: the pool cannot be read; the message names the shard and the member.
    """
    folder = _folder(pool)
    indices = _indices(len(pool), count)
    names = _read_names(folder)
    if missing := [i for i in indices if i not in names or not _file(folder, i, names[i]).exists()]:
        names |= _fetch(pool, folder, missing)
    files = {_file(folder, i, names[i]): printable(names[i]) for i in indices}
    samples = tuple(
        Sample(f"pool/{name.removesuffix(Path(name).suffix)}", path, None)
        for path, name in files.items()
    )
    return PoolSample(pool, samples, files)


def _indices(size: int, count: int) -> list[int]:
    """Numbers of images, sorted so that those of one shard are read together."""
    key = Key.of("pool sample")
    return sorted(permuted(place, size, key) for place in range(min(size, count)))


def _fetch(pool: Pool, folder: Path, indices: Sequence[int]) -> dict[int, str]:
    """Write images of the pool into files.

    Returns:
        Their names in the pool, by their numbers.
    """

    def fetch(index: int) -> tuple[int, str]:
        content, name = pool.read(index), pool.file_name(index)
        with atomic_write(_file(folder, index, name), sync=False, shared=True) as stream:
            stream.write(content)
        return index, name

    names: dict[int, str] = {}
    with ThreadPoolExecutor(_THREADS) as threads:
        try:
            results = threads.map(fetch, indices)
            names |= track(results, "reading a sample of the pool", len(indices))
        finally:  # after an interruption too: the next time continues from there
            threads.shutdown(cancel_futures=True)
            _write_names(folder, names)
    return names


def _file(folder: Path, index: int, name: str) -> Path:
    """The file of an image: its number, since names may hold what a disk does not allow."""
    return folder / f"{index:09d}{Path(name).suffix.lower()}"


def _read_names(folder: Path) -> dict[int, str]:
    """The names of the images in the folder, by their numbers; a server is not asked again."""
    try:
        content = from_plain(dict[str, str], read_json(folder / _NAMES))
        return {int(index): name for index, name in content.items()}
    except (OSError, ValueError):
        return {}


def _write_names(folder: Path, names: Mapping[int, str]) -> None:
    """Add names to the file of the folder, if it can be written."""
    both = {**_read_names(folder), **names}
    content = {str(index): both[index] for index in sorted(both)}
    with suppress(OSError), atomic_write(folder / _NAMES, sync=False, shared=True) as stream:
        stream.write(json.dumps(content).encode())


def _folder(pool: Pool) -> Path:
    """The folder for the sample; where there is no cache, it lasts as long as this process."""
    key = _key(pool)
    cache = cache_folder()
    if cache is not None:
        with suppress(OSError):
            folder = cache / "pool-samples" / key
            folder.mkdir(parents=True, exist_ok=True)
            return folder
    if key not in _TEMPORARY:
        _TEMPORARY[key] = tempfile.TemporaryDirectory(prefix="semiseg-pool-")
    return Path(_TEMPORARY[key].name)


def _key(pool: Pool) -> str:
    """What a sample was taken from: another copy of the same pool may be damaged."""
    address = pool.address
    if not address.is_local:
        return short_hash(pool.fingerprint, str(address))
    stamps = []
    for shard in range(len(pool.counts)):
        try:
            status = (address / pool.manifest.shard_name(shard)).path.stat()
        except OSError:
            stamps.append("missing")
        else:
            stamps.append(f"{status.st_size} {status.st_mtime_ns}")
    return short_hash(pool.fingerprint, str(address.path.absolute()), "\n".join(stamps))
