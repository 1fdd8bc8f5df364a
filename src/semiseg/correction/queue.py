"""The images to correct: those that `suggest` wrote, in its order, and how far each one is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple, get_args

from semiseg.core.errors import DataError, RunError
from semiseg.core.files import atomic_write, read_json
from semiseg.data.corrected import DECISIONS, find_originals, list_originals
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.tree import list_files

State = Literal["open", "accepted", "skipped"]
"""What a person decided about a mask: nothing yet, that it is right, or that it is not wanted."""

_FORMAT = 1


class Item(NamedTuple):
    """An image whose mask is corrected.

    Attributes:
        number: its place in the queue, from 0 on; requests name images by it.
        name: its path below the folder of images, without a suffix.
        image: the file of the image.
        mask: the file of the mask.
    """

    number: int
    name: str
    image: Path
    mask: Path


def read_queue(folder: Path) -> list[Item]:
    """The images of a folder that `suggest` wrote, those with the highest rank first.

    Args:
        folder: the output folder of `suggest`, with `train/images` and `train/masks`.

    Raises:
        DataError: no image has a mask.
    """
    images, masks = folder / "train" / "images", folder / "train" / "masks"
    pairs = {}
    for image in list_files(images, IMAGE_SUFFIXES) if images.is_dir() else []:
        place = image.relative_to(images)
        mask = (masks / place).with_suffix(".png")
        if mask.is_file():
            pairs[place.with_suffix("").as_posix()] = image, mask
    if not pairs:
        raise DataError(
            f"{folder} holds no image with a mask to correct.",
            f"`semiseg suggest RUN IMAGES --out {folder}` writes them.",
        )
    ranks = {original: rank for rank, original in enumerate(list_originals(folder))}
    originals = find_originals(folder, pairs)

    def order(name: str) -> tuple[int, str]:
        original = originals.get(name)
        return len(ranks) if original is None else ranks[original], name

    names = sorted(pairs, key=order)
    return [Item(number, name, *pairs[name]) for number, name in enumerate(names)]


class States:
    """What a person decided about each mask, kept in a file beside them.

    Args:
        folder: the output folder of `suggest`.

    Raises:
        RunError: the file exists and cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / DECISIONS
        self._lock = Lock()
        self._read()

    def __getitem__(self, name: str) -> State:
        """The state of an image by its name."""
        return self._read().get(name, "open")

    def items(self) -> list[tuple[str, State]]:
        """The images that a person decided about, with their states."""
        return list(self._read().items())

    def set(self, name: str, state: State) -> None:
        """Change the state of an image, and write the file.

        Raises:
            OSError: the file cannot be written.
            RunError: the file cannot be read.
        """
        with self._lock:
            states = {**self._read(), name: state}
            content = {"format": _FORMAT, "states": dict(sorted(states.items()))}
            with atomic_write(self._file) as file:
                file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def _read(self) -> dict[str, State]:
        """The contents of the file, which another server may have changed."""
        if not self._file.is_file():
            return {}
        try:
            content = read_json(self._file)
            if not isinstance(content, Mapping) or content.get("format") != _FORMAT:
                raise ValueError(f"it has no format {_FORMAT}")
            states: dict[str, State] = {}
            for name, state in dict(content["states"]).items():
                if state not in get_args(State):
                    raise ValueError(f"the state of {name} is {state!r}")
                states[str(name)] = state
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{self._file} cannot be read ({error}). Restore it, or remove it: then all masks "
                "count as not yet seen."
            ) from error
        return states
