"""The published data sets by name; a new one is a file of its own and a name in `DATASETS`."""

from __future__ import annotations

from typing import NamedTuple

from semiseg.core.errors import ConfigError, nearest
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
