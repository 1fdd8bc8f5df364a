"""One process at a time trains in a run folder: two would mix their checkpoints and metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from semiseg.core.errors import RunError
from semiseg.core.files import cache_folder, short_hash
from semiseg.core.locks import acquire_lock

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
    file = _file_of(out)
    try:
        lock = None if file is None else acquire_lock(file, _PATIENCE)
    except Timeout:
        raise RunError(
            f"Another process trains in {out}. Wait until it ends, or choose another --out."
        ) from None
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def is_locked(out: Path) -> bool:
    """Whether a process of this machine trains in a run folder; False where there are no locks."""
    file = _file_of(out)
    try:
        lock = None if file is None else acquire_lock(file)
    except Timeout:
        return True
    if lock is not None:
        lock.release()
    return False


def _file_of(out: Path) -> Path | None:
    """The lock of a run folder; None where the cache cannot be written."""
    cache = cache_folder()
    if cache is None:
        return None
    folder = cache / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder / f"{short_hash(str(out.resolve()))}.lock"
