"""The published data sets by name; a new one is a file of its own and a name in `DATASETS`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from semiseg.core.errors import ConfigError, nearest
from semiseg.core.text import plural
from semiseg.data.datasets.ade20k import Ade20k
from semiseg.data.datasets.base import PublishedDataset
from semiseg.data.datasets.camvid import CamVid
from semiseg.data.datasets.cityscapes import Cityscapes
from semiseg.data.datasets.coco import Coco
from semiseg.data.datasets.cocostuff import CocoStuff10k
from semiseg.data.datasets.voc import Voc, VocBlender
from semiseg.data.tree import Tree, split_lists

DATASETS: dict[str, PublishedDataset] = {
    kind.name: kind() for kind in (Voc, VocBlender, Cityscapes, Ade20k, CocoStuff10k, CamVid, Coco)
}

_MAX_ABSENT = 1 / 3  # of the classes; the papers' val holds all of them


class Recognition(NamedTuple):
    """What a data folder was recognized as.

    Attributes:
        dataset: the published data set; None for data of one's own.
        remark: why a folder with the names of a published data set is none of them, as a sentence;
            empty otherwise.
    """

    dataset: PublishedDataset | None = None
    remark: str = ""


def recognize(tree: Tree, name: str | None = None) -> Recognition:
    """The data set of that name, or the one whose folders, names and values a folder has.

    Args:
        tree: the data folder.
        name: a name of `DATASETS`, `folder` for none of them, or None to recognize it.

    Raises:
        ConfigError: there is no such data set.
    """
    if name == "folder":
        return Recognition()
    if name is not None:
        if name not in DATASETS:
            raise ConfigError(
                f"There is no data set '{name}'. {nearest(name, [*DATASETS, 'folder'])}"
            )
        return Recognition(DATASETS[name])
    has_lists = bool(split_lists(tree))
    for dataset in DATASETS.values():
        if (dataset.own_lists or not has_lists) and dataset.recognizes(tree):
            misfit = dataset.misfit(tree)
            if not misfit:
                return Recognition(dataset)
            return Recognition(
                remark=f"The names are those of {dataset.title}, but {misfit}: the folder is read "
                f"as data of your own. To read it as that data set: --dataset {dataset.name}"
            )
    return Recognition()


def find_dataset(tree: Tree, name: str | None = None) -> PublishedDataset | None:
    """The data set of `recognize`, without a remark."""
    return recognize(tree, name).dataset


def other_classes(name: str, classes: Sequence[str], occurring: Collection[str]) -> str:
    """How the classes of a data folder differ from those of the data set that a setting names.

    People keep data of their own in the folders of a published data set. Some other names are no
    difference, since a `classes.yaml` may say `airplane` for `aeroplane`.

    Args:
        name: the setting, such as `voc`, `auto` or `folder`.
        classes: the names of the classes of the folder.
        occurring: those of them that some mask holds.

    Returns:
        Half a sentence. Empty if they do not differ, or if no data set with classes of its own is
        named.
    """
    dataset = DATASETS.get(name)
    if dataset is None or not dataset.names:  # the files name the classes
        return ""
    if len(classes) != len(dataset.names):
        return (
            f"the data have {plural(len(classes), 'class', 'classes')}, and {dataset.title} has "
            f"{len(dataset.names)}"
        )
    if 2 * len({*classes} & {*dataset.names}) < len(classes):
        return f"most of the {len(classes)} class names are not those of {dataset.title}"
    absent = len(classes) - len({*occurring})
    if absent > _MAX_ABSENT * len(classes):
        return f"{absent} of the {len(classes)} classes of {dataset.title} occur in no mask"
    return ""
