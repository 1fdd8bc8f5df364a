"""Which folders hold the images and the masks of each split, where no list says it.

The names of folders propose readings, and the names of files decide between them: of two folders
that may hold the masks, the one counts in which images have masks. Where several do, it is an error
that shows the readings.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from semiseg.core import shell
from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.findings import Finding, note, on_files
from semiseg.data.layouts.families import Family
from semiseg.data.pairing.beside import PHOTOGRAPHS, masks_beside
from semiseg.data.pairing.pairs import (
    Folders,
    Matched,
    duplicates,
    find_masks,
    has_shapes,
    line_breaks,
    one_mask_each,
)
from semiseg.data.pairing.roles import Split, role_of
from semiseg.data.tree import SPLITS, Tree

_KINDS = (
    *("_labelTrainIds", "_labelIds", "_instanceIds", "_instanceTrainIds", "_color"),
    *("_labelColor", "_invIds", "_invGray"),
)
_FIGURES = re.compile(
    r"[\W_]+|(?<![0-9])0+(?=[0-9])"
)  # parts of names that do not distinguish folders


@dataclass(frozen=True)
class Reading:
    """The images of a family, with the masks that belong to them.

    Attributes:
        images: the family of the images.
        masks: the family of the masks; None if they lie beside their images.
        samples: the images by their names, with their masks.
        matched: which masks belong to which images, by which rules; None if there are no files.
        errors: what makes the names ambiguous.
    """

    images: Family
    masks: Family | None
    samples: tuple[Sample, ...]
    matched: Matched | None = None
    errors: tuple[Finding, ...] = ()

    @property
    def labeled(self) -> list[Sample]:
        """The images with masks."""
        return [sample for sample in self.samples if sample.mask is not None]

    @property
    def example(self) -> tuple[Path, Path] | None:
        """An image and one of its masks, as they lie in the data folder; None without masks."""
        if self.matched is None or not self.matched.masks:
            return None
        name, masks = next(iter(self.matched.masks.items()))
        return self.matched.images[name], masks[0]

    @property
    def pairs(self) -> int:
        """How many images have masks; ambiguous names count as one."""
        return len(self.labeled) or len(self.errors)


@dataclass(frozen=True)
class Choice:
    """How a split is read.

    Attributes:
        readings: what is read; several where folders go together, such as `images1` and `images2`.
        problem: the error that shows the readings between which names do not decide.
        passed_over: the families that may hold masks or images too, and are not read.
    """

    readings: tuple[Reading, ...] = ()
    problem: Finding | None = None
    passed_over: tuple[Family, ...] = ()


class FolderSplits:
    """The splits of a data folder in which the names of folders say what they hold.

    Args:
        tree: the data folder.
        families: its folders of images and masks.

    Attributes:
        class_names: the classes, where the names of masks say them, by index; else empty.
    """

    def __init__(self, tree: Tree, families: Sequence[Family]) -> None:
        self.tree, self.families = tree, families
        self._choices: dict[str, Choice] = {}
        self._proposals: dict[str, Choice] = {}
        self.class_names: tuple[str, ...] = ()
        self._has_shapes = cache(has_shapes)

    def choice(self, split: str) -> Choice:
        """How a split is read.

        Args:
            split: `train`, `val` or `test`.
        """
        if split not in self._choices:
            if split != "train":
                self.choice("train")  # decides the classes
            choice = self._proposed(split)
            readings = tuple(map(self._with_one_mask_each, choice.readings))
            self._choices[split] = replace(choice, readings=readings)
        return self._choices[split]

    def _with_one_mask_each(self, reading: Reading) -> Reading:
        """Unite the masks of each image that has several."""
        if reading.matched is None or reading.errors:
            return reading
        union = one_mask_each(self.tree.root, reading.matched, self.class_names)
        self.class_names = self.class_names or union.class_names
        names = {path: name for name, path in reading.matched.images.items()}
        samples = (s._replace(mask=union.masks.get(names[s.image])) for s in reading.samples)
        errors = tuple(finding for finding in union.findings if finding.severity == "error")
        findings = (*reading.matched.findings, *union.findings)
        matched = reading.matched._replace(findings=list(findings))
        return replace(reading, samples=tuple(samples), matched=matched, errors=errors)

    def folders(self, split: str) -> Folders | None:
        """Where the images and masks of a split lie, if each lie in one folder; else None."""
        readings = self.choice(split).readings
        if len(readings) != 1:
            return None
        images, masks = readings[0].images, readings[0].masks
        place = images.base(self.tree.root)
        if place is None:
            return None
        beside = _beside_folder(images, place)
        mask_place = beside if masks is None else masks.base(self.tree.root)
        if mask_place is None:
            return None
        return Folders(self.tree, place, mask_place, deep=bool(images.content))

    def unmatched(self) -> list[Path]:
        """The masks that belong to no image of any split."""
        readings = [reading for split in SPLITS for reading in self.choice(split).readings]
        matches = [reading.matched for reading in readings if reading.matched]
        masks_of_images = {path for matched in matches for path in matched.files}
        return sorted({path for matched in matches for path in matched.unmatched} - masks_of_images)

    def shared_masks(self) -> list[Finding]:
        """The error for masks that belong to images of two splits."""
        images: dict[Path, list[Path]] = {}
        readings = [reading for split in SPLITS for reading in self.choice(split).readings]
        for matched in (reading.matched for reading in readings if reading.matched):
            for name, masks in matched.masks.items():
                for mask in masks:
                    images.setdefault(mask, []).append(matched.images[name])
        root = self.tree.root
        details = {
            mask.relative_to(root).as_posix(): ": "
            + " or ".join(path.relative_to(root).as_posix() for path in paths)
            for mask, paths in images.items()
            if len(set(paths)) > 1
        }
        message = "Masks that may belong to images of several splits"
        remedy = "Put the masks of each split into a folder of its own, such as train/masks."
        return on_files("ambiguous-mask", "error", details, message, remedy)

    def _proposed(self, split: str) -> Choice:
        """How a split is read, before several masks of one image are united."""
        if split not in self._proposals:
            self._proposals[split] = self._choose(split)
        return self._proposals[split]

    def _choose(self, split: str) -> Choice:
        if split == "train":
            return self._without_scored(self._choose_folders(split))
        choice = self._choose_folders(split)
        if choice.problem is None and not choice.readings:
            return self._choose_by_masks(split)
        return choice

    def _choose_by_masks(self, split: str) -> Choice:
        """The images of no split whose masks lie in a folder of the split."""
        masks = [f for f in self.families if f.content == "masks" and f.split == split]
        images = [f for f in self.families if f.content == "images" and not f.split and f.images]
        if not masks or len(images) != 1:
            return Choice()
        choice = self._best(images[0], masks)
        labeled = [replace(r, samples=tuple(r.labeled)) for r in choice.readings if r.labeled]
        return replace(choice, readings=tuple(labeled))

    def _without_scored(self, choice: Choice) -> Choice:
        """The readings without the images of val and test."""
        readings = [r for split in SPLITS[1:] for r in self._proposed(split).readings]
        scored = {sample.image for reading in readings for sample in reading.samples}
        rest = [
            replace(r, samples=tuple(s for s in r.samples if s.image not in scored))
            for r in choice.readings
        ]
        return replace(choice, readings=tuple(rest)) if scored else choice

    def _choose_folders(self, split: str) -> Choice:
        names: tuple[Split, ...] = ("train", "") if split == "train" else (split,)  # type: ignore[assignment]
        mine = [family for family in self.families if family.split in names]
        masks = [family for family in mine if family.content == "masks"]
        if split != "train":
            masks += [f for f in self.families if f.content == "masks" and f.split == ""]
        proposed = [f for f in mine if f.content == "images" and f.images]
        for families in (proposed, [f for f in mine if f.content == "" and f.images]):
            choices = [self._best(family, masks) for family in families]
            problem = next((choice.problem for choice in choices if choice.problem), None)
            if problem is not None:
                return Choice(problem=problem)
            readings = [reading for choice in choices for reading in choice.readings]
            if any(reading.pairs for reading in readings):
                passed_over = tuple(f for choice in choices for f in choice.passed_over)
                return self._among([r for r in readings if r.pairs], passed_over)
        if proposed:
            largest = max(proposed, key=lambda family: len(family.images))
            return self._best(largest, masks)
        if split == "train":
            return Choice()
        plain = [f for f in mine if f.content == "" and f.images]
        return Choice(tuple(self._read(family, None) for family in plain[:1]))

    def _best(self, images: Family, masks: Sequence[Family]) -> Choice:
        """The masks of a family of images: those of the folder in which they have some."""
        masks = [family for family in masks if self._may_belong(images, family)]
        attempts = [self._read(images, family) for family in masks]
        readings = [reading for reading in attempts if reading.labeled]
        readings = readings or [reading for reading in attempts if reading.pairs]
        for prefer in (_nearby, _explicit, _parallel, _primary):
            preferred = [r for r in readings if r.masks and prefer(images, r.masks)]
            readings = preferred or readings
        if len(readings) > 1:
            return Choice(problem=self._ambiguous(readings, "masks"))
        if not readings:
            beside = self._read(images, None)
            lonely = [
                reading
                for reading in attempts
                if reading.masks and _explicit(images, reading.masks)
            ]
            return Choice((beside if beside.pairs or len(lonely) != 1 else lonely[0],))
        passed_over = [family for family in masks if family is not readings[0].masks]
        return Choice(tuple(readings), None, tuple(f for f in passed_over if f.images))

    def _may_belong(self, images: Family, masks: Family) -> bool:
        """Whether no other family of images is closer to the masks by its name."""
        is_output = "output" in masks.pattern.lower()
        if is_output and "input" not in images.pattern.lower():
            return False
        others = [f.rests for f in self.families if f.content == "images" and f is not images]
        return masks.rests == images.rests or not masks.rests or masks.rests not in others

    def _among(self, readings: Sequence[Reading], passed_over: tuple[Family, ...]) -> Choice:
        """The readings that count where several families of images have masks."""
        explicit = [reading for reading in readings if reading.images.split]
        if explicit and not readings[0].images.content:  # the folder `train` before the root
            readings = explicit
        primary = [reading for reading in readings if not reading.images.is_secondary]
        readings = primary or readings
        if len({id(reading.masks) for reading in readings}) == 1 and not _go_together(readings):
            masks = readings[0].masks
            parallel = [r for r in readings if masks and r.images.rests == masks.rests]
            readings = parallel or _plainest(readings)  # images and masks, beside new_images
        if len(readings) > 1 and not _go_together(readings):
            return Choice(problem=self._ambiguous(readings, "images"))
        return Choice(_with_own_names(readings), None, passed_over)

    def _read(self, images: Family, masks: Family | None) -> Reading:
        """The images of a family with the masks of another, or with those beside them."""
        if masks is None:
            return self._read_beside(images)
        shapes = self._shapes(images)
        mask_files = _main_kind(masks.images) + masks.json_files
        if masks.images:
            shapes = [path for path in shapes if self._has_shapes(path)]
        elif masks.json_files and not self._has_shapes(masks.json_files[0]):
            mask_files = []
        everything = sorted([*mask_files, *shapes])
        keep = images.images
        reading = self._pair(images, masks, keep, everything)
        if images.content or not reading.pairs:
            return reading
        folders = {s.image.parent for s in reading.labeled}  # others hold no images of this kind
        keep = [path for path in keep if path.parent in folders]
        return self._pair(images, masks, keep, everything)

    def _read_beside(self, images: Family) -> Reading:
        pictures = images.images
        shapes = self._shapes(images)
        labelme = [path for path in shapes if self._has_shapes(path)]
        beside = masks_beside(pictures, labelme, with_png=True)
        if not images.content:  # folders without any mask may hold anything
            folders = {path.parent for path in (*beside, *labelme)}
            pictures = [path for path in pictures if path.parent in folders] or pictures
        shapes = labelme if beside or not images.content else shapes
        others = sorted(set(pictures) - set(beside))
        return self._pair(images, None, others, [*beside, *shapes])

    def _shapes(self, images: Family) -> list[Path]:
        """The JSON files beside images that are LabelMe's, or have an image's name."""
        stems = {path.with_suffix("") for path in images.images}
        return [
            path
            for path in images.json_files
            if path.with_suffix("") in stems or self._has_shapes(path)
        ]

    def _pair(
        self,
        images: Family,
        masks: Family | None,
        image_files: Iterable[Path],
        mask_files: Iterable[Path],
    ) -> Reading:
        """Pair files by their names below the folders with roles."""
        root, wanted, wanted_masks = self.tree.root, set(image_files), set(mask_files)
        own = len(images.common_inner())
        names = {path: name for name, path in images.names(own) if path in wanted}
        full_names = {path: name for name, path in images.names(own)}
        if masks is not None:
            own_masks = len(masks.common_inner())
            full_names |= {path: name for name, path in masks.names(own_masks)}
        reading = Reading(images, masks, ())
        for image_skip, mask_skip in _attempts(images, masks):
            by_name, repeated = _index(images.names(image_skip), wanted)
            mask_names = [*masks.names(mask_skip)] if masks is not None else []
            masks_by_name, more = _index([*mask_names, *images.names(image_skip)], wanted_masks)
            errors = duplicates(root, {**repeated, **more})
            errors = errors or line_breaks([*wanted, *wanted_masks])
            matched = _without_strangers(find_masks(root, by_name, masks_by_name), full_names)
            firsts = {name: paths[0] for name, paths in matched.masks.items()}
            samples = sorted(
                Sample(names[path], path, firsts.get(name)) for name, path in by_name.items()
            )
            errors = errors or matched.errors
            reading = Reading(images, masks, tuple(samples), matched, tuple(errors))
            if firsts:
                break
        return reading

    def _ambiguous(self, readings: Sequence[Reading], what: str) -> Finding:
        """The error that shows several readings, and how to choose one."""
        texts = []
        for i, reading in enumerate(readings, 1):
            images, masks = self.place(reading), self.describe(reading.masks)
            pair = f"; {self._pair_text(*reading.example)}" if reading.example else ""
            count = plural(len(reading.images.images), "image")
            texts.append(
                f"({i}) {count} in {images}, {len(reading.labeled)} of them with masks in "
                f"{masks or images}{pair}"
            )
        patterns = [self.describe(r.masks if what == "masks" else r.images) for r in readings]
        if any("*" in pattern for pattern in patterns):  # which no flag can name
            return note(
                f"Several folders may hold the {what}: {'; '.join(texts)}",
                f"Keep one: move the other folders out of {self.tree.root}, "
                f"{' or '.join(f'`{pattern}`' for pattern in patterns)}.",
                "error",
            )
        check = f"semiseg check {shell.quote(str(self.tree.root))}"
        commands = " or ".join(f"`{check} {self.flags(reading)}`" for reading in readings)
        return note(
            f"Several folders may hold the {what}: {'; '.join(texts)}",
            f"Choose with {commands}; the other commands take the same flags.",
            "error",
        )

    def flags(self, reading: Reading) -> str:
        """The flags that ask for a reading."""
        images = self.place(reading).partition("*")[0].rstrip("/") or "."
        masks = images if reading.masks is None else self.describe(reading.masks).partition("*")[0]
        masks = masks.rstrip("/") or "."
        return f"--images {shell.quote(images)} --masks {shell.quote(masks)}"

    def place(self, reading: Reading) -> str:
        """The folder of the images of a reading, as a path below the data folder."""
        if reading.images.content or reading.images.pattern:
            return reading.images.describe()
        folders = {sample.image.parent for sample in reading.samples}
        common = Path(os.path.commonpath(folders)) if folders else self.tree.root
        return common.relative_to(self.tree.root).as_posix()

    def describe(self, family: Family | None) -> str:
        """The folders of a family, as a path below the data folder."""
        return "" if family is None else family.describe()

    def _pair_text(self, image: Path, mask: Path) -> str:
        names = [path.relative_to(self.tree.root) for path in (mask, image)]
        return " belongs to ".join(name.as_posix() for name in names)


class Pool(NamedTuple):
    """The images of the folders of images without masks.

    Attributes:
        samples: the images, sorted by name.
        masks: the masks beside them, which are ignored.
        findings: names that are ambiguous.
    """

    samples: list[Sample]
    masks: list[Path]
    findings: list[Finding]


def find_pool(tree: Tree, families: Iterable[Family]) -> Pool:
    """The images of `unlabeled` and the like; masks beside them (`07_mask.png`) are ignored."""
    unlabeled_families = [f for f in families if f.split == "unlabeled"]
    photographs = [family for family in unlabeled_families if family.content != "masks"]
    files = [path for family in photographs for path in family.images]
    masks = [path for path in masks_beside(files) if path.suffix.lower() not in PHOTOGRAPHS]
    wanted = set(files) - set(masks)
    by_name: dict[str, Path] = {}
    for family in photographs:
        for name, path in family.names(len(family.common_inner())):
            if path in wanted:  # without masks, two files of one name are two images
                free = (name, f"{name}{path.suffix}", path.relative_to(tree.root).as_posix())
                by_name[next(text for text in free if text not in by_name)] = path
    samples = [Sample(f"unlabeled/{name}", path, None) for name, path in sorted(by_name.items())]
    masks += [
        path for family in unlabeled_families if family.content == "masks" for path in family.images
    ]
    return Pool(samples, masks, line_breaks(sorted(wanted)))


def _index(
    names: Iterable[tuple[str, Path]], wanted: set[Path]
) -> tuple[dict[str, Path], dict[Path, Path]]:
    """The wanted files by name, sorted by it; and further files of a name with the first one."""
    by_name: dict[str, Path] = {}
    repeated: dict[Path, Path] = {}
    for name, path in names:
        if path in wanted and by_name.setdefault(name, path) != path:
            repeated[path] = by_name[name]
    return dict(sorted(by_name.items())), repeated


def _attempts(images: Family, masks: Family | None) -> list[tuple[int, int]]:
    """How many folders to leave out of the names of images and masks, one try after the other."""
    own = [family.common_inner() for family in (images, masks) if family is not None]
    shared = 0
    for parts in zip(*own, strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    attempts = [(shared, shared), (len(own[0]), len(own[-1]))]
    if not images.content and masks is not None:  # the folder of the images has any name
        attempts.append((1, len(own[-1])))
    return list(dict.fromkeys(attempts))


def _without_strangers(matched: Matched, names: Mapping[Path, str]) -> Matched:
    """Pairs without those whose folders contradict each other: `good/000` and `crack/000_mask`.

    Args:
        matched: the pairs.
        names: the files' names with the folders that say nothing.
    """
    by_image = {}
    strangers = []
    for image, paths in matched.masks.items():
        full_name = names[matched.images[image]]
        fitting = [path for path in paths if _fit(full_name, names[path])]
        strangers += [path for path in paths if path not in fitting]
        if fitting:
            by_image[image] = fitting
    if not strangers:
        return matched
    findings = matched.findings if by_image else []
    unmatched = [*matched.unmatched, *strangers]
    return matched._replace(masks=by_image, unmatched=unmatched, findings=findings)


def _main_kind(masks: Sequence[Path]) -> list[Path]:
    """The masks of classes, where Cityscapes' programs wrote several kinds for each image."""
    by_kind: dict[str, list[Path]] = {kind: [] for kind in _KINDS}
    for path in masks:
        kind = next((kind for kind in _KINDS if path.stem.endswith(kind)), None)
        if kind is None:
            return list(masks)
        by_kind[kind].append(path)
    return max(by_kind.values(), key=len) if masks else []


