"""The images of folders that hold no masks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from semiseg.core.types import Sample
from semiseg.data.findings import Finding
from semiseg.data.layouts.families import Family
from semiseg.data.pairing.beside import PHOTOGRAPHS, masks_beside
from semiseg.data.pairing.pairs import (
    line_breaks,
)
from semiseg.data.tree import Tree


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
