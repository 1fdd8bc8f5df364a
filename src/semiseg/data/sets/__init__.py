"""The published data sets by name; a new one is a file of its own and a name in `DATASETS`."""

from __future__ import annotations

from pathlib import Path

from semiseg.data.sets.ade20k import Ade20k
from semiseg.data.sets.base import DataSet
from semiseg.data.sets.camvid import CamVid
from semiseg.data.sets.cityscapes import Cityscapes
from semiseg.data.sets.coco import Coco
from semiseg.data.sets.cocostuff import CocoStuff10k
from semiseg.data.sets.voc import Voc, VocBlender
from semiseg.errors import ConfigError, nearest

DATASETS: dict[str, DataSet] = {
    kind.name: kind() for kind in (Voc, VocBlender, Cityscapes, Ade20k, CocoStuff10k, CamVid, Coco)
}


def find_dataset(root: Path, name: str | None = None) -> DataSet | None:
    """The data set of that name, or the one that a folder's content shows it to be.

    Args:
        root: the data folder.
        name: a name of `DATASETS`, `folder` for none of them, or None to recognise it.

    Raises:
        ConfigError: there is no such data set.
    """
    if name == "folder":
        return None
    if name is not None:
        if name not in DATASETS:
            raise ConfigError(
                f"There is no data set '{name}'. {nearest(name, [*DATASETS, 'folder'])}"
            )
        return DATASETS[name]
    listed = any((root / f"{split}.txt").is_file() for split in ("train", "val", "test"))
    for dataset in DATASETS.values():
        if (dataset.own_lists or not listed) and dataset.recognises(root):
            return dataset
    return None
