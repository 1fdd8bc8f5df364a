"""The layout whose folders a person names: with `--images` and `--masks`, or in `dataset.yaml`."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from semiseg.core.errors import DataError
from semiseg.core.text import plural
from semiseg.core.types import NOTHING_SAID, Arrangement, Sample
from semiseg.data.dataset_file import DatasetFile, read_dataset_file
from semiseg.data.findings import Finding, note
from semiseg.data.layouts.families import unlabeled_folders
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.layouts.places import (
    NamedTree,
    existing_folder,
    split_folders,
    unlabeled_places,
    within,
)
from semiseg.data.pairing.beside import PHOTOGRAPHS, masks_beside
from semiseg.data.pairing.pairs import (
    Folders,
    Pairs,
    duplicates,
    index,
    line_breaks,
    pair,
    without_image,
)
from semiseg.data.tree import SPLITS, Tree

_NO_FOLDER = ".no-masks"  # where masks lie beside their images, no folder holds them


class ExplicitLayout(Layout):
    """You name the folders of images and masks, with flags or in `dataset.yaml`.

    ```
    DATA/
      dataset.yaml       images: photos, masks: annotated
      photos/            any name and place; its folders train/, val/ and test/ are the splits
      annotated/         a mask belongs to the image with the same name
    ```

    Args:
        tree: the data folder.
        flags: what the flags say; it wins over `dataset.yaml`.
    """

    name = "named"
    title = "Folders that flags or dataset.yaml name"

    def __init__(self, tree: Tree, flags: Arrangement = NOTHING_SAID) -> None:
        super().__init__(tree)
        self._flags = flags
        self._file = read_dataset_file(tree)
        self._pairs_by_split: dict[str, Pairs] = {}

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """By the keys of `dataset.yaml`."""
        return read_dataset_file(tree).names_images

    def folders(self, split: str) -> Folders | None:
        """The folders of the images and masks of a split.

        Raises:
            DataError: there is no such folder, or only one of the two kinds is named.
        """
        images = self._images.get(split)
        if images is None and self._masks_divide and split in self._masks:
            images = self._images["train"]
        if images is None:
            return None
        masks = self._masks.get(split, images)
        if masks == images:
            masks = images / _NO_FOLDER
        return Folders(self._named_tree, images, masks)

    def read(self, split: str) -> Listing:
        """The images of the split's folder.

        Raises:
            DataError: as `folders`, or the folder holds no image.
        """
        folders = self.folders(split)
        if folders is None:
            return Listing()
        if not folders.files.images:
            raise DataError(
                f"{folders.images}, which {self._says('images')} names, holds no images.",
                "Name the folder of the images.",
            )
        samples, findings, class_names, sources = self._pairs(split)
        self.use_class_names(class_names)
        if self._masks_divide:
            samples = self._divided(split, samples)
        findings = [self._renamed(f) for f in self._without_other_splits(split, findings)]
        if split == "train":
            findings = [*self._overridden(), *findings]
        remedy = (
            f"{self._says('images')} names {folders.images}, and {self._says('masks')} names "
            f"{self._masks.get(split, folders.images)}: the masks need the names of their images."
        )
        return Listing(samples, findings, remedy, sources)

    @property
    def named_folders(self) -> list[Path]:
        """The folders of images and masks.

        Raises:
            DataError: as `folders`.
        """
        return [*self._images.values(), *self._masks.values()]

    @cached_property
    def _named_tree(self) -> Tree:
        """The files, where a folder that is named is no part of the folder around it."""
        folders = self.named_folders
        pool = unlabeled_places(self.tree, self._flags, self._file)
        return NamedTree(
            self.tree, [*folders, *within(pool or unlabeled_folders(self.tree), folders)]
        )

    @property
    def _masks_divide(self) -> bool:
        """Whether all images lie together, and only the folders of masks are splits."""
        return list(self._images) == ["train"] and len(set(self._masks.values())) > 1

    def _pairs(self, split: str) -> Pairs:
        """The images of a folder with their masks; none without the folder."""
        if split not in self._pairs_by_split:
            folders = self.folders(split)
            self._pairs_by_split[split] = (
                pair(folders, self.class_names) if folders else Pairs([], [])
            )
        return self._pairs_by_split[split]

    def _divided(self, split: str, samples: Sequence[Sample]) -> list[Sample]:
        """The images whose masks are in the split; all others are of `train`."""
        if split != "train":
            return [sample for sample in samples if sample.mask is not None]
        scored = {s.image for other in SPLITS[1:] for s in self._pairs(other).samples if s.mask}
        return [sample for sample in samples if sample.image not in scored]

    def _without_other_splits(self, split: str, findings: Sequence[Finding]) -> list[Finding]:
        """The findings without masks of other splits, where all have one folder of masks."""
        if len(set(self._masks.values())) > 1 or len(self._images) == 1:
            return list(findings)
        others = [finding for finding in findings if finding.kind != "mask-without-image"]
        if split != "train":
            return others
        unmatched = [set(self._pairs(name).sources) for name in self._images]
        lost = sorted(set.intersection(*unmatched))
        return [*others, *without_image(self._named_tree.root, lost)]

    def _renamed(self, finding: Finding) -> Finding:
        """A finding whose files are named as the data set names them."""
        base = self._named_tree.root
        if base == self.tree.root:
            return finding
        return finding._replace(files=tuple((base / file).as_posix() for file in finding.files))

    @property
    def _images(self) -> Mapping[str, Path]:
        """The folder of the images of each split."""
        return self._folders[0]

    @property
    def _masks(self) -> Mapping[str, Path]:
        """The folder of the masks of each split."""
        return self._folders[1]

    @cached_property
    def _folders(self) -> tuple[Mapping[str, Path], Mapping[str, Path]]:
        """The folders of the images and those of the masks, by split.

        All are absolute if one of them lies outside of the data folder.
        """
        if not self._is_named("images") or not self._is_named("masks"):
            key, other = ("images", "masks")[:: 1 if self._is_named("images") else -1]
            raise DataError(
                f"{self._says(key)} names the folder of the {key}, but nothing names that "
                f"of the {other}.",
                f"Name it with --{other} or in dataset.yaml; if masks lie beside their images, "
                "it is the same folder.",
            )
        images, masks = self._places("images"), self._places("masks")
        by_split = (
            {"train": images} if isinstance(images, Path) else images,
            dict.fromkeys(SPLITS, masks) if isinstance(masks, Path) else masks,
        )
        root = self.tree.root
        if all(p.is_relative_to(root) for places in by_split for p in places.values()):
            return by_split
        absolute = [{s: p.absolute() for s, p in places.items()} for places in by_split]
        return absolute[0], absolute[1]

    def _places(self, key: str) -> Path | Mapping[str, Path]:
        """The folder that `images` or `masks` names, or one for each split."""
        flag = getattr(self._flags, key)
        value = getattr(self._file.content, key) if flag is None else str(flag)
        if isinstance(value, Mapping):
            return {split: self._folder(key, part) for split, part in value.items()}
        folder = self._folder(key, value)
        splits = split_folders(folder)
        return splits if "train" in splits else folder

    def _folder(self, key: str, name: str) -> Path:
        return existing_folder(self.tree.root, name, self._says(key))

    def _is_named(self, key: str) -> bool:
        return getattr(self._flags, key) is not None or getattr(self._file.content, key) is not None

    def _says(self, key: str) -> str:
        """The flag or the line that names a folder."""
        if getattr(self._flags, key) is not None or self._file.path is None:
            return f"--{key}"
        return f"`{key}` in {self._file.where(key)}"

    def _overridden(self) -> list[Finding]:
        return [
            note(f"--{key} wins over `{key}` in {self._file.where(key)}")
            for key in self._file.merged(self._flags)
            if key in ("images", "masks")
        ]


def list_unlabeled_folders(
    tree: Tree,
    flags: Arrangement,
    file: DatasetFile,
    layout: Layout,
    files_in_use: Collection[Path],
) -> Listing | None:
    """The images of the folders of unlabeled images that are named; None if none is.

    Args:
        tree: the data folder.
        flags: what the flags say.
        file: what `dataset.yaml` says.
        layout: of the data folder; folders that it names hold no unlabeled images.
        files_in_use: images and masks of the splits, which are no unlabeled images.

    Raises:
        DataError: there is no such folder, or it holds no images.
    """
    folders = unlabeled_places(tree, flags, file)
    if not folders:
        return None
    layout_folders = layout.named_folders if isinstance(layout, ExplicitLayout) else []
    others = within(layout_folders, folders)
    if not all(folder.is_relative_to(tree.root) for folder in (*folders, *others)):
        folders = [folder.absolute() for folder in folders]
    places = NamedTree(tree, [*folders, *others])
    top = folders[0] if len(folders) == 1 else Path(os.path.commonpath(folders))
    files = sorted({path for folder in folders for path in places.images(folder)})
    if not files:
        raise DataError(
            f"{', '.join(map(str, folders))}: the folder of unlabeled images holds no images.",
            "Name another one, or none.",
        )
    paths_in_use = {path.absolute() for path in files_in_use}
    files = [path for path in files if path.absolute() not in paths_in_use]
    masks = [path for path in masks_beside(files) if path.suffix.lower() not in PHOTOGRAPHS]
    files = sorted(set(files) - set(masks))
    images, repeated = index(files, top)
    samples = [Sample(f"unlabeled/{name}", path, None) for name, path in images.items()]
    findings = duplicates(places.root, repeated) or line_breaks(files)
    if masks and not findings:
        count = plural(len(masks), "mask is", "masks are")
        message = f"{count} ignored in {top} (the first is {masks[0].name})"
        findings = [note(message)]
    return Listing(samples, findings, sources=masks)
