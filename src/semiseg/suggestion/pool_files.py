"""The chosen images of a pool, as files in the output folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semiseg.data.pools.pool import open_pool
from semiseg.data.read_ahead import read_ahead
from semiseg.suggestion.data_writer import Folder, stem_of
from semiseg.suggestion.unlabeled import without_roles
from semiseg.suggestion.writer import writing

_THREADS = 8  # a server takes as long to answer one request as several


def fetch_chosen(address: str, numbers: Sequence[int], out: Path) -> list[tuple[str, Path]]:
    """Write images of a pool into `train/images` of the output folder; only these are read.

    Args:
        address: of the pool.
        numbers: of the images.
        out: the output folder.

    Returns:
        The name of each image in the output folder, and its file.

    Raises:
        DataError: the pool cannot be read.
        RunError: the folder cannot be written.
    """
    pool = open_pool(address, copies=False)
    folder = Folder(out)
    names = without_roles({pool.name(i): Path(pool.file_name(i)) for i in numbers})
    chosen = []
    with writing(out):
        contents = read_ahead(pool.read, numbers, _THREADS)
        for (name, file), content in zip(names.items(), contents, strict=True):
            stem = stem_of(name, file.suffix)
            chosen.append((name, folder.write_image(content, stem, file.suffix)))
    return chosen
