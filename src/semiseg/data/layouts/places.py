"""Folders and pools that a person names, wherever they lie."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from semiseg.core import files as disk
from semiseg.core.addresses import is_url, without_secrets
from semiseg.core.errors import DataError, nearest
from semiseg.core.types import Arrangement
from semiseg.data.dataset_file import DatasetFile
from semiseg.data.layouts.families import unlabeled_folders
from semiseg.data.pairing.roles import role_of
from semiseg.data.pools.pool import is_pool
from semiseg.data.tree import SPLITS, Tree

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip", ".7z", ".rar")


class NamedTree(Tree):
    """A tree of folders that a person names: they may lie anywhere.

    Files of a folder that is named belong to it alone, not also to the folder around it.

    Args:
        tree: the data folder.
        places: the folders that are named. If one of them lies outside of the data folder, all
            paths that this tree is asked for are absolute.
    """

    def __init__(self, tree: Tree, places: Sequence[Path]) -> None:
        inside = all(place.is_relative_to(tree.root) for place in places)
        if not inside:
            places = [place.absolute() for place in places]
        super().__init__(tree.root if inside else Path(os.path.commonpath(places)))
        if inside:
            self._folders = tree._folders
        self._places = places

    def files(self, folder: Path, suffixes: tuple[str, ...], deep: bool = True) -> list[Path]:
        """As `Tree.files`, without those below another folder that is named."""
        others = [p for p in self._places if p != folder and p.is_relative_to(folder)]
        files = super().files(folder, suffixes, deep)
        if not others:
            return files
        return [path for path in files if not any(path.is_relative_to(p) for p in others)]

    def _is_reachable(self, folder: Path) -> bool:
        """Named folders are there, even if one above them may not be listed."""
        is_named = any(folder.is_relative_to(place) for place in self._places)
        return is_named or super()._is_reachable(folder)


def within(folders: Iterable[Path], others: Sequence[Path]) -> list[Path]:
    """The folders that lie in one of the others."""
    around = [other.absolute() for other in others]
    return [f for f in folders if any(f.absolute().is_relative_to(a) for a in around)]


def split_folders(folder: Path) -> dict[str, Path]:
    """The subfolders that are splits by their names, by split."""
    roles = {path: role_of(path.name) for path in Tree(folder).subfolders(folder)}
    return {
        role.split: path
        for path, role in reversed(roles.items())
        if role.split in SPLITS and not role.content and not role.rest
    }


def existing_folder(root: Path, name: str, origin: str) -> Path:
    """A folder that a person names.

    Args:
        root: the data folder.
        name: the folder, absolute or relative to the data folder.
        origin: the flag or the line that names it, for the error.

    Raises:
        DataError: there is no such folder; the message has the nearest name.
    """
    path = Path(os.path.normpath(root / Path(name).expanduser()))
    if not path.exists() and "\\" in name:  # as Windows writes it
        path = Path(os.path.normpath(root / name.replace("\\", "/")))
    if disk.is_folder(path):
        return path
    if path.exists():
        raise DataError(f"{origin}: {path} is a file.", "Name the folder that holds it.")
    parent = next(p for p in path.parents if disk.is_folder(p))
    below = [p.name for p in Tree(parent).subfolders(parent)]
    absent_name = path.relative_to(parent).parts[0]
    title = f"Folders in {parent}"
    hint = nearest(absent_name, below, title) if below else f"{parent} has no subfolders."
    raise DataError(f"{origin}: there is no folder {path}.", hint)


def pool_place(tree: Tree, flags: Arrangement, file: DatasetFile) -> str | None:
    """The path or the address of the pool of unlabeled images; None if there is none.

    If nobody names unlabeled images, the folder `unlabeled` of the data folder may be a pool.

    Args:
        tree: the data folder.
        flags: what a person says on the command line.
        file: what `dataset.yaml` says.
    """
    named = _named_unlabeled(tree.root, flags, file)
    if not named.names:
        folders = unlabeled_folders(tree)
        return str(folders[0]) if len(folders) == 1 and is_pool(folders[0], tree) else None
    if len(named.names) != 1:
        return None
    name = named.names[0]
    place = name if is_url(name) else os.path.normpath(named.base / Path(name).expanduser())
    return place if is_pool(place) else None


def unlabeled_places(tree: Tree, flags: Arrangement, file: DatasetFile) -> list[Path]:
    """The folders of unlabeled images that are named; none if they are a pool.

    Raises:
        DataError: there is no such folder, or one of several is a pool.
    """
    if pool_place(tree, flags, file) is not None:
        return []
    names, base, origin = _named_unlabeled(tree.root, flags, file)
    for name in names:
        if is_url(name):
            raise DataError(
                f"{origin}: {without_secrets(name)} is a pool, which cannot be joined with folders "
                "of images.",
                "Name it alone.",
            )
        if name.lower().endswith(_COMPRESSED):
            raise DataError(
                f"{origin}: {name} is compressed, so that single images cannot be read from it.",
                "Make a tar of it (`gunzip FILE.tar.gz`), or unpack it into a folder.",
            )
    return [existing_folder(base, name, origin) for name in names]


class _NamedUnlabeled(NamedTuple):
    """What a person calls the unlabeled images, the folder of relative paths, and who says it."""

    names: list[str]
    base: Path
    origin: str


def _named_unlabeled(root: Path, flags: Arrangement, file: DatasetFile) -> _NamedUnlabeled:
    if flags.unlabeled is not None:
        return _NamedUnlabeled([flags.unlabeled], root, "--unlabeled")
    value = file.content.unlabeled
    names = [value] if isinstance(value, str) else value or []
    base = root if file.path is None else file.path.parent
    return _NamedUnlabeled(names, base, f"`unlabeled` in {file.where('unlabeled')}")
