"""Locks between processes, which the system takes back from a killed process.

Where a disk has no such locks, filelock would take a file that exists for one. A killed process
leaves that file behind, and on another machine nobody can tell that its process is dead: the job
that runs in its place would wait forever. So there is no lock on such a disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


def acquire_lock(file: Path, seconds: float = 0) -> FileLock | None:
    """Take a lock.

    Args:
        file: the lock; its folder exists.
        seconds: how long to wait for another process; -1 for as long as it takes.

    Returns:
        The lock, which `release` ends; None on a disk without locks, or where the file cannot be
        written.

    Raises:
        Timeout: another process holds it.
    """
    lock = FileLock(file, fallback_to_soft=False)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        raise
    except (OSError, NotImplementedError):
        return None
    return lock


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock while the block runs, if there is one; see `acquire_lock`.

    Raises:
        Timeout: another process holds it.
    """
    lock = acquire_lock(file)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
