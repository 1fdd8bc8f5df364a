"""Masks that are drawn from annotations, once, into the cache folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.files import cache_folder, short_hash

_FORMAT = 1  # increased whenever the same sources give other masks


def draw_masks(
    root: Path,
    sources: Sequence[Path],
    kind: str,
    draw: Callable[[Path], None],
    detail: str = "",
) -> Path:
    """Draw masks once, and again where one of their sources has changed.

    The folder appears as a whole or not at all, so that several processes may draw it at once.

    Args:
        root: the data folder, which never holds the masks.
        sources: the files that the masks are drawn from; their paths, sizes and modification times
            identify the masks.
        kind: what the sources are in one word, such as `coco`; the folder's name begins with it.
        draw: writes the masks into the empty folder that it is given.
        detail: what else decides what is drawn.

    Returns:
        The folder of the masks.

    Raises:
        DataError: there is no place for the masks, or they cannot be drawn or written.
    """
    first = sources[0] if sources else root
    cache = cache_folder(root)
    if cache is None:
        raise DataError(
            f"{first}: there is no place for the masks that are drawn from it.",
            f"Name a folder outside of {root} in the environment variable SEMISEG_CACHE.",
        )
    try:
        states = [_state(source) for source in sources]
        state = "\n".join([str(_FORMAT), str(root.resolve()), detail, *states])
        folder = cache / f"{kind}-{short_hash(state, size=8)}"
        if folder.is_dir():
            return folder
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            whole = Path(fresh) / "masks"
            whole.mkdir()
            draw(whole)
            with suppress(OSError):  # another process was faster
                whole.rename(folder)
        if not folder.is_dir():
            raise OSError("the folder of the masks cannot be renamed")
    except OSError as error:
        raise DataError(f"Masks of {first} cannot be drawn into {cache} ({error}).") from error
    return folder


def _state(source: Path) -> str:
    status = source.stat()
    return f"{source.resolve()} {status.st_size} {status.st_mtime_ns}"
