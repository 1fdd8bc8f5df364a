"""The forms in which names are compared, from the strictest to the loosest, and their parts."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import count
from typing import NamedTuple

from semiseg.data.pairing.roles import role_of

_WORD = re.compile(r"[0-9]+|[^\W\d_]+|[^\W_]")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PADDING = re.compile(r"(?<![0-9])0+(?=[0-9])")
_MAX_COMPARED = 100_000  # pairs of folders
_DIGITS = re.compile(r"[0-9]+")
SEPARATORS = re.compile(r"[\W_]+")
"""What stands between the words of a name."""


class Place(NamedTuple):
    """Where a file lies: the names of its folders, and its own one."""

    folders: tuple[str, ...]
    name: str


class Name(NamedTuple):
    """A name in the form in which a rule compares it."""

    folder: str
    stem: str
    whole: str  # the file's name with its suffix


class Reading(NamedTuple):
    """The names of images and masks in one form.

    Attributes:
        images: in the order in which they were given.
        masks: likewise.
        note: what the form passes over; it continues a rule's text.
        is_strict: whether a single pair of equal names is believed.
        is_extreme: whether it is the strictest or the loosest one of its kind.
        places: where the files lie, if the form does not compare folders; they may forbid a pair.
    """

    images: list[Name]
    masks: list[Name]
    note: str
    is_strict: bool
    is_extreme: bool
    places: tuple[list[Place], list[Place]] | None = None

    def allows(self, image: int, mask: int) -> bool:
        """Whether the folders of both allow a pair.

        An image of `day1` has no mask in `day2`, nor one in `crack`.
        """
        if self.places is None:
            return True
        of_image, of_mask = set(self.places[0][image].folders), set(self.places[1][mask].folders)
        return of_image <= of_mask or of_mask <= of_image


def read_names(images: Sequence[str], masks: Sequence[str]) -> Iterator[Reading]:
    """The names in every form that differs from the form before.

    Args:
        images: paths with suffix and `/`.
        masks: likewise.
    """
    outer = places(images), places(masks)
    yield from _forms(*outer, "", True)
    if not any(place.folders for place in (*outer[0], *outer[1])):
        return
    inner = _inner(*outer)
    if inner != outer:
        yield from _forms(*inner, "", True)
    if not _may_fit(*inner):
        return
    joined = [[Place((), "_".join((*p.folders, p.name))) for p in side] for side in inner]
    flat = [[Place((), place.name) for place in side] for side in inner]
    forms = [(joined, ", with the names of its folders"), (flat, ", whatever the folders are")]
    if _are_kinds(*inner):
        forms.reverse()
    for (image_names, mask_names), note in forms:
        for reading in _forms(image_names, mask_names, note, False):
            yield reading._replace(places=inner)


def _are_kinds(images: list[Place], masks: list[Place]) -> bool:
    """Whether the folders of masks say a kind, such as `v1` and `v2`, and not the image.

    All images lie together, no folder of masks has an image's name, and most masks have one.
    """
    if any(place.folders for place in images):
        return False
    names = {_form(stem(place.name), 3) for place in images}
    folders = {_form(folder, 3) for place in masks for folder in place.folders}
    own = sum(_form(stem(place.name), 3) in names for place in masks)
    return names.isdisjoint(folders) and 2 * own > len(masks)


def _may_fit(images: list[Place], masks: list[Place]) -> bool:
    """Whether some folders of images allow masks of some folders, see `Reading.allows`."""
    sides = [{frozenset(place.folders) for place in side} for side in (images, masks)]
    if len(sides[0]) * len(sides[1]) > _MAX_COMPARED:
        return True
    return any(a <= b or b <= a for a in sides[0] for b in sides[1])


def places(names: Iterable[str]) -> list[Place]:
    """The folders of each name, and the file's name, in one Unicode form."""
    parts = [unicodedata.normalize("NFC", name).split("/") for name in names]
    return [Place(tuple(folders), name) for *folders, name in parts]


def without_common_folders(files: list[Place]) -> list[Place]:
    """Without the folders that all files have in their paths, such as `images`."""
    if not files:
        return files
    common = set(files[0].folders).intersection(*(place.folders for place in files))
    return [Place(tuple(f for f in fs if f not in common), name) for fs, name in files]


def _inner(images: list[Place], masks: list[Place]) -> tuple[list[Place], list[Place]]:
    """Without folders that all images or all masks share, unless they set the two apart."""
    inner = without_common_folders(images), without_common_folders(masks)
    if not images or not masks:
        return inner
    common_folders = [
        set(files[0].folders) - set(rest[0].folders)
        for files, rest in zip((images, masks), inner, strict=True)
    ]
    own = [{name for name in names if role_of(name).is_neutral} for names in common_folders]
    return (images, masks) if own[0] - own[1] and own[1] - own[0] else inner


def _forms(
    images: list[Place], masks: list[Place], note: str, is_strict: bool
) -> Iterator[Reading]:
    """As they are; in any case of letters; with any padding of numbers; with any separators."""
    notes = "", " in any case", " with other zeros before its numbers", " with other separators"
    before: list[list[Name]] = []
    for level, more in enumerate(notes):
        names = [_named(images, level), _named(masks, level)]
        if names != before:
            is_extreme = level in (0, len(notes) - 1)
            yield Reading(names[0], names[1], more + note, is_strict, is_extreme)
        before = names


def _named(files: Iterable[Place], level: int) -> list[Name]:
    @cache
    def join(folders: tuple[str, ...]) -> str:
        return "/".join(_form(folder, level) for folder in folders)

    return [Name(join(fs), _form(stem(name), level), _form(name, level)) for fs, name in files]


def _form(text: str, level: int) -> str:
    if level > 0:
        text = text.casefold()
    if level > 1:
        text = _PADDING.sub("", text)
    if level > 2:
        text = SEPARATORS.sub("_", text).strip("_")
    return text


def by_key(
    keys: Iterable[tuple[str, str]], numbers: Iterable[int] | None = None
) -> dict[tuple[str, str], list[int]]:
    """The numbers of all names of a key; without `numbers` they are counted from 0."""
    index: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, key in zip(count() if numbers is None else numbers, keys, strict=False):
        index[key].append(i)
    return index


def stem(name: str) -> str:
    """The file's name without folders and without its last suffix."""
    return name.rsplit("/", 1)[-1].rpartition(".")[0] or name.rsplit("/", 1)[-1]


def words(text: str) -> list[tuple[int, int]]:
    """Where the words and numbers of a name begin and end; `labelIds` is two words."""
    spans: list[tuple[int, int]] = []
    for word in _WORD.finditer(text):
        begin = word.start()
        for hump in _HUMP.finditer(word[0]):
            spans.append((begin, word.start() + hump.start()))
            begin = word.start() + hump.start()
        spans.append((begin, word.end()))
    return spans


def cuts(text: str, lengths: set[int]) -> Iterator[tuple[int, int]]:
    """The parts of a name, but for the whole, that cut no word and have one of these lengths."""
    inner = {i for begin, end in words(text) for i in range(begin + 1, end)}
    borders = [i for i in range(len(text) + 1) if i not in inner]
    for begin in borders:
        if begin and text[begin - 1].isdigit():
            continue
        ends = [begin + n for n in lengths] if len(lengths) < len(borders) else borders
        for end in ends:
            is_part = begin < end <= len(text) and end - begin < len(text)
            if is_part and end not in inner and end - begin in lengths:
                yield begin, end


def numbers_in(text: str) -> str:
    """The numbers of a text, without zeros before them."""
    return " ".join(number.lstrip("0") or "0" for number in _DIGITS.findall(text))
