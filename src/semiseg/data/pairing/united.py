"""Several masks of one image become one: objects are united, files of classes get class ids."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from semiseg.core import shell
from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.drawn import draw_masks
from semiseg.data.findings import Finding, note, on_files
from semiseg.data.formats.codes import read_codes
from semiseg.data.formats.mask_files import Codes
from semiseg.data.formats.mask_rule import TRANSPARENT, MaskRule, channels
from semiseg.data.pairing.inner_names import ROLE_WORDS

BACKGROUND = "background"
_BACKGROUNDS = (BACKGROUND, "bg", "backgrd")
_MAX_WORDS = 64  # classes with a file each
_MAX_VALUES = 20  # a mask with more values has blurred edges, not many classes
_MAX_COMPARED = 12  # images, and masks of one image, that are compared
_MAX_SHARED = 0.5  # the part of a class that another one may cover before they are doubtful
_HIGHEST_BYTE = 255
_CLASS_IDS = ("labelids", "labeltrainids")  # Cityscapes' files of class ids, the first one counts
_OF_CITYSCAPES = (*_CLASS_IDS, "instanceids", "instancetrainids", "color", "invids", "invgray")
_WORD = re.compile(r"[^\W\d_]+")


class United(NamedTuple):
    """The masks of images, one each.

    Attributes:
        masks: by the image's name.
        findings: what was done, or the error that hinders it.
        class_names: the classes of the masks that were drawn, by index; empty if the masks' own
            values are the classes.
    """

    masks: dict[str, Path]
    findings: list[Finding]
    class_names: tuple[str, ...] = ()


def unite(
    root: Path,
    images: Mapping[str, Path],
    masks: Mapping[str, Sequence[Path]],
    variants: Mapping[Path, str],
    class_names: tuple[str, ...] = (),
) -> United:
    """One mask for each image.

    Args:
        root: the data folder.
        images: by their names.
        masks: those of each image, by the image's name; one at least.
        variants: what each mask's name says besides its image's.
        class_names: the classes that the names of the masks of another split say; else empty.
    """
    several = {name: paths for name, paths in masks.items() if len(paths) > 1}
    single = {name: paths[0] for name, paths in masks.items() if len(paths) == 1}
    if not several and not class_names:
        return United(single, [])
    class_id_masks = _of_class_ids(several, variants)
    if several and class_id_masks is not None:
        ignored = sum(map(len, several.values())) - len(class_id_masks)
        text = plural(ignored, "file of instances or colors is", "files of instances or colors are")
        example = next(iter(class_id_masks.values()), root).name
        finding = note(f"{text} ignored beside the masks of class ids (such as {example})")
        return United({**single, **class_id_masks}, [finding])
    rivals = _rivals(images, several, variants)
    if rivals is not None:
        return United({**single, **{n: paths[0] for n, paths in several.items()}}, [rivals])
    words = {path: _words(variants.get(path, "")) for paths in masks.values() for path in paths}
    try:
        names = class_names or _class_names(root, several, words)
        if names:
            return _draw_classes(root, masks, words, names)
        if _choice_of_folder(root, images, several):
            raise DataError(
                f"{_names(root, next(iter(several.values())))} are masks of one image in folders "
                "of their own, and it is unclear whether these are classes or the work of several "
                "people.",
            )
        return _draw_objects(root, single, several)
    except DataError as error:
        remedy = _choice_of_folder(root, images, several) or error.remedy
        finding = Finding("several-masks", "error", (), error.message.rstrip("."), remedy)
        return United({**single, **{n: paths[0] for n, paths in several.items()}}, [finding])


def _choice_of_folder(
    root: Path, images: Mapping[str, Path], several: Mapping[str, Sequence[Path]]
) -> str:
    """The advice to name one folder, where each mask of an image lies in a folder of its own."""
    folders: dict[Path, None] = {}
    for paths in several.values():
        theirs = [path.parent for path in paths]
        if len(set(theirs)) < len(theirs):
            return ""
        folders |= dict.fromkeys(theirs)
    if not folders or len(folders) > max(map(len, several.values())):
        return ""
    photos = Path(os.path.commonpath([images[name].parent for name in several]))
    image_folder, *mask_folders = (
        shell.quote(folder.relative_to(root).as_posix()) for folder in (photos, *folders)
    )
    check = f"semiseg check {shell.quote(str(root))} --images {image_folder} --masks"
    commands = " or ".join(f"`{check} {name}`" for name in mask_folders)
    same = "the other commands take the same flags"
    classes = "If the folders are classes, name them in letters alone."
    return f"If one of the folders holds the masks: {commands}; {same}. {classes}"


def _of_class_ids(
    several: Mapping[str, Sequence[Path]], variants: Mapping[Path, str]
) -> dict[str, Path] | None:
    """The masks of class ids, where all others beside them are those of Cityscapes."""
    class_id_masks: dict[str, Path] = {}
    for name, paths in several.items():
        kinds = {path: variants.get(path, "").replace(" ", "").casefold() for path in paths}
        ids = [path for end in _CLASS_IDS for path, kind in kinds.items() if kind.endswith(end)]
        ids = ids[:1]
        if not ids or not all(kind.endswith(_OF_CITYSCAPES) for kind in kinds.values()):
            return None
        class_id_masks[name] = ids[0]
    return class_id_masks


def _rivals(
    images: Mapping[str, Path], several: Mapping[str, Sequence[Path]], variants: Mapping[Path, str]
) -> Finding | None:
    """The error for masks of one image whose names say the same in other words: `_gt`, `_mask`."""
    for name, paths in several.items():
        texts = [variants.get(path, "").casefold().split() for path in paths]
        roles = {tuple(word for word in text if not word.isdigit()) for text in texts}
        if len(roles) > 1 and all(set(words) <= ROLE_WORDS for words in roles):
            return Finding(
                "several-masks",
                "error",
                (),
                f"{paths[0]} and {paths[1]} may both be the mask of {images[name]}",
                "Remove one, or give the right one the image's name.",
            )
    return None


def _words(variant: str) -> str:
    """The words of a variant that do not say `mask`; nothing if it is a number or a code."""
    words = variant.casefold().split()
    words = [word for word in words if word not in ROLE_WORDS]
    if words and words[-1].isdigit():
        words = words[:-1]
    return " ".join(words) if all(_WORD.fullmatch(word) for word in words) else ""


def _class_names(
    root: Path, several: Mapping[str, Sequence[Path]], words: Mapping[Path, str]
) -> tuple[str, ...]:
    """The classes that the names of masks say; empty if they are objects of one kind.

    Raises:
        DataError: it is unclear which of the two they are.
    """
    counts = Counter(words[path] for paths in several.values() for path in paths)
    class_words = [word for word in counts if len(word) > 1]
    if not class_words:
        return ()
    repeated = [word for word in class_words if counts[word] > 1]
    unique = all(len({words[p] for p in paths}) == len(paths) for paths in several.values())
    is_one = len(several) == 1
    if "" not in counts and unique and len(class_words) == len(counts) <= _MAX_WORDS:
        if is_one or len(repeated) == len(class_words):
            others = [word for word in sorted(class_words) if word not in _BACKGROUNDS]
            if others:
                return (BACKGROUND, *others)
        if not repeated:  # codes of objects, made of letters
            return ()
    if not repeated and not is_one:
        return ()
    paths = next(iter(several.values()))
    raise DataError(
        f"{_names(root, paths)} are masks of one image, and it is unclear whether they are "
        "classes, objects or the work of several people.",
        "For classes, end the name of each file in its class, for all images: NAME_crop.png, "
        "NAME_weed.png; number objects of one kind: NAME_mask_1.png, NAME_mask_2.png; of other "
        "files keep one an image.",
    )


def _draw_classes(
    root: Path,
    masks: Mapping[str, Sequence[Path]],
    words: Mapping[Path, str],
    names: tuple[str, ...],
) -> United:
    """Draw the files of classes into masks of class ids."""

    def draw(name: str, paths: Sequence[Path]) -> Image.Image:
        areas = {}
        for path in paths:
            codes = _binary(path)
            if words[path] in names[1:]:  # what is no class covers the rest
                areas[names.index(words[path])] = codes.values != 0
        _refuse_other_sizes(paths, [area.shape for area in areas.values()])
        values = np.zeros(next(iter(areas.values())).shape, np.uint8) if areas else None
        if values is None:
            raise DataError(f"{paths[0]} is the background alone.", "Add the masks of classes.")
        for index, area in sorted(areas.items()):
            hidden = np.count_nonzero(values[area]) if area.any() else 0
            others = np.count_nonzero(values)
            if hidden > _MAX_SHARED * max(others, np.count_nonzero(area)):
                raise DataError(
                    f"{_names(root, paths)} cover each other almost wholly: they look like the "
                    f"work of several people on {name}, not like classes.",
                    "Keep one mask for each image.",
                )
            values[area] = index
        return Image.fromarray(values)

    for path in (path for paths in masks.values() for path in paths):
        if words[path] not in (*names, *_BACKGROUNDS):
            raise DataError(
                f"{path}: the name says no class, but those of other masks do: "
                f"{', '.join(names[1:])}.",
                "End the name of each mask in its class.",
            )
    folder = _draw(root, masks, "classes", draw, "\n".join(names))
    class_masks = {name: folder / f"{name}.png" for name in masks}
    example = _names(root, max(masks.values(), key=len))
    message = (
        f"The masks of {plural(len(masks), 'image')} are one file for each class, and the files' "
        f"names are the classes: {', '.join(names[1:])} ({example}). They are united; where they "
        "overlap, the later name counts"
    )
    remedy = "If they are no classes, keep one mask for each image."
    return United(class_masks, [Finding("several-masks", "note", (), message, remedy)], names)


def _draw_objects(
    root: Path, single: Mapping[str, Path], several: Mapping[str, Sequence[Path]]
) -> United:
    """Unite masks of single objects."""

    def draw(_: str, paths: Sequence[Path]) -> Image.Image:
        codes = [_binary(path) for path in paths]
        if len({code.encoding for code in codes}) > 1:
            raise DataError(
                f"{_names(root, paths)} are masks of one image, some of colors and some of ids.",
                "Save all of them in one way.",
            )
        _refuse_other_sizes(paths, [code.values.shape for code in codes])
        values = codes[0].values.copy()
        for code in codes[1:]:
            values = np.maximum(values, code.values)
        return _image(values, codes[0])

    _refuse_alike(root, several)
    folder = _draw(root, several, "united", draw, "")
    object_masks = {name: folder / f"{name}.png" for name in several}
    details = {
        paths[0].relative_to(root).as_posix(): "".join(f" + {p.name}" for p in paths[1:3])
        + (f" + {len(paths) - 3} more" if len(paths) > 3 else "")
        for paths in several.values()
    }
    masks = sum(map(len, several.values()))
    message = (
        f"{masks} masks of {plural(len(several), 'image')} are united, because these images have "
        "several"
    )
    remedy = "If they are the work of several people, keep one mask for each image."
    findings = on_files("several-masks", "warning", details, message, remedy)
    return United({**single, **object_masks}, findings)


def _refuse_alike(root: Path, several: Mapping[str, Sequence[Path]]) -> None:
    """Refuse masks that show the same objects: two people drew them, or one tool twice.

    Raises:
        DataError: in most of a few images, two masks cover the same pixels.
    """
    sampled = [*several.values()][:: -(-len(several) // _MAX_COMPARED)]
    alike = [pair for paths in sampled if (pair := _first_alike(paths[:_MAX_COMPARED]))]
    if 2 * len(alike) <= len(sampled):
        return
    first, second = (path.relative_to(root).as_posix() for path in alike[0])
    ends = [_end(path.stem, other.stem) for path, other in (alike[0], alike[0][::-1])]
    examples = f"those whose names end in `{ends[1]}`" if all(ends) else f"{second} and its like"
    raise DataError(
        f"{first} and {second} are masks of one image and cover the same pixels, as in "
        f"{len(alike)} of {plural(len(sampled), 'image')} that were compared: they look like the "
        "work of several people, not like several objects.",
        f"Keep one mask for each image: move the others, such as {examples}, out of {root}; or put "
        "each kind into a folder of its own and name one of them with --masks.",
    )


def _first_alike(paths: Sequence[Path]) -> tuple[Path, Path] | None:
    """The first two masks of an image that cover mostly the same pixels."""
    areas = {path: _binary(path).values != 0 for path in paths}
    _refuse_other_sizes(paths, [area.shape for area in areas.values()])
    for first, second in combinations(paths, 2):
        common = np.count_nonzero(areas[first] & areas[second])
        if common > _MAX_SHARED * np.count_nonzero(areas[first] | areas[second]):
            return first, second
    return None


def _end(stem: str, other: str) -> str:
    """The end of a name from the word on in which it differs from another one."""
    length = next((i for i, (a, b) in enumerate(zip(stem, other, strict=False)) if a != b), 0)
    start = max(stem.rfind("_", 0, length + 1), stem.rfind("-", 0, length + 1))
    return stem[start:] if start > 0 else stem[length:]


def _draw(
    root: Path,
    masks: Mapping[str, Sequence[Path]],
    kind: str,
    draw: Callable[[str, Sequence[Path]], Image.Image],
    detail: str,
) -> Path:
    def draw_all(folder: Path) -> None:
        for name, paths in masks.items():
            target = folder / f"{name}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            draw(name, paths).save(target)

    sources = [path for paths in masks.values() for path in paths]
    names = "\n".join(f"{name} {len(paths)}" for name, paths in masks.items())
    return draw_masks(root, sources, kind, draw_all, f"{detail}\n{names}")


def _binary(path: Path) -> Codes:
    """The codes of a mask of one object or one class.

    Raises:
        DataError: it cannot be read, or holds several classes.
    """
    codes = read_codes(path, MaskRule(transparent="background"))
    pixels = np.where(codes.values < TRANSPARENT, codes.values, 0)  # without a value: no object
    if codes.lossy:  # one object is black and white, apart from the noise of JPEG
        gray = channels(pixels, codes.encoding).max(axis=-1)
        white = _HIGHEST_BYTE if codes.encoding == "ids" else 0xFFFFFF
        pixels = np.where(gray > _HIGHEST_BYTE / 2, white, 0)
    codes = codes._replace(values=pixels.astype(np.int32))
    values = np.unique(codes.values)
    if 1 < np.count_nonzero(values) <= _MAX_VALUES or codes.encoding == "labels":
        raise DataError(
            f"{path} is one of several masks of its image, and holds several classes itself.",
            "Keep one mask for each image.",
        )
    return codes


def _image(values: NDArray[np.int32], like: Codes) -> Image.Image:
    if like.encoding == "colors":
        channels = [values >> 16 & 255, values >> 8 & 255, values & 255]
        return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))
    if values.max(initial=0) > _HIGHEST_BYTE:
        return Image.fromarray(values.astype(np.uint16))
    image = Image.fromarray(values.astype(np.uint8))
    if like.palette:
        image.putpalette(list(like.palette))
    return image


def _refuse_other_sizes(paths: Sequence[Path], shapes: Sequence[tuple[int, ...]]) -> None:
    for path, shape in zip(paths, shapes, strict=False):
        if shape != shapes[0]:
            raise DataError(
                f"{path} is {shape[1]} x {shape[0]} pixels large, but {paths[0]}, a mask of the "
                f"same image, {shapes[0][1]} x {shapes[0][0]}.",
                "Save them in one size.",
            )


def _names(root: Path, paths: Sequence[Path]) -> str:
    names = [path.relative_to(root).as_posix() for path in paths[:3]]
    return ", ".join(names) + (", ..." if len(paths) > 3 else "")