def _fit(image: str, mask: str) -> bool:
    """Whether the folders in two names may be the same; those of one side may be missing."""
    folders = [
        [
            _FIGURES.sub("", folder.casefold())
            for folder in name.split("/")[:-1]
            if role_of(folder).content != content
        ]  # a folder `rgb` of images has none of the same name among the masks
        for name, content in ((image, "images"), (mask, "masks"))
    ]
    return not all(folders) or any(
        a.startswith(b) or b.startswith(a) for a in folders[0] for b in folders[1]
    )


def _nearby(images: Family, masks: Family) -> bool:
    """Whether both lie in one folder that says nothing, such as that of a site."""
    return bool(images.common_inner()) and images.common_inner() == masks.common_inner()


def _explicit(images: Family, masks: Family) -> bool:
    return masks.split == images.split


def _parallel(images: Family, masks: Family) -> bool:
    """Whether masks go with images by what their names say besides their roles."""
    return bool(images.rests) and masks.rests == images.rests


def _primary(images: Family, masks: Family) -> bool:
    return not masks.is_secondary


def _go_together(readings: Sequence[Reading]) -> bool:
    """Whether several readings are parts of one split, such as `images1` and `images2`."""
    shapes = {_own_folders(reading) + tuple(sorted(reading.images.shape)) for reading in readings}
    splits = {reading.images.split for reading in readings}
    masks = {id(reading.masks) for reading in readings if reading.masks is not None}
    return (
        len(shapes) == len(readings)
        and len(splits) == 1
        and (len(masks) in (0, len(readings)) or (len(masks) == 1 and _are_apart(readings)))
    )


