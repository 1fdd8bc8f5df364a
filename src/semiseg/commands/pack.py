"""`pack`: tar files from a folder of unlabeled images."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.writing import PackSettings
from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.pools.packing import LEFT_OUT, pack_images
from semiseg.data.pools.packing_list import Source, Walk
from semiseg.data.pools.pool import is_pool
from semiseg.inference.sources import find_images

logger = logging.getLogger(__name__)


class PackedPool(NamedTuple):
    """A pool that was written.

    Attributes:
        folder: the folder that holds it.
        images: the number of images.
        shards: the number of tar files.
        bytes: their size.
        left_out: the images that were left out, with the reason.
    """

    folder: Path
    images: int
    shards: int
    bytes: int
    left_out: list[str]

    def text(self) -> str:
        """The counts, and where the list of what was left out is."""
        images, shards = plural(self.images, "image"), plural(self.shards, "shard")
        lines = [f"{self.folder}: {images} in {shards}, {self.bytes / 1e6:,.1f} MB"]
        if self.left_out:
            count = plural(len(self.left_out), "image is", "images are")
            lines.append(f"{count} left out: see {self.folder / LEFT_OUT}")
        return "\n".join(lines)


@command(PackSettings)
def pack(settings: PackSettings) -> PackedPool:
    """Pack images into tar files that a training reads as its unlabeled images.

    EXIF data, places and comments are not copied, and no pixel is encoded again. The images that
    cannot be read are left out. What was interrupted is continued.

    Returns:
        The folder, the number of images and shards, and what was left out.

    Raises:
        DataError: there are no images, or none that can be read.
        RunError: the folder holds something else, or cannot be written.
    """
    images, out = settings.images, settings.out
    if is_pool(images):
        raise DataError(f"{images} is a pool already.", "Name a folder or a list of images.")
    described = str(images.absolute())
    packed = pack_images(
        lambda: _sources(images, out), out, described=described, shard_bytes=settings.shard_bytes
    )
    manifest = packed.manifest
    size = int(manifest.sizes.sum())
    return PackedPool(out, manifest.images, len(manifest.counts), size, packed.left_out)


def _sources(images: Path, out: Path) -> Iterable[Source]:
    """The files, with the names that their results would have."""
    if images.is_dir():
        walk = Walk(images, out)
        yield from walk
        for note in walk.notes():
            logger.info("%s", note)
        return
    sources = find_images(images, out)
    for note in sources.notes:
        logger.info("%s", note)
    for warning in sources.warnings:
        logger.warning("%s", warning)
    for name, path in sources.images.items():
        yield Source(name, path.absolute())
