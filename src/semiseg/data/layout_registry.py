"""The registry of layouts, and how the layout of a data folder is found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from semiseg.core.errors import ConfigError, DataError
from semiseg.core.types import NOTHING_SAID, Arrangement, Sample
from semiseg.data.datasets import find_dataset, recognize
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.findings import Finding, error_of, note
from semiseg.data.formats.masks import Classes
from semiseg.data.layouts.annotation_layout import AnnotationLayout, unread_annotations
from semiseg.data.layouts.explicit import ExplicitLayout
from semiseg.data.layouts.families import unlabeled_folders
from semiseg.data.layouts.folders import FolderSplits
from semiseg.data.layouts.hints import mask_remedy, nothing_to_train_on, reading_note, where_to_move
from semiseg.data.layouts.layout import Layout, Listing
from semiseg.data.layouts.lists import ListLayout, VocLayout
from semiseg.data.layouts.vector_layout import VectorLayout
from semiseg.data.pairing.pairs import Folders, without_image
from semiseg.data.pairing.roles import SPLIT_WORDS, role_of
from semiseg.data.tree import Tree, split_lists


class FolderLayout(Layout):
    """The names of folders say what they hold. A mask has the name of its image, or most of it.

    ```
    DATA/
      train/images/  train/masks/  or images/train/ masks/train/, train_images/ train_masks/,
      val/images/    val/masks/    or images/ masks/, where all is train
      test/images/   test/masks/
      unlabeled/                   images without masks
    ```

    Masks may also lie beside their images (`07_mask.png` beside `07.jpg`). semiseg knows the usual
    names of folders, in upper or lower case: imgs, img_dir, JPEGImages, labels, annotations, gt,
    ground_truth, Training, valid, imagesTr, trainannot. Folders with other names, such as `day1` or
    `patient07`, become part of the images' names, and may have masks beside them: `day1`,
    `day1_masks`, `day2`, `day2_masks`.
    """

    name = "folders"
    title = "Folders named after what they hold"

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._splits = FolderSplits(tree, self.families)

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """Always true: this layout reads every folder that no other layout recognizes."""
        return True

    def folders(self, split: str) -> Folders | None:
        """The folders of the split, if there are any.

        Raises:
            DataError: it is ambiguous which folders they are.
        """
        problem = self._splits.choice(split).problem
        if problem is not None:
            raise DataError(f"{problem.message}.", problem.remedy)
        return self._splits.folders(split)

    def read(self, split: str) -> Listing:
        """The images of the split's folders, and how they are read."""
        splits, root = self._splits, self.tree.root
        choice = splits.choice(split)
        if choice.problem is not None:
            return Listing(findings=[choice.problem])
        samples = sorted(s for reading in choice.readings for s in reading.samples)
        errors = [error for reading in choice.readings for error in reading.errors]
        errors = errors or (splits.shared_masks() if split == "train" else [])
        if errors:
            return Listing(samples, errors)
        passed_over = [path for family in choice.passed_over for path in family.images]
        findings = reading_note(splits, split)
        self.use_class_names(splits.class_names)
        matches = [reading.matched for reading in choice.readings if reading.matched]
        findings += [finding for matched in matches for finding in matched.findings]
        sources = [*passed_over, *(path for matched in matches for path in matched.files)]
        if split != "train":
            return Listing(samples, findings, sources=sources)
        unmatched = splits.unmatched()
        findings += without_image(root, unmatched)
        return Listing(samples, findings, mask_remedy(splits), [*sources, *unmatched])

    def image_remedy(self) -> str:
        """Where to move images that are not read."""
        return where_to_move(self.tree, self._splits.choice("train").readings)


class PublishedLayout(Layout):
    """The official tree of a published data set; `semiseg.data.datasets` draws each of them.

    Args:
        tree: the data folder.
        dataset: the data set.
    """

    name = "published"
    title = "A published data set"
    names_classes = True
    is_complete = True

    def __init__(self, tree: Tree, dataset: PublishedDataset) -> None:
        super().__init__(tree)
        self.dataset = dataset
        self.recognized = dataset.title if dataset.names else ""  # some files name the classes

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """Whether one of the published data sets is recognized."""
        return find_dataset(tree) is not None

    def read(self, split: str) -> Listing:
        """The images of the split."""
        return self.dataset.listing(self.tree, split)

    def classes(self, masks: Sequence[Path]) -> tuple[Classes, str]:
        """The classes of the data set."""
        classes = self.dataset.classes(self.tree, masks)
        title = f"{self.dataset.title} ({self.dataset.name})"
        return classes, f"read as {title}"


class ExportsLayout(Layout):
    """Several exports of one kind side by side, such as CVAT's tasks. semiseg reads them together.

    ```
    DATA/
      task1/  JPEGImages/  SegmentationClass/  labelmap.txt
      task2/  JPEGImages/  SegmentationClass/  labelmap.txt  the same classes
    ```
    """

    name = "exports"
    title = "Several exports side by side"

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree)
        self._parts = _exports(tree)

    @classmethod
    def recognizes(cls, tree: Tree) -> bool:
        """By two folders or more that are exports."""
        return len(_exports(tree)) > 1

    def read(self, split: str) -> Listing:
        """The images of the split in all exports, named by their export."""
        samples: list[Sample] = []
        findings: list[Finding] = []
        sources: list[Path] = []
        for part in self._parts:
            listing, place = part.read(split), part.tree.root.name
            samples += [s._replace(name=f"{place}/{s.name}") for s in listing.samples]
            findings += below(listing.findings, place)
            sources += listing.sources
        return Listing(sorted(samples), findings, sources=sources)


