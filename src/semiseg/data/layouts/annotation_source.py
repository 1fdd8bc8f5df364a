"""Annotations that were read from a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from semiseg.data.findings import Finding
from semiseg.data.formats.annotations import AnnotationFormat, Annotations
from semiseg.data.tree import Tree


class Source(NamedTuple):
    """Annotations that were read.

    Attributes:
        format: their format.
        file: the file that messages name.
        files: all files that were read.
        content: what they say.
        split: the split that the name of the file or of its folder says; empty if none does.
        findings: what was noticed on names.
    """

    format: AnnotationFormat
    file: Path
    files: tuple[Path, ...]
    content: Annotations
    split: str = ""
    findings: tuple[Finding, ...] = ()


def list_files(tree: Tree, *suffixes: str) -> list[Path]:
    """The files of a data folder with these suffixes, without those of runs and of `suggest`."""
    return tree.without_results(tree.files(tree.root, suffixes), tree.root)
