"""Frozen features on the disk: a file of half-precision numbers for each view of an image.

The files lie in the folder `features` of the cache (see `core.files.features_folder`). A group of
them is a folder: its name is a hash of everything but the pixels that decides about the numbers.
The name of a file is a hash of the view's pixels. So a changed image, crop or color change gives
another file, and equal views share one.

A file holds the numbers and then their CRC-32. It is written under a temporary name and renamed,
and it counts only if its checksum is right: whatever a killed process or a power failure leaves
behind is computed again. Several processes may fill a group at once. The files may be deleted at
any time.

All files together keep to one limit. When it is reached, the files with the oldest use go first,
but never those of a group that another process uses.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from semiseg.core.files import atomic_write, features_folder

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

CHECKSUM_BYTES = 4
_LOCK = "in-use"
_FREE_SHARE = 2  # features take at most half of what is free on the disk
_ATTEMPTS = 5  # to use a group that other processes remove
_PARTS = 16  # room is made for this part of the limit at once


def room_for_features(limit: int) -> int:
    """The bytes that all cached features may take: the limit, or less on a disk that is full.

    Args:
        limit: the bytes that the settings allow.
    """
    folder = features_folder()
    if folder is None:
        return 0
    return _room(folder, limit, sum(file.size for file in _files(folder)))


class FeatureStore:
    """The files of one group.

    Args:
        folder: the folder of all cached features.
        group: the name of the group.
        count: the numbers in a file.
        limit: the bytes that all cached features may take.

    Attributes:
        folder: the folder of the group.
    """

    def __init__(self, folder: Path, group: str, count: int, limit: int) -> None:
        self.folder, self.count, self.limit = folder / group, count, limit
        self.bytes = count * np.dtype(np.float16).itemsize + CHECKSUM_BYTES
        self._granted = 0  # bytes that may be written before the room is measured again
        self._full = False
        self._used: set[str] = set()
        self._lock: _Lock | None = None
        try:
            self._lock = _open_group(self.folder)
        except OSError as error:
            self._stop_saving(str(error))

    def close(self) -> None:
        """Let other processes remove the files of the group."""
        if self._lock is not None:
            self._lock.close()

    def size(self) -> int:
        """The bytes of the group on the disk."""
        return sum(file.size for file in _files_of(self.folder))

    def load(self, name: str) -> NDArray[np.float16] | None:
        """The numbers of a file, mapped into memory; None if there is no intact file."""
        file = self._file(name)
        try:
            content = np.memmap(file, np.uint8, "r")
        except (OSError, ValueError):  # there is none, or it is empty
            return None
        numbers, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:].tobytes()
        if content.size != self.bytes or _checksum(numbers.data) != checksum:
            return None
        self._note_use(file)
        return numbers.view(np.float16)

    def save(self, name: str, numbers: NDArray[np.float16]) -> None:
        """Write a file if there is room for it; without room, a warning says so once."""
        if self._full or (self.bytes > self._granted and not self._make_room()):
            return
        content, file = np.ascontiguousarray(numbers).tobytes(), self._file(name)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(file, sync=False, shared=True) as stream:
                stream.write(content)
                stream.write(_checksum(content))
        except OSError as error:
            self._stop_saving(str(error))
            return
        self._granted -= self.bytes
        self._used.add(name)

    def _file(self, name: str) -> Path:
        return self.folder / name[:2] / name

    def _note_use(self, file: Path) -> None:
        """The first use of a file by this process becomes its modification time."""
        if file.name not in self._used:
            self._used.add(file.name)
            with suppress(OSError):
                os.utime(file)

    def _make_room(self) -> bool:
        """Remove old files until a part of the limit is free; whether one more file fits."""
        files = sorted(_files(self.folder.parent), key=lambda file: file.last_use)
        total = sum(file.size for file in files)
        room = _room(self.folder.parent, self.limit, total)
        part = max(self.bytes, room // _PARTS)
        evictable = _Evictable(self.folder, self._lock)
        for file in files:
            if total + part <= room:
                break
            group = file.path.parent.parent
            in_use = group == self.folder and file.path.name in self._used
            if not in_use and evictable.has(group):
                with suppress(OSError):
                    file.path.unlink()
                    total -= file.size
        evictable.close()
        self._granted = min(part, room - total)
        if self._granted < self.bytes:
            self._stop_saving(f"all {room / 1e9:.3g} GB are in use")
        return not self._full

    def _stop_saving(self, reason: str) -> None:
        self._full = True
        logger.warning(
            "No more features can be cached in %s (%s). The training goes on, and computes the "
            "others in each step.",
            self.folder.parent,
            reason,
        )


class _File(NamedTuple):
    """A file of the cache, its bytes, and the time of its last use."""

    path: Path
    size: int
    last_use: float


class _Lock:
    """Shows other processes that a group is in use. Systems without such locks have none."""

    def __init__(self, group: Path) -> None:
        self._file = group / _LOCK
        self._handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)

    def share(self) -> None:
        """Use the group, together with others."""
        self._set(exclusive=False)

    def seize(self) -> bool:
        """Keep others out; False if the group is in use."""
        return self._set(exclusive=True)

    def is_removed(self) -> bool:
        """Whether another process has removed the group since the lock was opened."""
        try:
            return not os.path.samestat(os.fstat(self._handle), self._file.stat())
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Give the group back."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _set(self, exclusive: bool) -> bool:
        if sys.platform == "win32":
            return True
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True


class _Evictable:
    """Which groups no other process uses. They stay locked until `close`.

    Args:
        own: the folder of the own group.
        lock: the own lock.
    """

    def __init__(self, own: Path, lock: _Lock | None) -> None:
        self._own, self._own_lock = own, lock
        self._locks: dict[Path, _Lock | None] = {}

    def has(self, group: Path) -> bool:
        """Whether the files of a group may be removed."""
        if group not in self._locks:
            lock = None
            with suppress(OSError):
                lock = self._own_lock if group == self._own else _Lock(group)
            if lock is not None and not lock.seize():
                if group != self._own:
                    lock.close()
                lock = None
            self._locks[group] = lock
        return self._locks[group] is not None

    def close(self) -> None:
        """Give the groups back; those without files are removed."""
        for group, lock in self._locks.items():
            if lock is None or group == self._own:
                continue
            if not any(_files_of(group)):
                shutil.rmtree(group, ignore_errors=True)
            lock.close()
        if self._own in self._locks and self._own_lock is not None:
            self._own_lock.share()  # a lock that could not be seized is lost


def _open_group(folder: Path) -> _Lock:
    """Create the folder of a group and use it.

    Another process may remove the folder, while it is empty, before it is in use here.

    Raises:
        OSError: the folder cannot be created or written.
    """
    for _ in range(_ATTEMPTS):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            lock = _Lock(folder)
            lock.share()
            if not lock.is_removed():
                return lock
            lock.close()
    raise OSError(f"other processes remove {folder}")


def _checksum(content: bytes | memoryview) -> bytes:
    return zlib.crc32(content).to_bytes(CHECKSUM_BYTES, "little")


def _room(folder: Path, limit: int, total: int) -> int:
    """The bytes that all cached features may take, of which `total` are there."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        return min(limit, total + shutil.disk_usage(place).free // _FREE_SHARE)
    except OSError:
        return limit


def _files(folder: Path) -> Iterator[_File]:
    """The files of all groups."""
    with suppress(OSError):
        for group in folder.iterdir():
            yield from _files_of(group)


def _files_of(group: Path) -> Iterator[_File]:
    """The files of a group; temporary ones too, which a killed process may leave behind."""
    with suppress(OSError):  # another process removes the group
        for path in group.glob("*/*"):
            with suppress(OSError):
                status = path.stat()
                yield _File(path, status.st_size, status.st_mtime)
