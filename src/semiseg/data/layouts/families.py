"""The folders of a data folder that hold images or masks, by the roles of their names."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.matlab import MATLAB_SUFFIX
from semiseg.data.formats.stems import stem
from semiseg.data.pairing.beside import without_overlays
from semiseg.data.pairing.roles import Content, Role, Split, bare_content, role_of, role_within
from semiseg.data.tree import Tree

_MANY = 4  # folders whose names differ in a number


@dataclass(frozen=True)
class Place:
    """A folder that holds files of images or of LabelMe, without the folders in it.

    Attributes:
        folder: the folder.
        base: the path below the data folder to the last folder with a role.
        inner: the folders above that say nothing (a camera, a day), between those with a role.
        tail: the folders below the last one with a role.
        images: the image files; in a folder of masks without any, MATLAB's files.
        json_files: the JSON files, which may be LabelMe's.
        is_named: whether the folder's name is that of its one file, which is called `image` or
            `mask`.
    """

    folder: Path
    base: str
    inner: tuple[str, ...]
    tail: tuple[str, ...]
    images: tuple[Path, ...]
    json_files: tuple[Path, ...]
    is_named: bool = False


@dataclass
class Family:
    """Folders of one role: `train/images`, or the folders `images` of all patients.

    Attributes:
        content: `images`, `masks`, or nothing for folders whose names do not say it.
        split: `train`, `val`, `test`, `unlabeled`, or nothing.
        pattern: the path below the data folder to the last folder with a role; `*` stands for
            folders that say nothing.
        rests: what the names say besides their roles, such as `2017`.
        is_secondary: whether another family comes first, see `Role`.
        places: the folders that hold files.
    """

    content: Content
    split: Split
    pattern: str
    rests: tuple[str, ...] = ()
    is_secondary: bool = False
    places: list[Place] = field(default_factory=list)

    @property
    def images(self) -> list[Path]:
        """The image files, sorted by folder and name."""
        return [path for place in self.places for path in place.images]

    @property
    def json_files(self) -> list[Path]:
        """The JSON files, sorted by folder and name."""
        return [path for place in self.places for path in place.json_files]

    @property
    def shape(self) -> tuple[str, ...]:
        """The pattern without the words for images and masks."""
        return tuple("*" if part == "*" else _shape(role_of(part)) for part in self._parts)

    @property
    def _parts(self) -> list[str]:
        return self.pattern.split("/") if self.pattern else []

    def base(self, root: Path) -> Path | None:
        """The one folder in which all files lie; None if there are several such folders."""
        bases = {place.base for place in self.places}
        return root / bases.pop() if len(bases) == 1 else None

    def describe(self) -> str:
        """The path below the data folder to the one folder of all files, or the pattern."""
        bases = {place.base for place in self.places}
        return (bases.pop() if len(bases) == 1 else self.pattern) or "."

    def common_inner(self) -> tuple[str, ...]:
        """The folders that say nothing and that all files share, from the first on."""
        return _common([place.inner for place in self.places])

    def names(self, skip_count: int = 0) -> Iterator[tuple[str, Path]]:
        """Each file with its path in folders that say nothing, without the suffix.

        Args:
            skip_count: how many of these folders are left out, from the first on.
        """
        for place in self.places:
            folders = (*place.inner, *place.tail)[skip_count:]
            if place.is_named:
                yield unicodedata.normalize("NFC", "/".join(folders)), place.images[0]
                continue
            start = "".join(f"{folder}/" for folder in folders)
            for path in (*place.images, *place.json_files):
                yield unicodedata.normalize("NFC", start + stem(path)), path


def find_families(tree: Tree) -> list[Family]:
    """The families of a data folder, each with its places, sorted by pattern.

    The results of runs and of `suggest` belong to no family.
    """
    families: dict[tuple[Content, Split, str], Family] = {}
    roles_by_folder: dict[Path, tuple[Role, ...]] = {tree.root: ()}
    starts: dict[Path, str] = {}  # `day1` of `day1` and of `day1_masks`
    for folder in data_folders(tree):
        above = roles_by_folder[folder]
        companions = _companions(tree, folder, above)
        numbered = _numbered(tree, folder, above) - {path.name for path in companions}
        for below in tree.subfolders(folder):
            role = role_within(below.name, above)
            role = Role(rest=below.name) if below.name in numbered else role
            if below in companions:
                starts[below] = companions[below]
                role = Role(role.content or "images", "", "", role.is_secondary)
            roles_by_folder[below] = (*above, role)
        parts = folder.relative_to(tree.root).parts
        roles = roles_by_folder[folder]
        content, split = _content(roles), _split(roles)
        images = tuple(without_overlays(tree.images(folder, deep=False)))
        if content == "masks" and not images:
            images = tuple(tree.files(folder, (MATLAB_SUFFIX,), deep=False))
        json_files = tuple(tree.files(folder, (LABELME_SUFFIX,), deep=False))
        if not images and not json_files:
            continue
        end = max((i + 1 for i, role in enumerate(roles) if not role.is_neutral), default=0)
        above_here = [tree.root.joinpath(*parts[: i + 1]) for i in range(end)]
        names = [starts.get(path, "") for path in above_here]
        pairs = list(zip(parts[:end], roles[:end], names, strict=True))
        pattern = "/".join(
            "*" if role.is_neutral else part.replace(name, "*", 1) if name else part
            for part, role, name in pairs
        )
        inner = tuple(
            name or part for part, role, name in pairs if name or (role.is_neutral and role.rest)
        )
        rests = tuple(role.rest for role in roles[:end] if not role.is_neutral and role.rest)
        secondary = any(role.is_secondary for role in roles[:end])
        base = "/".join(parts[:end])
        place = Place(folder, base, inner, parts[end:], images, json_files)
        for part_content, part in _parts_of(content, place):
            family = families.setdefault(
                (part_content, split, pattern),
                Family(part_content, split, pattern, rests, secondary),
            )
            family.places.append(part)
    return [families[key] for key in sorted(families, key=lambda key: (key[2], key))]


def _companions(tree: Tree, folder: Path, above: Sequence[Role]) -> dict[Path, str]:
    """Folders of images with folders of masks beside them: `day1`, `day1_masks`, `day2`, ...

    One pair is no rule: two are. Each folder comes with the name of that of the images.
    """
    roles = {path: role_within(path.name, above) for path in tree.subfolders(folder)}
    masks = {
        role.rest: path
        for path, role in roles.items()
        if role.content == "masks" and role.rest and not role.split
    }
    pairs = {
        path: masks[rest]
        for path, role in roles.items()
        if role.is_neutral
        and (rest := role_of(path.name).rest) in masks
        and masks[rest].name.startswith(path.name)
        and tree.images(path, deep=False)
    }
    if len(pairs) < 2:
        return {}
    return {part: path.name for path, other in pairs.items() for part in (path, other)}


def _numbered(tree: Tree, folder: Path, above: Sequence[Role]) -> set[str]:
    """The folders in a folder whose names are numbers: `image_001`, `image_002`, one per image."""
    roles = {path.name: role_within(path.name, above) for path in tree.subfolders(folder)}
    groups: dict[tuple[Content, Split, str], list[str]] = {}
    for name, role in roles.items():
        if not role.is_neutral and any(letter.isdigit() for letter in role.rest):
            key = role.content, role.split, "".join(x for x in role.rest if not x.isdigit())
            groups.setdefault(key, []).append(name)
    contents = {role.content for role in roles.values() if role.content}
    many = [names for names in groups.values() if len(names) >= _MANY]
    return {name for names in many for name in names} if len(contents) < 2 else set()


def _parts_of(content: Content, place: Place) -> list[tuple[Content, Place]]:
    """A folder, or its image and its mask where their names are nothing but these words."""
    if content or not place.tail:
        return [(content, place)]
    by_content: dict[Content, list[Path]] = {"images": [], "masks": []}
    for path in place.images:
        bare = bare_content(stem(path))
        if bare:
            by_content[bare].append(path)
    if not all(len(paths) == 1 for paths in by_content.values()):
        return [(content, place)]
    return [
        (part, replace(place, images=tuple(paths), json_files=(), is_named=True))
        for part, paths in by_content.items()
    ]


def data_folders(tree: Tree) -> Iterator[Path]:
    """The folders that may hold data: all but hidden ones, runs, and what `suggest` wrote.

    A link to a folder of the same tree counts only where names say what it holds.
    """
    waiting = [(tree.root, False)]
    while waiting:
        folder, has_role = waiting.pop()
        yield folder
        for below in reversed(tree.subfolders(folder)):
            has_own_role = has_role or not role_of(below.name).is_neutral
            if not tree.is_result(below) and (has_own_role or not tree.is_alias(below)):
                waiting.append((below, has_own_role))


def unlabeled_folders(tree: Tree) -> list[Path]:
    """The folders in a data folder that hold images without masks, by their names."""
    folders = tree.subfolders(tree.root)
    return [folder for folder in folders if role_of(folder.name).split == "unlabeled"]


def _content(roles: Sequence[Role]) -> Content:
    """The content that the deepest folder with one says."""
    return next((role.content for role in reversed(roles) if role.content), "")


def _split(roles: Sequence[Role]) -> Split:
    splits = [role.split for role in roles if role.split]
    scored = [split for split in splits if split in ("val", "test")]
    if "unlabeled" in splits:
        return scored[-1] if scored else "unlabeled"
    whole = [role.split for role in roles if role.split and not role.rest]
    return next((s for names in (whole, splits) for s in reversed(names)), "")


def _shape(role: Role) -> str:
    return f"{bool(role.content):d} {role.split} {role.rest}"


def _common(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The parts that all paths begin with."""
    first, last = min(paths, default=()), max(paths, default=())
    count = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    return first[:count] if count is not None else first[: min(len(first), len(last))]