def _own_folders(reading: Reading) -> tuple[str, ...]:
    """What tells the folders of a reading from those of others: a site, a number."""
    return (*reading.images.common_inner(), *reading.images.rests)


def _with_own_names(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """Readings of one split; images of the same name are told apart by their folders."""
    names = Counter(sample.name for reading in readings for sample in reading.samples)
    if max(names.values(), default=1) == 1:
        return tuple(readings)
    return tuple(
        replace(
            reading,
            samples=tuple(
                sample._replace(name="/".join((*_own_folders(reading), sample.name)))
                for sample in reading.samples
            ),
        )
        for reading in readings
    )


def _plainest(readings: Sequence[Reading]) -> Sequence[Reading]:
    """The reading whose names say less than all others: `train`, not `train_ref`; or all."""
    first, *others = sorted(readings, key=lambda reading: len(reading.images.rests))
    rests = [set(reading.images.rests) for reading in others]
    return [first] if all(rest > set(first.images.rests) for rest in rests) else readings


def _are_apart(readings: Sequence[Reading]) -> bool:
    """Whether each mask belongs to images of one reading only, all of which have masks."""
    matches = [reading.matched for reading in readings if reading.matched]
    files = [path for matched in matches for path in matched.files]
    complete = all(len(reading.labeled) == len(reading.samples) for reading in readings)
    return complete and len(set(files)) == len(files)


def _beside_folder(images: Family, place: Path) -> Path:
    return place / "masks" if not images.content else place.with_name("masks")
