"""Copies of the accepted masks for a training, so that later corrections do not change its data."""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

from semiseg.core.errors import DataError, RunError
from semiseg.core.files import file_sha256
from semiseg.correction.loop import Loop
from semiseg.correction.queue import read_queue
from semiseg.data.corrected import ORIGINALS, find_originals

_LETTERS = 8  # of the hash in the name


def copy_accepted(loop: Loop, run: Path) -> tuple[Path, int]:
    """Copy the accepted images and masks of all rounds into a new folder beside the newest ones.

    The name of the folder holds that of the training and a hash of what lies in it. So a run never
    refers to masks other than its own, even if the folder is deleted and a new loop begins.

    Args:
        loop: the rounds.
        run: the run folder of the training.

    Returns:
        The folder, and the number of masks.

    Raises:
        DataError: no mask is accepted.
        RunError: the folder cannot be written.
    """
    accepted: dict[str, tuple[Path, Path]] = {}
    sources: list[Path] = []
    for number, folder in dict.fromkeys((n, f) for n, f, _ in loop.accepted()):
        names = {name for n, _, name in loop.accepted() if n == number}
        for item in read_queue(folder):
            if item.name in names:
                # Two images of one name come from two folders.
                name = item.name if item.name not in accepted else f"round-{number}/{item.name}"
                accepted[name] = item.image, item.mask
        sources += find_originals(folder, sorted(names)).values()
    if not accepted:
        raise DataError("No mask is accepted yet.", "Accept one, and try again.")
    fresh = loop.folder / ".accepted"
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        for name, (image, mask) in accepted.items():
            for kind, file in (("images", image), ("masks", mask)):
                copy = fresh / "train" / kind / f"{name}{file.suffix}"
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
        shutil.copyfile(loop.folder / "classes.yaml", fresh / "classes.yaml")
        lines = "".join(f"{file}\n" for file in sources)
        (fresh / ORIGINALS).write_text(lines, encoding="utf-8")
        with (fresh / "suggested.csv").open("w", encoding="utf-8", newline="") as table:
            csv.writer(table).writerows([["image"], *([source] for source in sources)])
        target = _unused(loop.folder, f"accepted-{run.name}-{_hash_of(fresh)}")
        fresh.rename(target)
    except OSError as error:
        raise RunError(f"{fresh} cannot be written ({error}).") from error
    return target, len(accepted)


def _unused(folder: Path, name: str) -> Path:
    """A folder in this one that does not exist yet, with a number if the name is taken."""
    number, place = 1, folder / name
    while place.exists():
        number += 1
        place = folder / f"{name}-{number}"
    return place


def _hash_of(folder: Path) -> str:
    """The first letters of a hash of the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(file_sha256(file).encode())
    return digest.hexdigest()[:_LETTERS]
