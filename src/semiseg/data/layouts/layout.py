"""What each layout of a data folder implements; the registry is `semiseg.data.layout_registry`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from semiseg.core.text import plural
from semiseg.core.types import Sample
from semiseg.data.classes.class_sources import ClassFile, find_class_files
from semiseg.data.findings import Finding, note
from semiseg.data.formats.labelme import LABELME_SUFFIX
from semiseg.data.formats.masks import Classes, default_color
from semiseg.data.layouts.families import Family, find_families, unlabeled_folders
from semiseg.data.layouts.unlabeled_images import find_pool
from semiseg.data.pairing.pairs import Folders
from semiseg.data.tree import Tree


@dataclass(frozen=True)
class Listing:
    """The images of one split.

    Attributes:
        samples: the images with their masks, sorted by name. Where names are ambiguous, the first
            file of each name.
        findings: what was noticed on names and folders.
        mask_remedy: what to do if no image has a mask; empty where the layout has no advice.
        sources: the other files that were read, or that a finding counts: lists, annotations,
            tables of classes, masks that are ignored.
    """

    samples: Sequence[Sample] = ()
    findings: Sequence[Finding] = ()
    mask_remedy: str = ""
    sources: Sequence[Path] = ()


class Layout(ABC):
    """A way in which images and masks lie in a data folder.

    The docstring of each layout draws an example of its tree.

    Args:
        tree: the data folder.

    Attributes:
        name: the layout's name.
        title: what it is, in a few words.
        names_classes: whether `classes` gives the names of the classes.
        class_names: the classes, where the names of masks say them, by index; else empty.
        is_complete: whether the layout itself says which images count, so that it is no warning
            if others are not read.
        recognized: the title of the published data set that the names of the tree show, where that
            data set names the classes; else empty.
        remarks: how the layout was found, where that does not go without saying.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    names_classes: bool = False
    is_complete: ClassVar[bool] = False

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.remarks: Sequence[Finding] = ()
        self.class_names: tuple[str, ...] = ()
        self.recognized = ""

    @cached_property
    def families(self) -> list[Family]:
        """The folders of images and masks, by the roles of their names."""
        return find_families(self.tree)

    @classmethod
    @abstractmethod
    def recognizes(cls, tree: Tree) -> bool:
        """Whether a data folder has this layout, as its names show."""

    @abstractmethod
    def read(self, split: str) -> Listing:
        """The images of `train`, `val` or `test`; those below `unlabeled` are not among them.

        Raises:
            DataError: the split cannot be read.
        """

    def unlabeled(self) -> Listing:
        """The images of `unlabeled` and the like; masks beside them are ignored."""
        pool = find_pool(self.tree, self.families)
        findings = list(pool.findings)
        if pool.masks and not findings:
            folder = next(iter(unlabeled_folders(self.tree)), self.tree.root)
            count = plural(len(pool.masks), f"mask in {folder} is", f"masks in {folder} are")
            findings = [note(f"{count} ignored (the first is {pool.masks[0].name})")]
        return Listing(pool.samples, findings, sources=pool.masks)

    def image_remedy(self) -> str:
        """What to do with images that are not read."""
        return ""

    def background_remedy(self, masks: Sequence[Path]) -> str:
        """What to do with an image that holds only background, so that it is not unlabeled.

        Args:
            masks: those of all splits.
        """
        if any(mask.suffix.lower() == LABELME_SUFFIX for mask in masks):
            return "save it in LabelMe without shapes"
        return "give it a mask of background"

    def outlines(self) -> Mapping[Path, Mapping[int, int]]:
        """The number of labeled objects of each code, by mask, after the splits were read.

        Empty if no file lists objects.
        """
        return {}

    def classes(self, masks: Sequence[Path]) -> tuple[Classes, str] | None:
        """The classes and a phrase about them; None if a file or the masks decide.

        Raises:
            DataError: the classes cannot be used.
        """
        if not self.class_names:
            return None
        indices = tuple(range(len(self.class_names)))
        colors = tuple(map(default_color, indices))
        classes = Classes(self.class_names, colors, "ids", indices)
        return classes, "the names of the masks are the classes"

    def use_class_names(self, names: tuple[str, ...]) -> None:
        """Take the classes that the names of masks say, if they do."""
        if names:
            self.class_names, self.names_classes = names, True

    def class_files(self, root: Path, masks: Sequence[Path]) -> list[ClassFile]:
        """The files that may name the classes, in the order in which they count.

        Args:
            root: the data folder.
            masks: those of `train`.
        """
        return find_class_files(self.tree.at(root), masks)

    def folders(self, split: str) -> Folders | None:
        """Where images and masks lie if they belong together by their names; else None.

        Raises:
            DataError: it is ambiguous which files are masks.
        """
        return None
