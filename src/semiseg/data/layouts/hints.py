"""What to do with a data folder whose layout is unclear: advice that works as it is printed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image

from semiseg.core import shell
from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.data.findings import Finding, error_of, note
from semiseg.data.formats.image_formats import IMAGE_SUFFIXES
from semiseg.data.formats.images import read_header
from semiseg.data.formats.stems import stem
from semiseg.data.layouts.families import Family, Place
from semiseg.data.layouts.folder_readings import Reading
from semiseg.data.layouts.folders import FolderSplits
from semiseg.data.layouts.list_files import run_length_table
from semiseg.data.pairing.beside import PHOTOGRAPHS
from semiseg.data.tree import SPLITS, Tree

EXPECTED = (
    "Expected DATA/train/images and DATA/train/masks (a mask has its image's name), or DATA/images "
    "and DATA/masks, or NAME_mask.png beside NAME.jpg; the page Your data of the documentation "
    "shows the other layouts. Or name the folders: "
)
_MAX_OPENED = 3  # images without masks whose headers are read
_MAX_SHOWN = 8  # names in the data folder
_MAX_COMPARED = 8  # pairs of folders whose first files are opened
_SIDE = 1024  # of the part of a file that is compared, in pixels
_MIN_EQUAL = 0.5  # of the pixels of a mask equal their left neighbor
_CANONICAL = ("images", "masks", *SPLITS)


def reading_note(splits: FolderSplits, split: str) -> list[Finding]:
    """Which folders are read, with an example pair; nothing where it goes without saying.

    Args:
        splits: of the data folder.
        split: `train`, `val` or `test`.
    """
    choice = splits.choice(split)
    findings = []
    for reading in choice.readings:
        if reading.masks is None or reading.example is None:
            continue
        image, mask = reading.example
        names = {*reading.images.pattern.split("/"), *reading.masks.pattern.split("/")}
        is_plain = names <= set(_CANONICAL) and stem(image) == stem(mask)
        if is_plain or reading.images.pattern == reading.masks.pattern:
            continue
        images, masks = splits.place(reading), splits.describe(reading.masks)
        below = [path.relative_to(splits.tree.root) for path in (mask, image)]
        pair = f" ({' belongs to '.join(path.as_posix() for path in below)})"
        if reading.matched and reading.matched.findings:  # which give an example, too
            pair = ""
        findings.append(note(f"{split}: images in {images}, masks in {masks}{pair}"))
    readings = [reading for part in SPLITS for reading in splits.choice(part).readings]
    mask_families = [reading.masks for reading in readings if reading.masks is not None]
    passed_over = [family for family in choice.passed_over if family not in mask_families]
    ignored = [splits.describe(family) for family in passed_over]
    if ignored:
        mask_folders = ", ".join(splits.describe(reading.masks) for reading in choice.readings)
        are = "is" if len(ignored) == 1 else "are"
        findings.append(note(f"{', '.join(ignored)} {are} ignored, because {mask_folders} is read"))
    return findings


def mask_remedy(splits: FolderSplits) -> str:
    """What to do if no image to train on has a mask; empty if there is no image."""
    readings = splits.choice("train").readings
    images = [path for reading in readings for path in reading.images.images]
    if not images or any(reading.labeled for reading in readings):
        return ""
    root = splits.tree.root
    table = run_length_table(splits.tree)
    if table is not None:
        return _draw_run_lengths(*table, root)
    reading = readings[0]
    stems = {stem(path) for path in images}
    others = [f for f in splits.families if f is not reading.images and f.split in ("train", "")]
    folders = {
        (family.content and family.base(root)) or place.folder: family.is_secondary
        for family in others
        for place in family.places
        if any(stem(path) in stems for path in (*place.images, *place.json_files))
    }
    candidates = sorted(folders, key=lambda path: (folders[path], path))[:_MAX_SHOWN]
    if candidates:
        below = [path.relative_to(root).as_posix() for path in candidates]
        flags = splits.flags(reading).partition(" --masks")[0]
        advice = " or ".join(f"`{flags} --masks {shell.quote(name)}`" for name in below)
        if len(candidates) == 1:
            return (
                f"{candidates[0]} holds files of the images' names. If they are the masks, add "
                f"{advice} to the command."
            )
        return (
            f"{', '.join(below)} hold files of the images' names. If one of these folders holds "
            f"the masks, add {advice} to the command."
        )
    folder = reading.images.base(root) or root
    target = folder.with_name("masks") if folder.name == "images" else root / "masks"
    return f"Put masks into {target}; a mask has its image's name. {_choose_first(root)}"


def _choose_first(root: Path) -> str:
    """How to find out which images to label, if there is no mask yet."""
    command = shell.join(["semiseg", "suggest", str(root)])
    return f"If there are none yet: `{command}` chooses the images to label first."


def _draw_run_lengths(path: Path, column: str, root: Path) -> str:
    return (
        f"{path} holds run-length codes ({column}, RLE), which semiseg does not read from a "
        f"CSV file: draw them as PNG masks into {root / 'masks'}, each with its image's name."
    )


def nothing_to_train_on(tree: Tree, families: Sequence[Family], lists: Sequence[str]) -> Finding:
    """The error for a folder without images to train on.

    Args:
        tree: the data folder.
        families: the families of the data folder.
        lists: the names of the lists that are in it, such as `val.txt`.
    """
    root = tree.root
    if lists:
        return note(
            f"{root} holds {', '.join(lists)}, but no train.txt: no image is listed to train on",
            "Write one, with an image and its mask a line, or remove the other lists.",
            "error",
        )
    names = sorted(
        name + "/" * tree.is_folder(root / name) for name in tree.entries(root) if name[0] != "."
    )
    files = ", ".join(names[:_MAX_SHOWN]) + (", ..." if len(names) > _MAX_SHOWN else "")
    scored = _only_scored(tree, families)
    if scored is not None:
        return scored
    twins = same_names(family for family in families if family.split in ("train", ""))
    if twins is not None:
        below = [place.folder.relative_to(root).as_posix() for place in twins]
        images, masks = map(shell.quote, below)
        return note(
            f"It is unclear which files of {root} are masks: {below[0]} and {below[1]} hold files "
            "of the same names",
            f"If these are images and masks: `semiseg check {shell.quote(str(root))} --images "
            f"{images} --masks {masks}`; the other commands take the same flags.",
            "error",
        )
    table = run_length_table(tree)
    if table is not None and any(family.images for family in families):
        return note(f"{root} holds no masks", _draw_run_lengths(*table, root), "error")
    pictures = tree.images(root, deep=False)
    if pictures and not any(name.endswith("/") for name in names):
        for path in pictures[:_MAX_OPENED]:
            try:
                read_header(path)
            except DataError as error:  # a stack, for example, explains why nothing fits
                return error_of(error)
        return note(
            f"{root} holds images ({files}), but none has a mask beside it: LabelMe's JSON of its "
            "name, or NAME_mask.png",
            f"Draw some, or put the masks there or into {root / 'masks'}. {_choose_first(root)}",
            "error",
        )
    counts = [
        f"{plural(len(family.images), 'image')} in {family.describe() or '.'}"
        for family in families
        if family.images
    ]
    suffixes = f" Images have the suffixes {', '.join(IMAGE_SUFFIXES)}." if not counts else ""
    holds = f" ({', '.join(counts[:_MAX_SHOWN])})" if counts else ""
    return note(
        f"{root / 'train' / 'images'} holds no images, and there is no other folder of training "
        f"images: {root} holds {files or 'nothing'}{holds}",
        f"{EXPECTED}`semiseg check {shell.quote(str(root))} --images DIR --masks DIR`.{suffixes}",
        "error",
    )


def _only_scored(tree: Tree, families: Sequence[Family]) -> Finding | None:
    """The error for labeled images of val or test without any to train on."""
    root, splits = tree.root, FolderSplits(tree, families)
    for split in SPLITS[1:]:
        readings = [reading for reading in splits.choice(split).readings if reading.labeled]
        if len(readings) != 1:
            continue
        place, flags = splits.place(readings[0]), splits.flags(readings[0])
        advice = f"semiseg check {shell.quote(str(root))} {flags}"
        advice = f"To train on those of {split}: `{advice}`; the other commands take the same flags"
        if "*" in place:
            advice = f"To train on those of {split}, rename their folders to `train`"
        return note(
            f"{root} holds {plural(len(readings[0].labeled), 'labeled image')} of {split} ({place}"
            "), but none to train on",
            f"{advice}. Or put images to train on into {root / 'train' / 'images'} and their masks "
            f"into {root / 'train' / 'masks'}.",
            "error",
        )
    return None


def same_names(families: Iterable[Family]) -> tuple[Place, Place] | None:
    """The two folders that share the most names of files, the likely images first.

    Two folders of photographs, such as those of two cameras, are none.
    """
    places = [place for family in families for place in family.places]
    holders: dict[str, list[int]] = defaultdict(list)
    for i, place in enumerate(places):
        for name in {stem(path) for path in (*place.images, *place.json_files)}:
            holders[name].append(i)
    shared = Counter(pair for indices in holders.values() for pair in combinations(indices[:9], 2))
    order = sorted(shared, key=lambda pair: (shared[pair], pair), reverse=True)
    for pair in order[:_MAX_COMPARED]:
        images, masks = sorted((places[i] for i in pair), key=_seems_mask)
        kinds = [seems_drawn(place) for place in (images, masks)]
        if kinds[0] and not kinds[1]:
            images, masks = masks, images
        if any(kinds):
            return images, masks
    return None


def seems_drawn(place: Place) -> bool:
    """Whether the first file of a folder may be a mask: most neighboring pixels are equal."""
    if not place.images:
        return True
    try:
        with Image.open(place.images[0]) as image:
            part = min(image.width, _SIDE), min(image.height, _SIDE)
            pixels = np.asarray(image.crop((0, 0, *part)))
    except (
        OSError,
        ValueError,
        Image.DecompressionBombError,
    ):  # it cannot be read, so it may be a mask
        return True
    equal = pixels[:, 1:] == pixels[:, :-1]
    return bool(equal.all(axis=tuple(range(2, pixels.ndim))).mean() > _MIN_EQUAL)


def _seems_mask(place: Place) -> tuple[bool, int]:
    """Sorts folders of photographs before others, and deep folders before the root."""
    lossy = all(path.suffix.lower() in PHOTOGRAPHS for path in place.images)
    return not (lossy and place.images), -len(place.folder.parts)


def where_to_move(tree: Tree, readings: Sequence[Reading]) -> str:
    """What to do with images in folders that are not read.

    Args:
        tree: the data folder.
        readings: of the images to train on.
    """
    root = tree.root
    base = readings[0].images.base(root) if len(readings) == 1 else None
    if base is None or not readings[0].images.content:
        labeled = f"Move those with masks into {root / 'train' / 'images'} and "
        labeled += f"{root / 'train' / 'masks'}"
    else:
        labeled = f"Put those to learn from into {base}"
    return f"{labeled}, or those without masks into {root / 'unlabeled'}."
