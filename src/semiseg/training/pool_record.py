"""The pool of a run, in `split/pool.json`: where it lies, and by which hash it is recognized."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from semiseg.core.errors import RunError
from semiseg.core.files import read_json, write_json
from semiseg.data.pools.pool import Pool
from semiseg.data.pools.pool_sample import PoolSample


def check_pool(out: Path, sample: PoolSample | None) -> None:
    """Refuse to go on with other images than those of the pool that the run began with.

    Args:
        out: the run folder.
        sample: the pool of this call; None if it has none.

    Raises:
        RunError: there is another pool, or none, or one where there was none.
    """
    file = _file(out)
    before = content_or_none(file, read_json) if file.exists() else None
    earlier = before.get("fingerprint") if isinstance(before, Mapping) else None
    pool = None if sample is None else sample.pool
    if (file.exists() or pool is not None) and (pool is None or earlier != pool.fingerprint):
        now = "there is none now" if pool is None else f"{pool.address} holds {pool.fingerprint}"
        began = f"the pool {earlier}" if file.exists() else "no pool"
        raise RunError(
            f"{out} began with {began}, and {now}. Name the pool that it began with by "
            "--unlabeled, or start a new run."
        )


def write_pool(out: Path, pool: Pool) -> bool:
    """Write down the pool of a run.

    Args:
        out: the run folder.
        pool: the pool.

    Returns:
        Whether the file says anything new.

    Raises:
        OSError: it cannot be written.
    """
    record = {
        "address": str(pool.address),
        "fingerprint": pool.fingerprint,
        "images": len(pool),
        "shards": len(pool.counts),
    }
    if content_or_none(_file(out), read_json) == record:
        return False
    write_json(_file(out), record)
    return True


def content_or_none(file: Path, read: Callable[[Path], object]) -> object:
    """The content of a file of a run; None if it is missing or damaged."""
    try:
        return read(file)
    except (OSError, ValueError):
        return None


def _file(out: Path) -> Path:
    return out / "split" / "pool.json"
