"""Tiny images for pools, and tars as other programs write them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from semiseg.data.pools.ranges import Retries

NO_WAIT = Retries(sleep=lambda seconds: None)
"""Four requests, as by default, without waiting."""


def picture(seed: int, side: int = 24) -> Image.Image:
    """A picture of colored blocks, another one for each seed."""
    blocks = np.random.default_rng(seed).integers(0, 255, (side // 4, side // 4, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(blocks, np.ones((4, 4, 1), np.uint8)))


def jpeg(seed: int) -> bytes:
    """A picture as JPEG."""
    stream = io.BytesIO()
    picture(seed).save(stream, "JPEG")
    return stream.getvalue()


def write_images(folder: Path, count: int) -> Path:
    """Write JPEG files into two subfolders, and return the folder."""
    for number in range(count):
        file = folder / f"field{number % 2}" / f"{number:03d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(jpeg(number))
    return folder


def write_tar(
    file: Path,
    members: Mapping[str, bytes] | Sequence[tuple[str, bytes]],
    form: int = tarfile.PAX_FORMAT,
) -> Path:
    """Write a tar as Python's `tarfile` does; the members may repeat a name."""
    pairs = members.items() if isinstance(members, Mapping) else members
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w", format=form) as tar:
        for name, content in pairs:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file


def sample(key: str, seed: int) -> dict[str, bytes]:
    """A sample as img2dataset writes it: image, caption, and what is known of it."""
    return {f"{key}.jpg": jpeg(seed), f"{key}.txt": b"a field", f"{key}.json": b"{}"}
