"""Which folders hold the images and the masks of each split, where no list says it.

The names of folders propose readings, and the names of files decide between them: of two folders
that may hold the masks, the one counts in which images have masks. Where several do, it is an error
that shows the readings.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from semiseg.core import shell
from semiseg.core.text import plural
from semiseg.data.findings import Finding, note, on_files
from semiseg.data.layouts.families import Family
from semiseg.data.layouts.folder_pairs import FamilyPairs
from semiseg.data.layouts.folder_readings import (
    Choice,
    Reading,
    go_together,
    goes_parallel,
    is_primary,
    lies_nearby,
    names_same_split,
    plainest,
    with_own_names,
)
from semiseg.data.pairing.pairs import (
    Folders,
    one_mask_each,
)
from semiseg.data.pairing.roles import Split
from semiseg.data.tree import SPLITS, Tree


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
        self._pairs = FamilyPairs(tree.root)

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
        return Choice(tuple(self._pairs.read(family, None) for family in plain[:1]))

    def _best(self, images: Family, masks: Sequence[Family]) -> Choice:
        """The masks of a family of images: those of the folder in which they have some."""
        masks = [family for family in masks if self._may_belong(images, family)]
        attempts = [self._pairs.read(images, family) for family in masks]
        readings = [reading for reading in attempts if reading.labeled]
        readings = readings or [reading for reading in attempts if reading.pairs]
        for prefer in (lies_nearby, names_same_split, goes_parallel, is_primary):
            preferred = [r for r in readings if r.masks and prefer(images, r.masks)]
            readings = preferred or readings
        if len(readings) > 1:
            return Choice(problem=self._ambiguous(readings, "masks"))
        if not readings:
            beside = self._pairs.read(images, None)
            lonely = [
                reading
                for reading in attempts
                if reading.masks and names_same_split(images, reading.masks)
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
        if len({id(reading.masks) for reading in readings}) == 1 and not go_together(readings):
            masks = readings[0].masks
            parallel = [r for r in readings if masks and r.images.rests == masks.rests]
            readings = parallel or plainest(readings)  # images and masks, beside new_images
        if len(readings) > 1 and not go_together(readings):
            return Choice(problem=self._ambiguous(readings, "images"))
        return Choice(with_own_names(readings), None, passed_over)

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


def _beside_folder(images: Family, place: Path) -> Path:
    return place / "masks" if not images.content else place.with_name("masks")
