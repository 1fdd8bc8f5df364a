"""Writes `dataset.yaml` with what was inferred of a data folder, commented, ready to be edited."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from semiseg.core.reading import AS_STORED, Reading
from semiseg.core.text import plural, wrap
from semiseg.core.types import Sample
from semiseg.data.classes.classes_writer import scalar
from semiseg.data.dataset import Dataset
from semiseg.data.groups import POOL
from semiseg.data.tree import SPLITS

_Value = TypeVar("_Value")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a new `dataset.yaml` says.

    Attributes:
        images: the folder of the images of each split, relative to the data folder or absolute;
            empty to have it recognized.
        masks: the folder of the masks of each split, likewise.
        unlabeled: the folder of further images without masks; empty to have it recognized.
        classes: the file that names the classes; empty to have them inferred.
        group: the regular expression that finds the group of an image; None without groups.
        reading: how images are read, as far as a person chose it.
        bands: the bands that are read, by number or name, if a person chose them.
        rgb: the bands that are red, green and blue, likewise.
        exif: `apply` or `ignore`; None to find it out.
        rasters: the keys on tiles and polygons of large rasters that a person chose.
        dataset: the published data set; None to recognize it.
    """

    images: Mapping[str, str]
    masks: Mapping[str, str]
    unlabeled: str = ""
    classes: str = ""
    group: str | None = None
    reading: Reading = AS_STORED
    bands: Sequence[int | str] | None = None
    rgb: Sequence[int | str] | None = None
    exif: str | None = None
    rasters: Mapping[str, str | int] = field(default_factory=dict)
    dataset: str | None = None


def infer_folders(
    data: Dataset, elsewhere: Sequence[Path] = ()
) -> tuple[dict[str, str], dict[str, str], str]:
    """The folders of images and masks of each split, and that of the unlabeled images.

    Names of images are paths below the folder of their split, so that they show the folder. What
    does not follow from names and paths is empty; so is what lies outside of the data folder, such
    as masks that were drawn into the cache.

    Args:
        data: the data folder.
        elsewhere: folders outside of it that may be named.
    """
    images: dict[str, str] = {}
    masks: dict[str, str] = {}
    for split in SPLITS:
        samples = data.samples[split]
        if not samples:
            continue
        folder = _folder({s.image: s.name for s in samples})
        marked = {s.mask: s.name for s in samples if s.mask is not None}
        folder_of_masks = _folder_of_masks(marked) if marked else folder
        if folder is None or folder_of_masks is None:
            return {}, {}, ""
        places = folder.absolute(), folder_of_masks.absolute()
        allowed = (data.root.absolute(), *elsewhere)
        if not all(any(p.is_relative_to(a) for a in allowed) for p in places):
            return {}, {}, ""
        images[split], masks[split] = (_below(data.root, f) for f in (folder, folder_of_masks))
    pool = {s.image: s.name.removeprefix(POOL) for s in data.samples["unlabeled"]}
    place = _folder(pool) if pool else None
    return images, masks, "" if place is None else _below(data.root, place)


