"""Finds the images that annotation files name, wherever they lie below the data folder."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from semiseg.core.errors import DataError
from semiseg.data.tree import SPLITS, Tree

_HASHED = re.compile(r"[0-9a-f]{8}[-_](.+)", re.IGNORECASE)  # as Label Studio names an upload
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)

_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing"),
}


class ImageIndex:
    """The images of a data folder by their names.

    Args:
        tree: the data folder.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    @cached_property
    def images(self) -> list[Path]:
        """All images, without those of runs and of `suggest`."""
        return self.tree.without_results(self.tree.images(self.tree.root), self.tree.root)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        return _grouped(self.images, lambda path: _plain(path.name))

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        return _grouped(self.images, lambda path: _plain(path.stem))

    def find(self, name: str, places: Sequence[Path], source: Path, split: str = "") -> Path | None:
        """The image that a file means by a name; None if there is none.

        The very path below one of the places comes first. Otherwise the image is searched by its
        file name in all folders, without regard to capitals; folders of the name decide between
        several. Then the suffix may differ, or the file may lack the letters with which Label
        Studio begins the names of uploads.

        Args:
            name: a path of any system, or an address.
            places: folders, of which the first that holds the image counts.
            source: the file that names the image, for the error.
            split: the split of the file; folders of another split are not searched.

        Raises:
            DataError: several images may be meant.
        """
        parts = path_parts(name)
        if not parts:
            return None
        as_written = _split(name.strip())  # a file name may hold a question mark
        for place in places:
            for folders in dict.fromkeys((as_written, parts)):
                path = place.joinpath(*folders)
                if self.tree.is_file(path):
                    return path
        hashed = _HASHED.fullmatch(parts[-1])
        names = [parts[-1]] + ([hashed[1]] if hashed else [])
        for file_name in names:
            candidates = self._by_name.get(_plain(file_name)) or []
            stem = Path(file_name).stem
            for key in (file_name, stem):  # a name may lack its suffix
                candidates = candidates or self._by_stem.get(_plain(key)) or []
            others = {*SPLITS, ""} - {split, ""} if split else set()
            candidates = [x for x in candidates if folder_split(x, self.tree.root) not in others]
            if candidates:
                return self._nearest(candidates, parts, places, source)
        return None

    def _nearest(
        self,
        candidates: Sequence[Path],
        parts: Sequence[str],
        places: Sequence[Path],
        source: Path,
    ) -> Path:
        """The candidate whose folders are most like those of the name.

        Raises:
            DataError: several are equally like it.
        """

        def rank(path: Path) -> tuple[int, int, bool]:
            folders = [_plain(part) for part in path.relative_to(self.tree.root).parts[:-1]]
            common = 0
            for ours, theirs in zip(reversed(folders), reversed(parts[:-1]), strict=False):
                if ours != _plain(theirs):
                    break
                common += 1
            near = sum(path.is_relative_to(place) for place in places)
            return common, near, "unlabeled" not in folders

        ranks = {path: rank(path) for path in candidates}
        best = max(ranks.values())
        first, *others = [path for path in candidates if ranks[path] == best]
        if others:
            raise DataError(
                f"{source} names {'/'.join(parts)}, which may be {first} or {others[0]}.",
                "Rename or remove one of them, or write the folders into the names.",
            )
        return first


def split_word(text: str) -> str:
    """The split that a name says; empty if it says none, or several such as `train_val`.

    Example:
        >>> split_word("instances_val2017"), split_word("Training"), split_word("trainer")
        ('val', 'train', '')
        >>> split_word("livecell_train_val_images")
        ''
    """
    words = re.findall("[a-z]+", text.lower())
    splits = [split for split in SPLITS if not set(_WORDS[split]).isdisjoint(words)]
    return splits[0] if len(splits) == 1 else ""


def folder_split(file: Path, root: Path) -> str:
    """The split that the folders of a file say, the nearest one first; empty if none does."""
    folders = file.relative_to(root).parts[:-1]
    return next(filter(None, map(split_word, reversed(folders))), "")


def path_parts(name: str) -> tuple[str, ...]:
    r"""The folders and the file name of a path or an address, as any system writes it.

    Example:
        >>> path_parts(r"..\photos\day 1\07.jpg")
        ('photos', 'day 1', '07.jpg')
        >>> path_parts("http://localhost:8080/data/local-files/?d=photos/day%201/07.jpg")
        ('photos', 'day 1', '07.jpg')
    """
    text = name.strip()
    if "?" in text or _ADDRESS.match(text):
        try:
            address = urlsplit(text)
            inner = parse_qs(address.query).get("d")  # Label Studio's address of a local file
            text = inner[0] if inner else unquote(address.path)
        except ValueError:  # no address after all
            pass
    return _split(text)


def _split(text: str) -> tuple[str, ...]:
    """The folders and the file name of a path as any system writes it."""
    parts = text.replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", ".", "..") and not part.endswith(":"))


def _plain(name: str) -> str:
    """A name in one Unicode form and in small letters."""
    return unicodedata.normalize("NFC", name).casefold()


def _grouped(paths: Iterable[Path], key: Callable[[Path], str]) -> dict[str, list[Path]]:
    groups: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[key(path)].append(path)
    return dict(groups)
