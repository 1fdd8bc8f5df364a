"""One process at a time trains in a run folder: two would mix their checkpoints and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from semiseg.core.errors import RunError
from semiseg.core.files import cache_folder, short_hash

_PATIENCE = 10  # seconds; workers of a killed process hold its lock until they notice


@contextmanager
def lock_run(out: Path) -> Iterator[None]:
    """Keep other processes of this machine out of a run folder while the block runs.

    The lock is a file in the cache folder, since the run folder itself may be replaced. The system
    takes it back from a killed process. Where the cache cannot be written, there is no lock.

    Args:
        out: the run folder.

    Raises:
        RunError: another process holds the lock.
    """
    lock = _lock_of(out)
    try:
        if lock is not None:
            lock.acquire(timeout=_PATIENCE)
    except Timeout:
        raise RunError(
            f"Another process trains in {out}. Wait until it ends, or choose another --out."
        ) from None
    except (OSError, NotImplementedError):  # a disk without locks
        lock = None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def is_locked(out: Path) -> bool:
    """Whether a process of this machine trains in a run folder; False where there are no locks."""
    lock = _lock_of(out)
    if lock is None:
        return False
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    lock.release()
    return False


def _lock_of(out: Path) -> FileLock | None:
    cache = cache_folder()
    if cache is None:
        return None
    folder = cache / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return FileLock(folder / f"{short_hash(str(out.resolve()))}.lock")
