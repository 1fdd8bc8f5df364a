"""What each layout of a data folder implements; the registry is `semiseg.data.layouts`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from semiseg.core.types import Sample
from semiseg.data.classes_file import classes_files
from semiseg.data.findings import Finding
from semiseg.data.formats.masks import Classes
from semiseg.data.pairs import Folders
from semiseg.data.tree import Tree


@dataclass(frozen=True)
class Listing:
    """The images of one split.

    Attributes:
        samples: the images with their masks, sorted by name. Where names are ambiguous, the first
            file of each name.
        findings: what was noticed on names and folders.
        mask_remedy: what to do if no image has a mask; empty where the layout has no advice.
    """

    samples: Sequence[Sample] = ()
    findings: Sequence[Finding] = ()
    mask_remedy: str = ""


class Layout(ABC):
    """A way in which images and masks lie in a data folder.

    The docstring of each layout draws an example of its tree.

    Args:
        tree: the data folder.

    Attributes:
        name: the layout's name.
        names_classes: whether `classes` gives the names of the classes.
    """

    name: ClassVar[str]
    names_classes: ClassVar[bool] = False

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

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

    def classes(self, masks: Sequence[Path]) -> tuple[Classes, str] | None:
        """The classes and a phrase about them; None if a file or the masks decide.

        Raises:
            DataError: the classes cannot be used.
        """
        return None

    def classes_files(self) -> list[Path]:
        """The files of the data folder that name its classes; the first one counts."""
        return classes_files(self.tree.root)

    def folders(self, split: str) -> Folders | None:
        """Where images and masks lie if they belong together by their names; else None.

        Raises:
            DataError: it is ambiguous which files are masks.
        """
        return None