def _exports(tree: Tree) -> list[Layout]:
    """The exports in a folder; none if there is any other folder that holds images."""
    folders = [folder for folder in tree.subfolders(tree.root) if not tree.is_result(folder)]
    parts: dict[Path, Layout] = {}
    for folder in folders:
        part = tree.at(folder)
        kinds = (ListLayout, VocLayout) if role_of(folder.name).is_neutral else ()
        layout = next((kind for kind in kinds if kind.recognizes(part)), None)
        if layout is not None:
            parts[folder] = layout(part)
    if len(parts) < 2 or tree.images(tree.root, deep=False):
        return []
    others = [folder for folder in folders if folder not in {*parts, *unlabeled_folders(tree)}]
    return [] if any(tree.images(folder) for folder in others) else list(parts.values())


LAYOUTS: tuple[type[Layout], ...] = (
    ExplicitLayout,
    AnnotationLayout,
    VectorLayout,
    ListLayout,
    VocLayout,
    ExportsLayout,
    FolderLayout,
)
"""The layouts of people's own folders; the first one that recognizes a folder reads it."""


def find_layout(
    tree: Tree, dataset: str | None = None, flags: Arrangement = NOTHING_SAID
) -> Layout:
    """The layout of a data folder, or of the one folder that it holds.

    Args:
        tree: the data folder.
        dataset: the name of a published data set, `folder` for none, or None to recognize one.
        flags: what the flags say about the place of images and masks.

    Raises:
        ConfigError: there is no such data set, or the flags name folders beside one.
    """
    published_by_flag = dataset not in (None, "folder")
    if flags.images or flags.masks:
        if published_by_flag:
            raise ConfigError(
                f"--dataset {dataset} has its own folders, so --images and --masks contradict it. "
                "Leave --dataset out, or the folders."
            )
        return ExplicitLayout(tree, flags)
    places = list(_places(tree))
    if not published_by_flag:
        explicit_place = next((place for place in places if ExplicitLayout.recognizes(place)), None)
        if explicit_place is not None:
            return ExplicitLayout(explicit_place, flags)
    remarks = []
    for place in places:
        recognition = recognize(place, dataset)
        published = recognition.dataset
        last = place is places[-1]
        if published and (not published_by_flag or last or published.recognizes(place)):
            return PublishedLayout(place, published)
        if recognition.remark:
            remarks.append(note(recognition.remark))
    layout = next(kind(place) for kind in LAYOUTS for place in places if kind.recognizes(place))
    if isinstance(layout, FolderLayout) and len(places) > 1:
        layout = FolderLayout(places[-1])
    if layout.tree.root != tree.root:
        remarks.append(note(f"The data lie in {layout.tree.root}"))
    layout.remarks = remarks
    return layout


def _places(tree: Tree) -> Iterator[Tree]:
    """The data folder, then its only subfolder if it holds nothing else, and so on."""
    yield tree
    folders = [folder for folder in tree.subfolders(tree.root) if not tree.is_result(folder)]
    if len(folders) != 1 or tree.images(tree.root, deep=False) or split_lists(tree):
        return
    name, inner = folders[0].name, tree.subfolders(folders[0])
    role, contents = role_of(name), {role_of(folder.name).content for folder in inner}
    # A folder test_data alone is no split; test is one, and may be all that a person evaluates.
    may_be_whole = role.split not in ("train", "unlabeled") and name.lower() not in SPLIT_WORDS
    is_whole = contents >= {"images", "masks"} and may_be_whole
    if inner and (role.is_neutral or is_whole):
        yield from _places(tree.at(folders[0]))


def below(findings: Iterable[Finding], folder: str) -> list[Finding]:
    """Findings whose files lie in a folder of the data folder."""
    return [
        finding._replace(files=tuple(f"{folder}/{file}" for file in finding.files))
        for finding in findings
    ]


def read_split(layout: Layout, split: str) -> Listing:
    """The images of one split. An error becomes a finding; nothing is raised.

    Args:
        layout: of the data folder.
        split: `train`, `val` or `test`.
    """
    try:
        listing = layout.read(split)
    except DataError as error:
        return Listing(findings=[error_of(error)])
    if split == "train" and not any(sample.mask for sample in listing.samples):
        unread_error = unread_annotations(layout.tree)
        if unread_error is not None:
            return replace(listing, findings=[unread_error, *listing.findings])
    errors: list[Finding] = [f for f in listing.findings if f.severity == "error"]
    if split == "train" and not listing.samples and not errors:
        lists = split_lists(layout.tree) if isinstance(layout, ListLayout) else {}
        names = [path.name for path in lists.values()]
        return Listing(findings=[nothing_to_train_on(layout.tree, layout.families, names)])
    return listing