def dataset_text(draft: Draft, data: Dataset) -> str:
    """The lines of `dataset.yaml`.

    Args:
        draft: what they say.
        data: the data folder, for the comments.
    """
    parts = [
        "# How semiseg reads this folder. Written by `semiseg init`; edit it freely.\n"
        "# Paths are relative to this folder. `semiseg check` shows what is read.",
        _folders_text(draft, data),
        _unlabeled_text(draft, data),
        _classes_text(draft, data),
        _key(
            "Images in whose names this regular expression finds the same text, such as the "
            "patient or the video, stay in one split. A name is the path below the folder of the "
            "images.",
            "group",
            draft.group,
            "^(.*?)_",
        ),
        _key(
            "The values that become black and white in images of more than 8 bits; or two for each "
            "band of images with other than one or three.",
            "value_range",
            _range(draft.reading),
            _range(data.reading) or [0, 4095],
        ),
        _key(
            "The bands of TIFF files that are read, counted from 1 or by name; without it, all.",
            "bands",
            _as_list(draft.bands),
            _as_list(data.reading.bands) or [3, 2, 1],
        ),
        _key(
            "The bands that are red, green and blue in images of more bands.",
            "rgb",
            _as_list(draft.rgb),
            _as_list(data.reading.rgb) or [3, 2, 1],
        ),
        _key(
            "The values that mark pixels without data.",
            "nodata",
            _as_list(draft.reading.nodata),
            [-9999],
        ),
        _key(
            "The axes of TIFFs of several pages and of NIfTI files, where the files do not say "
            "what they are; C numbers the bands of an image.",
            "axes",
            draft.reading.axes,
            "CYX",
        ),
        _key(
            "Whether masks show photographs as their EXIF data turns them (apply), or as they are "
            "stored (ignore).",
            "exif",
            draft.exif,
            "apply",
        ),
        "\n".join(f"{key}: {scalar(value)}" for key, value in draft.rasters.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _folders_text(draft: Draft, data: Dataset) -> str:
    notes = [f.message for f in data.findings if f.kind == "layout" and f.severity == "note"]
    about = "\n".join(_comment(f"{note}.") for note in notes)
    counts = {split: _comment_of(data.samples[split]) for split in SPLITS if data.samples[split]}
    if not draft.images:
        example = "# images: photos    # or {train: photos/a, val: photos/b}\n# masks: annotated"
        totals = "; ".join(f"{split}: {count}" for split, count in counts.items())
        text = _comment(
            f"semiseg recognizes where images and masks lie ({totals}). Name folders here only to "
            "have others read."
        )
        if draft.dataset:
            text = f"dataset: {scalar(draft.dataset)}\n{text}"
        return "\n".join(part for part in (about, text, example) if part)
    lines = [about] if about else []
    lines.append(_comment("The folders of the images and of their masks."))
    for key, folders in (("images", draft.images), ("masks", draft.masks)):
        if list(folders) == ["train"]:
            count = f"  # {counts['train']}" if key == "images" else ""
            lines.append(f"{key}: {scalar(folders['train'])}{count}")
            continue
        lines.append(f"{key}:")
        for split, folder in folders.items():
            count = f"  # {counts[split]}" if key == "images" else ""
            lines.append(f"  {split}: {scalar(folder)}{count}")
    return "\n".join(lines)


def _unlabeled_text(draft: Draft, data: Dataset) -> str:
    title = _comment("Further images without masks; a folder or a list of folders.")
    if draft.unlabeled:
        pool = data.samples["unlabeled"] if data.pool is None else data.pool.pool
        count = plural(len(pool), "image")
        return f"{title}\nunlabeled: {scalar(draft.unlabeled)}  # {count}"
    return f"{title}\n# unlabeled: pool"


def _classes_text(draft: Draft, data: Dataset) -> str:
    title = _comment("The names, ids and colors of the classes.")
    if draft.classes:
        names = ", ".join(data.class_list.names[:8]) if data.class_list else ""
        count = f"{plural(len(data.classes), 'class', 'classes')}: " if names else ""
        more = ", ..." if data.class_list and len(data.class_list) > 8 else ""
        return f"{title}\nclasses: {scalar(draft.classes)}  # {_one_line(count + names + more)}"
    about = f"\n{_comment(f'Without this line: {data.inferred}.')}" if data.class_list else ""
    return f"{title}{about}\n# classes: classes.yaml"


def _key(title: str, key: str, value: object, example: object) -> str:
    """A key with its comment; without a value it is a comment too, with an example."""
    line = f"{key}: {scalar(example if value is None else value)}"
    return f"{_comment(title)}\n{'# ' if value is None else ''}{line}"


def _range(reading: Reading) -> list[float] | None:
    """The range of all bands, or those of each band one after the other."""
    if reading.ranges is not None:
        return [end for ends in reading.ranges for end in ends]
    return _as_list(reading.value_range)


def _as_list(values: Sequence[_Value] | None) -> list[_Value] | None:
    return None if values is None else list(values)


def _comment(text: str) -> str:
    return wrap(_one_line(text), "# ").replace("\n  ", "\n# ")


def _comment_of(samples: Sequence[Sample]) -> str:
    labeled = sum(sample.mask is not None for sample in samples)
    return f"{plural(len(samples), 'image')}, {labeled} with masks"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _folder(names: Mapping[Path, str]) -> Path | None:
    """The folder below which files have these names; None if it is not the same for all."""
    folders = set()
    for path, name in names.items():
        depth = name.count("/")
        if depth >= len(path.parents):
            return None
        folders.add(path.parents[depth])
    return folders.pop() if len(folders) == 1 else None


def _folder_of_masks(names: Mapping[Path, str]) -> Path | None:
    """The folder of masks, below which they lie as their images do, or else all of them."""
    folder = _folder(names)
    if folder is not None:
        return folder
    parents = {path.parent for path in names}
    try:
        return Path(os.path.commonpath(parents))
    except ValueError:
        return None


def _below(root: Path, folder: Path) -> str:
    path = folder.relative_to(root) if folder.is_relative_to(root) else folder.absolute()
    return path.as_posix()
