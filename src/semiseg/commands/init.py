"""`init`: write down how semiseg reads a data folder, so that a person can change it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from semiseg.commands._public import command
from semiseg.commands.settings.folders import InitSettings
from semiseg.config.settings import AUTO
from semiseg.core import shell
from semiseg.core.addresses import without_secrets
from semiseg.core.console import progress
from semiseg.core.errors import DataError, RunError
from semiseg.core.files import write_bytes
from semiseg.core.text import percent, plural
from semiseg.core.types import Sample
from semiseg.data.classes.classes_file import DATASET_FILES
from semiseg.data.classes.classes_writer import classes_text
from semiseg.data.dataset import Dataset
from semiseg.data.dataset_file import Content, read_dataset_file
from semiseg.data.dataset_file_writer import Draft, dataset_text, infer_folders
from semiseg.data.pools.pool import Pool
from semiseg.data.reader import read_dataset
from semiseg.data.tree import Tree

_CLASSES = "classes.yaml"
_FATAL = (
    *("layout", "duplicate-name", "shared-image", "dead-link", "no-masks"),
    *("ambiguous-mask", "several-masks"),
)
"""The kinds of errors after which it is unclear what lies where."""


class Written(NamedTuple):
    """The files that `init` wrote, and what they say.

    Attributes:
        data: the data folder.
        files: the files that were written.
        kept: files that say the same already and stay as they are.
        counts: the images with masks and those without, by split.
        classes: the names of the classes; empty if they could not be settled.
        errors: how many errors `check` finds.
    """

    data: Path
    files: Sequence[Path]
    kept: Sequence[Path]
    counts: Mapping[str, tuple[int, int]]
    classes: Sequence[str]
    errors: int

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        counts = {s: {"labeled": n, "unlabeled": m} for s, (n, m) in self.counts.items()}
        return {
            "data": str(self.data),
            "files": [str(path) for path in self.files],
            "kept": [str(path) for path in self.kept],
            "counts": counts,
            "classes": list(self.classes),
            "errors": self.errors,
        }

    def text(self) -> str:
        """The files, what is read, and what to do next."""
        lines = [f"written: {', '.join(map(str, self.files))}"]
        if self.kept:
            lines.append(f"kept: {', '.join(map(str, self.kept))}")
        for split, (labeled, unlabeled) in self.counts.items():
            lines.append(f"{split}: {labeled} with mask, {unlabeled} without")
        if self.classes:
            count = plural(len(self.classes), "class", "classes")
            lines.append(f"{count}: {', '.join(self.classes)}")
        if self.errors:
            lines.append(f"{plural(self.errors, 'error')} remain; semiseg check shows them.")
        command_line = shell.join(["semiseg", "check", str(self.data)])
        lines.append(f"Edit the files, and look at the result: {command_line}")
        return "\n".join(lines)


@command(InitSettings)
def init(settings: InitSettings) -> Written:
    """Write `dataset.yaml` and `classes.yaml` with what semiseg finds in a data folder.

    Unedited, they change nothing: the same images, masks and classes are read with them.

    Returns:
        The files, and what they say.

    Raises:
        DataError: it is unclear what lies where; the message says how to name it.
        RunError: the files exist, or cannot be written.
    """
    root = settings.data
    file = root / DATASET_FILES[0]
    existing = [path for path in (root / name for name in DATASET_FILES) if path.exists()]
    if existing and not settings.overwrite:
        raise RunError(f"{existing[0]} exists. Edit it, or replace it (--overwrite).")
    data = _read(settings)
    own_classes = _classes_to_keep(settings)
    for draft in _drafts(settings, data, own_classes):
        contents = {file: dataset_text(draft, data)}
        if draft.classes and own_classes is None:
            contents[root / _CLASSES] = classes_text(data.classes, _shares(data))
        if _write(contents, data, settings):
            return _result(data, list(contents), [] if own_classes is None else [own_classes])
    raise RunError(
        f"No {file.name} says what semiseg reads in {root}. Nothing was written; go on without it."
    )


def _classes_to_keep(settings: InitSettings) -> Path | None:
    """The file in the data folder that names the classes already; None to write one.

    Raises:
        RunError: there is such a file, but another one is to be read.
    """
    root, own = settings.data, settings.data / _CLASSES
    if settings.classes is not None and settings.classes.resolve().is_relative_to(root.resolve()):
        return root / settings.classes.resolve().relative_to(root.resolve())
    if not own.is_file() or settings.overwrite:
        return None
    if settings.classes is not None:
        raise RunError(f"{own} exists. Remove it, or replace it (--overwrite).")
    return own


def _read(settings: InitSettings) -> Dataset:
    """The data folder as it is read now.

    Raises:
        DataError: it is unclear what lies where.
    """
    root = settings.data
    dataset = None if settings.dataset == AUTO else settings.dataset
    with progress("reading the images and masks") as bar:
        data = read_dataset(
            root,
            classes_file=settings.classes,
            reading=settings.reading,
            dataset=dataset,
            flags=settings.arrangement,
            progress=bar.update,
        )
    problem = next((f for f in data.errors() if f.kind in _FATAL), None)
    if problem is None and data.samples["train"]:
        return data
    text = problem.text if problem else f"{root} holds no images to train on."
    raise DataError(
        f"{text} Nothing was written.",
        f"To name the folders: semiseg init {shell.quote(str(root))} --images DIR --masks DIR",
    )


def _drafts(settings: InitSettings, data: Dataset, own_classes: Path | None) -> Iterator[Draft]:
    """What the file may say, from the fullest version on."""
    own = read_dataset_file(Tree(settings.data))
    images, masks, pool = infer_folders(data, _elsewhere(settings, own.content))
    classes_path = Path(_CLASSES)
    if own_classes is not None:
        classes_path = own_classes.relative_to(settings.data)
    full = Draft(
        images=images,
        masks=masks,
        unlabeled=pool if data.pool is None else _pool_name(settings, own.content, data.pool.pool),
        classes=classes_path.as_posix() if data.class_list else "",
        group=data.group,
        reading=own.complete(settings.reading, settings.arrangement),
        bands=settings.bands or own.content.bands,
        rgb=settings.rgb or own.content.rgb,
        exif=settings.arrangement.exif or own.content.exif,
        rasters={
            key: value
            for key in ("tile", "class_attribute", "outside")
            for value in (getattr(own.content, key), getattr(settings.arrangement, key))
            if value is not None
        },
        dataset=own.content.dataset if settings.dataset == AUTO else settings.dataset,
    )
    bare = replace(full, images={}, masks={})
    for draft in (full, replace(full, unlabeled=""), bare, replace(bare, unlabeled="")):
        yield draft
        yield replace(draft, classes="")


def _pool_name(settings: InitSettings, own: Content, pool: Pool) -> str:
    """What a person calls the pool of unlabeled images, without a password."""
    name = settings.unlabeled or own.unlabeled
    if not name:  # it is the folder `unlabeled` of the data folder
        return pool.address.path.relative_to(settings.data).as_posix()
    return without_secrets(name if isinstance(name, str) else name[0])


def _elsewhere(settings: InitSettings, own: Content) -> list[Path]:
    """The folders outside of the data folder that a person named."""
    values: list[object] = [settings.images, settings.masks, settings.unlabeled]
    for value in (own.images, own.masks, own.unlabeled):
        if isinstance(value, Mapping):
            values += value.values()
        else:
            values += [value] if isinstance(value, str) else value or []
    root = settings.data.absolute()
    folders = [Path(os.path.normpath(root / str(name))) for name in values if name is not None]
    return [folder for folder in folders if not folder.is_relative_to(root)]


def _write(contents: Mapping[Path, str], data: Dataset, settings: InitSettings) -> bool:
    """Write files, if the folder is then read as before; otherwise leave it as it was.

    Raises:
        RunError: a file cannot be written.
    """
    before = {path: path.read_bytes() if path.is_file() else None for path in contents}
    same = False
    try:
        for path, text in contents.items():
            write_bytes(path, text.encode())
        same = _is_same(data, read_dataset(settings.data))
    except OSError as error:
        raise RunError(f"{error.filename or settings.data} cannot be written ({error}).") from error
    finally:
        if not same:
            for path, content in before.items():
                with suppress(OSError):
                    if content is None:
                        path.unlink(missing_ok=True)
                    else:
                        write_bytes(path, content)
    return same


def _is_same(data: Dataset, other: Dataset) -> bool:
    """Whether the same images, masks, classes and groups are read."""
    for split, samples in data.samples.items():
        if [_resolved(s) for s in samples] != [_resolved(s) for s in other.samples[split]]:
            return False
    return (
        _codes(data) == _codes(other)
        and data.group == other.group
        and data.reading == other.reading
    )


def _resolved(sample: Sample) -> Sample:
    mask = None if sample.mask is None else sample.mask.resolve()
    return Sample(sample.name, sample.image.resolve(), mask)


def _codes(data: Dataset) -> object:
    """The classes as the masks spell them."""
    classes = data.class_list
    return classes and replace(classes, ignored=tuple(sorted(classes.ignored)))


def _shares(data: Dataset) -> dict[str, str]:
    """What the comment behind each class says: its share of the labeled pixels of train."""
    counts = [data.pixels.get(mask, {}) for _, mask in data.labeled("train")]
    total = sum(sum(pixels.values()) for pixels in counts)
    shares = {}
    for index, name in enumerate(data.classes.names):
        pixels = sum(one.get(index, 0) for one in counts)
        images = sum(one.get(index, 0) > 0 for one in counts)
        share = percent(100 * pixels / total) if total else "0"
        shares[name] = f"{share} % of the pixels of train, in {plural(images, 'image')}"
    return shares


def _result(data: Dataset, files: Sequence[Path], kept: Sequence[Path]) -> Written:
    counts = {}
    for split, samples in data.samples.items():
        if samples:
            labeled = sum(sample.mask is not None for sample in samples)
            counts[split] = (labeled, len(samples) - labeled)
    names = data.class_list.names if data.class_list else ()
    return Written(data.root, files, kept, counts, names, len(data.errors()))
